//! The media threads with real sockets: one packet per tick, panics that stay inside their leg, recordings that are whole.
//!
//! Nothing sleeps: the legs' own packets, one every 20 ms, are the clock.

use media_core::codec::{self, Codec};
use media_core::leg::{
    Command, EventFormat, Fault, LegConfig, LegEventKind, Mode, Negotiated, RtcpPath, Timeouts,
};
use media_core::playout::{PlayoutEvent, Position, Tag};
use media_core::rtcp::{self, Report, ReportBlock};
use media_core::rtp::{self, Packet};
use media_core::srtp::{Keys, Srtp, Suite};
use media_core::tone::Tone;
use media_core::{Rate, frame};
use media_server::media::{
    LegRings, LegSeat, Media, MediaConfig, MediaError, RecordingSpec, SeatEvent, SeatOptions,
    WireSeed,
};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Each test has ports of its own.
fn media() -> Media {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 41_000 + NEXT.fetch_add(1, Ordering::Relaxed) * 100;
    Media::start(MediaConfig {
        ports: first..=first + 99,
        ..MediaConfig::default()
    })
    .expect("threads")
}

/// The far end: a socket that answers each packet with one of its own.
struct Phone {
    socket: UdpSocket,
    leg: SocketAddr,
    seq: u16,
    tone: Tone,
    law: Box<dyn Codec>,
    heard: Vec<(u16, u32, u32, Vec<i16>)>,
    /// The other end of an encrypted leg.
    srtp: Option<Srtp>,
}

impl Phone {
    fn new(seat: &LegSeat, socket: UdpSocket) -> Self {
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("timeout");
        let law = (codec::pcmu::SPEC.make)();
        Self {
            socket,
            leg: seat.local_addr(),
            seq: 0,
            tone: Tone::sine(440.0, -20.0),
            law,
            heard: Vec::new(),
            srtp: None,
        }
    }

    /// Hears one packet; reports, which come with RTP here, are no sound.
    fn hear(&mut self) {
        let mut buffer = [0; 2_048];
        let receive = |buffer: &mut [u8]| {
            let came = self.socket.recv_from(buffer);
            came.expect("the leg's packet comes").0
        };
        let mut len = receive(&mut buffer);
        while rtp::is_rtcp(&buffer[..len]) {
            len = receive(&mut buffer);
        }
        let packet = match &mut self.srtp {
            Some(srtp) => srtp.open(&buffer[..len]).expect("true SRTP"),
            None => &buffer[..len],
        };
        let packet = rtp::parse(packet).expect("RTP");
        let mut pcm = vec![0; 160];
        self.law
            .decode(packet.payload, &mut pcm)
            .expect("20 ms of PCMU");
        self.heard
            .push((packet.seq, packet.timestamp, packet.ssrc, pcm));
    }

    fn say(&mut self) {
        let frame = self.tone.next_frame(Rate::Hz8000);
        let mut payload = [0; 160];
        self.law
            .encode(frame.samples(), &mut payload)
            .expect("room");
        let seq = self.seq;
        self.seq += 1;
        let packet = Packet {
            payload_type: 0,
            marker: false,
            seq,
            timestamp: u32::from(seq) * 160,
            ssrc: 77,
            payload: &payload,
        };
        let mut bytes = [0; 172];
        rtp::build(&packet, &mut bytes).expect("room");
        let bytes = match &mut self.srtp {
            Some(srtp) => srtp.protect(&bytes).expect("sealed"),
            None => &bytes,
        };
        self.socket.send_to(bytes, self.leg).expect("sent");
    }

    fn talk(&mut self, ticks: usize) {
        for _ in 0..ticks {
            self.hear();
            self.say();
        }
    }

    fn last_level(&self, packets: usize) -> f32 {
        let pcm: Vec<i16> = self
            .heard
            .iter()
            .rev()
            .take(packets)
            .flat_map(|h| h.3.clone())
            .collect();
        frame::level_dbov(&pcm)
    }
}

