//! Agents, their drafts and their published versions.

use model::{AgentConfig, AgentId, TenantId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Db, PageAsk, Rows, StoreError, Tx,
    sql::{Row, sql},
};
use crate::{
    canonical::{canonical_json, config_hash},
    clock::Stamp,
    closed::closed,
};

closed! {
    /// Whether an agent takes calls.
    pub enum AgentStatus {
        /// As published.
        Active = "active",
        /// Not routed.
        Paused = "paused",
    }
}

/// An agent: a slug, a draft and published versions.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its short name, unique in the tenant.
    pub slug: String,
    /// Whether it takes calls.
    pub status: AgentStatus,
    /// The newest published version; null before the first.
    pub latest_version: Option<u32>,
    /// When it was made.
    pub created_at: Stamp,
    /// When it was changed last.
    pub updated_at: Stamp,
}

/// What the next version would be.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Draft {
    /// The agent.
    pub agent_id: AgentId,
    /// The configuration.
    pub config: AgentConfig,
    /// When it was changed last.
    pub updated_at: Stamp,
    /// The place in its history; the ETag.
    #[serde(skip)]
    pub tag: i64,
}

/// A published version: immutable.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AgentVersion {
    /// The agent.
    pub agent_id: AgentId,
    /// From 1.
    pub version: u32,
    /// Why it was published.
    pub note: String,
    /// The version it repeats, when it is a rollback.
    pub from_version: Option<u32>,
    /// SHA-256 of its canonical JSON, hex.
    pub config_hash: String,
    /// The API key that published it.
    pub published_by: String,
    /// When.
    pub published_at: Stamp,
    /// The snapshot revision that carries it first.
    pub revision: u64,
    /// The configuration; only in a single version's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<AgentConfig>,
}

/// What is to be published.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// Why.
    pub note: String,
    /// An older version to repeat; none = the draft.
    pub from_version: Option<u32>,
    /// The API key.
    pub published_by: String,
    /// When.
    pub now: i64,
}

/// What came of publishing.
#[derive(Debug)]
pub enum Published {
    /// Done.
    Version(Box<AgentVersion>),
    /// No such agent.
    NoAgent,
    /// No such version to repeat.
    NoVersion,
}

fn read(row: &Row) -> Result<Agent, StoreError> {
    Ok(Agent {
        id: row.parse("id")?,
        tenant_id: row.parse("tenant_id")?,
        slug: row.get("slug")?,
        status: row
            .get::<String>("status")?
            .parse()
            .map_err(|()| StoreError::corrupt("status", "?"))?,
        latest_version: row.int_opt("latest_version")?,
        created_at: Stamp(row.get("created_ms")?),
        updated_at: Stamp(row.get("updated_ms")?),
    })
}

fn read_version(row: &Row, with_config: bool) -> Result<AgentVersion, StoreError> {
    Ok(AgentVersion {
        agent_id: row.parse("agent_id")?,
        version: row.int("version")?,
        note: row.get("note")?,
        from_version: row.int_opt("from_version")?,
        config_hash: row.get("config_hash")?,
        published_by: row.get("published_by")?,
        published_at: Stamp(row.get("published_ms")?),
        revision: row.int("revision")?,
        config: with_config.then(|| row.json("config")).transpose()?,
    })
}

impl Db {
    /// Adds an agent with its first draft; false when the slug is taken.
    pub async fn add_agent(&self, agent: &Agent, draft: &AgentConfig) -> Result<bool, StoreError> {
        let query = sql("insert into agents (id, tenant_id, slug, status, draft, draft_tag, draft_ms, created_ms, updated_ms) values ($1, $2, $3, $4, $5, 1, $6, $6, $6) on conflict do nothing")
            .bind(agent.id)
            .bind(agent.tenant_id)
            .bind(&agent.slug)
            .bind(agent.status.as_str())
            .bind(canonical_json(draft))
            .bind(agent.created_at.0);
        Ok(self.run(query).await? == 1)
    }

