//! Every row of the codec table, and a leg on each: what is said comes out, at any packet length, whatever the rates.

use media_core::codec::{self, Codec, CodecSpec, Tuning, libopus::Opus};
use media_core::leg::{
    Command, EventFormat, Leg, LegConfig, Mode, Negotiated, RtcpPath, Timeouts, Wire,
};
use media_core::playout::Tag;
use media_core::rtp::{self, Packet};
use media_core::tone::Tone;
use media_core::{FRAME, Rate, VOICE_RATE, frame::level_dbov};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// A second of a tone that comes and goes.
fn speech(rate: Rate) -> Vec<i16> {
    let mut tone = Tone::new([300.0, 1_100.0], -16.0, 400, 100);
    (0..50)
        .flat_map(|_| tone.next_frame(rate).samples().to_vec())
        .collect()
}

/// How loud that is.
fn usual() -> f32 {
    level_dbov(&speech(Rate::Hz8000))
}

fn encode(codec: &mut dyn Codec, pcm: &[i16]) -> Vec<u8> {
    let mut payload = vec![0; 1_920];
    let len = codec.encode(pcm, &mut payload).expect("room");
    payload.truncate(len);
    payload
}

/// Noise in what comes out, relative to the sound, at the delay where it fits best.
fn noise_db(said: &[i16], heard: &[i16]) -> f32 {
    const MOST: usize = 400;
    let len = heard.len() - MOST;
    let at = |delay: usize| {
        let pairs = said[..len].iter().zip(&heard[delay..]);
        let wrong: Vec<i16> = pairs.map(|(a, b)| a.saturating_sub(*b)).collect();
        level_dbov(&wrong) - level_dbov(&said[..len])
    };
    (0..MOST).map(at).fold(f32::MAX, f32::min)
}

#[test]
fn each_row_can_be_offered_beside_all_others() {
    let numbers: BTreeSet<u8> = codec::ALL.iter().map(|spec| spec.offered_pt).collect();
    assert_eq!(numbers.len(), codec::ALL.len(), "payload types are unique");
    for spec in codec::ALL {
        let static_or_dynamic = spec.static_pt.unwrap_or(spec.offered_pt);
        assert_eq!(static_or_dynamic, spec.offered_pt, "{}", spec.name);
        assert_eq!(spec.static_pt.is_none(), spec.offered_pt >= 96);
        assert!(codec::by_name(&spec.name.to_lowercase()).is_some());
    }
    let names: Vec<&str> = codec::ALL.iter().map(|spec| spec.name).collect();
    assert_eq!(names, ["PCMU", "PCMA", "G722", "opus", "L16"]);
}

#[test]
fn each_row_gives_back_what_it_takes_at_every_packet_length() {
    for spec in codec::ALL {
        for ms in [10, 20, 30, 40, 60] {
            // Opus knows no frame of 30 ms from one call; its packets of that length come from others.
            if spec.name == "opus" && ms == 30 {
                continue;
            }
            let said = speech(spec.rate);
            let (mut near, mut far) = ((spec.make)(), (spec.make)());
            let mut heard = Vec::new();
            let mut pcm = vec![0; spec.rate.samples(100)];
            for packet in said.chunks_exact(spec.rate.samples(ms)) {
                let payload = encode(&mut *near, packet);
                let samples = far.decode(&payload, &mut pcm).expect("sound");
                assert_eq!(samples, packet.len(), "{} at {ms} ms", spec.name);
                heard.extend_from_slice(&pcm[..samples]);
            }
            let noise = noise_db(&said, &heard);
            let most = if spec.name == "opus" { -6.0 } else { -18.0 };
            assert!(noise < most, "{} at {ms} ms: {noise} dB", spec.name);
        }
    }
}

