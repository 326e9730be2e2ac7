//! A registrar (RFC 3261 §10.3) with Path (RFC 3327) and outbound flows (RFC 5626): who is reached where.
//!
//! It holds the bindings of the addresses of record (`user@domain`) that registered here. Who may register is decided
//! before; a request is carried out whole or not at all. Each binding remembers the flow its REGISTER came over: the only
//! way to a phone behind a NAT or on a connection of its own.

mod contact;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::flow::{Flow, Transport};
use crate::message::{Request, option_tags};
use crate::wire_text;
use contact::{Contact, Wish};

/// Limits of a registrar.
#[derive(Clone, Debug)]
pub struct RegistrarConfig {
    /// Shorter lives are refused 423 (§10.2.8), seconds.
    pub min_expires_s: u32,
    /// Longer ones are cut to it, seconds.
    pub max_expires_s: u32,
    /// What is given to who asks for nothing, seconds.
    pub default_expires_s: u32,
    /// Bindings of one address of record.
    pub max_contacts: usize,
    /// Bindings in all.
    pub max_bindings: usize,
}

impl Default for RegistrarConfig {
    fn default() -> Self {
        Self {
            min_expires_s: 60,
            max_expires_s: 3_600,
            default_expires_s: 3_600,
            max_contacts: 10,
            max_bindings: 100_000,
        }
    }
}

/// How an address of record is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The URI of the Contact, verbatim.
    #[serde(with = "wire_text")]
    pub contact: Bytes,
    /// What names the binding: the phone's instance and flow number (RFC 5626 §4.2), else the Contact's address.
    pub name: String,
    /// `+sip.instance` and `reg-id` as they came, for the answer.
    #[serde(with = "wire_text::option")]
    pub instance: Option<Bytes>,
    /// `reg-id`, when the flow is managed by the phone (RFC 5626).
    pub reg_id: Option<u32>,
    /// Preference, 0–1000.
    pub q: u16,
    /// Path values, in the order of a Route (RFC 3327 §5.3).
    #[serde(with = "wire_text::list")]
    pub path: Vec<Bytes>,
    /// Where the REGISTER came from.
    pub flow: Flow,
    /// The profile it came over.
    pub profile: String,
    /// The registration's Call-ID and CSeq: older requests change nothing.
    #[serde(with = "wire_text")]
    call_id: Bytes,
    cseq: u32,
    /// The phone's name for itself.
    pub user_agent: String,
    #[serde(skip)]
    expires_at: Duration,
}

impl Binding {
    /// Seconds left.
    pub fn left_s(&self, now: Duration) -> u64 {
        self.expires_at.saturating_sub(now).as_secs()
    }

    /// When it ends.
    pub fn expires_at(&self) -> Duration {
        self.expires_at
    }
}

/// Whose binding, and over what it came.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// `user@domain`.
    pub aor: &'a str,
    /// The profile.
    pub profile: &'a str,
    /// The flow of the REGISTER.
    pub flow: Flow,
}

/// The answer to a REGISTER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200, 400, 403, 423, 439 or 500.
    pub status: u16,
    /// Its headers beside the common ones.
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

impl Answer {
    fn plain(status: u16) -> Self {
        let headers = Vec::new();
        Self { status, headers }
    }

