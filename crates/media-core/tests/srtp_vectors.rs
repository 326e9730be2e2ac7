//! SRTP and SRTCP against RFC 3711: the key derivation of appendix B.3 with an implementation of its own, whole packets
//! computed from it, and two published packets. A round trip through ourselves would prove nothing.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use media_core::srtp::{Keys, Srtp, Suite};
use sha1::Sha1;

/// RFC 3711 appendix B.3.
const MASTER_KEY: &str = "E1F97A0D3E018BE0D64FA32C06DE4139";
const MASTER_SALT: &str = "0EC675AD498AFEEBB6960B3AABE6";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|b| b.is_ascii_hexdigit())
        .map(|b| (b as char).to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn block(key: &[u8], input: [u8; 16]) -> [u8; 16] {
    let cipher = Aes128::new(key.try_into().unwrap());
    let mut block = input.into();
    cipher.encrypt_block(&mut block);
    block.into()
}

/// AES counter mode: the key stream that begins at `iv` (RFC 3711 §4.1.1).
fn stream(key: &[u8], iv: [u8; 16], len: usize) -> Vec<u8> {
    let start = u128::from_be_bytes(iv);
    (0..len.div_ceil(16) as u128)
        .flat_map(|n| block(key, start.wrapping_add(n).to_be_bytes()))
        .take(len)
        .collect()
}

/// RFC 3711 §4.3.1 with a derivation rate of zero.
fn derive(label: u8, len: usize) -> Vec<u8> {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(&hex(MASTER_SALT));
    iv[7] ^= label;
    stream(&hex(MASTER_KEY), iv, len)
}

/// The initial counter of a packet (RFC 3711 §4.1.1).
fn iv(salt: &[u8], ssrc: u32, index: u64) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[..14].copy_from_slice(salt);
    let (ssrc, index) = (u128::from(ssrc) << 64, u128::from(index) << 16);
    (u128::from_be_bytes(wide) ^ ssrc ^ index).to_be_bytes()
}

fn sealed(packet: &[u8], clear: usize, keys: [u8; 3], ssrc: u32, index: u64) -> (Vec<u8>, Vec<u8>) {
    let [encryption, authentication, salt] = keys;
    let stream = stream(
        &derive(encryption, 16),
        iv(&derive(salt, 14), ssrc, index),
        packet.len() - clear,
    );
    let mut out = packet.to_vec();
    for (byte, key) in out[clear..].iter_mut().zip(stream) {
        *byte ^= key;
    }
    (out, derive(authentication, 20))
}

fn tag(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes()[..10].to_vec()
}

/// The whole SRTP packet, from the session keys of labels 0 to 2.
fn srtp(packet: &[u8], roc: u32) -> Vec<u8> {
    let seq = u64::from(u16::from_be_bytes([packet[2], packet[3]]));
    let ssrc = u32::from_be_bytes(packet[8..12].try_into().unwrap());
    let (mut out, key) = sealed(packet, 12, [0, 1, 2], ssrc, u64::from(roc) << 16 | seq);
    let tag = tag(&key, &[&out, &roc.to_be_bytes()]);
    out.extend(tag);
    out
}

/// The whole SRTCP packet, from the session keys of labels 3 to 5 (RFC 3711 §4.3.2).
fn srtcp(packet: &[u8], index: u32) -> Vec<u8> {
    let ssrc = u32::from_be_bytes(packet[4..8].try_into().unwrap());
    let (mut out, key) = sealed(packet, 8, [3, 4, 5], ssrc, u64::from(index));
    out.extend((index | 1 << 31).to_be_bytes());
    let tag = tag(&key, &[&out]);
    out.extend(tag);
    out
}

fn session() -> Srtp {
    let key = hex(&format!("{MASTER_KEY}{MASTER_SALT}"));
    Srtp::new(Keys::new(Suite::Aes128CmSha1Tag80, &key, &key, 0).unwrap()).unwrap()
}

fn rtp(seq: u16) -> Vec<u8> {
    let mut packet = hex("800f 0000 decafbad cafebabe");
    packet[2..4].copy_from_slice(&seq.to_be_bytes());
    packet.extend([0xab; 16]);
    packet
}

fn rtcp() -> Vec<u8> {
    let mut packet = hex("81c8000b cafebabe");
    packet.extend([0xab; 16]);
    packet
}

#[test]
fn the_reference_derives_the_keys_of_appendix_b_3() {
    assert_eq!(derive(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(derive(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
    let authentication = "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4";
    assert_eq!(derive(1, 20), hex(authentication));
}

#[test]
fn the_reference_makes_the_key_stream_of_appendix_b_2() {
    let key = hex("2B7E151628AED2A6ABF7158809CF4F3C");
    let iv = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
    let expected = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB";
    assert_eq!(stream(&key, iv, 32), hex(expected));
}

#[test]
fn our_packets_are_those_of_the_reference_and_the_published_ones() {
    let mut session = session();
    let published = "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb";
    let sent = session.protect(&rtp(0x1234)).unwrap().to_vec();
    assert_eq!(sent, srtp(&rtp(0x1234), 0));
    assert_eq!(sent, hex(published));
    let sent = session.protect_rtcp(&rtcp()).unwrap().to_vec();
    assert_eq!(sent, srtcp(&rtcp(), 1));
    let published = "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798";
    assert_eq!(sent, hex(published));
}

#[test]
fn packets_of_the_reference_are_opened_across_a_wrap_of_the_number() {
    let mut session = session();
    for (seq, roc) in [
        (65_533, 0),
        (65_535, 0),
        (1, 1),
        (65_534, 0),
        (0, 1),
        (2, 1),
    ] {
        let plain = rtp(seq);
        let opened = session.open(&srtp(&plain, roc)).map(<[u8]>::to_vec);
        assert_eq!(opened, Ok(plain), "number {seq} in round {roc}");
    }
    assert_eq!(session.open(&srtcp(&rtcp(), 7)), Ok(rtcp().as_slice()));
}
