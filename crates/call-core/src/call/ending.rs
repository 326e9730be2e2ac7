//! Every way a call ends, and the one record it leaves.

use std::time::Duration;

use model::EndReason;

use super::gathering::GatherRun;
use super::{Call, CallFact, Effect, Ending, KillCause, Party, Phase, Provisional, Task, Unusable};
use crate::dialplan::action::HangupCause;

/// How the call ends: why, by whom, and what the wire says. `status` counts before the
/// answer, `q850` after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Close {
    pub(super) reason: EndReason,
    pub(super) by: Party,
    pub(super) status: u16,
    pub(super) q850: u8,
}

/// Whether the far side has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tell {
    Wire,
    Nobody,
}

/// Seconds after which a refused caller may try again; the sender adds jitter.
const RETRY_AFTER_S: u32 = 5;

impl Close {
    /// The plan came to its end.
    pub(super) const fn dialplan() -> Close {
        Close {
            reason: EndReason::DialplanHangup,
            by: Party::Dialplan,
            status: 480,
            q850: 16,
        }
    }

    pub(super) const fn server(reason: EndReason, status: u16, q850: u8) -> Close {
        Close {
            reason,
            by: Party::Server,
            status,
            q850,
        }
    }
}

impl Call {
    pub(super) fn no_route(&mut self, now: Duration) {
        self.end(
            now,
            Close {
                reason: EndReason::NoRoute,
                by: Party::Dialplan,
                status: 404,
                q850: 1,
            },
        );
    }

    /// The plan has no more actions. What happened last says why the call ends.
    pub(super) fn plan_done(&mut self, now: Duration) {
        self.end(now, self.close);
    }

    pub(super) fn plan_broken(&mut self, now: Duration, why: &str) {
        self.log_line(format!("the dialplan cannot go on: {why}"));
        self.end(
            now,
            Close {
                reason: EndReason::InternalError,
                by: Party::Dialplan,
                status: 500,
                q850: 41,
            },
        );
    }

    pub(super) fn refused_by_plan(&mut self, now: Duration, status: u16, reason: Option<String>) {
        let close = Close {
            reason: EndReason::Rejected,
            by: Party::Dialplan,
            status,
            q850: 21,
        };
        self.finish(now, close, Tell::Wire, reason);
    }

    /// Refused with a phrase of its own.
    pub(super) fn refused(&mut self, now: Duration, close: Close, phrase: &str) {
        self.finish(now, close, Tell::Wire, Some(phrase.to_owned()));
    }

    pub(super) fn hung_up_by_plan(&mut self, now: Duration, cause: HangupCause) {
        let (status, q850) = (cause.status(), cause.q850());
        self.end(
            now,
            Close {
                reason: EndReason::DialplanHangup,
                by: Party::Dialplan,
                status,
                q850,
            },
        );
    }

    pub(super) fn journal_refused(&mut self, now: Duration) {
        self.end(now, Close::server(EndReason::Capacity, 503, 42));
    }

    pub(super) fn stub_absent(&mut self, now: Duration) {
        self.end(now, Close::server(EndReason::AgentFailed, 503, 41));
    }

    pub(super) fn unusable(&mut self, now: Duration, why: Unusable) {
        self.end(
            now,
            match why {
                Unusable::NoCommonCodec => Close::server(EndReason::NoCommonCodec, 488, 88),
                Unusable::BadOffer => Close::server(EndReason::BadRequest, 400, 111),
                Unusable::NoRoom => Close::server(EndReason::Capacity, 503, 42),
            },
        );
    }

    /// The 200 was ordered and could not leave for want of a media port: the caller is still
    /// waiting, and gets the 503 on which a carrier tries another way.
    pub(super) fn never_answered(&mut self, now: Duration) {
        if let Phase::Answered {
            acknowledged: false,
            ..
        } = self.phase
        {
            self.phase = Phase::Early {
                sent: Provisional::None,
            };
        }
        self.unusable(now, Unusable::NoRoom);
    }

    /// RFC 3261 §9.2: the cancelled INVITE gets 487.
    pub(super) fn given_up(&mut self, now: Duration) {
        self.end(
            now,
            Close {
                reason: EndReason::Cancelled,
                by: Party::Caller,
                status: 487,
                q850: self.line.cause_or(16),
            },
        );
    }

    pub(super) fn rang_too_long(&mut self, now: Duration) {
        self.end(now, Close::server(EndReason::NoAnswer, 480, 19));
    }

    pub(super) fn too_long(&mut self, now: Duration) {
        self.end(now, Close::server(EndReason::MaxDuration, 480, 16));
    }

    pub(super) fn ack_timeout(&mut self, now: Duration) {
        if matches!(
            self.phase,
            Phase::Answered {
                acknowledged: false,
                ..
            }
        ) {
            self.end(now, Close::server(EndReason::AckTimeout, 480, 102));
        }
    }

    pub(super) fn caller_hung_up(&mut self, now: Duration) {
        let close = Close {
            reason: EndReason::CallerHangup,
            by: Party::Caller,
            status: 487,
            q850: self.line.cause_or(16),
        };
        self.end_untold(now, close);
    }

    pub(super) fn transport_lost(&mut self, now: Duration) {
        self.end_untold(now, Close::server(EndReason::TransportFailed, 503, 38));
    }

    pub(super) fn media_timeout(&mut self, now: Duration) {
        self.end(now, Close::server(EndReason::MediaTimeout, 480, 41));
    }

