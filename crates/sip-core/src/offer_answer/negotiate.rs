//! Reading the far side's audio line and finding the common codec.

use std::net::{IpAddr, SocketAddr};

use super::OfferAnswerError;
use super::capability::{
    AgreedCodec, AgreedEvent, AgreedMedia, CodecCapability, Direction, EventSet, MediaPolicy,
    Negotiation,
};
use super::crypto::{self, SrtpPolicy};
use crate::sdp::{Media, Sdp};

const EVENT: &str = "telephone-event";
const NOISE: &str = "CN";
/// RFC 3551 §6: comfort noise on the clock of telephones needs no rtpmap.
const STATIC_NOISE: u8 = 13;

/// A format of the far side's audio line.
#[derive(Clone, Debug)]
struct Format {
    payload_type: u8,
    name: String,
    clock_rate_hz: u32,
    channels: u8,
    fmtp: Option<String>,
}

/// The index of the audio line we take: of those that are not declined the first that can be encrypted, if we may; else the
/// first in plain RTP, if we may. A line that is encrypted by other means than `a=crypto` is none we can take.
pub(super) fn audio_line(sdp: &Sdp, srtp: SrtpPolicy) -> Result<usize, OfferAnswerError> {
    let audio = |media: &&Media| media.kind.eq_ignore_ascii_case("audio") && media.port != 0;
    let plain = |media: &Media| is_of(media, &PLAIN);
    let secure = |media: &Media| {
        (plain(media) || is_of(media, &SECURE)) && !crypto::lines_of(media).is_empty()
    };
    let first = |fits: &dyn Fn(&Media) -> bool| {
        sdp.media
            .iter()
            .position(|media| audio(&media) && fits(media))
    };
    let found = match srtp {
        SrtpPolicy::Off => first(&plain),
        SrtpPolicy::Optional => first(&secure).or_else(|| first(&plain)),
        SrtpPolicy::Required => first(&secure),
    };
    found.ok_or_else(|| match (srtp, sdp.media.iter().any(|m| audio(&m))) {
        (SrtpPolicy::Required, true) => OfferAnswerError::NoEncryption,
        _ => OfferAnswerError::NoAudio,
    })
}

const PLAIN: [&str; 2] = ["RTP/AVP", "RTP/AVPF"];
const SECURE: [&str; 2] = ["RTP/SAVP", "RTP/SAVPF"];

fn is_of(media: &Media, protos: &[&str]) -> bool {
    protos
        .iter()
        .any(|proto| media.proto.eq_ignore_ascii_case(proto))
}

/// Whether the line promises encryption by its transport.
pub(super) fn is_secure(media: &Media) -> bool {
    is_of(media, &SECURE)
}

/// What an audio line of the far side and our policy have in common. `receive` maps a capability to the payload type in our
/// description; `None` takes over the far side's numbers (RFC 3264 §6.1).
pub(super) fn agree(
    sdp: &Sdp,
    media: &Media,
    policy: &MediaPolicy,
    ours: Option<&[(CodecCapability, u8)]>,
    wish: Direction,
) -> Result<AgreedMedia, OfferAnswerError> {
    let formats = formats_of(media, &policy.codecs);
    let (format, capability) =
        common_codec(&formats, policy).ok_or(OfferAnswerError::NoCommonCodec)?;
    let receive = |found: &Format, capability: &CodecCapability| match ours {
        None => Some(found.payload_type),
        Some(ours) => ours
            .iter()
            .find(|(known, _)| same(known, capability))
            .map(|(_, payload_type)| *payload_type),
    };
    let codec = AgreedCodec {
        name: capability.name.clone(),
        clock_rate_hz: capability.clock_rate_hz,
        channels: capability.channels,
        send_payload_type: format.payload_type,
        receive_payload_type: receive(format, capability)
            .ok_or(OfferAnswerError::Mismatch("a codec we did not offer"))?,
        fmtp: format.fmtp.clone(),
    };
    let telephone_event = policy
        .telephone_event
        .and_then(|_| event_of(&formats, codec.clock_rate_hz))
        .and_then(|found| {
            let receive_payload_type = match ours {
                None => found.payload_type,
                Some(ours) => event_number(ours, found.clock_rate_hz)?,
            };
            Some(AgreedEvent {
                send_payload_type: found.payload_type,
                receive_payload_type,
                clock_rate_hz: found.clock_rate_hz,
                events: EventSet::of(found.fmtp.as_deref()).within(EventSet::OURS),
            })
        });
    let noise = |format: &&Format| {
        format.name.eq_ignore_ascii_case(NOISE) && format.clock_rate_hz == codec.clock_rate_hz
    };
    let comfort_noise = formats.iter().find(noise).map(|found| found.payload_type);
    let mut agreed = with_transport(sdp, media, policy, wish, codec, telephone_event);
    agreed.comfort_noise = comfort_noise.filter(|_| ours.is_none());
    Ok(agreed)
}

