//! A booking is asked for once per key and never keeps a caller waiting for ever.

use std::time::Duration;

use model::{
    AgentId, TenantId,
    booking::{BookingOutcome, BookingRequest},
};

use crate::{
    build::call,
    fake::{Fake, Mood},
};

fn request() -> BookingRequest {
    BookingRequest {
        idempotency_key: "cal_1/3/book".into(),
        tenant: TenantId::new(1, 1),
        agent: AgentId::new(1, 1),
        agent_version: 3,
        call: call(1),
        resource: "tables".into(),
        starts_local: "2026-05-01T19:00".into(),
        party_size: 4,
        phone: "+15550101".into(),
    }
}

#[tokio::test]
async fn a_full_table_comes_back_with_its_alternatives() {
    let fake = Fake::start().await;
    let office = fake.client(Duration::from_secs(20));
    let outcome = office.book(&request()).await.unwrap();
    let alternatives = vec!["2026-05-01T18:30".to_owned()];
    assert_eq!(outcome, BookingOutcome::Full { alternatives });
    assert_eq!(
        fake.see(|world| world.bookings["cal_1/3/book"].party_size),
        4
    );
}

#[tokio::test]
async fn a_silent_office_is_given_up_and_asking_again_keeps_the_key() {
    let fake = Fake::start().await;
    fake.change(|world| world.moods = [Mood::DoneButSilent].into());
    let office = fake.client(Duration::from_millis(100));
    let error = office.book(&request()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let office = fake.client(Duration::from_secs(20));
    assert!(office.book(&request()).await.is_ok());
    fake.see(|world| {
        assert_eq!(world.booking_requests, 2);
        assert_eq!(world.bookings.len(), 1, "one key, one booking");
    });
}

#[tokio::test]
async fn an_unknown_agent_is_an_answer_and_not_worth_a_second_try() {
    let fake = Fake::start().await;
    fake.change(|world| world.moods = [Mood::Says(404)].into());
    let office = fake.client(Duration::from_secs(20));
    let error = office.book(&request()).await.unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(error.to_string(), "the office answered 404: in a mood");
}
