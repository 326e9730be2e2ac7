//! The door itself: one handle for the process.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{
    EgressError, Request, Resolver, Response, WebSocket, WsRequest,
    guard::{Guard, SystemResolver},
    http::HttpClients,
    websocket,
};

/// Who named the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The operator, in his own files: allowed by that naming.
    Named,
    /// A tenant, a model, a document: public addresses only.
    Untrusted,
}

/// How the door is set up.
#[derive(Clone)]
pub struct EgressConfig {
    /// Non-public addresses that the operator opens for [`Policy::Untrusted`].
    pub exempt: Vec<IpAddr>,
    /// Looks names up; `None` = the system.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// Longest wait for a connection, TLS included.
    pub connect: Duration,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            exempt: Vec::new(),
            resolver: None,
            connect: Duration::from_secs(5),
        }
    }
}

/// The door: a cheap handle, one set of connections behind it.
#[derive(Clone)]
pub struct Egress {
    named: Guard,
    untrusted: Guard,
    clients: HttpClients,
}

impl Egress {
    /// Sets the door up. Needs [`crate::tls::install`], which it calls itself.
    ///
    /// # Errors
    /// [`EgressError::Setup`] when no HTTP client can be made.
    pub fn new(config: EgressConfig) -> Result<Self, EgressError> {
        crate::tls::install();
        let resolver = config.resolver.unwrap_or_else(|| Arc::new(SystemResolver));
        let guard = |policy| Guard {
            policy,
            exempt: config.exempt.clone().into(),
            resolver: resolver.clone(),
        };
        let (named, untrusted) = (guard(Policy::Named), guard(Policy::Untrusted));
        let clients = HttpClients::new(&named, &untrusted, config.connect)?;
        Ok(Self {
            named,
            untrusted,
            clients,
        })
    }

    /// Sends a request and waits for the response's head; the body is streamed.
    ///
    /// # Errors
    /// See [`EgressError`]. A status of 4xx or 5xx is a response, not an error.
    pub async fn send(&self, policy: Policy, request: Request) -> Result<Response, EgressError> {
        self.clients.send(policy, request).await
    }

    /// Where the clients are.
    pub(crate) fn clients(&self) -> &HttpClients {
        &self.clients
    }

    /// Opens a WebSocket.
    ///
    /// # Errors
    /// See [`EgressError`].
    pub async fn websocket(
        &self,
        policy: Policy,
        request: WsRequest,
    ) -> Result<WebSocket, EgressError> {
        let guard = match policy {
            Policy::Named => &self.named,
            Policy::Untrusted => &self.untrusted,
        };
        websocket::open(guard, request).await
    }
}
