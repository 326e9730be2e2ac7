//! A 3xx: where the far side says that somebody else is (RFC 3261 §8.1.3.4). Whether it may be called is for the gate to say.

use std::collections::VecDeque;

use sip_core::{
    dialog::{EndCause, Ended},
    value::NameAddr,
};

use super::Asker;

/// Contacts that are followed for one target in all, of however many redirections.
const MAX_CONTACTS: usize = 5;

/// Where one target has sent us so far, and where we have not been yet.
#[derive(Clone, Default)]
pub struct Redirects {
    seen: Vec<String>,
    ahead: VecDeque<String>,
    /// On whose behalf they are followed.
    pub asker: Option<Asker>,
}

impl Redirects {
    /// Those of a target of this name, which itself need not be named again.
    pub fn of(name: &str) -> Self {
        Self {
            seen: vec![name.to_owned()],
            ..Self::default()
        }
    }

    /// Those of another phone that rings for the same target.
    pub fn for_another(&self) -> Self {
        Self {
            ahead: VecDeque::new(),
            ..self.clone()
        }
    }

    /// Whether it names somebody new. `meant` tells what a Contact means to us. The most wanted is next, before those who were
    /// named earlier. 305 and 380 name no other place for the same call.
    pub fn take(&mut self, end: &Ended, meant: impl Fn(&NameAddr) -> Option<String>) -> bool {
        let (EndCause::Refused(300..=302), Some(response)) = (&end.cause, &end.response) else {
            return false;
        };
        let all = response.headers().all("Contact");
        let mut named: Vec<(u16, String)> = all
            .filter_map(|value| NameAddr::parse_list(value).ok())
            .flatten()
            .filter_map(|contact| Some((wanted(&contact), meant(&contact)?)))
            .collect();
        named.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
        let mut new = VecDeque::new();
        for (_, name) in named {
            if self.seen.len() <= MAX_CONTACTS && !self.seen.contains(&name) {
                self.seen.push(name.clone());
                new.push_back(name);
            }
        }
        let any = !new.is_empty();
        new.append(&mut self.ahead);
        self.ahead = new;
        any
    }

    /// Who is to be tried next.
    pub fn pop(&mut self) -> Option<String> {
        self.ahead.pop_front()
    }

    /// Whether somebody is left after this end: not when the far side says no for everybody (6xx), nor when we gave up.
    pub fn go_on(&self, end: &Ended) -> bool {
        let no = matches!(end.cause, EndCause::Cancelled | EndCause::Refused(600..));
        !self.ahead.is_empty() && !no
    }
}

/// `q` in thousandths (RFC 3261 §20.10); without one, or with one that cannot be read, the contact is wanted most.
fn wanted(contact: &NameAddr) -> u16 {
    let text = contact.param("q").and_then(|q| std::str::from_utf8(q).ok());
    let q = text.and_then(|q| q.trim().parse::<f32>().ok());
    let q = q.filter(|q| q.is_finite()).unwrap_or(1.0);
    (q.clamp(0.0, 1.0) * 1_000.0) as u16
}
