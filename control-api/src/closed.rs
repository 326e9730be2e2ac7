//! Closed lists of names: one table gives the JSON form, the text form and the schema.

/// An enum whose members have fixed wire names.
macro_rules! closed {
    ($(#[$outer:meta])* $vis:vis enum $name:ident { $($(#[$inner:meta])* $member:ident = $text:tt,)+ }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        $vis enum $name {
            $($(#[$inner])* #[serde(rename = $text)] $member,)+
        }

        impl $name {
            /// Every member.
            pub const ALL: &'static [Self] = &[$(Self::$member),+];

            /// The wire name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$member => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.iter().copied().find(|m| m.as_str() == text).ok_or(())
            }
        }
    };
}

pub(crate) use closed;
