//! The SIP core of the switch: wire bytes in, wire bytes and events out, nothing else.
//!
//! RFC 3261 with RFC 6026 (transactions), RFC 3264 (offer/answer) and RFC 3581 (rport). There is no
//! socket, clock, thread or random source in here: time is `now: Duration` since the node's start,
//! secrets for ids come in as a seed ([`tokens::TokenSource`]), bytes come in as `bytes::Bytes`.
//!
//! The layers, from the wire upwards:
//! [`framing`] tells SIP from what else arrives on the port and cuts streams into messages;
//! [`message`] reads and writes them; [`value`] understands the header fields we act on;
//! [`transaction`] holds the four machines of RFC 3261 §17; [`dialog`] is one call's signalling, as
//! UAS or UAC; [`endpoint`] is one listener, routing to dialogs and answering what needs none;
//! [`sdp`] and [`offer_answer`] agree on the media; [`locate`] finds where a URI is (RFC 3263);
//! [`identity`] and [`shaken`] read who calls, and the proof of it.
//!
//! Every machine has one contract: `handle(now, input)`, then drain `poll_effect()`, then arm a timer
//! for `poll_timeout()` and call `handle_timeout(now)`. A late or spurious timeout does nothing.
#![deny(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod answer;
pub mod dialog;
pub mod digest;
pub mod endpoint;
pub mod flow;
pub mod framing;
pub mod identity;
pub mod locate;
pub mod message;
pub mod offer_answer;
pub mod registrar;
pub mod registration;
pub mod sdp;
pub mod shaken;
pub mod timers;
pub mod tokens;
pub mod transaction;
pub mod value;
mod wire_text;
