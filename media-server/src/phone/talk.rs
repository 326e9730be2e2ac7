//! The call itself: signalling, sound, script and picture in one loop.

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use media_core::{
    dtmf::Digits,
    frame::Rate,
    leg::{Command, LegConfig, LegEventKind, Mode, Timeouts},
    playout::PlayoutEvent,
};
use serde_json::{Value, json};
use sip_core::{
    dialog::{DialogConfig, DialogEvent, DialogInput, EndCause, Ended, EndedBy, OutboundCall},
    offer_answer::{AgreedMedia, MediaAddress, MediaPolicy, Negotiation, SrtpPolicy},
    value::{NameAddr, Uri},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines, Stdin},
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Interval, interval},
};

use super::{
    Args,
    ear::Ear,
    line::Line,
    live::Live,
    script::{Script, Step},
    show::{Show, millis},
    voice::{Lips, Voice, load},
};
use crate::{
    clock::Clock,
    media::{
        EarReceiver, LegControl, LegEvents, LegSeat, Media, MediaConfig, RecordingSpec, SeatEvent,
        SeatOptions, WireSeed,
    },
    profile::capability,
};

/// How often the script is asked and the ring topped up.
const PULSE: Duration = Duration::from_millis(20);
/// How long we stay after the end while our BYE has no answer, to repeat it (RFC 3261 §17.1.2: after 0.5,
/// 1.5 and 3.5 s). Once it is answered, we go at once.
const FAREWELL: Duration = Duration::from_secs(5);
/// Silence after the last step before we hang up.
const LAST_SILENCE: Duration = Duration::from_millis(1_500);

/// What Enter alone says to somebody who speaks.
const WAIT: &str = "Wait.";

/// Places one call.
pub(super) async fn talk(args: &Args) -> anyhow::Result<ExitCode> {
    let mut call = Call::place(args).await?;
    call.run().await?;
    Ok(call.summary())
}

struct Call<'a> {
    args: &'a Args,
    clock: Clock,
    show: Show,
    line: Line,
    voice: Voice,
    _media: Media,
    seat: LegSeat,
    sound: Option<Sound>,
    script: Script,
    ear: Ear,
    rendered: (mpsc::Sender<Rendered>, mpsc::Receiver<Rendered>),
    live: Option<Live>,
    dialled: Duration,
    answered: Option<Duration>,
    codec: String,
    ended: Option<Ended>,
    over: Option<Duration>,
    hanging_up: Option<Duration>,
    /// Ctrl-C. One listener for the whole call: a new one would not know of what came before it.
    interrupts: Signal,
}

type Rendered = Option<Arc<[i16]>>;

struct Sound {
    control: LegControl,
    events: LegEvents,
    ears: EarReceiver,
    lips: Lips,
}

enum Happened {
    Dialog(DialogEvent),
    Frame(Option<Box<media_core::leg::EarFrame>>),
    Seat(Option<SeatEvent>),
    Rendered(Rendered),
    Server(Value),
    Typed(Option<String>),
    Pulse,
    Interrupt,
}

impl<'a> Call<'a> {
    async fn place(args: &'a Args) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let target = Uri::parse(&args.uri.clone().into());
        let target = target.with_context(|| format!("'{}' is not a SIP URI", args.uri))?;
        let mut line = Line::open(&target, args, clock).await?;
        let voice = Voice::open(args.voice.as_deref())?;
        let media = Media::start(MediaConfig {
            ports: 40_000..=59_999,
            ..MediaConfig::default()
        })?;
        let local = line.flow().local;
        let seat = media.seat(Some(local.ip()), WireSeed::random())?;
        let call = outbound(args, target, &line, seat.local_addr())?;
        let mut live = follow(args).await?;
        line.dial(config(args, local)?, &call)?;
        if let Some(live) = &mut live {
            live.about(line.call_id());
        }
        let now = clock.now();
        let silence = Duration::from_millis(args.silence_ms);
        Ok(Self {
            args,
            clock,
            show: Show::new(args.json, args.events.as_deref())?,
            line,
            voice,
            _media: media,
            seat,
            sound: None,
            script: Script::new(args.steps(), silence, now).with_replies(args.reply.clone()),
            ear: Ear::default(),
            rendered: mpsc::channel(8),
            live,
            dialled: now,
            answered: None,
            codec: String::new(),
            ended: None,
            over: None,
            hanging_up: None,
            interrupts: signal(SignalKind::interrupt())?,
        })
    }

