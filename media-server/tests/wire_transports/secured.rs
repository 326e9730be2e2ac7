//! TLS and WebSockets: certificates, names, foreign clients; and IPv6.

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

use super::*;

/// A site with TLS and WebSocket listeners.
struct Secured {
    site: Site,
    tls: SocketAddr,
    ws: SocketAddr,
    wss: SocketAddr,
    authority: Authority,
}

fn secured(plan: Option<&str>) -> Secured {
    let site = Site::new("", plan);
    let [tls, ws, wss] = [(), (), ()].map(|()| local(rig::free_port()));
    let folder = site.dir.path().join("profiles");
    let authority = certificate(&folder, &["127.0.0.1", "sip.example.test"], None);
    profile(
        &site,
        &[
            format!("tls://{tls}"),
            format!("ws://{ws}"),
            format!("wss://{wss}"),
        ],
        "tls = { certificate = \"cert.pem\", key = \"key.pem\", ca = \"ca.pem\" }",
    );
    Secured {
        site,
        tls,
        ws,
        wss,
        authority,
    }
}

fn trusting(authority: &Authority) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let der = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
    roots.add(der).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    TlsConnector::from(Arc::new(config.with_no_client_auth()))
}

async fn tls_to(at: SocketAddr, authority: &Authority, name: &str) -> TlsStream<TcpStream> {
    egress::tls::install();
    let stream = TcpStream::connect(at).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = trusting(authority);
    connector.connect(name, stream).await.unwrap()
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap()[0].to_vec()
}

/// The whole of a call: the phone checks our certificate, we answer with the Contact of the TLS listener.
#[tokio::test(flavor = "multi_thread")]
async fn the_phone_calls_over_tls_and_will_not_talk_to_whom_it_cannot_trust() {
    let Secured { site, tls, .. } = secured(None);
    let node = site.start().await;
    let ca = site.dir.path().join("profiles/ca.pem");
    let uri = format!("sips:echo@{tls}");
    let trusted = [
        "--tls-ca",
        ca.to_str().unwrap(),
        "--step",
        "wait:1s",
        "--seconds",
        "3",
    ];
    let phone = rig::Phone::call(&uri, &trusted);
    let (summary, content) = tokio::task::spawn_blocking(move || phone.finish(LIMIT))
        .await
        .unwrap();
    assert!(content, "{summary:#}");
    let record = site.office().ended(&summary["sip_call_id"]).await;
    assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
    let untrusted = std::process::Command::new(env!("CARGO_BIN_EXE_media-server"))
        .args(["call", &uri, "--json", "--seconds", "3"])
        .output()
        .unwrap();
    assert!(!untrusted.status.success(), "nobody vouches for it");
    node.stop().await;
}

