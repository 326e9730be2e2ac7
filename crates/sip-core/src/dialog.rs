//! One SIP dialog, as UAS or UAC: RFC 3261 §12–§15 with INFO (RFC 6086) and UPDATE (RFC 3311).
//!
//! It owns the transactions of its call, its sequence numbers and route set, and the offer/answer state. The call tells it what
//! to do ([`DialogInput`]) and hears what happened ([`DialogEvent`]). Re-INVITEs and UPDATEs of the far side are answered by itself
//! with the codecs and address it has; the call hears of it only when the media changed.
//!
//! After `Ended` it lives on until its transactions are done, then says `Finished`.

mod config;
mod early;
mod event;
mod far_invite;
mod far_request;
mod id;
mod near_auth;
mod near_invite;
mod near_request;
mod refer;
mod reliable;
mod resume;
mod seed;
pub(crate) mod session_timer;
mod targets;
mod ties;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

pub use config::{DialogConfig, NextHop, OutboundCall, Refusal};
pub use event::{DialogEffect, DialogEvent, DialogInput, EndCause, Ended, EndedBy};
pub use id::DialogId;
pub use refer::{ReferOrder, ReferRequest};
pub use reliable::Reliable;
pub use seed::{DialogSeed, FinishedTransaction, OpenKind, OpenTransaction, Role, Stage};
pub use session_timer::{SessionInterval, SessionTimer};

use crate::digest::Asker;
use crate::endpoint::NewInvite;
use crate::flow::Flow;
use crate::message::{Message, Request};
use crate::offer_answer::{AgreedMedia, Direction, MediaAddress, Session};
use crate::timers::earliest;
use crate::tokens::TokenSource;
use crate::transaction::TransactionKey;
use crate::value::{Reason, Uri};
use far_invite::FarInvite;
use far_request::FarRequest;
use near_invite::NearInvite;
use near_request::NearRequest;
use refer::Refers;
use reliable::Provisionals;
use session_timer::Timer;
use targets::Targets;
use ties::Ties;

/// A proxy on the way forgets an INVITE after three minutes without news (timer C), so ringing is repeated each minute
/// (RFC 3261 §13.3.1.1).
const RINGING_REPEAT: Duration = Duration::from_secs(60);

/// Far-side requests remembered at once; the oldest makes room.
const MAX_FAR_REQUESTS: usize = 64;

/// INVITEs of the far side remembered at once; beyond, they are refused 503 without a machine.
const MAX_FAR_INVITES: usize = 16;

/// Requests of ours under way at once; beyond, an INFO is not sent.
const MAX_NEAR_REQUESTS: usize = 32;

/// One dialog.
#[derive(Debug)]
pub struct Dialog {
    config: DialogConfig,
    tokens: TokenSource,
    ties: Ties,
    phase: Phase,
    session: Session,
    invite_key: Option<TransactionKey>,
    merge_key: Option<TransactionKey>,
    far_invites: Vec<FarInvite>,
    far_requests: VecDeque<FarRequest>,
    near_invites: Vec<NearInvite>,
    near_requests: Vec<NearRequest>,
    wishes: Wishes,
    /// Answers the challenges of the far side, when we have a login there.
    asker: Option<Asker>,
    targets: Targets,
    provisionals: Provisionals,
    timer: Timer,
    refers: Refers,
    effects: VecDeque<DialogEffect>,
    finished: bool,
    now: Duration,
}

/// Where the dialog stands.
#[derive(Debug)]
enum Phase {
    /// UAS, no final response yet.
    Invited {
        invite: Box<Request>,
        /// When to repeat 18x.
        repeat_at: Duration,
    },
    /// UAC, no final response yet.
    Calling {
        /// When to give up.
        ring_until: Option<Duration>,
    },
    /// Answered.
    Confirmed,
    /// `Ended` was said; transactions may linger.
    Ended,
}

/// What waits for its moment.
#[derive(Debug, Default)]
struct Wishes {
    /// A 2xx that must wait for the PRACK of what it would contradict (RFC 3262 §3).
    answer: Option<MediaAddress>,
    /// The session timer is to be refreshed.
    refresh: bool,
    /// A hang-up that must wait for the ACK of our 2xx (RFC 3261 §15).
    hangup: Option<Option<Reason>>,
    /// A re-INVITE that must wait for another one.
    reoffer: Option<(Direction, Option<MediaAddress>)>,
    /// When to try again after 491 (RFC 3261 §14.1).
    reoffer_at: Option<Duration>,
}

