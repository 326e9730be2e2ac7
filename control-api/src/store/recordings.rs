//! Where the recordings are. Their sound is in files, beside the database.

use model::{CallId, TenantId};

use super::{
    Db, StoreError,
    events::NewEvent,
    sql::{Row, sql},
};
use crate::events;

/// A recording that has arrived whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecording {
    /// Its file, relative to the data folder's `recordings`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// When it arrived.
    pub stored_ms: i64,
}

impl StoredRecording {
    /// The `rec_…` columns of a call joined with its recording.
    pub(super) fn read(row: &Row) -> Result<Option<Self>, StoreError> {
        let Some(path) = row.get::<Option<String>>("rec_path")? else {
            return Ok(None);
        };
        Ok(Some(Self {
            path,
            bytes: row.int("rec_bytes")?,
            sha256: row.get("rec_sha256")?,
            stored_ms: row.get("rec_stored_ms")?,
        }))
    }
}

impl Db {
    /// The recording of a call, whoever owns it (for the switch's side).
    pub async fn recording(&self, call: CallId) -> Result<Option<StoredRecording>, StoreError> {
        let query = sql(
            "select path as rec_path, bytes as rec_bytes, sha256 as rec_sha256, stored_ms as rec_stored_ms from recordings where call_id = $1",
        );
        let row = self.one(query.bind(call)).await?;
        row.map_or(Ok(None), |row| StoredRecording::read(&row))
    }

    /// Notes a recording that is whole on disk; false when the call has one already.
    pub async fn add_recording(
        &self,
        call: CallId,
        recording: &StoredRecording,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let query = sql("insert into recordings (call_id, path, bytes, sha256, stored_ms) values ($1, $2, $3, $4, $5) on conflict do nothing")
            .bind(call)
            .bind(&recording.path)
            .bind(recording.bytes)
            .bind(&recording.sha256)
            .bind(recording.stored_ms);
        if tx.run(query).await? == 0 {
            return Ok(false);
        }
        let record = tx.lock_call(call).await?;
        let agent = record.as_ref().and_then(|record| record.agent.as_ref());
        let event = NewEvent {
            tenant: record.as_ref().and_then(|record| record.tenant),
            agent: agent.map(|agent| agent.id),
            call: Some(call),
            seq: None,
            kind: events::RECORDING_READY,
            at_ms: recording.stored_ms,
            data: serde_json::json!({"bytes": recording.bytes, "sha256": recording.sha256})
                .to_string(),
        };
        tx.tell(vec![event]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whether a tenant may know of a call.
    pub async fn call_visible(
        &self,
        tenant: Option<TenantId>,
        id: CallId,
    ) -> Result<bool, StoreError> {
        let query = sql("select id from calls where id = $1 and ($2 is null or tenant_id = $2)");
        Ok(self.one(query.bind(id).bind(tenant)).await?.is_some())
    }
}