fn with_transport(
    sdp: &Sdp,
    media: &Media,
    policy: &MediaPolicy,
    wish: Direction,
    codec: AgreedCodec,
    telephone_event: Option<AgreedEvent>,
) -> AgreedMedia {
    let host = media.connection.as_ref().or(sdp.connection.as_ref());
    let remote_host = host.cloned().unwrap_or_default();
    let ip = remote_host.parse::<IpAddr>().ok();
    let is_null = ip.is_some_and(|ip| ip.is_unspecified());
    let offered = direction_of(sdp, media);
    let reachable = Direction::of(true, !is_null);
    let direction = offered.within(reachable).reversed().within(wish);
    let rtcp_mux = policy.rtcp_mux && media.attribute("rtcp-mux").is_some();
    let ip = ip.filter(|ip| !ip.is_unspecified());
    AgreedMedia {
        remote: ip.map(|ip| SocketAddr::new(ip, media.port)),
        remote_rtcp: ip.filter(|_| !rtcp_mux).and_then(|ip| rtcp_of(media, ip)),
        remote_host,
        remote_port: media.port,
        codec,
        telephone_event,
        comfort_noise: None,
        direction,
        on_hold: is_null || !offered.receives(),
        ptime_ms: ptime_of(media, policy.ptime_ms),
        remote_ptime_ms: media.attribute("ptime").and_then(milliseconds),
        rtcp_mux,
        voip_metrics: asks_for_metrics(sdp, media),
        srtp: None,
    }
}

/// The line's direction, the session's, or the default (RFC 3264 §5.1).
fn direction_of(sdp: &Sdp, media: &Media) -> Direction {
    let read = |has: &dyn Fn(&str) -> bool| {
        Direction::ALL
            .into_iter()
            .find(|direction| has(direction.name()))
    };
    read(&|name| media.attribute(name).is_some())
        .or_else(|| read(&|name| sdp.attribute(name).is_some()))
        .unwrap_or_default()
}

/// RFC 3605 `a=rtcp:port [IN IP4 address]`, else the port after RTP's.
fn rtcp_of(media: &Media, ip: IpAddr) -> Option<SocketAddr> {
    let Some(value) = media.attribute("rtcp") else {
        return media
            .port
            .checked_add(1)
            .map(|port| SocketAddr::new(ip, port));
    };
    let mut fields = value.split_whitespace();
    let port = fields.next()?.parse().ok()?;
    let ip = fields.nth(2).and_then(|ip| ip.parse().ok()).unwrap_or(ip);
    Some(SocketAddr::new(ip, port))
}

/// RFC 3611 §5.1: `a=rtcp-xr:… voip-metrics …` asks whoever reads it to send them.
fn asks_for_metrics(sdp: &Sdp, media: &Media) -> bool {
    let wanted = media.attribute("rtcp-xr").or(sdp.attribute("rtcp-xr"));
    let mut formats = wanted.unwrap_or_default().split_whitespace();
    formats.any(|format| format.eq_ignore_ascii_case("voip-metrics"))
}

fn ptime_of(media: &Media, ours: u16) -> u16 {
    let most = media.attribute("maxptime").and_then(milliseconds);
    most.filter(|most| *most >= 10)
        .map_or(ours, |most| ours.min(most))
}

fn milliseconds(text: &str) -> Option<u16> {
    text.trim().parse::<u16>().ok().filter(|ms| *ms > 0)
}

/// The formats in order. One without rtpmap gets its meaning from our capabilities' static numbers (RFC 3551 §6).
fn formats_of(media: &Media, codecs: &[CodecCapability]) -> Vec<Format> {
    media
        .formats
        .iter()
        .filter_map(|format| format.parse::<u8>().ok())
        .filter(|payload_type| *payload_type < 128)
        .filter_map(|payload_type| {
            let fmtp = parameter(media, "fmtp", payload_type).map(str::to_owned);
            match parameter(media, "rtpmap", payload_type).and_then(read_rtpmap) {
                Some((name, clock_rate_hz, channels)) => Some(Format {
                    payload_type,
                    name,
                    clock_rate_hz,
                    channels,
                    fmtp,
                }),
                None if payload_type == STATIC_NOISE => Some(Format {
                    payload_type,
                    name: NOISE.into(),
                    clock_rate_hz: 8_000,
                    channels: 1,
                    fmtp: None,
                }),
                None => codecs
                    .iter()
                    .find(|codec| codec.payload_type == payload_type && payload_type < 96)
                    .map(|codec| Format {
                        payload_type,
                        name: codec.name.clone(),
                        clock_rate_hz: codec.clock_rate_hz,
                        channels: codec.channels,
                        fmtp,
                    }),
            }
        })
        .collect()
}

