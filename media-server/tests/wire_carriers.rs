//! Calls in the shapes that carriers send, each to its own trunk: the right trunk, number, identity
//! and SDP answer. Shapes after public documentation and traces; every number, account and address
//! is a placeholder.

#[path = "rig/node.rs"]
mod rig;

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use egress::Request;
use rig::{Office, Site};
use serde_json::{Value, json};

/// A phone of bytes: sends what it is told and reads what comes.
struct Wire {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Wire {
    fn to(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self { socket, server }
    }

    fn here(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
    }

    /// The first final response.
    fn answer(&self) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        let mut buffer = [0; 8_192];
        while Instant::now() < until {
            let Ok(length) = self.socket.recv(&mut buffer) else {
                continue;
            };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with("SIP/2.0 ") && !text.starts_with("SIP/2.0 1") {
                return text;
            }
        }
        panic!("no answer");
    }

    /// Sends an INVITE, confirms whatever comes, hangs up what was answered; the final response.
    fn call(&self, invite: &Invite) -> String {
        self.send(&invite.text(self.here()));
        let answer = self.answer();
        let to = header(&answer, "To").unwrap();
        if answer.starts_with("SIP/2.0 200") {
            self.send(&invite.within("ACK", 1, &to, self.here()));
            self.send(&invite.within("BYE", 2, &to, self.here()));
            assert!(self.answer().contains("BYE"), "the BYE is answered");
        } else {
            self.send(&invite.refused_ack(&to, self.here()));
        }
        answer
    }
}

fn header(message: &str, name: &str) -> Option<String> {
    let mut lines = message.lines();
    let found = lines.find(|line| {
        let label = line.split(':').next().unwrap_or_default();
        label.eq_ignore_ascii_case(name)
    });
    Some(found?.split_once(':')?.1.trim().to_owned())
}

/// An INVITE: what differs from carrier to carrier.
struct Invite {
    carrier: &'static str,
    uri: String,
    from: &'static str,
    call_id: String,
    /// Whole lines, each with its end.
    headers: String,
    sdp: String,
}

const SDP: &str = "v=0\r\no=root 1821 1821 IN IP4 172.25.0.9\r\ns=Media Gateway\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 16766 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-16\r\na=ptime:20\r\na=maxptime:20\r\na=sendrecv\r\n";

impl Invite {
    fn new(carrier: &'static str, uri: &str, from: &'static str, headers: &str) -> Self {
        Self {
            carrier,
            uri: uri.to_owned(),
            from,
            call_id: format!("{carrier}-{}@192.0.2.1", rig::free_port()),
            headers: headers.to_owned(),
            sdp: SDP.to_owned(),
        }
    }

    fn text(&self, here: SocketAddr) -> String {
        format!(
            "INVITE {uri} SIP/2.0\r\n{vias}Max-Forwards: 66\r\nFrom: {from};tag=far1\r\nTo: <{uri}>\r\nCall-ID: {id}\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:gw@{here}>\r\nUser-Agent: {carrier} gateway\r\n\
             Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY\r\nSupported: timer\r\n{extra}\
             Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}",
            uri = self.uri,
            vias = self.vias("in", here),
            from = self.from,
            id = self.call_id,
            carrier = self.carrier,
            extra = self.headers,
            length = self.sdp.len(),
            sdp = self.sdp,
        )
    }

    /// The edge, and behind it an element at a private address.
    fn vias(&self, branch: &str, here: SocketAddr) -> String {
        let id = &self.call_id;
        let behind = match self.carrier {
            "whatsapp" => {
                "Via: SIP/2.0/TLS [2001:db8::7]:5061;branch=z9hG4bKw2;received=2001:db8::7;alias\r\n"
            }
            _ => "Via: SIP/2.0/UDP 172.18.4.2:5060;rport=5060;branch=z9hG4bKinner\r\n",
        };
        format!("Via: SIP/2.0/UDP {here};branch=z9hG4bK{branch}{id};rport\r\n{behind}")
    }

    fn within(&self, method: &str, cseq: u32, to: &str, here: SocketAddr) -> String {
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{method}{id};rport\r\nMax-Forwards: 70\r\n\
             From: {from};tag=far1\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
            uri = self.uri,
            id = self.call_id,
            from = self.from,
        )
    }

    /// The ACK for a refusal belongs to the INVITE's transaction (RFC 3261 §17.1.1.3).
    fn refused_ack(&self, to: &str, here: SocketAddr) -> String {
        format!(
            "ACK {uri} SIP/2.0\r\n{vias}Max-Forwards: 70\r\nFrom: {from};tag=far1\r\nTo: {to}\r\nCall-ID: {id}\r\n\
             CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            uri = self.uri,
            vias = self.vias("in", here),
            from = self.from,
            id = self.call_id,
        )
    }
}

