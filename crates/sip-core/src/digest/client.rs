//! The client's side: which challenges are ours to answer, and the answers.

use std::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{Algorithm, Ha1, Said, quoted};
use crate::message::{Headers, Method};
use crate::value::Challenge;

/// Realms answered in one dialog or registration: the far side and the proxies before it.
const MAX_REALMS: usize = 4;
/// How often one request may be sent again with `stale=true` in the challenge.
const MAX_STALE: u8 = 2;

/// Who we are at a peer.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name for the digest.
    pub user: String,
    /// The password; wiped when dropped.
    pub password: Zeroizing<String>,
    /// The realms we have this password for. A challenge of any other realm came from somebody behind the
    /// peer, who must not get a digest to guess passwords from. Empty: the first realm that asks, and no other.
    pub realms: Vec<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({} at {})", self.user, self.realms.join(", "))
    }
}

/// Why a challenge is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no digest challenge with an algorithm and a qop of ours.
    #[error("the challenge is none that we can answer (digest with MD5 or SHA-256 and qop auth)")]
    Unknown,
    /// A realm we have no password for.
    #[error("the realm '{realm}' is not ours to answer")]
    OtherRealm {
        /// The realm of the challenge.
        realm: String,
    },
    /// The answer was refused.
    #[error("the user name or the password is wrong for the realm '{realm}'")]
    WrongPassword {
        /// The realm of the challenge.
        realm: String,
    },
}

/// What was answered for one request so far: keeps a request from being sent again for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    realms: Vec<(bool, String)>,
    stale: u8,
}

/// Answers the challenges of one peer, and goes on answering by itself afterwards.
#[derive(Clone, Debug)]
pub struct Asker {
    login: Login,
    known: Vec<Known>,
}

/// A challenge that is in force.
#[derive(Clone, Debug)]
struct Known {
    proxy: bool,
    realm: String,
    ha1: Ha1,
    nonce: Vec<u8>,
    opaque: Option<String>,
    counts: bool,
    nc: u32,
}

/// A challenge that could be answered.
struct Offer {
    realm: String,
    algorithm: Algorithm,
    value: Challenge,
}

impl Asker {
    /// An asker that has been asked nothing yet.
    pub fn new(login: Login) -> Self {
        let known = Vec::new();
        Self { login, known }
    }

    /// Takes the challenge of a 401 or 407; afterwards [`Self::headers`] answers it.
    ///
    /// # Errors
    /// [`Refused`]: do not send the request again.
    pub fn challenged(
        &mut self,
        status: u16,
        headers: &Headers,
        answered: &mut Answered,
    ) -> Result<(), Refused> {
        let proxy = status == 407;
        let offer = self.choose(headers, proxy)?;
        let who = (proxy, offer.realm.clone());
        if answered.realms.contains(&who) {
            answered.stale += 1;
            if !offer.value.is_true("stale") || answered.stale > MAX_STALE {
                let realm = offer.realm;
                return Err(Refused::WrongPassword { realm });
            }
        } else if answered.realms.len() >= MAX_REALMS {
            return Err(Refused::Unknown);
        } else {
            answered.realms.push(who);
        }
        self.keep(proxy, offer);
        Ok(())
    }

    /// The strongest challenge that is ours (RFC 8760 §2.4; the first of equals).
    fn choose(&self, headers: &Headers, proxy: bool) -> Result<Offer, Refused> {
        let name = if proxy {
            "Proxy-Authenticate"
        } else {
            "WWW-Authenticate"
        };
        let values = headers
            .all(name)
            .filter_map(|raw| Challenge::parse(raw).ok());
        let offers: Vec<_> = values.filter_map(Offer::of).collect();
        let Some(first) = offers.first() else {
            return Err(Refused::Unknown);
        };
        let realm = first.realm.clone();
        let ours = offers
            .into_iter()
            .filter(|offer| self.is_ours(proxy, &offer.realm));
        let best = ours.reduce(|best, next| match next.algorithm > best.algorithm {
            true => next,
            false => best,
        });
        best.ok_or(Refused::OtherRealm { realm })
    }

    fn is_ours(&self, proxy: bool, realm: &str) -> bool {
        let named = self.login.realms.iter();
        let pinned = self.known.iter().filter(|known| known.proxy == proxy);
        match self.login.realms.is_empty() {
            true => pinned.map(|known| &known.realm).all(|known| known == realm),
            false => named
                .into_iter()
                .any(|ours| ours.eq_ignore_ascii_case(realm)),
        }
    }

    fn keep(&mut self, proxy: bool, offer: Offer) {
        let login = &self.login;
        let ha1 = Ha1::of(offer.algorithm, &login.user, &offer.realm, &login.password);
        self.known
            .retain(|known| (known.proxy, &known.realm) != (proxy, &offer.realm));
        if self.known.len() >= MAX_REALMS {
            self.known.remove(0);
        }
        self.known.push(Known {
            proxy,
            ha1,
            nonce: offer.value.get("nonce").unwrap_or_default(),
            opaque: offer.value.text("opaque"),
            counts: offer.value.get("qop").is_some(),
            realm: offer.realm,
            nc: 0,
        });
    }

    /// The realms that were answered: what a registration learned for the calls after it.
    pub fn realms(&self) -> Vec<String> {
        self.known.iter().map(|known| known.realm.clone()).collect()
    }

    /// Name and value of the headers a request needs; each call counts the nonces up. `cnonce` is fresh
    /// randomness in token characters.
    pub fn headers(
        &mut self,
        method: &Method,
        uri: &[u8],
        cnonce: &Bytes,
    ) -> Vec<(&'static str, String)> {
        let user = self.login.user.clone();
        let known = self.known.iter_mut();
        known
            .map(|known| known.answer(&user, method, uri, cnonce))
            .collect()
    }
}

impl Offer {
    /// A challenge without qop is of the time before RFC 2617 and answered in its form.
    fn of(value: Challenge) -> Option<Self> {
        let algorithm = match value.get("algorithm") {
            Some(name) => Algorithm::named(&name)?,
            None => Algorithm::Md5,
        };
        let qop = value.get("qop").is_none() || value.has_element("qop", "auth");
        let fits = value.is_digest() && qop && value.get("nonce").is_some();
        Some(Self {
            realm: value.text("realm").filter(|_| fits)?,
            algorithm,
            value,
        })
    }
}

impl Known {
    fn answer(
        &mut self,
        user: &str,
        method: &Method,
        uri: &[u8],
        cnonce: &Bytes,
    ) -> (&'static str, String) {
        self.nc = self.nc.saturating_add(1);
        let nc = format!("{:08x}", self.nc);
        let response = self.ha1.response(&Said {
            method: method.as_bytes(),
            uri,
            nonce: &self.nonce,
            counted: self.counts.then_some((nc.as_str(), cnonce.as_ref())),
        });
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={}",
            quoted(user),
            quoted(&self.realm),
            quoted(&String::from_utf8_lossy(&self.nonce)),
            quoted(&String::from_utf8_lossy(uri)),
            self.ha1.algorithm().name(),
        );
        if self.counts {
            let cnonce = quoted(&String::from_utf8_lossy(cnonce));
            value += &format!(", cnonce={cnonce}, qop=auth, nc={nc}");
        }
        if let Some(opaque) = &self.opaque {
            value += &format!(", opaque={}", quoted(opaque));
        }
        let name = if self.proxy {
            "Proxy-Authorization"
        } else {
            "Authorization"
        };
        (name, value)
    }
}
