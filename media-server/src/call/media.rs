//! The call's own leg: its seat, its machine's life, its recording.

use std::time::Duration;

use call_core::{
    call::{Effect, Input, MediaMode, Side, Unusable},
    dialplan::action::RecordSpec,
    digits::{DigitEvent, Via},
};
use media_core::{
    codec,
    frame::Rate,
    leg::{
        Command, DigitBy, EventFormat, LegConfig, LegEvent, LegEventKind, Mode, Negotiated,
        RtcpPath,
    },
    srtp::{Keys, Suite},
    tone::Tone,
};
use model::{CallId, FactKind, PauseBy};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, MessagingErr};
use sip_core::{
    dialog::DialogInput,
    offer_answer::{AgreedMedia, AgreedSrtp, CryptoSuite, MediaAddress},
};

use super::{Msg, State, children, ears, effects, facing, facts, hold, quality, speech};
use crate::{
    leg::{self, Hands, Leg, Report},
    media::{
        EarReceiver, LegSeat, Mute, RecordingReport, RecordingSpec, SeatOptions, VoiceSender,
        WireSeed,
    },
    metrics::QualityCount,
    office::RecordingUploader,
};

/// A media machine that broke so often within a call is not put back again.
const EVICTIONS: u8 = 3;
/// Frames that wake a listener: each, since a stub agent wants them at once.
const EAR_BATCH: usize = 1;

/// See the module.
#[derive(Default)]
pub(super) struct Media {
    seat: Option<LegSeat>,
    hands: Option<Hands>,
    leg: Option<ActorRef<leg::Msg>>,
    leg_restarts: u8,
    evictions: u8,
    config: Option<LegConfig>,
    /// The playout ring, until somebody speaks into it.
    pub(super) voice: Option<VoiceSender>,
    /// The recogniser ring, until somebody listens to it.
    pub(super) ears: Option<EarReceiver>,
    /// Setup time of an answer whose codec is not known yet, milliseconds.
    pub(super) answered: Option<u64>,
    mode: Option<Mode>,
    /// The far side holds the call.
    pub(super) held: bool,
    heard: bool,
    /// Counts the call among those that sound like it.
    pub(super) quality: Option<QualityCount>,
    recording: bool,
    /// Consent was withdrawn: the file is to go, not to be filed.
    dropped: bool,
    closing: bool,
}

impl Media {
    /// The call's timeline now, milliseconds since the leg's first tick.
    pub(super) fn now_ms(&self) -> u64 {
        let ticks = self.seat.as_ref().map_or(0, LegSeat::tick);
        ticks * media_core::frame::FRAME_MS
    }

    /// The last thing that was surely sent: utterance tag and samples.
    pub(super) fn position(&self) -> Option<media_core::playout::Position> {
        self.seat.as_ref().map(LegSeat::position)
    }

    /// What the leg runs with.
    pub(super) fn config(&self) -> Option<&LegConfig> {
        self.config.as_ref()
    }

    /// The rings to the media machine, for a bridge.
    pub(super) fn hands(&self) -> Option<&Hands> {
        self.hands.as_ref()
    }

    /// The codec in use.
    pub(super) fn codec(&self) -> Option<&'static str> {
        self.config
            .as_ref()
            .map(|config| config.negotiated.codec.name)
    }

    /// Whether sound flows.
    pub(super) fn is_up(&self) -> bool {
        self.leg.is_some()
    }
}

/// Effects that want a leg wait for one.
pub(super) fn must_wait(state: &State, effect: &Effect) -> bool {
    let wants_sound = matches!(
        effect,
        Effect::StartAgent { .. }
            | Effect::Play { .. }
            | Effect::Say { .. }
            | Effect::Record(_)
            | Effect::HearAnswer(_)
            | Effect::Mode(_)
            | Effect::Join { .. }
            | Effect::EnterRoom {
                whose: Side::Caller,
                ..
            }
    );
    wants_sound && !state.media.is_up() && !state.media.closing
}

