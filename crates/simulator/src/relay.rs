//! A UDP relay on loopback that impairs real packets: put it between a real phone and a real switch.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{net::UdpSocket, sync::watch, task::JoinHandle, time::Instant};

use crate::network::{Counters, Impairment, Network};

/// Largest datagram that is relayed whole.
const MAX_DATAGRAM: usize = 2_048;

/// A relay for one phone: what comes from anybody but the target goes to the target; what the
/// target sends goes to whoever sent last. Stops when dropped.
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    counters: watch::Receiver<(Counters, Counters)>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Binds a port of 127.0.0.1 and relays to `target`, which must be on loopback too.
    pub async fn start(target: SocketAddr, impairment: Impairment, seed: u64) -> io::Result<Self> {
        if !target.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the relay is for loopback only",
            ));
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = socket.local_addr()?;
        let (tell, counters) = watch::channel(Default::default());
        let pump = Pump {
            socket,
            target,
            phone: None,
            began: Instant::now(),
            to_target: Network::new(impairment, seed),
            to_phone: Network::new(impairment, !seed),
            tell,
        };
        let task = tokio::spawn(pump.run());
        Ok(Self {
            addr,
            counters,
            task,
        })
    }

    /// Where the phone sends to, instead of to the target.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Figures so far: to the target, to the phone.
    pub fn counters(&self) -> (Counters, Counters) {
        *self.counters.borrow()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Pump {
    socket: UdpSocket,
    target: SocketAddr,
    phone: Option<SocketAddr>,
    began: Instant,
    to_target: Network,
    to_phone: Network,
    tell: watch::Sender<(Counters, Counters)>,
}

impl Pump {
    async fn run(mut self) {
        let mut datagram = [0; MAX_DATAGRAM];
        loop {
            let next = [self.to_target.poll_timeout(), self.to_phone.poll_timeout()]
                .into_iter()
                .flatten()
                .min();
            let wake = self.began + next.unwrap_or(Duration::from_secs(3_600));
            tokio::select! {
                received = self.socket.recv_from(&mut datagram) => {
                    // An error here is an ICMP of the other side's closed port: it concerns one datagram.
                    if let Ok((length, from)) = received {
                        self.take(datagram.get(..length).unwrap_or_default(), from);
                    }
                }
                () = tokio::time::sleep_until(wake) => {}
            }
            self.deliver().await;
        }
    }

    fn take(&mut self, datagram: &[u8], from: SocketAddr) {
        let now = self.began.elapsed();
        if from == self.target {
            self.to_phone.send(now, datagram);
        } else {
            self.phone = Some(from);
            self.to_target.send(now, datagram);
        }
    }

    async fn deliver(&mut self) {
        let now = self.began.elapsed();
        while let Some(datagram) = self.to_target.poll(now) {
            let _ = self.socket.send_to(&datagram, self.target).await;
        }
        while let Some(datagram) = self.to_phone.poll(now) {
            if let Some(phone) = self.phone {
                let _ = self.socket.send_to(&datagram, phone).await;
            }
        }
        let _ = self
            .tell
            .send((self.to_target.counters(), self.to_phone.counters()));
    }
}