fn config(mode: Mode, remote: SocketAddr) -> LegConfig {
    LegConfig {
        negotiated: Negotiated {
            codec: &codec::pcmu::SPEC,
            payload_type: 0,
            max_packet_ms: 20,
            receive_payload_type: 0,
            fmtp: None,
            also_receive: Vec::new(),
            telephone_event: Some(EventFormat::both(101)),
            comfort_noise: None,
            srtp: None,
            remote: Some(remote),
            rtcp: RtcpPath::Muxed,
            voip_metrics: false,
        },
        mode,
        ears: Some(Rate::Hz8000),
        timeouts: Timeouts::default(),
        reflex_armed: false,
        keys_in_band: false,
    }
}

fn leg(
    media: &Media,
    mode: Mode,
    recording: Option<RecordingSpec>,
) -> (LegSeat, LegRings, Phone, LegConfig) {
    encrypted_leg(media, mode, recording, None)
}

/// The keys of both ends: `send` is ours.
fn keys(send: u8, receive: u8) -> Keys {
    let key = |first| [first; 30];
    Keys::new(Suite::Aes128CmSha1Tag80, &key(send), &key(receive), 0).expect("keys")
}

fn encrypted_leg(
    media: &Media,
    mode: Mode,
    recording: Option<RecordingSpec>,
    srtp: Option<(u8, u8)>,
) -> (LegSeat, LegRings, Phone, LegConfig) {
    let mut seat = media
        .seat(
            None,
            WireSeed {
                ssrc: 5,
                seq: 65_530,
                timestamp: u32::MAX - 300,
            },
        )
        .expect("a port");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let mut config = config(mode, socket.local_addr().expect("bound"));
    config.negotiated.srtp = srtp.map(|(ours, theirs)| keys(ours, theirs));
    let rings = seat
        .seat(
            config.clone(),
            SeatOptions {
                ear_batch: 1,
                recording,
                ..SeatOptions::default()
            },
        )
        .expect("launched");
    let mut phone = Phone::new(&seat, socket);
    let other_end = |(ours, theirs)| Srtp::new(keys(theirs, ours)).expect("keys");
    phone.srtp = srtp.map(other_end);
    (seat, rings, phone, config)
}

/// The next eviction, other events aside.
async fn eviction(rings: &mut LegRings) -> (Position, String) {
    loop {
        if let SeatEvent::Evicted { position, reason } =
            rings.events.event().await.expect("the seat lives")
        {
            return (position, reason);
        }
    }
}

fn assert_unbroken(heard: &[(u16, u32, u32, Vec<i16>)]) {
    for pair in heard.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.wrapping_add(1), "sequence goes on");
        assert_eq!(pair[1].2, pair[0].2, "same SSRC");
    }
}

/// Ticks that the timestamps say were never sent. Only a media thread that stood still gives up ticks, and it counts them.
fn gaps(heard: &[(u16, u32, u32, Vec<i16>)]) -> u64 {
    let steps = heard
        .windows(2)
        .map(|pair| pair[1].1.wrapping_sub(pair[0].1));
    steps
        .map(|ticks| u64::from(ticks / 160).saturating_sub(1))
        .sum()
}

#[tokio::test]
async fn an_echo_comes_back_one_packet_per_tick_and_the_recogniser_hears_it_too() {
    let media = media();
    let (seat, mut rings, mut phone, _) = leg(&media, Mode::Echo, None);
    phone.talk(50);
    assert_unbroken(&phone.heard);
    assert!(gaps(&phone.heard) <= media.stats().skipped_ticks);
    assert!(
        (phone.last_level(10) + 20.0).abs() < 1.0,
        "{}",
        phone.last_level(10)
    );
    let mut frames = 0;
    let mut last = 0;
    while let Some(frame) = rings.ears.try_recv() {
        assert!(frame.heard && frame.tick >= last);
        (frames, last) = (frames + 1, frame.tick);
    }
    assert!(
        frames >= 30 && rings.ears.dropped() + frames >= 45,
        "{frames}"
    );
    assert!(matches!(
        rings.events.event().await,
        Some(SeatEvent::Leg(e)) if matches!(e.kind, LegEventKind::FirstPacket { .. })
    ));
    // A packet is out before its tick is counted.
    assert!(seat.tick() >= 49 && media.stats().lateness.ticks >= 49);
    assert_eq!(media.stats().legs, 1);
}

