//! A SIP profile as the running server uses it: settings turned into what the cores want.

mod opus_terms;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use media_core::codec;
use settings::{
    Dtmf, ExternalIp, Negotiation as SettingsNegotiation, Prack, Srtp,
    Transport as SettingsTransport,
};
use sip_core::{
    dialog::{DialogConfig, Reliable, SessionTimer},
    endpoint::EndpointConfig,
    flow::{Flow, Network, Transport},
    offer_answer::{CodecCapability, MediaPolicy, Negotiation, SrtpPolicy},
};

/// What we call ourselves in SIP.
pub(crate) const SERVER: &str = concat!("Sidetone/", env!("CARGO_PKG_VERSION"));
/// Our payload type for telephone-event where we are the one to choose (RFC 4733).
const TELEPHONE_EVENT: u8 = 101;

/// See the module.
#[derive(Debug)]
pub struct Profile {
    /// Its name (`external`), shared by everything that mentions it.
    pub name: Arc<str>,
    /// What the operator wrote.
    pub settings: settings::Profile,
    /// What a STUN server said last.
    learned: ArcSwapOption<IpAddr>,
    maddr_from: Arc<[Network]>,
}

impl Profile {
    /// Wraps what the operator wrote.
    pub fn new(settings: settings::Profile) -> Arc<Self> {
        let trunks = settings.trunks.iter().flat_map(|trunk| &trunk.sources);
        let networks = trunks.map(|net| Network {
            address: net.network(),
            bits: net.length(),
        });
        Arc::new(Self {
            name: settings.name.as_str().into(),
            learned: ArcSwapOption::empty(),
            maddr_from: networks.collect(),
            settings,
        })
    }

    /// Where it listens.
    pub fn listen(&self) -> Vec<(Transport, SocketAddr)> {
        let listen = self.settings.listen.iter();
        listen
            .map(|l| (transport_of(l.transport), l.addr))
            .collect()
    }

    /// Contact, media policy and timers of a dialog on `flow`.
    pub fn dialog_config(&self, flow: &Flow) -> DialogConfig {
        let (contact_host, contact_port) = self.contact(flow);
        DialogConfig {
            contact_host,
            contact_port,
            user_agent: SERVER.into(),
            force_rport: true,
            maddr_from: self.maddr_from.clone(),
            session_timer: SessionTimer {
                expires_s: self.settings.session_timer.expires,
                min_s: self.settings.session_timer.min,
            },
            reliable: self.reliable(),
            ..DialogConfig::new(String::new(), 0, self.media_policy())
        }
    }

    /// What is answered without a dialog says the same about us as what is answered with one.
    pub fn endpoint_config(&self) -> EndpointConfig {
        EndpointConfig {
            registrar: self.settings.auth == settings::Auth::Digest,
            server: SERVER.into(),
            force_rport: true,
            maddr_from: self.maddr_from.clone(),
            reliable: self.reliable(),
            min_session_s: self.settings.session_timer.min,
            ..EndpointConfig::default()
        }
    }

    fn reliable(&self) -> Reliable {
        match self.settings.prack {
            Prack::Never => Reliable::Never,
            Prack::Asked => Reliable::WhenAsked,
            Prack::Always => Reliable::Always,
        }
    }

    /// Host and port of our Contact and Via on `flow`: of the listener of its transport and address family, never of another.
    pub fn contact(&self, flow: &Flow) -> (String, u16) {
        (self.announced_ip(flow).to_string(), self.contact_port(flow))
    }

    /// A connection we opened has a throw-away local port: the contact is where we listen. Without a listener of that
    /// transport only the connection itself leads back to us.
    fn contact_port(&self, flow: &Flow) -> u16 {
        if flow.transport == Transport::Udp {
            return flow.local.port();
        }
        let listen = self.listen();
        let same = |l: &&(Transport, SocketAddr)| {
            l.0 == flow.transport && l.1.is_ipv4() == flow.local.is_ipv4()
        };
        let mut ports = listen.iter().filter(same).map(|l| l.1.port());
        let own = |port: &u16| *port == flow.local.port() || *port == 0;
        if ports.clone().any(|port| own(&port)) {
            return flow.local.port();
        }
        ports.next().unwrap_or(flow.local.port())
    }

    /// The address media of a call on `flow` is sent from and announced with.
    pub fn media_ip(&self, flow: &Flow) -> IpAddr {
        flow.local.ip()
    }

    /// The ports media may use.
    pub const fn media_ports(&self) -> RangeInclusive<u16> {
        self.settings.rtp.first_port..=self.settings.rtp.last_port
    }

