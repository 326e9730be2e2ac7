//! Trunks of tenants. Passwords are here only sealed.

use model::{
    TenantId, TrunkId,
    trunk::{TrunkConfig, TrunkMode},
};

use super::{
    Db, PageAsk, Rows, StoreError,
    sql::{Row, sql},
};
use crate::clock::Stamp;

/// A trunk as it is kept.
#[derive(Debug, Clone)]
pub struct StoredTrunk {
    /// Its id.
    pub id: TrunkId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// What it is.
    pub config: TrunkConfig,
    /// Its password, sealed.
    pub password: Option<String>,
    /// Whether switches use it.
    pub active: bool,
    /// Rises with every change.
    pub tag: i64,
    /// When it was made.
    pub created_at: Stamp,
    /// When it was changed last.
    pub updated_at: Stamp,
}

/// What became of a change.
#[derive(Debug)]
pub enum Change {
    /// Done; the new tag.
    Done(i64),
    /// Somebody else was first.
    Meanwhile,
    /// Another trunk of the tenant has the name.
    NameTaken,
}

/// The configuration as it is kept.
fn text(config: &TrunkConfig) -> String {
    serde_json::to_string(config).unwrap_or_default()
}

/// Whether some switch has to register there.
fn registers(config: &TrunkConfig) -> bool {
    config.mode == TrunkMode::Register
}

pub(super) fn read(row: &Row) -> Result<StoredTrunk, StoreError> {
    Ok(StoredTrunk {
        id: row.parse("id")?,
        tenant_id: row.parse("tenant_id")?,
        name: row.get("name")?,
        config: row.json("config")?,
        password: row.get("password")?,
        active: row.get("active")?,
        tag: row.get("tag")?,
        created_at: Stamp(row.get("created_ms")?),
        updated_at: Stamp(row.get("updated_ms")?),
    })
}

impl Db {
    /// Adds a trunk; false when its name is taken.
    pub async fn add_trunk(&self, trunk: &StoredTrunk) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let added = tx
            .run(
                sql("insert into trunks (id, tenant_id, name, config, password, active, tag, created_ms, updated_ms, registers) values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9) on conflict do nothing")
                    .bind(trunk.id)
                    .bind(trunk.tenant_id)
                    .bind(&trunk.name)
                    .bind(text(&trunk.config))
                    .bind(trunk.password.clone())
                    .bind(trunk.active)
                    .bind(trunk.tag)
                    .bind(trunk.created_at.0)
                    .bind(registers(&trunk.config)),
            )
            .await?;
        if added == 1 {
            tx.bump_revision().await?;
        }
        tx.commit().await?;
        Ok(added == 1)
    }

    /// The trunk with this id, if `tenant` (none = the platform) may see it.
    pub async fn trunk(
        &self,
        tenant: Option<TenantId>,
        id: TrunkId,
    ) -> Result<Option<StoredTrunk>, StoreError> {
        let query = sql("select * from trunks where id = $1 and ($2 is null or tenant_id = $2)")
            .bind(id)
            .bind(tenant);
        self.one(query).await?.map(|row| read(&row)).transpose()
    }

    /// Trunks, the newest first.
    pub async fn trunks(
        &self,
        tenant: Option<TenantId>,
        page: &PageAsk,
    ) -> Result<Rows<StoredTrunk>, StoreError> {
        let query = sql("select * from trunks where ($1 is null or tenant_id = $1) and ($2 is null or id < $2) order by id desc limit $3")
            .bind(tenant)
            .bind(page.after.clone())
            .bind(page.fetch());
        let rows = self.all(query).await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |trunk| trunk.id.to_string()))
    }

    /// Replaces a trunk if it still is the one with `trunk.tag`.
    pub async fn replace_trunk(&self, trunk: &StoredTrunk, now: i64) -> Result<Change, StoreError> {
        let mut tx = self.begin().await?;
        let taken = sql("select id from trunks where tenant_id = $1 and name = $2 and id <> $3");
        let taken = taken.bind(trunk.tenant_id).bind(&trunk.name).bind(trunk.id);
        if tx.one(taken).await?.is_some() {
            return Ok(Change::NameTaken);
        }
        let query = sql("update trunks set name = $3, config = $4, password = $5, active = $6, tag = tag + 1, updated_ms = $7, registers = $8 where id = $1 and tag = $2")
            .bind(trunk.id)
            .bind(trunk.tag)
            .bind(&trunk.name)
            .bind(text(&trunk.config))
            .bind(trunk.password.clone())
            .bind(trunk.active)
            .bind(now)
            .bind(registers(&trunk.config));
        if tx.run(query).await? == 0 {
            return Ok(Change::Meanwhile);
        }
        tx.bump_revision().await?;
        tx.commit().await?;
        Ok(Change::Done(trunk.tag + 1))
    }

    /// Deletes a trunk; false when there is none.
    pub async fn delete_trunk(
        &self,
        tenant: Option<TenantId>,
        id: TrunkId,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sql("delete from trunks where id = $1 and ($2 is null or tenant_id = $2)");
        let deleted = tx.run(gone.bind(id).bind(tenant)).await?;
        if deleted == 1 {
            tx.bump_revision().await?;
        }
        tx.commit().await?;
        Ok(deleted == 1)
    }
}
