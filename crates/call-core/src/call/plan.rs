//! Runs the dialplan: one op after the other until one has to wait.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::PauseBy;

use super::{Call, CallFact, Effect, MediaMode, Phase, Provisional, Task};
use crate::dialplan::action::{Op, RecordSpec};
use crate::dialplan::{Stop, Traced};

impl Call {
    /// Goes on with the plan while nothing is being waited for.
    pub(super) fn run(&mut self, now: Duration) {
        while matches!(self.task, Task::Ready)
            && matches!(self.phase, Phase::Early { .. } | Phase::Answered { .. })
        {
            let wall = self.wall(now);
            let Some(walk) = &mut self.walk else { return };
            let mut traces = Vec::new();
            let stop = walk.next(wall, &mut |traced| traces.push(traced));
            for traced in traces {
                self.traced(traced);
            }
            self.look_ahead(&stop);
            match stop {
                Stop::Op(op) if op.is_heard() && self.awaits_ack(now) => self.put_back(op),
                Stop::Op(op) => self.start(now, op),
                Stop::NoRoute => return self.no_route(now),
                Stop::End if self.awaits_ack(now) => {}
                Stop::End => return self.plan_done(now),
                Stop::Broken(why) => return self.plan_broken(now, &why),
            }
        }
    }

    fn wall(&self, now: Duration) -> Timestamp {
        let since = now.saturating_sub(self.started_at);
        let since = SignedDuration::try_from(since).unwrap_or(SignedDuration::ZERO);
        self.config
            .wall_at_start
            .checked_add(since)
            .unwrap_or(self.config.wall_at_start)
    }

    fn traced(&mut self, traced: Traced) {
        let route = match traced {
            Traced::Took { route, .. } => route,
            Traced::Bound { .. } => "number".to_owned(),
            Traced::Passed { .. } | Traced::Went { .. } | Traced::Set { .. } => return,
        };
        self.route = Some(route.clone());
        self.fact(CallFact::Routed { route });
    }

    /// Leaves the present list of actions for a section.
    pub(super) fn go(&mut self, now: Duration, section: &str) {
        let Some(walk) = &mut self.walk else { return };
        match walk.go(section, &mut |_| {}) {
            Ok(()) => self.run(now),
            Err(why) => self.plan_broken(now, &why),
        }
    }

    pub(super) fn put_back(&mut self, op: Op) {
        if let Some(walk) = &mut self.walk {
            walk.put_back(op);
        }
    }

    fn is_early(&self) -> bool {
        matches!(self.phase, Phase::Early { .. })
    }

    pub(super) fn start(&mut self, now: Duration, op: Op) {
        match op {
            Op::Answer => self.want_answer(now),
            Op::Ring => self.ring(),
            Op::EarlyMedia => self.early_media(),
            Op::Agent(_) | Op::Echo | Op::Room(_) | Op::Consent(_) if self.is_early() => {
                self.put_back(op);
                self.want_answer(now);
            }
            Op::Agent(source) => self.take_agent(source),
            Op::Echo => {
                self.put(Effect::Mode(MediaMode::Echo));
                self.task = Task::Sounding;
            }
            Op::Play { source, repeat } => self.play(source, repeat),
            Op::Say { text, voice } => self.say(text, voice),
            Op::Gather(gather) => self.gather(now, gather),
            Op::Tone {
                hz,
                level_dbm0,
                length,
            } => self.tone(now, hz, level_dbm0, length),
            Op::Record(spec) => self.want_record(spec),
            Op::Consent(op) => self.ask_consent(op),
            Op::PauseRecording(silent) => self.pause_recording(PauseBy::Dialplan, silent),
            Op::Bridge(bridge) => self.bridge(now, bridge),
            Op::Room(room) => self.enter_room(room),
            Op::Reject { status, reason } => self.refused_by_plan(now, status, reason),
            Op::Hangup(cause) => self.hung_up_by_plan(now, cause),
            Op::Sleep(length) => {
                self.task = Task::Sleeping {
                    until: now.saturating_add(length),
                }
            }
            Op::Log { text } => self.log_line(text),
            // The walk carries these out itself.
            Op::Set { .. } | Op::Unset { .. } | Op::Goto { .. } => {}
        }
    }

    pub(super) fn ring(&mut self) {
        if let Phase::Early {
            sent: sent @ Provisional::None,
        } = &mut self.phase
        {
            *sent = Provisional::Ringing;
            self.put(Effect::Ring);
            self.fact(CallFact::Ringing);
        }
    }

    /// Before the answer sound needs 183; after it this does nothing.
    pub(super) fn early_media(&mut self) {
        if let Phase::Early {
            sent: sent @ (Provisional::None | Provisional::Ringing),
        } = &mut self.phase
        {
            *sent = Provisional::Media;
            self.put(Effect::EarlyMedia);
            self.fact(CallFact::EarlyMedia);
        }
    }

    fn play(&mut self, source: String, repeat: bool) {
        self.early_media();
        let tag = self.tag();
        self.put(Effect::Play {
            tag,
            source,
            repeat,
        });
        self.task = Task::Playing { tag };
    }

    fn say(&mut self, text: String, voice: Option<String>) {
        self.early_media();
        let tag = self.tag();
        self.put(Effect::Say { tag, text, voice });
        self.task = Task::Playing { tag };
    }

    fn tone(&mut self, now: Duration, hz: u16, level_dbm0: i8, length: Option<Duration>) {
        self.early_media();
        self.put(Effect::Mode(MediaMode::Tone { hz, level_dbm0 }));
        self.task = match length {
            Some(length) => Task::Tone {
                until: now.saturating_add(length),
            },
            None => Task::Sounding,
        };
    }

    /// A recording holds the answered call; before the answer it is remembered.
    pub(super) fn want_record(&mut self, spec: RecordSpec) {
        self.record = Some(spec);
        if !self.is_early() {
            self.start_record();
        }
    }

    pub(super) fn start_record(&mut self) {
        let Some(spec) = self.record.take().filter(|_| !self.recording) else {
            return;
        };
        self.recording = true;
        self.consented_by(spec);
        self.put(Effect::Record(spec));
        self.fact(CallFact::RecordingStarted {
            channels: spec.channels,
        });
        self.begin_paused();
    }

    pub(super) fn log_line(&mut self, text: String) {
        self.put(Effect::Log { text: text.clone() });
        self.fact(CallFact::Logged { line: text });
    }

    pub(super) fn play_finished(&mut self, now: Duration, tag: u64) {
        match &self.task {
            Task::Playing { tag: ours } if *ours == tag => {
                self.task = Task::Ready;
                self.run(now);
            }
            Task::Gathering(_) => self.prompt_finished(now, tag),
            Task::Consenting(_) => self.question_put(now, tag, true),
            Task::Playing { .. }
            | Task::Ready
            | Task::Answering
            | Task::AwaitingAck { .. }
            | Task::Agent
            | Task::Dialing(_)
            | Task::Joining(_)
            | Task::Joined(_)
            | Task::InRoom(_)
            | Task::Referring(_)
            | Task::Sounding
            | Task::Tone { .. }
            | Task::Sleeping { .. } => {}
        }
    }

    pub(super) fn play_failed(&mut self, now: Duration, tag: u64, reason: &str) {
        self.log_line(format!("a sound could not be played: {reason}"));
        self.question_put(now, tag, false);
        self.play_finished(now, tag);
    }
}
