//! TCP, TLS, WebSockets, IPv6 and the next hop on real sockets: what a far side sends, in whatever pieces, and what becomes
//! of its connection; which place is called, and which one when that fails.

#[path = "rig/baresip.rs"]
mod baresip;
#[path = "rig/names.rs"]
mod names;
#[path = "wire_transports/next_hop.rs"]
mod next_hop;
#[path = "rig/node.rs"]
mod rig;
#[path = "wire_transports/secured.rs"]
mod secured;
#[path = "wire_transports/streams.rs"]
mod streams;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use media_server::{
    clock::Clock,
    gate::Gate,
    next_hop::NextHop,
    wire::{Options, Tls, Wire},
};
use rig::Site;
use sip_core::flow::Transport;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Generous: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);

/// An OPTIONS that asks for its answer on this transport; `pad` makes its head longer.
fn options(transport: &str, branch: &str, pad: usize) -> String {
    let pad = (0..pad / 1_000)
        .map(|n| format!("X-Pad-{n}: {}\r\n", "x".repeat(985)))
        .collect::<String>();
    format!(
        "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:5999;branch=z9hG4bK{branch};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@127.0.0.1>;tag={branch}\r\nTo: <sip:127.0.0.1>\r\nCall-ID: {branch}\r\n\
         CSeq: 1 OPTIONS\r\n{pad}Content-Length: 0\r\n\r\n"
    )
}

/// Everything that arrives until `wanted` is in it, or the connection ends.
async fn read_until<S: AsyncRead + Unpin>(stream: &mut S, wanted: &str) -> String {
    let mut heard = Vec::new();
    let mut buffer = [0; 4_096];
    let read = async {
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            heard.extend_from_slice(&buffer[..length]);
            if String::from_utf8_lossy(&heard).contains(wanted) {
                return;
            }
        }
    };
    let _ = timeout(LIMIT, read).await;
    String::from_utf8_lossy(&heard).into_owned()
}

/// Whether an OPTIONS on this connection is answered.
async fn is_answered<S>(stream: &mut S, transport: &str, branch: &str) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = options(transport, branch, 0);
    if stream.write_all(request.as_bytes()).await.is_err() || stream.flush().await.is_err() {
        return false;
    }
    let heard = read_until(stream, &format!("Call-ID: {branch}")).await;
    heard.contains("SIP/2.0 200") && heard.contains(branch)
}

/// Waits until the far side has closed; what it said before.
async fn closes(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let closed = timeout(LIMIT, stream.read_to_end(&mut heard)).await;
    assert!(closed.is_ok(), "it is not closed");
    String::from_utf8_lossy(&heard).into_owned()
}

/// Authority, certificate and key of a server, as PEM files.
fn certificate(folder: &Path, names: &[&str], authority: Option<&Authority>) -> Authority {
    let own = Authority::new();
    let authority_used = authority.unwrap_or(&own);
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = rcgen::CertificateParams::new(names).unwrap();
    let issuer = rcgen::Issuer::from_params(&authority_used.params, &authority_used.key);
    let signed = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("cert.pem"), signed.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("ca.pem"), authority_used.pem.clone()).unwrap();
    own
}

struct Authority {
    params: rcgen::CertificateParams,
    key: rcgen::KeyPair,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }
}

/// Sockets without a node behind them.
async fn wire(listen: &[(Transport, SocketAddr)], tls: &settings::Tls) -> Arc<Wire> {
    egress::tls::install();
    let profile = "listen = [\"udp://127.0.0.1:0\"]\ncontext = \"internal\"\n";
    let profile: settings::Profile = toml::from_str(profile).unwrap();
    let options = Options {
        tls: Tls::load(tls).unwrap(),
        limits: settings::Streams::default(),
        next_hop: Arc::new(NextHop::new(&settings::Dns::default())),
        gate: Arc::new(Gate::new(profile)),
        clock: Clock::start(),
        tap: Arc::default(),
    };
    Wire::open(listen, options).await.unwrap()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The profile of a site with more sockets and more lines.
fn profile(site: &Site, listen: &[String], more: &str) {
    let (sip, first) = (site.sip, site.first_rtp);
    let more_sockets: String = listen.iter().map(|at| format!(", \"{at}\"")).collect();
    let text = format!(
        "listen = [\"udp://{sip}\", \"tcp://{sip}\"{more_sockets}]\ncontext = \"internal\"\nauth = \"none\"\n\
         codecs = [\"PCMU\", \"PCMA\"]\nrtp = {{ ports = \"{first}-{}\" }}\n{more}\n",
        first + 999
    );
    site.write("profiles/internal.toml", &text);
}