    pub(super) fn leg_lost(&mut self, now: Duration) {
        self.end(now, Close::server(EndReason::InternalError, 500, 41));
    }

    pub(super) fn kill(&mut self, now: Duration, cause: KillCause) {
        self.end(
            now,
            match cause {
                KillCause::OperatorWith(cause) => Close {
                    reason: EndReason::OperatorHangup,
                    by: Party::Operator,
                    status: cause.status(),
                    q850: cause.q850(),
                },
                KillCause::Operator => Close {
                    reason: EndReason::OperatorHangup,
                    by: Party::Operator,
                    status: 480,
                    q850: 16,
                },
                KillCause::Abandoned => Close {
                    reason: EndReason::Cancelled,
                    by: Party::Caller,
                    status: 487,
                    q850: 16,
                },
                KillCause::Drain => Close::server(EndReason::NodeDrained, 503, 41),
                KillCause::Internal => Close::server(EndReason::InternalError, 500, 41),
            },
        );
    }

    /// The far side knows already, or cannot be told.
    pub(super) fn end_untold(&mut self, now: Duration, close: Close) {
        self.finish(now, close, Tell::Nobody, None);
    }

    pub(super) fn end_with(&mut self, now: Duration, close: Close) {
        self.end(now, close);
    }

    fn end(&mut self, now: Duration, close: Close) {
        self.finish(now, close, Tell::Wire, None);
    }

    fn finish(&mut self, now: Duration, close: Close, tell: Tell, phrase: Option<String>) {
        let tell = match self.caller_has_left() {
            true => Tell::Nobody,
            false => tell,
        };
        let answered = match &self.phase {
            Phase::New | Phase::Routing { .. } | Phase::Early { .. } | Phase::Calling { .. } => {
                None
            }
            Phase::Answered { at, .. } => Some(*at),
            Phase::Ending { .. } | Phase::Over => return,
        };
        let media_runs = answered.is_some()
            || matches!(
                self.phase,
                Phase::Calling { .. }
                    | Phase::Early {
                        sent: Provisional::Media
                    }
            );
        self.release();
        if let (Tell::Wire, Phase::Calling { placed, .. }) = (tell, &self.phase) {
            if *placed {
                self.put(Effect::Hangup { q850: close.q850 });
            }
        } else if tell == Tell::Wire {
            self.tell(answered.is_some(), close, phrase);
        }
        if std::mem::replace(&mut self.recording, false) {
            self.put(Effect::StopRecord);
        }
        let ending = Box::new(self.ending(now, close, answered));
        let deadline = now.saturating_add(self.config.limits.closing);
        self.phase = Phase::Ending { ending, deadline };
        if media_runs {
            self.put(Effect::CloseMedia);
        } else {
            self.file();
        }
    }

    fn tell(&mut self, answered: bool, close: Close, reason: Option<String>) {
        self.put(if answered {
            Effect::Hangup { q850: close.q850 }
        } else {
            let retry_after_s = (close.status == 503).then_some(RETRY_AFTER_S);
            Effect::Reject {
                status: close.status,
                q850: close.q850,
                reason,
                retry_after_s,
            }
        });
    }

    /// Whoever works for this call stops. A mask stays on: what is still in a buffer stays out too.
    fn release(&mut self) {
        if self.seat.is_taken() {
            self.put(Effect::StopAgent);
        }
        self.seat = super::agent::Seat::Empty;
        self.attesting = super::attesting::Proof::Unasked;
        self.digits.cancel();
        match std::mem::replace(&mut self.task, Task::Ready) {
            Task::Dialing(run) | Task::Joining(run) => self.put(Effect::CancelDial {
                attempt: run.attempt(),
            }),
            Task::Joined(_) => self.put(Effect::Unjoin),
            Task::InRoom(run) => {
                if run.plays() {
                    self.put(Effect::StopPlayout);
                }
                self.put(Effect::LeaveRoom);
                if run.caller_left() {
                    self.put(Effect::Unjoin);
                }
            }
            Task::Playing { .. } => self.put(Effect::StopPlayout),
            Task::Gathering(run) if GatherRun::plays(&run) => self.put(Effect::StopPlayout),
            Task::Consenting(run) if run.plays() => self.put(Effect::StopPlayout),
            Task::Sounding | Task::Tone { .. } => self.put(Effect::Mode(super::MediaMode::Normal)),
            Task::Ready
            | Task::Answering
            | Task::AwaitingAck { .. }
            | Task::Agent
            | Task::Referring(_)
            | Task::Gathering(_)
            | Task::Consenting(_)
            | Task::Sleeping { .. } => {}
        }
    }

    fn ending(&self, now: Duration, close: Close, answered: Option<Duration>) -> Ending {
        Ending {
            reason: close.reason,
            by: close.by,
            sip_status: Some(if answered.is_some() {
                200
            } else {
                close.status
            }),
            q850: close.q850,
            started: self.started_at,
            answered,
            ended: now,
            route: self.route.clone(),
            agent: self.agent.clone(),
        }
    }

    /// The record: the `ended` fact and [`Effect::Ended`], once.
    pub(super) fn file(&mut self) {
        if let Phase::Ending { ending, .. } = std::mem::replace(&mut self.phase, Phase::Over) {
            self.fact(CallFact::Ended(ending.fact()));
            self.put(Effect::Ended(ending));
        }
    }
}
