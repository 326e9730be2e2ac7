//! What the door lets out and what it does not: literal hosts, names, rebinding, redirects, limits.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use egress::{
    Egress, EgressConfig, EgressError, Limits, Policy, Request, Resolver, Resolving, WsMessage,
    WsRequest,
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::Message;

/// A server on a loopback address that gives one fixed answer and keeps each request's head.
struct Server {
    addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

async fn serve(ip: [u8; 4], answer: impl Into<Vec<u8>>) -> Server {
    let listener = TcpListener::bind(SocketAddr::from((ip, 0))).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (answer, seen) = (answer.into(), heads.clone());
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let head = read_head(&mut tcp).await;
            seen.lock().unwrap().push(head);
            let _ = tcp.write_all(&answer).await;
        }
    });
    Server { addr, heads }
}

async fn read_head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && tcp.read(&mut byte).await.unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

/// Answers from a list, one row for each question; the last row again and again.
struct Names(Mutex<VecDeque<Vec<IpAddr>>>);

impl Resolver for Names {
    fn resolve(&self, _host: &str) -> Resolving {
        let mut rows = self.0.lock().unwrap();
        let row = match rows.len() {
            0 => Vec::new(),
            1 => rows[0].clone(),
            _ => rows.pop_front().unwrap(),
        };
        Box::pin(async move { io::Result::Ok(row) })
    }
}

