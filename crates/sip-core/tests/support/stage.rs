//! One dialog and a far side that is played by hand.

#![allow(dead_code)]

use std::time::Duration;

use bytes::Bytes;
use sip_core::dialog::{
    Dialog, DialogConfig, DialogEffect, DialogEvent, DialogInput, Ended, OutboundCall, Reliable,
    SessionTimer,
};
use sip_core::endpoint::{EndpointConfig, EndpointEffect};
use sip_core::flow::Flow;
use sip_core::message::{Framing, Headers, Message, Request, Response, parse};
use sip_core::offer_answer::{CodecCapability, MediaAddress, MediaPolicy, Negotiation};
use sip_core::tokens::TokenSource;
use sip_core::value::{NameAddr, Uri};

use super::letters::{endpoint, invite, receive, request, udp};

pub const PEER: &str = "192.0.2.7:5060";

pub trait HasHeaders {
    fn fields(&self) -> &Headers;
}

impl HasHeaders for Request {
    fn fields(&self) -> &Headers {
        self.headers()
    }
}

impl HasHeaders for Response {
    fn fields(&self) -> &Headers {
        self.headers()
    }
}

/// A header's value.
pub fn text_of(message: &impl HasHeaders, name: &'static str) -> String {
    let value = message.fields().get(name);
    let value = value.unwrap_or_else(|| panic!("no {name}"));
    String::from_utf8_lossy(value).into_owned()
}

pub fn media() -> MediaAddress {
    MediaAddress {
        ip: "192.0.2.200".parse().expect("ip"),
        port: 20_000,
    }
}

pub fn config() -> DialogConfig {
    let policy = MediaPolicy {
        codecs: vec![CodecCapability {
            name: "PCMU".into(),
            payload_type: 0,
            clock_rate_hz: 8000,
            channels: 1,
            fmtp: None,
        }],
        telephone_event: Some(101),
        negotiation: Negotiation::Offerer,
        ptime_ms: 20,
        rtcp_mux: false,
        srtp: sip_core::offer_answer::SrtpPolicy::Off,
    };
    DialogConfig::new("192.0.2.200", 5060, policy)
}

/// What a dialog said in one go.
#[derive(Debug, Default)]
pub struct Said {
    pub sent: Vec<(Flow, Message)>,
    pub events: Vec<DialogEvent>,
}

impl Said {
    pub fn of(dialog: &mut Dialog) -> Self {
        let mut said = Self::default();
        while let Some(effect) = dialog.poll_effect() {
            match effect {
                DialogEffect::Transmit { flow, bytes } => {
                    let message = parse(&bytes, Framing::Stream).expect("sound");
                    said.sent.push((flow, message));
                }
                DialogEffect::Event(event) => said.events.push(event),
                DialogEffect::WantTarget => {}
            }
        }
        said
    }

    pub fn requests(&self) -> Vec<Request> {
        let requests = self.sent.iter().filter_map(|(_, message)| match message {
            Message::Request(request) => Some(request.clone()),
            Message::Response(_) => None,
        });
        requests.collect()
    }

    pub fn methods(&self) -> Vec<String> {
        let requests = self.requests().into_iter();
        requests
            .map(|request| request.method().to_string())
            .collect()
    }

    /// The first request of a method.
    pub fn request(&self, method: &str) -> Request {
        let mut all = self.requests().into_iter();
        all.find(|request| request.method().to_string() == method)
            .unwrap_or_else(|| panic!("no {method}: {self:?}"))
    }

    pub fn statuses(&self) -> Vec<u16> {
        let responses = self.sent.iter().filter_map(|(_, message)| match message {
            Message::Response(response) => Some(response.status()),
            Message::Request(_) => None,
        });
        responses.collect()
    }

    /// The first response with a status.
    pub fn response(&self, status: u16) -> Response {
        let found = self.sent.iter().find_map(|(_, message)| match message {
            Message::Response(response) if response.status() == status => Some(response.clone()),
            Message::Response(_) | Message::Request(_) => None,
        });
        found.unwrap_or_else(|| panic!("no {status}: {self:?}"))
    }

    pub fn ended(&self) -> Option<&Ended> {
        self.events.iter().find_map(|event| match event {
            DialogEvent::Ended(ended) => Some(&**ended),
            _ => None,
        })
    }
}

pub struct Stage {
    pub dialog: Dialog,
    pub now: Duration,
    /// The request that [`Stage::reply`] answers.
    pub invite: Request,
}

impl Stage {
    /// We are called; `extra` are lines of the INVITE, a lone `body: …` one replaces its offer.
    pub fn called(session_timer: SessionTimer, extra: &[&str]) -> Self {
        Self::called_with(session_timer, Reliable::default(), invite(extra))
    }

