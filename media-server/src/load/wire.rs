//! The sound of all calls on a few sockets: one thread sends on a grid of absolute deadlines, one
//! thread for each socket reads.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use media_core::rtp::{self, Packet};

use super::{
    ear::Ears,
    mark::{FRAME, Mark, Noise},
};
use crate::{media::lateness::Histogram, wire::roomy};

/// Calls are spread over the milliseconds of a frame.
const SLOTS: u64 = 20;
/// How often a reader looks whether it is over.
const READ_PATIENCE: Duration = Duration::from_millis(100);
const MAX_DATAGRAM: usize = 2_048;

/// What a call says and to whom.
pub(super) struct Voice {
    pub(super) call: u32,
    pub(super) to: SocketAddr,
    pub(super) payload_type: u8,
    pub(super) ssrc: u32,
}

enum Order {
    Start(Voice),
    Stop(u32),
}

/// The threads. Dropping it stops them.
pub(super) struct Wire {
    orders: Option<Sender<Order>>,
    addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
    sender: Option<JoinHandle<HashMap<u32, u32>>>,
    readers: Vec<JoinHandle<()>>,
}

/// What the threads share.
pub(super) struct Shared {
    epoch: Instant,
    pub(super) ears: Ears,
    /// Send time minus slot.
    pub(super) lateness: Histogram,
    pub(super) send_errors: AtomicU64,
}

impl Wire {
    /// Opens the sockets and starts the threads.
    pub(super) fn open(ip: IpAddr, sockets: usize, epoch: Instant) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            epoch,
            ears: Ears::new(),
            lateness: Histogram::new(),
            send_errors: AtomicU64::new(0),
        });
        let stop = Arc::new(AtomicBool::new(false));
        let (mut addresses, mut readers, mut ours) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..sockets {
            let socket = socket(ip)?;
            addresses.push(socket.local_addr()?);
            ours.push(socket.try_clone()?);
            let (shared, stop) = (Arc::clone(&shared), Arc::clone(&stop));
            readers.push(thread("load-ear", move || read(&socket, &shared, &stop))?);
        }
        let (orders, inbox) = channel();
        let mouth = Mouth::new(ours, Arc::clone(&shared));
        let sender = thread("load-mouth", move || mouth.run(&inbox))?;
        Ok(Self {
            orders: Some(orders),
            addresses,
            stop,
            shared,
            sender: Some(sender),
            readers,
        })
    }

    /// Where a call receives.
    pub(super) fn address(&self, call: u32) -> Option<SocketAddr> {
        let at = call as usize % self.addresses.len().max(1);
        self.addresses.get(at).copied()
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn start(&self, voice: Voice) {
        self.order(Order::Start(voice));
    }

    pub(super) fn stop(&self, call: u32) {
        self.order(Order::Stop(call));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // The thread lives as long as we do.
            let _ = orders.send(order);
        }
    }

    /// Stops; the frames each call sent.
    pub(super) fn close(mut self) -> HashMap<u32, u32> {
        self.orders = None;
        let sent = self.sender.take().map(JoinHandle::join);
        self.stop.store(true, Ordering::Release);
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        sent.and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// A UDP socket with room for bursts.
pub(super) fn socket(ip: IpAddr) -> anyhow::Result<UdpSocket> {
    let any = SocketAddr::new(ip, 0);
    roomy(any).with_context(|| format!("no socket on {ip}"))
}

/// A named thread.
pub(super) fn thread<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<JoinHandle<T>> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(run).context("no thread")
}

fn read(socket: &UdpSocket, shared: &Shared, stop: &AtomicBool) {
    if socket.set_read_timeout(Some(READ_PATIENCE)).is_err() {
        return;
    }
    let mut buffer = [0; MAX_DATAGRAM];
    while !stop.load(Ordering::Acquire) {
        if let Ok((length, source)) = socket.recv_from(&mut buffer) {
            let now = shared.epoch.elapsed();
            let bytes = buffer.get(..length).unwrap_or_default();
            shared.ears.hear(now, source, bytes);
        }
    }
}