#[tokio::test]
async fn a_panic_in_parse_decode_or_playout_takes_out_its_leg_alone_and_the_seat_gets_another() {
    let media = media();
    let (_bystander_seat, _rings, mut bystander, _) = leg(&media, Mode::Echo, None);
    for fault in [
        Fault::PanicInParse,
        Fault::PanicInDecode,
        Fault::PanicInPlayout,
    ] {
        let (mut seat, mut rings, mut phone, config) = leg(&media, Mode::Agent, None);
        phone.talk(10);
        rings.voice.push(Tag(1), &[5_000; 4_000]);
        phone.talk(10);
        let before = seat.position();
        assert!(before.tag == Tag(1) && before.samples_sent > 0);
        rings.control.send(Command::Fault(fault)).expect("room");
        while !seat.evicted() {
            phone.say();
            bystander.talk(1);
        }
        let (position, reason) = eviction(&mut rings).await;
        assert!(reason.contains(&format!("{fault:?}")), "{reason}");
        assert_eq!(position, seat.position(), "the atomic stays true");
        assert!(position.samples_sent >= before.samples_sent && position.samples_sent < 4_000);
        seat.relaunch(config).expect("the seat survived");
        phone.talk(40);
        assert_unbroken(&phone.heard);
        let first = phone.heard[0].1;
        let last = phone.heard.last().expect("heard").1;
        let ticks = last.wrapping_sub(first) / 160 + 1;
        assert!(
            ticks as usize >= phone.heard.len(),
            "the timestamp makes good what was missed"
        );
        rings.voice.end(Tag(1));
        phone.talk(2);
        let ended = std::iter::from_fn(|| rings.events.try_event()).find_map(|event| match event {
            SeatEvent::Leg(e) => match e.kind {
                LegEventKind::Playout(PlayoutEvent::Finished { tag, samples_sent }) => {
                    Some((tag, samples_sent))
                }
                _ => None,
            },
            SeatEvent::Evicted { .. } => None,
        });
        let (tag, sent) = ended.expect("the utterance went on after the eviction and ended");
        assert_eq!(tag, Tag(1));
        assert!(
            (4_000 - 480..=4_000).contains(&sent),
            "at most the sound inside the machine is lost: {sent}"
        );
        assert!(
            seat.relaunch(self::config(Mode::Agent, seat.local_addr()))
                .is_err(),
            "nothing was evicted now"
        );
    }
    bystander.talk(5);
    assert_unbroken(&bystander.heard);
    assert!(
        gaps(&bystander.heard) <= media.stats().skipped_ticks,
        "no gap in anybody else's sound"
    );
    assert_eq!(media.stats().evictions, 3);
}

/// The first packet has the number 65,530: the rollover counter moves on before the machine breaks, and must not go back.
#[tokio::test]
async fn an_encrypted_stream_goes_on_when_its_machine_is_replaced() {
    let media = media();
    let (mut seat, mut rings, mut phone, config) =
        encrypted_leg(&media, Mode::Echo, None, Some((1, 2)));
    phone.talk(20);
    let fault = Command::Fault(Fault::PanicInPlayout);
    rings.control.send(fault).expect("room");
    eviction(&mut rings).await;
    seat.relaunch(config.clone()).expect("the seat survived");
    phone.talk(20);
    // A re-INVITE that says the same, then one with a new key of the far side's.
    let again = Command::Renegotiate(config.negotiated.clone());
    rings.control.send(again).expect("room");
    phone.talk(20);
    assert_unbroken(&phone.heard);
    assert!(phone.last_level(10) > -30.0, "the echo is heard");
    let mut negotiated = config.negotiated;
    negotiated.srtp = Some(keys(1, 3));
    let order = Command::Renegotiate(negotiated);
    rings.control.send(order).expect("room");
    let rekeyed = phone.srtp.as_mut().expect("encrypted");
    rekeyed.rekey(keys(3, 1)).expect("keys");
    phone.talk(40);
    assert_unbroken(&phone.heard);
    assert!(phone.last_level(10) > -30.0, "with the new key too");
    // What comes in clear is not heard.
    let before = seat.stats().jitter.received;
    let sealed = phone.srtp.take();
    phone.say();
    phone.say();
    phone.srtp = sealed;
    while seat.stats().not_authentic < 2 {
        phone.hear();
    }
    assert!(seat.stats().jitter.received <= before + 40);
}

