//! Extensions: the accounts that phones register with. The password is kept sealed.

use model::{DomainId, ExtensionId, TenantId, snapshot::ExtensionEntry};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Db, PageAsk, Rows, StoreError, Tx,
    sql::{Row, sql},
};
use crate::clock::Stamp;

/// An extension.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Extension {
    /// Its id.
    pub id: ExtensionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The domain it is in.
    pub domain_id: DomainId,
    /// The domain's name: its address is `user@domain`.
    pub domain: String,
    /// Its name in the domain, and for the digest.
    pub user: String,
    /// For people.
    pub display_name: String,
    /// Whether it may register and call.
    pub active: bool,
    /// Always `***`: a password is written, never read.
    pub password: &'static str,
    /// When it was made.
    pub created_at: Stamp,
    /// When it was changed last.
    pub updated_at: Stamp,
}

/// What of an extension can be changed; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct ExtensionFields {
    /// For people.
    pub display_name: Option<String>,
    /// The password, sealed.
    pub password: Option<String>,
    /// Whether it may register and call.
    pub active: Option<bool>,
}

fn read(row: &Row) -> Result<Extension, StoreError> {
    Ok(Extension {
        id: row.parse("id")?,
        tenant_id: row.parse("tenant_id")?,
        domain_id: row.parse("domain_id")?,
        domain: row.get("domain")?,
        user: row.get("username")?,
        display_name: row.get("display_name")?,
        active: row.get("active")?,
        password: "***",
        created_at: Stamp(row.get("created_ms")?),
        updated_at: Stamp(row.get("updated_ms")?),
    })
}

impl Db {
    /// Adds an extension with its sealed password; false when its name is taken in the domain.
    pub async fn add_extension(
        &self,
        extension: &Extension,
        sealed: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let added = tx
            .run(
                sql("insert into extensions (id, tenant_id, domain_id, username, display_name, password, active, created_ms, updated_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $8) on conflict do nothing")
                    .bind(extension.id)
                    .bind(extension.tenant_id)
                    .bind(extension.domain_id)
                    .bind(&extension.user)
                    .bind(&extension.display_name)
                    .bind(sealed)
                    .bind(extension.active)
                    .bind(extension.created_at.0),
            )
            .await?;
        if added == 1 {
            tx.bump_revision().await?;
        }
        tx.commit().await?;
        Ok(added == 1)
    }

    /// The extension with this id, if `tenant` (none = the platform) may see it.
    pub async fn extension(
        &self,
        tenant: Option<TenantId>,
        id: ExtensionId,
    ) -> Result<Option<Extension>, StoreError> {
        let query = sql("select e.*, d.name as domain from extensions e join sip_domains d on d.id = e.domain_id where e.id = $1 and ($2 is null or e.tenant_id = $2)")
            .bind(id)
            .bind(tenant);
        self.one(query).await?.map(|row| read(&row)).transpose()
    }

    /// Extensions, the newest first.
    pub async fn extensions(
        &self,
        tenant: Option<TenantId>,
        domain: Option<DomainId>,
        page: &PageAsk,
    ) -> Result<Rows<Extension>, StoreError> {
        let query = sql("select e.*, d.name as domain from extensions e join sip_domains d on d.id = e.domain_id where ($1 is null or e.tenant_id = $1) and ($2 is null or e.domain_id = $2) and ($3 is null or e.id < $3) order by e.id desc limit $4")
            .bind(tenant)
            .bind(domain)
            .bind(page.after.clone())
            .bind(page.fetch());
        let rows = self.all(query).await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |extension| extension.id.to_string()))
    }

    /// Changes an extension; false when there is none.
    pub async fn change_extension(
        &self,
        tenant: Option<TenantId>,
        id: ExtensionId,
        fields: ExtensionFields,
        now: i64,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let query = sql("update extensions set display_name = coalesce($3, display_name), password = coalesce($4, password), active = coalesce($5, active), updated_ms = $6 where id = $1 and ($2 is null or tenant_id = $2)")
            .bind(id)
            .bind(tenant)
            .bind(fields.display_name)
            .bind(fields.password)
            .bind(fields.active)
            .bind(now);
        let changed = tx.run(query).await?;
        if changed == 1 {
            tx.bump_revision().await?;
        }
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Deletes an extension and where it is registered; false when there is none.
    pub async fn delete_extension(
        &self,
        tenant: Option<TenantId>,
        id: ExtensionId,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let places = sql(
            "delete from registrations where extension_id = $1 and ($2 is null or tenant_id = $2)",
        );
        tx.run(places.bind(id).bind(tenant)).await?;
        let gone = sql("delete from extensions where id = $1 and ($2 is null or tenant_id = $2)");
        let deleted = tx.run(gone.bind(id).bind(tenant)).await?;
        if deleted == 1 {
            tx.bump_revision().await?;
        }
        tx.commit().await?;
        Ok(deleted == 1)
    }
}

impl Tx {
    /// The extensions that may register, for the snapshot; passwords as they rest.
    pub(super) async fn active_extensions(&mut self) -> Result<Vec<ExtensionEntry>, StoreError> {
        let query = sql(
            "select e.*, d.name as domain from extensions e join sip_domains d on d.id = e.domain_id join tenants t on t.id = e.tenant_id where e.active and t.deleted_ms is null and t.status = 'active' order by e.id",
        );
        let rows = self.all(query).await?;
        rows.iter().map(entry).collect()
    }
}

fn entry(row: &Row) -> Result<ExtensionEntry, StoreError> {
    Ok(ExtensionEntry {
        id: row.parse("id")?,
        tenant: row.parse("tenant_id")?,
        domain: row.get("domain")?,
        user: row.get("username")?,
        display_name: row.get("display_name")?,
        password: row.get("password")?,
    })
}
