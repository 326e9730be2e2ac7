//! One dialog on sockets of its own, driven by one task.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use sip_core::{
    dialog::{Dialog, DialogConfig, DialogEffect, DialogEvent, DialogInput, OutboundCall},
    endpoint::{Endpoint, EndpointConfig, EndpointEffect, EndpointInput},
    flow::{Flow, Transport},
    framing::{Frame, StreamFramer},
    locate::{Ability, Target, Wanted},
    tokens::TokenSource,
    value::Uri,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use super::args::Args;
use crate::{
    clock::Clock,
    entropy,
    next_hop::NextHop,
    wire::{Tls, tls},
};

/// The phone's signalling.
pub(super) struct Line {
    clock: Clock,
    socket: Socket,
    flow: Flow,
    endpoint: Endpoint,
    dialog: Option<Dialog>,
    tokens: TokenSource,
    /// What still has to go out, in order: whoever waits for an event may stop waiting at any moment.
    unsent: VecDeque<(Flow, Bytes)>,
}

enum Socket {
    Udp(UdpSocket),
    Stream(Box<dyn Stream>, StreamFramer),
}

/// TCP, or TLS over it.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Line {
    /// Opens a socket towards the target: the first of its places (RFC 3263) that takes a connection.
    pub(super) async fn open(target: &Uri, args: &Args, clock: Clock) -> anyhow::Result<Self> {
        let (socket, local, place) = reach(target, args).await?;
        let flow = Flow {
            transport: place.transport,
            local,
            remote: place.remote,
            connection: u64::from(place.transport.is_stream()),
        };
        let mut tokens = TokenSource::new(entropy::bytes());
        Ok(Self {
            clock,
            socket,
            flow,
            endpoint: Endpoint::new(EndpointConfig::default(), tokens.fork()),
            dialog: None,
            tokens,
            unsent: VecDeque::new(),
        })
    }

    /// The socket and the far address.
    pub(super) fn flow(&self) -> Flow {
        self.flow
    }

    /// Sends the INVITE.
    pub(super) fn dial(&mut self, config: DialogConfig, call: &OutboundCall) -> anyhow::Result<()> {
        let tokens = self.tokens.fork();
        let dialog = Dialog::uac(self.clock.now(), config, tokens, call);
        let adopt = EndpointInput::Adopt(dialog.id().clone());
        self.endpoint.handle(self.clock.now(), adopt);
        self.dialog = Some(dialog);
        Ok(())
    }

    /// The SIP Call-ID of the call.
    pub(super) fn call_id(&self) -> String {
        let id = self
            .dialog
            .as_ref()
            .map(|dialog| dialog.id().call_id.clone());
        id.map_or_else(String::new, |id| String::from_utf8_lossy(&id).into_owned())
    }

    /// Tells the dialog.
    pub(super) fn input(&mut self, input: DialogInput) {
        let now = self.clock.now();
        if let Some(dialog) = &mut self.dialog {
            dialog.handle(now, input);
        }
    }

    /// The next event of the dialog. Cancel-safe: neither what was received nor what is to be sent is
    /// lost.
    pub(super) async fn event(&mut self) -> anyhow::Result<DialogEvent> {
        loop {
            // What the dialog wanted sent before an event goes out before it.
            if self.send_one().await {
                continue;
            }
            match self.dialog.as_mut().and_then(Dialog::poll_effect) {
                Some(DialogEffect::Transmit { flow, bytes }) => {
                    self.unsent.push_back((flow, bytes));
                    continue;
                }
                Some(DialogEffect::Event(event)) => return Ok(event),
                // The places were tried when the socket was opened.
                Some(DialogEffect::WantTarget) => {
                    self.input(DialogInput::NoTarget);
                    continue;
                }
                None => {}
            }
            let wake = self.dialog.as_ref().and_then(Dialog::poll_timeout);
            tokio::select! {
                received = self.socket.receive() => self.receive(received?),
                () = sleep_until(self.clock, wake) => {
                    let now = self.clock.now();
                    if let Some(dialog) = &mut self.dialog {
                        dialog.handle_timeout(now);
                    }
                }
            }
        }
    }

    fn receive(&mut self, bytes: Bytes) {
        let now = self.clock.now();
        let flow = self.flow;
        self.endpoint
            .handle(now, EndpointInput::Received { flow, bytes });
        while let Some(effect) = self.endpoint.poll_effect() {
            match effect {
                EndpointEffect::Transmit { flow, bytes } => self.unsent.push_back((flow, bytes)),
                EndpointEffect::Deliver { flow, message, .. } => {
                    self.input(DialogInput::Received { flow, message });
                }
                EndpointEffect::NewInvite(invite) => {
                    let refusal = sip_core::dialog::Refusal::new(486);
                    self.endpoint
                        .handle(now, EndpointInput::Refuse { invite, refusal });
                }
                EndpointEffect::Register(_)
                | EndpointEffect::Close { .. }
                | EndpointEffect::Alias { .. }
                | EndpointEffect::Dropped { .. } => {}
            }
        }
    }

    /// Sends what is first in the queue; false when there is nothing. Only what was sent leaves it.
    async fn send_one(&mut self) -> bool {
        let Some((flow, bytes)) = self.unsent.front().cloned() else {
            return false;
        };
        let sent = self.socket.send(flow.remote, &bytes).await;
        self.unsent.pop_front();
        if sent.is_err() {
            self.input(DialogInput::TransportFailed { flow });
        }
        true
    }
}

