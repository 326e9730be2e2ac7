//! One dialog on sockets of its own, driven by one task.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use sip_core::{
    dialog::{Dialog, DialogConfig, DialogEffect, DialogEvent, DialogInput, OutboundCall},
    endpoint::{Endpoint, EndpointConfig, EndpointEffect, EndpointInput},
    flow::{Flow, Transport},
    framing::{Frame, StreamFramer},
    tokens::TokenSource,
    value::Uri,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket, lookup_host},
};

use crate::{clock::Clock, entropy};

/// The phone's signalling.
pub(super) struct Line {
    clock: Clock,
    socket: Socket,
    flow: Flow,
    endpoint: Endpoint,
    dialog: Option<Dialog>,
    tokens: TokenSource,
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream, StreamFramer),
}

impl Line {
    /// Opens a socket towards the target.
    pub(super) async fn open(target: &Uri, transport: &str, clock: Clock) -> anyhow::Result<Self> {
        let remote = locate(target).await?;
        let (socket, transport) = match transport {
            "udp" => (udp(remote).await?, Transport::Udp),
            "tcp" => (tcp(remote).await?, Transport::Tcp),
            other => bail!("'{other}' is neither udp nor tcp"),
        };
        let flow = Flow {
            transport,
            local: socket.local_addr()?,
            remote,
            connection: u64::from(transport == Transport::Tcp),
        };
        let mut tokens = TokenSource::new(entropy::bytes());
        Ok(Self {
            clock,
            socket,
            flow,
            endpoint: Endpoint::new(EndpointConfig::default(), tokens.fork()),
            dialog: None,
            tokens,
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

    /// The next event of the dialog. Cancel-safe: what was received is never lost.
    pub(super) async fn event(&mut self) -> anyhow::Result<DialogEvent> {
        loop {
            while let Some(effect) = self.dialog.as_mut().and_then(Dialog::poll_effect) {
                match effect {
                    DialogEffect::Transmit { flow, bytes } => self.send(flow, &bytes).await,
                    DialogEffect::Event(event) => return Ok(event),
                }
            }
            let wake = self.dialog.as_ref().and_then(Dialog::poll_timeout);
            tokio::select! {
                received = self.socket.receive() => self.receive(received?).await,
                () = sleep_until(self.clock, wake) => {
                    let now = self.clock.now();
                    if let Some(dialog) = &mut self.dialog {
                        dialog.handle_timeout(now);
                    }
                }
            }
        }
    }

    async fn receive(&mut self, bytes: Bytes) {
        let now = self.clock.now();
        let flow = self.flow;
        self.endpoint
            .handle(now, EndpointInput::Received { flow, bytes });
        while let Some(effect) = self.endpoint.poll_effect() {
            match effect {
                EndpointEffect::Transmit { flow, bytes } => self.send(flow, &bytes).await,
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
                | EndpointEffect::Dropped { .. } => {}
            }
        }
    }

    async fn send(&mut self, flow: Flow, bytes: &[u8]) {
        let sent = self.socket.send(flow.remote, bytes).await;
        if sent.is_err() {
            self.input(DialogInput::TransportFailed { flow });
        }
    }
}

impl Socket {
    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(stream, _) => stream.local_addr(),
        }
    }

    async fn send(&mut self, remote: SocketAddr, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send_to(bytes, remote).await.map(drop),
            Self::Tcp(stream, _) => stream.write_all(bytes).await,
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
            Self::Tcp(stream, framer) => loop {
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

async fn locate(target: &Uri) -> anyhow::Result<SocketAddr> {
    let host = target.host().context("the URI has no host")?;
    let port = target.port().unwrap_or(5060);
    if let Some(ip) = host.ip() {
        return Ok(SocketAddr::new(ip, port));
    }
    let name = host.to_string();
    let mut found = lookup_host((name.as_str(), port)).await?;
    found
        .next()
        .with_context(|| format!("{name} has no address"))
}

async fn udp(remote: SocketAddr) -> anyhow::Result<Socket> {
    let any = SocketAddr::new(near(remote).await?, 0);
    Ok(Socket::Udp(UdpSocket::bind(any).await?))
}

async fn tcp(remote: SocketAddr) -> anyhow::Result<Socket> {
    let stream = TcpStream::connect(remote).await;
    let stream = stream.with_context(|| format!("no TCP connection to {remote}"))?;
    Ok(Socket::Tcp(stream, StreamFramer::new()))
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
