//! The extensions of the snapshot, as registrar and listeners ask for them.

use std::{collections::HashMap, sync::Arc};

use control_api::envelope::NodeSeal;
use model::{ExtensionId, Snapshot, TenantId, snapshot::ExtensionEntry};
use sip_core::digest::{Algorithm, Ha1};

/// Somebody whose password was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Whose extension it is.
    pub tenant: TenantId,
    /// The extension.
    pub extension: ExtensionId,
    /// Its domain.
    pub domain: String,
    /// Its name in the domain.
    pub user: String,
    /// For people.
    pub display_name: String,
}

impl Identity {
    /// `user@domain`.
    pub fn aor(&self) -> String {
        format!("{}@{}", self.user, self.domain)
    }
}

/// An extension with its password, sealed until it is needed.
struct Account {
    identity: Arc<Identity>,
    sealed: String,
}

/// See the module.
pub struct Directory {
    accounts: HashMap<String, Account>,
    /// The domains of each tenant, the oldest extension's first.
    domains: HashMap<TenantId, Vec<String>>,
    seal: NodeSeal,
}

impl Directory {
    /// The directory of a snapshot; `seal` opens its passwords.
    pub fn of(snapshot: &Snapshot, seal: NodeSeal) -> Self {
        let mut directory = Self {
            accounts: HashMap::new(),
            domains: HashMap::new(),
            seal,
        };
        for entry in &snapshot.extensions {
            directory.add(entry);
        }
        directory
    }

    fn add(&mut self, entry: &ExtensionEntry) {
        let domains = self.domains.entry(entry.tenant).or_default();
        if !domains.contains(&entry.domain) {
            domains.push(entry.domain.clone());
        }
        let identity = Arc::new(Identity {
            tenant: entry.tenant,
            extension: entry.id,
            domain: entry.domain.clone(),
            user: entry.user.clone(),
            display_name: entry.display_name.clone(),
        });
        let account = Account {
            sealed: entry.password.clone(),
            identity: identity.clone(),
        };
        self.accounts.insert(identity.aor(), account);
    }

    /// Whose extension this is.
    pub fn tenant_of(&self, aor: &str) -> Option<TenantId> {
        let account = self.accounts.get(aor)?;
        Some(account.identity.tenant)
    }

    /// Whether there is a domain of this name.
    pub fn has_domain(&self, name: &str) -> bool {
        let all = self.domains.values().flatten();
        all.into_iter()
            .any(|domain| domain.eq_ignore_ascii_case(name))
    }

    /// Whether an address is an extension's.
    pub fn knows(&self, aor: &str) -> bool {
        self.accounts.contains_key(aor)
    }

    /// The extension of this name in a domain, and what its password becomes there.
    pub fn secret(
        &self,
        user: &str,
        domain: &str,
        algorithm: Algorithm,
    ) -> Option<(Arc<Identity>, Ha1)> {
        let account = self.accounts.get(&format!("{user}@{domain}"))?;
        let place = format!("extensions.password/{}", account.identity.extension);
        let password = self.seal.open(&place, &account.sealed);
        let password = password
            .inspect_err(
                |error| tracing::error!(%error, user, domain, "a password cannot be opened"),
            )
            .ok()?;
        let ha1 = Ha1::of(algorithm, user, domain, &password);
        Some((account.identity.clone(), ha1))
    }

    /// See [`super::Registrar::aor`].
    pub fn aor(
        &self,
        name: &str,
        tenant: Option<TenantId>,
        domain: Option<&str>,
    ) -> Option<String> {
        let fits = |aor: &String| {
            let account = self.accounts.get(aor);
            account.is_some_and(|account| tenant.is_none_or(|ours| ours == account.identity.tenant))
        };
        if let Some((user, domain)) = name.rsplit_once('@') {
            let aor = format!("{user}@{}", domain.to_ascii_lowercase());
            return Some(aor).filter(fits);
        }
        let own = domain.map(str::to_owned).into_iter();
        let of_tenant = tenant.and_then(|tenant| self.domains.get(&tenant));
        // Without a tenant a bare name means something only where there is one domain alone.
        let only = self.domains.values().flatten();
        let only = (tenant.is_none() && only.clone().count() == 1).then_some(only);
        let domains = own
            .chain(of_tenant.into_iter().flatten().cloned())
            .chain(only.into_iter().flatten().cloned());
        domains.map(|domain| format!("{name}@{domain}")).find(fits)
    }
}