/// Failure catalogue #6: Contact and Via of a call name the listener of its transport.
#[tokio::test(flavor = "multi_thread")]
async fn the_contact_names_the_listener_of_the_calls_transport() {
    let Secured {
        site,
        tls,
        authority,
        ..
    } = secured(None);
    let node = site.start().await;
    let mut stream = tls_to(tls, &authority, "127.0.0.1").await;
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";
    let head = options("TLS", "contact", 0)
        .replace("OPTIONS sip:", "INVITE sip:echo@")
        .replace("1 OPTIONS", "1 INVITE")
        .replace("Content-Length: 0\r\n\r\n", "");
    let invite = format!(
        "{head}Contact: <sip:a@127.0.0.1:5999;transport=tls>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    stream.write_all(invite.as_bytes()).await.unwrap();
    let heard = read_until(&mut stream, "SIP/2.0 200").await;
    let heard = heard + &read_until(&mut stream, "m=audio").await;
    let contact = format!("Contact: <sip:{tls};transport=tls>");
    assert!(heard.contains(&contact), "{contact} in {heard}");
    drop(stream);
    node.stop().await;
}

/// A renewed certificate is shown to who comes next; who is connected does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_used_and_open_connections_stay() {
    let Secured {
        site,
        tls,
        authority,
        ..
    } = secured(None);
    let node = site.start().await;
    let mut old = tls_to(tls, &authority, "sip.example.test").await;
    let before = shown(&old);
    assert!(is_answered(&mut old, "TLS", "before").await);
    let folder = site.dir.path().join("profiles");
    certificate(
        &folder,
        &["127.0.0.1", "sip.example.test"],
        Some(&authority),
    );
    let until = tokio::time::Instant::now() + LIMIT;
    loop {
        let new = tls_to(tls, &authority, "127.0.0.1").await;
        if shown(&new) != before {
            break;
        }
        assert!(tokio::time::Instant::now() < until, "the old one is shown");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(is_answered(&mut old, "TLS", "after").await);
    // What is no certificate leaves the good one in place.
    std::fs::write(folder.join("cert.pem"), "not a certificate").unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let mut after = tls_to(tls, &authority, "127.0.0.1").await;
    assert!(is_answered(&mut after, "TLS", "still").await);
    node.stop().await;
}

async fn reload(node: &media_server::node::NodeHandle) {
    use media_server::node::Msg;
    let done = node.node.call(Msg::Reload, Some(LIMIT)).await.unwrap();
    done.unwrap().unwrap();
}

/// What a reload says of certificates and connections counts for who connects from then on; nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_limits_of_a_reload_count_at_once() {
    let site = Site::new("", None);
    let node = site.start().await;
    let tls = local(rig::free_port());
    let folder = site.dir.path().join("profiles");
    let written = |place: &str, more: &str| {
        std::fs::create_dir_all(folder.join(place)).unwrap();
        let authority = certificate(&folder.join(place), &["127.0.0.1"], None);
        let files = format!(
            "tls = {{ certificate = \"{place}/cert.pem\", key = \"{place}/key.pem\" }}\n{more}"
        );
        profile(&site, &[format!("tls://{tls}")], &files);
        authority
    };
    // A profile that had no certificate gets a listener that needs one.
    let first = written("first", "");
    reload(&node).await;
    let mut old = tls_to(tls, &first, "127.0.0.1").await;
    assert!(is_answered(&mut old, "TLS", "first").await);
    // Another file, and room for two connections of one source.
    let second = written("second", "streams = { per_source = 2 }");
    reload(&node).await;
    let mut new = tls_to(tls, &second, "127.0.0.1").await;
    assert_ne!(shown(&new), shown(&old));
    assert!(is_answered(&mut new, "TLS", "second").await);
    assert!(is_answered(&mut old, "TLS", "first-again").await);
    let mut third = TcpStream::connect(tls).await.unwrap();
    assert_eq!(closes(&mut third).await, "", "there is no room for it");
    // What cannot be read changes nothing but the profile's word for it.
    written("third", "");
    std::fs::write(folder.join("third/cert.pem"), "not a certificate").unwrap();
    reload(&node).await;
    let mut after = tls_to(tls, &second, "127.0.0.1").await;
    assert!(is_answered(&mut after, "TLS", "third").await);
    let status = media_server::http::profiles(&node.node).await;
    let reason = status[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("third/cert.pem"), "{reason}");
    node.stop().await;
}

