//! The proof of who calls, looked for beside the call.

use call_core::{
    call::{Attested, Attesting, Input, LineNews},
    trunk::Received,
};
use model::fact::{Attestation, AttestationLevel, Verstat};
use settings::StirPolicy;
use sip_core::{
    identity::{Identities, Source},
    message::Request,
    shaken::{self, Attest, Parties, Verdict},
};

use super::{Msg, State, party};
use crate::{clock, stir::Moment, trunk_book::TrunkLine};

/// What the trunk wants; whoever comes over none has shown a password, or is a neighbour.
pub(super) fn wanted(state: &State) -> Attesting {
    let Some(line) = &state.args.arrived.trunk else {
        return Attesting::Off;
    };
    let settings = state.services().settings.current();
    match line.settings.stir.unwrap_or(settings.server.stir.policy) {
        StirPolicy::Off => Attesting::Off,
        StirPolicy::Note => Attesting::Note,
        StirPolicy::Refuse => Attesting::Refuse,
    }
}

/// Begins to look. The call machine does not wait longer than it wants to.
pub(super) fn look(state: &State) {
    let Some(line) = &state.args.arrived.trunk else {
        return;
    };
    let Some(request) = state.args.facing.invite().map(|invite| &invite.request) else {
        return;
    };
    let passports = shaken::passports(request.headers());
    let parties = parties(request, line);
    let (me, services) = (state.me.clone(), state.services().clone());
    tokio::spawn(async move {
        let at = Moment {
            unix_s: clock::unix_ms().div_euclid(1_000),
            now: services.clock.now(),
        };
        let verdict = services.stir.verify(at, &passports, &parties).await;
        let _ = me.cast(Msg::Attested(verdict));
    });
}

/// The verdict, for the call machine.
pub(super) fn found(state: &mut State, verdict: &Verdict) {
    let attested = Attested {
        attestation: attestation(verdict),
        refusal: verdict.refusal(),
    };
    let news = LineNews::Attested(Box::new(attested));
    state.inbox.push_back(Input::Line(news));
}

/// Caller and called as the trunk means them. The caller is the one whom the record names, so that no
/// other number's proof is counted for it; but who forwarded a call is not who calls.
fn parties(request: &Request, line: &TrunkLine) -> Parties {
    let identities = Identities::read(request.from(), request.headers());
    let order = line.identity_in.iter().copied();
    let order: Vec<Source> = order.filter(|of| *of != Source::Diversion).collect();
    let number = |user: &str| match line.plan.received(user) {
        Received::Number(number) | Received::Other(number) => number,
        Received::Anonymous => String::new(),
    };
    Parties {
        caller: number(&identities.caller(&order).user),
        called: [request.uri(), request.to().uri()]
            .map(|uri| number(&party(uri)))
            .into(),
    }
}

fn attestation(verdict: &Verdict) -> Attestation {
    let (verstat, level, origid, reason) = match verdict {
        Verdict::Verified { attest, origid, .. } => {
            let level = match attest {
                Attest::Full => AttestationLevel::A,
                Attest::Partial => AttestationLevel::B,
                Attest::Gateway => AttestationLevel::C,
            };
            (Verstat::Passed, Some(level), Some(origid.clone()), None)
        }
        Verdict::Failed(failure) => (Verstat::Failed, None, None, Some(failure.to_string())),
        Verdict::NoSignature => (Verstat::Absent, None, None, None),
    };
    Attestation {
        verstat,
        level,
        origid,
        reason,
    }
}