#[test]
fn no_payload_breaks_a_row() {
    let mut seed = 0x1234_5678_9abc_def1_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for spec in codec::ALL {
        let mut codec = (spec.make)();
        let mut pcm = vec![0; spec.rate.samples(100)];
        for _ in 0..20_000 {
            let payload: Vec<u8> = (0..random() % 300).map(|_| random() as u8).collect();
            if random() % 4 == 0 {
                let mut lost = [0; 320];
                let _ = codec.recover(&payload, &mut lost);
            }
            if let Ok(samples) = codec.decode(&payload, &mut pcm) {
                assert!(samples <= pcm.len());
            }
        }
    }
}

#[test]
fn opus_runs_at_each_rate_and_follows_what_the_far_side_wants() {
    for (hz, frame) in [(8_000, 160), (16_000, 320), (48_000, 960)] {
        let (mut near, mut far) = (Opus::at(hz), Opus::at(hz));
        let mut pcm = vec![0; frame * 3];
        let said: Vec<i16> = (0..frame * 50)
            .map(|n| {
                let angle = n as f32 * 440.0 / hz as f32 * std::f32::consts::TAU;
                (angle.sin() * 6_000.0) as i16
            })
            .collect();
        let mut last = 0;
        for packet in said.chunks_exact(frame) {
            let payload = encode(&mut near, packet);
            last = far.decode(&payload, &mut pcm).expect("sound");
        }
        assert_eq!(last, frame, "{hz} Hz");
        let level = level_dbov(&pcm[..frame]);
        assert!((level - level_dbov(&said)).abs() < 3.0, "{hz} Hz: {level}");
    }
    let bytes = |fmtp: &str| -> usize {
        let mut codec = Opus::at(16_000);
        codec.heed(fmtp);
        let said = speech(Rate::Hz16000);
        let packets = said.chunks_exact(320);
        packets.map(|pcm| encode(&mut codec, pcm).len()).sum()
    };
    let usual = bytes("useinbandfec=1; stereo=0");
    assert!(bytes("maxaveragebitrate=8000") * 2 < usual, "{usual}");
    assert!((1_500..5_000).contains(&usual), "{usual} bytes a second");
}

/// RFC 7587 §3.1.1, §6.1: nothing is coded that the far side cannot play. The packet says so itself (RFC 6716 §3.1).
#[test]
fn opus_codes_no_more_than_the_far_side_plays() {
    let band = |fmtp: &str| {
        let mut codec = Opus::at(16_000);
        codec.heed(fmtp);
        let said = speech(Rate::Hz16000);
        let packets = said.chunks_exact(320);
        let coded = packets.map(|pcm| encode(&mut codec, pcm)[0] >> 3);
        match coded.last() {
            Some(0..=3) => "narrow",
            Some(4..=7) => "medium",
            Some(8..=11) => "wide",
            other => panic!("{fmtp}: configuration {other:?}"),
        }
    };
    for (fmtp, expected) in [
        ("maxplaybackrate=8000", "narrow"),
        ("maxplaybackrate=12000; stereo=1", "medium"),
        ("maxplaybackrate=16000", "wide"),
        ("maxplaybackrate=48000", "wide"),
        ("maxplaybackrate=loud", "wide"),
        ("", "wide"),
    ] {
        assert_eq!(band(fmtp), expected, "{fmtp}");
    }
}

/// Silence is hardly sent at all when the far side wants it so.
#[test]
fn opus_saves_silence_when_it_may() {
    let bytes = |fmtp: &str| -> usize {
        let mut codec = Opus::at(16_000);
        codec.heed(fmtp);
        let silence = [0; 320];
        (0..100).map(|_| encode(&mut codec, &silence).len()).sum()
    };
    assert!(bytes("usedtx=1") * 2 < bytes(""), "{}", bytes("usedtx=1"));
}

fn negotiated(spec: &'static CodecSpec) -> Negotiated {
    Negotiated {
        codec: spec,
        payload_type: spec.offered_pt,
        max_packet_ms: 20,
        receive_payload_type: spec.offered_pt,
        fmtp: Some("useinbandfec=1".into()),
        also_receive: Vec::new(),
        telephone_event: Some(EventFormat {
            send: 102,
            receive: 102,
            clock_hz: spec.rtp_clock,
        }),
        comfort_noise: Some(13),
        srtp: None,
        remote: None,
        rtcp: RtcpPath::Muxed,
        voip_metrics: false,
    }
}