    /// The agent with this id, if `tenant` (none = the platform) may see it.
    pub async fn agent(
        &self,
        tenant: Option<TenantId>,
        id: AgentId,
    ) -> Result<Option<Agent>, StoreError> {
        let query = sql("select * from agents where id = $1 and ($2 is null or tenant_id = $2) and deleted_ms is null")
            .bind(id)
            .bind(tenant);
        self.one(query).await?.map(|row| read(&row)).transpose()
    }

    /// Agents, the newest first.
    pub async fn agents(
        &self,
        tenant: Option<TenantId>,
        page: &PageAsk,
    ) -> Result<Rows<Agent>, StoreError> {
        let query = sql("select * from agents where deleted_ms is null and ($1 is null or tenant_id = $1) and ($2 is null or id < $2) order by id desc limit $3")
            .bind(tenant)
            .bind(page.after.clone())
            .bind(page.fetch());
        let rows = self.all(query).await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |agent| agent.id.to_string()))
    }

    /// Changes slug or status; `None` when there is no such agent, `Some(None)` when the slug is
    /// taken.
    pub async fn change_agent(
        &self,
        tenant: Option<TenantId>,
        id: AgentId,
        slug: Option<String>,
        status: Option<AgentStatus>,
        now: i64,
    ) -> Result<Option<Option<Agent>>, StoreError> {
        let mut tx = self.begin().await?;
        let taken = sql(
            "select b.id from agents a join agents b on b.tenant_id = a.tenant_id where a.id = $1 and b.id <> $1 and b.slug = $2 and b.deleted_ms is null",
        );
        if tx.one(taken.bind(id).bind(slug.clone())).await?.is_some() {
            return Ok(Some(None));
        }
        let query = sql("update agents set slug = coalesce($3, slug), status = coalesce($4, status), updated_ms = $5 where id = $1 and ($2 is null or tenant_id = $2) and deleted_ms is null returning *")
            .bind(id)
            .bind(tenant)
            .bind(slug)
            .bind(status.map(AgentStatus::as_str))
            .bind(now);
        let Some(row) = tx.one(query).await? else {
            return Ok(None);
        };
        let agent = read(&row)?;
        tx.bump_revision().await?;
        tx.commit().await?;
        Ok(Some(Some(agent)))
    }

    /// Marks an agent as deleted; its versions stay for the calls that name them. `None` when
    /// there is none, false when a number still reaches it.
    pub async fn delete_agent(
        &self,
        tenant: Option<TenantId>,
        id: AgentId,
        now: i64,
    ) -> Result<Option<bool>, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sql(
            "update agents set deleted_ms = $3, updated_ms = $3 where id = $1 and ($2 is null or tenant_id = $2) and deleted_ms is null",
        );
        if tx.run(gone.bind(id).bind(tenant).bind(now)).await? == 0 {
            return Ok(None);
        }
        let used = sql("select id from numbers where agent_id = $1 limit 1").bind(id);
        if tx.one(used).await?.is_some() {
            return Ok(Some(false));
        }
        tx.bump_revision().await?;
        tx.commit().await?;
        Ok(Some(true))
    }

    /// The draft.
    pub async fn draft(
        &self,
        tenant: Option<TenantId>,
        id: AgentId,
    ) -> Result<Option<Draft>, StoreError> {
        let query = sql("select id, draft, draft_tag, draft_ms from agents where id = $1 and ($2 is null or tenant_id = $2) and deleted_ms is null")
            .bind(id)
            .bind(tenant);
        let Some(row) = self.one(query).await? else {
            return Ok(None);
        };
        Ok(Some(Draft {
            agent_id: row.parse("id")?,
            config: row.json("draft")?,
            updated_at: Stamp(row.get("draft_ms")?),
            tag: row.get("draft_tag")?,
        }))
    }

    /// Replaces the draft if it still is the one with `tag`; the new tag.
    pub async fn replace_draft(
        &self,
        id: AgentId,
        tag: i64,
        config: &AgentConfig,
        now: i64,
    ) -> Result<Option<i64>, StoreError> {
        let query = sql("update agents set draft = $3, draft_tag = draft_tag + 1, draft_ms = $4, updated_ms = $4 where id = $1 and draft_tag = $2 and deleted_ms is null")
            .bind(id)
            .bind(tag)
            .bind(canonical_json(config))
            .bind(now);
        Ok((self.run(query).await? == 1).then_some(tag + 1))
    }

    /// Freezes the draft, or an older version, as the next version.
    pub async fn publish(
        &self,
        tenant: Option<TenantId>,
        id: AgentId,
        new: NewVersion,
    ) -> Result<Published, StoreError> {
        let mut tx = self.begin().await?;
        let lock = sql(
            "update agents set updated_ms = $3 where id = $1 and ($2 is null or tenant_id = $2) and deleted_ms is null returning *",
        );
        let Some(row) = tx.one(lock.bind(id).bind(tenant).bind(new.now)).await? else {
            return Ok(Published::NoAgent);
        };
        let Some(config) = tx.config_to_publish(id, &row, new.from_version).await? else {
            return Ok(Published::NoVersion);
        };
        let version = AgentVersion {
            agent_id: id,
            version: row.int_opt("latest_version")?.unwrap_or(0_u32) + 1,
            note: new.note,
            from_version: new.from_version,
            config_hash: config_hash(&config),
            published_by: new.published_by,
            published_at: Stamp(new.now),
            revision: tx.bump_revision().await?,
            config: Some(config),
        };
        tx.insert_version(row.parse("tenant_id")?, &version).await?;
        tx.commit().await?;
        Ok(Published::Version(Box::new(version)))
    }

    /// Versions of an agent, the newest first.
    pub async fn versions(
        &self,
        id: AgentId,
        page: &PageAsk,
    ) -> Result<Rows<AgentVersion>, StoreError> {
        let before: Option<i64> = page.after.as_deref().and_then(|text| text.parse().ok());
        let query = sql("select * from agent_versions where agent_id = $1 and ($2 is null or version < $2) order by version desc limit $3")
            .bind(id)
            .bind(before)
            .bind(page.fetch());
        let rows = self.all(query).await?;
        let rows = rows
            .iter()
            .map(|row| read_version(row, false))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |version| version.version.to_string()))
    }

    /// One version with its configuration.
    pub async fn version(
        &self,
        tenant: Option<TenantId>,
        id: AgentId,
        version: u32,
    ) -> Result<Option<AgentVersion>, StoreError> {
        let query = sql("select * from agent_versions where agent_id = $1 and version = $2 and ($3 is null or tenant_id = $3)")
            .bind(id)
            .bind(version)
            .bind(tenant);
        let row = self.one(query).await?;
        row.map(|row| read_version(&row, true)).transpose()
    }
}