    /// The address that the far end of `flow` reaches us at, for Via, Contact and SDP: the external one, unless it lies in
    /// one of the local networks.
    pub fn announced_ip(&self, flow: &Flow) -> IpAddr {
        let remote = flow.remote.ip();
        let local = self.settings.local_nets.iter();
        let near = remote.is_loopback() || local.clone().any(|net| net.contains(remote));
        let family = flow.local.is_ipv4();
        let external = self.external_ip();
        let external = external.filter(|ip| !near && ip.is_ipv4() == family);
        external.unwrap_or_else(|| own_ip(flow))
    }

    /// The external address: written, or learned from a STUN server by now.
    pub fn external_ip(&self) -> Option<IpAddr> {
        match &self.settings.external_ip {
            Some(ExternalIp::Fixed(ip)) => Some(*ip),
            Some(ExternalIp::Stun(_)) => self.learned.load().as_deref().copied(),
            None => None,
        }
    }

    /// A STUN server said where we are; whether that is news.
    pub fn learn(&self, ip: IpAddr) -> bool {
        let before = self.learned.swap(Some(Arc::new(ip)));
        before.as_deref() != Some(&ip)
    }

    /// Whether digits come and go as tones in the sound.
    pub fn keys_in_band(&self) -> bool {
        self.settings.dtmf == Dtmf::Inband
    }

    /// A codec as it is offered here.
    fn capability(&self, name: &str) -> Option<CodecCapability> {
        let mut codec = capability(name)?;
        if is_opus(&codec.name) {
            let usual = codec.fmtp.take().unwrap_or_default();
            codec.fmtp = Some(opus_terms::asked(&usual, &self.settings.opus));
        }
        Some(codec)
    }

    /// What the far side asks of our encoder, within what is allowed here.
    pub fn heeded(&self, codec: &str, fmtp: Option<&str>) -> Option<String> {
        if !is_opus(codec) {
            return fmtp.map(str::to_owned);
        }
        let theirs = fmtp.unwrap_or_default();
        Some(opus_terms::allowed(theirs, &self.settings.opus))
    }

    fn media_policy(&self) -> MediaPolicy {
        let names = self.settings.codecs.iter();
        MediaPolicy {
            codecs: names.filter_map(|name| self.capability(name)).collect(),
            telephone_event: (self.settings.dtmf == Dtmf::Rfc4733).then_some(TELEPHONE_EVENT),
            negotiation: match self.settings.negotiation {
                SettingsNegotiation::Offerer => Negotiation::Offerer,
                SettingsNegotiation::Local => Negotiation::Local,
            },
            ptime_ms: 20,
            rtcp_mux: true,
            srtp: match self.settings.srtp {
                Srtp::Off => SrtpPolicy::Off,
                Srtp::Optional => SrtpPolicy::Optional,
                Srtp::Required => SrtpPolicy::Required,
            },
        }
    }

    /// The same while the far side holds the call.
    pub fn hold_timeouts(&self) -> media_core::leg::Timeouts {
        let held = self.settings.rtp.hold_timeout;
        media_core::leg::Timeouts {
            never: held,
            stopped: held,
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

/// The transport as the core knows it.
pub fn transport_of(transport: SettingsTransport) -> Transport {
    match transport {
        SettingsTransport::Udp => Transport::Udp,
        SettingsTransport::Tcp => Transport::Tcp,
        SettingsTransport::Tls => Transport::Tls,
        SettingsTransport::Ws => Transport::Ws,
        SettingsTransport::Wss => Transport::Wss,
    }
}

/// Our own address towards the far end; a socket on all addresses (`0.0.0.0`) sends from one of them.
fn own_ip(flow: &Flow) -> IpAddr {
    let local = flow.local.ip();
    if !local.is_unspecified() {
        return local;
    }
    routed_ip(local, flow.remote).unwrap_or(local)
}

/// The address that the kernel would send from. Nothing is sent.
fn routed_ip(any: IpAddr, remote: SocketAddr) -> Option<IpAddr> {
    let probe = UdpSocket::bind((any, 0)).ok()?;
    probe.connect(remote).ok()?;
    Some(probe.local_addr().ok()?.ip())
}

/// The codec table's row as offer/answer wants it: the one place where the two meet.
pub(crate) fn capability(name: &str) -> Option<CodecCapability> {
    let spec = codec::by_name(name)?;
    Some(CodecCapability {
        name: spec.name.into(),
        payload_type: spec.offered_pt,
        clock_rate_hz: spec.rtp_clock,
        channels: spec.channels,
        fmtp: spec.fmtp.map(str::to_owned),
    })
}

fn is_opus(codec: &str) -> bool {
    codec.eq_ignore_ascii_case(codec::libopus::SPEC.name)
}

/// The codec names this server has, for `settings`.
pub fn codec_names() -> Vec<&'static str> {
    codec::ALL.iter().map(|spec| spec.name).collect()
}
