//! SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714): seals what we send, opens what we get. The only file that names `rtc-srtp`
//! (and `rtc-rtp`, whose header type it wants).
//!
//! The package is kept on a short lead. It is handed headers that we have measured ourselves; it keeps state for each SSRC
//! before it knows whether the packet is true, and lays the window of the replay check around the first packet, true or not, so
//! strangers are tried on a second context that has no window and is thrown away; and it would
//! take an SRTCP packet without the E bit as true without looking at its tag, so that such a packet never reaches it.

use crate::{Error, rtp};
use rtc_rtp::Header;
use rtc_srtp::context::Context;
use rtc_srtp::crypto::RTCCryptoProvider as _;
use rtc_srtp::crypto::providers::RingProvider;
use rtc_srtp::option::{
    ContextOption, srtcp_no_replay_protection, srtcp_replay_protection, srtp_no_replay_protection,
    srtp_replay_protection,
};
use rtc_srtp::protection_profile::ProtectionProfile;

/// Packets that may be overtaken and still be taken once (RFC 3711 §3.3.2 asks for 64 at least): 2.5 s of 20 ms.
const REPLAY_WINDOW: usize = 128;
/// Sources that one key may seal in a call; each SSRC has a rollover counter of its own.
const MAX_SOURCES: usize = 64;
/// Strangers tried before the context for them is made anew.
const MAX_TRIALS: u32 = 64;
/// Bytes that sealing adds at most, the longest tag and the index of SRTCP (RFC 7714 §9).
pub const MAX_GROWTH: usize = 20;
/// Largest packet sealed or opened.
const MAX_PACKET: usize = 2_048;
/// Header and SSRC of an RTCP packet, which stay in clear.
const RTCP_CLEAR: usize = 8;
/// E bit and index behind an SRTCP packet.
const RTCP_INDEX: usize = 4;

/// How packets are encrypted and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// RFC 7714.
    AeadAes256Gcm,
    /// RFC 6188.
    Aes256CmSha1Tag80,
    /// RFC 7714.
    AeadAes128Gcm,
    /// RFC 3711.
    Aes128CmSha1Tag80,
    /// RFC 3711, with a shorter tag on RTP.
    Aes128CmSha1Tag32,
}

impl Suite {
    const fn profile(self) -> ProtectionProfile {
        match self {
            Self::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
            Self::Aes256CmSha1Tag80 => ProtectionProfile::Aes256CmHmacSha1_80,
            Self::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
            Self::Aes128CmSha1Tag80 => ProtectionProfile::Aes128CmHmacSha1_80,
            Self::Aes128CmSha1Tag32 => ProtectionProfile::Aes128CmHmacSha1_32,
        }
    }
}

impl Suite {
    /// The suite that DTLS agreed on by its number in `use_srtp` (RFC 5764 §4.1.2, RFC 7714 §14.2).
    pub const fn of_dtls(profile: u16) -> Option<Self> {
        match profile {
            1 => Some(Self::Aes128CmSha1Tag80),
            2 => Some(Self::Aes128CmSha1Tag32),
            7 => Some(Self::AeadAes128Gcm),
            8 => Some(Self::AeadAes256Gcm),
            _ => None,
        }
    }

    /// Bytes to be exported from DTLS under the label `EXTRACTOR-dtls_srtp` (RFC 5764 §4.2).
    pub fn exported_len(self) -> usize {
        2 * (self.profile().key_len() + self.profile().salt_len())
    }
}

/// Who we were in the DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    /// We began it.
    Client,
    /// The far side began it.
    Server,
}

/// Master key and salt of each direction, as offer/answer agreed on them. Shows nothing of itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    suite: Suite,
    send: Vec<u8>,
    receive: Vec<u8>,
    receive_mki_len: usize,
}

