//! One dialog's offer/answer state.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::OfferAnswerError;
use super::capability::{AgreedMedia, CodecCapability, Direction, MediaAddress, MediaPolicy};
use super::crypto::{self, AgreedSrtp, CryptoLine, KeySource, SrtpPolicy};
use super::negotiate::{
    agree, audio_line, event_capability, is_secure, noise_capability, offered_formats,
};
use crate::sdp::{Media, Sdp};

/// Offer/answer for one dialog.
#[derive(Clone, Debug)]
pub struct Session {
    policy: MediaPolicy,
    state: SessionSeed,
    /// Where our master keys come from; without it nothing can be encrypted.
    keys: Option<KeySource>,
    /// What our outstanding offer holds.
    offered: Option<Offered>,
}

#[derive(Clone, Debug)]
struct Offered {
    formats: Vec<(CodecCapability, u8)>,
    /// To return to when the offer is refused.
    before: Box<SessionSeed>,
}

/// What survives a crash: our description and what was agreed. Our description may hold keys: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSeed {
    session_id: u64,
    version: u64,
    /// Our last description without its origin line, to see whether the next one differs.
    last: Option<String>,
    address: Option<MediaAddress>,
    direction: Direction,
    /// The `m=` lines so far, ours in place: a later offer must repeat all of them (RFC 3264 §8).
    lines: Vec<Media>,
    audio: usize,
    agreed: Option<AgreedMedia>,
    /// The keys of our last description.
    #[serde(default)]
    crypto: Vec<CryptoLine>,
}

