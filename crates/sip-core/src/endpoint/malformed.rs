//! Answers to requests that could be read far enough to be answered.

use bytes::Bytes;

use super::{DropReason, Endpoint, EndpointEffect};
use crate::answer::response_flow;
use crate::flow::Flow;
use crate::message::{Answerable, Draft, Fault, ParseError};
use crate::value::Via;

impl Endpoint {
    /// 400 or 505 for a request that could be read far enough; a broken stream is closed after it.
    pub(super) fn malformed(&mut self, flow: Flow, error: &ParseError) {
        self.counters.malformed += 1;
        match error.answer.as_deref() {
            Some(answerable) => {
                let bytes = self.answer_malformed(flow, answerable, error);
                let via = answerable.vias.first().and_then(|raw| Via::parse(raw).ok());
                let way = self.config.way_back();
                let to = via.map_or(flow, |via| response_flow(flow, &via, way));
                self.transmit(to, bytes);
            }
            None => self.dropped(flow, DropReason::Malformed),
        }
        let torn = matches!(
            error.fault,
            Fault::Length(_) | Fault::NoHeaderEnd | Fault::TooLong
        );
        if torn && flow.transport.is_stream() {
            self.effects.push_back(EndpointEffect::Close { flow });
        }
    }

    fn answer_malformed(&self, flow: Flow, raw: &Answerable, error: &ParseError) -> Bytes {
        let mut draft = Draft::response(error.status(), error.phrase().as_bytes());
        for (at, via) in raw.vias.iter().enumerate() {
            match Via::parse(via).ok().filter(|_| at == 0) {
                Some(top) => {
                    draft.header("Via", top.stamped(flow.remote, self.config.force_rport));
                }
                None => {
                    draft.header("Via", via);
                }
            }
        }
        let missing = Bytes::new();
        let from = raw.from.as_ref().unwrap_or(&missing);
        let call_id = raw.call_id.as_ref().unwrap_or(&missing);
        let tag = self
            .tokens
            .stateless_tag([from.as_ref(), call_id, &raw.cseq]);
        for (name, value) in [("From", &raw.from), ("Call-ID", &raw.call_id)] {
            if let Some(value) = value {
                draft.header(name, value);
            }
        }
        if let Some(to) = &raw.to {
            let has_tag = to.windows(4).any(|part| part.eq_ignore_ascii_case(b"tag="));
            let tagged = [to.as_ref(), b";tag=", &tag].concat();
            draft.header("To", if has_tag { to.to_vec() } else { tagged });
        }
        draft.header("CSeq", &raw.cseq);
        draft.header("Server", &self.config.server);
        draft.finish(b"")
    }
}
