//! What a record holds, in bytes: one byte of kind, then the body.

use std::collections::BTreeMap;

use base64::Engine as _;
use model::{CallId, Fact};
use serde::{Deserialize, Serialize};

use super::calls::CallState;

const FACT: u8 = 1;
const LATE_FACT: u8 = 2;
const SEED: u8 = 3;
const CARRY: u8 = 4;

/// What can be appended.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every record is a fact: boxing it would be an allocation for each"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Something that happened; shipped to the office.
    Fact(Fact),
    /// What is needed to send a BYE on one dialog of a call after a crash. Stays on this node; the
    /// latest of each (call, leg) counts, and empty bytes mean that nobody is owed anything.
    Seed {
        /// The conversation.
        call: CallId,
        /// Which of its dialogs, from 0.
        leg: u8,
        /// The seed, opaque to the journal.
        bytes: Vec<u8>,
    },
}

impl Record {
    /// The record as bytes; the kind byte of a fact may still change by [`mark_late`].
    pub(crate) fn to_plain(&self) -> Vec<u8> {
        match self {
            Self::Fact(fact) => fact_bytes(fact),
            Self::Seed { call, leg, bytes } => {
                let call = call.to_string();
                let mut plain = Vec::with_capacity(bytes.len() + call.len() + 3);
                plain.extend_from_slice(&[SEED, *leg, u8::try_from(call.len()).unwrap_or(0)]);
                plain.extend_from_slice(call.as_bytes());
                plain.extend_from_slice(bytes);
                plain
            }
        }
    }
}

fn fact_bytes(fact: &Fact) -> Vec<u8> {
    let mut plain = vec![FACT];
    // Writing plain data to memory fails only on values JSON cannot hold, and a fact has none.
    if serde_json::to_writer(&mut plain, fact).is_err() {
        plain.truncate(1);
    }
    plain
}

/// Marks a fact that came after its call's end, so that a later start does not take it for the
/// beginning of an unfinished call.
pub(crate) fn mark_late(plain: &mut [u8]) {
    if let Some(kind) = plain.first_mut() {
        *kind = LATE_FACT;
    }
}

/// A record read back.
#[derive(Debug)]
pub(crate) enum Entry {
    Fact {
        fact: Box<Fact>,
        late: bool,
    },
    Seed {
        call: CallId,
        leg: u8,
        bytes: Vec<u8>,
    },
    Carry(Box<(CallId, CallState)>),
}

impl From<Record> for Entry {
    fn from(record: Record) -> Self {
        match record {
            Record::Fact(fact) => Self::Fact {
                fact: Box::new(fact),
                late: false,
            },
            Record::Seed { call, leg, bytes } => Self::Seed { call, leg, bytes },
        }
    }
}

/// The JSON of a fact record; none for the records that stay on this node.
pub(crate) fn fact_json(plain: &[u8]) -> Option<&[u8]> {
    match plain.split_first() {
        Some((&(FACT | LATE_FACT), json)) => Some(json),
        _ => None,
    }
}

/// Reads a record back; none when it was written by something that is not this program.
pub(crate) fn read(plain: &[u8]) -> Option<Entry> {
    let (kind, body) = plain.split_first()?;
    match *kind {
        FACT | LATE_FACT => Some(Entry::Fact {
            fact: serde_json::from_slice(body).ok()?,
            late: *kind == LATE_FACT,
        }),
        SEED => read_seed(body),
        CARRY => read_carry(body),
        _ => None,
    }
}

fn read_seed(body: &[u8]) -> Option<Entry> {
    let (leg, rest) = body.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (call, bytes) = rest.split_at_checked(usize::from(*length))?;
    Some(Entry::Seed {
        call: std::str::from_utf8(call).ok()?.parse().ok()?,
        leg: *leg,
        bytes: bytes.to_vec(),
    })
}

/// A live call's state, written again so that the segments behind it can go.
#[derive(Serialize, Deserialize)]
struct Carried {
    call: CallId,
    boot: u64,
    next_seq: u32,
    started: Option<model::fact::Started>,
    last_at_unix_ms: i64,
    last_offset_ms: u64,
    answered_offset_ms: Option<u64>,
    recording_open: bool,
    seeds: BTreeMap<u8, String>,
}

/// The carry record of one live call.
pub(crate) fn carry(call: CallId, state: &CallState) -> Vec<u8> {
    let base64 = &base64::engine::general_purpose::STANDARD;
    let carried = Carried {
        call,
        boot: state.boot,
        next_seq: state.next_seq,
        started: state.started.clone(),
        last_at_unix_ms: state.last_at_unix_ms,
        last_offset_ms: state.last_offset_ms,
        answered_offset_ms: state.answered_offset_ms,
        recording_open: state.recording_open,
        seeds: state
            .seeds
            .iter()
            .map(|(leg, bytes)| (*leg, base64.encode(bytes)))
            .collect(),
    };
    let mut plain = vec![CARRY];
    if serde_json::to_writer(&mut plain, &carried).is_err() {
        plain.truncate(1);
    }
    plain
}

fn read_carry(body: &[u8]) -> Option<Entry> {
    let carried: Carried = serde_json::from_slice(body).ok()?;
    let base64 = &base64::engine::general_purpose::STANDARD;
    let seeds = carried
        .seeds
        .iter()
        .map(|(leg, text)| Some((*leg, base64.decode(text).ok()?)))
        .collect::<Option<_>>()?;
    let state = CallState {
        boot: carried.boot,
        next_seq: carried.next_seq,
        started: carried.started,
        last_at_unix_ms: carried.last_at_unix_ms,
        last_offset_ms: carried.last_offset_ms,
        answered_offset_ms: carried.answered_offset_ms,
        recording_open: carried.recording_open,
        seeds,
        ended_at: None,
    };
    Some(Entry::Carry(Box::new((carried.call, state))))
}
