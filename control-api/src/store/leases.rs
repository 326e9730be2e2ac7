//! Which switch registers at a tenant's trunk: one that takes calls, until it is silent for a lease.

use model::{
    NodeId, TrunkId,
    trunk::{TrunkConfig, USUAL_PROFILE},
};

use super::{
    Db, StoreError,
    sql::{Row, sql},
};

/// A trunk that somebody has to register at.
struct Lease {
    trunk: TrunkId,
    /// Who had it last, dead or alive.
    holder: Option<String>,
    /// Nobody has it who lives.
    is_free: bool,
    /// The SIP profile that carries it.
    profile: String,
}

impl Lease {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let alive: Option<String> = row.get("alive")?;
        // One that this program cannot read stops no other.
        let config: Option<TrunkConfig> = row.json("config").ok();
        let profile =
            config.map(|config| config.profile.unwrap_or_else(|| USUAL_PROFILE.to_owned()));
        Ok(Self {
            trunk: row.parse("id")?,
            holder: row.get("holder")?,
            is_free: alive.is_none(),
            profile: profile.unwrap_or_default(),
        })
    }
}

impl Db {
    /// The trunks at which a switch that takes calls registers from now on: those it has, and its part of those that nobody
    /// has who lives and that one of its profiles carries. A holder lives that takes calls and was seen since `judged_since_ms`; without that time, every one
    /// that takes calls (this office is too young to judge).
    pub async fn lease_trunks(
        &self,
        node: NodeId,
        profiles: &[String],
        judged_since_ms: Option<i64>,
    ) -> Result<Vec<TrunkId>, StoreError> {
        let since = judged_since_ms.unwrap_or(0);
        let query = sql(
            "select k.id, k.config, k.holder, n.id as alive from trunks k join tenants t on t.id = k.tenant_id left join nodes n on n.id = k.holder and n.accepting and n.last_seen_ms >= $1 where k.registers and k.active and t.deleted_ms is null and t.status = 'active' order by k.id",
        );
        let (rows, us) = (self.all(query.bind(since)).await?, node.to_string());
        let (mut taken, mut free) = (Vec::new(), Vec::new());
        for row in &rows {
            let lease = Lease::read(row)?;
            if lease.holder.as_ref() == Some(&us) {
                taken.push(lease.trunk);
            } else if lease.is_free && profiles.contains(&lease.profile) {
                free.push(lease);
            }
        }
        if free.is_empty() {
            return Ok(taken);
        }
        // One more than its part for each beat: what the others cannot take must not wait for them.
        let part = self.part_of(rows.len(), since).await?;
        let most = part.max(taken.len() + 1);
        for lease in free {
            if taken.len() < most && self.begin_lease(&lease, node).await? {
                taken.push(lease.trunk);
            }
        }
        taken.sort();
        Ok(taken)
    }

    /// A switch that takes no calls gives back what it has.
    pub async fn release_trunks(&self, node: NodeId) -> Result<(), StoreError> {
        let gone = sql("update trunks set holder = null where holder = $1");
        self.run(gone.bind(node)).await?;
        Ok(())
    }

    /// What each of the switches that live has of so many.
    async fn part_of(&self, all: usize, since_ms: i64) -> Result<usize, StoreError> {
        let query = sql("select count(*) as n from nodes where accepting and last_seen_ms >= $1");
        let row = self.one(query.bind(since_ms)).await?;
        let nodes: u64 = row.map_or(Ok(0), |row| row.int("n"))?;
        Ok(all.div_ceil(usize::try_from(nodes).unwrap_or(1).max(1)))
    }

    /// False when somebody else was first.
    async fn begin_lease(&self, lease: &Lease, node: NodeId) -> Result<bool, StoreError> {
        let query =
            sql("update trunks set holder = $1 where id = $2 and coalesce(holder, '') = $3")
                .bind(node)
                .bind(lease.trunk)
                .bind(lease.holder.clone().unwrap_or_default());
        Ok(self.run(query).await? == 1)
    }
}