    /// Until the dialog has said its last word (and the server's last events were shown).
    async fn run(&mut self) -> anyhow::Result<()> {
        let mut pulse = interval(PULSE);
        let mut typed = BufReader::new(tokio::io::stdin()).lines();
        loop {
            match self.next(&mut pulse, &mut typed).await? {
                Happened::Dialog(DialogEvent::Finished) => break,
                Happened::Dialog(event) => self.dialog(event)?,
                Happened::Frame(Some(frame)) => self.hear(&frame),
                Happened::Seat(Some(event)) => self.seat_event(&event),
                Happened::Rendered(sound) => self.say(sound),
                Happened::Server(event) => self.told(&event),
                Happened::Typed(line) => self.typed(line.as_deref()),
                Happened::Pulse => self.pulse(),
                Happened::Interrupt => self.hang_up(),
                // The leg is gone: the dialog will say so.
                Happened::Frame(None) | Happened::Seat(None) => self.sound = None,
            }
            if self.is_lost() {
                break;
            }
        }
        self.last_events().await;
        Ok(())
    }

    async fn next(
        &mut self,
        pulse: &mut Interval,
        typed: &mut Lines<BufReader<Stdin>>,
    ) -> anyhow::Result<Happened> {
        let typing = self.args.typing && self.answered.is_some() && self.ended.is_none();
        let sound = &mut self.sound;
        let (frames, events) = match sound {
            Some(sound) => (Some(&mut sound.ears), Some(&mut sound.events)),
            None => (None, None),
        };
        Ok(tokio::select! {
            event = self.line.event() => Happened::Dialog(event?),
            frame = maybe(frames, async |ears: &mut EarReceiver| ears.recv().await) => Happened::Frame(frame.map(Box::new)),
            event = maybe(events, async |events: &mut LegEvents| events.event().await) => Happened::Seat(event),
            Some(sound) = self.rendered.1.recv() => Happened::Rendered(sound),
            Some(event) = maybe_live(&mut self.live) => Happened::Server(event),
            line = typed.next_line(), if typing => Happened::Typed(line?),
            _ = pulse.tick() => Happened::Pulse,
            _ = self.interrupts.recv() => Happened::Interrupt,
        })
    }

    fn dialog(&mut self, event: DialogEvent) -> anyhow::Result<()> {
        let now = self.clock.now();
        match event {
            DialogEvent::Ringing { status } => {
                self.show.event(now, "ringing", json!({ "status": status }))
            }
            DialogEvent::Media(agreed) => self.launch(&agreed)?,
            DialogEvent::Answered => {
                self.answered = Some(now);
                let after = millis(now.saturating_sub(self.dialled));
                self.show.event(
                    now,
                    "answered",
                    json!({ "after_ms": after, "codec": self.codec }),
                );
                self.script.talk(now, false);
            }
            DialogEvent::Ended(ended) => {
                let by = format!("{:?}", ended.by).to_lowercase();
                self.show
                    .event(now, "ended", json!({ "by": by, "status": ended.status }));
                self.seat.stop();
                self.over = Some(now);
                self.ended = Some(*ended);
            }
            DialogEvent::Invited { .. }
            | DialogEvent::EarlyMedia(_)
            | DialogEvent::Confirmed
            | DialogEvent::Info { .. }
            | DialogEvent::InfoDone { .. }
            | DialogEvent::ReofferDone
            | DialogEvent::ReofferFailed { .. }
            | DialogEvent::ReferAnswered { .. }
            | DialogEvent::ReferProgress { .. }
            | DialogEvent::Referred(_)
            | DialogEvent::AckTimeout
            | DialogEvent::Finished => {}
        }
        Ok(())
    }

    fn launch(&mut self, agreed: &AgreedMedia) -> anyhow::Result<()> {
        if self.sound.is_some() {
            return Ok(());
        }
        self.codec.clone_from(&agreed.codec.name);
        let config = LegConfig {
            negotiated: crate::call::negotiated(agreed).context("an unknown codec was agreed")?,
            mode: Mode::Agent,
            ears: Some(Rate::Hz8000),
            timeouts: Timeouts {
                never: Duration::from_secs(3_600),
                stopped: Duration::from_secs(3_600),
            },
            reflex_armed: false,
            keys_in_band: true,
        };
        let recording = self
            .args
            .save
            .clone()
            .map(|path| RecordingSpec { path, done: None });
        let options = SeatOptions {
            ear_batch: 1,
            recording,
            ..SeatOptions::default()
        };
        let rings = self.seat.seat(config, options)?;
        self.sound = Some(Sound {
            control: rings.control,
            events: rings.events,
            ears: rings.ears,
            lips: Lips::new(rings.voice),
        });
        Ok(())
    }

