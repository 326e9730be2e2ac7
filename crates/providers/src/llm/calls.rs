//! The tools that an answer asks for, put together from fragments.

use call_core::brain::MindEvent;

use super::body::Body;
use crate::{Class, ProviderError};

/// Most tools one answer may ask for.
const MAX_CALLS: usize = 8;
/// Longest arguments of one tool, bytes.
const MAX_ARGUMENTS: usize = 16 * 1_024;

/// One tool that is asked for.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) index: Option<usize>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// All of an answer, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Calls(pub(super) Vec<Call>);

impl Calls {
    /// The one with this index of the server's; a new one otherwise.
    pub(super) fn at(&mut self, index: Option<usize>) -> usize {
        let found = self.0.iter().position(|call| call.index == index);
        found.unwrap_or_else(|| self.begin(index))
    }

    pub(super) fn begin(&mut self, index: Option<usize>) -> usize {
        self.0.push(Call {
            index,
            ..Call::default()
        });
        self.0.len() - 1
    }

    /// Whether they are still within the limits.
    pub(super) fn check(&self, body: &Body) -> Result<(), ProviderError> {
        if self.0.len() > MAX_CALLS {
            return Err(body.failed(Class::Fatal, "the answer asks for too many tools"));
        }
        let long = |call: &Call| call.arguments.len() > MAX_ARGUMENTS;
        match self.0.iter().any(long) {
            true => Err(body.failed(Class::Fatal, "the arguments of a tool are too long")),
            false => Ok(()),
        }
    }

    /// The answer is whole: what it asks for.
    pub(super) fn take(&mut self) -> Vec<MindEvent> {
        let calls = std::mem::take(&mut self.0).into_iter().enumerate();
        calls
            .filter(|(_, call)| !call.name.is_empty())
            .map(|(at, call)| MindEvent::ToolCall {
                model_call_id: or(call.id, &format!("call_{at}")),
                name: call.name,
                arguments: or(call.arguments, "{}"),
            })
            .collect()
    }
}

fn or(text: String, otherwise: &str) -> String {
    match text.trim().is_empty() {
        true => otherwise.to_owned(),
        false => text,
    }
}
