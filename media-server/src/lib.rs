//! The switch: sockets, actors, supervision – as little thinking as possible.
//!
//! Decisions are made in the pure cores (`sip-core`, `media-core`, `call-core`); the actors here
//! feed them and carry out what they want. [`node`] draws the tree.

pub mod agent;
pub mod call;
pub mod calls;
pub mod cli;
pub mod clock;
pub mod ctl;
pub mod dialog;
pub mod dialog_book;
pub mod dossier;
pub mod duplex;
pub mod entropy;
pub mod gate;
pub mod gateway;
pub mod hearing;
pub mod http;
pub mod journal;
pub mod leg;
pub mod listener;
pub mod load;
pub mod media;
pub mod metrics;
pub mod mouth;
pub mod next_hop;
pub mod node;
pub mod office;
pub mod phone;
pub mod profile;
pub mod registrar;
pub mod rooms;
pub mod services;
pub mod speech_cache;
pub mod stir;
pub mod stub;
pub mod stun;
pub mod tap;
pub mod targets;
pub mod trunk;
pub mod trunk_book;
pub mod wire;

pub use audio_files::wav;