impl Socket {
    async fn send(&mut self, remote: SocketAddr, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send_to(bytes, remote).await.map(drop),
            Self::Stream(stream, _) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    async fn receive(&mut self) -> anyhow::Result<Bytes> {
        let mut buffer = vec![0; 65_535];
        match self {
            Self::Udp(socket) => loop {
                // A closed port on the far side is an ICMP error here; SIP's timers deal with it.
                if let Ok((length, _)) = socket.recv_from(&mut buffer).await {
                    buffer.truncate(length);
                    return Ok(buffer.into());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            },
            Self::Stream(stream, framer) => loop {
                while let Some(frame) = framer.next_frame() {
                    if let Frame::Message(bytes) = frame {
                        return Ok(bytes);
                    }
                }
                let length = stream.read(&mut buffer).await?;
                if length == 0 {
                    bail!("the far side closed the connection");
                }
                framer.push(buffer.get(..length).unwrap_or_default());
            },
        }
    }
}

async fn sleep_until(clock: Clock, at: Option<Duration>) {
    match at {
        Some(at) => tokio::time::sleep_until(clock.instant(at)).await,
        None => std::future::pending().await,
    }
}

/// What the phone can call over.
const TRANSPORTS: [(&str, Transport); 3] = [
    ("udp", Transport::Udp),
    ("tcp", Transport::Tcp),
    ("tls", Transport::Tls),
];

async fn reach(target: &Uri, args: &Args) -> anyhow::Result<(Socket, SocketAddr, Target)> {
    let mut wanted = Wanted::of(target)?;
    if let Some(name) = &args.transport {
        let known = TRANSPORTS.iter().find(|(known, _)| known == name);
        let (_, transport) = known.with_context(|| format!("'{name}' is not udp, tcp or tls"))?;
        wanted = wanted.over(Some(*transport));
    }
    let ability = Ability {
        transports: TRANSPORTS.map(|(_, transport)| transport).to_vec(),
        v4: true,
        v6: true,
    };
    let finder = NextHop::new(&settings::Dns::default());
    let places = finder.find(wanted, &ability).await;
    let mut failure = anyhow::anyhow!("nowhere to call");
    for place in places.map_err(anyhow::Error::msg)? {
        match connect(&place, args).await {
            Ok((socket, local)) => return Ok((socket, local, place)),
            Err(error) => failure = error.context(format!("no connection to {place}")),
        }
    }
    Err(failure)
}

async fn connect(place: &Target, args: &Args) -> anyhow::Result<(Socket, SocketAddr)> {
    if place.transport == Transport::Udp {
        let any = SocketAddr::new(near(place.remote).await?, 0);
        let socket = UdpSocket::bind(any).await?;
        let local = socket.local_addr()?;
        return Ok((Socket::Udp(socket), local));
    }
    let stream = TcpStream::connect(place.remote).await?;
    let local = stream.local_addr()?;
    let stream: Box<dyn Stream> = match place.transport {
        Transport::Tcp => Box::new(stream),
        Transport::Tls => {
            let tls = Tls::load(&settings::Tls {
                ca: args.tls_ca.clone(),
                verify_servers: !args.tls_insecure,
                ..settings::Tls::default()
            })?;
            Box::new(tls::connect(&tls, stream, &place.name.to_string()).await?)
        }
        Transport::Udp | Transport::Ws | Transport::Wss => bail!("the phone has no {place}"),
    };
    Ok((Socket::Stream(stream, StreamFramer::new()), local))
}

/// Our address as the far side sees it: what the kernel would send from.
async fn near(remote: SocketAddr) -> anyhow::Result<std::net::IpAddr> {
    let any = if remote.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let probe = UdpSocket::bind(any).await?;
    probe.connect(remote).await?;
    Ok(probe.local_addr()?.ip())
}