impl std::fmt::Debug for SessionSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionSeed")
            .field("session_id", &self.session_id)
            .field("version", &self.version)
            .field("address", &self.address)
            .field("direction", &self.direction)
            .field("agreed", &self.agreed)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session before any description. `session_id` is the number in our origin line.
    pub fn new(policy: MediaPolicy, session_id: u64) -> Self {
        Self::resume(
            policy,
            SessionSeed {
                session_id,
                version: session_id,
                last: None,
                address: None,
                direction: Direction::SendRecv,
                lines: Vec::new(),
                audio: 0,
                agreed: None,
                crypto: Vec::new(),
            },
        )
    }

    /// The session of a seed.
    pub fn resume(policy: MediaPolicy, seed: SessionSeed) -> Self {
        Self {
            policy,
            state: seed,
            keys: None,
            offered: None,
        }
    }

    /// Gives it a secret to make master keys from. Without one it can encrypt nothing.
    #[must_use]
    pub fn keyed(mut self, secret: [u8; 32]) -> Self {
        self.keys = Some(KeySource::new(secret));
        self
    }

    /// The state to keep.
    pub fn seed(&self) -> SessionSeed {
        self.state.clone()
    }

    /// What is agreed now.
    pub fn agreed(&self) -> Option<&AgreedMedia> {
        self.state.agreed.as_ref()
    }

    /// Where we receive.
    pub fn address(&self) -> Option<MediaAddress> {
        self.state.address
    }

    /// Where we will receive, before anything is described: a call without an offer of ours.
    pub fn receive_at(&mut self, address: MediaAddress) {
        self.state.address = Some(address);
    }

    /// What we want to do with the media.
    pub fn direction(&self) -> Direction {
        self.state.direction
    }

    /// Whether an offer of ours waits for its answer.
    pub fn has_offered(&self) -> bool {
        self.offered.is_some()
    }

    /// Whether an offer could be answered, without doing so.
    pub fn examine(&self, offer: &[u8]) -> Result<(), OfferAnswerError> {
        let sdp = Sdp::parse(offer)?;
        let audio = audio_line(&sdp, self.policy.srtp)?;
        let media = sdp.media.get(audio).ok_or(OfferAnswerError::NoAudio)?;
        agree(&sdp, media, &self.policy, None, Direction::SendRecv).map(|_| ())
    }

    /// Answers an offer: the answer's SDP, and what is agreed if that changed (RFC 3264 §6).
    pub fn answer(
        &mut self,
        offer: &[u8],
        address: MediaAddress,
    ) -> Result<(Bytes, Option<AgreedMedia>), OfferAnswerError> {
        let sdp = Sdp::parse(offer)?;
        let audio = audio_line(&sdp, self.policy.srtp)?;
        let remote = sdp.media.get(audio).ok_or(OfferAnswerError::NoAudio)?;
        let mut agreed = agree(&sdp, remote, &self.policy, None, self.state.direction)?;
        let crypto = self.protect(remote)?;
        agreed.srtp = crypto.as_ref().map(|(_, agreed)| agreed.clone());
        self.state.crypto = crypto.into_iter().map(|(ours, _)| ours).collect();
        let formats = self.agreed_formats(&agreed);
        self.state.address = Some(address);
        let ours = Line {
            proto: &remote.proto,
            formats: &formats,
            direction: agreed.direction,
            rtcp: Rtcp::answered(&self.policy, &agreed),
            crypto: &self.state.crypto,
        };
        let ours = self.our_line(&ours, address);
        self.state.lines = sdp.media.iter().map(declined).collect();
        self.state.audio = audio;
        if let Some(line) = self.state.lines.get_mut(audio) {
            *line = ours;
        }
        let text = self.describe(address);
        Ok((text, self.note(agreed)))
    }

    /// Makes an offer (RFC 3264 §5, §8): everything at first, later the agreed codec.
    pub fn offer(&mut self, address: MediaAddress, direction: Direction) -> Bytes {
        let before = Box::new(self.state.clone());
        let formats = match &self.state.agreed {
            Some(agreed) => self.agreed_formats(agreed),
            None => offered_formats(&self.policy),
        };
        self.state.direction = direction;
        self.state.address = Some(address);
        self.state.crypto = self.offered_crypto();
        let line = Line {
            proto: &self.offered_proto(),
            formats: &formats,
            direction,
            rtcp: Rtcp::offered(&self.policy, self.state.agreed.as_ref()),
            crypto: &self.state.crypto,
        };
        let line = self.our_line(&line, address);
        match self.state.lines.get_mut(self.state.audio) {
            Some(audio) => *audio = line,
            None => self.state.lines = vec![line],
        }
        let text = self.describe(address);
        self.offered = Some(Offered { formats, before });
        text
    }

    /// What an answer would agree on, leaving the offer open: SDP in a provisional response.
    pub fn preview(&self, answer: &[u8]) -> Result<AgreedMedia, OfferAnswerError> {
        let offered = self.offered.as_ref();
        let offered = offered.ok_or(OfferAnswerError::Mismatch("there was no offer"))?;
        let sdp = Sdp::parse(answer)?;
        let audio = sdp
            .media
            .get(self.state.audio)
            .ok_or(OfferAnswerError::Mismatch("fewer m= lines than offered"))?;
        if audio.port == 0 {
            return Err(OfferAnswerError::NoAudio);
        }
        let formats = Some(offered.formats.as_slice());
        let mut agreed = agree(&sdp, audio, &self.policy, formats, self.state.direction)?;
        agreed.srtp = self.answered_crypto(audio)?;
        Ok(agreed)
    }

    /// Takes the answer to our offer: what is agreed if that changed.
    pub fn accept(&mut self, answer: &[u8]) -> Result<Option<AgreedMedia>, OfferAnswerError> {
        let agreed = self.preview(answer)?;
        self.offered = None;
        Ok(self.note(agreed))
    }

    /// The first offer was out when the process died: its answer is still welcome.
    pub fn reopen_offer(&mut self) {
        if self.state.agreed.is_none() && self.state.last.is_some() {
            self.offered = Some(Offered {
                formats: offered_formats(&self.policy),
                before: Box::new(self.state.clone()),
            });
        }
    }

    /// Our offer was refused: everything is as before it, but for the version, which only counts up.
    pub fn withdraw(&mut self) {
        if let Some(offered) = self.offered.take() {
            let version = self.state.version;
            self.state = *offered.before;
            self.state.version = version;
            self.state.last = None;
        }
    }

    /// Our key and the far side's for an offered line (RFC 4568 §7.1.2). Ours stays while the suite does, so that a
    /// description which only repeats itself disturbs nobody's rollover counter (RFC 3711 §3.3.1).
    fn protect(
        &mut self,
        offered: &Media,
    ) -> Result<Option<(CryptoLine, AgreedSrtp)>, OfferAnswerError> {
        let lines = match self.policy.srtp {
            SrtpPolicy::Off => return Ok(None),
            SrtpPolicy::Optional | SrtpPolicy::Required => crypto::lines_of(offered),
        };
        let Some(theirs) = crypto::strongest(&lines) else {
            return self.unprotected();
        };
        let before = self.state.agreed.as_ref().and_then(|a| a.srtp.as_ref());
        let kept = before.filter(|srtp| srtp.suite == theirs.suite);
        let ours = match (kept, &mut self.keys) {
            (Some(srtp), _) => CryptoLine {
                tag: theirs.tag,
                suite: srtp.suite,
                key: srtp.send.clone(),
                mki_len: 0,
            },
            (None, Some(keys)) => keys.line(theirs.tag, theirs.suite),
            (None, None) => return Err(OfferAnswerError::NoEncryption),
        };
        let agreed = agreed_srtp(&ours, theirs);
        Ok(Some((ours, agreed)))
    }

    fn unprotected<T>(&self) -> Result<Option<T>, OfferAnswerError> {
        match self.policy.srtp {
            SrtpPolicy::Required => Err(OfferAnswerError::NoEncryption),
            SrtpPolicy::Off | SrtpPolicy::Optional => Ok(None),
        }
    }

    /// What the answer chose among our lines (RFC 4568 §7.1.3).
    fn answered_crypto(&self, answer: &Media) -> Result<Option<AgreedSrtp>, OfferAnswerError> {
        let theirs = crypto::lines_of(answer);
        let chosen = theirs.iter().find_map(|theirs| {
            let ours = &mut self.state.crypto.iter();
            let ours = ours.find(|ours| (ours.tag, ours.suite) == (theirs.tag, theirs.suite))?;
            Some(agreed_srtp(ours, theirs))
        });
        match chosen {
            Some(srtp) => Ok(Some(srtp)),
            None if is_secure(answer) => Err(OfferAnswerError::NoEncryption),
            None => self.unprotected(),
        }
    }

    /// At first a line for each suite; later the agreed key, or none.
    fn offered_crypto(&mut self) -> Vec<CryptoLine> {
        match (&self.state.agreed, self.policy.srtp, &mut self.keys) {
            (_, SrtpPolicy::Off, _) | (None, _, None) => Vec::new(),
            (Some(agreed), _, _) => agreed.srtp.iter().map(offered_again).collect(),
            (None, _, Some(keys)) => keys.offer(),
        }
    }

    /// As before; at first the one that says no more than the policy. `Optional` is plain RTP with keys beside it: whoever does
    /// not know them answers without.
    fn offered_proto(&self) -> String {
        let before = self.state.lines.get(self.state.audio);
        match (before, self.policy.srtp) {
            (Some(line), _) => line.proto.clone(),
            (None, SrtpPolicy::Required) => "RTP/SAVP".into(),
            (None, SrtpPolicy::Off | SrtpPolicy::Optional) => "RTP/AVP".into(),
        }
    }

    fn note(&mut self, agreed: AgreedMedia) -> Option<AgreedMedia> {
        let changed = self.state.agreed.as_ref() != Some(&agreed);
        self.state.agreed = Some(agreed.clone());
        changed.then_some(agreed)
    }

    /// The agreed codec and telephone-event under the numbers of our description.
    fn agreed_formats(&self, agreed: &AgreedMedia) -> Vec<(CodecCapability, u8)> {
        let codec = &agreed.codec;
        let fmtp = self
            .policy
            .codecs
            .iter()
            .find(|ours| ours.name == codec.name && ours.clock_rate_hz == codec.clock_rate_hz)
            .and_then(|ours| ours.fmtp.clone());
        let capability = CodecCapability {
            name: codec.name.clone(),
            payload_type: codec.receive_payload_type,
            clock_rate_hz: codec.clock_rate_hz,
            channels: codec.channels,
            fmtp,
        };
        let event = agreed.telephone_event.map(|event| {
            let number = event.receive_payload_type;
            let capability = event_capability(number, event.clock_rate_hz, event.events);
            (capability, number)
        });
        let noise = agreed.comfort_noise.map(|number| {
            let capability = noise_capability(number, codec.clock_rate_hz);
            (capability, number)
        });
        [(capability, codec.receive_payload_type)]
            .into_iter()
            .chain(event)
            .chain(noise)
            .collect()
    }

    fn our_line(&self, line: &Line<'_>, address: MediaAddress) -> Media {
        let mut media = Media {
            kind: "audio".into(),
            port: address.port,
            proto: line.proto.to_owned(),
            formats: line.formats.iter().map(|(_, n)| n.to_string()).collect(),
            connection: None,
            attributes: Vec::new(),
        };
        for (codec, number) in line.formats {
            let channels = match codec.channels {
                0 | 1 => String::new(),
                more => format!("/{more}"),
            };
            let map = format!("{number} {}/{}{channels}", codec.name, codec.clock_rate_hz);
            media.add("rtpmap", Some(map));
            if let Some(fmtp) = &codec.fmtp {
                media.add("fmtp", Some(format!("{number} {fmtp}")));
            }
        }
        for line in line.crypto {
            media.add("crypto", Some(line.to_text()));
        }
        media.add("ptime", Some(self.policy.ptime_ms.to_string()));
        for (name, value) in line.rtcp.attributes(address.port) {
            media.add(name, value);
        }
        media.add(line.direction.name(), None);
        media
    }

    /// Our description; its version goes up exactly when it differs from the last one (RFC 3264 §8).
    fn describe(&mut self, address: MediaAddress) -> Bytes {
        let mut sdp = Sdp {
            origin: String::new(),
            connection: Some(address.ip.to_string()),
            attributes: Vec::new(),
            media: self.state.lines.clone(),
        };
        let content = sdp.to_text();
        if self.state.last.as_ref() != Some(&content) {
            self.state.version += 1;
            self.state.last = Some(content);
        }
        let family = if address.ip.is_ipv6() { "IP6" } else { "IP4" };
        sdp.origin = format!(
            "- {} {} IN {family} {}",
            self.state.session_id, self.state.version, address.ip
        );
        Bytes::from(sdp.to_text())
    }
}