    fn with(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The bindings.
#[derive(Debug)]
pub struct Registrar {
    config: RegistrarConfig,
    by_aor: HashMap<String, Vec<Binding>>,
    deadlines: BTreeSet<(Duration, String)>,
    bindings: usize,
    changed: HashSet<String>,
}

impl Registrar {
    /// An empty registrar.
    pub fn new(config: RegistrarConfig) -> Self {
        Self {
            config,
            by_aor: HashMap::new(),
            deadlines: BTreeSet::new(),
            bindings: 0,
            changed: HashSet::new(),
        }
    }

    /// Carries out a REGISTER of somebody who may (§10.3).
    pub fn register(&mut self, now: Duration, place: &Place<'_>, request: &Request) -> Answer {
        self.handle_timeout(now);
        match self.change(now, place, request) {
            Ok(()) => self.listing(now, place, request),
            Err(refusal) => refusal,
        }
    }

    fn change(
        &mut self,
        now: Duration,
        place: &Place<'_>,
        request: &Request,
    ) -> Result<(), Answer> {
        let wish = contact::read(request, &self.config)?;
        let before = self.by_aor.get(place.aor).cloned().unwrap_or_default();
        let mut after = before.clone();
        match wish {
            Wish::Query => return Ok(()),
            // §10.3 step 6: all of them, unless one of them is newer than this request.
            Wish::Clear => {
                for binding in &before {
                    in_order(binding, request)?;
                }
                after.clear();
            }
            Wish::Set(contacts) => {
                for contact in contacts {
                    self.apply(now, place, request, contact, &mut after)?;
                }
            }
        }
        let room = self.bindings - before.len() + after.len() <= self.config.max_bindings;
        if after.len() > self.config.max_contacts || !room {
            return Err(Answer::plain(403));
        }
        self.put(place.aor, after);
        Ok(())
    }

    /// One Contact onto a copy of the bindings (§10.3 step 7).
    fn apply(
        &self,
        now: Duration,
        place: &Place<'_>,
        request: &Request,
        contact: Contact,
        bindings: &mut Vec<Binding>,
    ) -> Result<(), Answer> {
        let known = bindings.iter().position(|known| known.name == contact.name);
        let old = known.map(|at| bindings.remove(at));
        if let Some(old) = &old {
            in_order(old, request)?;
        }
        if contact.expires_s == 0 {
            return Ok(());
        }
        bindings.push(Binding {
            contact: contact.uri,
            name: contact.name,
            instance: contact.instance,
            reg_id: contact.reg_id,
            q: contact.q,
            path: contact::path(request)?,
            flow: place.flow,
            profile: place.profile.to_owned(),
            call_id: Bytes::copy_from_slice(request.call_id()),
            cseq: request.cseq(),
            user_agent: contact::user_agent(request),
            expires_at: now + Duration::from_secs(contact.expires_s.into()),
        });
        Ok(())
    }

    /// Replaces the bindings of one address.
    fn put(&mut self, aor: &str, bindings: Vec<Binding>) {
        let old = self.by_aor.remove(aor).unwrap_or_default();
        for binding in &old {
            self.deadlines.remove(&(binding.expires_at, aor.to_owned()));
        }
        for binding in &bindings {
            self.deadlines.insert((binding.expires_at, aor.to_owned()));
        }
        self.bindings = self.bindings - old.len() + bindings.len();
        self.changed.insert(aor.to_owned());
        if !bindings.is_empty() {
            self.by_aor.insert(aor.to_owned(), bindings);
        }
    }

    /// 200 with every binding (§10.3 step 8).
    fn listing(&self, now: Duration, place: &Place<'_>, request: &Request) -> Answer {
        let mut answer = Answer::plain(200);
        let bindings = self.by_aor.get(place.aor).map_or(&[][..], Vec::as_slice);
        for binding in bindings {
            answer = answer.with("Contact", contact::printed(binding, now));
        }
        for value in request.headers().all("Path") {
            answer = answer.with("Path", value.to_vec());
        }
        let managed =
            |binding: &&Binding| binding.reg_id.is_some() && binding.call_id == *request.call_id();
        if bindings.iter().any(|binding| managed(&binding)) {
            // RFC 5626 §6: the phone learns that its flow is used, and how often to keep it alive.
            answer = answer.with("Require", "outbound").with("Flow-Timer", "120");
        }
        answer
    }

    /// The bindings of an address: the most wanted first, of equals the newest.
    pub fn bindings_of(&self, now: Duration, aor: &str) -> Vec<&Binding> {
        let all = self.by_aor.get(aor).into_iter().flatten();
        let mut alive: Vec<_> = all.filter(|binding| binding.expires_at > now).collect();
        alive.sort_by_key(|binding| {
            (
                std::cmp::Reverse(binding.q),
                std::cmp::Reverse(binding.expires_at),
            )
        });
        alive
    }

    /// Every address with its bindings.
    pub fn all(&self) -> impl Iterator<Item = (&str, &[Binding])> {
        let all = self.by_aor.iter();
        all.map(|(aor, bindings)| (aor.as_str(), bindings.as_slice()))
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.bindings
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bindings == 0
    }

    /// Puts back a binding that was kept, with the seconds it has left.
    pub fn restore(&mut self, now: Duration, aor: &str, mut binding: Binding, left: Duration) {
        let full = self.bindings >= self.config.max_bindings;
        let mut bindings = self.by_aor.get(aor).cloned().unwrap_or_default();
        bindings.retain(|known| known.name != binding.name);
        if left.is_zero() || full || bindings.len() >= self.config.max_contacts {
            return;
        }
        let most = Duration::from_secs(self.config.max_expires_s.into());
        binding.expires_at = now + left.min(most);
        // A connection of the process before this one is gone.
        binding.flow.connection = 0;
        bindings.push(binding);
        self.put(aor, bindings);
    }

    /// A connection is gone. A flow managed by its phone is gone with it: the phone registers anew over another (RFC 5626
    /// §4.2); other bindings stay and want a new connection.
    pub fn connection_lost(&mut self, profile: &str, connection: u64) {
        let on = |binding: &Binding| {
            binding.profile == profile
                && binding.flow.connection == connection
                && binding.flow.transport != Transport::Udp
        };
        let touched = self.by_aor.iter().filter(|(_, all)| all.iter().any(on));
        let touched: Vec<_> = touched
            .map(|(aor, all)| (aor.clone(), all.clone()))
            .collect();
        for (aor, mut bindings) in touched {
            bindings.retain(|binding| !on(binding) || binding.reg_id.is_none());
            for binding in bindings.iter_mut().filter(|binding| on(binding)) {
                binding.flow.connection = 0;
            }
            self.put(&aor, bindings);
        }
    }

    /// Takes every binding of an address away.
    pub fn remove(&mut self, aor: &str) {
        if self.by_aor.contains_key(aor) {
            self.put(aor, Vec::new());
        }
    }

    /// The addresses whose bindings changed since this was asked last.
    pub fn take_changed(&mut self) -> Vec<String> {
        self.changed.drain().collect()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Takes away what has expired.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some((at, aor)) = self.deadlines.first().cloned() {
            if at > now {
                return;
            }
            let mut bindings = self.by_aor.get(&aor).cloned().unwrap_or_default();
            bindings.retain(|binding| binding.expires_at > now);
            self.put(&aor, bindings);
            self.deadlines.remove(&(at, aor));
        }
    }
}

/// §10.3 step 7: within one registration (Call-ID) only a later CSeq changes anything.
fn in_order(binding: &Binding, request: &Request) -> Result<(), Answer> {
    let same = binding.call_id == *request.call_id();
    if same && request.cseq() <= binding.cseq {
        return Err(Answer::plain(500));
    }
    Ok(())
}

/// Whether the sender understands an option (RFC 3261 §20.37).
fn supports(request: &Request, option: &str) -> bool {
    let tags = option_tags(request.headers(), "Supported");
    tags.iter()
        .any(|tag| tag.eq_ignore_ascii_case(option.as_bytes()))
}