impl Dialog {
    /// A call that came in. 100 goes out at once; an offer without a common codec is refused 488, a broken one 400.
    pub fn uas(
        now: Duration,
        config: DialogConfig,
        mut tokens: TokenSource,
        invite: NewInvite,
    ) -> Self {
        let NewInvite {
            dialog_id,
            flow,
            request,
        } = invite;
        let ties = Ties::of_invite(dialog_id, flow, &request, tokens.cseq_start());
        let phase = Phase::Invited {
            invite: Box::new(request.clone()),
            repeat_at: now + RINGING_REPEAT,
        };
        let mut dialog = Self::start(now, config, tokens, ties, phase);
        dialog.invite_key = Some(TransactionKey::of(&request));
        dialog.merge_key = Some(TransactionKey::of_merge(&request));
        dialog.invited(flow, &request);
        dialog.settle();
        dialog
    }

    /// A call to place. The INVITE is the first [`DialogEffect::Transmit`]: adopt [`Self::id`] at the endpoint before sending it.
    pub fn uac(
        now: Duration,
        config: DialogConfig,
        mut tokens: TokenSource,
        call: &OutboundCall,
    ) -> Self {
        let ties = Ties {
            id: DialogId {
                call_id: tokens.call_id(),
                local_tag: tokens.tag(),
            },
            role: Role::Uac,
            remote_tag: None,
            local: call.from.without_tag(),
            remote: near_invite::to_of(call),
            target: call.target.clone(),
            routes: Vec::new(),
            local_cseq: tokens.cseq_start(),
            remote_cseq: None,
            flow: call.flow,
            allows_update: false,
            secure: ties::is_secure(call),
        };
        let phase = Phase::Calling {
            ring_until: call.ring_timeout.map(|wait| now + wait),
        };
        let mut dialog = Self::start(now, config, tokens, ties, phase);
        dialog.place(call);
        dialog.first_target();
        dialog.settle();
        dialog
    }

    fn start(
        now: Duration,
        config: DialogConfig,
        mut tokens: TokenSource,
        ties: Ties,
        phase: Phase,
    ) -> Self {
        let session =
            Session::new(config.media.clone(), tokens.session_id()).keyed(tokens.secret());
        Self {
            asker: config.login.clone().map(Asker::new),
            config,
            tokens,
            ties,
            phase,
            session,
            invite_key: None,
            merge_key: None,
            far_invites: Vec::new(),
            far_requests: VecDeque::new(),
            near_invites: Vec::new(),
            near_requests: Vec::new(),
            wishes: Wishes::default(),
            targets: Targets::default(),
            provisionals: Provisionals::default(),
            timer: Timer::default(),
            refers: Refers::default(),
            effects: VecDeque::new(),
            finished: false,
            now,
        }
    }

    /// Its name: Call-ID and our tag.
    pub fn id(&self) -> &DialogId {
        &self.ties.id
    }

    /// Where it was set up from, or last heard from on a connection.
    pub fn flow(&self) -> Flow {
        self.ties.flow
    }

    /// Where our requests inside the dialog go by name: the first route, else the remote target (RFC 3261 §12.2.1.1). For
    /// a connection that is gone.
    pub fn next_uri(&self) -> Uri {
        self.ties.next_uri()
    }

    /// The media as agreed so far.
    pub fn agreed(&self) -> Option<&AgreedMedia> {
        self.session.agreed()
    }

    /// Whether `Finished` was said.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// A step of the machine.
    pub fn handle(&mut self, now: Duration, input: DialogInput) {
        self.now = now;
        match input {
            DialogInput::Received { flow, message } => match *message {
                Message::Request(request) => self.far_request(flow, &request),
                Message::Response(response) => self.response(&response),
            },
            DialogInput::Ring => self.ring(),
            DialogInput::Progress { media } => self.progress(media),
            DialogInput::Answer { media } => self.answer(media),
            DialogInput::Reject(refusal) => self.reject(&refusal),
            DialogInput::Hangup { reason } => self.hangup(reason),
            DialogInput::Reoffer { direction, media } => self.reoffer(direction, media),
            DialogInput::SendInfo { content_type, body } => self.send_info(&content_type, &body),
            DialogInput::Refer(order) => self.refer(&order),
            DialogInput::AnswerRefer { status } => self.answer_refer(status),
            DialogInput::ReferNews { status, last } => self.refer_news(status, last),
            DialogInput::TransportFailed { flow } => self.transport_failed(flow),
            DialogInput::NextTarget {
                flow,
                contact,
                more,
            } => self.next_target(flow, contact, more),
            DialogInput::NoTarget => self.no_target(),
        }
        self.settle();
    }

