//! The journal as its users meet it: what survives, what is refused, what goes away.

#[path = "journal/build.rs"]
mod build;
#[path = "journal/damage.rs"]
mod damage;
#[path = "journal/folder.rs"]
mod folder;
#[path = "journal/kill.rs"]
mod kill;
#[path = "journal/recovery.rs"]
mod recovery;
#[path = "journal/spool.rs"]
mod spool;
