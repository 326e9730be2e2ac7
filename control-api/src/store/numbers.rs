//! Telephone numbers and the agents they reach.

use model::{AgentId, NumberId, RecordingMode, TenantId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Db, PageAsk, Rows, StoreError,
    sql::{Row, sql},
};
use crate::clock::Stamp;

/// A number that reaches an agent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Number {
    /// Its id.
    pub id: NumberId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// `+` and digits.
    pub e164: String,
    /// For people.
    pub label: String,
    /// The agent that answers.
    pub agent_id: AgentId,
    /// A pinned version; null follows the latest.
    pub agent_version: Option<u32>,
    /// Whether it is routed.
    pub active: bool,
    /// When its calls are recorded; null is as the agent says.
    pub recording: Option<RecordingMode>,
    /// When it was made.
    pub created_at: Stamp,
    /// When it was changed last.
    pub updated_at: Stamp,
}

/// What of a number can be changed; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct NumberFields {
    /// For people.
    pub label: Option<String>,
    /// The agent.
    pub agent_id: Option<AgentId>,
    /// `Some(None)` follows the latest.
    pub agent_version: Option<Option<u32>>,
    /// Whether it is routed.
    pub active: Option<bool>,
    /// `Some(None)` is as the agent says.
    pub recording: Option<Option<RecordingMode>>,
}

fn read(row: &Row) -> Result<Number, StoreError> {
    Ok(Number {
        id: row.parse("id")?,
        tenant_id: row.parse("tenant_id")?,
        e164: row.get("e164")?,
        label: row.get("label")?,
        agent_id: row.parse("agent_id")?,
        agent_version: row.int_opt("agent_version")?,
        active: row.get("active")?,
        recording: recording(row)?,
        created_at: Stamp(row.get("created_ms")?),
        updated_at: Stamp(row.get("updated_ms")?),
    })
}

/// The column of a number's own word on recording.
pub(super) fn recording(row: &Row) -> Result<Option<RecordingMode>, StoreError> {
    let name: Option<String> = row.get("recording")?;
    name.map(|name| {
        RecordingMode::from_wire(&name).ok_or_else(|| StoreError::corrupt("recording", &name))
    })
    .transpose()
}

impl Db {
    /// Adds a number; false when it is taken.
    pub async fn add_number(&self, number: &Number) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let added = tx
            .run(
                sql("insert into numbers (id, tenant_id, e164, label, agent_id, agent_version, active, recording, created_ms, updated_ms) values ($1, $2, $3, $4, $5, $6, $7, $9, $8, $8) on conflict do nothing")
                    .bind(number.id)
                    .bind(number.tenant_id)
                    .bind(&number.e164)
                    .bind(&number.label)
                    .bind(number.agent_id)
                    .bind(number.agent_version)
                    .bind(number.active)
                    .bind(number.created_at.0)
                    .bind(number.recording.map(RecordingMode::as_str)),
            )
            .await?;
        if added == 1 {
            tx.bump_revision().await?;
        }
        tx.commit().await?;
        Ok(added == 1)
    }

    /// The number with this id, if `tenant` (none = the platform) may see it.
    pub async fn number(
        &self,
        tenant: Option<TenantId>,
        id: NumberId,
    ) -> Result<Option<Number>, StoreError> {
        let query = sql("select * from numbers where id = $1 and ($2 is null or tenant_id = $2)")
            .bind(id)
            .bind(tenant);
        self.one(query).await?.map(|row| read(&row)).transpose()
    }

    /// Numbers, the newest first.
    pub async fn numbers(
        &self,
        tenant: Option<TenantId>,
        page: &PageAsk,
    ) -> Result<Rows<Number>, StoreError> {
        let query = sql("select * from numbers where ($1 is null or tenant_id = $1) and ($2 is null or id < $2) order by id desc limit $3")
            .bind(tenant)
            .bind(page.after.clone())
            .bind(page.fetch());
        let rows = self.all(query).await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |number| number.id.to_string()))
    }

    /// Changes a number; `None` when there is none.
    pub async fn change_number(
        &self,
        tenant: Option<TenantId>,
        id: NumberId,
        fields: NumberFields,
        now: i64,
    ) -> Result<Option<Number>, StoreError> {
        let mut tx = self.begin().await?;
        let query = sql("update numbers set label = coalesce($3, label), agent_id = coalesce($4, agent_id), agent_version = case when $5 then $6 else agent_version end, active = coalesce($7, active), updated_ms = $8, recording = case when $9 then $10 else recording end where id = $1 and ($2 is null or tenant_id = $2) returning *")
            .bind(id)
            .bind(tenant)
            .bind(fields.label)
            .bind(fields.agent_id)
            .bind(fields.agent_version.is_some())
            .bind(fields.agent_version.flatten())
            .bind(fields.active)
            .bind(now)
            .bind(fields.recording.is_some())
            .bind(fields.recording.flatten().map(RecordingMode::as_str));
        let Some(row) = tx.one(query).await? else {
            return Ok(None);
        };
        let number = read(&row)?;
        tx.bump_revision().await?;
        tx.commit().await?;
        Ok(Some(number))
    }

    /// Deletes a number; false when there is none.
    pub async fn delete_number(
        &self,
        tenant: Option<TenantId>,
        id: NumberId,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sql("delete from numbers where id = $1 and ($2 is null or tenant_id = $2)");
        let deleted = tx.run(gone.bind(id).bind(tenant)).await?;
        if deleted == 1 {
            tx.bump_revision().await?;
        }
        tx.commit().await?;
        Ok(deleted == 1)
    }
}
