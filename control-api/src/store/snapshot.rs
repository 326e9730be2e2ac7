//! The snapshot that switches route from, and the revision that names it.

use model::{
    AgentRef, Snapshot,
    agent::PublishedAgent,
    snapshot::{NumberEntry, TenantEntry},
    trunk::TrunkEntry,
};

use super::{
    Db, StoreError, Tx,
    sql::{Row, sql},
};

impl Tx {
    /// Raises the revision. The row stays locked until the commit, so revisions are seen in order.
    pub(super) async fn bump_revision(&mut self) -> Result<u64, StoreError> {
        let query =
            sql("update office_state set revision = revision + 1 where id = 1 returning revision");
        match self.one(query).await? {
            Some(row) => row.int("revision"),
            None => Err(StoreError::corrupt("office_state.id", "no row")),
        }
    }
}

impl Db {
    /// The current revision.
    pub async fn revision(&self) -> Result<u64, StoreError> {
        let row = self
            .one(sql("select revision from office_state where id = 1"))
            .await?;
        row.map_or(Ok(0), |row| row.int("revision"))
    }

    /// Everything a switch routes from, as of one moment.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut tx = self.begin_snapshot().await?;
        let row = tx
            .one(sql("select revision from office_state where id = 1"))
            .await?;
        let tenants = tx
            .all(sql("select id, slug, outbound, limits from tenants where deleted_ms is null and status = 'active' order by id"))
            .await?;
        let numbers = tx
            .all(sql("select n.* from numbers n join tenants t on t.id = n.tenant_id where n.active and t.deleted_ms is null and t.status = 'active' order by n.id"))
            .await?;
        let agents = tx
            .all(sql("select v.*, a.slug, a.latest_version, t.slug as tenant_slug from agent_versions v join agents a on a.id = v.agent_id join tenants t on t.id = a.tenant_id where a.deleted_ms is null and a.status = 'active' and t.deleted_ms is null and t.status = 'active' and (v.version = a.latest_version or exists (select 1 from numbers n where n.agent_id = a.id and n.agent_version = v.version and n.active)) order by v.agent_id, v.version"))
            .await?;
        let extensions = tx.active_extensions().await?;
        let trunks = tx
            .all(sql("select k.* from trunks k join tenants t on t.id = k.tenant_id where k.active and t.deleted_ms is null and t.status = 'active' order by k.id"))
            .await?;
        Ok(Snapshot {
            extensions,
            revision: row.map_or(Ok(0), |row| row.int("revision"))?,
            tenants: tenants.iter().map(tenant).collect::<Result<_, _>>()?,
            numbers: numbers.iter().map(number).collect::<Result<_, _>>()?,
            agents: agents.iter().filter_map(readable_agent).collect(),
            trunks: trunks.iter().filter_map(readable_trunk).collect(),
        })
    }
}

fn tenant(row: &Row) -> Result<TenantEntry, StoreError> {
    Ok(TenantEntry {
        id: row.parse("id")?,
        slug: row.get("slug")?,
        outbound: super::tenants::outbound(row)?,
        limits: super::tenants::limits(row)?.unwrap_or_default(),
    })
}

/// A trunk with its password still in the database's envelope: whoever hands it to a switch seals
/// it for that switch.
fn readable_trunk(row: &Row) -> Option<TrunkEntry> {
    let read = super::trunks::read(row);
    let stored = read
        .inspect_err(|fault| tracing::error!(%fault, "a trunk is left out of the snapshot"))
        .ok()?;
    Some(TrunkEntry {
        id: stored.id,
        tenant: stored.tenant_id,
        name: stored.name,
        config: stored.config,
        sealed: stored.password.unwrap_or_default(),
    })
}

fn number(row: &Row) -> Result<NumberEntry, StoreError> {
    Ok(NumberEntry {
        id: row.parse("id")?,
        tenant: row.parse("tenant_id")?,
        e164: row.get("e164")?,
        agent: row.parse("agent_id")?,
        pin: row.int_opt("agent_version")?,
        recording: super::numbers::recording(row)?,
    })
}

/// One version that this program cannot read must not take every other agent off the air.
fn readable_agent(row: &Row) -> Option<PublishedAgent> {
    agent(row)
        .inspect_err(
            |fault| tracing::error!(%fault, "a published version is left out of the snapshot"),
        )
        .ok()
}

fn agent(row: &Row) -> Result<PublishedAgent, StoreError> {
    let version: u32 = row.int("version")?;
    let latest: Option<u32> = row.int_opt("latest_version")?;
    Ok(PublishedAgent {
        tenant: row.parse("tenant_id")?,
        tenant_slug: row.get("tenant_slug")?,
        agent: AgentRef {
            id: row.parse("agent_id")?,
            slug: row.get("slug")?,
            version,
            config_hash: row.get("config_hash")?,
        },
        latest: latest == Some(version),
        config: row.json("config")?,
    })
}
