//! The listening sockets of a profile, which may change while calls are up: new ones are opened before
//! anything else changes, and one that is wanted no more stays until the last dialog on it is over.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use sip_core::flow::Transport;
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
};

use super::{OpenError, Wire, tcp, udp};

/// A UDP socket and its address.
pub(super) type Datagrams = (SocketAddr, Arc<UdpSocket>);

#[derive(Default)]
pub(super) struct Sockets {
    open: Mutex<Vec<Open>>,
    /// The UDP sockets, those that are wanted first.
    udp: ArcSwap<Vec<Datagrams>>,
}

struct Open {
    transport: Transport,
    /// As asked for: port 0 becomes another.
    wanted: SocketAddr,
    local: SocketAddr,
    udp: Option<Arc<UdpSocket>>,
    task: JoinHandle<()>,
    surplus: bool,
}

/// A socket that is bound and not read from yet.
enum Bound {
    Udp(Arc<UdpSocket>),
    Stream(TcpListener),
}

impl Sockets {
    /// The UDP sockets now.
    pub(super) fn udp(&self) -> arc_swap::Guard<Arc<Vec<Datagrams>>> {
        self.udp.load()
    }

    /// Where the profile listens now.
    pub(super) fn listening(&self) -> Vec<SocketAddr> {
        let open = self.lock();
        let wanted = open.iter().filter(|one| !one.surplus);
        wanted.map(|one| one.local).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, open: &[Open]) {
        let ours = |surplus: bool| open.iter().filter(move |one| one.surplus == surplus);
        let all = ours(false).chain(ours(true));
        let udp = all.filter_map(|one| Some((one.local, one.udp.clone()?)));
        self.udp.store(Arc::new(udp.collect()));
    }
}

impl Wire {
    /// Listens here from now on. What is open already stays open; what is wanted no more becomes
    /// surplus.
    ///
    /// # Errors
    /// The first address that cannot be bound; nothing has changed then.
    pub async fn relisten(
        self: &Arc<Self>,
        listen: &[(Transport, SocketAddr)],
    ) -> Result<(), OpenError> {
        let bound = self.bind_missing(listen).await?;
        let mut open = self.sockets.lock();
        for one in open.iter_mut() {
            one.surplus = !listen.contains(&(one.transport, one.wanted));
        }
        for (transport, wanted, local, socket) in bound {
            open.push(self.read_from(transport, wanted, local, socket));
        }
        self.sockets.publish(&open);
        Ok(())
    }

    async fn bind_missing(
        &self,
        listen: &[(Transport, SocketAddr)],
    ) -> Result<Vec<(Transport, SocketAddr, SocketAddr, Bound)>, OpenError> {
        let mut bound = Vec::new();
        for (transport, wanted) in listen {
            let is_it = |one: &Open| (one.transport, one.wanted) == (*transport, *wanted);
            if self.sockets.lock().iter().any(is_it) {
                continue;
            }
            let (local, socket) = match transport {
                Transport::Udp => {
                    let (local, socket) = udp::bind(*wanted)?;
                    (local, Bound::Udp(socket))
                }
                Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                    let (local, socket) = tcp::bind(*transport, *wanted).await?;
                    (local, Bound::Stream(socket))
                }
            };
            bound.push((*transport, *wanted, local, socket));
        }
        Ok(bound)
    }

    fn read_from(
        self: &Arc<Self>,
        transport: Transport,
        wanted: SocketAddr,
        local: SocketAddr,
        bound: Bound,
    ) -> Open {
        let (udp, task) = match bound {
            Bound::Udp(socket) => {
                let reading = udp::receive(self.clone(), local, socket.clone());
                (Some(socket), tokio::spawn(reading))
            }
            Bound::Stream(listener) => (
                None,
                tokio::spawn(tcp::accept(self.clone(), transport, local, listener)),
            ),
        };
        Open {
            transport,
            wanted,
            local,
            udp,
            task,
            surplus: false,
        }
    }

    /// Whether nobody listens here any more but for the dialogs that began here.
    pub fn is_surplus(&self, local: SocketAddr) -> bool {
        let open = self.sockets.lock();
        let mut here = open.iter().filter(|one| one.local == local).peekable();
        here.peek().is_some() && here.all(|one| one.surplus)
    }

    /// Whether a socket waits for its last dialog.
    pub fn has_surplus(&self) -> bool {
        self.sockets.lock().iter().any(|one| one.surplus)
    }

    /// Closes the surplus sockets that no dialog uses.
    pub fn close_surplus(&self, in_use: impl Fn(SocketAddr) -> bool) {
        let mut open = self.sockets.lock();
        open.retain(|one| {
            let stays = !one.surplus || in_use(one.local);
            if !stays {
                one.task.abort();
            }
            stays
        });
        self.sockets.publish(&open);
    }

    /// Closes every listening socket; connections stay. The tasks end soon after.
    pub(super) fn drop_sockets(&self) -> Vec<JoinHandle<()>> {
        let open: Vec<Open> = self.sockets.lock().drain(..).collect();
        self.sockets.publish(&[]);
        let tasks = open.into_iter().map(|one| one.task);
        tasks.inspect(JoinHandle::abort).collect()
    }

    /// Closes the listening sockets and opens them anew: `media-server restart`. Connections and
    /// dialogs stay.
    ///
    /// # Errors
    /// The first address that cannot be bound.
    pub async fn restart(
        self: &Arc<Self>,
        listen: &[(Transport, SocketAddr)],
    ) -> Result<(), OpenError> {
        for task in self.drop_sockets() {
            // Its address is free when the task is gone.
            let _ = task.await;
        }
        self.relisten(listen).await
    }
}
