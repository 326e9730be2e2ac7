//! The places of one request, one after the other, each with its connection open.

use std::{collections::VecDeque, sync::Arc};

use sip_core::{
    flow::Flow,
    locate::{Target, Wanted},
};

use crate::{profile::Profile, wire::Wire};

/// The places that are left. A request takes [`Self::next`] and, when that place fails it (503, silence, transport), the
/// one after.
#[derive(Clone)]
pub struct Hops {
    profile: Arc<Profile>,
    wire: Arc<Wire>,
    targets: VecDeque<Target>,
    server_name: Option<Arc<str>>,
    current: Option<Target>,
    why: String,
}

/// One place.
#[derive(Debug, Clone)]
pub struct Hop {
    /// The socket or connection, ready to send.
    pub flow: Flow,
    /// Host and port of our Contact and Via there.
    pub contact: (String, u16),
    /// Whether others are left behind it.
    pub more: bool,
}

impl Hops {
    /// Looks `wanted` up and orders its places. `server_name` is what a certificate must name when that is not the host.
    ///
    /// # Errors
    /// As [`super::NextHop::find`].
    pub async fn find(
        profile: &Arc<Profile>,
        wire: &Arc<Wire>,
        wanted: Wanted,
        server_name: Option<&str>,
    ) -> Result<Self, String> {
        let targets = wire.next_hop().find(wanted, &wire.ability()).await?;
        Ok(Self {
            profile: profile.clone(),
            wire: wire.clone(),
            targets: targets.into(),
            server_name: server_name.map(Into::into),
            current: None,
            why: String::new(),
        })
    }

    /// The next place that a connection can be made to; `None` when there is none (left).
    pub async fn next(&mut self) -> Option<Hop> {
        while let Some(target) = self.targets.pop_front() {
            let name = self.server_name.as_deref();
            match self.wire.flow_to(&target, name).await {
                Ok(flow) => {
                    self.current = Some(target);
                    return Some(self.hop(flow));
                }
                Err(error) => {
                    self.why = format!("{target}: {error}");
                    let finder = self.wire.next_hop();
                    finder.failed_at(target.transport, target.remote);
                }
            }
        }
        None
    }

    fn hop(&self, flow: Flow) -> Hop {
        Hop {
            flow,
            contact: self.profile.contact(&flow),
            more: !self.targets.is_empty(),
        }
    }

    /// The place that [`Self::next`] gave last did not take the request: it is tried last for a while.
    pub fn failed(&self) {
        if let Some(target) = &self.current {
            let finder = self.wire.next_hop();
            finder.failed_at(target.transport, target.remote);
        }
    }

    /// Why the last connection could not be made; empty when all could.
    pub fn why(&self) -> &str {
        &self.why
    }
}
