//! Tenants.

use model::{TenantId, snapshot::TenantLimits, trunk::OutboundPolicy};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::{
    Db, PageAsk, Rows, StoreError,
    sql::{Row, sql},
};
use crate::{clock::Stamp, closed::closed};

closed! {
    /// Whether a tenant's numbers are routed and its keys accepted.
    pub enum TenantStatus {
        /// As usual.
        Active = "active",
        /// Numbers are not routed, keys are refused.
        Suspended = "suspended",
    }
}

/// One customer of this installation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its fixed short name; operator files say `tenant/agent`.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Its IANA time zone.
    pub timezone: String,
    /// Whether it is served.
    pub status: TenantStatus,
    /// What it may call; null allows nothing.
    pub outbound: Option<OutboundPolicy>,
    /// How many calls it may have; null sets no limit.
    pub limits: Option<TenantLimits>,
    /// When it was made.
    pub created_at: Stamp,
    /// When it was changed last.
    pub updated_at: Stamp,
}

/// What of a tenant can be changed; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct TenantFields {
    /// Name for people.
    pub name: Option<String>,
    /// IANA time zone.
    pub timezone: Option<String>,
    /// Whether it is served.
    pub status: Option<TenantStatus>,
    /// What it may call.
    pub outbound: Option<OutboundPolicy>,
    /// How many calls it may have.
    pub limits: Option<TenantLimits>,
}

/// What stands as JSON in a column that may be null.
fn json<T: DeserializeOwned>(row: &Row, column: &'static str) -> Result<Option<T>, StoreError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|_| StoreError::corrupt(column, &text)))
        .transpose()
}

/// The outbound policy of a tenant's row.
pub(super) fn outbound(row: &Row) -> Result<Option<OutboundPolicy>, StoreError> {
    json(row, "outbound")
}

/// The limits of a tenant's row.
pub(super) fn limits(row: &Row) -> Result<Option<TenantLimits>, StoreError> {
    json(row, "limits")
}

fn read(row: &Row) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: row.parse("id")?,
        slug: row.get("slug")?,
        name: row.get("name")?,
        timezone: row.get("timezone")?,
        status: row
            .get::<String>("status")?
            .parse()
            .map_err(|()| StoreError::corrupt("status", "?"))?,
        outbound: outbound(row)?,
        limits: limits(row)?,
        created_at: Stamp(row.get("created_ms")?),
        updated_at: Stamp(row.get("updated_ms")?),
    })
}

impl Db {
    /// Adds a tenant; false when the slug is taken.
    pub async fn add_tenant(&self, tenant: &Tenant) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let added = tx
            .run(
                sql("insert into tenants (id, slug, name, timezone, status, created_ms, updated_ms) values ($1, $2, $3, $4, $5, $6, $6) on conflict do nothing")
                    .bind(tenant.id)
                    .bind(&tenant.slug)
                    .bind(&tenant.name)
                    .bind(&tenant.timezone)
                    .bind(tenant.status.as_str())
                    .bind(tenant.created_at.0),
            )
            .await?;
        if added == 1 {
            tx.bump_revision().await?;
        }
        tx.commit().await?;
        Ok(added == 1)
    }

    /// The tenant with this id, unless it was deleted.
    pub async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        let query = sql("select * from tenants where id = $1 and deleted_ms is null").bind(id);
        self.one(query).await?.map(|row| read(&row)).transpose()
    }

    /// The tenant with this slug, unless it was deleted.
    pub async fn tenant_by_slug(&self, slug: &str) -> Result<Option<Tenant>, StoreError> {
        let query = sql("select * from tenants where slug = $1 and deleted_ms is null").bind(slug);
        self.one(query).await?.map(|row| read(&row)).transpose()
    }

    /// All tenants, or the one that `only` names; the newest first.
    pub async fn tenants(
        &self,
        only: Option<TenantId>,
        page: &PageAsk,
    ) -> Result<Rows<Tenant>, StoreError> {
        let query = sql("select * from tenants where deleted_ms is null and ($1 is null or id = $1) and ($2 is null or id < $2) order by id desc limit $3")
            .bind(only)
            .bind(page.after.clone())
            .bind(page.fetch());
        let rows = self.all(query).await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |tenant| tenant.id.to_string()))
    }

    /// Changes a tenant; `None` when there is none.
    pub async fn change_tenant(
        &self,
        id: TenantId,
        fields: TenantFields,
        now: i64,
    ) -> Result<Option<Tenant>, StoreError> {
        let mut tx = self.begin().await?;
        let outbound = fields.outbound.as_ref();
        let outbound = outbound.and_then(|policy| serde_json::to_string(policy).ok());
        let limits = fields.limits.as_ref();
        let limits = limits.and_then(|limits| serde_json::to_string(limits).ok());
        let query = sql("update tenants set name = coalesce($2, name), timezone = coalesce($3, timezone), status = coalesce($4, status), outbound = coalesce($6, outbound), limits = coalesce($7, limits), updated_ms = $5 where id = $1 and deleted_ms is null returning *")
            .bind(id)
            .bind(fields.name)
            .bind(fields.timezone)
            .bind(fields.status.map(TenantStatus::as_str))
            .bind(now)
            .bind(outbound)
            .bind(limits);
        let Some(row) = tx.one(query).await? else {
            return Ok(None);
        };
        let tenant = read(&row)?;
        tx.bump_revision().await?;
        tx.commit().await?;
        Ok(Some(tenant))
    }

    /// Marks a tenant as deleted: its keys and numbers end with it, its records stay.
    pub async fn delete_tenant(&self, id: TenantId, now: i64) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let gone = sql(
            "update tenants set deleted_ms = $2, updated_ms = $2 where id = $1 and deleted_ms is null",
        );
        let deleted = tx.run(gone.bind(id).bind(now)).await?;
        tx.run(sql("delete from numbers where tenant_id = $1").bind(id))
            .await?;
        // Names that others may want again.
        for left in [
            "delete from registrations where tenant_id = $1",
            "delete from extensions where tenant_id = $1",
            "delete from sip_domains where tenant_id = $1",
        ] {
            tx.run(sql(left).bind(id)).await?;
        }
        tx.bump_revision().await?;
        tx.commit().await?;
        Ok(deleted == 1)
    }
}
