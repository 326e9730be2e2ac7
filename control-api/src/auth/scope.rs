//! Who may do what: roles, and the scopes that routes ask for.

use crate::closed::closed;

closed! {
    /// What a route asks for. Deny by default: a route names one, or the office does not start.
    pub enum Scope {
        /// Create, suspend and delete tenants; see every tenant.
        Platform = "platform",
        /// Read a tenant.
        TenantsRead = "tenants:read",
        /// Change a tenant.
        TenantsWrite = "tenants:write",
        /// Read numbers.
        TelephonyRead = "telephony:read",
        /// Change numbers.
        TelephonyWrite = "telephony:write",
        /// Read agents and versions.
        AgentsRead = "agents:read",
        /// Change and publish agents.
        AgentsWrite = "agents:write",
        /// Read calls, timelines, transcripts and live events.
        CallsRead = "calls:read",
        /// Call somebody, and act on live calls.
        CallsWrite = "calls:write",
        /// Hear recordings.
        RecordingsRead = "recordings:read",
        /// Delete recordings.
        RecordingsWrite = "recordings:write",
        /// Read bookings.
        BookingsRead = "bookings:read",
        /// Make, change and cancel bookings.
        BookingsWrite = "bookings:write",
        /// Read API keys (never their secrets).
        KeysRead = "keys:read",
        /// Make and revoke API keys.
        KeysWrite = "keys:write",
    }
}

closed! {
    /// What an API key is. Each role is a set of scopes; a key may carry fewer.
    pub enum Role {
        /// The operator of the installation; bound to no tenant.
        PlatformAdmin = "platform_admin",
        /// Everything in one tenant.
        Owner = "owner",
        /// Everything in one tenant but its keys and settings.
        Admin = "admin",
        /// Agents and bookings; reads the rest.
        Member = "member",
        /// Bookings; reads calls.
        DeskAgent = "desk_agent",
        /// Reads, without sound.
        Viewer = "viewer",
    }
}

impl Role {
    /// What this role may do.
    pub fn scopes(self) -> Vec<Scope> {
        use Scope::*;
        match self {
            Self::PlatformAdmin => Scope::ALL.to_vec(),
            Self::Owner => Scope::ALL[1..].to_vec(),
            Self::Admin => vec![
                TenantsRead,
                TelephonyRead,
                TelephonyWrite,
                AgentsRead,
                AgentsWrite,
                CallsRead,
                CallsWrite,
                RecordingsRead,
                RecordingsWrite,
                BookingsRead,
                BookingsWrite,
            ],
            Self::Member => vec![
                TenantsRead,
                TelephonyRead,
                AgentsRead,
                AgentsWrite,
                CallsRead,
                CallsWrite,
                RecordingsRead,
                BookingsRead,
                BookingsWrite,
            ],
            Self::DeskAgent => vec![CallsRead, CallsWrite, BookingsRead, BookingsWrite],
            Self::Viewer => vec![
                TenantsRead,
                TelephonyRead,
                AgentsRead,
                CallsRead,
                BookingsRead,
            ],
        }
    }

    /// Whether a key of this role belongs to the installation instead of a tenant.
    pub fn is_platform(self) -> bool {
        self == Self::PlatformAdmin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tenant_role_holds_the_platform_scope() {
        for role in Role::ALL.iter().filter(|role| !role.is_platform()) {
            assert!(!role.scopes().contains(&Scope::Platform), "{role}");
        }
    }
}
