//! Turns a host into addresses that may be connected to, at the moment of connecting.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use crate::{EgressError, Policy, address::refusal};

/// What a [`Resolver`] returns.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks a host name up. Tests hand in one of their own.
pub trait Resolver: Send + Sync {
    /// All addresses of `host`.
    fn resolve(&self, host: &str) -> Resolving;
}

/// The system's resolver.
pub(crate) struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: &str) -> Resolving {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|addr| addr.ip()).collect())
        })
    }
}

/// One policy with the means to hold it.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) policy: Policy,
    pub(crate) exempt: Arc<[IpAddr]>,
    pub(crate) resolver: Arc<dyn Resolver>,
}

impl Guard {
    /// The addresses of `host` that may be connected to, never empty. `host` may be an address,
    /// bare or in brackets.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, EgressError> {
        if let Some(ip) = literal(host) {
            return self.permit(host, ip).map(|()| vec![ip]);
        }
        let unresolved = || EgressError::Resolve { host: host.into() };
        let found = self
            .resolver
            .resolve(host)
            .await
            .map_err(|_| unresolved())?;
        self.permitted(host, &found)?.ok_or_else(unresolved)
    }

    /// Refuses a host written as an address that the policy forbids. Resolvers are not asked about
    /// those, so this must run beside them.
    pub(crate) fn check_literal(&self, host: &str) -> Result<(), EgressError> {
        literal(host).map_or(Ok(()), |ip| self.permit(host, ip))
    }

    /// `None` when there was no address at all. One forbidden address taints the whole name: a
    /// public name with a private address is an attack or a mistake, never a service.
    fn permitted(&self, host: &str, found: &[IpAddr]) -> Result<Option<Vec<IpAddr>>, EgressError> {
        for ip in found {
            self.permit(host, *ip)?;
        }
        Ok((!found.is_empty()).then(|| found.to_vec()))
    }

    fn permit(&self, host: &str, ip: IpAddr) -> Result<(), EgressError> {
        match self.policy {
            Policy::Named => Ok(()),
            Policy::Untrusted if self.exempt.contains(&ip) => Ok(()),
            Policy::Untrusted => refusal(ip).map_or(Ok(()), |why| {
                Err(EgressError::Refused {
                    host: host.into(),
                    why,
                })
            }),
        }
    }

    /// The addresses of `host` with a port.
    pub(crate) async fn sockets(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, EgressError> {
        let found = self.addresses(host).await?;
        Ok(found
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect())
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}