    /// The next effect.
    pub fn poll_effect(&mut self) -> Option<DialogEffect> {
        self.effects.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.finished {
            return None;
        }
        let phase = match &self.phase {
            Phase::Invited { repeat_at, .. } => {
                earliest([Some(*repeat_at), self.provisionals.poll_timeout()])
            }
            Phase::Calling { ring_until } => *ring_until,
            Phase::Confirmed => earliest([
                self.wishes.reoffer_at,
                self.timer.poll_timeout(),
                self.refers.poll_timeout(),
            ]),
            Phase::Ended => None,
        };
        let far = self.far_invites.iter().map(FarInvite::poll_timeout);
        let far_requests = self.far_requests.iter().map(|far| far.tx.poll_timeout());
        let near = self.near_invites.iter().map(|near| near.tx.poll_timeout());
        let near_requests = self.near_requests.iter().map(|near| near.tx.poll_timeout());
        earliest(
            [phase, self.targets.poll_timeout()]
                .into_iter()
                .chain(far)
                .chain(far_requests)
                .chain(near)
                .chain(near_requests),
        )
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.now = now;
        self.target_timeout();
        self.far_invite_timeouts();
        self.reliable_timeouts();
        self.session_timeouts();
        self.refer_timeouts();
        for far in &mut self.far_requests {
            far.tx.handle_timeout(now);
        }
        for near in &mut self.near_invites {
            near.tx.handle_timeout(now);
        }
        for near in &mut self.near_requests {
            near.tx.handle_timeout(now);
        }
        match &self.phase {
            Phase::Invited { repeat_at, .. } if now >= *repeat_at => self.repeat_ringing(),
            Phase::Calling {
                ring_until: Some(until),
            } if now >= *until => self.stop_ringing(),
            Phase::Confirmed if self.wishes.reoffer_at.is_some_and(|at| now >= at) => {
                self.wishes.reoffer_at = None;
            }
            Phase::Invited { .. } | Phase::Calling { .. } | Phase::Confirmed | Phase::Ended => {}
        }
        self.settle();
    }

    /// Carries out what the transactions want, then what waited for it, until nothing moves.
    fn settle(&mut self) {
        while self.pump_far() | self.pump_near() | self.grant_wishes() {}
        self.far_requests.retain(|far| !far.tx.is_terminated());
        self.near_requests.retain(|near| !near.tx.is_terminated());
        self.near_invites.retain(|near| !near.tx.is_terminated());
        self.far_invites
            .retain(|far| far.initial || far.is_open() || !far.tx.is_terminated());
        self.finish();
    }

    /// RFC 3261 §15: no BYE before the ACK of our 2xx; §14.1: one re-INVITE at a time.
    fn grant_wishes(&mut self) -> bool {
        if let Phase::Invited { .. } = self.phase
            && !self.provisionals.holds_answer()
            && let Some(media) = self.wishes.answer.take()
        {
            self.answer(media);
            return true;
        }
        if !matches!(self.phase, Phase::Confirmed) {
            return false;
        }
        if !self.awaits_first_ack()
            && let Some(reason) = self.wishes.hangup.take()
        {
            self.bye(reason.as_ref());
            self.end(Ended::new(EndedBy::Local, EndCause::Bye).because(reason));
            return true;
        }
        if self.may_reoffer()
            && self.wishes.reoffer_at.is_none()
            && let Some((direction, media)) = self.wishes.reoffer.take()
        {
            self.send_reoffer(direction, media);
            return true;
        }
        if self.wishes.refresh && self.may_reoffer() {
            self.wishes.refresh = false;
            self.send_refresh();
            return true;
        }
        false
    }

    fn hangup(&mut self, reason: Option<Reason>) {
        match &self.phase {
            Phase::Invited { .. } => {
                let refusal = Refusal {
                    reason,
                    ..Refusal::new(480)
                };
                self.reject(&refusal);
            }
            Phase::Calling { .. } => self.cancel(reason),
            Phase::Confirmed => self.wishes.hangup = Some(reason),
            Phase::Ended => {}
        }
    }

    /// Says `Ended`, once.
    fn end(&mut self, ended: Ended) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        // A transfer that nobody decided on is over with the call.
        self.answer_refer(603);
        self.phase = Phase::Ended;
        self.wishes = Wishes::default();
        self.targets = Targets::default();
        self.event(DialogEvent::Ended(Box::new(ended)));
    }

    /// Says `Finished` once nothing of ours is under way and no ACK is awaited.
    fn finish(&mut self) {
        let quiet = matches!(self.phase, Phase::Ended)
            && !self.finished
            && self.near_invites.is_empty()
            && !self.near_requests.iter().any(|near| near.tx.is_pending())
            && !self.far_invites.iter().any(FarInvite::is_open);
        if quiet {
            self.finished = true;
            self.event(DialogEvent::Finished);
        }
    }

    fn event(&mut self, event: DialogEvent) {
        self.effects.push_back(DialogEffect::Event(event));
    }

    fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.effects
            .push_back(DialogEffect::Transmit { flow, bytes });
    }

    fn media_event(&mut self, agreed: Option<AgreedMedia>) {
        if let Some(agreed) = agreed {
            self.event(DialogEvent::Media(Box::new(agreed)));
        }
    }
}
