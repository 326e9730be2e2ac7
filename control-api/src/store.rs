//! The office's memory: the only place with SQL. Each query is written once and runs on SQLite and
//! PostgreSQL; every function that reads or changes a tenant's things takes the tenant.

mod agents;
mod audit;
mod bookings;
mod calls;
mod commands;
mod db;
mod events;
mod extensions;
mod idempotency;
mod journal;
mod keys;
mod leases;
mod migrate;
mod nodes;
mod numbers;
mod recordings;
mod registrations;
mod reseal;
mod sealed;
mod sip_domains;
mod snapshot;
mod sql;
mod tenants;
mod trunks;
mod withdrawn;

pub use agents::{Agent, AgentStatus, AgentVersion, Draft, NewVersion, Published};
pub use bookings::{Booking, BookingFilter, BookingState, Placed, Seating};
pub use calls::{CallFilter, TimelineEntry};
pub use commands::{CommandState, NewOrder, Order};
pub use db::{Db, Tx};
pub use events::Event;
pub use extensions::{Extension, ExtensionFields};
pub use idempotency::{Answer, Claim};
pub use journal::Intake;
pub use keys::{ApiKey, NewKey, StoredKey};
pub use nodes::Rollout;
pub use numbers::{Number, NumberFields};
pub use recordings::StoredRecording;
pub use registrations::{Registration, RegistrationFilter};
pub use reseal::SealedText;
pub use sealed::{SEALED, place};
pub use sip_domains::SipDomain;
pub use tenants::{Tenant, TenantFields, TenantStatus};
pub use trunks::{Change, StoredTrunk};

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// Its folder could not be made.
    #[error("the database's folder: {0}")]
    Folder(#[from] std::io::Error),
    /// A column holds what this program never wrote.
    #[error("column {column} holds '{text}', which this version cannot read")]
    Corrupt {
        /// The column.
        column: String,
        /// What it holds, cut to 80 characters.
        text: String,
    },
    /// A released migration was edited.
    #[error("migration {step} was applied with another text: restore the file or the database")]
    Drift {
        /// The step's name.
        step: &'static str,
    },
    /// Neither `sqlite://` nor `postgres://`.
    #[error("the database URL must begin with sqlite:// or postgres://")]
    UnknownScheme,
}

impl StoreError {
    /// Whether the database is away for now (as opposed to refusing what was asked).
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Database(
                sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::PoolClosed
            )
        )
    }
}

impl StoreError {
    fn corrupt(column: &str, text: &str) -> Self {
        Self::Corrupt {
            column: column.to_owned(),
            text: text.chars().take(80).collect(),
        }
    }

    /// Whether the same transaction may succeed when it is run again (a deadlock was broken, two
    /// snapshots met, SQLite stayed busy).
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(fault) if Self::is_busy(fault) || is_rolled_back(fault))
    }

    fn is_busy(fault: &sqlx::Error) -> bool {
        fault
            .as_database_error()
            .and_then(|fault| fault.code())
            // SQLITE_BUSY and its extended forms, SQLITE_LOCKED
            .is_some_and(|code| matches!(code.as_ref(), "5" | "261" | "517" | "773" | "6" | "262"))
    }
}

/// PostgreSQL's serialization_failure and deadlock_detected.
fn is_rolled_back(fault: &sqlx::Error) -> bool {
    fault
        .as_database_error()
        .and_then(|fault| fault.code())
        .is_some_and(|code| matches!(code.as_ref(), "40001" | "40P01"))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A page asked for: rows after `cursor` in descending id order.
#[derive(Debug, Clone)]
pub struct PageAsk {
    /// Rows wanted, 1 to 1,000.
    pub limit: u32,
    /// The id after which to go on.
    pub after: Option<String>,
}

/// A page of rows; `next` is the cursor when there are more.
#[derive(Debug, Clone)]
pub struct Rows<T> {
    /// At most `limit` rows.
    pub rows: Vec<T>,
    /// The id of the last row, when more follow.
    pub next: Option<String>,
}

impl PageAsk {
    /// One row more than asked for, to know whether there are more.
    fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    fn cut<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> String) -> Rows<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(key) } else { None };
        Rows { rows, next }
    }
}
