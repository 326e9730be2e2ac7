//! Starts and stops the office: database, keys, listener, upkeep.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use egress::Bucket;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    app::{App, AppParts},
    envelope::KeySource,
    key_files::{self, AdminKey},
    routes::{self, NoScope},
    store::{Db, StoreError},
    upkeep,
    vault::{Vault, VaultError},
};

/// How long requests in progress may take at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// What the office needs to know.
#[derive(Debug, Clone)]
pub struct OfficeConfig {
    /// `sqlite://PATH` or `postgres://…`.
    pub database_url: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Recordings go to `recordings` in it.
    pub data_dir: PathBuf,
    /// The bucket that recordings go to instead.
    pub bucket: Option<Bucket>,
    /// Keys that open `/internal/v1`; none opens it to nobody.
    pub node_keys: Vec<String>,
    /// Where the first admin key is written.
    pub admin_key_file: PathBuf,
    /// The keys that seal passwords in the database.
    pub envelope: KeySource,
    /// How long a silent switch counts as alive.
    pub lease: Duration,
    /// How long a provisional `node_lost` waits for its owner before `call.ended` is told.
    pub settle: Duration,
}

impl OfficeConfig {
    /// The defaults on loopback with everything in `data_dir`; no node key.
    pub fn local(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            database_url: format!("sqlite://{}", data_dir.join("sidetone.db").display()),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            node_keys: Vec::new(),
            admin_key_file: data_dir.join("admin.key"),
            envelope: KeySource::File(data_dir.join("envelope.key")),
            data_dir,
            bucket: None,
            lease: Duration::from_secs(15),
            settle: Duration::from_secs(15 * 60),
        }
    }
}

/// Why the office does not start.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address.
    #[error("cannot listen on {address}: {fault}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        fault: std::io::Error,
    },
    /// A file or folder.
    #[error("{}: {fault}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        fault: std::io::Error,
    },
    /// A key file with something else in it.
    #[error("{} does not hold a key: remove it to have a new one made", path.display())]
    KeyFile {
        /// Which.
        path: PathBuf,
    },
    /// A secret in the database cannot be opened with the keys that are here.
    #[error(transparent)]
    Envelope(#[from] crate::envelope::EnvelopeError),
    /// Where recordings are kept.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A route is open by oversight.
    #[error(transparent)]
    Route(#[from] NoScope),
}

impl OfficeError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        |fault| Self::File { path, fault }
    }
}

/// The office.
pub struct Office {
    app: App,
    local_addr: SocketAddr,
    admin_key: AdminKey,
    server: JoinHandle<()>,
    upkeep: JoinHandle<()>,
}

impl Office {
    /// Opens and migrates the database, writes the first admin key, binds and serves.
    pub async fn start(config: OfficeConfig) -> Result<Self, OfficeError> {
        let (router, table) = routes::table()?;
        let envelope = config.envelope.load()?;
        let recordings = config.data_dir.join("recordings");
        let made = tokio::fs::create_dir_all(&recordings).await;
        made.map_err(OfficeError::file(&recordings))?;
        let vault = Vault::open(recordings, config.bucket.as_ref())?;
        let db = Db::open(&config.database_url).await?;
        db.migrate().await?;
        every_key(&db, &envelope).await?;
        let admin_key = key_files::first_admin_key(&db, &config.admin_key_file).await?;
        let listener = listen(config.listen).await?;
        let local_addr = listener.local_addr().map_err(|fault| OfficeError::Listen {
            address: config.listen,
            fault,
        })?;
        let app = App::new(AppParts {
            db,
            vault,
            node_keys: config.node_keys,
            envelope,
            lease: config.lease,
            routes: table,
        });
        let service = routes::service(router, app.clone());
        Ok(Self {
            local_addr,
            admin_key,
            server: tokio::spawn(serve(listener, service, app.clone())),
            upkeep: tokio::spawn(upkeep::run(app.clone(), config.settle)),
            app,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The base of its URLs.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.local_addr)
    }

    /// The admin key's file, and whether this start wrote it.
    pub fn admin_key(&self) -> &AdminKey {
        &self.admin_key
    }

    /// Its database, for tests and embedding programs.
    pub fn db(&self) -> &Db {
        self.app.db()
    }

    /// Stops accepting, ends streams, gives requests in progress five seconds, closes the
    /// database.
    pub async fn shutdown(mut self) {
        self.app.close();
        if tokio::time::timeout(DRAIN, &mut self.server).await.is_err() {
            tracing::warn!("requests in progress were cut off");
            self.server.abort();
        }
        self.upkeep.abort();
        let _ = (&mut self.upkeep).await;
        self.app.db().close().await;
    }
}

impl Drop for Office {
    /// An office that is dropped without `shutdown` ends at once.
    fn drop(&mut self) {
        self.app.close();
        self.server.abort();
        self.upkeep.abort();
    }
}

/// Secrets whose key is not here would take their owners off the air one by one: better not to start.
async fn every_key(db: &Db, keys: &crate::envelope::Keys) -> Result<(), OfficeError> {
    let used = db.sealed_key_ids().await?;
    match used.iter().find(|id| !keys.knows(id)) {
        Some(missing) => Err(keys.unknown(missing).into()),
        None => Ok(()),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, OfficeError> {
    TcpListener::bind(address)
        .await
        .map_err(|fault| OfficeError::Listen { address, fault })
}

async fn serve(listener: TcpListener, service: axum::Router, app: App) {
    let mut closing = app.closing();
    let closed = async move {
        let _ = closing.wait_for(|closing| *closing).await;
    };
    let served = axum::serve(listener, service).with_graceful_shutdown(closed);
    if let Err(fault) = served.await {
        tracing::error!(%fault, "the listener failed");
    }
}