/// 183 with our address.
pub(super) fn progress(state: &mut State) {
    if let Some(media) = address(state) {
        children::dialog_input(state, DialogInput::Progress { media });
    }
}

/// 200 with our address; the leg is launched when the dialog says what was agreed.
pub(super) fn answer(state: &mut State) {
    if let Some(media) = address(state) {
        state.dossier().mark_answered();
        children::dialog_input(state, DialogInput::Answer { media });
    }
}

/// Our media address; leases the port at first use. Without one the call cannot go on.
pub(super) fn address(state: &mut State) -> Option<MediaAddress> {
    let flow = facing::flow(state)?;
    if state.media.seat.is_none() {
        let ip = state.args.profile.media_ip(&flow);
        let ports = state.args.profile.media_ports();
        let media = &state.services().media;
        match media.seat_among(&ports, Some(ip), WireSeed::random()) {
            Ok(seat) => state.media.seat = Some(seat),
            Err(error) => {
                tracing::warn!(call_id = %state.dossier().call(), %error, "no media port");
                state.inbox.push_back(Input::Unusable(Unusable::NoRoom));
            }
        }
    }
    let local = state.media.seat.as_ref()?.local_addr();
    Some(MediaAddress {
        ip: state.args.profile.announced_ip(&flow),
        port: local.port(),
    })
}

/// The session's media is (newly) agreed: launch the leg, or tell it.
pub(super) async fn agreed(
    state: &mut State,
    agreed: &AgreedMedia,
) -> Result<(), ActorProcessingErr> {
    let Some(mut negotiated) = negotiated(agreed) else {
        state.inbox.push_back(Input::LegLost);
        return Ok(());
    };
    negotiated.fmtp = heeded(state, agreed);
    if state.media.is_up() {
        if let Some(config) = &mut state.media.config {
            config.negotiated = negotiated.clone();
        }
        let seat = state.media.seat.as_mut();
        if let Some(port) = seat.and_then(|seat| seat.renegotiated(negotiated.rtcp)) {
            tell_leg(state, leg::Msg::Rtcp(port));
        }
        command(state, Command::Renegotiate(negotiated));
        hold::noted(state, agreed);
        return Ok(());
    }
    launch(state, negotiated).await?;
    hold::noted(state, agreed);
    facts::write_answered(state);
    effects::carry_out_waiting(state).await
}

/// What the far side asks of our encoder, within what the profile allows.
pub(super) fn heeded(state: &State, agreed: &AgreedMedia) -> Option<String> {
    let (profile, codec) = (&state.args.profile, &agreed.codec);
    profile.heeded(&codec.name, codec.fmtp.as_deref())
}

/// What signalling agreed, as the media core wants it.
pub(crate) fn negotiated(agreed: &AgreedMedia) -> Option<Negotiated> {
    Some(Negotiated {
        codec: codec::by_name(&agreed.codec.name)?,
        payload_type: agreed.codec.send_payload_type,
        max_packet_ms: agreed.ptime_ms,
        receive_payload_type: agreed.codec.receive_payload_type,
        fmtp: agreed.codec.fmtp.clone(),
        also_receive: Vec::new(),
        telephone_event: agreed.telephone_event.map(|event| EventFormat {
            send: event.send_payload_type,
            receive: event.receive_payload_type,
            clock_hz: event.clock_rate_hz,
        }),
        comfort_noise: agreed.comfort_noise,
        srtp: match &agreed.srtp {
            Some(srtp) => Some(keys(srtp)?),
            None => None,
        },
        remote: agreed.remote,
        rtcp: match agreed.rtcp_mux {
            true => RtcpPath::Muxed,
            false => RtcpPath::Apart(agreed.remote_rtcp),
        },
        voip_metrics: agreed.voip_metrics,
    })
}