fn ip(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// A door whose names resolve as told; 127.0.0.2 plays the public internet.
fn door(rows: &[&[IpAddr]]) -> Egress {
    let rows = rows.iter().map(|row| row.to_vec()).collect();
    Egress::new(EgressConfig {
        exempt: vec![ip(127, 0, 0, 2)],
        resolver: Some(Arc::new(Names(Mutex::new(rows)))),
        ..EgressConfig::default()
    })
    .unwrap()
}

fn refused(result: Result<egress::Response, EgressError>) -> (String, &'static str) {
    match result {
        Err(EgressError::Refused { host, why }) => (host, why),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_operators_own_naming_reaches_loopback() {
    let server = serve([127, 0, 0, 1], ok("{\"n\":7}")).await;
    let request = Request::get(format!("http://{}/x", server.addr)).bearer("k");
    let response = door(&[]).send(Policy::Named, request).await.unwrap();
    assert_eq!(response.status(), 200);
    let json: serde_json::Value = response.json().await.unwrap();
    assert_eq!(json["n"], 7);
    let head = server.heads.lock().unwrap()[0].to_lowercase();
    assert!(head.contains("authorization: bearer k"), "{head}");
}

#[tokio::test]
async fn literal_addresses_in_every_spelling_are_refused_without_a_connection() {
    let server = serve([127, 0, 0, 1], ok("secret")).await;
    let port = server.addr.port();
    for host in [
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
        "[64:ff9b::7f00:1]",
    ] {
        let request = Request::get(format!("http://{host}:{port}/"));
        refused(door(&[]).send(Policy::Untrusted, request).await);
    }
    assert_eq!(server.heads.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_name_with_one_inside_address_among_public_ones_is_refused() {
    let door = door(&[&[ip(127, 0, 0, 2), ip(10, 0, 0, 1)]]);
    let request = Request::get("http://mixed.test/");
    let (host, why) = refused(door.send(Policy::Untrusted, request).await);
    assert_eq!((host.as_str(), why), ("mixed.test", "private"));
}

#[tokio::test]
async fn a_name_that_resolves_anew_to_the_inside_is_refused_at_its_second_connection() {
    let server = serve([127, 0, 0, 2], ok("public")).await;
    let door = door(&[&[ip(127, 0, 0, 2)], &[ip(127, 0, 0, 1)]]);
    let url = format!("http://rebind.test:{}/", server.addr.port());
    let first = door.send(Policy::Untrusted, Request::get(&url)).await;
    assert_eq!(&first.unwrap().bytes().await.unwrap()[..], b"public");
    let (_, why) = refused(door.send(Policy::Untrusted, Request::get(&url)).await);
    assert_eq!(why, "loopback");
}

#[tokio::test]
async fn a_redirect_to_the_inside_is_refused_and_none_is_followed_unasked() {
    let inside = serve([127, 0, 0, 1], ok("secret")).await;
    let outside = serve(
        [127, 0, 0, 2],
        redirect(&format!("http://{}/", inside.addr)),
    )
    .await;
    let url = format!("http://public.test:{}/", outside.addr.port());
    let door = door(&[&[ip(127, 0, 0, 2)]]);
    let plain = door.send(Policy::Untrusted, Request::get(&url)).await;
    assert_eq!(plain.unwrap().status(), 302);
    let following = Request::get(&url).limits(Limits {
        redirects: 3,
        ..Limits::default()
    });
    refused(door.send(Policy::Untrusted, following).await);
    assert_eq!(inside.heads.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn what_a_named_server_points_away_to_is_untrusted_and_gets_no_credentials() {
    let outside = serve([127, 0, 0, 2], ok("moved here")).await;
    let target = format!("http://public.test:{}/", outside.addr.port());
    let named = serve([127, 0, 0, 1], redirect(&target)).await;
    let limits = Limits {
        redirects: 1,
        ..Limits::default()
    };
    let request = || {
        Request::get(format!("http://{}/", named.addr))
            .bearer("k")
            .limits(limits)
    };
    let door_out = door(&[&[ip(127, 0, 0, 2)]]);
    let response = door_out.send(Policy::Named, request()).await.unwrap();
    assert_eq!(&response.bytes().await.unwrap()[..], b"moved here");
    let head = outside.heads.lock().unwrap()[0].to_lowercase();
    assert!(!head.contains("authorization"), "{head}");

    let door_in = door(&[&[ip(192, 168, 0, 1)]]);
    let (_, why) = refused(door_in.send(Policy::Named, request()).await);
    assert_eq!(why, "private");
}

#[tokio::test]
async fn a_loop_of_redirects_ends() {
    let server = serve([127, 0, 0, 1], redirect("/again")).await;
    let request = Request::get(format!("http://{}/", server.addr)).limits(Limits {
        redirects: 4,
        ..Limits::default()
    });
    let error = door(&[]).send(Policy::Named, request).await.unwrap_err();
    assert!(
        matches!(error, EgressError::TooManyRedirects { .. }),
        "{error}"
    );
    assert_eq!(server.heads.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn urls_of_other_kinds_and_with_credentials_are_refused() {
    for url in ["file:///etc/passwd", "ftp://a.test/", "nonsense", "http://"] {
        let error = door(&[])
            .send(Policy::Named, Request::get(url))
            .await
            .unwrap_err();
        assert!(
            matches!(error, EgressError::BadUrl { .. }),
            "{url}: {error}"
        );
    }
    let request = Request::get("http://user:pw@public.test/");
    let error = door(&[])
        .send(Policy::Untrusted, request)
        .await
        .unwrap_err();
    assert!(matches!(error, EgressError::BadUrl { .. }), "{error}");
    let request = Request::get("http://public.test/").header("x", "a\r\nb: c");
    let error = door(&[]).send(Policy::Named, request).await.unwrap_err();
    assert!(matches!(error, EgressError::BadUrl { .. }), "{error}");
}

#[tokio::test]
async fn a_body_larger_than_allowed_is_cut_off_announced_or_not() {
    let announced = serve([127, 0, 0, 1], ok(&"x".repeat(5_000))).await;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        + "3e8\r\n"
        + &"y".repeat(1_000)
        + "\r\n3e8\r\n"
        + &"y".repeat(1_000)
        + "\r\n0\r\n\r\n";
    let chunked = serve([127, 0, 0, 1], chunked).await;
    for server in [announced, chunked] {
        let request = Request::get(format!("http://{}/", server.addr)).limits(Limits {
            body_bytes: 1_500,
            ..Limits::default()
        });
        let response = door(&[]).send(Policy::Named, request).await.unwrap();
        let error = response.bytes().await.unwrap_err();
        assert!(
            matches!(error, EgressError::TooLarge { limit: 1_500, .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_hangs_before_or_within_its_answer_times_out() {
    let silent = serve([127, 0, 0, 1], "").await;
    let stalls = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stalling = stalls.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = stalls.accept().await.unwrap();
        read_head(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    });
    let limits = Limits {
        idle: Duration::from_millis(80),
        head: Duration::from_secs(20),
        ..Limits::default()
    };
    let request = Request::get(format!("http://{stalling}/")).limits(limits);
    let mut response = door(&[]).send(Policy::Named, request).await.unwrap();
    assert_eq!(&response.chunk().await.unwrap().unwrap()[..], b"abc");
    let error = response.chunk().await.unwrap_err();
    assert!(
        matches!(error, EgressError::Timeout { what: "body", .. }),
        "{error}"
    );

    let hung = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = Request::get(format!("http://{}/", hung.local_addr().unwrap())).limits(Limits {
        head: Duration::from_millis(80),
        ..limits
    });
    let error = door(&[]).send(Policy::Named, request).await.unwrap_err();
    assert!(
        matches!(error, EgressError::Timeout { what: "head", .. }),
        "{error}"
    );
    assert!(error.is_transient());
    drop(silent);
}

#[tokio::test]
async fn errors_never_show_path_query_or_key() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = closed.local_addr().unwrap();
    drop(closed);
    let request = Request::get(format!("http://{addr}/hidden?key=s3cret")).bearer("t0ken");
    let shown = format!("{request:?}");
    assert!(
        !shown.contains("t0ken") && !shown.contains("s3cret"),
        "{shown}"
    );
    let error = door(&[]).send(Policy::Named, request).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect { .. }), "{error:?}");
    let told = format!("{error} {error:?}");
    assert!(
        !told.contains("hidden") && !told.contains("s3cret"),
        "{told}"
    );
}

async fn echo_socket(ip: [u8; 4]) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from((ip, 0))).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
            let _ = socket.send(Message::Ping(b"p".to_vec().into())).await;
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    let _ = socket.send(message).await;
                }
            }
        }
    });
    addr
}

#[tokio::test]
async fn a_websocket_echoes_and_its_messages_are_limited() {
    let addr = echo_socket([127, 0, 0, 1]).await;
    let mut request = WsRequest::new(format!("ws://{addr}/v1")).header("x-key", "1");
    request.message_bytes = 64;
    let mut socket = door(&[]).websocket(Policy::Named, request).await.unwrap();
    socket.send(WsMessage::Text("hello".into())).await.unwrap();
    let back = socket.next().await.unwrap().unwrap();
    assert_eq!(back, WsMessage::Text("hello".into()));
    socket
        .send(WsMessage::Binary(vec![0; 100].into()))
        .await
        .unwrap();
    let error = socket.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, EgressError::TooLarge { limit: 64, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_websocket_to_the_inside_is_refused_by_literal_and_by_name() {
    let addr = echo_socket([127, 0, 0, 1]).await;
    let door = door(&[&[ip(127, 0, 0, 1)]]);
    for host in ["127.0.0.1", "[::ffff:7f00:1]", "rebound.test"] {
        let url = format!("ws://{host}:{}/", addr.port());
        let result = door.websocket(Policy::Untrusted, WsRequest::new(url)).await;
        let error = result.err().unwrap();
        assert!(
            matches!(error, EgressError::Refused { .. }),
            "{host}: {error}"
        );
    }
}

#[tokio::test]
async fn a_websocket_to_a_public_address_opens_under_the_untrusted_policy() {
    let addr = echo_socket([127, 0, 0, 2]).await;
    let url = format!("ws://public.test:{}/", addr.port());
    let door = door(&[&[ip(127, 0, 0, 2)]]);
    let socket = door.websocket(Policy::Untrusted, WsRequest::new(url)).await;
    socket.unwrap().close().await;
}