const PLAN: &str = "context = \"public\"\n\n[[route]]\nname = \"echo\"\nwhen = { to = '\\+.*' }\n\
    do = [{ log = \"from {from} by {trunk}\" }, \"answer\", \"echo\"]\n";

/// A server with a profile `external`, and where that listens.
fn site(trunks: &str) -> (Site, SocketAddr) {
    let site = Site::new("", None);
    let sip = SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
    let first = site.first_rtp + 4_000;
    site.write("dialplans/public.toml", PLAN);
    site.write(
        "profiles/external.toml",
        &format!(
            "listen = [\"udp://{sip}\"]\ncontext = \"public\"\nauth = \"acl\"\ncodecs = [\"PCMU\", \"PCMA\"]\n\
             rtp = {{ ports = \"{first}-{}\" }}\n{trunks}",
            first + 199
        ),
    );
    (site, sip)
}

fn trunk(carrier: &str, more: &str) -> String {
    format!(
        "\n[[trunk]]\nname = \"{carrier}\"\ncarrier = \"{carrier}\"\nsources = [\"127.0.0.1/32\"]\n{more}\n"
    )
}

/// What a carrier's call must come to.
struct Expected {
    to: &'static str,
    from: &'static str,
    identity: Option<Value>,
}

/// Calls, and compares the record with what is expected.
async fn check(office: &Office, server: SocketAddr, invite: Invite, expected: Expected) {
    let wire = Wire::to(server);
    let id = json!(invite.call_id);
    let carrier = invite.carrier;
    let answer = tokio::task::spawn_blocking(move || wire.call(&invite)).await;
    let answer = answer.unwrap();
    assert!(answer.starts_with("SIP/2.0 200"), "{carrier}: {answer}");
    let media: Vec<&str> = answer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert!(
        media.len() == 1 && media[0].contains("RTP/AVP 0"),
        "{carrier}: {answer}"
    );
    let call = office.ended(&id).await;
    assert_eq!(call["trunk"], carrier, "{call:#}");
    assert_eq!(
        (&call["to"], &call["from"]),
        (&json!(expected.to), &json!(expected.from)),
        "{carrier}"
    );
    let identified = office.facts(&call, "identified").await;
    assert_eq!(
        identified.into_iter().next(),
        expected.identity,
        "{carrier}"
    );
    let logged = office.facts(&call, "logged").await;
    let line = format!("from {} by {carrier}", expected.from);
    assert_eq!(
        logged,
        [json!({ "line": line })],
        "{carrier}: the dialplan sees the same"
    );
}

fn identity(name: Option<&str>, hidden: bool, by: Option<(&str, &str)>) -> Option<Value> {
    let mut identity = json!({ "hidden": hidden });
    if let Some(name) = name {
        identity["name"] = json!(name);
    }
    if let Some((by, reason)) = by {
        identity["forwarded_by"] = json!(by);
        identity["forwarded_reason"] = json!(reason);
    }
    Some(identity)
}

/// Told apart by account, by host, by national numbers.
fn from_america(server: SocketAddr) -> Vec<(Invite, Expected)> {
    let twilio = Invite::new(
        "twilio",
        &format!("sip:+15550100002@{server}"),
        "\"+15550100001\" <sip:+15550100001@carrier.pstn.example;user=phone>",
        "Diversion: <sip:+15550100009@twilio.example>;reason=unconditional\r\nP-Asserted-Identity: <sip:+15550100001@192.0.2.1>\r\n\
         X-Twilio-AccountSid: AC00000000000000000000000000000001\r\nX-Twilio-CallSid: CA00000000000000000000000000000001\r\n\
         X-Twilio-VerStat: TN-Validation-Passed-A\r\n",
    );
    let twilio = (
        twilio,
        Expected {
            to: "+15550100002",
            from: "+15550100001",
            identity: identity(None, false, Some(("+15550100009", "unconditional"))),
        },
    );

    let telnyx = Invite::new(
        "telnyx",
        "sip:15550100002@telnyx.example.com",
        "\"Ann Example\" <sip:15550100001@192.0.2.1>",
        "X-call_leg_id: 00000000-0000-0000-0000-000000000001\r\nX-call_session_id: 00000000-0000-0000-0000-000000000002\r\n",
    );
    let telnyx = (
        telnyx,
        Expected {
            to: "+15550100002",
            from: "+15550100001",
            identity: identity(Some("Ann Example"), false, None),
        },
    );

    let voipms = Invite::new(
        "voipms",
        "sip:5550100002@voipms.example.com",
        "\"5550100001\" <sip:5550100001@voipms.invalid>",
        "Remote-Party-ID: \"BOB EXAMPLE\" <sip:5550100001@192.0.2.2>;party=calling;privacy=off;screen=no\r\n",
    );
    let voipms = (
        voipms,
        Expected {
            to: "+15550100002",
            from: "+15550100001",
            identity: identity(Some("BOB EXAMPLE"), false, None),
        },
    );

    vec![twilio, telnyx, voipms]
}