struct Speaking {
    voice: Voice,
    frame: u32,
}

/// The thread that sends.
struct Mouth {
    sockets: Vec<UdpSocket>,
    shared: Arc<Shared>,
    noise: Noise,
    slots: Vec<Vec<Speaking>>,
    speaking: usize,
    sent: HashMap<u32, u32>,
    next_ms: u64,
}

impl Mouth {
    fn new(sockets: Vec<UdpSocket>, shared: Arc<Shared>) -> Self {
        Self {
            sockets,
            shared,
            noise: Noise::new(),
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            speaking: 0,
            sent: HashMap::new(),
            next_ms: 0,
        }
    }

    fn run(mut self, inbox: &Receiver<Order>) -> HashMap<u32, u32> {
        while self.wait(inbox) {
            self.say();
            self.next_ms += 1;
        }
        self.sent
    }

    /// Takes orders until the next millisecond; false when it is over.
    fn wait(&mut self, inbox: &Receiver<Order>) -> bool {
        loop {
            let order = if self.speaking == 0 {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                let due = Duration::from_millis(self.next_ms);
                inbox.recv_timeout(due.saturating_sub(self.shared.epoch.elapsed()))
            };
            match order {
                Ok(Order::Start(voice)) => self.start(voice),
                Ok(Order::Stop(call)) => self.stop(call),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn start(&mut self, voice: Voice) {
        if self.speaking == 0 {
            self.next_ms = self.shared.epoch.elapsed().as_millis() as u64 + 1;
        }
        let emptiest = self.slots.iter_mut().min_by_key(|slot| slot.len());
        if let Some(slot) = emptiest {
            slot.push(Speaking { voice, frame: 0 });
            self.speaking += 1;
        }
    }

    fn stop(&mut self, call: u32) {
        for slot in &mut self.slots {
            if let Some(at) = slot.iter().position(|one| one.voice.call == call) {
                self.speaking -= 1;
                let gone = slot.swap_remove(at);
                self.sent.insert(call, gone.frame);
            }
        }
    }

    /// One slot's packets. A standstill is made up for at once: what was due is sent, late.
    fn say(&mut self) {
        let Self {
            sockets,
            shared,
            noise,
            slots,
            next_ms,
            ..
        } = self;
        let Some(slot) = slots.get_mut((*next_ms % SLOTS) as usize) else {
            return;
        };
        for one in slot {
            let now = shared.epoch.elapsed();
            let bytes = one.packet(noise, now);
            let socket = sockets.get(one.voice.call as usize % sockets.len().max(1));
            let sent = socket.map(|socket| socket.send_to(&bytes, one.voice.to));
            if !matches!(sent, Some(Ok(_))) {
                shared.send_errors.fetch_add(1, Ordering::Relaxed);
            }
            one.frame += 1;
            let late = now.saturating_sub(Duration::from_millis(*next_ms));
            shared.lateness.record(late);
        }
    }
}

impl Speaking {
    fn packet(&self, noise: &Noise, now: Duration) -> [u8; FRAME + rtp::HEADER_LEN] {
        let mut words = [0; FRAME];
        let mark = Mark {
            call: self.voice.call,
            frame: self.frame,
            sent_us: now.as_micros() as u32,
        };
        noise.write(mark, &mut words);
        let packet = Packet {
            payload_type: self.voice.payload_type,
            marker: self.frame == 0,
            seq: self.frame as u16,
            timestamp: self.frame.wrapping_mul(FRAME as u32),
            ssrc: self.voice.ssrc,
            payload: &words,
        };
        let mut out = [0; FRAME + rtp::HEADER_LEN];
        // The buffer has exactly the packet's size.
        let _ = rtp::build(&packet, &mut out);
        out
    }
}
