//! SIP domains of tenants: the realm of their phones' passwords, the host of their addresses.

use model::{DomainId, TenantId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Db, PageAsk, Rows, StoreError,
    sql::{Row, sql},
};
use crate::clock::Stamp;

/// A SIP domain.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SipDomain {
    /// Its id.
    pub id: DomainId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// A host name or an address, lower case: what phones are told to register at.
    pub name: String,
    /// When it was made.
    pub created_at: Stamp,
    /// When it was changed last.
    pub updated_at: Stamp,
}

fn read(row: &Row) -> Result<SipDomain, StoreError> {
    Ok(SipDomain {
        id: row.parse("id")?,
        tenant_id: row.parse("tenant_id")?,
        name: row.get("name")?,
        created_at: Stamp(row.get("created_ms")?),
        updated_at: Stamp(row.get("updated_ms")?),
    })
}

impl Db {
    /// Adds a domain; false when its name is taken.
    pub async fn add_domain(&self, domain: &SipDomain) -> Result<bool, StoreError> {
        let query = sql("insert into sip_domains (id, tenant_id, name, created_ms, updated_ms) values ($1, $2, $3, $4, $4) on conflict do nothing")
            .bind(domain.id)
            .bind(domain.tenant_id)
            .bind(&domain.name)
            .bind(domain.created_at.0);
        Ok(self.run(query).await? == 1)
    }

    /// The domain with this id, if `tenant` (none = the platform) may see it.
    pub async fn domain(
        &self,
        tenant: Option<TenantId>,
        id: DomainId,
    ) -> Result<Option<SipDomain>, StoreError> {
        let query =
            sql("select * from sip_domains where id = $1 and ($2 is null or tenant_id = $2)")
                .bind(id)
                .bind(tenant);
        self.one(query).await?.map(|row| read(&row)).transpose()
    }

    /// Domains, the newest first.
    pub async fn domains(
        &self,
        tenant: Option<TenantId>,
        page: &PageAsk,
    ) -> Result<Rows<SipDomain>, StoreError> {
        let query = sql("select * from sip_domains where ($1 is null or tenant_id = $1) and ($2 is null or id < $2) order by id desc limit $3")
            .bind(tenant)
            .bind(page.after.clone())
            .bind(page.fetch());
        let rows = self.all(query).await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |domain| domain.id.to_string()))
    }

    /// Deletes a domain; false when there is none, or extensions are in it.
    pub async fn delete_domain(
        &self,
        tenant: Option<TenantId>,
        id: DomainId,
    ) -> Result<bool, StoreError> {
        let query = sql("delete from sip_domains where id = $1 and ($2 is null or tenant_id = $2) and not exists (select 1 from extensions e where e.domain_id = sip_domains.id)")
            .bind(id)
            .bind(tenant);
        Ok(self.run(query).await? == 1)
    }
}