/// The agreed keys; none when they are unusable, which ends the call rather than its secrecy.
fn keys(srtp: &AgreedSrtp) -> Option<Keys> {
    let suite = match srtp.suite {
        CryptoSuite::AeadAes256Gcm => Suite::AeadAes256Gcm,
        CryptoSuite::Aes256CmSha1Tag80 => Suite::Aes256CmSha1Tag80,
        CryptoSuite::AeadAes128Gcm => Suite::AeadAes128Gcm,
        CryptoSuite::Aes128CmSha1Tag80 => Suite::Aes128CmSha1Tag80,
        CryptoSuite::Aes128CmSha1Tag32 => Suite::Aes128CmSha1Tag32,
    };
    let (send, receive) = (srtp.send.bytes(), srtp.receive.bytes());
    Keys::new(suite, send, receive, srtp.receive_mki_len).ok()
}

async fn launch(state: &mut State, negotiated: Negotiated) -> Result<(), ActorProcessingErr> {
    let config = LegConfig {
        negotiated,
        mode: state.media.mode.clone().unwrap_or(Mode::Agent),
        ears: None,
        timeouts: state.args.profile.media_timeouts(),
        reflex_armed: false,
        keys_in_band: state.args.profile.keys_in_band(),
    };
    let options = SeatOptions {
        ear_batch: EAR_BATCH,
        recording: None,
        as_signalled: !state.args.profile.settings.rtp.symmetric,
    };
    let Some(seat) = &mut state.media.seat else {
        return Ok(());
    };
    let rings = match seat.seat(config.clone(), options) {
        Ok(rings) => rings,
        Err(error) => {
            tracing::error!(call_id = %state.dossier().call(), %error, "the leg cannot start");
            state.inbox.push_back(Input::LegLost);
            return Ok(());
        }
    };
    state.media.config = Some(config);
    state.media.voice = Some(rings.voice);
    state.media.ears = Some(rings.ears);
    state.media.hands = Some(Hands::new(rings.control, rings.events));
    spawn_leg(state).await
}

async fn spawn_leg(state: &mut State) -> Result<(), ActorProcessingErr> {
    let Some(hands) = state.media.hands.clone() else {
        return Ok(());
    };
    let me = state.me.clone();
    let args = leg::Args {
        hands,
        reports: std::sync::Arc::new(move |report| drop(me.cast(Msg::Leg(report)))),
    };
    let (leg, _) = Actor::spawn_linked(None, Leg, args, state.me.get_cell()).await?;
    state.media.leg = Some(leg);
    Ok(())
}

/// Whether this is our Leg actor.
pub(super) fn is_leg(state: &State, who: ActorId) -> bool {
    state
        .media
        .leg
        .as_ref()
        .is_some_and(|leg| leg.get_id() == who)
}

/// The Leg actor broke; its machine goes on. One successor takes the same rings.
pub(super) async fn leg_failed(state: &mut State, why: &str) -> Result<(), ActorProcessingErr> {
    children::restarted(state, "leg");
    state.media.leg_restarts += 1;
    if state.media.leg_restarts > 1 {
        state.media.leg = None;
        state.inbox.push_back(Input::LegLost);
        return Ok(());
    }
    let why = why.to_owned();
    state.dossier().write(FactKind::LegRestarted { why });
    spawn_leg(state).await
}

/// Tells the Leg actor.
pub(super) fn tell_leg(state: &State, msg: leg::Msg) {
    if let Some(leg) = &state.media.leg {
        let _ = leg.cast(msg);
    }
}

/// A command for the media machine.
pub(super) fn command(state: &State, command: Command) {
    tell_leg(state, leg::Msg::Command(command));
}

/// What the leg reports.
pub(super) fn leg_report(state: &mut State, report: Report) {
    match report {
        Report::Event(event) => leg_event(state, &event),
        Report::Evicted { reason } => evicted(state, reason),
        Report::RecordingFailed { why } => {
            tracing::error!(call_id = %state.dossier().call(), why, "no recording");
            state.media.recording = false;
        }
    }
}

