//! `external_ip = "stun:HOST"`: asks a STUN server (RFC 8489) what address others see, beside the
//! calls. It never holds up a start; until the first answer the profile announces its own address.

use std::{net::IpAddr, net::Ipv4Addr, net::Ipv6Addr, sync::Arc, time::Duration};

use tokio::{
    net::{UdpSocket, lookup_host},
    time::{sleep, timeout},
};

use crate::{entropy, profile::Profile};

/// RFC 8489 §5.
const MAGIC: u32 = 0x2112_a442;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const MAPPED_ADDRESS: u16 = 0x0001;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const HEADER: usize = 20;
/// How often it is asked again: the address behind a NAT may change.
const EVERY: Duration = Duration::from_secs(60);
/// After no answer.
const AGAIN: Duration = Duration::from_secs(10);
/// For name, question and answer together.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks for ever; stops when aborted.
pub async fn keep_asking(profile: Arc<Profile>, server: String) {
    loop {
        let wait = match timeout(LIMIT, ask(&server)).await {
            Ok(Ok(ip)) => {
                if profile.learn(ip) {
                    tracing::info!(profile = %profile.name, %ip, server, "external address");
                }
                EVERY
            }
            Ok(Err(error)) => missed(&profile, &server, &error.to_string()),
            Err(_) => missed(&profile, &server, "no answer"),
        };
        sleep(wait).await;
    }
}

fn missed(profile: &Profile, server: &str, why: &str) -> Duration {
    tracing::warn!(profile = %profile.name, server, why, "the STUN server does not help");
    AGAIN
}

async fn ask(server: &str) -> std::io::Result<IpAddr> {
    let none = || std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    let address = lookup_host(server).await?.next().ok_or_else(none)?;
    let any: IpAddr = match address.is_ipv4() {
        true => Ipv4Addr::UNSPECIFIED.into(),
        false => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    let id = transaction();
    let mut answer = [0; 548];
    loop {
        socket.send(&request(&id)).await?;
        // RFC 8489 §6.2.1 begins with 500 ms; the limit of the whole ends it.
        let heard = timeout(Duration::from_millis(500), socket.recv(&mut answer)).await;
        let Ok(length) = heard else { continue };
        if let Some(ip) = mapped(answer.get(..length?).unwrap_or_default(), &id) {
            return Ok(ip);
        }
    }
}

fn transaction() -> [u8; 12] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = entropy::u128().to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

fn request(id: &[u8; 12]) -> Vec<u8> {
    let mut out = BINDING_REQUEST.to_be_bytes().to_vec();
    out.extend(0_u16.to_be_bytes());
    out.extend(MAGIC.to_be_bytes());
    out.extend(id);
    out
}

/// The address in a success response to our question.
fn mapped(bytes: &[u8], id: &[u8; 12]) -> Option<IpAddr> {
    let (head, mut rest) = bytes.split_at_checked(HEADER)?;
    let success = head.starts_with(&BINDING_SUCCESS.to_be_bytes());
    if !success || head.get(8..) != Some(id) {
        return None;
    }
    let mut plain = None;
    while let Some((kind, value, after)) = attribute(rest) {
        match kind {
            XOR_MAPPED_ADDRESS => return address(value, head.get(4..)?),
            MAPPED_ADDRESS => plain = address(value, &[0; 16]),
            _ => {}
        }
        rest = after;
    }
    plain
}

fn attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(4)?;
    let [k1, k2, l1, l2] = *head else { return None };
    let length = usize::from(u16::from_be_bytes([l1, l2]));
    let value = rest.get(..length)?;
    let after = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16::from_be_bytes([k1, k2]), value, after))
}

/// RFC 8489 §14.2: family and address, each byte of it against the key.
fn address(value: &[u8], key: &[u8]) -> Option<IpAddr> {
    let octets = value.get(4..)?.iter().zip(key).map(|(a, b)| a ^ b);
    let octets: Vec<u8> = octets.collect();
    match value.get(1)? {
        1 => Some(<[u8; 4]>::try_from(octets.get(..4)?).ok()?.into()),
        2 => Some(<[u8; 16]>::try_from(octets.get(..16)?).ok()?.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 §2.2: the sample IPv4 response (192.0.2.1), its SOFTWARE and address.
    const SAMPLE: &[u8] = &[
        0x01, 0x01, 0x00, 0x1c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6,
        0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76,
        0x65, 0x63, 0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1,
        0x12, 0xa6, 0x43,
    ];
    const ID: [u8; 12] = [
        0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
    ];

    #[test]
    fn the_sample_response_of_rfc_5769_is_read() {
        assert_eq!(mapped(SAMPLE, &ID), Some([192, 0, 2, 1].into()));
        assert_eq!(mapped(SAMPLE, &[0; 12]), None, "not our question");
        for end in 0..SAMPLE.len() {
            assert_eq!(mapped(&SAMPLE[..end], &ID), None, "cut at {end}");
        }
    }
}
