//! Byte streams: pieces, limits, keep-alives, and connections that are reused or gone.

use super::*;

async fn connect(site: &Site) -> TcpStream {
    TcpStream::connect(site.sip).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_in_one_segment_and_one_in_many_are_answered() {
    let site = Site::new("", None);
    let node = site.start().await;
    let mut stream = connect(&site).await;
    stream.set_nodelay(true).unwrap();
    let both = options("TCP", "first", 0) + &options("TCP", "second", 0);
    stream.write_all(both.as_bytes()).await.unwrap();
    let heard = read_until(&mut stream, "Call-ID: second").await;
    assert_eq!(heard.matches("SIP/2.0 200").count(), 2, "{heard}");
    for byte in options("TCP", "third", 0).as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        stream.flush().await.unwrap();
    }
    let heard = read_until(&mut stream, "Call-ID: third").await;
    assert!(heard.contains("SIP/2.0 200"), "{heard}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_beyond_the_limit_is_refused_its_connection_closed_and_nothing_left() {
    let site = Site::new("", None);
    let node = site.start().await;
    let wire = node.services.lines.get("internal").unwrap().wire;
    for n in 0..20 {
        let mut stream = connect(&site).await;
        let text = options("TCP", &format!("huge{n}"), 80_000);
        // It may be closed while we still write.
        let _ = stream.write_all(text.as_bytes()).await;
        let heard = closes(&mut stream).await;
        assert!(!heard.contains("SIP/2.0 200"), "{heard}");
    }
    assert!(is_answered(&mut connect(&site).await, "TCP", "after").await);
    let until = tokio::time::Instant::now() + LIMIT;
    while wire.connections() > 0 && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(wire.connections(), 0, "every connection is out of the book");
    node.stop().await;
}

/// HTTP, TLS and STUN where SIP is spoken: recognised, never parsed, and the next one is served.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sip_is_recognised_and_closed() {
    let site = Site::new("", None);
    let node = site.start().await;
    let strangers: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03],
        &[
            0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
        &[0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0xf9, 0xf8],
    ];
    for stranger in strangers {
        let mut stream = connect(&site).await;
        stream.write_all(stranger).await.unwrap();
        assert_eq!(closes(&mut stream).await, "", "nothing is answered");
    }
    assert!(is_answered(&mut connect(&site).await, "TCP", "after").await);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_slowly_or_nothing_is_put_out_and_the_patient_stays() {
    let site = Site::new("", None);
    profile(
        &site,
        &[],
        "streams = { message_within = \"1s\", idle = \"4s\", keep_alive = \"30s\" }",
    );
    let node = site.start().await;
    let wire = node.services.lines.get("internal").unwrap().wire;
    let number = |name: &str| {
        let numbers = wire.stream_numbers();
        numbers.iter().find(|(known, _)| *known == name).unwrap().1
    };
    // Half a message, a byte now and then: the second for the whole of it is over all the same.
    let mut slow = connect(&site).await;
    let text = options("TCP", "slow", 0);
    slow.write_all(&text.as_bytes()[..100]).await.unwrap();
    closes(&mut slow).await;
    assert_eq!(number("slow"), 1);
    // Never a byte.
    closes(&mut connect(&site).await).await;
    // One message, then silence.
    let mut idle = connect(&site).await;
    assert!(is_answered(&mut idle, "TCP", "idle").await);
    closes(&mut idle).await;
    assert_eq!(number("idle"), 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_closed_at_once_and_those_open_live_on() {
    let site = Site::new("", None);
    profile(&site, &[], "streams = { per_source = 3 }");
    let node = site.start().await;
    let mut open = Vec::new();
    for n in 0..3 {
        let mut stream = connect(&site).await;
        assert!(is_answered(&mut stream, "TCP", &format!("open{n}")).await);
        open.push(stream);
    }
    closes(&mut connect(&site).await).await;
    assert!(is_answered(&mut open[0], "TCP", "again").await);
    // A seat that is free again is given again.
    drop(open.pop());
    let until = tokio::time::Instant::now() + LIMIT;
    loop {
        let mut stream = connect(&site).await;
        if is_answered(&mut stream, "TCP", "seated").await {
            break;
        }
        assert!(tokio::time::Instant::now() < until, "its seat is not free");
    }
    node.stop().await;
}

/// Failure catalogue #9: a ping is a double CRLF; a single one is the answer and keeps nothing alive.
#[tokio::test(flavor = "multi_thread")]
async fn our_keep_alive_is_a_double_crlf_and_a_ping_gets_its_pong() {
    let site = Site::new("", None);
    profile(&site, &[], "streams = { keep_alive = \"1s\" }");
    let node = site.start().await;
    let mut stream = connect(&site).await;
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    timeout(LIMIT, stream.read_exact(&mut pong))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&pong, b"\r\n");
    let mut ping = [0; 4];
    timeout(LIMIT, stream.read_exact(&mut ping))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&ping, b"\r\n\r\n");
    stream.write_all(b"\r\n").await.unwrap();
    assert!(is_answered(&mut stream, "TCP", "alive").await);
    node.stop().await;
}

