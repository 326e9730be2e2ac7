//! Why something did not go out or come back.

use std::time::Duration;

/// Why a request failed. Says the host at most: paths, queries and headers may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The URL cannot be used: its scheme, host or credentials.
    #[error("the URL cannot be used: {why}")]
    BadUrl {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The policy forbids this destination.
    #[error("{host} is refused: {why} addresses are out of reach for what tenants and models name")]
    Refused {
        /// The host as the URL names it.
        host: String,
        /// The kind of address it leads to.
        why: &'static str,
    },
    /// The name has no address.
    #[error("{host} does not resolve")]
    Resolve {
        /// The host as the URL names it.
        host: String,
    },
    /// No connection, or TLS failed.
    #[error("no connection to {host}: {why}")]
    Connect {
        /// The host as the URL names it.
        host: String,
        /// One line.
        why: String,
    },
    /// A limit of time ran out.
    #[error("{host} took longer than {limit:?} ({what})")]
    Timeout {
        /// The host as the URL names it.
        host: String,
        /// What was waited for: `head`, `body`, `connect`, `request`.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The answer is larger than allowed.
    #[error("{host} answered more than {limit} bytes")]
    TooLarge {
        /// The host as the URL names it.
        host: String,
        /// The limit, bytes.
        limit: u64,
    },
    /// More redirects than allowed.
    #[error("{host} redirects too often")]
    TooManyRedirects {
        /// The last host that redirected.
        host: String,
    },
    /// The other side does not speak the protocol, or broke off.
    #[error("{host}: {why}")]
    Protocol {
        /// The host as the URL names it.
        host: String,
        /// One line.
        why: String,
    },
    /// The body is not the JSON that was expected.
    #[error("not the expected JSON: {why}")]
    Json {
        /// serde's words.
        why: String,
    },
    /// A file that was to be sent cannot be read.
    #[error("the file to be sent cannot be read: {why}")]
    File {
        /// The operating system's words.
        why: String,
    },
    /// A WebSocket was refused with an HTTP status.
    #[error("{host} refused the WebSocket with status {status}")]
    Status {
        /// The host as the URL names it.
        host: String,
        /// HTTP status.
        status: u16,
    },
    /// The client could not be set up (no trust roots).
    #[error("the HTTP client cannot be set up: {why}")]
    Setup {
        /// One line.
        why: String,
    },
}

impl EgressError {
    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Protocol { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::BadUrl { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::TooManyRedirects { .. }
            | Self::Json { .. }
            | Self::File { .. }
            | Self::Setup { .. } => false,
        }
    }
}
