//! Who comes in where passwords are asked for: challenges of INVITE and REGISTER.

use std::{sync::Arc, time::Duration};

use sip_core::{
    dialog::Refusal,
    digest::{Algorithm, Credentials, DigestServer, Verdict},
    endpoint::{EndpointInput, NewInvite, Register},
    message::Request,
    registrar::Place,
    value::Uri,
};

use super::{Args, State};
use crate::{
    entropy,
    gate::Why,
    registrar::{Directory, Identity},
};

/// Nonces in use that are remembered.
const MAX_NONCES: usize = 65_536;

/// The password check of one listener.
pub(super) struct Door {
    digest: DigestServer,
}

/// What a request is worth.
enum Judged {
    /// It is from this extension.
    Known(Arc<Identity>),
    /// It must prove itself first; `wrong` when it tried to.
    Unknown {
        challenges: Vec<String>,
        wrong: bool,
    },
}

impl Door {
    /// The door of a profile, with a key of its own: nonces of an earlier listener are stale.
    pub(super) fn of(args: &Args) -> Self {
        let digest = &args.profile.settings.digest;
        let algorithms = digest.algorithms.iter().map(|algorithm| match algorithm {
            settings::DigestAlgorithm::Md5 => Algorithm::Md5,
            settings::DigestAlgorithm::Sha256 => Algorithm::Sha256,
        });
        let key = entropy::bytes();
        let algorithms = algorithms.collect();
        Self {
            digest: DigestServer::new(key, digest.nonce, MAX_NONCES, algorithms),
        }
    }

    /// An unknown domain, an unknown user and a wrong password get the very same answer.
    fn judge(
        &mut self,
        now: Duration,
        directory: &Directory,
        request: &Request,
        realm: &str,
    ) -> Judged {
        let given = Credentials::find(request.headers(), "Authorization", realm);
        let mut stale = false;
        if let Some(given) = &given {
            let account = directory.secret(&given.user, realm, given.algorithm);
            let secret = account.as_ref().map(|(_, secret)| secret);
            let verdict = self.digest.judge(now, request.method(), given, secret);
            match (verdict, account) {
                (Verdict::Good, Some((identity, _))) => return Judged::Known(identity),
                (Verdict::Stale, _) => stale = true,
                (Verdict::Good | Verdict::Bad, _) => {}
            }
        }
        Judged::Unknown {
            challenges: self.digest.challenges(now, realm, stale),
            wrong: given.is_some() && !stale,
        }
    }
}

/// The domain that an address claims, as it stands in the directory.
fn domain_of(uri: &Uri) -> String {
    let host = uri.host().map(ToString::to_string).unwrap_or_default();
    host.to_ascii_lowercase()
}

/// Who calls on a profile with passwords; none when it was challenged.
pub(super) fn caller(state: &mut State, invite: &NewInvite) -> Result<Arc<Identity>, Refusal> {
    let now = state.args.clock.now();
    let directory = state.args.registrar.directory();
    let realm = domain_of(invite.request.from().uri());
    match state.door.judge(now, &directory, &invite.request, &realm) {
        Judged::Known(identity) => Ok(identity),
        Judged::Unknown { challenges, wrong } => {
            if wrong {
                let source = invite.flow.remote.ip();
                state.args.wire.offended(source, Why::Auth);
            }
            let header = |value| ("WWW-Authenticate".to_owned(), value);
            Err(Refusal {
                headers: challenges.into_iter().map(header).collect(),
                ..Refusal::new(401)
            })
        }
    }
}

/// Answers a REGISTER: challenge, refusal, or what the registrar says.
pub(super) fn register(state: &mut State, register: Box<Register>) {
    let now = state.args.clock.now();
    let (status, headers) = answer(state, now, &register);
    let input = EndpointInput::Answer {
        register,
        status,
        headers,
    };
    state.endpoint.handle(now, input);
}

type Said = (u16, Vec<(&'static str, Vec<u8>)>);

fn answer(state: &mut State, now: Duration, register: &Register) -> Said {
    let request = &register.request;
    let directory = state.args.registrar.directory();
    // RFC 3261 §10.3: the address of record is in To; its domain is the realm.
    let realm = domain_of(request.to().uri());
    let judged = state.door.judge(now, &directory, request, &realm);
    let identity = match judged {
        Judged::Known(identity) => identity,
        Judged::Unknown { challenges, wrong } => {
            if wrong {
                let source = register.flow.remote.ip();
                state.args.wire.offended(source, Why::Auth);
            }
            let headers = challenges.into_iter();
            let headers = headers.map(|value| ("WWW-Authenticate", value.into_bytes()));
            return (401, headers.collect());
        }
    };
    // Step 4: nobody registers for somebody else.
    if request.to().uri().user().as_deref() != Some(identity.user.as_str()) {
        return (403, Vec::new());
    }
    let place = Place {
        aor: &identity.aor(),
        profile: &state.args.profile.name,
        flow: register.flow,
    };
    let answer = state.args.registrar.register(&place, request);
    (answer.status, answer.headers)
}
