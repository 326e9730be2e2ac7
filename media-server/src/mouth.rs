//! A call's mouth: renders what is to be said and keeps the playout ring filled, in order.
//!
//! One task per call, owned by the Call actor: it outlives a broken Agent, so that a sentence
//! under way is finished. It holds the only sender of the leg's playout ring; sound goes from the
//! voice to that ring and nowhere else.

mod queue;

use std::{sync::Arc, time::Duration};

use media_core::playout::Tag;
use model::agent::VoiceConfig;
use providers::{
    ProviderError, Providers,
    tts::{SpeakRequest, Speech, SpeechEvent, SpeechPlan},
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use crate::{media::VoiceSender, speech_cache::SpeechCache};
use queue::Queue;

/// Sentences and sounds that may wait to be rendered or played; a Brain that talks further ahead
/// than this is told that its voice failed.
const COMMAND_BOUND: usize = 256;
/// The ring holds a second; topped up four times as often.
const TOP_UP: Duration = Duration::from_millis(250);
/// A voice that gives no sound for so long has failed.
const VOICE_LIMIT: Duration = Duration::from_secs(5);

/// What a mouth is told.
pub enum Command {
    /// Render and play; pieces of one tag come in order.
    Speak {
        /// The utterance.
        tag: Tag,
        /// Where this piece begins in the utterance's source text, bytes.
        offset: usize,
        /// The words; may be empty when `last`.
        text: String,
        /// The voice.
        voice: VoiceConfig,
        /// The utterance ends with this piece.
        last: bool,
    },
    /// Play sound that exists.
    Sound {
        /// The utterance.
        tag: Tag,
        /// 8 kHz PCM.
        pcm: Arc<[i16]>,
        /// The utterance ends with it.
        last: bool,
        /// Play it again and again until it is cut.
        repeat: bool,
    },
    /// Forget everything up to this tag.
    CutThrough(Tag),
}

/// What a mouth tells its Call.
pub enum Report {
    /// Where the words of a rendered sentence lie.
    Planned {
        /// The utterance.
        tag: Tag,
        /// Where the rendered piece begins in the utterance's source text, bytes.
        offset: usize,
        /// Samples of the utterance before this piece.
        samples_before: u64,
        /// The plan, in the piece's own bytes and samples.
        plan: SpeechPlan,
    },
    /// Sound of an utterance came from the voice.
    Rendered {
        /// The utterance.
        tag: Tag,
        /// How much.
        samples: u64,
        /// It is the utterance's first.
        first: bool,
    },
    /// A voice failed, and another goes on in its place.
    Trouble {
        /// Which, and why.
        error: ProviderError,
    },
    /// Nothing more of this utterance will be rendered.
    Over {
        /// The utterance.
        tag: Tag,
        /// How that came.
        end: End,
    },
}

/// How an utterance left the mouth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All of it was rendered.
    Complete,
    /// It was cut. `unheard`: nothing of it had reached the leg, which will not report it.
    Cut {
        /// See above.
        unheard: bool,
    },
    /// The voice failed; one line for the timeline.
    Failed(String),
}

/// Receives the reports, in order.
pub type Reports = Arc<dyn Fn(Report) + Send + Sync>;

/// The handle the Call holds. Dropping it ends the task.
pub struct Mouth {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<VoiceSender>,
}

impl Mouth {
    /// Starts the task.
    pub fn open(
        voice: VoiceSender,
        providers: Providers,
        cache: Arc<SpeechCache>,
        reports: Reports,
    ) -> Self {
        let (commands, inbox) = mpsc::channel(COMMAND_BOUND);
        let task = Task {
            queue: Queue::new(voice),
            providers,
            cache,
            reports,
            pieces: std::collections::VecDeque::new(),
            speaking: None,
            cut: Tag(0),
        };
        Self {
            commands,
            task: tokio::spawn(task.run(inbox)),
        }
    }

