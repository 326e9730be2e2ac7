//! Where the recordings are. Their sound is in files or objects, beside the database. Who erases one marks it here; the sound is
//! deleted until that has succeeded.

use model::{CallId, TenantId};

use super::{
    Db, StoreError, Tx,
    events::NewEvent,
    sql::{Row, sql},
};
use crate::{events, fold::CallRecord, vault::Place};

/// A recording that has arrived whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecording {
    /// Where it lies.
    pub place: Place,
    /// Its name there.
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
            place: row.parse("rec_place")?,
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
            "select r.place as rec_place, r.path as rec_path, r.bytes as rec_bytes, r.sha256 as rec_sha256, r.stored_ms as rec_stored_ms from recordings r where r.call_id = $1 and r.erased_ms is null",
        );
        let row = self.one(query.bind(call)).await?;
        row.map_or(Ok(None), |row| StoredRecording::read(&row))
    }

    /// Whether the sound of a call is not to be kept: its recording was erased, or its consent taken back.
    pub async fn is_erased(&self, call: CallId) -> Result<bool, StoreError> {
        let query =
            sql("select call_id from recordings where call_id = $1 and erased_ms is not null");
        if self.one(query.bind(call)).await?.is_some() {
            return Ok(true);
        }
        let record = self.call(None, call).await?;
        Ok(record.is_some_and(|(record, _)| record.is_withdrawn()))
    }

    /// Notes a recording that is whole where it lies; false when the call has one already. Of a call whose consent was taken back
    /// meanwhile it is erased at once.
    pub async fn add_recording(
        &self,
        call: CallId,
        recording: &StoredRecording,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let record = tx.lock_call(call).await?;
        let withdrawn = record.as_ref().is_some_and(CallRecord::is_withdrawn);
        let query = sql("insert into recordings (call_id, place, path, bytes, sha256, stored_ms, erased_ms) values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing")
            .bind(call)
            .bind(recording.place.as_str())
            .bind(&recording.path)
            .bind(recording.bytes)
            .bind(&recording.sha256)
            .bind(recording.stored_ms)
            .bind(withdrawn.then_some(recording.stored_ms));
        if tx.run(query).await? == 0 {
            return Ok(false);
        }
        if !withdrawn {
            let data = serde_json::json!({"bytes": recording.bytes, "sha256": recording.sha256});
            let at_ms = recording.stored_ms;
            let event = news(call, record.as_ref(), events::RECORDING_READY, at_ms, &data);
            tx.tell(vec![event]).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Marks the recording of a call for deletion, for somebody (`by`); false when there is none.
    pub async fn erase_recording(
        &self,
        call: CallId,
        by: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let record = tx.lock_call(call).await?;
        if !tx.erase_recording(call, now).await? {
            return Ok(false);
        }
        let data = serde_json::json!({ "by": by });
        let event = news(call, record.as_ref(), events::RECORDING_DELETED, now, &data);
        tx.tell(vec![event]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Recordings whose sound is still to be deleted, the longest due first.
    pub async fn recordings_to_purge(&self) -> Result<Vec<(CallId, StoredRecording)>, StoreError> {
        let query = sql(
            "select r.call_id, r.place as rec_place, r.path as rec_path, r.bytes as rec_bytes, r.sha256 as rec_sha256, r.stored_ms as rec_stored_ms from recordings r where r.erased_ms is not null and r.purged_ms is null order by r.erased_ms limit 50",
        );
        let mut due = Vec::new();
        for row in self.all(query).await? {
            if let Some(stored) = StoredRecording::read(&row)? {
                due.push((row.parse("call_id")?, stored));
            }
        }
        Ok(due)
    }

    /// The sound of a recording is gone.
    pub async fn recording_purged(&self, call: CallId, now: i64) -> Result<(), StoreError> {
        let query = sql("update recordings set purged_ms = $2 where call_id = $1");
        self.run(query.bind(call).bind(now)).await?;
        Ok(())
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

impl Tx {
    /// Marks the recording of a call for deletion; false when there is none.
    pub(super) async fn erase_recording(
        &mut self,
        call: CallId,
        now: i64,
    ) -> Result<bool, StoreError> {
        let query =
            sql("update recordings set erased_ms = $2 where call_id = $1 and erased_ms is null");
        Ok(self.run(query.bind(call).bind(now)).await? > 0)
    }
}

fn news(
    call: CallId,
    record: Option<&CallRecord>,
    kind: &'static str,
    at_ms: i64,
    data: &serde_json::Value,
) -> NewEvent {
    let agent = record.and_then(|record| record.agent.as_ref());
    NewEvent {
        tenant: record.and_then(|record| record.tenant),
        agent: agent.map(|agent| agent.id),
        call: Some(call),
        seq: None,
        kind,
        at_ms,
        data: data.to_string(),
    }
}
