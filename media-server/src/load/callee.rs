//! The far side of calls that the server places: each is treated as the name it is called by says.
//!
//! One thread answers on one SIP socket, another returns every RTP packet to whoever sent it.

use std::{
    collections::{BTreeSet, HashMap},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use media_core::codec::CodecSpec;
use sip_core::{
    dialog::{
        Dialog, DialogEffect, DialogEvent, DialogId, DialogInput, EndCause, Ended, EndedBy, Refusal,
    },
    endpoint::{Endpoint, EndpointConfig, EndpointEffect, EndpointInput, NewInvite},
    flow::{Flow, Transport},
    offer_answer::{Direction, MediaAddress},
    tokens::TokenSource,
};

use super::{manners, plan::Plan, wire};
use crate::entropy;

/// How long a socket is waited on before the clock is looked at again.
const PATIENCE: Duration = Duration::from_millis(4);
/// How often a reader of sound looks whether it is over.
const READ_PATIENCE: Duration = Duration::from_millis(100);
const MAX_MESSAGE: usize = 65_535;
const MAX_DATAGRAM: usize = 2_048;
/// The last ordered call may take so long to come and go.
const LAST: Duration = Duration::from_secs(20);
/// What a guess at a password is asked for.
const CHALLENGE: &str = "Digest realm=\"load\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";

/// What a name of ours does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Answers and returns what it hears until the other side hangs up.
    Echo,
    /// Answers, holds the other side for a quarter of the time, goes on.
    Holds,
    /// Answers, is silent, and hangs up when the plan's hold is over.
    Leaves,
    /// Rings for ever.
    Rings,
    /// Refuses.
    Refuses(u16),
}

/// `echo`, `holds`, `leaves`, `rings`, `busy` (486) and `password` (401); all else is not found.
fn manner(called: &str) -> Manner {
    match called {
        "echo" => Manner::Echo,
        "holds" => Manner::Holds,
        "leaves" => Manner::Leaves,
        "rings" => Manner::Rings,
        "busy" => Manner::Refuses(486),
        "password" => Manner::Refuses(401),
        _ => Manner::Refuses(404),
    }
}

/// The threads that answer. Dropping it stops them.
pub(super) struct Callees {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    left: Arc<AtomicUsize>,
}

impl Callees {
    /// Answers at this address.
    ///
    /// # Errors
    /// A socket or a thread that cannot be had.
    pub(super) fn open(at: SocketAddr, plan: &Plan, epoch: Instant) -> anyhow::Result<Self> {
        ensure!(at.ip().is_loopback(), "{at}: only loopback is answered at");
        let stop = Arc::new(AtomicBool::new(false));
        let (echoes, listens) = (wire::socket(at.ip())?, wire::socket(at.ip())?);
        let floor = Floor::open(at, [address(&echoes)?, address(&listens)?], plan, epoch)?;
        let left = Arc::clone(&floor.left);
        let stops = || Arc::clone(&stop);
        let (echoed, listened, called) = (stops(), stops(), stops());
        let threads = vec![
            wire::thread("load-echo", move || hear(&echoes, true, &echoed))?,
            wire::thread("load-silent", move || hear(&listens, false, &listened))?,
            wire::thread("load-callee", move || floor.run(&called))?,
        ];
        Ok(Self {
            stop,
            threads,
            left,
        })
    }

    /// Waits until so many calls to `leaves` were ended by our own BYE, and what is left of them is over; how many there were.
    pub(super) fn rest(self, expected: usize) -> usize {
        let until = Instant::now() + LAST;
        while self.left.load(Ordering::Relaxed) < expected && Instant::now() < until {
            std::thread::sleep(READ_PATIENCE);
        }
        self.left.load(Ordering::Relaxed)
    }
}

/// Where this socket receives; its reader looks up now and then.
fn address(socket: &UdpSocket) -> anyhow::Result<MediaAddress> {
    socket.set_read_timeout(Some(READ_PATIENCE))?;
    let at = socket.local_addr()?;
    let (ip, port) = (at.ip(), at.port());
    Ok(MediaAddress { ip, port })
}

