//! Answers to REGISTER: without a dialog, but not without memory.

use std::time::Duration;

use super::{Endpoint, Register};
use crate::answer::{self, response_flow};
use crate::dialog::FinishedTransaction;
use crate::transaction::TransactionKey;

impl Endpoint {
    /// Answers a REGISTER. What changed something is remembered for its copies (RFC 3261 §17.2.2): judged again, their
    /// credentials would be a replay. A challenge is made anew for each copy and costs no memory.
    pub(super) fn answer_register(
        &mut self,
        now: Duration,
        register: &Register,
        status: u16,
        headers: &[(&'static str, Vec<u8>)],
    ) {
        let (flow, request) = (register.flow, &register.request);
        let tag = self.stateless_tag(request);
        let mut draft = answer::begin(request, flow, status, None, Some(&tag), self.style());
        answer::owed_headers(&mut draft, request, status, self.style());
        for (name, value) in headers {
            draft.header(name, value);
        }
        let bytes = draft.finish(b"");
        let to = response_flow(flow, request.via(), self.config.way_back());
        self.transmit(to, bytes.clone());
        self.counters.answered += 1;
        if flow.transport.is_reliable() || matches!(status, 401 | 407) {
            return;
        }
        self.counters.forgotten_early += self.finished.remember(FinishedTransaction {
            key: TransactionKey::of(request),
            response: Some(bytes),
            flow: to,
            until: now + self.config.timers.sixty_four_t1(),
        });
    }
}
