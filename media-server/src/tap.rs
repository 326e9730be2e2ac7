//! Where SIP messages are looked at from outside: the log (`media-server trace on`) and copies to a
//! capture server (HEPv3). Secrets are masked before anybody sees them; with nobody looking a message
//! costs one atomic load.

mod hep;
pub mod ladder;
mod masked;

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwapOption;
use sip_core::flow::Flow;

pub use hep::{Capture, Collector};

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To us.
    In,
    /// From us.
    Out,
}

/// Whom a trace is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Only messages to and from this address.
    pub ip: Option<IpAddr>,
}

/// See the module.
#[derive(Default)]
pub struct Tap {
    trace: ArcSwapOption<Filter>,
    collector: ArcSwapOption<Collector>,
}

impl Tap {
    /// Writes messages into the log from now on, or no more.
    pub fn trace(&self, filter: Option<Filter>) {
        self.trace.store(filter.map(Arc::new));
    }

    /// Copies messages to this capture server from now on, or to none.
    pub fn copy_to(&self, collector: Option<Collector>) {
        self.collector.store(collector.map(Arc::new));
    }

    /// A message on the wire.
    pub fn see(&self, way: Way, flow: &Flow, bytes: &[u8]) {
        let (trace, collector) = (self.trace.load(), self.collector.load());
        let wanted = |filter: &Arc<Filter>| filter.ip.is_none_or(|ip| ip == flow.remote.ip());
        let traced = trace.as_ref().is_some_and(wanted);
        if !traced && collector.is_none() {
            return;
        }
        let bytes = masked::message(bytes);
        if traced {
            let text = String::from_utf8_lossy(&bytes);
            let arrow = if way == Way::In { "<-" } else { "->" };
            let (remote, transport) = (flow.remote, flow.transport.via_name());
            tracing::info!("sip-trace: {arrow} {transport} {remote}\n{text}");
        }
        if let Some(collector) = collector.as_ref() {
            collector.copy(way, flow, &bytes);
        }
    }
}