impl Keys {
    /// Keys with their salts behind them; each must be as long as the suite wants. `receive_mki_len`: bytes of the master key
    /// identifier in the packets we get, which is stepped over (RFC 3711 §3.1).
    pub fn new(
        suite: Suite,
        send: &[u8],
        receive: &[u8],
        receive_mki_len: u8,
    ) -> Result<Self, Error> {
        let profile = suite.profile();
        let wanted = profile.key_len() + profile.salt_len();
        if [send, receive].iter().any(|key| key.len() != wanted) {
            return Err(Error::Srtp("a master key of the wrong length"));
        }
        Ok(Self {
            suite,
            send: send.to_vec(),
            receive: receive.to_vec(),
            receive_mki_len: usize::from(receive_mki_len),
        })
    }
}

impl Keys {
    /// Keys that DTLS exported: the client's key, the server's, the client's salt, the server's (RFC 5764 §4.2). DTLS itself is
    /// the business of whoever owns the socket.
    pub fn of_dtls(suite: Suite, role: DtlsRole, exported: &[u8]) -> Result<Self, Error> {
        if exported.len() != suite.exported_len() {
            return Err(Error::Srtp("DTLS exported another number of bytes"));
        }
        let key_len = suite.profile().key_len();
        let (keys, salts) = exported.split_at(2 * key_len);
        let (client_key, server_key) = keys.split_at(key_len);
        let (client_salt, server_salt) = salts.split_at(salts.len() / 2);
        let client = [client_key, client_salt].concat();
        let server = [server_key, server_salt].concat();
        match role {
            DtlsRole::Client => Self::new(suite, &client, &server, 0),
            DtlsRole::Server => Self::new(suite, &server, &client, 0),
        }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({:?})", self.suite)
    }
}

/// Both directions of one RTP session. Outlives the leg's machine: rollover counters and replay windows go on when a machine
/// is replaced, and begin anew exactly in a direction that gets another key.
pub struct Srtp {
    keys: Keys,
    seal: Context,
    open: Opener,
    measure: Measure,
    buffer: Vec<u8>,
    refused: u64,
}

impl Srtp {
    /// A session under these keys.
    pub fn new(keys: Keys) -> Result<Self, Error> {
        Ok(Self {
            seal: context(keys.suite, &keys.send)?,
            open: Opener::new(&keys)?,
            keys,
            measure: Measure::new(),
            buffer: Vec::with_capacity(MAX_PACKET + MAX_GROWTH),
            refused: 0,
        })
    }

    /// Offer/answer was done again. The same keys change nothing (RFC 3711 §3.3.1: the counter goes on).
    pub fn rekey(&mut self, keys: Keys) -> Result<(), Error> {
        let same_suite = keys.suite == self.keys.suite;
        if !same_suite || keys.send != self.keys.send {
            self.seal = context(keys.suite, &keys.send)?;
        }
        if !same_suite || keys.receive != self.keys.receive {
            self.open = Opener::new(&keys)?;
        }
        self.open.mki_len = keys.receive_mki_len;
        self.keys = keys;
        Ok(())
    }

    /// Datagrams refused so far.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// An RTP packet as it goes out.
    pub fn protect(&mut self, packet: &[u8]) -> Result<&[u8], Error> {
        let header = self.measure.of(packet)?;
        let sealed = self.seal.encrypt_rtp_with_header(packet, header);
        let sealed = sealed.map_err(|_| Error::Srtp("an RTP packet cannot be sealed"))?;
        Ok(keep(&mut self.buffer, &sealed))
    }

    /// A compound RTCP packet as it goes out.
    pub fn protect_rtcp(&mut self, packet: &[u8]) -> Result<&[u8], Error> {
        let sealed = self.seal.encrypt_rtcp(packet);
        let sealed = sealed.map_err(|_| Error::Srtp("an RTCP packet cannot be sealed"))?;
        Ok(keep(&mut self.buffer, &sealed))
    }

    /// A datagram, RTP or RTCP (RFC 5761 §4), as its sender wrote it; an error for what is not true, or was there before.
    pub fn open(&mut self, datagram: &[u8]) -> Result<&[u8], Error> {
        match self.open.open(datagram, &mut self.buffer) {
            Ok(()) => Ok(&self.buffer),
            Err(error) => {
                self.refused += 1;
                Err(error)
            }
        }
    }
}

impl std::fmt::Debug for Srtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Srtp({:?})", self.keys.suite)
    }
}