fn leg_event(state: &mut State, event: &LegEvent) {
    match &event.kind {
        LegEventKind::FirstPacket { .. } => {
            if !std::mem::replace(&mut state.media.heard, true) {
                state.dossier().write(FactKind::MediaStarted);
            }
        }
        LegEventKind::MediaTimeout(_) => state.inbox.push_back(Input::MediaTimeout),
        LegEventKind::Digit(digit) => {
            let via = match digit.by {
                DigitBy::Event => Via::Rfc4733,
                DigitBy::Tones => Via::Tones,
            };
            speech::digit(
                state,
                DigitEvent {
                    digit: digit.key,
                    via,
                },
            );
        }
        LegEventKind::Quality(change) => quality::changed(state, *change),
        LegEventKind::Playout(playout) => speech::playout(state, playout, event.tick),
        LegEventKind::SourceChanged { .. }
        | LegEventKind::MediaBack
        | LegEventKind::Onset
        | LegEventKind::DigitsSent
        | LegEventKind::RemoteBye => {}
    }
}

/// The machine broke in its media thread: a new one takes the same seat. SSRC, sequence and the
/// utterance under way go on.
fn evicted(state: &mut State, reason: String) {
    children::restarted(state, "media");
    state.media.evictions += 1;
    let again = state.media.config.clone();
    let relaunched = match (&mut state.media.seat, again) {
        (Some(seat), Some(config)) if state.media.evictions <= EVICTIONS => {
            seat.relaunch(config).is_ok()
        }
        _ => false,
    };
    if relaunched {
        if state.media.held {
            hold::apply(state);
        }
        state
            .dossier()
            .write(FactKind::LegRestarted { why: reason });
    } else {
        state.inbox.push_back(Input::LegLost);
    }
}

/// Whether speech onset pauses the playout.
pub(super) fn arm_reflex(state: &mut State, armed: bool) {
    if let Some(config) = &mut state.media.config {
        config.reflex_armed = armed;
    }
    command(state, Command::ArmReflex(armed));
}

/// Somebody listens from now on, at this rate.
pub(super) fn listen(state: &mut State, rate: Rate) {
    if let Some(config) = &mut state.media.config {
        config.ears = Some(rate);
    }
    if !state.media.held {
        command(state, Command::Listen(Some(rate)));
    }
}

/// What the leg sends when nobody speaks.
pub(super) fn mode(state: &mut State, mode: &MediaMode) {
    let mode = match mode {
        MediaMode::Normal => Mode::Agent,
        MediaMode::Echo => Mode::Echo,
        MediaMode::Ringback => Mode::Tone(Tone::ringback()),
        MediaMode::Tone { hz, level_dbm0 } => {
            Mode::Tone(Tone::sine(*hz as f32, f32::from(*level_dbm0)))
        }
    };
    state.media.mode = Some(mode.clone());
    if let Some(config) = &mut state.media.config {
        config.mode = mode.clone();
    }
    command(state, Command::SetMode(mode));
}

/// Begins the recording.
pub(super) fn record(state: &mut State, spec: &RecordSpec) {
    let call = state.dossier().call();
    let path = state.services().spool.join(format!("{call}.wav"));
    let (done, closed) = tokio::sync::oneshot::channel();
    let (me, uploader) = (state.me.clone(), state.services().uploader.clone());
    let dossier = state.args.dossier.clone();
    tokio::spawn(async move {
        let Ok(report) = closed.await else { return };
        // A Call that broke cannot file its recording: it is filed for it.
        if let Err(MessagingErr::SendErr(Msg::RecordingClosed(report))) =
            me.cast(Msg::RecordingClosed(report))
        {
            match filed(&uploader, call, report).await {
                Ok(fact) => dossier.write(fact),
                Err(why) => {
                    tracing::error!(call_id = %call, why, "the recording is not whole");
                }
            }
        }
    });
    state.media.recording = true;
    let channels = spec.channels;
    tell_leg(
        state,
        leg::Msg::Record(RecordingSpec {
            path,
            done: Some(done),
        }),
    );
    state
        .dossier()
        .write(FactKind::RecordingStarted { channels });
}

