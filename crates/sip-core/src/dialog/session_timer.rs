//! Session timers (RFC 4028) in both roles: who refreshes, when, and when the far side counts as gone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::near_invite::{Kind, NearInvite};
use super::ties::via;
use super::{Dialog, EndCause, Ended, EndedBy, Phase, Refusal};
use crate::answer;
use crate::message::{Draft, Headers, Method, Request, Response, option_tags};
use crate::timers::earliest;
use crate::transaction::again_of;
use crate::value::Reason;
use crate::value::scan::{decimal, trim};

/// What we want of session timers. One that the far side asks for is kept whatever we ask for ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    /// The interval we ask for, in seconds; 0 asks for none.
    pub expires_s: u32,
    /// Shorter ones are refused with 422 (RFC 4028 §4 asks for at least 90).
    pub min_s: u32,
}

impl Default for SessionTimer {
    fn default() -> Self {
        Self {
            expires_s: 0,
            min_s: 90,
        }
    }
}

/// An agreed interval, in a form to keep on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInterval {
    /// Seconds from one refresh to the end.
    pub expires_s: u32,
    /// Whether it is us who refresh.
    pub ours: bool,
}

/// A refused interval is made longer at most so often.
const MAX_TRIES: u8 = 3;

/// After a refresh that came to nothing, the next one waits at least for this.
const RETRY: Duration = Duration::from_secs(1);

/// The timer of one dialog.
#[derive(Debug, Default)]
pub(super) struct Timer {
    interval: Option<SessionInterval>,
    refresh_at: Option<Duration>,
    expires_at: Option<Duration>,
    /// The largest Min-SE that the far side answered 422 with.
    far_min_s: u32,
    tries: u8,
}

impl Timer {
    /// Counts from now on (RFC 4028 §10): refresh at half of the interval, give up a little before its end.
    pub(super) fn start(&mut self, now: Duration, interval: Option<SessionInterval>) {
        self.interval = interval;
        self.tries = 0;
        self.refresh_at = None;
        self.expires_at = None;
        if let Some(SessionInterval { expires_s, ours }) = interval {
            let whole = Duration::from_secs(expires_s.into());
            let early = (whole / 3).min(Duration::from_secs(32));
            self.refresh_at = ours.then_some(now + whole / 2);
            self.expires_at = Some(now + (whole - early));
        }
    }

    /// After a crash nobody knows how much of the interval has passed: what is ours to refresh is refreshed at once.
    pub(super) fn resume(&mut self, now: Duration, interval: Option<SessionInterval>) {
        self.start(now, interval);
        self.refresh_at = self.refresh_at.map(|_| now);
    }

    pub(super) fn interval(&self) -> Option<SessionInterval> {
        self.interval
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        earliest([self.refresh_at, self.expires_at])
    }

    /// Whether a refresh is due; it is then counted as under way.
    fn take_refresh(&mut self, now: Duration) -> bool {
        let due = self.refresh_at.is_some_and(|at| now >= at);
        if due {
            self.refresh_at = None;
        }
        due
    }

    fn refresh_in(&mut self, now: Duration, wait: Duration) {
        self.refresh_at = Some(now + wait);
    }
}

/// What a message says of the session timer.
struct Said {
    expires_s: Option<u32>,
    /// `refresher=uac` is true.
    uac: Option<bool>,
    min_s: u32,
    /// The sender knows session timers.
    able: bool,
}

impl Said {
    fn by(headers: &Headers) -> Self {
        let value = headers.get("Session-Expires");
        let mut parts = value
            .into_iter()
            .flat_map(|value| value.split(is_semicolon));
        let expires_s = parts.next().and_then(seconds);
        let uac = parts.find_map(|param| match trim(param) {
            param if param.eq_ignore_ascii_case(b"refresher=uac") => Some(true),
            param if param.eq_ignore_ascii_case(b"refresher=uas") => Some(false),
            _ => None,
        });
        let tags = |name| option_tags(headers, name);
        let able = [tags("Supported"), tags("Require")]
            .concat()
            .iter()
            .any(|tag| tag.eq_ignore_ascii_case(b"timer"));
        Self {
            expires_s,
            uac,
            min_s: min_of(headers),
            able,
        }
    }
}

fn is_semicolon(byte: &u8) -> bool {
    *byte == b';'
}

/// Delta-seconds with a bound that no timer arithmetic minds: a day.
fn seconds(text: &[u8]) -> Option<u32> {
    let seconds = decimal(trim(text), u64::from(u32::MAX))?;
    u32::try_from(seconds.min(86_400)).ok()
}

fn min_of(headers: &Headers) -> u32 {
    let value = headers.get("Min-SE");
    let first = value.and_then(|value| value.split(is_semicolon).next());
    first.and_then(seconds).unwrap_or(0)
}