/// What the far side sends.
struct Opener {
    suite: Suite,
    key: Vec<u8>,
    mki_len: usize,
    context: Context,
    measure: Measure,
    /// Sources that have shown that they hold the key, with RTP and with RTCP each by itself.
    known: Vec<(Kind, u32)>,
    /// Where strangers are tried.
    trial: Option<Context>,
    trials: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rtp,
    Rtcp,
}

impl Opener {
    fn new(keys: &Keys) -> Result<Self, Error> {
        Ok(Self {
            suite: keys.suite,
            key: keys.receive.clone(),
            mki_len: keys.receive_mki_len,
            context: context(keys.suite, &keys.receive)?,
            measure: Measure::new(),
            known: Vec::with_capacity(2 * MAX_SOURCES),
            trial: None,
            trials: 0,
        })
    }

    fn open(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if datagram.len() > MAX_PACKET {
            return Err(Error::Srtp("longer than any RTP packet"));
        }
        let kind = if rtp::is_rtcp(datagram) {
            Kind::Rtcp
        } else {
            Kind::Rtp
        };
        let opened = if self.mki_len == 0 {
            self.open_stripped(kind, datagram)?
        } else {
            let packet = self.without_mki(kind, datagram)?;
            self.open_stripped(kind, &packet)?
        };
        keep(out, &opened);
        Ok(())
    }

    fn open_stripped(
        &mut self,
        kind: Kind,
        packet: &[u8],
    ) -> Result<impl AsRef<[u8]> + use<>, Error> {
        let ssrc = ssrc_of(kind, packet)?;
        if !self.known.contains(&(kind, ssrc)) {
            self.meet(kind, packet, ssrc)?;
        }
        decrypt(
            &mut self.context,
            &mut self.measure,
            self.suite,
            kind,
            packet,
        )
    }

    /// A stranger who holds the key becomes known; one who does not leaves nothing behind.
    fn meet(&mut self, kind: Kind, packet: &[u8], ssrc: u32) -> Result<(), Error> {
        if self.known.len() >= 2 * MAX_SOURCES {
            return Err(Error::Srtp("too many sources under one key"));
        }
        self.trials += 1;
        if self.trials > MAX_TRIALS {
            (self.trial, self.trials) = (None, 0);
        }
        let trial = match &mut self.trial {
            Some(trial) => trial,
            None => self.trial.insert(trial_context(self.suite, &self.key)?),
        };
        decrypt(trial, &mut self.measure, self.suite, kind, packet)?;
        self.known.push((kind, ssrc));
        Ok(())
    }

    /// The key identifier stands before the tag that follows the ciphertext, or at the end where the tag is part of it
    /// (RFC 3711 §3.1, RFC 7714 §8.1).
    fn without_mki(&self, kind: Kind, datagram: &[u8]) -> Result<Vec<u8>, Error> {
        let profile = self.suite.profile();
        let tag_len = match kind {
            Kind::Rtp => profile.rtp_auth_tag_len(),
            Kind::Rtcp => profile.rtcp_auth_tag_len(),
        };
        let split = |bytes: &'_ [u8], from_end: usize| {
            let at = bytes.len().checked_sub(from_end)?;
            bytes
                .split_at_checked(at)
                .map(|(a, b)| (a.to_vec(), b.to_vec()))
        };
        let short = Error::Srtp("cut short");
        let (body, tag) = split(datagram, tag_len).ok_or(short.clone())?;
        let (packet, _) = split(&body, self.mki_len).ok_or(short)?;
        Ok([packet, tag].concat())
    }
}

fn keep<'a>(buffer: &'a mut Vec<u8>, packet: &impl AsRef<[u8]>) -> &'a [u8] {
    buffer.clear();
    buffer.extend_from_slice(packet.as_ref());
    buffer
}

fn context(suite: Suite, key: &[u8]) -> Result<Context, Error> {
    let rtp = srtp_replay_protection(REPLAY_WINDOW);
    context_with(suite, key, rtp, srtcp_replay_protection(REPLAY_WINDOW))
}