/// Told apart by the host that they name.
fn by_host() -> Vec<(Invite, Expected)> {
    let vonage = Invite::new(
        "vonage",
        "sip:15550100002@vonage.example.com;user=phone",
        "<sip:15550100001@sip-us.vonage.invalid>",
        "",
    );
    let vonage = (
        vonage,
        Expected {
            to: "+15550100002",
            from: "+15550100001",
            identity: None,
        },
    );

    let flowroute = Invite::new(
        "flowroute",
        "sip:15550100002@flowroute.example.com",
        "<sip:+15550100003@192.0.2.3>",
        "P-Asserted-Identity: \"FLOW\" <sip:+15550100001@192.0.2.3>\r\n",
    );
    let flowroute = (
        flowroute,
        Expected {
            to: "+15550100002",
            from: "+15550100001",
            identity: identity(Some("FLOW"), false, None),
        },
    );

    let signalwire = Invite::new(
        "signalwire",
        "sip:+15550100002@signalwire.example.com",
        "\"Anonymous\" <sip:anonymous@anonymous.invalid>",
        "P-Asserted-Identity: <tel:+1-555-010-0001>\r\nPrivacy: id\r\n",
    );
    let signalwire = (
        signalwire,
        Expected {
            to: "+15550100002",
            from: "+15550100001",
            identity: identity(None, true, None),
        },
    );

    vec![vonage, flowroute, signalwire]
}