impl Tx {
    /// The configuration that the next version freezes.
    async fn config_to_publish(
        &mut self,
        id: AgentId,
        agent: &Row,
        from_version: Option<u32>,
    ) -> Result<Option<AgentConfig>, StoreError> {
        let Some(version) = from_version else {
            return agent.json("draft").map(Some);
        };
        let query = sql("select config from agent_versions where agent_id = $1 and version = $2");
        let row = self.one(query.bind(id).bind(version)).await?;
        row.map(|row| row.json("config")).transpose()
    }

    async fn insert_version(
        &mut self,
        tenant: TenantId,
        version: &AgentVersion,
    ) -> Result<(), StoreError> {
        self.run(
            sql("insert into agent_versions (agent_id, version, tenant_id, config, config_hash, note, from_version, published_by, published_ms, revision) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
                .bind(version.agent_id)
                .bind(version.version)
                .bind(tenant)
                .bind(version.config.as_ref().map(canonical_json))
                .bind(&version.config_hash)
                .bind(&version.note)
                .bind(version.from_version)
                .bind(&version.published_by)
                .bind(version.published_at.0)
                .bind(version.revision),
        )
        .await?;
        let latest = sql("update agents set latest_version = $2 where id = $1");
        self.run(latest.bind(version.agent_id).bind(version.version))
            .await?;
        Ok(())
    }
}
