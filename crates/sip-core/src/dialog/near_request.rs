//! Our own requests inside the dialog, other than INVITE: BYE, INFO, CANCEL.

use bytes::Bytes;

use super::{Dialog, DialogEvent, MAX_NEAR_REQUESTS, Phase};
use crate::digest::Answered;
use crate::flow::Flow;
use crate::message::{Method, Response};
use crate::transaction::{ClientEffect, ClientInput, ClientTransaction};
use crate::value::Reason;

/// A request of ours until its final response.
#[derive(Debug)]
pub(super) struct NearRequest {
    pub(super) branch: Bytes,
    pub(super) method: Method,
    pub(super) flow: Flow,
    pub(super) tx: ClientTransaction,
    /// The response last handed in.
    last: Option<Box<Response>>,
    request: Bytes,
    answered: Answered,
}

impl Dialog {
    /// Starts a client transaction for a request of this dialog.
    pub(super) fn submit(&mut self, method: Method, branch: Bytes, flow: Flow, request: Bytes) {
        let request = self.signed(&method, request);
        self.submit_as(method, branch, flow, request, Answered::default());
    }

    fn submit_as(
        &mut self,
        method: Method,
        branch: Bytes,
        flow: Flow,
        request: Bytes,
        answered: Answered,
    ) {
        let reliable = flow.transport.is_reliable();
        let timers = self.config.timers;
        let tx = ClientTransaction::new(self.now, timers, reliable, request.clone());
        self.near_requests.push(NearRequest {
            branch,
            method,
            flow,
            tx,
            last: None,
            request,
            answered,
        });
    }

    /// A challenged request goes out again; false when it does not.
    fn submit_again(&mut self, branch: &[u8]) -> bool {
        let challenged = |near: &&mut NearRequest| near.branch == branch;
        let Some(near) = self.near_requests.iter_mut().find(challenged) else {
            return false;
        };
        // §22.1: a CANCEL cannot be sent again.
        let challenge = near
            .last
            .clone()
            .filter(|last| matches!(last.status(), 401 | 407) && near.method != Method::Cancel);
        let Some(challenge) = challenge else {
            return false;
        };
        let mut answered = std::mem::take(&mut near.answered);
        let (method, flow, request) = (near.method.clone(), near.flow, near.request.clone());
        let Ok(Some(again)) = self.again(&request, &challenge, &mut answered) else {
            return false;
        };
        self.submit_as(method, again.branch, flow, again.request, answered);
        true
    }

    /// BYE (§15.1.1). The session counts as over when it is sent.
    pub(super) fn bye(&mut self, reason: Option<&Reason>) {
        let cseq = self.ties.next_cseq();
        let branch = self.tokens.branch();
        let mut draft = self.ties.request(&Method::Bye, cseq, &branch, &self.config);
        if let Some(reason) = reason {
            draft.header("Reason", reason.to_string());
        }
        let flow = self.ties.next_hop(self.config.next_hop);
        self.submit(Method::Bye, branch, flow, draft.finish(b""));
    }

    pub(super) fn send_info(&mut self, content_type: &str, body: &[u8]) {
        if !matches!(self.phase, Phase::Confirmed) {
            return self.event(DialogEvent::InfoDone { status: 481 });
        }
        if self.near_requests.len() >= MAX_NEAR_REQUESTS {
            return self.event(DialogEvent::InfoDone { status: 503 });
        }
        let cseq = self.ties.next_cseq();
        let branch = self.tokens.branch();
        let draft = self
            .ties
            .request(&Method::Info, cseq, &branch, &self.config);
        let flow = self.ties.next_hop(self.config.next_hop);
        self.submit(
            Method::Info,
            branch,
            flow,
            draft.finish_with(content_type, body),
        );
    }

    /// Hands a response to the transaction it belongs to: by branch and CSeq method (§17.1.3).
    pub(super) fn response(&mut self, response: &Response) {
        if *response.method() == Method::Invite {
            return self.invite_answered(response);
        }
        let now = self.now;
        let branch = response.via().branch().unwrap_or_default();
        let ours =
            |near: &&mut NearRequest| near.branch == branch && near.method == *response.method();
        if let Some(near) = self.near_requests.iter_mut().find(ours) {
            near.last = Some(Box::new(response.clone()));
            let input = ClientInput::Response {
                status: response.status(),
                to: response.to().raw().clone(),
            };
            near.tx.handle(now, input);
        }
    }

    /// Carries out what our transactions want.
    pub(super) fn pump_near(&mut self) -> bool {
        let mut wanted = Vec::new();
        for near in &mut self.near_requests {
            while let Some(effect) = near.tx.poll_effect() {
                let branch = near.branch.clone();
                wanted.push((near.flow, near.method.clone(), branch, effect));
            }
        }
        let mut moved = !wanted.is_empty();
        for (flow, method, branch, effect) in wanted {
            match effect {
                ClientEffect::Send(bytes) => self.send(flow, bytes),
                ClientEffect::PassUp => self.request_answered(&method, &branch),
                ClientEffect::TimedOut => self.request_done(&method, 408, None),
                ClientEffect::TransportFailed => self.request_done(&method, 503, None),
                ClientEffect::Terminated => {}
            }
        }
        moved |= self.pump_near_invites();
        moved
    }

    /// A response that is news.
    fn request_answered(&mut self, method: &Method, branch: &Bytes) {
        let ours = |near: &&NearRequest| near.branch == *branch && near.method == *method;
        let last = self.near_requests.iter().find(ours);
        let last = last.and_then(|near| near.last.clone());
        let Some(response) = last.filter(|last| last.status() >= 200) else {
            return;
        };
        if !self.submit_again(branch) {
            self.request_done(method, response.status(), Some(&response));
        }
    }

    /// BYE and CANCEL need no news: the call has ended for us whatever comes back.
    fn request_done(&mut self, method: &Method, status: u16, response: Option<&Response>) {
        match method {
            Method::Info => self.info_done(status),
            Method::Update => self.refresh_done(status, response),
            Method::Refer => self.refer_answered(status),
            Method::Notify => self.notify_answered(status),
            // A PRACK that is refused changes nothing: the 2xx or its absence decides.
            _ => {}
        }
    }

    fn info_done(&mut self, status: u16) {
        self.event(DialogEvent::InfoDone { status });
        if status == 481 {
            self.dialog_is_gone(status);
        }
    }

    pub(super) fn transport_failed(&mut self, flow: Flow) {
        let now = self.now;
        for near in &mut self.near_requests {
            if near.flow == flow {
                near.tx.handle(now, ClientInput::TransportFailed);
            }
        }
        self.near_invite_transport_failed(flow);
        if self.ties.flow == flow {
            // The next request wants a new connection.
            self.ties.flow.connection = 0;
        }
    }
}
