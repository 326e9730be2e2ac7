//! A call's hearing: voice activity, utterances, words.
//!
//! One task per call, owned by the Call actor: it outlives a broken Agent. It takes recogniser
//! frames from the leg's ring (they come before playout smoothing, so the jitter buffer adds
//! nothing to a turn), runs the neural voice activity detector on what the cheap gate marked, and
//! sends stretches of speech to the recogniser's bounded pool.

use std::{pin::Pin, sync::Arc, time::Duration};

use call_core::brain::FinalTranscript;
use futures_util::{StreamExt, stream::FuturesUnordered};
use local_speech::{DecodeKind, DecodeRequest, EarEvent, Ears, EarsConfig, Models, UtteranceId};
use providers::{
    Class, ProviderError,
    stt::{HearKind, HearRequest, Heard, Stt},
};
use tokio::{runtime::Handle, sync::mpsc, task::JoinHandle};

use crate::media::EarReceiver;

/// A recogniser that says nothing for so long has failed. The local one answers within one or two
/// seconds when all its threads are busy.
const DECODE_LIMIT: Duration = Duration::from_secs(8);

/// What a hearing is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// The turn was taken: what comes now is a new utterance.
    Close,
    /// While secret digits are gathered, nothing is recognised.
    Mask(bool),
}

/// What a hearing tells its Call. Call times in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// The caller speaks (or goes on after a short silence).
    SpeechStarted {
        /// Onset.
        at_ms: u64,
    },
    /// The caller fell silent.
    SpeechEnded {
        /// Last speech.
        at_ms: u64,
        /// How much.
        speech_ms: u64,
    },
    /// Words so far.
    Partial {
        /// How far the words reach.
        at_ms: u64,
        /// The words.
        text: String,
    },
    /// The words of a stretch; another with the same start replaces it.
    Final(FinalTranscript),
    /// The stretch is complete.
    Closed {
        /// Its onset.
        start_ms: u64,
    },
    /// A recogniser failed, and another understood what it did not.
    Trouble {
        /// Which, and why.
        error: ProviderError,
    },
    /// The recogniser refuses or fails.
    Failed {
        /// One line.
        why: String,
    },
    /// The leg is gone and every word of it was told.
    Over,
}

/// Receives the reports, in order.
pub type Reports = Arc<dyn Fn(Report) + Send + Sync>;

/// What a hearing needs.
pub struct Args {
    /// The leg's recogniser ring.
    pub frames: EarReceiver,
    /// Voice activity models.
    pub models: Arc<Models>,
    /// The recogniser.
    pub stt: Arc<dyn Stt>,
    /// Silences and partials.
    pub config: EarsConfig,
    /// Who hears of it.
    pub reports: Reports,
}

/// The handle the Call holds. Dropping it ends the task.
pub struct Hearing {
    commands: mpsc::Sender<Command>,
    _task: JoinHandle<()>,
}

impl Hearing {
    /// Starts the task on the runtime for voice activity.
    pub fn open(runtime: &Handle, args: Args) -> Self {
        let (commands, inbox) = mpsc::channel(16);
        let task = runtime.spawn(run(args, inbox));
        Self {
            commands,
            _task: task,
        }
    }

    /// Tells it. A full queue means it is far behind; the command is then too late anyway.
    pub fn tell(&self, command: Command) {
        let _ = self.commands.try_send(command);
    }
}

type Decoding = Pin<Box<dyn Future<Output = Decoded> + Send>>;

struct Decoded {
    request: Stretch,
    result: Result<Heard, ProviderError>,
}

#[derive(Clone, Copy)]
struct Stretch {
    utterance: UtteranceId,
    pass: u32,
    last: bool,
    start_ms: u64,
    end_ms: u64,
}

struct Task {
    ears: Ears,
    stt: Arc<dyn Stt>,
    reports: Reports,
    decoding: FuturesUnordered<Decoding>,
    newest: (UtteranceId, u32),
    closed: Option<(UtteranceId, u32, u64)>,
    masked: bool,
}

async fn run(args: Args, mut inbox: mpsc::Receiver<Command>) {
    let Args {
        mut frames,
        models,
        stt,
        config,
        reports,
    } = args;
    let ears = match Ears::new(&models, config) {
        Ok(ears) => ears,
        Err(error) => {
            let why = error.to_string();
            reports(Report::Failed { why });
            return reports(Report::Over);
        }
    };
    let mut task = Task {
        ears,
        stt,
        reports,
        decoding: FuturesUnordered::new(),
        newest: (UtteranceId(0), 0),
        closed: None,
        masked: false,
    };
    loop {
        tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) => {
                    task.frame(&frame);
                    while let Some(frame) = frames.try_recv() {
                        task.frame(&frame);
                    }
                }
                None => break,
            },
            Some(decoded) = task.decoding.next() => task.decoded(decoded),
            command = inbox.recv() => match command {
                Some(command) => task.command(command),
                None => break,
            },
        }
    }
    task.finish().await;
}