fn leg(spec: &'static CodecSpec, mode: Mode) -> Leg {
    let config = LegConfig {
        negotiated: negotiated(spec),
        mode,
        ears: Some(Rate::Hz16000),
        timeouts: Timeouts::default(),
        reflex_armed: false,
        keys_in_band: false,
    };
    Leg::new(config, Wire::default(), Duration::ZERO)
}

/// The far end of a leg, with a codec of its own.
struct Peer {
    spec: &'static CodecSpec,
    codec: Box<dyn Codec>,
    seq: u16,
    timestamp: u32,
    heard: Vec<i16>,
}

impl Peer {
    fn new(spec: &'static CodecSpec) -> Self {
        let mut codec = (spec.make)();
        codec.heed("useinbandfec=1");
        Self {
            spec,
            codec,
            seq: 0,
            timestamp: 0,
            heard: Vec::new(),
        }
    }

    fn packet(&mut self, pcm: &[i16]) -> Vec<u8> {
        let payload = encode(&mut *self.codec, pcm);
        let mut bytes = vec![0; payload.len() + 12];
        let packet = Packet {
            payload_type: self.spec.offered_pt,
            marker: false,
            seq: self.seq,
            timestamp: self.timestamp,
            ssrc: 9,
            payload: &payload,
        };
        rtp::build(&packet, &mut bytes).expect("room");
        self.seq = self.seq.wrapping_add(1);
        let ticks = pcm.len() as u64 * u64::from(self.spec.rtp_clock);
        self.timestamp += (ticks / u64::from(self.spec.rate.hz())) as u32;
        bytes
    }

    fn hear(&mut self, packet: &[u8]) {
        let packet = rtp::parse(packet).expect("RTP");
        assert_eq!(packet.payload_type, self.spec.offered_pt);
        let mut pcm = vec![0; self.spec.rate.samples(100)];
        let samples = self
            .codec
            .decode(packet.payload, &mut pcm)
            .expect("its codec");
        self.heard.extend_from_slice(&pcm[..samples]);
    }
}

fn source() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4_000))
}

/// What the leg's recogniser gets, and what the peer hears of the agent, in ten seconds.
fn talk(spec: &'static CodecSpec, packet_ms: u64) -> (Vec<i16>, Vec<i16>) {
    let (mut leg, mut peer) = (leg(spec, Mode::Agent), Peer::new(spec));
    let mut ears = Vec::new();
    let said = speech(spec.rate);
    let voice = speech(VOICE_RATE);
    let mut packets = said.chunks_exact(spec.rate.samples(packet_ms)).cycle();
    let mut clock = 0;
    for tick in 0..200_u64 {
        let now = FRAME * tick as u32;
        while clock <= tick * 20 {
            let packet = peer.packet(packets.next().expect("endless"));
            leg.on_packet(now, source(), &packet);
            clock += packet_ms;
        }
        while let Some(ear) = leg.poll_ear(now) {
            assert_eq!(ear.frame.rate(), Rate::Hz16000, "wide for the recogniser");
            ears.extend_from_slice(ear.frame.samples());
        }
        let at = (tick as usize % 50) * 160;
        leg.playout().push(Tag(1), &voice[at..at + 160]);
        let sent = leg.tick(now);
        assert_eq!(sent.agent.rate(), spec.rate);
        peer.hear(sent.packet);
    }
    assert_eq!(
        leg.position().samples_sent,
        200 * 160,
        "at the voice's rate"
    );
    assert_eq!(leg.stats().malformed + leg.stats().foreign_type, 0);
    (ears, peer.heard)
}

