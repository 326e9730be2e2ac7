//! The header field values we act on: bytes in, slices of the same bytes out, the unknown kept.
//!
//! Every value remembers the bytes it was read from and prints them unchanged: a Record-Route, a display name or a
//! parameter that we do not understand leaves as it came.

pub mod challenge;
pub mod cseq;
pub mod host;
pub mod name_addr;
pub mod params;
pub mod reason;
pub mod replaces;
pub(crate) mod scan;
pub mod uri;
pub mod via;

pub use challenge::Challenge;
pub use cseq::CSeq;
pub use host::Host;
pub use name_addr::NameAddr;
pub use params::Params;
pub use reason::Reason;
pub use replaces::Replaces;
pub use uri::Uri;
pub use via::Via;

/// What is wrong with a value, and at which byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} (byte {at} of the value)")]
pub struct ValueError {
    /// The rule that is broken, in words.
    pub what: &'static str,
    /// Byte offset in the value.
    pub at: usize,
}

impl ValueError {
    pub(crate) fn new(what: &'static str, at: usize) -> Self {
        Self { what, at }
    }
}