fn trial_context(suite: Suite, key: &[u8]) -> Result<Context, Error> {
    let rtp = srtp_no_replay_protection();
    context_with(suite, key, rtp, srtcp_no_replay_protection())
}

fn context_with(
    suite: Suite,
    key: &[u8],
    rtp: ContextOption,
    rtcp: ContextOption,
) -> Result<Context, Error> {
    const REFUSED: Error = Error::Srtp("the keys are refused");
    let profile = suite.profile();
    let (key, salt) = key.split_at_checked(profile.key_len()).ok_or(REFUSED)?;
    let provider = RingProvider::new();
    let made = Context::new(key, salt, profile, Some(rtp), Some(rtcp), provider.crypto());
    made.map_err(|_| REFUSED)
}

fn decrypt(
    context: &mut Context,
    measure: &mut Measure,
    suite: Suite,
    kind: Kind,
    packet: &[u8],
) -> Result<impl AsRef<[u8]> + use<>, Error> {
    let opened = match kind {
        Kind::Rtp => context.decrypt_rtp_with_header(packet, measure.of(packet)?),
        Kind::Rtcp => {
            is_marked_encrypted(suite, packet)?;
            context.decrypt_rtcp(packet)
        }
    };
    opened.map_err(|_| Error::Srtp("not authentic, or a repetition"))
}

/// RFC 3711 §3.4: the E bit. We agree to no unencrypted SRTCP (RFC 4568 §6.3.2).
fn is_marked_encrypted(suite: Suite, packet: &[u8]) -> Result<(), Error> {
    let behind = suite.profile().rtcp_auth_tag_len() + RTCP_INDEX;
    let at = packet.len().checked_sub(behind);
    let first = at
        .filter(|at| *at >= RTCP_CLEAR)
        .and_then(|at| packet.get(at));
    match first {
        Some(byte) if byte & 0x80 != 0 => Ok(()),
        Some(_) => Err(Error::Srtp("SRTCP that is not encrypted")),
        None => Err(Error::Srtp("cut short")),
    }
}

fn ssrc_of(kind: Kind, packet: &[u8]) -> Result<u32, Error> {
    let at = match kind {
        Kind::Rtp => 8,
        Kind::Rtcp => 4,
    };
    let bytes = packet.get(at..).and_then(|rest| rest.first_chunk::<4>());
    let bytes = bytes.ok_or(Error::Srtp("cut short"))?;
    Ok(u32::from_be_bytes(*bytes))
}

/// The header as the package needs it: sequence number, SSRC and how long it is. What it holds besides – contributors and
/// extensions – is stated as so many contributors, which measure the same. Made once: a packet costs no memory.
struct Measure(Header);

impl Measure {
    fn new() -> Self {
        Self(Header {
            version: 2,
            csrc: Vec::with_capacity(MAX_PACKET / 4),
            ..Header::default()
        })
    }

    fn of(&mut self, packet: &[u8]) -> Result<&Header, Error> {
        let [first, _, seq_high, seq_low, ..] = *packet else {
            return Err(Error::Srtp("cut short"));
        };
        if first >> 6 != 2 {
            return Err(Error::Srtp("not RTP"));
        }
        let words = usize::from(first & 0x0f) + extension_words(first, packet)?;
        if packet.len() < rtp::HEADER_LEN + words * 4 {
            return Err(Error::Srtp("cut short"));
        }
        self.0.sequence_number = u16::from_be_bytes([seq_high, seq_low]);
        self.0.ssrc = ssrc_of(Kind::Rtp, packet)?;
        self.0.csrc.resize(words, 0);
        Ok(&self.0)
    }
}

/// RFC 3550 §5.3.1: words of a header extension with its own head.
fn extension_words(first: u8, packet: &[u8]) -> Result<usize, Error> {
    if first & 0x10 == 0 {
        return Ok(0);
    }
    let at = rtp::HEADER_LEN + usize::from(first & 0x0f) * 4 + 2;
    let words = packet.get(at..).and_then(|rest| rest.first_chunk::<2>());
    let words = words.ok_or(Error::Srtp("cut short"))?;
    Ok(1 + usize::from(u16::from_be_bytes(*words)))
}
