//! call-core

pub mod brain;
pub mod call;
pub mod consent;
pub mod country;
pub mod dialing;
pub mod dialplan;
pub mod digits;
pub mod document;
pub mod ledger;
pub mod length;
pub mod pipeline;
pub mod trunk;
pub mod turn;
