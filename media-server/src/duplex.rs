//! A Brain that takes every caller frame and makes its own sound: the reflector of `stub-local`,
//! later speech-to-speech models.
//!
//! One task per call: frames go from the leg's ring to the Brain and its sound into the playout
//! ring, without a mailbox between.

use call_core::brain::{Brain, BrainEffect, BrainInput, CallContext};
use media_core::{frame::FRAME_MS, playout::Tag};
use tokio::task::JoinHandle;

use crate::{
    clock::Clock,
    media::{EarReceiver, VoiceSender},
};

/// The handle the Call holds. Dropping it ends the task.
pub struct Duplex(JoinHandle<()>);

impl Duplex {
    /// Starts the task. Utterances are tagged from `first_tag` on.
    pub fn open(
        brain: Box<dyn Brain>,
        context: CallContext,
        frames: EarReceiver,
        voice: VoiceSender,
        first_tag: Tag,
        clock: Clock,
    ) -> Self {
        let task = Task {
            brain,
            voice,
            first_tag,
            clock,
        };
        Self(tokio::spawn(task.run(frames, context)))
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Task {
    brain: Box<dyn Brain>,
    voice: VoiceSender,
    first_tag: Tag,
    clock: Clock,
}

impl Task {
    async fn run(mut self, mut frames: EarReceiver, context: CallContext) {
        self.feed(BrainInput::Prepare(Box::new(context)));
        self.feed(BrainInput::Answered);
        while let Some(frame) = frames.recv().await {
            self.feed(BrainInput::CallerFrame {
                at_ms: frame.tick * FRAME_MS,
                pcm: frame.frame.samples().into(),
            });
        }
        self.feed(BrainInput::CallOver);
    }

    fn feed(&mut self, input: BrainInput) {
        let now = self.clock.now();
        if self.brain.poll_timeout().is_some_and(|at| at <= now) {
            self.brain.handle_timeout(now);
        }
        self.brain.handle(now, input);
        while let Some(effect) = self.brain.poll_effect() {
            if let BrainEffect::Sound {
                utterance,
                pcm,
                last,
                ..
            } = effect
            {
                let tag = Tag(self.first_tag.0 + utterance.0);
                self.voice.push(tag, &pcm);
                if last {
                    self.voice.end(tag);
                }
            }
        }
    }
}
