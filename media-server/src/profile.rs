//! A SIP profile as the running server uses it: settings turned into what the cores want.

use std::{net::IpAddr, sync::Arc, time::Duration};

use media_core::codec;
use settings::{Auth, Dtmf, Negotiation as SettingsNegotiation, Transport as SettingsTransport};
use sip_core::{
    dialog::DialogConfig,
    endpoint::EndpointConfig,
    flow::{Flow, Transport},
    offer_answer::{CodecCapability, MediaPolicy, Negotiation},
};

/// What we call ourselves in SIP.
const SERVER: &str = concat!("Sidetone/", env!("CARGO_PKG_VERSION"));
/// Our payload type for telephone-event where we are the one to choose (RFC 4733).
const TELEPHONE_EVENT: u8 = 101;

/// See the module.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name (`external`), shared by everything that mentions it.
    pub name: Arc<str>,
    /// What the operator wrote.
    pub settings: settings::Profile,
}

impl Profile {
    /// Wraps what the operator wrote.
    pub fn new(settings: settings::Profile) -> Arc<Self> {
        Arc::new(Self {
            name: settings.name.as_str().into(),
            settings,
        })
    }

    /// Where it listens.
    pub fn listen(&self) -> Vec<(Transport, std::net::SocketAddr)> {
        let listen = self.settings.listen.iter();
        listen
            .map(|l| match l.transport {
                SettingsTransport::Udp => (Transport::Udp, l.addr),
                SettingsTransport::Tcp => (Transport::Tcp, l.addr),
            })
            .collect()
    }

    /// Whether an INVITE from `source` may come in. Without authentication only loopback may
    /// (`check` refuses the profile otherwise); with an ACL only the trunks' networks.
    pub fn admits(&self, source: IpAddr) -> bool {
        match self.settings.auth {
            Auth::None => source.is_loopback() || self.settings.trunk_of(source).is_some(),
            Auth::Acl => self.settings.trunk_of(source).is_some(),
        }
    }

    /// The trunk an INVITE came over.
    pub fn trunk_of(&self, source: IpAddr) -> Option<String> {
        self.settings.trunk_of(source).map(|t| t.name.clone())
    }

    /// Contact, media policy and timers of a dialog on `flow`.
    pub fn dialog_config(&self, flow: &Flow) -> DialogConfig {
        let host = self.settings.external_ip.unwrap_or(flow.local.ip());
        DialogConfig {
            contact_host: host.to_string(),
            contact_port: self.contact_port(flow),
            user_agent: SERVER.into(),
            force_rport: true,
            ..DialogConfig::new(String::new(), 0, self.media_policy())
        }
    }

    /// What is answered without a dialog says the same about us as what is answered with one.
    pub fn endpoint_config(&self) -> EndpointConfig {
        EndpointConfig {
            server: SERVER.into(),
            force_rport: true,
            ..EndpointConfig::default()
        }
    }

    /// A connection we opened has a throw-away local port: the contact is where we listen.
    fn contact_port(&self, flow: &Flow) -> u16 {
        let same = |l: &&(Transport, std::net::SocketAddr)| l.0 == flow.transport;
        let listen = self.listen();
        let mut ports = listen.iter().filter(same).map(|l| l.1.port());
        match flow.transport {
            Transport::Udp => flow.local.port(),
            Transport::Tcp => ports
                .clone()
                .find(|port| *port == flow.local.port() || *port == 0)
                .map(|_| flow.local.port())
                .or_else(|| ports.next())
                .unwrap_or(flow.local.port()),
        }
    }

    /// The address media of a call on `flow` is sent from and announced with.
    pub fn media_ip(&self, flow: &Flow) -> IpAddr {
        flow.local.ip()
    }

    /// What SDP may announce instead of the bound address.
    pub fn announced_ip(&self, bound: IpAddr) -> IpAddr {
        self.settings.external_ip.unwrap_or(bound)
    }

    fn media_policy(&self) -> MediaPolicy {
        let names = self.settings.codecs.iter();
        MediaPolicy {
            codecs: names.filter_map(|name| capability(name)).collect(),
            telephone_event: (self.settings.dtmf == Dtmf::Rfc4733).then_some(TELEPHONE_EVENT),
            negotiation: match self.settings.negotiation {
                SettingsNegotiation::Offerer => Negotiation::Offerer,
                SettingsNegotiation::Local => Negotiation::Local,
            },
            ptime_ms: 20,
            rtcp_mux: false,
        }
    }

    /// How long RTP may stay away: never came, and stopped.
    pub fn media_timeouts(&self) -> media_core::leg::Timeouts {
        let stopped = self.settings.rtp.timeout;
        media_core::leg::Timeouts {
            never: stopped.min(Duration::from_secs(15)),
            stopped,
        }
    }
}

/// The codec table's row as offer/answer wants it: the one place where the two meet.
fn capability(name: &str) -> Option<CodecCapability> {
    let spec = codec::by_name(name)?;
    Some(CodecCapability {
        name: spec.name.into(),
        payload_type: spec.static_pt.unwrap_or(96),
        clock_rate_hz: spec.rtp_clock,
        channels: 1,
        fmtp: None,
    })
}

/// The codec names this server has, for `settings`.
pub fn codec_names() -> Vec<&'static str> {
    codec::ALL.iter().map(|spec| spec.name).collect()
}
