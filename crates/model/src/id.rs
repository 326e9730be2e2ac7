//! Prefixed ULIDs: sortable by birth, and telling what they name (`cal_01J…`).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an id of the form {prefix}_ + 26 characters")]
pub struct IdError {
    /// The prefix that was wanted, without the underscore.
    pub prefix: &'static str,
    /// What was given (cut to 64 characters).
    pub text: String,
}

macro_rules! id {
    ($name:ident, $prefix:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, utoipa::ToSchema)]
        #[schema(value_type = String)]
        pub struct $name(Ulid);

        impl $name {
            /// The prefix of this kind, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// An id born at `unix_ms` (milliseconds since 1970, UTC) with 80 bits of `random`.
            pub fn new(unix_ms: u64, random: u128) -> Self {
                Self(Ulid::from_parts(unix_ms, random))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", Self::PREFIX, self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(Self::PREFIX)
                    .and_then(|rest| rest.strip_prefix('_'))
                    .and_then(|rest| Ulid::from_string(rest).ok())
                    .map(Self)
                    .ok_or_else(|| IdError {
                        prefix: Self::PREFIX,
                        text: text.chars().take(64).collect(),
                    })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    TenantId,
    "ten",
    "A tenant: one customer of this installation."
);
id!(AgentId, "agt", "An agent; its versions are integers.");
id!(NumberId, "num", "A telephone number known to the office.");
id!(
    CallId,
    "cal",
    "A conversation: a call is a conversation with legs."
);
id!(KeyId, "key", "An API key (never its secret).");
id!(BookingId, "bkg", "A booking.");
id!(TrunkId, "trk", "A trunk of a tenant.");
id!(CommandId, "cmd", "An order of the office to a switch.");
id!(RecordingId, "rec", "A recording of a conversation.");
id!(
    DomainId,
    "dom",
    "A SIP domain of a tenant: the realm of its phones."
);
id!(ExtensionId, "ext", "An extension: a phone's account.");
id!(
    NodeId,
    "nod",
    "One media server's data folder: stays the same across restarts."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_prints() {
        let id = CallId::new(1_700_000_000_000, 42);
        assert_eq!(id.to_string().parse::<CallId>(), Ok(id));
        assert!(id.to_string().starts_with("cal_"));
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let id = CallId::new(1, 1).to_string();
        assert!(id.parse::<AgentId>().is_err());
        assert!("cal_short".parse::<CallId>().is_err());
    }
}
