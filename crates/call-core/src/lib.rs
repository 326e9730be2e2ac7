//! call-core
pub mod brain;
pub mod pipeline;
pub mod ledger;
pub mod dialplan;
pub mod document;
pub mod length;
pub mod turn;
pub mod call;
pub mod digits;
