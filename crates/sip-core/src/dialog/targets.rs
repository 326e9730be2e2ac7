//! The next target of a call we place, when one cannot take it (RFC 3263 §4.3).
//!
//! The INVITE goes out again as it was – Call-ID, tags, CSeq, body – with another branch, to another place. The old
//! transaction is left to itself: should its target wake up, a provisional response is cancelled and a 2xx acknowledged and
//! ended, like a fork that lost.

use std::time::Duration;

use bytes::Bytes;

use super::near_invite::{Cancel, Kind, NearInvite};
use super::ties::via;
use super::{Dialog, DialogEffect, Ended, Phase};
use crate::flow::Flow;
use crate::message::{Draft, Framing, Message, parse};
use crate::offer_answer::MediaAddress;
use crate::value::Reason;

/// How long a target may stay silent while there is another one: three tries over UDP. Carriers that mean to take a call
/// say 100 within 200 ms; a caller does not wait for timer B.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a call we place knows of its other targets.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// Whether there are more.
    more: bool,
    /// When the present one has been silent for too long.
    until: Option<Duration>,
    waiting: Option<Waiting>,
}

/// A call between two targets.
#[derive(Debug)]
struct Waiting {
    request: Bytes,
    cseq: u32,
    media: MediaAddress,
    /// What is said when there is no other target after all.
    ended: Ended,
}

impl Targets {
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.until
    }
}

impl Dialog {
    /// The call's first INVITE goes out.
    pub(super) fn first_target(&mut self) {
        self.targets.more = self.config.more_targets;
        self.targets.until = self.targets.more.then(|| self.now + PATIENCE);
    }

    /// The present target has said nothing in time: it is given up, and cancelled should it wake up.
    pub(super) fn target_timeout(&mut self) {
        if self.targets.until.is_none_or(|until| self.now < until) {
            return;
        }
        self.targets.until = None;
        let at = self.near_invites.len().saturating_sub(1);
        let silent = |near: &NearInvite| near.tx.is_pending() && !near.tx.is_proceeding();
        if self.near_invites.get(at).is_some_and(silent) {
            let ended = Ended::new(super::EndedBy::Timeout, super::EndCause::NoResponse);
            self.want_target(at, ended);
        }
    }

    /// Whether another target is asked for instead of ending the call: after 503, silence, or a transport that failed.
    pub(super) fn target_failed(&mut self, at: usize, status: u16, ended: &Ended) -> bool {
        let failed = status == 503 || ended.response.is_none();
        failed && self.want_target(at, ended.clone())
    }

    fn want_target(&mut self, at: usize, ended: Ended) -> bool {
        let calling = matches!(self.phase, Phase::Calling { .. });
        if !calling || !self.targets.more || self.targets.waiting.is_some() {
            return false;
        }
        let Some(near) = self.near_invites.get_mut(at) else {
            return false;
        };
        let Kind::Call { cancel, media, .. } = &mut near.kind else {
            return false;
        };
        if *cancel != Cancel::No {
            return false;
        }
        *cancel = Cancel::Wanted(Some(Reason::sip(503, "Next target")));
        near.tx.fall_silent();
        self.targets.until = None;
        self.targets.waiting = Some(Waiting {
            request: near.request.clone(),
            cseq: near.cseq,
            media: *media,
            ended,
        });
        self.effects.push_back(DialogEffect::WantTarget);
        true
    }

    /// Here is one: `contact` is how we are reached on its flow.
    pub(super) fn next_target(&mut self, flow: Flow, contact: (String, u16), more: bool) {
        let Some(waiting) = self.targets.waiting.take() else {
            return;
        };
        if !matches!(self.phase, Phase::Calling { .. }) {
            return;
        }
        (self.config.contact_host, self.config.contact_port) = contact;
        self.ties.flow = flow;
        let branch = self.tokens.branch();
        let Some(request) = self.readdressed(&waiting.request, flow, &branch) else {
            return self.end(waiting.ended);
        };
        let kind = Kind::Call {
            cancel: Cancel::No,
            media: waiting.media,
            early: Vec::new(),
        };
        self.targets.more = more;
        self.targets.until = more.then(|| self.now + PATIENCE);
        let near = NearInvite::new(self, (branch, waiting.cseq), flow, request, kind);
        self.near_invites.push(near);
    }

    /// There is none.
    pub(super) fn no_target(&mut self) {
        self.targets.more = false;
        if let Some(waiting) = self.targets.waiting.take() {
            self.end(waiting.ended);
        }
    }

    /// The same INVITE with another Via and Contact.
    fn readdressed(&self, request: &Bytes, flow: Flow, branch: &[u8]) -> Option<Bytes> {
        let Ok(Message::Request(invite)) = parse(request, Framing::Datagram) else {
            return None;
        };
        let mut draft = Draft::request(invite.method(), invite.uri().raw());
        for header in invite.headers().iter() {
            if header.is("Via") {
                draft.header("Via", via(flow.transport, &self.config, branch));
            } else if header.is("Contact") {
                draft.header("Contact", self.ties.contact(&self.config));
            } else if !header.is("Content-Length") {
                draft.raw_header(&header.name, &header.value);
            }
        }
        Some(draft.finish(invite.body()))
    }
}

impl NearInvite {
    /// Whether its target was given up: what it still says is none of the call's news.
    pub(super) fn is_given_up(&self) -> bool {
        match &self.kind {
            Kind::Call { cancel, .. } => *cancel != Cancel::No,
            Kind::Reoffer { .. } | Kind::Refresh | Kind::Superseded => false,
        }
    }
}
