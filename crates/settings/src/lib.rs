//! The configuration of a node: `sidetone.toml`, `sip-profiles/*.toml`, `dialplans/*.toml` and
//! `SIDETONE_<SECTION>__<KEY>` from the environment, checked whole, reloaded whole.
//!
//! [`load`] gives one [`Settings`] or every fault at once, each with file, line and column.
//! Nothing else in the product reads the environment.

mod address;
mod builtin;
mod carrier;
mod check;
mod environment;
mod external;
mod faults;
mod guard;
mod hints;
pub mod import;
mod live;
mod load;
mod opus_terms;
mod phones;
mod profile;
mod providers;
mod recordings;
mod schemas;
mod secret;
mod server;
mod signalling;
mod stir;
mod transport;

use std::path::PathBuf;
use std::sync::Arc;

use call_core::dialplan::Dialplans;
use call_core::document::Fault;

pub use address::{Cidr, Listen, PortRange};
pub use carrier::{Carrier, IdentityIn, IdentityOut, Numbers, Outbound, Pace};
pub use check::sounds::{LARGEST_SOUND_BYTES, LONGEST_SOUND_S};
pub use environment::{state_home, variable};
pub use external::ExternalIp;
pub use faults::Faults;
pub use guard::{Guard, Scanners, Strangers};
pub use hints::complaint;
pub use live::{Live, at_next_start};
pub use load::{load, load_with};
pub use opus_terms::{Dtx, Opus};
pub use phones::{Digest, DigestAlgorithm, Registrar};
pub use profile::{Auth, Dtmf, Negotiation, Profile, ProfileLimits, Rtp, Srtp, Trunk};
pub use providers::Provider;
pub use recordings::Recordings;
pub use schemas::schemas;
pub use secret::Secret;
pub use server::{
    Control, Data, Hep, Http, Journal, Ladder, Limits, Llm, Loadtest, Media, Mode, Node, Ops,
    Server, Speech, Trace,
};
pub use signalling::{Prack, SessionTimer};
pub use stir::{Stir, StirPolicy};
pub use transport::{Dns, Streams, Tls, Transport};

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `sidetone.toml`.
    pub server: Server,
    /// `sip-profiles/*.toml`, in the order of their names.
    pub profiles: Vec<Profile>,
    /// `sip-profiles/carriers/*.toml` and those the product ships.
    pub carriers: Vec<Carrier>,
    /// `dialplans/*.toml`.
    pub dialplans: Arc<Dialplans>,
    /// What runs but is probably not meant.
    pub warnings: Vec<Fault>,
    /// Every file that was read.
    pub files: Vec<PathBuf>,
    /// The server file that was asked for: a reload asks for it again.
    pub source: Option<PathBuf>,
}

/// What this crate cannot know by itself.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Codec names, as in the media server's codec table.
    pub codecs: &'a [&'a str],
    /// Kinds of language models, as in the table of providers.
    pub language_models: &'a [&'a str],
    /// Kinds of voices elsewhere, likewise.
    pub voices: &'a [&'a str],
    /// Kinds of recognisers elsewhere, likewise.
    pub recognisers: &'a [&'a str],
}