impl Drop for Callees {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Takes every packet, and returns it to where it came from if so wished.
fn hear(socket: &UdpSocket, returns: bool, stop: &AtomicBool) {
    let mut buffer = [0; MAX_DATAGRAM];
    while !stop.load(Ordering::Acquire) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        if returns {
            let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), from);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cue {
    Hold,
    Resume,
    HangUp,
}

struct Line {
    dialog: Dialog,
    manner: Manner,
    wake: Option<Duration>,
}

/// All calls to us.
struct Floor {
    socket: UdpSocket,
    flow: Flow,
    /// Where it is returned, and where it is only heard.
    media: [MediaAddress; 2],
    codec: &'static CodecSpec,
    hold: Duration,
    epoch: Instant,
    endpoint: Endpoint,
    tokens: TokenSource,
    lines: HashMap<DialogId, Line>,
    wakes: BTreeSet<(Duration, DialogId)>,
    cues: BTreeSet<(Duration, DialogId, Cue)>,
    left: Arc<AtomicUsize>,
}

impl Floor {
    fn open(
        at: SocketAddr,
        media: [MediaAddress; 2],
        plan: &Plan,
        epoch: Instant,
    ) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(at).with_context(|| format!("cannot answer at {at}"))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let flow = Flow {
            transport: Transport::Udp,
            local: socket.local_addr()?,
            remote: at,
            connection: 0,
        };
        let mut tokens = TokenSource::new(entropy::bytes());
        let config = EndpointConfig {
            max_dialogs: usize::MAX,
            ..EndpointConfig::default()
        };
        Ok(Self {
            socket,
            flow,
            media,
            codec: plan.codec()?,
            hold: plan.load.hold.0,
            epoch,
            endpoint: Endpoint::new(config, tokens.fork()),
            tokens,
            lines: HashMap::new(),
            wakes: BTreeSet::new(),
            cues: BTreeSet::new(),
            left: Arc::default(),
        })
    }

    fn run(mut self, stop: &AtomicBool) {
        let mut buffer = vec![0; MAX_MESSAGE];
        while !stop.load(Ordering::Acquire) {
            self.timers();
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            let flow = self.flow.towards(from);
            let received = EndpointInput::Received { flow, bytes };
            self.endpoint.handle(self.epoch.elapsed(), received);
            self.route();
        }
    }