/// What a 2xx of ours says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    expires_s: u32,
    uac_refreshes: bool,
    /// The request's sender knows session timers.
    able: bool,
}

impl Granted {
    /// RFC 4028 §9.
    pub(super) fn write(granted: Option<Self>, draft: &mut Draft) {
        let Some(granted) = granted else { return };
        let who = if granted.uac_refreshes { "uac" } else { "uas" };
        let value = format!("{};refresher={who}", granted.expires_s);
        draft.header("Session-Expires", value);
        if granted.able && granted.uac_refreshes {
            draft.header("Require", "timer");
        }
    }

    fn interval(granted: Option<Self>) -> Option<SessionInterval> {
        granted.map(|granted| SessionInterval {
            expires_s: granted.expires_s,
            ours: !granted.uac_refreshes,
        })
    }
}

/// The refusal of an interval below `min_s`, where the sender would understand it (RFC 4028 §9).
pub(crate) fn too_short(headers: &Headers, min_s: u32) -> Option<Refusal> {
    let said = Said::by(headers);
    let short = said.able && said.expires_s.is_some_and(|expires_s| expires_s < min_s);
    short.then(|| Refusal {
        headers: vec![("Min-SE".into(), min_s.to_string())],
        ..Refusal::new(422)
    })
}

impl Dialog {
    /// RFC 4028 §9: 422 for an interval below ours, where the sender would understand it.
    pub(super) fn timer_refusal(&self, request: &Request) -> Option<Refusal> {
        too_short(request.headers(), self.config.session_timer.min_s)
    }

    /// What our 2xx to a request of the far side grants (RFC 4028 §9, table 2).
    pub(super) fn grant(&self, request: &Request) -> Option<Granted> {
        let said = Said::by(request.headers());
        let ours = self.config.session_timer.expires_s;
        let running = self.timer.interval();
        let expires_s = match (said.expires_s, running) {
            // It may be made shorter, but not below what the request or we call the minimum.
            (Some(asked), _) if ours > 0 => ours
                .max(said.min_s)
                .max(self.config.session_timer.min_s)
                .min(asked),
            (Some(asked), _) => asked,
            (None, Some(running)) if said.able || running.ours => running.expires_s,
            (None, _) if said.able && ours > 0 => ours.max(said.min_s),
            (None, _) => return None,
        };
        let kept = running.map(|running| !running.ours);
        let uac_refreshes = said.able && said.uac.or(kept).unwrap_or(said.expires_s.is_some());
        Some(Granted {
            expires_s: expires_s.max(1),
            uac_refreshes,
            able: said.able,
        })
    }

    /// Our 2xx to a refresh is on its way.
    pub(super) fn granted(&mut self, granted: Option<Granted>) {
        self.timer.start(self.now, Granted::interval(granted));
    }

    /// The far side's 2xx to a refresh (RFC 4028 §7.2): without Session-Expires there is no timer.
    pub(super) fn timer_answered(&mut self, response: &Response) {
        let said = Said::by(response.headers());
        let interval = said.expires_s.map(|expires_s| SessionInterval {
            expires_s: expires_s.max(1),
            ours: said.uac.unwrap_or(true),
        });
        self.timer.start(self.now, interval);
    }

    /// The headers of a request of ours that makes or refreshes a session.
    pub(super) fn timer_headers(&self, draft: &mut Draft) {
        draft.header("Supported", answer::supported(self.config.reliable));
        for (name, value) in self.timer_values() {
            draft.header(name, value);
        }
    }

    /// Session-Expires and Min-SE as they stand.
    fn timer_values(&self) -> Vec<(&'static str, String)> {
        let policy = self.config.session_timer;
        let floor = self.timer.far_min_s;
        let expires = match self.timer.interval() {
            // We are the UAC of this request, whoever was that of the call.
            Some(SessionInterval { expires_s, ours }) => {
                let who = if ours { "uac" } else { "uas" };
                Some(format!("{};refresher={who}", expires_s.max(floor)))
            }
            None if policy.expires_s > 0 => Some(policy.expires_s.max(floor).to_string()),
            None => None,
        };
        let min = (expires.is_some() && floor > 0).then(|| ("Min-SE", floor.to_string()));
        let expires = expires.map(|expires| ("Session-Expires", expires));
        expires.into_iter().chain(min).collect()
    }

    /// A 422 (RFC 4028 §7.4): the values for another try with the interval it wants; `None` when that was tried enough.
    pub(super) fn timer_too_short(
        &mut self,
        response: &Response,
    ) -> Option<Vec<(&'static str, String)>> {
        let min_s = min_of(response.headers());
        if self.timer.tries >= MAX_TRIES || min_s == 0 {
            return None;
        }
        self.timer.tries += 1;
        self.timer.far_min_s = self.timer.far_min_s.max(min_s);
        Some(self.timer_values())
    }

