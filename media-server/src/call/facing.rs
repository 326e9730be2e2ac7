//! Which way a call faces: somebody invited us, or we were ordered to invite somebody. The rest of
//! the call asks here and needs not know.

use std::sync::Arc;

use model::{
    CallId, CommandId, TenantId,
    agent::PublishedAgent,
    fact::{Channel, Direction, Started},
};
use sip_core::{endpoint::NewInvite, flow::Flow, tokens::TokenSource};

use super::{State, lossy, transfer::Watch};
use crate::{
    services::Services,
    targets::Asker,
    trunk_book::{Arrived, Parties},
};

/// How a call begins.
pub enum Facing {
    /// Somebody invites us.
    Invited(Box<NewInvite>),
    /// The office orders us to invite somebody.
    Ordered(Box<Order>),
}

/// A call to place, as the office ordered it.
pub struct Order {
    /// The order of the office; none where a phone wants it.
    pub command: Option<CommandId>,
    /// The conversation.
    pub call: CallId,
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// Whom.
    pub to: String,
    /// Caller identity to show.
    pub from: String,
    /// Who talks.
    pub talks: Talks,
    /// How long it may ring.
    pub ring_for: std::time::Duration,
    /// Told whether the INVITE left.
    pub reply: Option<tokio::sync::oneshot::Sender<model::command::Outcome>>,
    /// Where the tokens of its first INVITE come from: its Call-ID is in the record before the
    /// INVITE leaves.
    pub tokens: TokenSource,
}

/// Who talks with whom we call.
pub enum Talks {
    /// An agent.
    Agent(Arc<PublishedAgent>),
    /// Who is left of a call whose phone hands it on.
    Meets(Box<Meets>),
}

/// A call for somebody who waits in another one.
pub struct Meets {
    /// Where they meet.
    pub room: String,
    /// On whose behalf: by its rules the call is judged, and what comes of it.
    pub asker: Asker,
    /// Referred-By of the phone (RFC 3892).
    pub referred_by: Option<String>,
    /// Told how it goes.
    pub watch: Watch,
}

impl Order {
    /// The agent, where one talks.
    pub fn agent(&self) -> Option<&Arc<PublishedAgent>> {
        match &self.talks {
            Talks::Agent(agent) => Some(agent),
            Talks::Meets(_) => None,
        }
    }

    /// The other call, where it is for one.
    pub fn meets(&self) -> Option<&Meets> {
        match &self.talks {
            Talks::Agent(_) => None,
            Talks::Meets(meets) => Some(meets),
        }
    }

    /// The parties, as an INVITE would have brought them.
    pub fn arrived(&self) -> Arrived {
        Arrived {
            trunk: None,
            tenant: self.tenant,
            parties: Parties {
                to: self.to.clone(),
                from: self.from.clone(),
                ..Parties::default()
            },
        }
    }

    /// Whether whoever ordered it still waits for it to be done.
    pub fn is_wanted(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    /// The first fact of a call that nobody placed.
    pub fn started(&self, services: &Services) -> Started {
        Started {
            tenant: self.tenant,
            direction: Direction::Outbound,
            channel: Channel::Sip,
            from: self.from.clone(),
            to: self.to.clone(),
            profile: String::new(),
            trunk: None,
            sip_call_id: lossy(self.tokens.clone().call_id()),
            agent: self.agent().map(|agent| agent.agent.clone()),
            revision: services.snapshots.current().revision,
        }
    }
}

impl Facing {
    /// The INVITE, of a call that came in.
    pub fn invite(&self) -> Option<&NewInvite> {
        match self {
            Facing::Invited(invite) => Some(invite),
            Facing::Ordered(_) => None,
        }
    }

    /// The order, of a call that goes out.
    pub fn order(&self) -> Option<&Order> {
        match self {
            Facing::Invited(_) => None,
            Facing::Ordered(order) => Some(order),
        }
    }

    /// Which way.
    pub fn direction(&self) -> Direction {
        match self {
            Facing::Invited(_) => Direction::Inbound,
            Facing::Ordered(_) => Direction::Outbound,
        }
    }

    /// SIP Call-ID of the first dialog.
    pub fn sip_call_id(&self) -> String {
        match self {
            Facing::Invited(invite) => lossy(invite.request.call_id()),
            // A dialog takes its Call-ID first of all from its tokens.
            Facing::Ordered(order) => lossy(order.tokens.clone().call_id()),
        }
    }

    /// Hops that an INVITE on behalf of this call may take (RFC 3261 §16.6).
    pub fn hops_left(&self) -> u8 {
        let received = self.invite().and_then(|i| i.request.max_forwards());
        received.map_or(70, |hops| hops.saturating_sub(1))
    }
}

/// The socket and address of our own leg, once it has them.
pub(super) fn flow(state: &State) -> Option<Flow> {
    match &state.args.facing {
        Facing::Invited(invite) => Some(invite.flow),
        Facing::Ordered(_) => state.placing.flow(),
    }
}