    fn timers(&mut self) {
        let now = self.epoch.elapsed();
        while self.wakes.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, id)) = self.wakes.pop_first() else {
                break;
            };
            if let Some(line) = self.lines.get_mut(&id) {
                line.wake = None;
                line.dialog.handle_timeout(now);
            }
            self.drain(&id);
        }
        while self.cues.first().is_some_and(|(due, ..)| *due <= now) {
            let Some((_, id, cue)) = self.cues.pop_first() else {
                break;
            };
            let media = None;
            let reoffer = |direction| DialogInput::Reoffer { direction, media };
            let input = match cue {
                Cue::Hold => reoffer(Direction::SendOnly),
                Cue::Resume => reoffer(Direction::SendRecv),
                Cue::HangUp => DialogInput::Hangup { reason: None },
            };
            self.input(&id, input);
        }
    }

    fn route(&mut self) {
        let now = self.epoch.elapsed();
        self.endpoint.handle_timeout(now);
        while let Some(effect) = self.endpoint.poll_effect() {
            match effect {
                EndpointEffect::Transmit { flow, bytes } => self.send(flow, &bytes),
                EndpointEffect::Deliver {
                    dialog_id,
                    flow,
                    message,
                } => self.input(&dialog_id, DialogInput::Received { flow, message }),
                EndpointEffect::NewInvite(invite) => self.called(invite),
                EndpointEffect::Register(_)
                | EndpointEffect::Close { .. }
                | EndpointEffect::Alias { .. }
                | EndpointEffect::Dropped { .. } => {}
            }
        }
    }

    fn called(&mut self, invite: Box<NewInvite>) {
        let now = self.epoch.elapsed();
        let user = invite.request.uri().user_raw().cloned();
        let manner = manner(&String::from_utf8_lossy(&user.unwrap_or_default()));
        if let Manner::Refuses(status) = manner {
            let mut refusal = Refusal::new(status);
            if status == 401 {
                let asks = ("WWW-Authenticate".to_owned(), CHALLENGE.to_owned());
                refusal.headers.push(asks);
            }
            let refuse = EndpointInput::Refuse { invite, refusal };
            self.endpoint.handle(now, refuse);
            return;
        }
        let config = manners::dialog_config(self.flow.local, self.codec, None);
        let dialog = Dialog::uas(now, config, self.tokens.fork(), *invite);
        let id = dialog.id().clone();
        let line = Line {
            dialog,
            manner,
            wake: None,
        };
        self.lines.insert(id.clone(), line);
        self.drain(&id);
    }

    fn input(&mut self, id: &DialogId, input: DialogInput) {
        let now = self.epoch.elapsed();
        if let Some(line) = self.lines.get_mut(id) {
            line.dialog.handle(now, input);
            self.drain(id);
        }
    }

    fn drain(&mut self, id: &DialogId) {
        while let Some(effect) = self.effect(id) {
            match effect {
                DialogEffect::Transmit { flow, bytes } => self.send(flow, &bytes),
                DialogEffect::Event(event) => self.event(id, &event),
                // Only who calls asks for another target.
                DialogEffect::WantTarget => {}
            }
        }
        let Some(line) = self.lines.get_mut(id) else {
            return;
        };
        let wake = line.dialog.poll_timeout();
        if wake != line.wake {
            if let Some(old) = line.wake {
                self.wakes.remove(&(old, id.clone()));
            }
            self.wakes.extend(wake.map(|due| (due, id.clone())));
            line.wake = wake;
        }
    }

    fn effect(&mut self, id: &DialogId) -> Option<DialogEffect> {
        self.lines.get_mut(id)?.dialog.poll_effect()
    }

    /// A datagram that cannot be sent is a lost one: SIP's timers deal with it.
    fn send(&self, flow: Flow, bytes: &[u8]) {
        let _ = self.socket.send_to(bytes, flow.remote);
    }

    fn event(&mut self, id: &DialogId, event: &DialogEvent) {
        match event {
            DialogEvent::Invited { .. } => self.invited(id),
            DialogEvent::Confirmed => self.confirmed(id),
            DialogEvent::Ended(ended) => self.ended(id, ended),
            DialogEvent::Finished => self.forget(id),
            _ => {}
        }
    }

    fn invited(&mut self, id: &DialogId) {
        let now = self.epoch.elapsed();
        let [returned, heard] = self.media;
        if let Some(line) = self.lines.get_mut(id) {
            let input = match line.manner {
                Manner::Rings | Manner::Refuses(_) => DialogInput::Ring,
                Manner::Leaves => DialogInput::Answer { media: heard },
                Manner::Echo | Manner::Holds => DialogInput::Answer { media: returned },
            };
            line.dialog.handle(now, input);
        }
    }

    fn confirmed(&mut self, id: &DialogId) {
        let (now, hold) = (self.epoch.elapsed(), self.hold);
        let mut cue = |after, what| self.cues.insert((now + after, id.clone(), what));
        match self.lines.get(id).map(|line| line.manner) {
            Some(Manner::Holds) => {
                cue(hold / 4, Cue::Hold);
                cue(hold / 2, Cue::Resume);
            }
            Some(Manner::Leaves) => {
                cue(hold, Cue::HangUp);
            }
            _ => {}
        }
    }

    fn ended(&self, id: &DialogId, ended: &Ended) {
        let manner = self.lines.get(id).map(|line| line.manner);
        let ours = ended.by == EndedBy::Local && ended.cause == EndCause::Bye;
        if manner == Some(Manner::Leaves) && ours {
            self.left.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn forget(&mut self, id: &DialogId) {
        if let Some(line) = self.lines.remove(id) {
            if let Some(wake) = line.wake {
                self.wakes.remove(&(wake, id.clone()));
            }
            let forget = EndpointInput::Forget {
                dialog_id: id.clone(),
                finished: line.dialog.finished(),
            };
            self.endpoint.handle(self.epoch.elapsed(), forget);
        }
    }
}