struct Line<'a> {
    proto: &'a str,
    formats: &'a [(CodecCapability, u8)],
    direction: Direction,
    rtcp: Rtcp,
    crypto: &'a [CryptoLine],
}

/// What a description promises of RTCP.
#[derive(Clone, Copy)]
enum Rtcp {
    /// Nothing: nobody listens.
    Unserved,
    /// On the next port (RFC 3605).
    Apart,
    /// With RTP (RFC 5761).
    Muxed,
    /// With RTP if the far side can, else on the next port.
    Either,
}

impl Rtcp {
    /// Both at first, later what was agreed.
    const fn offered(policy: &MediaPolicy, agreed: Option<&AgreedMedia>) -> Self {
        match (policy.rtcp_mux, agreed) {
            (true, None) => Self::Either,
            (_, Some(agreed)) => Self::answered(policy, agreed),
            (false, None) => Self::Unserved,
        }
    }

    const fn answered(policy: &MediaPolicy, agreed: &AgreedMedia) -> Self {
        match (policy.rtcp_mux, agreed.rtcp_mux) {
            (true, true) => Self::Muxed,
            (true, false) => Self::Apart,
            (false, _) => Self::Unserved,
        }
    }

    fn attributes(self, rtp_port: u16) -> impl Iterator<Item = (&'static str, Option<String>)> {
        let apart = matches!(self, Self::Apart | Self::Either);
        let muxed = matches!(self, Self::Muxed | Self::Either);
        let next = rtp_port.checked_add(1).filter(|_| apart);
        let port = next.map(|port| ("rtcp", Some(port.to_string())));
        let mux = muxed.then_some(("rtcp-mux", None));
        port.into_iter().chain(mux)
    }
}

fn agreed_srtp(ours: &CryptoLine, theirs: &CryptoLine) -> AgreedSrtp {
    AgreedSrtp {
        suite: ours.suite,
        send: ours.key.clone(),
        receive: theirs.key.clone(),
        receive_mki_len: theirs.mki_len,
    }
}

fn offered_again(agreed: &AgreedSrtp) -> CryptoLine {
    CryptoLine {
        tag: 1,
        suite: agreed.suite,
        key: agreed.send.clone(),
        mki_len: 0,
    }
}

/// RFC 3264 §6: a declined line keeps its place, kind, transport and formats, with port 0.
fn declined(media: &Media) -> Media {
    Media {
        kind: media.kind.clone(),
        port: 0,
        proto: media.proto.clone(),
        formats: media.formats.clone(),
        connection: None,
        attributes: Vec::new(),
    }
}
