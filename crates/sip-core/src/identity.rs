//! Who calls, who is called for, and who may know: From, P-Asserted-Identity (RFC 3325),
//! Remote-Party-ID, Privacy (RFC 3323), Diversion (RFC 5806) and History-Info (RFC 7044), read and
//! written.
//!
//! A header that cannot be read is left out: what a carrier adds about a caller must not cost the
//! call. Whether any of it is believed is the trunk's policy, not this module's.

use bytes::Bytes;

use crate::{
    message::Headers,
    value::{NameAddr, Uri, uri::Scheme},
};

/// Values of one header that are looked at; beyond it nobody forwards honestly.
const MOST: usize = 16;

/// A person as a header names him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Name for people.
    pub display: Option<String>,
    /// User part without escapes, or a tel URI's number. Parameters of a telephone number are cut
    /// off (`+1206…;npdi`).
    pub user: String,
    /// Host; empty for a tel URI.
    pub host: String,
}

/// What the caller does not want told (RFC 3323 §4.2, RFC 3325 §9.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    /// `id` or `user`, or Remote-Party-ID's `privacy=full`: the number is for us alone.
    pub number: bool,
    /// `name`, as Remote-Party-ID knows it.
    pub name: bool,
    /// `critical`: rather no call than a call that tells.
    pub critical: bool,
}

/// One forwarding on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Who forwarded.
    pub by: Person,
    /// Why: `unconditional`, `user-busy`, `no-answer` …; for History-Info the SIP cause (RFC 4458).
    pub reason: Option<String>,
}

/// Everything a request says about identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identities {
    /// From.
    pub from: Person,
    /// P-Asserted-Identity, at most one SIP and one tel.
    pub asserted: Vec<Person>,
    /// Remote-Party-ID of the calling party.
    pub remote_party: Option<Person>,
    /// What is not to be told.
    pub privacy: Privacy,
    /// Diversion, the last to forward first.
    pub diversions: Vec<Forwarded>,
    /// History-Info, in order of travel.
    pub history: Vec<Forwarded>,
}

/// Where the caller's identity is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// P-Asserted-Identity.
    Asserted,
    /// Remote-Party-ID.
    RemoteParty,
    /// From.
    From,
    /// The first Diversion.
    Diversion,
}

impl Person {
    fn of(address: &NameAddr) -> Option<Person> {
        let uri = address.uri();
        let host = uri.host().map(ToString::to_string).unwrap_or_default();
        let user = uri.user().or_else(|| Some(host.clone()))?;
        let number = user.starts_with(['+', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        let user = match user.split_once(';') {
            Some((bare, _)) if number => bare.to_owned(),
            Some(_) | None => user,
        };
        Some(Person {
            display: address.display().filter(|name| !name.trim().is_empty()),
            user,
            host,
        })
    }

    /// Whether the address itself says that its owner is hidden (RFC 3323 §4.1.1.3).
    pub fn is_anonymous(&self) -> bool {
        self.host.eq_ignore_ascii_case("anonymous.invalid")
            || self.user.eq_ignore_ascii_case("anonymous")
    }
}

impl Identities {
    /// What a request with this From and these headers says.
    pub fn read(from: &NameAddr, headers: &Headers) -> Identities {
        let remote = list(headers, "Remote-Party-ID").find(is_calling);
        let mut privacy = privacy(headers);
        if let Some(level) = remote.as_ref().and_then(|party| party.param("privacy")) {
            privacy.number |=
                level.eq_ignore_ascii_case(b"full") || level.eq_ignore_ascii_case(b"uri");
            privacy.name |=
                level.eq_ignore_ascii_case(b"full") || level.eq_ignore_ascii_case(b"name");
        }
        let nobody = Person {
            display: None,
            user: String::new(),
            host: String::new(),
        };
        Identities {
            from: Person::of(from).unwrap_or(nobody),
            asserted: list(headers, "P-Asserted-Identity")
                .filter_map(|address| Person::of(&address))
                .collect(),
            remote_party: remote.as_ref().and_then(Person::of),
            privacy,
            diversions: forwarded(headers, "Diversion"),
            history: forwarded(headers, "History-Info"),
        }
    }

    /// The caller, by the first source of `order` that is there; else From.
    pub fn caller(&self, order: &[Source]) -> &Person {
        let found = order.iter().find_map(|source| self.by_source(*source));
        found.unwrap_or(&self.from)
    }

    fn by_source(&self, source: Source) -> Option<&Person> {
        match source {
            Source::Asserted => self.asserted.first(),
            Source::RemoteParty => self.remote_party.as_ref(),
            Source::Diversion => self.diversions.first().map(|one| &one.by),
            Source::From => Some(&self.from).filter(|from| !from.is_anonymous()),
        }
    }

    /// Whether the caller's number may be shown to others.
    pub fn is_hidden(&self) -> bool {
        self.privacy.number || self.from.is_anonymous()
    }

    /// Who the call was meant for first, where it was forwarded.
    pub fn forwarded_by(&self) -> Option<&Forwarded> {
        // The newest Diversion stands first (RFC 5806 §4.1); the newest history but one is who sent it on.
        let sent_on = self.history.len().checked_sub(2);
        let earlier = sent_on.and_then(|at| self.history.get(at));
        self.diversions.first().or(earlier)
    }
}

fn list<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = NameAddr> + 'a {
    let values = headers.all(name).take(MOST);
    let read = values.flat_map(|value| NameAddr::parse_list(value).unwrap_or_default());
    read.take(MOST)
}

fn is_calling(party: &NameAddr) -> bool {
    let role = party.param("party");
    role.is_none_or(|role| role.eq_ignore_ascii_case(b"calling"))
}

/// RFC 3323 §4.2: tokens with semicolons between them.
fn privacy(headers: &Headers) -> Privacy {
    let mut found = Privacy::default();
    let values = headers.all("Privacy").take(MOST);
    for token in values.flat_map(|value| value.split(|byte| *byte == b';' || *byte == b',')) {
        let token = token.trim_ascii();
        found.number |= token.eq_ignore_ascii_case(b"id") || token.eq_ignore_ascii_case(b"user");
        found.critical |= token.eq_ignore_ascii_case(b"critical");
    }
    found
}

fn forwarded(headers: &Headers, name: &str) -> Vec<Forwarded> {
    let read = list(headers, name).filter_map(|address| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_matches('"').to_owned();
        let reason = address.param("reason").map(text);
        let cause = || address.uri().param("cause").map(text);
        Some(Forwarded {
            by: Person::of(&address)?,
            reason: reason.or_else(cause),
        })
    });
    read.collect()
}

