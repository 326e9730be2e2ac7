//! Bookings. A slot has as many seats as the agent's version says; the unique index on
//! `(tenant, resource, slot, seat)` is what makes a double booking impossible.

use std::collections::{BTreeMap, BTreeSet};

use model::{AgentId, BookingId, CallId, TenantId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Db, PageAsk, Rows, StoreError, Tx,
    events::NewEvent,
    sql::{Query, Row, Value, sql},
};
use crate::{
    clock::{Stamp, random},
    closed::closed,
    events,
};

closed! {
    /// What became of a booking.
    pub enum BookingState {
        /// It stands.
        Booked = "booked",
        /// It was cancelled; its seat is free again.
        Cancelled = "cancelled",
    }
}

/// A booking.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Booking {
    /// Its id.
    pub id: BookingId,
    /// Whose.
    pub tenant_id: TenantId,
    /// The agent whose rules it was made under.
    pub agent_id: AgentId,
    /// The version whose rules it was made under.
    pub agent_version: u32,
    /// The conversation it was made in.
    pub call_id: Option<CallId>,
    /// What is booked.
    pub resource: String,
    /// The short code that is read out (`R-4471`).
    pub code: String,
    /// Local start, `YYYY-MM-DDTHH:MM`.
    pub starts_local: String,
    /// IANA time zone of `starts_local`.
    pub zone: String,
    /// How many people.
    pub party_size: u32,
    /// The caller's number.
    pub phone: String,
    /// What became of it.
    pub state: BookingState,
    /// When it was made.
    pub created_at: Stamp,
    /// When it was changed last.
    pub updated_at: Stamp,
    /// Local start of the slot it sits in.
    #[serde(skip)]
    pub slot_local: String,
    /// The key that must not book twice.
    #[serde(skip)]
    pub idempotency_key: Option<String>,
}

/// Seats of a slot.
#[derive(Debug, Clone, Copy)]
pub struct Seating {
    /// How many can be booked in one slot.
    pub tables: u32,
}

/// What came of placing a booking.
#[derive(Debug, Clone)]
pub enum Placed {
    /// It stands; a booking with the same key that stood before comes back as it was.
    Booked(Box<Booking>),
    /// No seat is left in the slot.
    Full,
}

/// What a list of bookings is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct BookingFilter {
    /// The conversation.
    pub call: Option<CallId>,
    /// The agent.
    pub agent: Option<AgentId>,
    /// What became of it.
    pub state: Option<BookingState>,
    /// The local day, `YYYY-MM-DD`.
    pub date: Option<String>,
}

fn read(row: &Row) -> Result<Booking, StoreError> {
    Ok(Booking {
        id: row.parse("id")?,
        tenant_id: row.parse("tenant_id")?,
        agent_id: row.parse("agent_id")?,
        agent_version: row.int("agent_version")?,
        call_id: row.parse_opt("call_id")?,
        resource: row.get("resource")?,
        code: row.get("code")?,
        starts_local: row.get("starts_local")?,
        zone: row.get("zone")?,
        party_size: row.int("party_size")?,
        phone: row.get("phone")?,
        state: row
            .get::<String>("state")?
            .parse()
            .map_err(|()| StoreError::corrupt("state", "?"))?,
        created_at: Stamp(row.get("created_ms")?),
        updated_at: Stamp(row.get("updated_ms")?),
        slot_local: row.get("slot_local")?,
        idempotency_key: row.get("idempotency_key")?,
    })
}

/// A code to read out: `R-` and four digits, more when the four-digit ones run out.
fn code(attempt: u32) -> String {
    let digits = 4 + attempt / 8;
    let first = 10_u64.pow(digits - 1);
    let number = first + u64::from_le_bytes(random()) % (9 * first);
    format!("R-{number}")
}

impl Db {
    /// Places a booking in a free seat of its slot; its `code` is made here.
    pub async fn book(&self, wanted: &Booking, seating: Seating) -> Result<Placed, StoreError> {
        let mut left = 8_u32;
        loop {
            match self.book_once(wanted, seating).await {
                Err(fault) if fault.is_transient() && left > 0 => left -= 1,
                other => return other,
            }
        }
    }

    async fn book_once(&self, wanted: &Booking, seating: Seating) -> Result<Placed, StoreError> {
        let mut tx = self.begin().await?;
        let mut attempt = 0;
        loop {
            if let Some(before) = tx.booking_by_key(wanted).await? {
                return Ok(Placed::Booked(Box::new(before)));
            }
            let taken = tx.seats_taken(wanted).await?;
            let Some(seat) = (1..=i64::from(seating.tables)).find(|seat| !taken.contains(seat))
            else {
                return Ok(Placed::Full);
            };
            let booking = Booking {
                code: code(attempt),
                ..wanted.clone()
            };
            if tx.insert_booking(&booking, seat).await? {
                tx.tell(vec![told(&booking, events::BOOKING_CONFIRMED)])
                    .await?;
                tx.commit().await?;
                return Ok(Placed::Booked(Box::new(booking)));
            }
            // Somebody took the seat, the code or the key between our look and our insert.
            attempt += 1;
        }
    }

    /// How many seats each slot of a local day has taken.
    pub async fn seats_by_slot(
        &self,
        tenant: TenantId,
        resource: &str,
        date: &str,
    ) -> Result<BTreeMap<String, u32>, StoreError> {
        let query = sql("select slot_local, count(*) as taken from bookings where tenant_id = $1 and resource = $2 and slot_local >= $3 and slot_local < $4 and state = 'booked' group by slot_local")
            .bind(tenant)
            .bind(resource)
            .bind(date)
            .bind(format!("{date}U"));
        let rows = self.all(query).await?;
        rows.iter()
            .map(|row| Ok((row.get("slot_local")?, row.int("taken")?)))
            .collect()
    }

