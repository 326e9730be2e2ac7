//! HEPv3 (the HEP/EEP draft of the Homer project, rev. 12): each SIP message as a UDP packet of chunks
//! for a capture server. Best effort: what the socket does not take at once is dropped and counted.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicU64, Ordering},
};

use sip_core::flow::{Flow, Transport};

use super::Way;
use crate::clock;

const MAGIC: &[u8; 4] = b"HEP3";
/// Generic chunks carry vendor 0.
const VENDOR: u16 = 0;
const SIP: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const UDP: u8 = 17;
const TCP: u8 = 6;
/// Largest UDP payload that a capture server takes; longer messages are cut.
const MAX_PAYLOAD: usize = 60_000;

/// What a packet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// From where.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
    /// IP protocol: 17 or 6.
    pub protocol: u8,
    /// Microseconds since 1970 UTC.
    pub unix_us: u64,
    /// The capture agent.
    pub agent: u32,
    /// The key that the server wants.
    pub key: Option<String>,
    /// What calls belong together by: the Call-ID.
    pub correlation: Option<Vec<u8>>,
    /// The message.
    pub payload: Vec<u8>,
}

impl Capture {
    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([0, 0]);
        let family = if self.source.is_ipv4() { IPV4 } else { IPV6 };
        chunk(&mut out, 0x01, &[family]);
        chunk(&mut out, 0x02, &[self.protocol]);
        let (source, destination) = match family {
            IPV4 => (0x03, 0x04),
            _ => (0x05, 0x06),
        };
        chunk(&mut out, source, &octets(self.source.ip()));
        chunk(&mut out, destination, &octets(self.destination.ip()));
        chunk(&mut out, 0x07, &self.source.port().to_be_bytes());
        chunk(&mut out, 0x08, &self.destination.port().to_be_bytes());
        let (seconds, micros) = (self.unix_us / 1_000_000, self.unix_us % 1_000_000);
        chunk(&mut out, 0x09, &(seconds as u32).to_be_bytes());
        chunk(&mut out, 0x0a, &(micros as u32).to_be_bytes());
        chunk(&mut out, 0x0b, &[SIP]);
        chunk(&mut out, 0x0c, &self.agent.to_be_bytes());
        if let Some(key) = &self.key {
            chunk(&mut out, 0x0e, key.as_bytes());
        }
        if let Some(id) = &self.correlation {
            chunk(&mut out, 0x11, id);
        }
        chunk(&mut out, 0x0f, &self.payload);
        let length = u16::try_from(out.len()).unwrap_or(u16::MAX).to_be_bytes();
        if let Some(field) = out.get_mut(4..6) {
            field.copy_from_slice(&length);
        }
        out
    }
}

fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let value = value.get(..MAX_PAYLOAD).unwrap_or(value);
    out.extend(VENDOR.to_be_bytes());
    out.extend(kind.to_be_bytes());
    out.extend((value.len() as u16 + 6).to_be_bytes());
    out.extend(value);
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// A capture server.
pub struct Collector {
    socket: UdpSocket,
    agent: u32,
    key: Option<String>,
    dropped: AtomicU64,
}

impl Collector {
    /// Opens a socket towards it; nothing is asked of the other side.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn open(address: SocketAddr, agent: u32, key: Option<String>) -> std::io::Result<Self> {
        let any = match address {
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            agent,
            key,
            dropped: AtomicU64::new(0),
        })
    }

    /// Copies that the socket did not take.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Copies a message whose secrets are masked.
    pub(super) fn copy(&self, way: Way, flow: &Flow, bytes: &[u8]) {
        let (source, destination) = match way {
            Way::In => (flow.remote, flow.local),
            Way::Out => (flow.local, flow.remote),
        };
        let packet = Capture {
            source,
            destination,
            protocol: match flow.transport {
                Transport::Udp => UDP,
                Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => TCP,
            },
            unix_us: u64::try_from(clock::unix_ms()).unwrap_or(0) * 1_000,
            agent: self.agent,
            key: self.key.clone(),
            correlation: call_id(bytes),
            payload: bytes.to_vec(),
        };
        if self.socket.send(&packet.encode()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn call_id(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(at);
        let name = name.trim_ascii();
        let is_one = name.eq_ignore_ascii_case(b"call-id") || name.eq_ignore_ascii_case(b"i");
        is_one.then(|| value.get(1..).unwrap_or_default().trim_ascii().to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_the_chunks_of_the_draft() {
        let capture = Capture {
            source: "192.0.2.1:5060".parse().unwrap(),
            destination: "198.51.100.2:5080".parse().unwrap(),
            protocol: UDP,
            unix_us: 1_700_000_000_000_042,
            agent: 2_001,
            key: Some("secret".into()),
            correlation: call_id(b"BYE sip:x SIP/2.0\r\ni: abc@host \r\n\r\n"),
            payload: b"BYE".to_vec(),
        };
        let bytes = capture.encode();
        assert_eq!(&bytes[..4], b"HEP3");
        assert_eq!(
            usize::from(u16::from_be_bytes([bytes[4], bytes[5]])),
            bytes.len()
        );
        // Family and protocol, as the draft's own example begins.
        assert_eq!(&bytes[6..13], [0, 0, 0, 1, 0, 7, 2]);
        assert_eq!(&bytes[13..20], [0, 0, 0, 2, 0, 7, 17]);
        assert_eq!(&bytes[20..30], [0, 0, 0, 3, 0, 10, 192, 0, 2, 1]);
        assert!(bytes.ends_with(&[0, 0, 0, 15, 0, 9, b'B', b'Y', b'E']));
        let id = [&[0, 0, 0, 17, 0, 14][..], b"abc@host"].concat();
        assert!(bytes.windows(id.len()).any(|part| part == id));
    }
}
