//! Who read or changed what.

use model::TenantId;

use super::{Db, StoreError, sql::sql};
use crate::clock::{now_ms, random};

impl Db {
    /// Writes a line of the audit log. `actor` is a key id, `resource` an id.
    pub async fn audit(
        &self,
        tenant: Option<TenantId>,
        actor: &str,
        action: &str,
        resource: &str,
    ) -> Result<(), StoreError> {
        let now = now_ms();
        let id = ulid::Ulid::from_parts(now.unsigned_abs(), u128::from_le_bytes(random()));
        let query = sql("insert into audit_log (id, tenant_id, actor, action, resource, at_ms) values ($1, $2, $3, $4, $5, $6)")
            .bind(format!("aud_{id}"))
            .bind(tenant)
            .bind(actor)
            .bind(action)
            .bind(resource)
            .bind(now);
        self.run(query).await?;
        Ok(())
    }

    /// How often an action was noted for a resource.
    pub async fn audited(&self, action: &str, resource: &str) -> Result<u64, StoreError> {
        let query = sql("select count(*) as n from audit_log where action = $1 and resource = $2");
        let row = self.one(query.bind(action).bind(resource)).await?;
        row.map_or(Ok(0), |row| row.int("n"))
    }
}