/// The rest of `a=key:payload-type rest`.
fn parameter<'a>(media: &'a Media, key: &str, payload_type: u8) -> Option<&'a str> {
    media
        .attributes
        .iter()
        .filter(|attribute| attribute.key.eq_ignore_ascii_case(key))
        .filter_map(|attribute| attribute.value.as_deref()?.split_once(char::is_whitespace))
        .find(|(number, _)| number.parse() == Ok(payload_type))
        .map(|(_, rest)| rest.trim())
}

/// `name/clock[/channels]`.
fn read_rtpmap(text: &str) -> Option<(String, u32, u8)> {
    let mut parts = text.split('/');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let clock = parts.next()?.trim().parse().ok().filter(|hz| *hz > 0)?;
    let channels = match parts.next() {
        Some(channels) => channels.trim().parse().ok()?,
        None => 1,
    };
    Some((name.to_owned(), clock, channels))
}

fn common_codec<'a>(
    formats: &'a [Format],
    policy: &'a MediaPolicy,
) -> Option<(&'a Format, &'a CodecCapability)> {
    let fits = |format: &Format, codec: &CodecCapability| {
        format.name.eq_ignore_ascii_case(&codec.name)
            && format.clock_rate_hz == codec.clock_rate_hz
            && format.channels == codec.channels
    };
    match policy.negotiation {
        Negotiation::Offerer => formats.iter().find_map(|format| {
            let codec = policy.codecs.iter().find(|codec| fits(format, codec))?;
            Some((format, codec))
        }),
        Negotiation::Local => policy.codecs.iter().find_map(|codec| {
            let format = formats.iter().find(|format| fits(format, codec))?;
            Some((format, codec))
        }),
    }
}

fn same(one: &CodecCapability, other: &CodecCapability) -> bool {
    one.name.eq_ignore_ascii_case(&other.name)
        && one.clock_rate_hz == other.clock_rate_hz
        && one.channels == other.channels
}

/// telephone-event at the codec's clock rate, else at any (RFC 4733 §2.1: the same clock avoids jumps).
fn event_of(formats: &[Format], clock_rate_hz: u32) -> Option<&Format> {
    let events = || {
        formats
            .iter()
            .filter(|format| format.name.eq_ignore_ascii_case(EVENT))
    };
    events()
        .find(|format| format.clock_rate_hz == clock_rate_hz)
        .or_else(|| events().next())
}

fn event_number(ours: &[(CodecCapability, u8)], clock_rate_hz: u32) -> Option<u8> {
    ours.iter()
        .find(|(codec, _)| codec.name == EVENT && codec.clock_rate_hz == clock_rate_hz)
        .map(|(_, payload_type)| *payload_type)
}

/// Everything we offer with its payload type: the codecs, then telephone-event once for each clock rate,
/// each under a number nobody else has.
pub(super) fn offered_formats(policy: &MediaPolicy) -> Vec<(CodecCapability, u8)> {
    let mut offered: Vec<(CodecCapability, u8)> = policy
        .codecs
        .iter()
        .map(|codec| (codec.clone(), codec.payload_type))
        .collect();
    let Some(first) = policy.telephone_event else {
        return offered;
    };
    let mut rates: Vec<u32> = policy
        .codecs
        .iter()
        .map(|codec| codec.clock_rate_hz)
        .collect();
    rates.sort_unstable();
    rates.dedup();
    for clock_rate_hz in rates {
        let free = (first..=127)
            .chain(96..first)
            .find(|number| offered.iter().all(|(_, taken)| taken != number));
        if let Some(payload_type) = free {
            let events = EventSet::OURS;
            let event = event_capability(payload_type, clock_rate_hz, events);
            offered.push((event, payload_type));
        }
    }
    offered
}

/// telephone-event as a capability.
pub(super) fn event_capability(
    payload_type: u8,
    clock_rate_hz: u32,
    events: EventSet,
) -> CodecCapability {
    CodecCapability {
        name: EVENT.into(),
        payload_type,
        clock_rate_hz,
        channels: 1,
        fmtp: Some(events.to_string()),
    }
}

/// Comfort noise as a capability.
pub(super) fn noise_capability(payload_type: u8, clock_rate_hz: u32) -> CodecCapability {
    CodecCapability {
        name: NOISE.into(),
        payload_type,
        clock_rate_hz,
        channels: 1,
        fmtp: None,
    }
}