    /// RFC 4028 §7.4: once more with an interval that is long enough; `false` when that is of no use.
    pub(super) fn try_longer(&mut self, at: usize, response: &Response) -> bool {
        let live = match &self.phase {
            Phase::Calling { .. } | Phase::Confirmed => true,
            Phase::Invited { .. } | Phase::Ended => false,
        };
        let values = self.timer_too_short(response).filter(|_| live);
        values.is_some_and(|values| self.retry_invite(at, &values))
    }

    /// An INVITE of ours that was refused, sent again: next CSeq, new branch, these headers set anew, all else as it was.
    fn retry_invite(&mut self, at: usize, set: &[(&str, String)]) -> bool {
        let cseq = self.ties.next_cseq();
        let branch = self.tokens.branch();
        let Some(near) = self.near_invites.get_mut(at) else {
            return false;
        };
        let flow = near.flow;
        let via = via(flow.transport, &self.config, &branch);
        let Some(request) = again_of(&near.request, &via, cseq, set) else {
            return false;
        };
        // What was refused keeps its machine, which acknowledges repetitions, but speaks for nobody any more.
        let kind = std::mem::replace(&mut near.kind, Kind::Superseded);
        let request = self.signed(&Method::Invite, request);
        let again = NearInvite::new(self, (branch, cseq), flow, request, kind);
        self.near_invites.push(again);
        true
    }

    /// What is due of the session timer.
    pub(super) fn session_timeouts(&mut self) {
        if !matches!(self.phase, Phase::Confirmed) {
            return;
        }
        if self.timer.expires_at.is_some_and(|at| self.now >= at) {
            return self.session_expired(EndedBy::Timeout, 408, "Session timer expired");
        }
        if self.timer.take_refresh(self.now) {
            self.wishes.refresh = true;
        }
    }

    /// Sends a refresh: UPDATE without a body where the far side knows it, else the INVITE with the SDP that it has (RFC 4028 §7.4).
    pub(super) fn send_refresh(&mut self) {
        if !self.ties.allows_update {
            return self.send_reinvite_refresh();
        }
        let cseq = self.ties.next_cseq();
        let branch = self.tokens.branch();
        let mut draft = self
            .ties
            .request(&Method::Update, cseq, &branch, &self.config);
        draft.header("Contact", self.ties.contact(&self.config));
        draft.header("Allow", answer::ALLOW);
        self.timer_headers(&mut draft);
        let flow = self.ties.next_hop(self.config.next_hop);
        self.submit(Method::Update, branch, flow, draft.finish(b""));
    }

    /// The answer to a refreshing UPDATE.
    pub(super) fn refresh_done(&mut self, status: u16, response: Option<&Response>) {
        match (status, response) {
            (200..=299, Some(response)) => {
                self.ties.refresh_target(response.contact());
                self.timer_answered(response);
            }
            // The far side does not know UPDATE, whatever its Allow said.
            (405 | 501, Some(_)) => {
                self.ties.allows_update = false;
                self.wishes.refresh = true;
            }
            (status, response) => self.refresh_failed(status, response),
        }
    }

    /// A refresh that was refused, or not answered at all.
    pub(super) fn refresh_failed(&mut self, status: u16, response: Option<&Response>) {
        if !matches!(self.phase, Phase::Confirmed) {
            return;
        }
        match (status, response) {
            // RFC 3261 §12.2.1.2: there is no such dialog, or nobody.
            (408 | 481, _) => {
                let by = if response.is_some() {
                    EndedBy::Remote
                } else {
                    EndedBy::Timeout
                };
                self.session_expired(by, status, "Session refresh failed");
            }
            (422, Some(response)) if self.timer_too_short(response).is_some() => {
                self.wishes.refresh = true;
            }
            (491, _) => {
                let wait = self.glare_wait();
                self.timer.refresh_in(self.now, wait);
            }
            // The session lives on until it expires; another try may succeed.
            _ => {
                let left = self
                    .timer
                    .expires_at
                    .map_or(Duration::ZERO, |at| at.saturating_sub(self.now));
                self.timer.refresh_in(self.now, (left / 2).max(RETRY));
            }
        }
    }

    /// RFC 4028 §10: BYE.
    fn session_expired(&mut self, by: EndedBy, status: u16, text: &str) {
        let reason = Reason::sip(status, text);
        self.bye(Some(&reason));
        self.end(Ended::new(by, EndCause::SessionExpired).because(Some(reason)));
    }
}