    /// Queues a command. False when the mouth is full or gone.
    pub fn tell(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// Ends the task and gives the ring back (for a Brain that plays its own sound).
    pub async fn close(self) -> Option<VoiceSender> {
        drop(self.commands);
        self.task.await.ok()
    }
}

struct Task {
    queue: Queue,
    providers: Providers,
    cache: Arc<SpeechCache>,
    reports: Reports,
    pieces: std::collections::VecDeque<Piece>,
    speaking: Option<Speaking>,
    cut: Tag,
}

struct Piece {
    tag: Tag,
    offset: usize,
    text: String,
    voice: VoiceConfig,
    last: bool,
}

struct Speaking {
    piece: Piece,
    speech: Speech,
    samples_before: u64,
    deadline: Instant,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) -> VoiceSender {
        loop {
            self.queue.top_up();
            self.begin_next();
            tokio::select! {
                biased;
                command = inbox.recv() => match command {
                    Some(command) => self.take(command),
                    None => return self.queue.into_sender(),
                },
                event = next_event(&mut self.speaking) => self.hear(event),
                () = tokio::time::sleep(TOP_UP), if self.queue.is_pending() => {}
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Speak {
                tag,
                offset,
                text,
                voice,
                last,
            } => self.pieces.push_back(Piece {
                tag,
                offset,
                text,
                voice,
                last,
            }),
            Command::Sound {
                tag,
                pcm,
                last,
                repeat,
            } => self.sound(tag, pcm, last, repeat),
            Command::CutThrough(tag) => self.cut_through(tag),
        }
    }

    fn sound(&mut self, tag: Tag, pcm: Arc<[i16]>, last: bool, repeat: bool) {
        if tag <= self.cut {
            return;
        }
        self.rendered(tag, pcm.len());
        self.queue.push(tag, pcm, repeat);
        if last {
            self.over(tag, End::Complete);
        }
    }

    fn cut_through(&mut self, tag: Tag) {
        self.cut = self.cut.max(tag);
        let mut gone = self.queue.cut_through(tag);
        let cut = self.pieces.iter().filter(|piece| piece.tag <= tag);
        gone.extend(cut.map(|piece| piece.tag));
        self.pieces.retain(|piece| piece.tag > tag);
        let speaking = self.speaking.take_if(|speaking| speaking.piece.tag <= tag);
        gone.extend(speaking.map(|speaking| speaking.piece.tag));
        gone.sort_unstable();
        gone.dedup();
        for tag in gone {
            let unheard = !self.queue.has_reached_leg(tag);
            let end = End::Cut { unheard };
            (self.reports)(Report::Over { tag, end });
        }
    }

    /// Takes the next piece in hand when none is.
    fn begin_next(&mut self) {
        while self.speaking.is_none() {
            let Some(piece) = self.pieces.pop_front() else {
                return;
            };
            if piece.text.trim().is_empty() {
                self.piece_done(&piece);
                continue;
            }
            if let Some(events) = self.cache.get(&piece.text, &piece.voice) {
                self.recall(&piece, events);
                continue;
            }
            match self.render(&piece) {
                Ok(speech) => {
                    self.speaking = Some(Speaking {
                        samples_before: self.queue.pushed(piece.tag),
                        piece,
                        speech,
                        deadline: Instant::now() + VOICE_LIMIT,
                    });
                }
                Err(why) => self.over(piece.tag, End::Failed(why)),
            }
        }
    }

    /// Says what is rendered already.
    fn recall(&mut self, piece: &Piece, events: Vec<SpeechEvent>) {
        let samples_before = self.queue.pushed(piece.tag);
        for event in events {
            self.sounded(piece.tag, piece.offset, samples_before, event);
        }
        self.piece_done(piece);
    }

    fn render(&self, piece: &Piece) -> Result<Speech, String> {
        let request = SpeakRequest {
            text: piece.text.clone(),
            voice: piece.voice.name.clone(),
            rate: piece.voice.rate,
        };
        let tts = self.providers.tts(&piece.voice.provider);
        let speech = tts.and_then(|tts| tts.speak(request));
        speech.map_err(|e| e.to_string())
    }

    fn hear(&mut self, event: Option<SpeechEvent>) {
        let Some(speaking) = &mut self.speaking else {
            return;
        };
        speaking.deadline = Instant::now() + VOICE_LIMIT;
        let (tag, offset, samples_before) = (
            speaking.piece.tag,
            speaking.piece.offset,
            speaking.samples_before,
        );
        match event {
            Some(event) => self.sounded(tag, offset, samples_before, event),
            None => self.fail(tag, "the voice fell silent".into()),
        }
    }

    fn sounded(&mut self, tag: Tag, offset: usize, samples_before: u64, event: SpeechEvent) {
        match event {
            SpeechEvent::Plan(plan) => (self.reports)(Report::Planned {
                tag,
                offset,
                samples_before,
                plan,
            }),
            SpeechEvent::Audio(pcm) => {
                self.rendered(tag, pcm.len());
                self.queue.push(tag, pcm, false);
            }
            SpeechEvent::Done => {
                if let Some(speaking) = self.speaking.take() {
                    self.piece_done(&speaking.piece);
                }
            }
            SpeechEvent::Trouble(error) => (self.reports)(Report::Trouble { error }),
            SpeechEvent::Failed(error) => self.fail(tag, error.to_string()),
        }
    }

    fn fail(&mut self, tag: Tag, why: String) {
        self.speaking = None;
        self.pieces.retain(|piece| piece.tag != tag);
        self.over(tag, End::Failed(why));
    }

    fn rendered(&self, tag: Tag, samples: usize) {
        (self.reports)(Report::Rendered {
            tag,
            samples: samples as u64,
            first: self.queue.pushed(tag) == 0,
        });
    }

    fn piece_done(&mut self, piece: &Piece) {
        if piece.last {
            self.over(piece.tag, End::Complete);
        }
    }

    fn over(&mut self, tag: Tag, end: End) {
        self.queue.end(tag);
        (self.reports)(Report::Over { tag, end });
    }
}

/// The next event of what is being rendered; `None` when the voice is late or gone. Never resolves
/// while nothing is being rendered.
async fn next_event(speaking: &mut Option<Speaking>) -> Option<SpeechEvent> {
    match speaking {
        Some(speaking) => {
            let next = speaking.speech.next();
            tokio::time::timeout_at(speaking.deadline, next)
                .await
                .ok()?
        }
        None => std::future::pending().await,
    }
}