/// Failure catalogue #7: the name that a trunk's certificate shows is not the address that DNS gave, nor SNI an address.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_known_by_the_name_that_was_wanted_and_its_connection_serves_again() {
    let Secured { site, tls, .. } = secured(None);
    let node = site.start().await;
    let ours = settings::Tls {
        ca: Some(site.dir.path().join("profiles/ca.pem")),
        ..settings::Tls::default()
    };
    let wire = wire(&[(Transport::Udp, local(0))], &ours).await;
    let stranger = streams::target(Transport::Tls, tls, "carrier.test");
    assert!(wire.flow_to(&stranger, None).await.is_err(), "not its name");
    let flow = wire.flow_to(&stranger, Some("sip.example.test")).await;
    let flow = flow.unwrap();
    let again = wire.flow_to(&stranger, Some("sip.example.test")).await;
    assert_eq!(again.unwrap(), flow, "the open connection is used");
    // In the dialog the next hop is an address: still the same connection, or one for the same name.
    assert!(
        wire.flow_to(&streams::target(Transport::Tls, tls, "127.0.0.1"), None)
            .await
            .is_ok()
    );
    wire.close_stream(flow.connection);
    let reopened = wire.reopen(flow, None).await.unwrap();
    assert_ne!(reopened.connection, flow.connection);
    wire.close();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_calls_over_tls_and_our_bye_comes_over_its_connection() {
    let test = "baresip_calls_over_tls_and_our_bye_comes_over_its_connection";
    if !baresip::is_here(test) {
        return;
    }
    let plan = r#"
context = "internal"

[[route]]
name = "bye"
when = { to = "bye" }
do = ["answer", { sleep = "1s" }, { hangup = "normal" }]
"#;
    let Secured { site, tls, .. } = secured(Some(plan));
    let node = site.start().await;
    let ca = site.dir.path().join("profiles/ca.pem");
    let manner = baresip::Manner {
        transport: "tls",
        config: format!("sip_cafile {}\n", ca.display()),
        seconds: 8,
        ..baresip::Manner::default()
    };
    let call =
        tokio::task::spawn_blocking(move || baresip::Running::dial(tls, "bye", &manner).finish());
    let call = call.await.unwrap();
    assert!(call.trace.contains("Call established"), "{}", call.trace);
    assert!(call.trace.contains("BYE sip:foreign"), "{}", call.trace);
    let record = site.office().ended(&json!(call.id())).await;
    assert_eq!(record["end_reason"], "dialplan_hangup", "{record:#}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sip_is_spoken_over_websockets_plain_and_secured() {
    let Secured {
        site,
        ws,
        wss,
        authority,
        ..
    } = secured(None);
    let node = site.start().await;
    let plain = TcpStream::connect(ws).await.unwrap();
    talk(plain, format!("ws://{ws}/"), "WS").await;
    let stream = tls_to(wss, &authority, "127.0.0.1").await;
    talk(stream, format!("wss://{wss}/"), "WSS").await;
    // Without the subprotocol it is somebody else's door.
    let stream = TcpStream::connect(ws).await.unwrap();
    let request = format!("ws://{ws}/").into_client_request().unwrap();
    let refused = tokio_tungstenite::client_async(request, stream).await;
    assert!(refused.is_err());
    node.stop().await;
}

/// RFC 7118: OPTIONS without a Content-Length, and a call whose Contact cannot be reached but by this connection.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: S, url: String, via: &str) {
    let mut request = url.into_client_request().unwrap();
    let sip = "sip".parse().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", sip);
    let (mut socket, upgraded) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    assert_eq!(upgraded.headers()["Sec-WebSocket-Protocol"], "sip");
    let (call, ack_id) = (format!("{via}call"), format!("{via}ack"));
    let text = options(via, via, 0).replace("Content-Length: 0\r\n", "");
    let text = text.replace("127.0.0.1:5999", "df7jal23ls0d.invalid");
    socket.send(Message::text(text)).await.unwrap();
    let answer = next(&mut socket).await;
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";
    let invite = options(via, &call, 0)
        .replace("127.0.0.1:5999", "df7jal23ls0d.invalid")
        .replace("OPTIONS sip:", "INVITE sip:echo@")
        .replace("1 OPTIONS", "1 INVITE")
        .replace(
            "Content-Length: 0\r\n\r\n",
            "Contact: <sip:a@df7jal23ls0d.invalid;transport=ws>\r\n",
        );
    let invite = format!("{invite}Content-Type: application/sdp\r\n\r\n{sdp}");
    socket.send(Message::text(invite)).await.unwrap();
    let answer = loop {
        let answer = next(&mut socket).await;
        if !answer.starts_with("SIP/2.0 1") {
            break answer;
        }
    };
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    assert!(answer.contains(";transport=ws>"), "{answer}");
    let to = answer.lines().find(|line| line.starts_with("To:")).unwrap();
    let ack = options(via, &ack_id, 0)
        .replace("OPTIONS sip:", "ACK sip:echo@")
        .replace("1 OPTIONS", "1 ACK")
        .replace(&format!("tag={ack_id}"), &format!("tag={call}"))
        .replace(&format!("Call-ID: {ack_id}"), &format!("Call-ID: {call}"))
        .replace("To: <sip:127.0.0.1>", to);
    socket.send(Message::text(ack.clone())).await.unwrap();
    let bye = ack
        .replace("ACK sip:", "BYE sip:")
        .replace("1 ACK", "2 BYE");
    let bye = bye.replace(&format!("z9hG4bK{ack_id}"), &format!("z9hG4bK{via}bye"));
    socket.send(Message::text(bye)).await.unwrap();
    // The 200 of the INVITE may come once more before the ACK has arrived.
    let answer = loop {
        let answer = next(&mut socket).await;
        if !answer.contains("1 INVITE") {
            break answer;
        }
    };
    assert!(
        answer.starts_with("SIP/2.0 200") && answer.contains("2 BYE"),
        "{answer}"
    );
}

