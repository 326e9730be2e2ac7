//! One listener's view of SIP: received bytes to dialogs, and the answers that need no dialog.
//!
//! Requests with our tag and all responses find their dialog by (Call-ID, our tag). An INVITE without our tag finds its copy by
//! transaction key, else it becomes a [`NewInvite`] after the checks of RFC 3261 §8.2. Other requests outside a dialog are answered
//! statelessly (§8.2.7): the To tag is a function of the request, so a retransmission gets the same answer. Refused INVITEs keep
//! their own machine until the ACK. All tables have a limit; what does not fit is refused or forgotten, and counted.

mod config;
mod counters;
mod finished;
mod inspect;
mod malformed;
mod refusals;
mod register;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

pub use config::EndpointConfig;
pub use counters::{DropReason, EndpointCounters};

use crate::answer::{self, Style, response_flow};
use crate::dialog::{DialogId, DialogSeed, FinishedTransaction, Refusal};
use crate::flow::{Flow, Transport};
use crate::framing::{Kind, classify};
use crate::message::{Framing, Message, Method, Request, Response, parse};
use crate::timers::earliest;
use crate::tokens::TokenSource;
use crate::transaction::TransactionKey;
use crate::value::Replaces;
use finished::Finished;
use refusals::Refusals;

/// Inputs.
#[derive(Clone, Debug)]
pub enum EndpointInput {
    /// A datagram, or one frame of a stream.
    Received {
        /// Where it came in.
        flow: Flow,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A dialog (or request outside one) of ours is about to send: bring me its traffic.
    Adopt(DialogId),
    /// After a crash of the listener: a live dialog's seed.
    AdoptSeed(Box<DialogSeed>),
    /// Refuse an INVITE without ever making a dialog; its id is free again.
    Refuse {
        /// What was handed out.
        invite: Box<NewInvite>,
        /// How.
        refusal: Refusal,
    },
    /// Answer an INVITE once and keep nothing of it (RFC 3261 §8.2.7): a stranger's, who may have forged the address that
    /// repeated answers would go to.
    TurnAway {
        /// What was handed out.
        invite: Box<NewInvite>,
        /// How.
        refusal: Refusal,
    },
    /// The answer to a REGISTER that was handed out; a copy of the request gets it again.
    Answer {
        /// What was handed out.
        register: Box<Register>,
        /// The final status.
        status: u16,
        /// Headers beside the common ones.
        headers: Vec<(&'static str, Vec<u8>)>,
    },
    /// A dialog is gone; `finished` is what [`crate::dialog::Dialog::finished`] gave.
    Forget {
        /// Which.
        dialog_id: DialogId,
        /// Its leftovers.
        finished: Vec<FinishedTransaction>,
    },
    /// Take new calls, or not.
    Admission(Admission),
    /// Settings for what comes from now on; the sizes of tables stay.
    Configure(Box<EndpointConfig>),
}

/// Whether new calls are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    #[default]
    Open,
    /// No: INVITE and OPTIONS outside dialogs get 503. Overload or draining.
    Closed {
        /// Seconds for Retry-After.
        retry_after_s: u32,
    },
}

/// Outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointEffect {
    /// Put these bytes on the wire.
    Transmit {
        /// Socket and address.
        flow: Flow,
        /// One message.
        bytes: Bytes,
    },
    /// A call comes in: make a dialog of it ([`crate::dialog::Dialog::uas`]), or refuse it.
    NewInvite(Box<NewInvite>),
    /// Somebody registers: judge it and answer with [`EndpointInput::Answer`].
    Register(Box<Register>),
    /// A message for a dialog.
    Deliver {
        /// Which.
        dialog_id: DialogId,
        /// Where it came in.
        flow: Flow,
        /// The message.
        message: Box<Message>,
    },
    /// RFC 5923 §8.1: requests to this port of the far side may go over this connection.
    Alias {
        /// Which.
        flow: Flow,
        /// Its sent-by port.
        port: u16,
    },
    /// The stream cannot be understood any more: flush and close it.
    Close {
        /// Which.
        flow: Flow,
    },
    /// Nothing was done, and why; counted.
    Dropped {
        /// Where it came in.
        flow: Flow,
        /// Why.
        why: DropReason,
    },
}

/// An INVITE that may become a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvite {
    /// Call-ID and the tag chosen for us.
    pub dialog_id: DialogId,
    /// Where it came in.
    pub flow: Flow,
    /// The INVITE.
    pub request: Request,
}