    fn hear(&mut self, frame: &media_core::leg::EarFrame) {
        let now = self.clock.now();
        if let Some(gap_ms) = self.ear.gap(frame.heard) {
            self.show.event(now, "gap", json!({ "gap_ms": gap_ms }));
        }
        if let Some(speaking) = self.ear.hear(frame) {
            let name = if speaking {
                "speaking_started"
            } else {
                "speaking_ended"
            };
            self.show.event(now, name, json!({}));
            self.script.hear(now, speaking);
        }
    }

    fn told(&mut self, event: &Value) {
        let field = |name: &str| event.pointer(name).and_then(Value::as_str);
        if field("/data/speaker") == Some("agent") {
            let words = field("/data/heard_text").or(field("/data/text"));
            self.script.words(words.unwrap_or_default());
        }
        self.show.server(event);
    }

    fn seat_event(&mut self, event: &SeatEvent) {
        let now = self.clock.now();
        if let SeatEvent::Leg(leg) = event {
            match &leg.kind {
                LegEventKind::Digit(digit) => {
                    self.show
                        .event(now, "digit", json!({ "digit": digit.key.to_string() }));
                }
                LegEventKind::Playout(PlayoutEvent::Finished { .. }) | LegEventKind::DigitsSent => {
                    self.show.event(now, "said", json!({}));
                    self.script.talk(now, false);
                }
                _ => {}
            }
        }
    }

    fn say(&mut self, pcm: Rendered) {
        let now = self.clock.now();
        match (pcm, &mut self.sound) {
            (Some(pcm), Some(sound)) if !pcm.is_empty() => {
                let length = sound.lips.say(pcm);
                self.show
                    .event(now, "saying", json!({ "length_ms": millis(length) }));
            }
            _ => self.script.talk(now, false),
        }
    }

    /// A line from the keyboard is spoken at once, also while the other side speaks. An empty one
    /// says "wait" to it, or ends our own words.
    fn typed(&mut self, line: Option<&str>) {
        match line.map(str::trim) {
            None => self.hang_up(),
            Some("") if self.script.is_spoken_to() => self.take(Step::Tell(WAIT.into())),
            Some("") => self.hush(),
            Some(words) => self.take(Step::Tell(words.into())),
        }
    }

    fn hush(&mut self) {
        if let Some(sound) = &mut self.sound {
            let cut = Command::CutThrough(sound.lips.tag());
            let _ = sound.control.send(cut);
            sound.lips.hush();
        }
    }

    fn pulse(&mut self) {
        let now = self.clock.now();
        if let Some(sound) = &mut self.sound {
            sound.lips.top_up();
        }
        if self.answered.is_none() || self.ended.is_some() || self.hanging_up.is_some() {
            return;
        }
        if let Some(step) = self.script.poll(now) {
            self.take(step);
        }
        let over = now.saturating_sub(self.dialled) >= Duration::from_secs(self.args.seconds);
        if over || self.has_said_all(now) {
            self.hang_up();
        }
    }

    fn has_said_all(&self, now: Duration) -> bool {
        let silent = self
            .script
            .lull(now)
            .is_some_and(|lull| lull >= LAST_SILENCE);
        let scripted = !self.args.steps().is_empty();
        scripted && !self.args.stay && !self.args.typing && self.script.is_done() && silent
    }

    fn take(&mut self, step: Step) {
        let now = self.clock.now();
        self.script.talk(now, true);
        match step {
            Step::Say(text) | Step::Tell(text) | Step::Barge(text) => {
                self.show.event(now, "says", json!({ "text": text }));
                self.voice.say(&text, self.rendered.0.clone());
            }
            Step::Play(path) => match load(&path) {
                Ok(pcm) => self.say(Some(pcm)),
                Err(error) => {
                    self.show.line(&format!("{error:#}"));
                    self.script.talk(now, false);
                }
            },
            Step::Dtmf(digits) | Step::Press(digits) => self.press(&digits),
            Step::Wait(_) => self.script.talk(now, false),
            Step::Hangup => self.hang_up(),
        }
    }

    fn press(&mut self, digits: &str) {
        let now = self.clock.now();
        let digits = Digits::parse(digits).ok().zip(self.sound.as_mut());
        let sent = digits
            .is_some_and(|(digits, sound)| sound.control.send(Command::SendDigits(digits)).is_ok());
        if !sent {
            self.script.talk(now, false);
        }
    }

    fn hang_up(&mut self) {
        if self.hanging_up.is_none() && self.ended.is_none() {
            self.hanging_up = Some(self.clock.now());
            self.line.input(DialogInput::Hangup { reason: None });
        }
    }

