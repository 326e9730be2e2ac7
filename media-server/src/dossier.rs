//! A call's dossier: the one writer of its facts.
//!
//! It lives beside the Call actor, so that when a Call dies its supervisor can still write the
//! one `ended` that every conversation gets, with the next number.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{
    CallId, EndReason, Fact, FactKind,
    fact::{Ended, Ladder, Rung},
};
use sip_core::dialog::DialogSeed;

use crate::{
    clock::{self, Clock},
    dialog,
    journal::{Journal, LostCall, Record, Refused, Written},
    tap::ladder::Rungs,
};

/// In place of words that may not be kept.
pub const WITHHELD: &str = "(withheld)";

/// A fact without what was said; none when nothing else is in it.
fn without_content(kind: FactKind) -> Option<FactKind> {
    let withheld = || WITHHELD.to_owned();
    match kind {
        FactKind::Segment(_) | FactKind::Digit { .. } => None,
        FactKind::Logged { .. } => Some(FactKind::Logged { line: withheld() }),
        FactKind::Tool {
            name,
            key,
            ok,
            denied,
            took_ms,
            ..
        } => Some(FactKind::Tool {
            name,
            key,
            ok,
            denied,
            summary: withheld(),
            took_ms,
        }),
        FactKind::ProviderTrouble { role, provider, .. } => Some(FactKind::ProviderTrouble {
            role,
            provider,
            what: withheld(),
        }),
        other => Some(other),
    }
}

/// Sees each fact as it is written (the live view of `calls --follow`).
pub type Watcher = Arc<dyn Fn(&Fact) + Send + Sync>;

/// See the module.
pub struct Dossier {
    call: CallId,
    boot: u64,
    journal: Journal,
    clock: Clock,
    born: Duration,
    /// What was on the clock when an earlier life of the node left off.
    before_ms: u64,
    watcher: Watcher,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    next_seq: u32,
    answered: Option<Duration>,
    /// When the sound ended.
    over: Option<Duration>,
    ended: Option<EndReason>,
    /// SIP messages by leg, until a fact takes them.
    rungs: BTreeMap<u8, Rungs>,
    /// Seeds from before the first fact: the journal knows the conversation only from that on.
    early: BTreeMap<u8, Vec<u8>>,
    /// The caller has not agreed that his words are kept.
    withheld: bool,
    /// What was said before, on the call's timeline, stays unwritten.
    kept_from_ms: u64,
}

impl Dossier {
    /// An empty dossier for a conversation that begins now.
    pub fn open(call: CallId, journal: Journal, clock: Clock, watcher: Watcher) -> Arc<Self> {
        Arc::new(Self {
            call,
            boot: journal.boot(),
            journal,
            clock,
            born: clock.now(),
            before_ms: 0,
            watcher,
            progress: Mutex::default(),
        })
    }

    /// The dossier of a conversation that an earlier life of this node lost.
    pub fn reopen(lost: &LostCall, journal: Journal, clock: Clock, watcher: Watcher) -> Arc<Self> {
        Arc::new(Self {
            call: lost.call,
            boot: lost.boot,
            journal,
            clock,
            born: clock.now(),
            before_ms: lost.last_offset_ms,
            watcher,
            progress: Mutex::new(Progress {
                next_seq: lost.next_seq,
                ..Progress::default()
            }),
        })
    }

    /// Ends a lost conversation. Its length is what was seen of it, or recorded: a call in which
    /// nothing happens writes no facts.
    pub fn end_lost(&self, lost: &LostCall, recorded_ms: u64) {
        let spoken = lost
            .answered_offset_ms
            .map_or(0, |at| lost.last_offset_ms.saturating_sub(at));
        self.progress().ended = Some(EndReason::NodeLost);
        self.write(FactKind::Ended(Ended {
            reason: EndReason::NodeLost,
            sip_code: None,
            q850: Some(41),
            duration_ms: spoken.max(recorded_ms),
        }));
    }

    /// Whose it is.
    pub fn call(&self) -> CallId {
        self.call
    }

    /// Why the conversation ended, once it has.
    pub fn ended(&self) -> Option<EndReason> {
        self.progress().ended
    }

    /// From now on (`call_ms` on the call's timeline) nothing that is said is written, or it is again.
    pub fn withhold(&self, withheld: bool, call_ms: u64) {
        let mut progress = self.progress();
        progress.withheld = withheld;
        progress.kept_from_ms = call_ms;
    }

    /// Whether the caller's words may not be kept.
    pub fn withholds(&self) -> bool {
        self.progress().withheld
    }

    /// What of a fact may be kept: without consent its content may not.
    fn kept(&self, kind: FactKind) -> Option<FactKind> {
        let progress = self.progress();
        match kind {
            FactKind::Segment(said) if said.start_ms < progress.kept_from_ms => None,
            kind if !progress.withheld => Some(kind),
            kind => without_content(kind),
        }
    }