impl NewInvite {
    /// The dialog whose place it wants to take (RFC 3891); the endpoint has refused broken ones.
    pub fn replaces(&self) -> Option<Replaces> {
        Replaces::parse(self.request.headers().get("Replaces")?).ok()
    }
}

/// A REGISTER outside any dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// Where it came in.
    pub flow: Flow,
    /// The request.
    pub request: Request,
}

/// A listener's SIP.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    tokens: TokenSource,
    admission: Admission,
    dialogs: HashMap<DialogId, Entry>,
    /// The INVITE that made a dialog, by its transaction: retransmissions, CANCEL.
    invites: HashMap<TransactionKey, DialogId>,
    /// The same by (Call-ID, From tag, CSeq): merged requests.
    merges: HashMap<TransactionKey, TransactionKey>,
    refusals: Refusals,
    finished: Finished,
    counters: EndpointCounters,
    effects: VecDeque<EndpointEffect>,
}

/// What must go when a dialog goes.
#[derive(Debug, Default)]
struct Entry {
    invite_key: Option<TransactionKey>,
    merge_key: Option<TransactionKey>,
}

impl Endpoint {
    /// A listener's endpoint; `tokens` must come from a secret seed.
    pub fn new(config: EndpointConfig, tokens: TokenSource) -> Self {
        Self {
            refusals: Refusals::new(config.timers, config.max_refusals),
            finished: Finished::new(config.max_finished),
            config,
            tokens,
            admission: Admission::Open,
            dialogs: HashMap::new(),
            invites: HashMap::new(),
            merges: HashMap::new(),
            counters: EndpointCounters::default(),
            effects: VecDeque::new(),
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> &EndpointCounters {
        &self.counters
    }

    /// Dialogs known now.
    pub fn dialogs(&self) -> usize {
        self.dialogs.len()
    }

    /// Entries in all tables beside the dialogs': back to 0 some time after the last call.
    pub fn remembered(&self) -> usize {
        self.refusals.len() + self.finished.len()
    }

    /// A step of the machine.
    pub fn handle(&mut self, now: Duration, input: EndpointInput) {
        match input {
            EndpointInput::Received { flow, bytes } => self.received(now, flow, &bytes),
            EndpointInput::Adopt(id) => {
                self.dialogs.entry(id).or_default();
            }
            EndpointInput::AdoptSeed(seed) => self.adopt_seed(*seed),
            EndpointInput::Refuse { invite, refusal } => self.refuse_new(now, &invite, &refusal),
            EndpointInput::TurnAway { invite, refusal } => {
                self.remove(&invite.dialog_id);
                self.counters.refused_stateless += 1;
                self.answer(invite.flow, &invite.request, &refusal);
            }
            EndpointInput::Answer {
                register,
                status,
                headers,
            } => self.answer_register(now, &register, status, &headers),
            EndpointInput::Forget {
                dialog_id,
                finished,
            } => self.forget(now, &dialog_id, finished),
            EndpointInput::Admission(admission) => self.admission = admission,
            EndpointInput::Configure(config) => self.config = *config,
        }
    }

    /// The next effect.
    pub fn poll_effect(&mut self) -> Option<EndpointEffect> {
        self.effects.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Duration> {
        earliest([self.refusals.poll_timeout(), self.finished.poll_timeout()])
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.refusals.handle_timeout(now);
        self.finished.handle_timeout(now);
        self.pump();
    }

    fn adopt_seed(&mut self, seed: DialogSeed) {
        if let Some(key) = seed.invite_key {
            self.invites.insert(key, seed.id.clone());
            if let Some(merge) = seed.merge_key {
                self.merges.insert(merge, key);
            }
        }
        self.dialogs.insert(
            seed.id,
            Entry {
                invite_key: seed.invite_key,
                merge_key: seed.merge_key,
            },
        );
    }

    fn forget(&mut self, now: Duration, id: &DialogId, finished: Vec<FinishedTransaction>) {
        self.remove(id);
        for transaction in finished {
            if transaction.until > now {
                self.counters.forgotten_early += self.finished.remember(transaction);
            }
        }
    }

    fn remove(&mut self, id: &DialogId) {
        let Some(entry) = self.dialogs.remove(id) else {
            return;
        };
        if let Some(key) = entry.invite_key {
            self.invites.remove(&key);
        }
        if let Some(merge) = entry.merge_key {
            self.merges.remove(&merge);
        }
    }

    /// Step one: is it SIP at all, and sound?
    fn received(&mut self, now: Duration, flow: Flow, bytes: &Bytes) {
        self.counters.received += 1;
        match classify(bytes) {
            Kind::Sip => {}
            Kind::KeepAlive => return self.dropped(flow, DropReason::KeepAlive),
            Kind::Stun => return self.dropped(flow, DropReason::Stun),
            Kind::Http => return self.dropped(flow, DropReason::Http),
            Kind::Tls | Kind::Noise => return self.dropped(flow, DropReason::NotSip),
        }
        let framing = match flow.transport {
            // RFC 7118 §5: a WebSocket message is a whole SIP message, with or without Content-Length.
            Transport::Udp | Transport::Ws | Transport::Wss => Framing::Datagram,
            Transport::Tcp | Transport::Tls => Framing::Stream,
        };
        match parse(bytes, framing) {
            Ok(Message::Request(request)) => self.request(now, flow, request),
            Ok(Message::Response(response)) => self.response(flow, response),
            Err(error) => self.malformed(flow, &error),
        }
    }

    /// A response goes to the dialog whose tag is in From (§18.1.2); everything else is a stray.
    fn response(&mut self, flow: Flow, response: Response) {
        let id = DialogId {
            call_id: response.call_id().clone(),
            local_tag: Bytes::copy_from_slice(response.from().tag().unwrap_or_default()),
        };
        if self.dialogs.contains_key(&id) {
            self.deliver(id, flow, Message::Response(response));
        } else {
            self.dropped(flow, DropReason::StrayResponse);
        }
    }

    /// §8.2, §12.2.2, §17.2.3.
    fn request(&mut self, now: Duration, flow: Flow, request: Request) {
        let key = TransactionKey::of(&request);
        self.note_alias(flow, request.via());
        if let Some(tag) = request.to().tag() {
            let id = DialogId {
                call_id: request.call_id().clone(),
                local_tag: Bytes::copy_from_slice(tag),
            };
            if self.dialogs.contains_key(&id) {
                return self.deliver(id, flow, Message::Request(request));
            }
        }
        if let Some((flow, response)) = self.finished.find(&key) {
            self.counters.retransmissions += 1;
            // The ACK of what is finished is absorbed like a copy of its INVITE.
            if let Some(bytes) = response.filter(|_| *request.method() != Method::Ack) {
                self.transmit(flow, bytes);
            }
            return;
        }
        if self.refusals.handle(now, &key, request.method()) {
            self.counters.retransmissions += 1;
            return self.pump();
        }
        let invite_key = match request.method() {
            Method::Cancel => TransactionKey::of_cancelled(&request),
            _ => key,
        };
        if let Some(id) = self.invites.get(&invite_key) {
            return self.deliver(id.clone(), flow, Message::Request(request));
        }
        match request.method() {
            Method::Ack => self.dropped(flow, DropReason::StrayAck),
            _ => self.outside(now, flow, key, request),
        }
    }

    /// A request that belongs to nothing we know.
    fn outside(&mut self, now: Duration, flow: Flow, key: TransactionKey, request: Request) {
        let refusal = self
            .inspect(&request, key)
            .map(Refusal::new)
            .or_else(|| self.session_too_short(&request))
            .or_else(|| self.not_now(&request));
        match (refusal, request.method()) {
            (Some(refusal), Method::Invite) => self.refuse(now, flow, key, &request, &refusal),
            (Some(refusal), _) => self.answer(flow, &request, &refusal),
            (None, Method::Invite) => self.new_invite(flow, key, request),
            (None, Method::Register) => {
                let register = Box::new(Register { flow, request });
                self.effects.push_back(EndpointEffect::Register(register));
            }
            // The inspection lets only OPTIONS pass beside these.
            (None, _) => self.answer_options(flow, &request),
        }
    }

    /// 503 while admission is closed or the table is full.
    fn not_now(&mut self, request: &Request) -> Option<Refusal> {
        if let Admission::Closed { retry_after_s } = self.admission {
            self.counters.refused_overload += 1;
            return Some(Refusal::overload(retry_after_s));
        }
        let full = self.dialogs.len() >= self.config.max_dialogs;
        if full && *request.method() == Method::Invite {
            self.counters.refused_full += 1;
            return Some(Refusal::overload(self.config.retry_after_s));
        }
        None
    }

    fn new_invite(&mut self, flow: Flow, key: TransactionKey, request: Request) {
        let dialog_id = DialogId {
            call_id: request.call_id().clone(),
            local_tag: self.tokens.tag(),
        };
        let merge_key = TransactionKey::of_merge(&request);
        self.invites.insert(key, dialog_id.clone());
        self.merges.insert(merge_key, key);
        self.dialogs.insert(
            dialog_id.clone(),
            Entry {
                invite_key: Some(key),
                merge_key: Some(merge_key),
            },
        );
        self.counters.new_invites += 1;
        let invite = NewInvite {
            dialog_id,
            flow,
            request,
        };
        self.effects
            .push_back(EndpointEffect::NewInvite(Box::new(invite)));
    }

    /// OPTIONS (§11.2): what we can do.
    fn answer_options(&mut self, flow: Flow, request: &Request) {
        let tag = self.stateless_tag(request);
        let mut draft = answer::begin(request, flow, 200, None, Some(&tag), self.style());
        draft.header("Allow", answer::ALLOW);
        draft.header("Accept", "application/sdp");
        draft.header("Accept-Encoding", "identity");
        draft.header("Accept-Language", "en");
        draft.header("Supported", answer::supported(self.config.reliable));
        draft.header("Allow-Events", "refer");
        let flow = response_flow(flow, request.via(), self.config.way_back());
        self.transmit(flow, draft.finish(b""));
        self.counters.answered += 1;
    }

    /// A stateless answer (§8.2.7).
    fn answer(&mut self, flow: Flow, request: &Request, refusal: &Refusal) {
        let tag = self.stateless_tag(request);
        let bytes = self.refusal_bytes(flow, request, refusal, &tag);
        let flow = response_flow(flow, request.via(), self.config.way_back());
        self.transmit(flow, bytes);
        self.counters.answered += 1;
    }

    /// An INVITE's refusal, re-sent until its ACK; stateless when the table is full.
    fn refuse(
        &mut self,
        now: Duration,
        flow: Flow,
        key: TransactionKey,
        request: &Request,
        refusal: &Refusal,
    ) {
        let tag = self.stateless_tag(request);
        let bytes = self.refusal_bytes(flow, request, refusal, &tag);
        self.refuse_with(now, flow, key, request, (refusal.status, bytes));
    }

    fn refuse_with(
        &mut self,
        now: Duration,
        flow: Flow,
        key: TransactionKey,
        request: &Request,
        (status, bytes): (u16, Bytes),
    ) {
        self.counters.refused += 1;
        let flow = response_flow(flow, request.via(), self.config.way_back());
        if !self.refusals.open(now, key, flow, status, bytes.clone()) {
            self.counters.refused_stateless += 1;
            self.transmit(flow, bytes);
        }
        self.pump();
    }

    fn refuse_new(&mut self, now: Duration, invite: &NewInvite, refusal: &Refusal) {
        self.remove(&invite.dialog_id);
        let tag = invite.dialog_id.local_tag.clone();
        let request = &invite.request;
        let bytes = self.refusal_bytes(invite.flow, request, refusal, &tag);
        let key = TransactionKey::of(request);
        self.refuse_with(now, invite.flow, key, request, (refusal.status, bytes));
    }

    fn refusal_bytes(&self, flow: Flow, request: &Request, refusal: &Refusal, tag: &[u8]) -> Bytes {
        let status = refusal.status;
        let phrase = refusal.phrase.as_deref();
        let mut draft = answer::begin(request, flow, status, phrase, Some(tag), self.style());
        answer::owed_headers(&mut draft, request, status, self.style());
        refusal.write(&mut draft);
        draft.finish(b"")
    }

    fn stateless_tag(&self, request: &Request) -> Bytes {
        let branch = request.via().branch().unwrap_or_default();
        let from = request.from().tag().unwrap_or_default();
        self.tokens.stateless_tag([
            request.call_id().as_ref(),
            from,
            branch,
            &request.cseq().to_be_bytes(),
        ])
    }

    fn style(&self) -> Style<'_> {
        Style {
            server: &self.config.server,
            force_rport: self.config.force_rport,
            reliable: self.config.reliable,
        }
    }

    fn deliver(&mut self, dialog_id: DialogId, flow: Flow, message: Message) {
        self.counters.delivered += 1;
        self.effects.push_back(EndpointEffect::Deliver {
            dialog_id,
            flow,
            message: Box::new(message),
        });
    }

    fn pump(&mut self) {
        while let Some((flow, bytes)) = self.refusals.poll_send() {
            self.transmit(flow, bytes);
        }
    }

    fn transmit(&mut self, flow: Flow, bytes: Bytes) {
        self.effects
            .push_back(EndpointEffect::Transmit { flow, bytes });
    }

    fn dropped(&mut self, flow: Flow, why: DropReason) {
        self.counters.count_drop(why);
        self.effects
            .push_back(EndpointEffect::Dropped { flow, why });
    }
}