/// How our caller is named to a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// From and P-Asserted-Identity.
    Asserted,
    /// From and Remote-Party-ID.
    RemoteParty,
    /// From alone.
    FromAlone,
}

/// The caller of a call of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name for people.
    pub display: Option<String>,
    /// Number or user, as the trunk writes it.
    pub user: String,
    /// Host of the URIs.
    pub host: String,
    /// Not to be told to the called party.
    pub hidden: bool,
    /// Add `;user=phone`.
    pub user_phone: bool,
}

/// From and the headers that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// From, without a tag.
    pub from: NameAddr,
    /// Name and value, in order.
    pub headers: Vec<(String, String)>,
}

impl Caller {
    /// The headers that name this caller. Hidden, From says nobody (RFC 3323 §4.1.1.3) and the
    /// carrier alone learns the number; `None` when user or host cannot stand in a URI.
    pub fn named(&self, naming: Naming) -> Option<Named> {
        let uri = self.uri()?;
        let own = NameAddr::new(self.display.as_deref(), &uri).ok()?;
        let from = if self.hidden { nobody()? } else { own.clone() };
        let mut headers = Vec::new();
        match naming {
            Naming::Asserted => headers.push(("P-Asserted-Identity".to_owned(), own.to_string())),
            Naming::RemoteParty => {
                let privacy = if self.hidden { "full" } else { "off" };
                let value = format!("{own};party=calling;privacy={privacy};screen=no");
                headers.push(("Remote-Party-ID".to_owned(), value));
            }
            Naming::FromAlone => {}
        }
        if self.hidden {
            headers.push(("Privacy".to_owned(), "id".to_owned()));
        }
        Some(Named { from, headers })
    }

    fn uri(&self) -> Option<Uri> {
        let uri = Uri::sip(Some(&self.user), &self.host, None).ok()?;
        if !self.user_phone {
            return Some(uri);
        }
        Uri::parse(&Bytes::from(format!("{uri};user=phone"))).ok()
    }
}

fn nobody() -> Option<NameAddr> {
    let uri = Uri::sip(Some("anonymous"), "anonymous.invalid", None).ok()?;
    NameAddr::new(Some("Anonymous"), &uri).ok()
}

/// Whether a URI carries a secret where a user's password would stand (`sip:agent:key@host`). Such
/// a URI is refused: it ends up in logs, CDRs and Record-Routes of everybody on the way.
pub fn has_secret(uri: &Uri) -> bool {
    matches!(uri.scheme(), Scheme::Sip | Scheme::Sips)
        && uri.password().is_some_and(|password| !password.is_empty())
}