#[test]
fn a_leg_on_each_codec_hears_and_speaks_at_every_packet_length() {
    for spec in codec::ALL {
        for ms in [10, 20, 40, 60] {
            let (ears, heard) = talk(spec, ms);
            let level = level_dbov(&ears[16_000..]);
            assert!(
                (level - usual()).abs() < 1.5,
                "{} {ms} ms: {level}",
                spec.name
            );
            let level = level_dbov(&heard[spec.rate.samples(1_000)..]);
            assert!(
                (level - usual()).abs() < 1.5,
                "{} {ms} ms: {level}",
                spec.name
            );
        }
    }
}

/// RFC 4733 §2.1: keys go out on the clock of the codec.
#[test]
fn keys_are_told_on_the_codecs_clock() {
    for spec in codec::ALL {
        let mut leg = leg(spec, Mode::Mute);
        let digits = media_core::dtmf::Digits::parse("5").expect("a key");
        leg.handle(Duration::ZERO, Command::SendDigits(digits));
        let mut durations = Vec::new();
        for tick in 0..12 {
            let sent = leg.tick(FRAME * tick);
            let packet = rtp::parse(sent.packet).expect("RTP");
            if packet.payload_type == 102 {
                durations.push(u16::from_be_bytes([packet.payload[2], packet.payload[3]]));
            }
        }
        let ticks = spec.ticks_per_frame() as u16;
        let expected = [1, 2, 3, 4, 5, 5, 5].map(|n| n * ticks);
        assert_eq!(durations, expected, "{}", spec.name);
    }
}

/// Some peers offer events at 8 kHz only, whatever the codec's clock.
#[test]
fn keys_agreed_on_another_clock_last_as_long() {
    let spec = &codec::libopus::SPEC;
    let mut config = negotiated(spec);
    config.telephone_event = Some(EventFormat::both(101));
    let mut leg = leg(spec, Mode::Mute);
    leg.handle(Duration::ZERO, Command::Renegotiate(config));
    let mut leg2 = leg;
    let digits = media_core::dtmf::Digits::parse("5").expect("a key");
    leg2.handle(Duration::ZERO, Command::SendDigits(digits));
    let sent = leg2.tick(FRAME).packet.to_vec();
    let packet = rtp::parse(&sent).expect("RTP");
    assert_eq!(packet.payload_type, 101);
    assert_eq!(packet.payload[2..], 160_u16.to_be_bytes());
}

/// Opus sends the last packet once more in the next when the line loses some: what was lost is heard.
#[test]
fn what_opus_lost_is_made_up_from_the_next_packet() {
    let spec = &codec::libopus::SPEC;
    let run = |fec: bool| {
        let (mut leg, mut peer) = (leg(spec, Mode::Mute), Peer::new(spec));
        let loss_percent = if fec { 20 } else { 0 };
        peer.codec.tune(Tuning {
            loss_percent,
            ..Tuning::default()
        });
        let said = speech(spec.rate);
        let mut ears = Vec::new();
        for (n, pcm) in said.chunks_exact(320).cycle().take(300).enumerate() {
            let now = FRAME * n as u32;
            let packet = peer.packet(pcm);
            if n % 5 != 4 {
                leg.on_packet(now, source(), &packet);
            }
            while let Some(ear) = leg.poll_ear(now) {
                ears.extend_from_slice(ear.frame.samples());
            }
            leg.tick(now);
        }
        let jitter = leg.stats().jitter;
        assert!(jitter.recovered >= 50, "{jitter:?}");
        level_dbov(&ears[16_000..])
    };
    // Both make something up; with redundancy it is what was said.
    let (with, without) = (run(true), run(false));
    println!("with {with} dB, without {without} dB");
    assert!((with - usual()).abs() < 1.0, "{with} dB");
}

