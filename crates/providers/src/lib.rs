//! Speech and thought from elsewhere: recognisers, language models and voices, each behind one
//! contract and named in one table; and the Brains made of them.
//!
//! ```text
//! stt::ALL   tts::ALL   llm::ALL      a provider is one file and one line
//!      │          │          │
//!      └────── Providers ────┘        opened once, asked by the Agent of each call
//! brain::ALL                          what an agent's configuration makes of a call
//! ```
//!
//! Wire adapters are pure (bytes in, events out) and tested on fixtures; one driver moves their
//! bytes through `egress`. The fakes are providers like the others: load and fault tests use them.

pub mod brain;
mod breaker;
mod error;
pub mod llm;
mod registry;
pub mod stt;
pub mod tts;

pub use error::{Class, ProviderError};
pub use registry::{Entry, Fakes, Providers, Shared};
