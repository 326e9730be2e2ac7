//! TLS 1.2 and 1.3 of a profile: the one file that knows the TLS library. No ALPN: SIP has none.
//!
//! The certificate's file is looked at before each handshake, at most once a second; what changed is
//! read anew, what cannot be read leaves the old certificate in place. Open connections are not touched.

use std::{
    fs,
    io::Error as IoError,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{io::AsyncRead, io::AsyncWrite, time::Instant};
use tokio_rustls::{
    TlsAcceptor, TlsConnector, client,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, ServerConfig,
        SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{
            CertificateDer, PrivateKeyDer, ServerName, UnixTime,
            pem::{Error as PemError, PemObject},
        },
        server::WebPkiClientVerifier,
    },
    server,
};

use super::{Wire, WireError};

/// How often the certificate's file is looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

/// Why a profile cannot speak TLS; worded for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The file cannot be read, or holds no certificate or key.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Certificate and key do not fit, or the library refuses them.
    #[error("tls: {0}")]
    Library(String),
    /// A listener without `tls = { certificate, key }`.
    #[error("no certificate is set")]
    None,
}

/// See the module.
pub struct Tls {
    settings: settings::Tls,
    client: Arc<ClientConfig>,
    server: Mutex<Option<Served>>,
}

struct Served {
    config: Arc<ServerConfig>,
    stamp: Stamp,
    looked: Instant,
}

/// When the files were written: a renewed certificate differs.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// Reads the files of a profile. Without a certificate it can connect and not be connected to.
    ///
    /// # Errors
    /// A file that cannot be read or does not hold what it should.
    pub fn load(settings: &settings::Tls) -> Result<Self, TlsFault> {
        let tls = Self {
            client: Arc::new(client_config(settings)?),
            settings: settings.clone(),
            server: Mutex::default(),
        };
        if tls.settings.certificate.is_some() {
            tls.server_config()?;
        }
        Ok(tls)
    }

    /// The certificate of this moment.
    fn server_config(&self) -> Result<Arc<ServerConfig>, TlsFault> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = server.as_mut() {
            if served.looked.elapsed() < LOOK {
                return Ok(served.config.clone());
            }
            served.looked = Instant::now();
        }
        let stamp = self.stamp();
        let unchanged = server.as_ref().filter(|served| served.stamp == stamp);
        if let Some(served) = unchanged {
            return Ok(served.config.clone());
        }
        match (server_config(&self.settings), server.as_ref()) {
            (Ok(config), _) => {
                let config = Arc::new(config);
                *server = Some(Served {
                    config: config.clone(),
                    stamp,
                    looked: Instant::now(),
                });
                Ok(config)
            }
            (Err(fault), Some(served)) => {
                tracing::warn!(%fault, "the old certificate stays");
                Ok(served.config.clone())
            }
            (Err(fault), None) => Err(fault),
        }
    }

    fn stamp(&self) -> Stamp {
        let stamp = |path: &Option<PathBuf>| {
            let data = fs::metadata(path.as_ref()?).ok()?;
            Some((data.modified().ok()?, data.len()))
        };
        [stamp(&self.settings.certificate), stamp(&self.settings.key)]
    }

    /// Whether who connects has shown who it is.
    pub(super) fn knows_clients(&self) -> bool {
        self.settings.verify_clients
    }
}

/// The TLS side of a socket that was accepted.
pub(super) async fn accept<S>(wire: &Wire, stream: S) -> Result<server::TlsStream<S>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = wire.tls.load().server_config().map_err(|fault| {
        tracing::warn!(%fault, "a TLS connection was refused");
        WireError::NoSocket
    })?;
    let accepted = TlsAcceptor::from(config).accept(stream).await;
    accepted.map_err(|error| refused(&error))
}

/// The TLS side of a socket that we opened; `name` goes out as SNI and must be on the certificate.
pub(crate) async fn connect<S>(
    tls: &Tls,
    stream: S,
    name: &str,
) -> Result<client::TlsStream<S>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let plain = name.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(plain.to_owned()).map_err(|_| WireError::Gone)?;
    let connected = TlsConnector::from(tls.client.clone()).connect(name, stream);
    connected.await.map_err(|error| refused(&error))
}

fn refused(error: &IoError) -> WireError {
    tracing::info!(%error, "TLS handshake failed");
    WireError::Handshake
}

fn server_config(settings: &settings::Tls) -> Result<ServerConfig, TlsFault> {
    let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
        return Err(TlsFault::None);
    };
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, &error))?;
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| library(&error))?;
    let builder = match (&settings.ca, settings.verify_clients) {
        (Some(ca), true) => {
            let roots = Arc::new(authorities(ca, RootCertStore::empty())?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let verifier = verifier.map_err(|error| TlsFault::Library(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        (Some(_) | None, _) => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(chain, key);
    config.map_err(|error| library(&error))
}

/// Ours goes out where the server asks for one.
fn client_config(settings: &settings::Tls) -> Result<ClientConfig, TlsFault> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| library(&error))?;
    let builder = if settings.verify_servers {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(ca) = &settings.ca {
            roots = authorities(ca, roots)?;
        }
        builder.with_root_certificates(roots)
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider())))
    };
    match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| in_file(key, &error))?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| library(&error))
        }
        (Some(_) | None, _) => Ok(builder.with_no_client_auth()),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = found.map_err(|error: PemError| in_file(path, &error))?;
    if found.is_empty() {
        return Err(in_file(path, &PemError::NoItemsFound));
    }
    Ok(found)
}

fn authorities(path: &Path, mut roots: RootCertStore) -> Result<RootCertStore, TlsFault> {
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| library(&error))?;
    }
    Ok(roots)
}

fn in_file(path: &Path, error: &PemError) -> TlsFault {
    TlsFault::File {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

fn library(error: &TlsError) -> TlsFault {
    TlsFault::Library(error.to_string())
}

/// `verify_servers = false`: encrypted, with whomever it is.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