    pub fn called_with(session_timer: SessionTimer, reliable: Reliable, invite: Bytes) -> Self {
        let mut endpoint = endpoint(EndpointConfig::default());
        let config = DialogConfig {
            session_timer,
            reliable,
            ..config()
        };
        match receive(&mut endpoint, 0, udp(PEER), invite).pop() {
            Some(EndpointEffect::NewInvite(new)) => Self {
                invite: new.request.clone(),
                dialog: Dialog::uas(Duration::ZERO, config, TokenSource::new([3; 32]), *new),
                now: Duration::ZERO,
            },
            other => panic!("no call: {other:?}"),
        }
    }

    /// We call.
    pub fn calling(session_timer: SessionTimer) -> Self {
        Self::calling_with(session_timer, false)
    }

    pub fn calling_with(session_timer: SessionTimer, delayed_offer: bool) -> Self {
        let uri = |text: &str| text.parse::<Uri>().expect("uri");
        let call = OutboundCall {
            target: uri("sip:+15550100@192.0.2.7"),
            from: NameAddr::new(None, &uri("sip:us@192.0.2.200")).expect("from"),
            to: None,
            flow: udp(PEER),
            route: Vec::new(),
            media: media(),
            delayed_offer,
            headers: Vec::new(),
            ring_timeout: None,
            max_forwards: 69,
        };
        let config = DialogConfig {
            session_timer,
            ..config()
        };
        let mut dialog = Dialog::uac(Duration::ZERO, config, TokenSource::new([4; 32]), &call);
        let invite = Said::of(&mut dialog).request("INVITE");
        Self {
            dialog,
            now: Duration::ZERO,
            invite,
        }
    }

    pub fn said(&mut self) -> Said {
        Said::of(&mut self.dialog)
    }

    pub fn tell(&mut self, input: DialogInput) -> Said {
        self.dialog.handle(self.now, input);
        self.said()
    }

    pub fn answer(&mut self) -> Said {
        self.tell(DialogInput::Answer { media: media() })
    }

    pub fn ack(&mut self, cseq: u32) -> Said {
        let line = format!("CSeq: {cseq} ACK");
        let ms = self.now.as_millis() as u64;
        self.far(ms, "ACK", &[&line], "")
    }

    /// Time passes, step by step.
    pub fn at(&mut self, ms: u64) -> Said {
        let until = Duration::from_millis(ms);
        let mut all = Said::default();
        while let Some(next) = self.dialog.poll_timeout().filter(|next| *next <= until) {
            self.now = next.max(self.now);
            self.dialog.handle_timeout(self.now);
            let said = self.said();
            all.sent.extend(said.sent);
            all.events.extend(said.events);
        }
        self.now = until.max(self.now);
        all
    }

    /// A request of the far side inside the dialog.
    pub fn far(&mut self, at_ms: u64, method: &str, extra: &[&str], body: &str) -> Said {
        self.now = self.now.max(Duration::from_millis(at_ms));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let local = text(&self.dialog.id().local_tag);
        let to = format!("To: <sip:1000@192.0.2.200>;tag={local}");
        let call_id = format!("Call-ID: {}", text(&self.dialog.id().call_id));
        let marks: u32 = extra
            .iter()
            .flat_map(|line| line.bytes())
            .map(u32::from)
            .sum();
        let via = format!("Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK{method}{at_ms}{marks}");
        let mut lines = vec![to.as_str(), via.as_str(), call_id.as_str()];
        lines.extend(extra);
        let bytes = request(method, "sip:1000@192.0.2.200:5060", &lines, body);
        self.deliver(&bytes)
    }

    pub fn deliver(&mut self, bytes: &Bytes) -> Said {
        let message = Box::new(parse(bytes, Framing::Datagram).expect("sound"));
        let flow = udp(PEER);
        self.tell(DialogInput::Received { flow, message })
    }

    /// A response to `invite`, which may be any request of ours.
    pub fn reply(&mut self, status: u16, tag: &str, more: &str, body: &str) -> Said {
        let request = self.invite.clone();
        self.reply_to(&request, status, tag, more, body)
    }

    pub fn reply_to(
        &mut self,
        request: &Request,
        status: u16,
        tag: &str,
        more: &str,
        body: &str,
    ) -> Said {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let kind = match body {
            "" => "",
            _ => "Content-Type: application/sdp\r\n",
        };
        let to = match request.to().tag() {
            Some(_) => text(request.to().raw()),
            None => format!("{};tag={tag}", text(request.to().raw())),
        };
        let bytes = Bytes::from(format!(
            "SIP/2.0 {status} x\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {} {}\r\n\
             {more}{kind}Content-Length: {}\r\n\r\n{body}",
            text(request.via().raw()),
            text(request.from().raw()),
            text(request.call_id()),
            request.cseq(),
            request.method(),
            body.len(),
        ));
        self.deliver(&bytes)
    }
}
