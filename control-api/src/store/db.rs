//! The two pools behind one door.
//!
//! SQLite: WAL, one writing connection in the process (`BEGIN IMMEDIATE`, so a transaction never
//! has to be upgraded and other processes wait in the busy handler) and a few reading ones.

use std::{path::Path, str::FromStr, time::Duration};

use sqlx::{
    Connection as _, PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    StoreError,
    sql::{Query, Row},
};

/// How long a writer waits for another process's write on SQLite.
const BUSY: Duration = Duration::from_secs(15);
/// How long a request waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(20);
/// Reading connections on SQLite.
const READERS: u32 = 4;
/// Connections on PostgreSQL.
const CONNECTIONS: u32 = 10;

/// The office's database.
#[derive(Clone)]
pub enum Db {
    /// One file.
    Sqlite {
        /// One connection: all writes.
        writer: SqlitePool,
        /// Reads.
        readers: SqlitePool,
    },
    /// A server.
    Postgres(PgPool),
}

/// A transaction on either engine. Dropped without `commit`, it is rolled back.
pub enum Tx {
    /// On SQLite.
    Sqlite(Transaction<'static, Sqlite>),
    /// On PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

impl Db {
    /// Opens `sqlite://PATH` (made when missing, with its folder) or `postgres://…`.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            Self::open_sqlite(path).await
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Self::open_postgres(url).await
        } else {
            Err(StoreError::UnknownScheme)
        }
    }

    async fn open_sqlite(path: &str) -> Result<Self, StoreError> {
        if let Some(folder) = Path::new(path).parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .journal_mode(SqliteJournalMode::Wal)
            // What is deleted is to be gone: what callers said and take back.
            .pragma("secure_delete", "on")
            // An acknowledged fact is forgotten by the switch: it must survive a power cut here.
            .synchronous(SqliteSynchronous::Full);
        let writer = open_wal(&options).await?;
        // All of them from the start and for good: how many descriptors are open says then whether calls leave some.
        let readers = sqlite_pool(READERS)
            .min_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options);
        Ok(Self::Sqlite { writer, readers })
    }

    async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .connect_with(PgConnectOptions::from_str(url)?)
            .await?;
        Ok(Self::Postgres(pool))
    }

    /// The engine's name, for health answers and logs.
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// A transaction that writes.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// A transaction that sees one moment of the whole database and only reads.
    pub async fn begin_snapshot(&self) -> Result<Tx, StoreError> {
        const ONE_MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin_with(ONE_MOMENT).await?),
        })
    }

    /// All rows of a reading query.
    pub async fn all(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                wrap(query.sqlite().fetch_all(readers).await?, Row::Sqlite)
            }
            Self::Postgres(pool) => wrap(query.postgres().fetch_all(pool).await?, Row::Postgres),
        })
    }

    /// The first row of a reading query.
    pub async fn one(&self, query: Query) -> Result<Option<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => query
                .sqlite()
                .fetch_optional(readers)
                .await?
                .map(Row::Sqlite),
            Self::Postgres(pool) => query
                .postgres()
                .fetch_optional(pool)
                .await?
                .map(Row::Postgres),
        })
    }

    /// Runs one writing statement by itself; how many rows it touched.
    pub async fn run(&self, query: Query) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => query.sqlite().execute(writer).await?.rows_affected(),
            Self::Postgres(pool) => query.postgres().execute(pool).await?.rows_affected(),
        })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Whether nobody else can write before this transaction ends, so that reading is locking.
    pub fn is_alone(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// All rows.
    pub async fn all(&mut self, query: Query) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => wrap(query.sqlite().fetch_all(&mut **tx).await?, Row::Sqlite),
            Self::Postgres(tx) => wrap(query.postgres().fetch_all(&mut **tx).await?, Row::Postgres),
        })
    }

    /// The first row.
    pub async fn one(&mut self, query: Query) -> Result<Option<Row>, StoreError> {
        Ok(self.all(query).await?.into_iter().next())
    }

    /// Runs one statement; how many rows it touched.
    pub async fn run(&mut self, query: Query) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => query.sqlite().execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => query.postgres().execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Makes it last.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

fn wrap<R>(rows: Vec<R>, make: impl Fn(R) -> Row) -> Vec<Row> {
    rows.into_iter().map(make).collect()
}

/// A pool that gives out no connection with a transaction left on it. When a write fails (the disk
/// is full, or broken), SQLite gives the transaction up by itself; the driver's own rollback then
/// finds none to undo, and the driver believes for ever that one is open, in which no other can
/// begin. Such a connection is closed, and the next one is good.
fn sqlite_pool(most: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(most)
        .acquire_timeout(ACQUIRE)
        .before_acquire(|connection, _| {
            let good = !connection.is_in_transaction();
            if !good {
                tracing::warn!("a failed write left its connection unusable: opening another");
            }
            Box::pin(async move { Ok(good) })
        })
}

/// Opens the writing connection. Several processes that meet on an empty file fight over the
/// switch to WAL, for which SQLite calls no busy handler: so this asks again.
async fn open_wal(options: &SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    let mut left = 100;
    loop {
        match sqlite_pool(1).connect_with(options.clone()).await {
            Ok(pool) => return Ok(pool),
            Err(fault) if left > 0 && StoreError::is_busy(&fault) => left -= 1,
            Err(fault) => return Err(fault.into()),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
