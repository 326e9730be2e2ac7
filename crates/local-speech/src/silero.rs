//! Silero VAD v6.2, 16 kHz: how likely 32 ms of sound hold a voice.
//!
//! The model is shared; what a call owns is [`Vad`]: 1 KB of recurrent state and 64
//! samples of context. Source: the package `silero-vad` 6.2.3 (MIT), file
//! `silero_vad_16k_op15.onnx`.

use std::path::Path;
use std::sync::Arc;

use crate::error::SpeechError;
use crate::graph::{Feed, Graph, Lane, Port, Tensor};

/// Samples one score is made of: 32 ms at 16 kHz.
pub const VAD_FRAME: usize = 512;
/// Samples of the frame before that the model wants to see again.
const CONTEXT: usize = 64;
const STATE: [usize; 3] = [2, 1, 128];
const RATE_HZ: i32 = 16_000;

/// The shared model.
pub(crate) struct Silero {
    graph: Graph,
    input: Port,
    state: Port,
    rate: Port,
    outputs: [Port; 2],
}

impl Silero {
    pub(crate) fn load(path: &Path) -> Result<Silero, SpeechError> {
        let graph = Graph::load(path, "silero-vad")?;
        Ok(Silero {
            input: graph.port("input")?,
            state: graph.port("state")?,
            rate: graph.port("sr")?,
            outputs: [graph.port("output")?, graph.port("stateN")?],
            graph,
        })
    }
}

/// One call's use of the model.
pub(crate) struct Vad {
    model: Arc<Silero>,
    lane: Lane,
    state: Option<Tensor>,
    window: [f32; CONTEXT + VAD_FRAME],
}

impl Vad {
    /// `lane` is where the model runs; calls may share one.
    pub(crate) fn new(model: Arc<Silero>, lane: Lane) -> Vad {
        Vad {
            model,
            lane,
            state: None,
            window: [0.0; CONTEXT + VAD_FRAME],
        }
    }

    /// Forgets what was heard, as at the start of a call.
    pub(crate) fn reset(&mut self) {
        self.state = None;
        self.window = [0.0; CONTEXT + VAD_FRAME];
    }

    /// The probability of a voice, 0 to 1, in the next 32 ms of sound (±1.0).
    pub(crate) fn score(&mut self, frame: &[f32; VAD_FRAME]) -> Result<f32, SpeechError> {
        self.window.copy_within(VAD_FRAME.., 0);
        self.window[CONTEXT..].copy_from_slice(frame);
        let state = self.state.take().unwrap_or_else(|| Tensor::zeros(&STATE));
        let (model, lane, window) = (&self.model, &self.lane, &self.window);
        let outcome = lane.run(|| {
            let feeds = vec![
                (model.input, Feed::F32(vec![1, CONTEXT + VAD_FRAME], window)),
                (model.state, Feed::Given(state)),
                (model.rate, Feed::I32(Vec::new(), vec![RATE_HZ])),
            ];
            model.graph.run(lane, feeds, &model.outputs)
        })?;
        let mut outputs = outcome.into_iter();
        let score = outputs.next().and_then(|t| t.last_row());
        self.state = outputs.next();
        Ok(score.and_then(|row| row.first().copied()).unwrap_or(0.0))
    }
}
