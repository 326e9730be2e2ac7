//! API keys: hashes only.

use model::{KeyId, TenantId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Db, PageAsk, Rows, StoreError, TenantStatus,
    sql::{Query, Row, sql},
};
use crate::{
    auth::{Role, Scope},
    clock::Stamp,
};

/// An API key as REST shows it: never its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// The tenant it is bound to; null for the platform.
    pub tenant_id: Option<TenantId>,
    /// For people.
    pub name: String,
    /// The public part of the key.
    pub prefix: String,
    /// What it is.
    pub role: Role,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it stops working.
    pub expires_at: Option<Stamp>,
    /// When it was revoked.
    pub revoked_at: Option<Stamp>,
    /// When it was used last (to the minute).
    pub last_used_at: Option<Stamp>,
    /// When it was made.
    pub created_at: Stamp,
}

/// A key to store.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What REST shows.
    pub key: ApiKey,
    /// SHA-256 of the whole key, hex.
    pub hash: String,
}

/// A key as authentication needs it.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// What REST shows.
    pub key: ApiKey,
    /// SHA-256 of the whole key, hex.
    pub hash: String,
    /// Whether its tenant is served (true for the platform).
    pub tenant_active: bool,
}

fn read(row: &Row) -> Result<ApiKey, StoreError> {
    let role: String = row.get("role")?;
    Ok(ApiKey {
        id: row.parse("id")?,
        tenant_id: row.parse_opt("tenant_id")?,
        name: row.get("name")?,
        prefix: row.get("prefix")?,
        role: role
            .parse()
            .map_err(|()| StoreError::corrupt("role", &role))?,
        scopes: row.json("scopes")?,
        expires_at: row.get::<Option<i64>>("expires_ms")?.map(Stamp),
        revoked_at: row.get::<Option<i64>>("revoked_ms")?.map(Stamp),
        last_used_at: row.get::<Option<i64>>("last_used_ms")?.map(Stamp),
        created_at: Stamp(row.get("created_ms")?),
    })
}

fn insert(new: &NewKey) -> Query {
    let scopes: Vec<&str> = new.key.scopes.iter().map(|scope| scope.as_str()).collect();
    sql("insert into api_keys (id, tenant_id, name, prefix, hash, role, scopes, expires_ms, created_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
        .bind(new.key.id)
        .bind(new.key.tenant_id)
        .bind(&new.key.name)
        .bind(&new.key.prefix)
        .bind(&new.hash)
        .bind(new.key.role.as_str())
        .bind(serde_json::json!(scopes).to_string())
        .bind(new.key.expires_at.map(|stamp| stamp.0))
        .bind(new.key.created_at.0)
}

impl Db {
    /// Stores a key.
    pub async fn add_key(&self, new: &NewKey) -> Result<(), StoreError> {
        self.run(insert(new)).await?;
        Ok(())
    }

    /// Stores the first platform key, unless there ever was one. `keep` runs before it is made
    /// last: when it fails, nothing was stored. True when this call did it.
    pub async fn add_first_key<E: From<StoreError>>(
        &self,
        new: &NewKey,
        keep: impl FnOnce() -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut tx = self.begin().await?;
        let first =
            sql("update office_state set bootstrapped = $1 where id = 1 and not bootstrapped");
        if tx.run(first.bind(true)).await? == 0 {
            return Ok(false);
        }
        tx.run(insert(new)).await?;
        keep()?;
        tx.commit().await?;
        Ok(true)
    }

    /// The key with this public part.
    pub async fn key_by_prefix(&self, prefix: &str) -> Result<Option<StoredKey>, StoreError> {
        let query = sql("select k.*, t.status as tenant_status, t.deleted_ms as tenant_deleted from api_keys k left join tenants t on t.id = k.tenant_id where k.prefix = $1")
            .bind(prefix);
        let Some(row) = self.one(query).await? else {
            return Ok(None);
        };
        let key = read(&row)?;
        let status: Option<String> = row.get("tenant_status")?;
        let deleted: Option<i64> = row.get("tenant_deleted")?;
        let served = deleted.is_none() && status.as_deref() == Some(TenantStatus::Active.as_str());
        Ok(Some(StoredKey {
            tenant_active: key.tenant_id.is_none() || served,
            hash: row.get("hash")?,
            key,
        }))
    }

    /// Notes that a key was used.
    pub async fn touch_key(&self, id: KeyId, now: i64) -> Result<(), StoreError> {
        let query = sql("update api_keys set last_used_ms = $2 where id = $1");
        self.run(query.bind(id).bind(now)).await?;
        Ok(())
    }

    /// The key with this id, if `tenant` (none = the platform) may see it.
    pub async fn key(
        &self,
        tenant: Option<TenantId>,
        id: KeyId,
    ) -> Result<Option<ApiKey>, StoreError> {
        let query = sql("select * from api_keys where id = $1 and ($2 is null or tenant_id = $2)")
            .bind(id)
            .bind(tenant);
        self.one(query).await?.map(|row| read(&row)).transpose()
    }

    /// Keys, the newest first.
    pub async fn keys(
        &self,
        tenant: Option<TenantId>,
        page: &PageAsk,
    ) -> Result<Rows<ApiKey>, StoreError> {
        let query = sql("select * from api_keys where ($1 is null or tenant_id = $1) and ($2 is null or id < $2) order by id desc limit $3")
            .bind(tenant)
            .bind(page.after.clone())
            .bind(page.fetch());
        let rows = self.all(query).await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |key| key.id.to_string()))
    }

    /// Renames a key.
    pub async fn rename_key(
        &self,
        tenant: Option<TenantId>,
        id: KeyId,
        name: &str,
    ) -> Result<bool, StoreError> {
        let query =
            sql("update api_keys set name = $3 where id = $1 and ($2 is null or tenant_id = $2)")
                .bind(id)
                .bind(tenant)
                .bind(name);
        Ok(self.run(query).await? == 1)
    }

    /// Revokes a key; false when there is none. Again changes nothing.
    pub async fn revoke_key(
        &self,
        tenant: Option<TenantId>,
        id: KeyId,
        now: i64,
    ) -> Result<bool, StoreError> {
        let query = sql("update api_keys set revoked_ms = coalesce(revoked_ms, $3) where id = $1 and ($2 is null or tenant_id = $2)")
            .bind(id)
            .bind(tenant)
            .bind(now);
        Ok(self.run(query).await? == 1)
    }
}
