//! call-core
pub mod brain;