    /// Nobody answers our BYE: a person does not wait for that until the transaction gives up.
    fn is_lost(&self) -> bool {
        let now = self.clock.now();
        self.over
            .is_some_and(|at| now.saturating_sub(at) >= FAREWELL)
    }

    /// The record's last facts arrive a moment after the BYE.
    async fn last_events(&mut self) {
        let Some(live) = &mut self.live else {
            return;
        };
        let until = tokio::time::Instant::now() + Duration::from_secs(2);
        while let Ok(Some(event)) = tokio::time::timeout_at(until, live.recv()).await {
            let last = event.get("type").and_then(Value::as_str) == Some("call.ended");
            self.show.server(&event);
            if last {
                return;
            }
        }
    }

    fn summary(&mut self) -> ExitCode {
        let (now, stats) = (self.clock.now(), self.seat.stats());
        let until = self.over.unwrap_or(now);
        let talked = self.answered.map(|at| until.saturating_sub(at));
        let gap = self.ear.longest_gap_ms;
        let summary = json!({
            "codec": self.codec,
            "answered": self.answered.is_some(),
            "answered_after_ms": self.answered.map(|at| millis(at.saturating_sub(self.dialled))),
            "talked_ms": talked.map(millis),
            "heard_ms": millis(self.ear.heard()),
            "voiced_ms": millis(self.ear.voiced()),
            "packets_in": stats.jitter.received,
            "packets_out": stats.packets_out,
            "lost": stats.jitter.lost,
            "missing_frames": self.ear.missing,
            "longest_gap_ms": gap,
            "sip_call_id": self.line.call_id(),
            "status": self.ended.as_ref().and_then(|ended| ended.status),
        });
        self.show.event(now, "summary", summary);
        self.show.line(&format!(
            "phone   {} in, {} out, {} lost, audio gap {gap} ms",
            stats.jitter.received, stats.packets_out, stats.jitter.lost
        ));
        self.verdict()
    }

    fn verdict(&self) -> ExitCode {
        let ended = self.ended.as_ref();
        let refused = ended.and_then(|ended| match ended.cause {
            EndCause::Refused(status) => Some(status),
            _ => None,
        });
        if let Some(status) = refused {
            self.show.line(&format!("refused with {status}"));
        }
        let proper = ended.is_some_and(|ended| {
            ended.cause == EndCause::Bye && matches!(ended.by, EndedBy::Local | EndedBy::Remote)
        });
        match self.answered.is_some() && proper {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

/// Waits on something that may not be there (yet).
async fn maybe<T, R>(on: Option<&mut T>, wait: impl AsyncFnOnce(&mut T) -> R) -> R {
    match on {
        Some(on) => wait(on).await,
        None => std::future::pending().await,
    }
}

async fn maybe_live(live: &mut Option<Live>) -> Option<Value> {
    maybe(live.as_mut(), async |live: &mut Live| live.recv().await).await
}

fn outbound(
    args: &Args,
    target: Uri,
    line: &Line,
    media: SocketAddr,
) -> anyhow::Result<OutboundCall> {
    let flow = line.flow();
    let from = match &args.user {
        Some(user) => Uri::parse(&format!("sip:{user}").into())?,
        None => Uri::sip(Some(&args.from), &flow.local.ip().to_string(), None)?,
    };
    Ok(OutboundCall {
        target,
        from: NameAddr::new(None, &from)?,
        to: None,
        flow,
        route: Vec::new(),
        media: MediaAddress {
            ip: media.ip(),
            port: media.port(),
        },
        delayed_offer: false,
        headers: Vec::new(),
        ring_timeout: Some(Duration::from_secs(60)),
        max_forwards: 70,
    })
}

fn config(args: &Args, local: SocketAddr) -> anyhow::Result<DialogConfig> {
    let mut codecs = Vec::new();
    for name in &args.codecs {
        let Some(codec) = capability(name) else {
            bail!("there is no codec '{name}'");
        };
        codecs.push(codec);
    }
    let media = MediaPolicy {
        codecs,
        telephone_event: Some(101),
        negotiation: Negotiation::Local,
        ptime_ms: 20,
        rtcp_mux: true,
        srtp: SrtpPolicy::Off,
    };
    Ok(DialogConfig {
        login: args.login()?,
        ..DialogConfig::new(local.ip().to_string(), local.port(), media)
    })
}

async fn follow(args: &Args) -> anyhow::Result<Option<Live>> {
    match (&args.office, &args.key_file) {
        (Some(office), Some(key)) => Ok(Some(Live::open(office, key).await?)),
        (None, None) => Ok(None),
        _ => bail!("--office and --key-file go together"),
    }
}
