//! A call between two legs over a network that is written down packet by packet; loadtest/quality judges what is heard.
//!
//! ```text
//! two_legs CODEC SPEECH.wav LAW OUT.pcm [nobody-reports]
//!
//! SPEECH ► far leg ── LAW ──► our leg ─► OUT.pcm, for a codec at 16 kHz
//!                                 └ echo ──► far leg ─► OUT.pcm, for a codec at 8 kHz: coded twice, as through a switch
//!          ◄── RTCP both ways ──►
//! ```
//! A line of LAW is what the network does to that packet of the far leg's: its delay in microseconds, or −1 when it is lost.
//! Prints the figures of our leg as one line of JSON. Without reports nobody tells the far leg what is lost.

use media_core::leg::{Leg, LegConfig, LegStats, Mode, Negotiated, RtcpPath, Timeouts, Wire};
use media_core::{FRAME, Frame, Rate, codec};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Our leg ticks so much after the far one: in no step with the packets that come.
const PHASE: Duration = Duration::from_millis(7);
/// The way back is steady.
const WAY_BACK: Duration = Duration::from_millis(30);
/// 30 s after 1900: any wall clock will do, as long as it goes.
const NTP_AT_START: u64 = 30 << 32;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("two_legs: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let [name, speech, law, out, rest @ ..] = arguments else {
        return Err("usage: two_legs CODEC SPEECH.wav LAW OUT.pcm [nobody-reports]".into());
    };
    let spec = codec::by_name(name).ok_or(format!("no codec is called {name}"))?;
    let speech = read_wav(speech)?;
    let law = std::fs::read_to_string(law).map_err(|e| format!("{law}: {e}"))?;
    let law: Result<Vec<i64>, _> = law.lines().map(str::parse).collect();
    let law = law.map_err(|e| format!("the law: {e}"))?;
    let mut call = Call::new(spec, law, rest.is_empty());
    let heard = call.carry(&speech);
    let bytes: Vec<u8> = heard.iter().flat_map(|s| s.to_le_bytes()).collect();
    std::fs::write(out, bytes).map_err(|e| format!("{out}: {e}"))?;
    println!("{}", figures(&call.ours.stats()));
    Ok(())
}

fn figures(stats: &LegStats) -> String {
    let counters = stats.jitter;
    format!(
        "{{\"buffer_ms\":{},\"target_ms\":{},\"lost\":{},\"late\":{},\"concealed\":{},\"recovered\":{},\"mos\":{}}}",
        stats.mean_delay_ms,
        stats.target_ms,
        counters.lost,
        counters.late,
        counters.concealed,
        counters.recovered,
        f64::from(stats.mos_centi) / 100.0
    )
}

struct Call {
    rate: Rate,
    far: Leg,
    ours: Leg,
    /// By time of arrival, then in the order of sending.
    to_us: BTreeMap<(Duration, usize), Vec<u8>>,
    to_far: BTreeMap<(Duration, usize), Vec<u8>>,
    posted: usize,
    law: Vec<i64>,
    reports: bool,
}

fn address(of_ours: bool) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1 + u8::from(of_ours)], 4_000))
}

fn leg(spec: &'static codec::CodecSpec, of_ours: bool, mode: Mode) -> Leg {
    let payload_type = spec.offered_pt;
    let negotiated = Negotiated {
        codec: spec,
        payload_type,
        max_packet_ms: 20,
        receive_payload_type: payload_type,
        fmtp: spec.fmtp.map(str::to_owned),
        also_receive: Vec::new(),
        telephone_event: None,
        comfort_noise: None,
        srtp: None,
        remote: Some(address(!of_ours)),
        rtcp: RtcpPath::Muxed,
        voip_metrics: false,
    };
    let config = LegConfig {
        negotiated,
        mode,
        ears: of_ours.then_some(Rate::Hz16000),
        timeouts: Timeouts::default(),
        reflex_armed: false,
        keys_in_band: false,
    };
    let ssrc = 1 + u32::from(of_ours);
    let wire = Wire {
        ssrc,
        ..Wire::default()
    };
    Leg::new(config, wire, Duration::ZERO)
}

impl Call {
    fn new(spec: &'static codec::CodecSpec, law: Vec<i64>, reports: bool) -> Self {
        Self {
            rate: spec.rate,
            far: leg(spec, false, Mode::Bridge),
            ours: leg(spec, true, Mode::Echo),
            to_us: BTreeMap::new(),
            to_far: BTreeMap::new(),
            posted: 0,
            law,
            reports,
        }
    }

    /// The speech from end to end.
    fn carry(&mut self, speech: &[i16]) -> Vec<i16> {
        let mut heard = Vec::with_capacity(speech.len());
        for (n, pcm) in (0_u32..).zip(speech.chunks(self.rate.frame_len())) {
            let at_far = self.far_tick(FRAME * n, pcm);
            let at_ours = self.our_tick(FRAME * n + PHASE);
            let kept = match self.rate {
                Rate::Hz8000 => at_far,
                Rate::Hz16000 => at_ours,
            };
            heard.extend_from_slice(kept.samples());
        }
        heard
    }

    fn far_tick(&mut self, now: Duration, pcm: &[i16]) -> Frame {
        deliver(&mut self.far, &mut self.to_far, now, address(true));
        self.far.push_bridge(&Frame::from_samples(self.rate, pcm));
        let tick = self.far.tick(now);
        let (packet, caller, number) = (tick.packet.to_vec(), *tick.caller, tick.tick as usize);
        let delay = self.law.get(number).copied().unwrap_or(-1);
        if let Ok(delay_us) = u64::try_from(delay) {
            self.posted += 1;
            let arrives = now + Duration::from_micros(delay_us);
            self.to_us.insert((arrives, self.posted), packet);
        }
        self.exchange_reports(now);
        caller
    }

    fn our_tick(&mut self, now: Duration) -> Frame {
        deliver(&mut self.ours, &mut self.to_us, now, address(false));
        let tick = self.ours.tick(now);
        let (packet, caller) = (tick.packet.to_vec(), *tick.caller);
        self.posted += 1;
        self.to_far.insert((now + WAY_BACK, self.posted), packet);
        caller
    }

    fn exchange_reports(&mut self, now: Duration) {
        let ntp = NTP_AT_START + ((now.as_micros() as u64) << 32) / 1_000_000;
        if !self.reports {
            return;
        }
        if let Some((report, _)) = self.ours.poll_report(now, ntp) {
            self.far.on_packet(now, address(true), report);
        }
        if let Some((report, _)) = self.far.poll_report(now, ntp) {
            self.ours.on_packet(now, address(false), report);
        }
    }
}

fn deliver(
    leg: &mut Leg,
    way: &mut BTreeMap<(Duration, usize), Vec<u8>>,
    now: Duration,
    from: SocketAddr,
) {
    while let Some(entry) = way.first_entry().filter(|entry| entry.key().0 <= now) {
        let ((at, _), packet) = entry.remove_entry();
        leg.on_packet(at, from, &packet);
        while leg.poll_ear(at).is_some() {}
    }
    while leg.poll_ear(now).is_some() {}
    while leg.poll_event().is_some() {}
}

/// PCM16 mono behind a header of 44 bytes, as speech.py writes it.
fn read_wav(path: &str) -> Result<Vec<i16>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    let pcm = bytes.get(44..).ok_or(format!("{path}: too short"))?;
    Ok(pcm
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect())
}
