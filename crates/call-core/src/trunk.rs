//! Trunks, decided without a socket: which one an INVITE belongs to, how a carrier writes numbers,
//! whether it is alive, and how fast it may be called.

mod choice;
mod number_plan;
mod pacer;
mod pulse;

pub use choice::{Arrival, Candidate, Chosen, Unchosen, choose};
pub use number_plan::{NumberPlan, Received, Spelling, check_template, is_anonymous};
pub use pacer::{Full, Pacer};
pub use pulse::{Pulse, PulseState};
