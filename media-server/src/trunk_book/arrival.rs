//! An INVITE at the door: which trunk it belongs to, and what that trunk says about the parties.

use std::sync::Arc;

use call_core::trunk::{Arrival, Candidate, Chosen, Received, Unchosen, choose};
use model::TenantId;
use settings::Auth;
use sip_core::{endpoint::NewInvite, identity::Identities, message::Request};

use super::{Directory, TrunkLine};
use crate::{call::party, profile::Profile, registrar::Identity};

/// An INVITE that may come in.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// The trunk it came over, where it came over one.
    pub trunk: Option<Arc<TrunkLine>>,
    /// Whose call it is, as far as known now.
    pub tenant: Option<TenantId>,
    /// Who calls whom.
    pub parties: Parties,
}

/// Who calls whom, as far as it is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parties {
    /// Called: E.164 where it is a number, else the user part.
    pub to: String,
    /// Calling: E.164, a user part, or `anonymous`.
    pub from: String,
    /// The caller's name for people.
    pub name: Option<String>,
    /// The caller does not want the called party to know.
    pub hidden: bool,
    /// Who forwarded the call to us.
    pub forwarded_by: Option<String>,
    /// Why it was forwarded.
    pub forwarded_reason: Option<String>,
}

impl Arrived {
    /// The call of an extension that knew its password: by that name, whatever From says.
    pub fn by(identity: &Identity, invite: &NewInvite) -> Arrived {
        let name = Some(identity.display_name.clone()).filter(|name| !name.is_empty());
        let parties = Parties {
            from: identity.user.clone(),
            name,
            ..parties(&invite.request, None)
        };
        Arrived {
            trunk: None,
            tenant: Some(identity.tenant),
            parties,
        }
    }
}

impl Directory {
    /// Whether and as what an INVITE comes in over a profile.
    ///
    /// # Errors
    /// [`Unchosen`]: 403, 404 or 503.
    pub fn arrive(&self, profile: &Profile, invite: &NewInvite) -> Result<Arrived, Unchosen> {
        let request = &invite.request;
        let source = invite.flow.remote.ip();
        let lines: Vec<_> = self.of_profile(&profile.name).collect();
        let candidates: Vec<_> = lines
            .iter()
            .filter_map(|line| {
                let bits = line.bits(source)?;
                Some(self.candidate(line, bits, request))
            })
            .collect();
        let headers = texts(request);
        let host = request.uri().host().map(ToString::to_string);
        let arrival = Arrival {
            host: host.as_deref().unwrap_or_default(),
            headers: &headers,
            digest_user: None,
        };
        match choose(&arrival, &candidates) {
            Ok(Chosen { name, tenant }) => {
                let line = lines.iter().find(|line| line.name == name);
                let trunk = line.map(|line| Arc::clone(line));
                let parties = parties(request, trunk.as_deref());
                Ok(Arrived {
                    trunk,
                    tenant,
                    parties,
                })
            }
            // Without authentication a neighbour on loopback needs no trunk.
            Err(Unchosen::Unknown)
                if profile.settings.auth == Auth::None && source.is_loopback() =>
            {
                Ok(Arrived {
                    trunk: None,
                    tenant: None,
                    parties: parties(request, None),
                })
            }
            Err(why) => Err(why),
        }
    }

    fn candidate<'a>(&self, line: &'a TrunkLine, bits: u8, request: &Request) -> Candidate<'a> {
        let owner = match line.plan.received(&party(request.uri())) {
            Received::Number(number) => self.owners.get(&number).copied(),
            Received::Other(_) | Received::Anonymous => None,
        };
        Candidate {
            name: &line.name,
            tenant: line.tenant,
            bits,
            hosts: &line.settings.hosts,
            headers: &line.headers,
            digest_user: None,
            owner,
        }
    }
}

fn texts(request: &Request) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = request.headers().iter();
    headers.map(|h| (text(&h.name), text(&h.value))).collect()
}

/// Who calls whom. Headers about identity are believed only when a trunk brought them.
fn parties(request: &Request, trunk: Option<&TrunkLine>) -> Parties {
    let identities = Identities::read(request.from(), request.headers());
    let Some(line) = trunk else {
        return Parties {
            to: party(request.uri()),
            from: party(request.from().uri()),
            name: identities.from.display,
            ..Parties::default()
        };
    };
    let number = |user: &str| match line.plan.received(user) {
        Received::Number(number) => number,
        Received::Other(user) => user,
        Received::Anonymous => "anonymous".to_owned(),
    };
    let caller = identities.caller(&line.identity_in);
    let forwarded = identities.forwarded_by();
    Parties {
        to: number(&party(request.uri())),
        from: number(&caller.user),
        name: caller.display.clone(),
        hidden: identities.is_hidden(),
        forwarded_by: forwarded.map(|one| number(&one.by.user)),
        forwarded_reason: forwarded.and_then(|one| one.reason.clone()),
    }
}

impl Parties {
    /// What the dialplan gets as variables besides `to` and `from`.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let hidden = self.hidden.then(|| "true".to_owned());
        let all = [
            ("caller_name", self.name.clone()),
            ("caller_hidden", hidden),
            ("forwarded_by", self.forwarded_by.clone()),
            ("forwarded_reason", self.forwarded_reason.clone()),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}
