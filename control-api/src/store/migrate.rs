//! Brings the database to this program's shape: idempotent, and safe when several processes start
//! on one empty database at once (an advisory lock on PostgreSQL, the write lock on SQLite).

use sha2::{Digest, Sha256};

use super::{Db, StoreError, Tx, hex, sql::sql};

/// One step: a number, a name and its text for each engine.
struct Step {
    number: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! step {
    ($number:literal, $name:literal) => {
        Step {
            number: $number,
            name: $name,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../../migrations/postgres/", $name, ".sql")),
        }
    };
}

/// All steps, in order. A step that was released is never edited: its checksum is kept.
const STEPS: &[Step] = &[
    step!(1, "0001_office"),
    step!(2, "0002_sip_domains"),
    step!(3, "0003_trunks"),
    step!(4, "0004_commands"),
    step!(5, "0005_attestation"),
    step!(6, "0006_leases"),
    step!(7, "0007_consent"),
    step!(8, "0008_recordings"),
    step!(9, "0009_events_told"),
];

/// "side" as a number: the advisory lock that migrating processes share.
const LOCK: i64 = 0x7369_6465;

impl Db {
    /// Applies what is missing; how many steps that were.
    pub async fn migrate(&self) -> Result<usize, StoreError> {
        let mut tx = self.begin().await?;
        if matches!(tx, Tx::Postgres(_)) {
            tx.run(sql("select pg_advisory_xact_lock($1)").bind(LOCK))
                .await?;
        }
        tx.run(sql(
            "create table if not exists schema_steps (number bigint primary key, name text not null, checksum text not null)",
        ))
        .await?;
        let mut applied = 0;
        for step in STEPS {
            applied += usize::from(step.apply(&mut tx).await?);
        }
        tx.commit().await?;
        Ok(applied)
    }
}

impl Step {
    /// Whether it had to be applied.
    async fn apply(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        let text = match tx {
            Tx::Sqlite(_) => self.sqlite,
            Tx::Postgres(_) => self.postgres,
        };
        let checksum = hex(&Sha256::digest(text.as_bytes()));
        let known = sql("select checksum from schema_steps where number = $1").bind(self.number);
        if let Some(row) = tx.one(known).await? {
            let before: String = row.get("checksum")?;
            return if before == checksum {
                Ok(false)
            } else {
                Err(StoreError::Drift { step: self.name })
            };
        }
        tx.script(text).await?;
        tx.run(
            sql("insert into schema_steps (number, name, checksum) values ($1, $2, $3)")
                .bind(self.number)
                .bind(self.name)
                .bind(checksum),
        )
        .await?;
        Ok(true)
    }
}

impl Tx {
    /// Runs a text of several statements.
    async fn script(&mut self, text: &'static str) -> Result<(), StoreError> {
        use sqlx::Executor as _;
        match self {
            Self::Sqlite(tx) => {
                tx.execute(sqlx::raw_sql(text)).await?;
            }
            Self::Postgres(tx) => {
                tx.execute(sqlx::raw_sql(text)).await?;
            }
        }
        Ok(())
    }
}
