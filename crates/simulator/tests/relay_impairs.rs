//! The relay loses, doubles and delays real datagrams, and counts what it did.

use simulator::{network::Impairment, relay::Relay};
use tokio::net::UdpSocket;

async fn echoed(impairment: Impairment, datagrams: u16) -> (usize, Relay) {
    let target = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::start(target.local_addr().unwrap(), impairment, 5)
        .await
        .unwrap();
    let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    phone.connect(relay.addr()).await.unwrap();
    let mut buffer = [0; 16];
    for nth in 0..datagrams {
        phone.send(&nth.to_be_bytes()).await.unwrap();
    }
    // The last datagram of all is the one with no loss on its way: counters tell when all are through.
    let through = |relay: &Relay| {
        let (up, _) = relay.counters();
        up.sent == u64::from(datagrams) && up.delivered == up.sent - up.lost + up.duplicated
    };
    let mut received = 0;
    while !through(&relay) || received < usize::try_from(relay.counters().0.delivered).unwrap() {
        let (length, from) = target.recv_from(&mut buffer).await.unwrap();
        assert_eq!(from, relay.addr());
        received += 1;
        if received == 1 {
            target.send_to(&buffer[..length], from).await.unwrap();
        }
    }
    let length = phone.recv(&mut buffer).await.unwrap();
    assert_eq!(length, 2, "what the target sends finds the phone");
    (received, relay)
}

#[tokio::test]
async fn relay_passes_everything_when_told_so() {
    let (received, relay) = echoed(Impairment::default(), 50).await;
    assert_eq!((received, relay.counters().0.lost), (50, 0));
}

#[tokio::test]
async fn relay_loses_and_doubles_when_told_so() {
    let bad = Impairment {
        loss_per_mille: 300,
        duplicate_per_mille: 200,
        delay_ms: 3,
        jitter_ms: 5,
        ..Impairment::default()
    };
    // Only the way to the target counts here; the answer may need no luck.
    let (received, relay) = echoed(
        Impairment {
            loss_per_mille: 0,
            ..bad
        },
        50,
    )
    .await;
    let (up, _) = relay.counters();
    assert!(up.duplicated > 0 && received == 50 + usize::try_from(up.duplicated).unwrap());
}

#[tokio::test]
async fn relay_refuses_to_leave_the_machine() {
    let outside = Relay::start("192.0.2.1:9".parse().unwrap(), Impairment::default(), 1).await;
    assert!(outside.is_err());
}