    /// Writes a fact. One that the spool refuses is logged: the number stays free.
    pub fn write(&self, kind: FactKind) {
        let Some(kind) = self.kept(kind) else { return };
        let name = kind.name();
        if let Err(refused) = self.append(kind) {
            tracing::error!(call_id = %self.call, fact = name, ?refused, "a fact could not be kept");
        }
    }

    fn append(&self, kind: FactKind) -> Result<(), Refused> {
        let mut progress = self.progress();
        let fact = self.fact(&mut progress, kind);
        self.journal.append(Record::Fact(fact.clone()))?;
        self.counted(&mut progress);
        drop(progress);
        (self.watcher)(&fact);
        Ok(())
    }

    /// Writes a fact and tells when it is on the disk.
    pub fn write_through(&self, kind: FactKind) -> Written {
        let mut progress = self.progress();
        let fact = self.fact(&mut progress, kind);
        let written = self.journal.append_written(Record::Fact(fact.clone()));
        self.counted(&mut progress);
        drop(progress);
        (self.watcher)(&fact);
        written
    }

    /// Writes the end, unless it has been written: exactly one per conversation.
    pub fn end(&self, reason: EndReason, sip_code: Option<u16>, q850: Option<u8>) {
        let mut progress = self.progress();
        if progress.ended.replace(reason).is_some() {
            return;
        }
        let (answered, over) = (progress.answered, progress.over);
        drop(progress);
        let over = over.unwrap_or_else(|| self.clock.now());
        let spoken = answered.map(|at| over.saturating_sub(at));
        self.write(FactKind::Ended(Ended {
            reason,
            sip_code,
            q850,
            duration_ms: spoken.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        }));
    }

    /// The call was answered now.
    pub fn mark_answered(&self) {
        let now = self.clock.now();
        self.progress().answered.get_or_insert(now);
    }

    /// Nobody hears anybody any more; what is still written belongs to the time before.
    pub fn mark_over(&self) {
        let now = self.clock.now();
        self.progress().over.get_or_insert(now);
    }

    /// Milliseconds since the conversation's first moment.
    pub fn age_ms(&self) -> u64 {
        let age = self.clock.now().saturating_sub(self.born);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX) + self.before_ms
    }

    /// A SIP message of a leg: one for its ladder.
    pub fn rung(&self, leg: u8, rung: Rung) {
        let full = self.progress().rungs.entry(leg).or_default().add(rung);
        if let Some(rungs) = full {
            let omitted = 0;
            self.write(FactKind::Ladder(Ladder {
                leg,
                rungs,
                omitted,
            }));
        }
    }

    /// The leg is over: its ladder is written, unless the conversation never had a first fact.
    pub fn close_ladder(&self, leg: u8) {
        let mut progress = self.progress();
        let begun = progress.next_seq > 0;
        let Some(mut rungs) = progress.rungs.remove(&leg).filter(|_| begun) else {
            return;
        };
        drop(progress);
        let (rungs, omitted) = rungs.finish();
        if !rungs.is_empty() {
            let omitted = omitted as u64;
            self.write(FactKind::Ladder(Ladder {
                leg,
                rungs,
                omitted,
            }));
        }
    }

    /// Keeps a dialog's seed in the journal, so that its far side gets a BYE even after SIGKILL.
    pub fn keep_seed(&self, leg: u8, seed: &DialogSeed) {
        self.seed(leg, dialog::seed_bytes(seed));
    }

    /// The dialog is over: nobody is owed anything on it.
    pub fn drop_seed(&self, leg: u8) {
        self.seed(leg, Vec::new());
    }

    /// A fact was written; behind the first of all come the seeds that waited for it.
    fn counted(&self, progress: &mut Progress) {
        progress.next_seq += 1;
        for (leg, bytes) in std::mem::take(&mut progress.early) {
            self.append_seed(leg, bytes);
        }
    }

    fn seed(&self, leg: u8, bytes: Vec<u8>) {
        let mut progress = self.progress();
        if progress.next_seq == 0 {
            progress.early.insert(leg, bytes);
        } else {
            self.append_seed(leg, bytes);
        }
    }

    fn append_seed(&self, leg: u8, bytes: Vec<u8>) {
        let call = self.call;
        let kept = self.journal.append(Record::Seed { call, leg, bytes });
        if let Err(refused) = kept {
            tracing::warn!(call_id = %call, ?refused, "a dialog seed could not be kept");
        }
    }

    fn fact(&self, progress: &mut Progress, kind: FactKind) -> Fact {
        Fact {
            node: self.journal.node(),
            boot: self.boot,
            conversation: self.call,
            seq: progress.next_seq,
            at_unix_ms: clock::unix_ms(),
            offset_ms: self.age_ms(),
            kind,
        }
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