/// Failure catalogue #8: what the far side closed takes nothing more, from that moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_far_side_closed_takes_nothing_more() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wire = wire(&[(Transport::Tcp, local(0))], &settings::Tls::default()).await;
    let target = target(Transport::Tcp, listener.local_addr().unwrap(), "127.0.0.1");
    let flow = wire.flow_to(&target, None).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    assert!(wire.send(&flow, Bytes::from_static(b"\r\n\r\n")).is_ok());
    drop(far);
    let until = tokio::time::Instant::now() + LIMIT;
    while wire.send(&flow, Bytes::from_static(b"\r\n\r\n")).is_ok() {
        assert!(
            tokio::time::Instant::now() < until,
            "the dead writer accepts"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(wire.connections(), 0);
    // The next request opens another one, to the same place.
    let again = tokio::spawn(async move { listener.accept().await.unwrap() });
    let new = wire.reopen(flow, None).await.unwrap();
    assert_ne!(new.connection, flow.connection);
    again.await.unwrap();
    wire.close();
}

/// RFC 5923: requests to one place share one connection.
#[tokio::test(flavor = "multi_thread")]
async fn requests_to_one_place_share_its_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wire = wire(&[(Transport::Tcp, local(0))], &settings::Tls::default()).await;
    let target = target(Transport::Tcp, listener.local_addr().unwrap(), "127.0.0.1");
    let first = wire.flow_to(&target, None).await.unwrap();
    let second = wire.flow_to(&target, None).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(wire.connections(), 1);
    wire.close();
}

/// RFC 5923 §8: `alias` in a Via makes a connection that the far side opened ours as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_an_alias_carries_our_requests() {
    let site = Site::new("", None);
    let node = site.start().await;
    let wire = node.services.lines.get("internal").unwrap().wire;
    let mut stream = connect(&site).await;
    let text = options("TCP", "alias", 0).replace(";rport", ";rport;alias");
    stream.write_all(text.as_bytes()).await.unwrap();
    read_until(&mut stream, "Call-ID: alias").await;
    let target = target(Transport::Tcp, local(5999), "127.0.0.1");
    let flow = wire.flow_to(&target, None).await.unwrap();
    assert_eq!(flow.remote, stream.local_addr().unwrap());
    wire.send(&flow, options("TCP", "ours", 0).into()).unwrap();
    let heard = read_until(&mut stream, "Call-ID: ours").await;
    assert!(heard.contains("OPTIONS sip:"), "{heard}");
    node.stop().await;
}

/// RFC 3261 §18.1.1: more than 1300 bytes leave UDP for TCP, and come back to it where nobody takes TCP.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_request_goes_over_tcp_and_over_udp_to_who_does_not_take_it() {
    let wire = wire(&[(Transport::Udp, local(0))], &settings::Tls::default()).await;
    let large = options("UDP", "large", 2_000);
    assert!(large.len() > 1_300);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = target(Transport::Udp, listener.local_addr().unwrap(), "127.0.0.1");
    let flow = wire.flow_to(&place, None).await.unwrap();
    wire.send(&flow, large.clone().into()).unwrap();
    let accepted = timeout(LIMIT, listener.accept()).await.unwrap();
    let mut stream = accepted.unwrap().0;
    let heard = read_until(&mut stream, "Content-Length").await;
    assert!(heard.contains("Via: SIP/2.0/TCP 127.0.0.1:5999"), "{heard}");
    // Nobody listens there on TCP: the datagram after all, as it was.
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let place = target(Transport::Udp, socket.local_addr().unwrap(), "127.0.0.1");
    let flow = wire.flow_to(&place, None).await.unwrap();
    wire.send(&flow, large.clone().into()).unwrap();
    let mut buffer = vec![0; 4_096];
    let length = timeout(LIMIT, socket.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&buffer[..length], large.as_bytes());
    // A response stays where its request came from.
    let response = large.replace("OPTIONS sip:127.0.0.1 SIP/2.0", "SIP/2.0 200 OK");
    wire.send(&flow, response.clone().into()).unwrap();
    let length = timeout(LIMIT, socket.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&buffer[..length], response.as_bytes());
    wire.close();
}

pub fn target(transport: Transport, remote: SocketAddr, name: &str) -> sip_core::locate::Target {
    let name = sip_core::locate::Wanted::at(name).unwrap().host;
    sip_core::locate::Target {
        transport,
        remote,
        name,
    }
}
