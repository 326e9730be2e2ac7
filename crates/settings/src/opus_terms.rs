//! How a profile speaks Opus (RFC 7587).

use schemars::JsonSchema;
use serde::Deserialize;

/// How Opus is spoken, within what the far side asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Opus {
    /// Whether silence is saved: ours in next to no bytes, theirs in packets that need not come.
    pub dtx: Dtx,
    /// Whether sound is sent once more, in the next packet, to a far side that makes use of it and reports loss; and asked for.
    pub fec: bool,
    /// Bits a second at most, both ways.
    #[schemars(range(min = 6000, max = 24000))]
    pub bitrate: u32,
}

impl Opus {
    /// RFC 7587 §6.1: less is no speech. More than this, wideband speech does not need.
    pub const BITRATES: std::ops::RangeInclusive<u32> = 6_000..=24_000;
}

impl Default for Opus {
    fn default() -> Self {
        Self {
            dtx: Dtx::Asked,
            fec: true,
            bitrate: *Self::BITRATES.end(),
        }
    }
}

/// Whether silence is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtx {
    /// Never, whatever the far side asks for.
    Off,
    /// Ours, when the far side asks for it (`usedtx=1`).
    #[default]
    Asked,
    /// Ours, when the far side asks for it, and we ask it for the same.
    On,
}
