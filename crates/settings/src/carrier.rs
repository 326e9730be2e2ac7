//! `sip-profiles/carriers/*.toml`: what is the same for every customer of a carrier. A [[trunk]]
//! names one with `carrier = "…"` and writes only what is its own.

use std::borrow::Cow;
use std::time::Duration;

use call_core::length::Length;
use call_core::trunk::{NumberPlan, Spelling};
use call_core::{country, dialing};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::{Cidr, Trunk};

/// A carrier. Its name is the file's.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "sip-profiles/carriers/NAME.toml")]
pub struct Carrier {
    /// The file's name without its ending.
    #[serde(skip)]
    pub name: String,
    /// Networks its calls come from; empty where they differ by account.
    #[serde(default)]
    pub sources: Vec<Cidr>,
    /// Where it is reached, where that is the same for everybody.
    #[schemars(with = "Option<String>", extend("format" = "host-port"))]
    pub proxy: Option<String>,
    /// Whether other customers' calls come from the same addresses: a trunk then needs something
    /// that tells them apart.
    #[serde(default)]
    pub shared: bool,
    /// The header that names the customer's account, where there is one.
    pub account_header: Option<String>,
    /// How often it is asked whether it is there (OPTIONS).
    #[serde(default, deserialize_with = "optional_length")]
    #[schemars(with = "Option<Length>")]
    pub ping: Option<Duration>,
    /// How it writes numbers.
    pub numbers: Option<Numbers>,
    /// Which header names the caller; the first that is there counts.
    pub identity_in: Option<Vec<IdentityIn>>,
    /// How our caller is named to it.
    pub identity_out: Option<IdentityOut>,
    /// How fast and how many calls it takes from us.
    pub pace: Option<Pace>,
}

/// How a carrier writes numbers, and wants them written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Numbers {
    /// How it writes to us.
    #[serde(rename = "in")]
    pub inbound: Spelling,
    /// How we write to it; "auto" is "+e164".
    #[serde(rename = "out")]
    pub outbound: Spelling,
    /// Taken away from the front of what it writes.
    pub strip: String,
    /// What stands around the number on the way out: `12345678*{number}`.
    #[schemars(extend("format" = "number-template"))]
    pub template: Option<String>,
    /// Add `;user=phone` to our URIs.
    pub user_phone: bool,
}

/// A header that names the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdentityIn {
    /// P-Asserted-Identity (RFC 3325).
    Pai,
    /// Remote-Party-ID.
    Rpid,
    /// From.
    From,
    /// The first Diversion (RFC 5806): who forwarded the call.
    Diversion,
}

/// How our caller is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdentityOut {
    /// From, and P-Asserted-Identity (RFC 3325).
    #[default]
    Pai,
    /// From, and Remote-Party-ID.
    Rpid,
    /// From alone.
    From,
}

/// Outbound calls of a trunk; 0 = no limit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pace {
    /// New calls a second.
    pub cps: u32,
    /// New calls at once after a quiet time.
    pub burst: u32,
    /// The longest a call waits for its turn before the next trunk is tried.
    #[serde(deserialize_with = "some_length")]
    #[schemars(with = "Length")]
    pub wait: Duration,
    /// Calls at the same time.
    pub calls: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            cps: 0,
            burst: 1,
            wait: Duration::from_secs(10),
            calls: 0,
        }
    }
}

/// What may be called, for calls of the node's own files. Tenants have theirs in the office.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Outbound {
    /// Prefixes that may be called, `+33`; `!+33899` forbids; the longest match decides. Empty: nobody.
    #[schemars(with = "Vec<PrefixText>")]
    pub prefixes: Vec<String>,
    /// Numbers that a call from outside may be put through to.
    #[schemars(with = "Vec<NumberText>")]
    pub forward_to: Vec<String>,
    /// ISO 3166 code of the country: national numbers and emergency numbers.
    #[schemars(extend("format" = "country"))]
    pub country: Option<String>,
    /// Emergency numbers: `route:TRUNK` or `reject`. Outbound stays off without it.
    #[schemars(extend("format" = "emergency"))]
    pub emergency: Option<String>,
    /// Whether a 3xx of the far side is followed.
    pub redirects: bool,
    /// The longest a leg to a trunk lasts.
    #[serde(deserialize_with = "optional_length")]
    #[schemars(with = "Option<Length>")]
    pub max_duration: Option<Duration>,
}

macro_rules! text_of {
    ($($name:ident $format:literal),*) => {$(
        /// Only for the schema.
        struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    )*};
}

text_of!(PrefixText "prefix", NumberText "e164");

impl Outbound {
    /// What becomes of emergency numbers.
    pub fn emergency(&self) -> Option<dialing::Emergency> {
        match self.emergency.as_deref()?.strip_prefix("route:") {
            Some(trunk) => Some(dialing::Emergency::Route(trunk.to_owned())),
            None => Some(dialing::Emergency::Reject),
        }
    }

    /// The country.
    pub fn country(&self) -> Option<&'static country::Country> {
        country::by_code(self.country.as_deref()?)
    }
}

impl Trunk {
    /// Takes over from the carrier what the trunk does not say itself.
    pub fn complete(&mut self, carrier: &Carrier) {
        if self.sources.is_empty() {
            self.sources.clone_from(&carrier.sources);
        }
        let fill = |own: &mut Option<String>, theirs: &Option<String>| {
            if own.is_none() {
                own.clone_from(theirs);
            }
        };
        fill(&mut self.proxy, &carrier.proxy);
        // Nobody to ask, nothing to ask him.
        self.ping = self.ping.or(carrier.ping).filter(|_| self.proxy.is_some());
        self.numbers = self.numbers.take().or_else(|| carrier.numbers.clone());
        let order = self.identity_in.take();
        self.identity_in = order.or_else(|| carrier.identity_in.clone());
        self.identity_out = self.identity_out.or(carrier.identity_out);
        self.pace = self.pace.take().or_else(|| carrier.pace.clone());
    }

    /// How numbers are written on it.
    pub fn number_plan(&self) -> NumberPlan {
        let numbers = self.numbers.clone().unwrap_or_default();
        NumberPlan {
            country: self.country.as_deref().and_then(country::by_code),
            inbound: numbers.inbound,
            outbound: numbers.outbound,
            strip: numbers.strip,
            template: numbers.template,
        }
    }
}

pub(crate) fn optional_length<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<Length>::deserialize(deserializer)?.map(|length| length.0))
}

fn some_length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Ok(Length::deserialize(deserializer)?.0)
}