async fn next<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut tokio_tungstenite::WebSocketStream<S>,
) -> String {
    loop {
        let message = timeout(LIMIT, socket.next()).await.unwrap();
        if let Message::Text(text) = message.unwrap().unwrap() {
            return text.to_string();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_ipv6_names_ipv6_everywhere() {
    let site = Site::new("", None);
    let Ok(free) = std::net::UdpSocket::bind("[::1]:0") else {
        println!("SKIP a_call_over_ipv6_names_ipv6_everywhere: this machine has no IPv6");
        return;
    };
    let port = free.local_addr().unwrap().port();
    drop(free);
    profile(
        &site,
        &[format!("udp://[::1]:{port}"), format!("tcp://[::1]:{port}")],
        "",
    );
    let node = site.start().await;
    for transport in ["udp", "tcp"] {
        let uri = format!("sip:echo@[::1]:{port};transport={transport}");
        let phone = rig::Phone::call(&uri, &["--step", "wait:1s", "--seconds", "3"]);
        let (summary, content) = tokio::task::spawn_blocking(move || phone.finish(LIMIT))
            .await
            .unwrap();
        assert!(content, "{summary:#}");
        let record = site.office().ended(&summary["sip_call_id"]).await;
        assert_eq!(record["end_reason"], "caller_hangup", "{record:#}");
    }
    let mut stream = TcpStream::connect((std::net::Ipv6Addr::LOCALHOST, port))
        .await
        .unwrap();
    let sdp =
        "v=0\r\no=- 1 1 IN IP6 ::1\r\ns=-\r\nc=IN IP6 ::1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";
    let invite = options("TCP", "six", 0)
        .replace("OPTIONS sip:127.0.0.1", "INVITE sip:echo@[::1]")
        .replace("1 OPTIONS", "1 INVITE")
        .replace("127.0.0.1:5999", "[::1]:5999")
        .replace(
            "Content-Length: 0\r\n\r\n",
            "Contact: <sip:a@[::1]:5999;transport=tcp>\r\n",
        );
    let invite = format!(
        "{invite}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    stream.write_all(invite.as_bytes()).await.unwrap();
    let heard = read_until(&mut stream, "m=audio").await;
    assert!(heard.contains("c=IN IP6 ::1"), "{heard}");
    assert!(
        heard.contains(&format!("<sip:[::1]:{port};transport=tcp>")),
        "{heard}"
    );
    drop(stream);
    node.stop().await;
}