#[tokio::test]
async fn a_recording_has_a_frame_of_both_sides_for_each_tick_and_is_valid_while_it_grows() {
    let media = media();
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("call.wav");
    let (done, report) = oneshot::channel();
    let spec = RecordingSpec {
        path: path.clone(),
        done: Some(done),
    };
    let (mut seat, mut rings, mut phone, config) = leg(&media, Mode::Agent, Some(spec));
    rings.voice.push(Tag(1), &[8_000; 8_000]);
    phone.talk(70);
    let growing = std::fs::read(&path).expect("file");
    let said = u32::from_le_bytes(growing[40..44].try_into().expect("four"));
    assert!(
        said > 0 && said as usize <= growing.len() - 44,
        "a killed process leaves this: {said} of {}",
        growing.len()
    );
    rings
        .control
        .send(Command::Fault(Fault::PanicInPlayout))
        .expect("room");
    eviction(&mut rings).await;
    phone.say();
    seat.relaunch(config).expect("relaunched");
    phone.talk(20);
    rings.control.stop_recording();
    let report = report.await.expect("closed");
    let bytes = std::fs::read(&path).expect("file");
    assert_eq!(report.error, None);
    assert_eq!(bytes.len() as u64, report.bytes);
    assert_eq!(
        u32::from_le_bytes(bytes[40..44].try_into().expect("four")) as usize,
        bytes.len() - 44
    );
    let ticks = report.duration_ms / 20;
    assert!(
        ticks >= 90 && ticks <= seat.tick(),
        "{ticks} ticks of {}",
        seat.tick()
    );
    let samples: Vec<i16> = bytes[44..]
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect();
    let left: Vec<i16> = samples.iter().step_by(2).copied().collect();
    let right: Vec<i16> = samples.iter().skip(1).step_by(2).copied().collect();
    assert!(
        (frame::level_dbov(&left[20 * 160..60 * 160]) + 20.0).abs() < 1.0,
        "the caller is left"
    );
    let begins = right.iter().position(|s| *s == 8_000);
    let begins = begins.expect("the agent speaks");
    assert!(
        right[begins..begins + 25 * 160].iter().all(|s| *s == 8_000),
        "the agent is right, sample for sample"
    );
    assert!(
        report.filled_ticks <= 3 + media.stats().skipped_ticks,
        "{report:?}"
    );
}

#[test]
fn a_recording_that_was_never_closed_counts_all_it_has_once_it_is_mended() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("torn.wav");
    let mut torn = media_core::recording::wav_header(Rate::Hz8000, 32).to_vec();
    // A second of both channels, of which the header knows a millisecond, and half a sample.
    torn.extend([7; 32_000 + 3]);
    std::fs::write(&path, torn).expect("file");
    assert_eq!(media_server::media::mend(&path).expect("mended"), 1_000);
    let mended = std::fs::read(&path).expect("file");
    let whole = media_core::recording::wav_header(Rate::Hz8000, 32_000);
    assert_eq!(mended[..44], whole);
    assert_eq!(mended.len(), 44 + 32_000);

    std::fs::write(&path, [0; 44]).expect("file");
    let refused = media_server::media::mend(&path).expect_err("no recording");
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn bridged_legs_hear_each_other() {
    let media = media();
    let (_seat_a, mut a, mut phone_a, _) = leg(&media, Mode::Mute, None);
    let (_seat_b, mut b, mut phone_b, _) = leg(&media, Mode::Mute, None);
    media_server::media::LegControl::bridge(&mut a.control, &mut b.control).expect("room");
    phone_b.tone = Tone::sine(440.0, -30.0);
    for _ in 0..50 {
        phone_a.talk(1);
        phone_b.talk(1);
    }
    assert!(
        (phone_a.last_level(10) + 30.0).abs() < 1.5,
        "{}",
        phone_a.last_level(10)
    );
    assert!(
        (phone_b.last_level(10) + 20.0).abs() < 1.5,
        "{}",
        phone_b.last_level(10)
    );
}

