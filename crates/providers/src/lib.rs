//! Providers.

pub mod brain;