    /// The booking that this key made.
    pub async fn booking_of_key(
        &self,
        tenant: TenantId,
        key: &str,
    ) -> Result<Option<Booking>, StoreError> {
        let query = sql("select * from bookings where tenant_id = $1 and idempotency_key = $2");
        let row = self.one(query.bind(tenant).bind(key)).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// The booking with this id, if `tenant` (none = the platform) may see it.
    pub async fn booking(
        &self,
        tenant: Option<TenantId>,
        id: BookingId,
    ) -> Result<Option<Booking>, StoreError> {
        let query = sql("select * from bookings where id = $1 and ($2 is null or tenant_id = $2)")
            .bind(id)
            .bind(tenant);
        self.one(query).await?.map(|row| read(&row)).transpose()
    }

    /// Bookings, the newest first.
    pub async fn bookings(
        &self,
        tenant: Option<TenantId>,
        filter: &BookingFilter,
        page: &PageAsk,
    ) -> Result<Rows<Booking>, StoreError> {
        let conditions: [(&str, Value); 5] = [
            ("call_id =", filter.call.into()),
            ("agent_id =", filter.agent.into()),
            ("state =", filter.state.map(BookingState::as_str).into()),
            ("substr(starts_local, 1, 10) =", filter.date.clone().into()),
            ("id <", page.after.clone().into()),
        ];
        let all = "select * from bookings where ($1 is null or tenant_id = $1)";
        let mut query = Query::text(all.to_owned()).bind(tenant);
        for (condition, value) in conditions {
            if !value.is_null() {
                query = query.and(condition, value);
            }
        }
        let rows = self
            .all(query.then(" order by id desc limit ", page.fetch()))
            .await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(page.cut(rows, |booking| booking.id.to_string()))
    }

    /// Changes the phone number, or cancels (a cancelled booking stays cancelled); `None` when
    /// there is none.
    pub async fn change_booking(
        &self,
        tenant: Option<TenantId>,
        id: BookingId,
        phone: Option<String>,
        cancel: bool,
        now: i64,
    ) -> Result<Option<Booking>, StoreError> {
        let mut tx = self.begin().await?;
        let lock = sql(
            "update bookings set updated_ms = updated_ms where id = $1 and ($2 is null or tenant_id = $2) returning *",
        );
        let Some(row) = tx.one(lock.bind(id).bind(tenant)).await? else {
            return Ok(None);
        };
        let cancels = cancel && read(&row)?.state == BookingState::Booked;
        let query = sql("update bookings set phone = coalesce($2, phone), state = case when $3 then 'cancelled' else state end, updated_ms = $4 where id = $1 returning *")
            .bind(id)
            .bind(phone)
            .bind(cancels)
            .bind(now);
        let Some(row) = tx.one(query).await? else {
            return Ok(None);
        };
        let booking = read(&row)?;
        if cancels {
            tx.tell(vec![told(&booking, events::BOOKING_CANCELLED)])
                .await?;
        }
        tx.commit().await?;
        Ok(Some(booking))
    }
}

impl Tx {
    async fn booking_by_key(&mut self, wanted: &Booking) -> Result<Option<Booking>, StoreError> {
        let Some(key) = &wanted.idempotency_key else {
            return Ok(None);
        };
        let query = sql("select * from bookings where tenant_id = $1 and idempotency_key = $2");
        let row = self.one(query.bind(wanted.tenant_id).bind(key)).await?;
        row.map(|row| read(&row)).transpose()
    }

    async fn seats_taken(&mut self, wanted: &Booking) -> Result<BTreeSet<i64>, StoreError> {
        let query = sql("select seat from bookings where tenant_id = $1 and resource = $2 and slot_local = $3 and state = 'booked'")
            .bind(wanted.tenant_id)
            .bind(&wanted.resource)
            .bind(&wanted.slot_local);
        let rows = self.all(query).await?;
        rows.iter().map(|row| row.get("seat")).collect()
    }

    async fn insert_booking(&mut self, booking: &Booking, seat: i64) -> Result<bool, StoreError> {
        let query = sql("insert into bookings (id, tenant_id, agent_id, agent_version, call_id, resource, code, starts_local, slot_local, zone, seat, party_size, phone, state, idempotency_key, created_ms, updated_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16) on conflict do nothing")
            .bind(booking.id)
            .bind(booking.tenant_id)
            .bind(booking.agent_id)
            .bind(booking.agent_version)
            .bind(booking.call_id)
            .bind(&booking.resource)
            .bind(&booking.code)
            .bind(&booking.starts_local)
            .bind(&booking.slot_local)
            .bind(&booking.zone)
            .bind(seat)
            .bind(booking.party_size)
            .bind(&booking.phone)
            .bind(booking.state.as_str())
            .bind(booking.idempotency_key.clone())
            .bind(booking.created_at.0);
        Ok(self.run(query).await? == 1)
    }
}

fn told(booking: &Booking, kind: &'static str) -> NewEvent {
    NewEvent {
        tenant: Some(booking.tenant_id),
        agent: Some(booking.agent_id),
        call: booking.call_id,
        seq: None,
        kind,
        at_ms: booking.updated_at.0,
        data: serde_json::to_string(booking).unwrap_or_else(|_| "null".to_owned()),
    }
}