/// What a thread does for few legs: it wakes four times in 20 ms, not twenty.
#[tokio::test]
async fn few_legs_share_their_wake_ups() {
    let media = media();
    let mut parties: Vec<_> = (0..16).map(|_| leg(&media, Mode::Echo, None)).collect();
    let (began, before) = (media.now(), media.stats());
    for _ in 0..100 {
        for (_, _, phone, _) in &mut parties {
            phone.talk(1);
        }
    }
    let (after, passed) = (media.stats(), media.now() - began);
    let (wakes, ticks) = (
        after.wakes - before.wakes,
        after.lateness.ticks - before.lateness.ticks,
    );
    let (reads, empty) = (
        after.reads - before.reads,
        after.empty_reads - before.empty_reads,
    );
    println!("{passed:?}: {wakes} wake-ups, {ticks} ticks, {reads} reads, {empty} of them empty");
    assert!(ticks > 500, "{ticks}");
    assert!(u128::from(wakes) <= passed.as_millis() / 5 + 20, "{wakes}");
    media.shutdown();
}

#[tokio::test]
async fn in_a_room_of_twenty_two_everybody_hears_the_others_and_who_goes_is_not_heard() {
    let media = media();
    let mut parties: Vec<_> = (0..22).map(|_| leg(&media, Mode::Mute, None)).collect();
    for (at, (_, rings, phone, _)) in parties.iter_mut().enumerate() {
        // Two speak; of the others nobody says a word.
        phone.tone = match at {
            0 => Tone::sine(440.0, -20.0),
            1 => Tone::sine(1_000.0, -26.0),
            _ => Tone::sine(440.0, -96.0),
        };
        rings.control.enter("sales".into()).expect("room");
    }
    let talk = |parties: &mut Vec<(LegSeat, LegRings, Phone, LegConfig)>, ticks| {
        for _ in 0..ticks {
            for (_, _, phone, _) in &mut *parties {
                phone.talk(1);
            }
        }
    };
    // A machine that is held up fills holes for a moment: what counts is what is heard once it runs again.
    let hears = |parties: &mut Vec<(LegSeat, LegRings, Phone, LegConfig)>,
                 at: usize,
                 right: &dyn Fn(f32) -> bool| {
        for _ in 0..200 {
            if right(parties[at].2.last_level(10)) {
                return;
            }
            talk(parties, 5);
        }
        panic!("{at} hears {} dBov", parties[at].2.last_level(10));
    };
    let about = |expected: f32| move |level: f32| (level - expected).abs() < 1.0;
    talk(&mut parties, 40);
    hears(&mut parties, 0, &about(-26.0));
    hears(&mut parties, 1, &about(-20.0));
    for at in 2..22 {
        // -20 and -26 dBov together.
        hears(&mut parties, at, &about(-19.0));
    }
    // The first goes back to its agent; the second hangs up.
    parties[0]
        .1
        .control
        .send(Command::SetMode(Mode::Agent))
        .expect("room");
    talk(&mut parties, 20);
    hears(&mut parties, 2, &about(-26.0));
    let nothing = |level: f32| level < -90.0;
    hears(&mut parties, 0, &nothing);
    drop(parties.remove(1));
    talk(&mut parties, 20);
    hears(&mut parties, 2, &nothing);
    media.shutdown();
}

#[tokio::test]
async fn when_the_seat_goes_everybody_who_waits_learns_it_and_the_port_rests() {
    let media = media();
    let (mut seat, rings, mut phone, _) = leg(&media, Mode::Mute, None);
    let LegRings {
        mut events,
        mut ears,
        mut control,
        ..
    } = rings;
    phone.talk(3);
    seat.stop();
    while events.event().await.is_some() {}
    while ears.recv().await.is_some() {}
    assert!(control.send(Command::Pause).is_ok(), "harmless");
    drop(seat);
    let ports = media.stats().ports;
    assert_eq!((ports.leased, ports.resting), (0, 1));
}

#[tokio::test]
async fn running_out_of_ports_is_a_value_and_a_taken_port_is_passed_over() {
    // One for RTP, and one for RTCP.
    let taken = ["127.0.0.1:40902", "127.0.0.1:40905"];
    let taken = taken.map(|place| UdpSocket::bind(place).expect("free"));
    let media = Media::start(MediaConfig {
        ports: 40_900..=40_907,
        ..MediaConfig::default()
    })
    .expect("threads");
    let seed = WireSeed::random();
    let first = media.seat(None, seed).expect("40900");
    let second = media.seat(None, seed).expect("40906");
    assert_eq!(
        (first.local_addr().port(), second.local_addr().port()),
        (40_900, 40_906)
    );
    assert!(matches!(
        media.seat(None, seed),
        Err(MediaError::PortsExhausted {
            leased: 2,
            resting: 2
        })
    ));
    drop(taken);
}

