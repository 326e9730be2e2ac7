//! The proof of who calls (STIR/SHAKEN, RFC 8224). It is looked for beside the call: ringing never
//! waits for it, and the answer only where a call without proof is refused.

use std::time::Duration;

use model::EndReason;
use model::fact::{Attestation, Verstat};

use super::ending::Close;
use super::{Call, CallFact, Effect};
use crate::dialplan::Variables;

/// What a missing or broken proof means to a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Attesting {
    /// Nobody looks.
    #[default]
    Off,
    /// It goes into the record.
    Note,
    /// Into the record, and the call is refused.
    Refuse,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// For the record.
    pub attestation: Attestation,
    /// Status and phrase of the refusal, unless the proof holds (RFC 8224 §6.2.2).
    pub refusal: Option<(u16, &'static str)>,
}

impl Attested {
    /// Nobody had an answer in time: a certificate that could not be had.
    pub(super) fn late() -> Attested {
        Attested {
            attestation: Attestation {
                verstat: Verstat::Failed,
                level: None,
                origid: None,
                reason: Some("late".to_owned()),
            },
            refusal: Some((436, "Bad Identity Info")),
        }
    }
}

/// Where the search stands.
#[derive(Debug, Default)]
pub(super) enum Proof {
    /// Nobody looks, or the call has not begun.
    #[default]
    Unasked,
    /// Somebody looks, until then.
    Awaited { deadline: Duration, refuse: bool },
    /// Found, or not.
    Settled(Attestation),
}

impl Proof {
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self {
            Proof::Awaited { deadline, .. } => Some(*deadline),
            Proof::Unasked | Proof::Settled(_) => None,
        }
    }

    /// Whether a 2xx would come before the refusal.
    pub(super) fn holds_the_answer(&self) -> bool {
        matches!(self, Proof::Awaited { refuse: true, .. })
    }

    /// The dialplan's variables, once there is something to tell.
    pub(super) fn tell(&self, variables: &mut Variables) {
        let Proof::Settled(attestation) = self else {
            return;
        };
        variables.set("verstat", attestation.verstat.as_str());
        if let Some(level) = attestation.level {
            variables.set("attestation", level.as_str());
        }
    }
}

impl Call {
    /// The call begins: somebody starts to look.
    pub(super) fn attest(&mut self, now: Duration) {
        let refuse = match self.incoming.attesting {
            Attesting::Off => return,
            Attesting::Note => false,
            Attesting::Refuse => true,
        };
        let deadline = now.saturating_add(self.config.limits.attest);
        self.attesting = Proof::Awaited { deadline, refuse };
        self.put(Effect::Attest);
    }

    /// The first word counts; what comes after the limit is not heard any more.
    pub(super) fn attested(&mut self, now: Duration, found: Attested) {
        let Proof::Awaited { refuse, .. } = self.attesting else {
            return;
        };
        self.fact(CallFact::Attested(found.attestation.clone()));
        self.attesting = Proof::Settled(found.attestation);
        if let Some((status, phrase)) = found.refusal.filter(|_| refuse) {
            let close = Close::server(EndReason::CallerUnverified, status, 21);
            return self.refused(now, close, phrase);
        }
        if let Some(walk) = &mut self.walk {
            self.attesting.tell(walk.variables_mut());
        }
        self.answer_when_ready(now);
    }
}