/// The caller does not want it: the file is gone at once, whatever the recorder still writes into it.
pub(super) fn drop_record(state: &mut State) {
    state.media.dropped = true;
    tell_leg(state, leg::Msg::StopRecording);
    let call = state.dossier().call();
    let path = state.services().spool.join(format!("{call}.wav"));
    if let Err(error) = std::fs::remove_file(&path) {
        tracing::error!(call_id = %call, %error, "a recording could not be deleted");
    }
}

/// After a secret the silence lasts a little longer: the last key is still held down when it counts.
const AFTER_SECRET_TICKS: u32 = 25;

/// The recording becomes silent, or has its sound again.
pub(super) fn pause_record(state: &State, silent: bool, by: PauseBy) {
    let mute = match (silent, by) {
        (true, _) => Mute::On,
        (false, PauseBy::Secret) => Mute::For(AFTER_SECRET_TICKS),
        (false, PauseBy::Dialplan | PauseBy::Agent | PauseBy::Operator) => Mute::Off,
    };
    tell_leg(state, leg::Msg::MuteRecording(mute));
}

/// The file is closed: hash it and queue it for the office.
pub(super) fn recording_closed(state: &mut State, report: RecordingReport) {
    if state.media.dropped {
        state.media.recording = false;
        return when_closed(state);
    }
    let (me, uploader) = (state.me.clone(), state.services().uploader.clone());
    let call = state.dossier().call();
    tokio::spawn(async move {
        let filed = filed(&uploader, call, report).await;
        let _ = me.cast(Msg::RecordingFiled(filed));
    });
}

/// What the record says of a closed file, once it is queued for the office; else why it is not.
async fn filed(
    uploader: &RecordingUploader,
    call: CallId,
    report: RecordingReport,
) -> Result<FactKind, String> {
    if let Some(error) = report.error {
        return Err(error);
    }
    let file = uploader.ready(call, &report.path).await;
    let file = file.map_err(|e| e.to_string())?;
    Ok(FactKind::RecordingReady {
        duration_ms: report.duration_ms,
        bytes: file.bytes,
        sha256: file.sha256,
    })
}

/// The recording is on its way: the record may say so.
pub(super) fn recording_filed(state: &mut State, filed: Result<FactKind, String>) {
    state.media.recording = false;
    match filed {
        Ok(fact) => state.dossier().write(fact),
        Err(why) => {
            tracing::error!(call_id = %state.dossier().call(), why, "the recording is not whole");
        }
    }
    when_closed(state);
}

/// Stops the sound.
pub(super) fn close(state: &mut State) {
    state.media.closing = true;
    state.dossier().mark_over();
    facts::write_answered(state);
    speech::silence(state);
    write_stats(state);
    when_closed(state);
}

/// Our own leg is over while the call lives on: its numbers are written, its port is free.
pub(super) fn leave(state: &mut State) {
    facts::write_answered(state);
    speech::silence(state);
    write_stats(state);
    drop_seat(state);
}

/// Stops the leg and writes what it counted.
fn write_stats(state: &mut State) {
    if let Some(seat) = &mut state.media.seat {
        seat.stop();
        let stats = facts::media(&seat.stats());
        state.args.services.metrics.heard(&stats);
        state.args.dossier.write(FactKind::Media(stats));
    }
    state.media.quality = None;
}

/// The end waits (at most `closing`) for the recording and for the caller's last words.
pub(super) fn when_closed(state: &mut State) {
    if state.media.closing && !state.media.recording && !ears::listen_on(state) {
        speech::finish(state);
        state.inbox.push_back(Input::MediaClosed);
    }
}

/// Gives the port back.
pub(super) fn drop_seat(state: &mut State) {
    if let Some(leg) = state.media.leg.take() {
        leg.stop(None);
    }
    state.media.hands = None;
    state.media.voice = None;
    state.media.ears = None;
    state.media.seat = None;
}

/// How long the caller gets to hear the last words before the BYE.
pub(super) const TAIL: Duration = Duration::from_millis(240);
