//! Which trunk an INVITE belongs to.
//!
//! A source address is not authentication: carriers send the calls of all their customers from the
//! same few addresses. So a trunk is chosen by its source *and* something that tells customers
//! apart – the number, the host the request names, a header, or who answered a digest challenge –
//! and the number must be its tenant's. Whenever that leaves two, nobody is served by guessing.

use model::TenantId;

/// A trunk as far as choosing goes. Only those whose source fits are candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whose it is; none = the operator's, for every tenant.
    pub tenant: Option<TenantId>,
    /// Length of the network that the source fits; longer is more specific.
    pub bits: u8,
    /// Hosts one of which the request must name; empty asks nothing.
    pub hosts: &'a [String],
    /// Headers it must carry, name and value.
    pub headers: &'a [(String, String)],
    /// The user that must have answered our challenge.
    pub digest_user: Option<&'a str>,
    /// Whose the called number is, as this trunk writes numbers; none = nobody's.
    pub owner: Option<TenantId>,
}

/// What the INVITE brings to tell trunks apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Host of the Request-URI.
    pub host: &'a str,
    /// Its headers.
    pub headers: &'a [(String, String)],
    /// Who answered our challenge, where we made one.
    pub digest_user: Option<&'a str>,
}

/// The trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whose call it is, as far as known now.
    pub tenant: Option<TenantId>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unchosen {
    /// No trunk takes calls from there, or none that this INVITE identifies itself for.
    #[error("no trunk takes this call")]
    Unknown,
    /// The number is not its tenant's.
    #[error("the number does not belong to the tenant of the trunk")]
    ForeignNumber,
    /// Two trunks fit equally well.
    #[error("ambiguous_trunk: {first} and {second} both take this call")]
    Ambiguous {
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
}

impl Unchosen {
    /// The SIP status for it.
    pub fn sip_status(&self) -> u16 {
        match self {
            Unchosen::Unknown => 403,
            Unchosen::ForeignNumber => 404,
            Unchosen::Ambiguous { .. } => 503,
        }
    }
}

/// The one trunk this INVITE belongs to.
///
/// # Errors
/// [`Unchosen`]: 403, 404 or 503.
pub fn choose<'a>(
    arrival: &Arrival<'_>,
    candidates: &[Candidate<'a>],
) -> Result<Chosen<'a>, Unchosen> {
    let fitting = candidates.iter().filter(|one| one.takes(arrival));
    let identified: Vec<&Candidate<'a>> = fitting.collect();
    if identified.is_empty() {
        return Err(Unchosen::Unknown);
    }
    let mut owners: Vec<&Candidate<'a>> = identified;
    owners.retain(|one| one.owns_number());
    // A trunk of the tenant's own, then the more that it asked for, then the smaller network.
    let rank = |one: &Candidate<'_>| (one.tenant.is_some(), one.asks(), one.bits);
    owners.sort_by_key(|one| std::cmp::Reverse(rank(one)));
    match owners.as_slice() {
        [] => Err(Unchosen::ForeignNumber),
        [first, second, ..] if rank(first) == rank(second) => Err(Unchosen::Ambiguous {
            first: first.name.to_owned(),
            second: second.name.to_owned(),
        }),
        [first, ..] => Ok(Chosen {
            name: first.name,
            tenant: first.tenant.or(first.owner),
        }),
    }
}

impl Candidate<'_> {
    fn takes(&self, arrival: &Arrival<'_>) -> bool {
        let host = |own: &String| own.eq_ignore_ascii_case(arrival.host);
        let header = |(name, value): &(String, String)| {
            let same = |(n, v): &&(String, String)| n.eq_ignore_ascii_case(name) && v == value;
            arrival.headers.iter().any(|header| same(&header))
        };
        (self.hosts.is_empty() || self.hosts.iter().any(host))
            && self.headers.iter().all(header)
            && (self.digest_user.is_none() || self.digest_user == arrival.digest_user)
    }

    /// How many questions it asked and got answered.
    fn asks(&self) -> usize {
        usize::from(!self.hosts.is_empty())
            + self.headers.len()
            + usize::from(self.digest_user.is_some())
    }

    fn owns_number(&self) -> bool {
        self.tenant.is_none() || self.tenant == self.owner
    }
}