fn silent() -> ProviderError {
    let what = format!("no answer within {} s", DECODE_LIMIT.as_secs());
    ProviderError::new("recogniser", Class::FailOver, what)
}

impl Task {
    fn frame(&mut self, frame: &media_core::leg::EarFrame) {
        if self.masked {
            return;
        }
        let at_ms = frame.tick * media_core::frame::FRAME_MS;
        let pushed = self
            .ears
            .push(frame.frame.samples(), at_ms, frame.candidate);
        if let Err(error) = pushed {
            self.fail(error.to_string());
        }
        self.drain();
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Close => self.ears.close(),
            Command::Mask(masked) => {
                if masked {
                    self.ears.finish();
                }
                self.masked = masked;
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.ears.poll_event() {
            match event {
                EarEvent::SpeechStarted { at_ms, .. } | EarEvent::SpeechResumed { at_ms, .. } => {
                    (self.reports)(Report::SpeechStarted { at_ms });
                }
                EarEvent::SpeechEnded {
                    at_ms, speech_ms, ..
                } => (self.reports)(Report::SpeechEnded {
                    at_ms,
                    speech_ms: speech_ms.into(),
                }),
                EarEvent::Decode(request) => self.decode(request),
                EarEvent::Closed {
                    utterance,
                    pass,
                    start_ms,
                    ..
                } => self.close(utterance, pass, start_ms),
            }
        }
    }

    fn decode(&mut self, request: DecodeRequest) {
        let last = request.kind == DecodeKind::Final;
        self.newest = (request.utterance, request.pass);
        let stretch = Stretch {
            utterance: request.utterance,
            pass: request.pass,
            last,
            start_ms: request.start_ms,
            end_ms: request.end_ms,
        };
        let heard = self.stt.hear(HearRequest {
            audio: request.audio,
            kind: if last {
                HearKind::Final
            } else {
                HearKind::Partial
            },
            start_ms: request.start_ms,
            end_ms: request.end_ms,
            speech_ms: request.speech_ms,
        });
        match heard {
            Ok(hearing) => self.decoding.push(Box::pin(async move {
                let result = tokio::time::timeout(DECODE_LIMIT, hearing.text()).await;
                Decoded {
                    request: stretch,
                    result: result.unwrap_or_else(|_| Err(silent())),
                }
            })),
            Err(error) => self.decoded(Decoded {
                request: stretch,
                result: Err(error),
            }),
        }
    }

    fn decoded(&mut self, decoded: Decoded) {
        let Decoded { request, result } = decoded;
        let stale = self.newest.0 == request.utterance && self.newest.1 > request.pass;
        match result {
            Ok(mut heard) if !stale || request.last => {
                for error in std::mem::take(&mut heard.troubles) {
                    (self.reports)(Report::Trouble { error });
                }
                self.words(request, heard);
            }
            Ok(_) => {}
            // A dropped partial is normal under load; a lost final is not.
            Err(_) if !request.last => {}
            Err(error) => {
                let nothing = Heard {
                    text: String::new(),
                    confidence: None,
                    troubles: Vec::new(),
                };
                self.words(request, nothing);
                self.fail(error.to_string());
            }
        }
    }

    fn words(&mut self, stretch: Stretch, heard: Heard) {
        if !stretch.last {
            if !heard.text.is_empty() {
                let (at_ms, text) = (stretch.end_ms, heard.text);
                (self.reports)(Report::Partial { at_ms, text });
            }
            return;
        }
        (self.reports)(Report::Final(FinalTranscript {
            start_ms: stretch.start_ms,
            end_ms: stretch.end_ms,
            text: heard.text,
            confidence: heard.confidence,
        }));
        let closes = |(utterance, pass, _): &mut (UtteranceId, u32, u64)| {
            (*utterance, *pass) == (stretch.utterance, stretch.pass)
        };
        if let Some((_, _, start_ms)) = self.closed.take_if(closes) {
            (self.reports)(Report::Closed { start_ms });
        }
    }

    /// The stretch is complete once its last pass has been recognised.
    fn close(&mut self, utterance: UtteranceId, pass: u32, start_ms: u64) {
        self.closed = Some((utterance, pass, start_ms));
        if self.decoding.is_empty() {
            self.closed = None;
            (self.reports)(Report::Closed { start_ms });
        }
    }

    fn fail(&self, why: String) {
        (self.reports)(Report::Failed { why });
    }

    /// The leg is gone: recognise what is open, so that the transcript has the last words too.
    async fn finish(mut self) {
        self.ears.finish();
        self.drain();
        while let Some(decoded) = self.decoding.next().await {
            self.decoded(decoded);
        }
        (self.reports)(Report::Over);
    }
}
