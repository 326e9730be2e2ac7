//! Where extensions are registered now, as their switches report it.

use model::{
    ExtensionId, NodeId, TenantId,
    internal::{HeldContact, RegisteredAddress, RegisteredContact, RegistrationReport},
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    Db, PageAsk, Rows, StoreError, Tx, hex,
    sql::{Row, sql},
};
use crate::clock::Stamp;

/// A phone that is registered.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Registration {
    /// Names it as long as it is renewed.
    pub id: String,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The extension.
    pub extension_id: ExtensionId,
    /// `user@domain`.
    pub aor: String,
    /// The URI of its Contact.
    pub contact: String,
    /// The switch that holds its flow.
    pub node_id: NodeId,
    /// The profile it came over.
    pub profile: String,
    /// `udp`, `tcp`.
    pub transport: String,
    /// Where it came from.
    pub source: String,
    /// What the phone calls itself.
    pub user_agent: String,
    /// When it ends.
    pub expires_at: Stamp,
    /// When it was renewed last.
    pub updated_at: Stamp,
}

/// Which registrations.
#[derive(Debug, Clone, Default)]
pub struct RegistrationFilter {
    /// Of this address.
    pub aor: Option<String>,
    /// Of this extension.
    pub extension: Option<ExtensionId>,
    /// On this switch.
    pub node: Option<NodeId>,
}

fn read(row: &Row) -> Result<Registration, StoreError> {
    Ok(Registration {
        id: row.get("id")?,
        tenant_id: row.parse("tenant_id")?,
        extension_id: row.parse("extension_id")?,
        aor: row.get("aor")?,
        contact: row.get("contact")?,
        node_id: row.parse("node_id")?,
        profile: row.get("profile")?,
        transport: row.get("transport")?,
        source: row.get("source")?,
        user_agent: row.get("user_agent")?,
        expires_at: Stamp(row.get("expires_ms")?),
        updated_at: Stamp(row.get("updated_ms")?),
    })
}

/// One name for a binding on whatever switch: a phone that moves to another one is not there twice.
fn id_of(aor: &str, name: &str) -> String {
    let mut digest = hex(&Sha256::digest([aor, name].join("\0").as_bytes()));
    digest.truncate(26);
    format!("reg_{digest}")
}

impl Db {
    /// Takes a switch's report. Addresses of no extension are left out.
    pub async fn report_registrations(
        &self,
        report: &RegistrationReport,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if report.complete {
            let gone = sql("delete from registrations where node_id = $1");
            tx.run(gone.bind(report.node)).await?;
        }
        for address in &report.addresses {
            tx.report_address(report.node, address, now).await?;
        }
        tx.commit().await
    }

    /// Registrations alive at `now`.
    pub async fn registrations(
        &self,
        tenant: Option<TenantId>,
        filter: RegistrationFilter,
        now: i64,
        page: &PageAsk,
    ) -> Result<Rows<Registration>, StoreError> {
        let query = sql("select * from registrations where ($1 is null or tenant_id = $1) and ($2 is null or aor = $2) and ($3 is null or extension_id = $3) and ($4 is null or node_id = $4) and ($5 is null or id < $5) and expires_ms > $6 order by id desc limit $7")
            .bind(tenant)
            .bind(filter.aor)
            .bind(filter.extension)
            .bind(filter.node)
            .bind(page.after.clone())
            .bind(now)
            .bind(page.fetch());
        let rows = self.all(query).await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |registration| registration.id.clone()))
    }

    /// Where an address is registered, for a switch that does not hold it.
    pub async fn held_contacts(&self, aor: &str, now: i64) -> Result<Vec<HeldContact>, StoreError> {
        let query = sql(
            "select * from registrations where aor = $1 and expires_ms > $2 order by id limit 100",
        )
        .bind(aor)
        .bind(now);
        self.all(query).await?.iter().map(held).collect()
    }

    /// Removes what has expired; how many.
    pub async fn prune_registrations(&self, now: i64) -> Result<u64, StoreError> {
        self.run(sql("delete from registrations where expires_ms <= $1").bind(now))
            .await
    }
}

fn held(row: &Row) -> Result<HeldContact, StoreError> {
    let name: String = row.get("name")?;
    Ok(HeldContact {
        node: row.parse("node_id")?,
        contact: RegisteredContact {
            name,
            contact: row.get("contact")?,
            path: row.json("path")?,
            profile: row.get("profile")?,
            transport: row.get("transport")?,
            source: row.get("source")?,
            user_agent: row.get("user_agent")?,
            expires_unix_ms: row.get("expires_ms")?,
        },
    })
}

impl Tx {
    async fn report_address(
        &mut self,
        node: NodeId,
        address: &RegisteredAddress,
        now: i64,
    ) -> Result<(), StoreError> {
        let gone = sql("delete from registrations where aor = $1 and node_id = $2");
        self.run(gone.bind(&address.aor).bind(node)).await?;
        let Some((user, domain)) = address.aor.rsplit_once('@') else {
            return Ok(());
        };
        let owner = sql(
            "select e.id, e.tenant_id from extensions e join sip_domains d on d.id = e.domain_id where e.username = $1 and d.name = $2",
        );
        let Some(owner) = self.one(owner.bind(user).bind(domain)).await? else {
            return Ok(());
        };
        let tenant: TenantId = owner.parse("tenant_id")?;
        let extension: ExtensionId = owner.parse("id")?;
        for contact in &address.contacts {
            let path = serde_json::to_string(&contact.path).unwrap_or_default();
            let query = sql("insert into registrations (id, tenant_id, extension_id, aor, name, contact, path, node_id, profile, transport, source, user_agent, expires_ms, updated_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) on conflict (id) do update set contact = excluded.contact, path = excluded.path, node_id = excluded.node_id, profile = excluded.profile, transport = excluded.transport, source = excluded.source, user_agent = excluded.user_agent, expires_ms = excluded.expires_ms, updated_ms = excluded.updated_ms where excluded.expires_ms >= registrations.expires_ms")
                .bind(id_of(&address.aor, &contact.name))
                .bind(tenant)
                .bind(extension)
                .bind(&address.aor)
                .bind(&contact.name)
                .bind(&contact.contact)
                .bind(path)
                .bind(node)
                .bind(&contact.profile)
                .bind(&contact.transport)
                .bind(&contact.source)
                .bind(&contact.user_agent)
                .bind(contact.expires_unix_ms)
                .bind(now);
            self.run(query).await?;
        }
        Ok(())
    }
}