/// Forwarded, and with everything that makes a request long.
fn from_far() -> Vec<(Invite, Expected)> {
    let bandwidth = Invite::new(
        "bandwidth",
        "sip:+15550100002@bandwidth.example.com",
        "<sip:+15550100001;npdi@192.0.2.4>",
        "P-Asserted-Identity: <sip:+15550100001;oli=0@192.0.2.4>\r\nHistory-Info: <sip:+15550100008@192.0.2.4;cause=486>;index=1, \
         <sip:+15550100002@192.0.2.4>;index=1.1\r\n",
    );
    let bandwidth = (
        bandwidth,
        Expected {
            to: "+15550100002",
            from: "+15550100001",
            identity: identity(None, false, Some(("+15550100008", "486"))),
        },
    );

    let mut whatsapp = Invite::new(
        "whatsapp",
        "sip:+15550100002@whatsapp.example.com;transport=tls",
        "<sip:+15550100001@wa.meta.invalid>",
        "Record-Route: <sip:edge1.meta.invalid:5061;transport=tls;lr>, <sip:edge2.meta.invalid:8061;lr>\r\n\
         Record-Route: <sip:edge3.meta.invalid:9061;lr>\r\nRecord-Route: <sip:127.0.0.1:1;lr>\r\n",
    );
    whatsapp.headers = whatsapp
        .headers
        .replace("127.0.0.1:1;lr", "edge4.meta.invalid:7061;lr");
    whatsapp.call_id = format!(
        "outgoing:wacid.{}{}",
        "HBgMNTU1MDEwMDAwMDEVAgARGBI5".repeat(4),
        rig::free_port()
    );
    whatsapp.sdp = SDP
        .replace("RTP/AVP 0 8 101", "RTP/AVP 111 0 126")
        .replace("a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n",
            "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1\r\na=rtpmap:126 telephone-event/8000\r\n");
    let whatsapp = (
        whatsapp,
        Expected {
            to: "+15550100002",
            from: "+15550100001",
            identity: None,
        },
    );

    vec![bandwidth, whatsapp]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_invite_of_each_carrier_finds_its_trunk_number_and_identity() {
    let trunks = [
        trunk(
            "twilio",
            "headers = { X-Twilio-AccountSid = \"AC00000000000000000000000000000001\" }",
        ),
        trunk("telnyx", "hosts = [\"telnyx.example.com\"]"),
        trunk(
            "voipms",
            "hosts = [\"voipms.example.com\"]\ncountry = \"CA\"",
        ),
        trunk("vonage", "hosts = [\"vonage.example.com\"]"),
        trunk(
            "flowroute",
            "hosts = [\"flowroute.example.com\"]\ncountry = \"US\"",
        ),
        trunk("signalwire", "hosts = [\"signalwire.example.com\"]"),
        trunk("bandwidth", "hosts = [\"bandwidth.example.com\"]"),
        trunk("whatsapp", "hosts = [\"whatsapp.example.com\"]"),
    ];
    // Nothing but the header tells Twilio's call apart: its host is everybody's, so the others ask for theirs.
    let (site, server) = site(&trunks.concat().replace("proxy", "#proxy"));
    let node = site.start().await;
    let office = site.office();

    let shapes = [from_america(server), by_host(), from_far()]
        .into_iter()
        .flatten();
    for (invite, expected) in shapes {
        check(&office, server, invite, expected).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_told_apart_is_refused_and_told_why() {
    let trunks = [
        trunk("twilio", "headers = { X-Twilio-AccountSid = \"AC1\" }"),
        trunk("telnyx", "hosts = [\"shared.example.com\"]"),
        trunk("bandwidth", "hosts = [\"shared.example.com\"]"),
    ];
    let (site, server) = site(&trunks.concat());
    let node = site.start().await;
    let call = |uri: &str, headers: &str| {
        let invite = Invite::new("twilio", uri, "<sip:+15550100001@192.0.2.1>", headers);
        tokio::task::spawn_blocking(move || Wire::to(server).call(&invite))
    };
    let uri = format!("sip:+15550100002@{server}");
    let stranger = call(&uri, "X-Twilio-AccountSid: AC2\r\n").await.unwrap();
    assert!(
        stranger.starts_with("SIP/2.0 403"),
        "another customer's account: {stranger}"
    );
    let unmarked = call(&uri, "").await.unwrap();
    assert!(unmarked.starts_with("SIP/2.0 403"), "{unmarked}");
    let both = call("sip:+15550100002@shared.example.com", "")
        .await
        .unwrap();
    assert!(both.starts_with("SIP/2.0 503 ambiguous_trunk"), "{both}");
    assert!(header(&both, "Retry-After").is_some(), "{both}");
    let key = call(
        &format!("sip:agent:sk_live_1@{server}"),
        "X-Twilio-AccountSid: AC1\r\n",
    )
    .await
    .unwrap();
    assert!(key.starts_with("SIP/2.0 403 A Key In The URI"), "{key}");
    assert!(!key.contains("Retry-After"), "{key}");
    node.stop().await;
}

/// The demo tenant, in which a test can make things.
async fn tenant(office: &Office) -> String {
    let tenants = office.get("/v1/tenants").await;
    tenants["data"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_of_the_office_takes_calls_for_its_tenants_numbers_alone() {
    let (site, server) = site("\n[[trunk]]\nname = \"elsewhere\"\nsources = [\"192.0.2.0/24\"]\n");
    let node = site.start().await;
    let office = site.office();
    let tenant = tenant(&office).await;
    let agents = office.get("/v1/agents").await;
    let number = json!({ "e164": "+33100000042", "agent_id": agents["data"][0]["id"] });
    let made = office.post_for(&tenant, "/v1/numbers", &number).await;
    assert!(made["id"].is_string(), "{made}");
    let body = json!({ "name": "carrier", "config": {
        "sources": ["127.0.0.1/32"], "headers": { "X-Account": "77" }, "country": "FR",
        "numbers": { "in": "national" }, "proxy": "127.0.0.1:9",
    } });
    let trunk = office.post_for(&tenant, "/v1/trunks", &body).await;
    assert!(trunk["id"].is_string(), "{trunk}");
    let name = "demo/carrier";
    until("the trunk has come to the switch", || {
        node.services.trunk_book.current().line(name).is_some()
    })
    .await;

    let call = |to: &str| {
        let uri = format!("sip:{to}@{server}");
        let invite = Invite::new(
            "carrier",
            &uri,
            "<sip:0611223344@192.0.2.1>",
            "X-Account: 77\r\n",
        );
        let id = json!(invite.call_id);
        (
            id,
            tokio::task::spawn_blocking(move || Wire::to(server).call(&invite)),
        )
    };
    let (id, answer) = call("0100000042");
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    let record = office.ended(&id).await;
    assert_eq!(
        (&record["trunk"], &record["to"]),
        (&json!(name), &json!("+33100000042")),
        "{record:#}"
    );
    assert_eq!(
        (&record["from"], &record["tenant_id"]),
        (&json!("+33611223344"), &json!(tenant)),
        "{record:#}"
    );
    let (_, answer) = call("0100000043");
    let answer = answer.await.unwrap();
    assert!(
        answer.starts_with("SIP/2.0 404"),
        "a number of nobody's: {answer}"
    );
    let states = || node.services.trunks_of("external");
    until("the trunk is asked whether it is there", || {
        states().iter().any(|(trunk, _)| trunk == name)
    })
    .await;

    let path = format!(
        "{}/v1/trunks/{}",
        office.base,
        trunk["id"].as_str().unwrap()
    );
    office
        .send(Request::patch(path).json(&json!({ "active": false })))
        .await;
    until("the trunk is gone", || {
        node.services.trunk_book.current().line(name).is_none()
    })
    .await;
    until("nobody asks it any more", || {
        states().iter().all(|(trunk, _)| trunk != name)
    })
    .await;
    let (_, answer) = call("0100000042");
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("SIP/2.0 403"), "{answer}");
    node.stop().await;
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < limit, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