/// A re-INVITE to a codec of another rate and clock: the leg, its recording and its recogniser notice nothing.
#[test]
fn a_leg_keeps_its_rate_when_another_codec_is_agreed_on() {
    let pairs = [
        (&codec::pcmu::SPEC, &codec::libopus::SPEC),
        (&codec::g722::SPEC, &codec::pcma::SPEC),
        (&codec::libopus::SPEC, &codec::pcmu::SPEC),
        (&codec::pcmu::SPEC, &codec::g722::SPEC),
    ];
    for (first, second) in pairs {
        let mut leg = leg(first, Mode::Echo);
        let mut peer = Peer::new(first);
        for phase in [first, second] {
            if phase.name != first.name {
                let order = Command::Renegotiate(negotiated(phase));
                leg.handle(FRAME * 100, order);
                peer = Peer {
                    timestamp: peer.timestamp,
                    seq: peer.seq,
                    ..Peer::new(phase)
                };
            }
            let said = speech(phase.rate);
            let begin = if phase.name == first.name { 0 } else { 100 };
            for tick in begin..begin + 100_usize {
                let now = FRAME * tick as u32;
                let at = (tick % 50) * phase.rate.frame_len();
                let packet = peer.packet(&said[at..at + phase.rate.frame_len()]);
                leg.on_packet(now, source(), &packet);
                while leg.poll_ear(now).is_some() {}
                let sent = leg.tick(now);
                assert_eq!(sent.caller.rate(), first.rate);
                let sent = sent.packet.to_vec();
                peer.hear(&sent);
            }
            let level = level_dbov(&peer.heard[phase.rate.samples(1_000)..]);
            let story = format!("{} to {}: {level}", first.name, second.name);
            assert!((level - usual()).abs() < 1.5, "{story}");
        }
    }
}

/// RFC 3389: a far side that says "silence, at this level" is not dead air; its next word ends the noise.
#[test]
fn comfort_noise_is_heard_until_the_next_word() {
    let spec = &codec::pcmu::SPEC;
    let (mut leg, mut peer) = (leg(spec, Mode::Echo), Peer::new(spec));
    let said = speech(spec.rate);
    let mut heard = Vec::new();
    for tick in 0..150_usize {
        let now = FRAME * tick as u32;
        let at = (tick % 50) * 160;
        let mut packet = peer.packet(&said[at..at + 160]);
        if tick == 50 {
            packet[1] = 13;
            packet.truncate(12);
            packet.push(50);
        }
        if (50..100).contains(&tick) && tick != 50 {
            peer.seq -= 1;
        } else {
            leg.on_packet(now, source(), &packet);
        }
        heard.extend_from_slice(leg.tick(now).caller.samples());
    }
    let noise = level_dbov(&heard[70 * 160..95 * 160]);
    assert!((noise + 50.0).abs() < 1.0, "{noise} dBov");
    let word = level_dbov(&heard[110 * 160..]);
    assert!((word - usual()).abs() < 1.5, "{word} dBov");
    assert_eq!(leg.stats().jitter.lost, 0);
}

/// A far side whose `maxptime` is 10: each tick goes out in two packets, and nothing of the sound is lost between them.
#[test]
fn packets_of_ten_milliseconds_go_out_two_a_tick() {
    for spec in codec::ALL {
        let mut config = negotiated(spec);
        config.max_packet_ms = 10;
        let mut leg = leg(spec, Mode::Agent);
        leg.handle(Duration::ZERO, Command::Renegotiate(config));
        let (voice, mut peer) = (speech(VOICE_RATE), Peer::new(spec));
        let mut stamps = Vec::new();
        for tick in 0..100_u32 {
            let at = (tick as usize % 50) * 160;
            leg.playout().push(Tag(1), &voice[at..at + 160]);
            let sent = leg.tick(FRAME * tick);
            for packet in [sent.packet, sent.second_packet] {
                let read = rtp::parse(packet).expect("RTP");
                stamps.push((read.seq, read.timestamp));
                peer.hear(packet);
            }
        }
        let half = spec.ticks_per_frame() / 2;
        let expected = (0..200_u32).map(|n| (n as u16, n * half));
        assert!(stamps.into_iter().eq(expected), "{}", spec.name);
        assert_eq!(peer.heard.len(), spec.rate.samples(2_000), "{}", spec.name);
        let level = level_dbov(&peer.heard[spec.rate.samples(1_000)..]);
        assert!((level - usual()).abs() < 1.5, "{}: {level}", spec.name);
    }
}
