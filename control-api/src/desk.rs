//! The booking desk: one way to book for the switch's agents and for REST.

use jiff::Timestamp;
use model::{AgentId, BookingId, CallId, TenantId, agent::AgentConfig};

use crate::{
    app::App,
    booking_rules::{Rules, Wish},
    clock::{Stamp, fresh, now_ms},
    store::{Booking, BookingState, Placed, Seating, StoreError},
};

/// What somebody wants to book.
#[derive(Debug, Clone)]
pub struct Order {
    /// Whose agent.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentId,
    /// The version whose rules count.
    pub agent_version: u32,
    /// The conversation.
    pub call: Option<CallId>,
    /// Local start, `YYYY-MM-DDTHH:MM`.
    pub starts_local: String,
    /// How many people.
    pub party_size: u32,
    /// The caller's number.
    pub phone: String,
    /// The key that must not book twice.
    pub idempotency_key: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum Decision {
    /// Done.
    Booked(Box<Booking>),
    /// No seat is left; these starts of the same day have one.
    Full(Vec<String>),
    /// The rules say no, in words for the ear.
    Refused(String),
    /// The key was used for another order.
    KeyReused,
}

/// The booking rules of a configuration, if it takes bookings.
pub fn rules_of(config: &AgentConfig) -> Option<Rules> {
    config.booking_rules().and_then(Rules::of)
}

/// Books, or says why not.
pub async fn book(app: &App, config: &AgentConfig, order: Order) -> Result<Decision, StoreError> {
    if let Some(before) = earlier(app, &order).await? {
        return Ok(before);
    }
    let Some(rules) = rules_of(config) else {
        return Ok(Decision::Refused("We take no bookings here.".to_owned()));
    };
    let now = Timestamp::now();
    let wish = match rules.wish(&order.starts_local, order.party_size, now) {
        Ok(wish) => wish,
        Err(reason) => return Ok(Decision::Refused(reason)),
    };
    let tenant = order.tenant;
    let tables = rules.booking().tables;
    let booking = new_booking(order, &wish, &rules);
    match app.db().book(&booking, Seating { tables }).await? {
        Placed::Booked(booking) => {
            app.ring();
            Ok(Decision::Booked(booking))
        }
        Placed::Full => {
            let free = free_slots(app, tenant, &rules, &wish, now).await?;
            Ok(Decision::Full(free))
        }
    }
}

/// What the same key did before.
async fn earlier(app: &App, order: &Order) -> Result<Option<Decision>, StoreError> {
    let Some(key) = &order.idempotency_key else {
        return Ok(None);
    };
    let before = app.db().booking_of_key(order.tenant, key).await?;
    Ok(before.map(|before| {
        let same = before.starts_local == order.starts_local
            && before.party_size == order.party_size
            && before.phone == order.phone;
        if same {
            Decision::Booked(Box::new(before))
        } else {
            Decision::KeyReused
        }
    }))
}

fn new_booking(order: Order, wish: &Wish, rules: &Rules) -> Booking {
    let now = Stamp(now_ms());
    Booking {
        id: fresh(BookingId::new),
        tenant_id: order.tenant,
        agent_id: order.agent,
        agent_version: order.agent_version,
        call_id: order.call,
        resource: rules.booking().resource.clone(),
        code: String::new(),
        starts_local: wish.starts_local.clone(),
        zone: rules.booking().zone.clone(),
        party_size: order.party_size,
        phone: order.phone,
        state: BookingState::Booked,
        created_at: now,
        updated_at: now,
        slot_local: wish.slot_local.clone(),
        idempotency_key: order.idempotency_key,
    }
}

async fn free_slots(
    app: &App,
    tenant: TenantId,
    rules: &Rules,
    wish: &Wish,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let booking = rules.booking();
    let date = wish.date.to_string();
    let taken = app
        .db()
        .seats_by_slot(tenant, &booking.resource, &date)
        .await?;
    let free = |slot: &str| taken.get(slot).is_none_or(|seats| *seats < booking.tables);
    Ok(rules.alternatives(wish, now, free))
}