#[tokio::test]
async fn shutting_down_closes_recordings_and_ends_receivers() {
    let media = media();
    let folder = tempfile::tempdir().expect("folder");
    let (done, report) = oneshot::channel();
    let spec = RecordingSpec {
        path: folder.path().join("call.wav"),
        done: Some(done),
    };
    let (_seat, mut rings, mut phone, _) = leg(&media, Mode::Echo, Some(spec));
    phone.talk(5);
    media.shutdown();
    while rings.events.event().await.is_some() {}
    assert!(report.await.expect("closed").duration_ms >= 80);
}

/// Both sockets of a phone that has RTCP on the port after RTP's.
fn pair() -> (UdpSocket, UdpSocket) {
    loop {
        let rtp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let mut next = rtp.local_addr().expect("bound");
        next.set_port(next.port().wrapping_add(1));
        if let Ok(rtcp) = UdpSocket::bind(next) {
            let patience = Some(Duration::from_secs(10));
            rtcp.set_read_timeout(patience).expect("timeout");
            return (rtp, rtcp);
        }
    }
}

fn receive_reports(socket: &UdpSocket) -> (Vec<Report>, SocketAddr) {
    let mut buffer = [0; 512];
    let (len, from) = socket.recv_from(&mut buffer).expect("a report comes");
    let reports = rtcp::parse(&buffer[..len]).map(|report| report.expect("whole"));
    (reports.collect(), from)
}

#[tokio::test]
async fn reports_go_from_the_port_after_rtp_and_are_taken_there_also_after_they_went_with_rtp() {
    let media = media();
    let (rtp, rtcp) = pair();
    let mut seat = media.seat(None, WireSeed::random()).expect("a port");
    let config = config(Mode::Echo, rtp.local_addr().expect("bound"));
    let rings = seat.seat(config.clone(), SeatOptions::default());
    let mut rings = rings.expect("launched");
    let mut beside = seat.local_addr();
    beside.set_port(beside.port() + 1);
    let free = UdpSocket::bind(beside).expect("nobody needs it while reports go with RTP");
    drop(free);

    let path = RtcpPath::Apart(Some(rtcp.local_addr().expect("bound")));
    let port = seat.renegotiated(path).expect("a port of its own");
    assert!(seat.renegotiated(path).is_none(), "once");
    rings.control.take_rtcp(port).expect("room");
    let negotiated = Negotiated {
        rtcp: path,
        ..config.negotiated
    };
    let command = Command::Renegotiate(negotiated);
    rings.control.send(command).expect("room");
    let mut phone = Phone::new(&seat, rtp);
    phone.talk(10);
    let (reports, from) = receive_reports(&rtcp);
    assert_eq!(from, beside);
    let [Report::Sender { ssrc, info, block }] = reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!(ssrc, phone.heard[0].2);
    assert_eq!(block.map(|block| block.ssrc), Some(77));
    let since_1900 = Duration::from_secs(2_208_988_800) + UNIX_EPOCH.elapsed().expect("later");
    let wall = Duration::from_secs(info.ntp >> 32);
    assert!(
        wall.abs_diff(since_1900) < Duration::from_secs(60),
        "{wall:?}"
    );

    let told = ReportBlock {
        ssrc,
        cumulative_lost: 3,
        last_sr: (info.ntp >> 16) as u32,
        ..ReportBlock::default()
    };
    let mut bytes = [0; 64];
    let block = Some(told);
    let len = rtcp::build(&Report::Receiver { ssrc: 77, block }, &mut bytes).expect("room");
    rtcp.send_to(&bytes[..len], beside).expect("sent");
    while seat.stats().remote_report != Some(told) {
        phone.talk(1);
    }
    assert!(seat.stats().round_trip_us.is_some());

    seat.stop();
    let (last, _) = receive_reports(&rtcp);
    assert!(
        matches!(last[..], [_, Report::Bye { ssrc: who }] if who == Some(ssrc)),
        "{last:?}"
    );
    while rings.events.event().await.is_some() {}
    UdpSocket::bind(beside).expect("given back");
}
