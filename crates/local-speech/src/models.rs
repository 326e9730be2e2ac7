//! The one model set of a process: four files, loaded at first use, shared by all calls.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::SpeechError;
use crate::graph::Lane;
use crate::moonshine::Moonshine;
use crate::silero::{Silero, Vad};

/// The names `scripts/models` installs.
const ENCODER: &str = "moonshine-tiny-encoder.onnx";
const DECODER: &str = "moonshine-tiny-decoder.onnx";
const TOKENS: &str = "moonshine-tokenizer.json";
const VAD: &str = "silero-vad-16k.onnx";

/// Voice detection is short work: more threads than this never pay.
const MAX_VAD_LANES: usize = 4;

/// The local speech models. Opening is cheap; memory (about 150 MB) is taken at first use.
pub struct Models {
    folder: PathBuf,
    recogniser: Mutex<Option<Arc<Moonshine>>>,
    detector: Mutex<Option<Arc<Silero>>>,
    lanes: Vec<Lane>,
    next_lane: AtomicUsize,
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models")
            .field("folder", &self.folder)
            .field("loaded", &self.is_loaded())
            .finish_non_exhaustive()
    }
}

impl Models {
    /// Looks that all files are in `folder`, and loads none of them.
    pub fn open(folder: &Path) -> Result<Arc<Models>, SpeechError> {
        for name in [ENCODER, DECODER, TOKENS, VAD] {
            let file = folder.join(name);
            if !file.is_file() {
                return Err(SpeechError::MissingModel { file });
            }
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lanes = cores.clamp(1, MAX_VAD_LANES);
        Ok(Arc::new(Models {
            folder: folder.to_path_buf(),
            recogniser: Mutex::new(None),
            detector: Mutex::new(None),
            lanes: (0..lanes).map(|_| Lane::new()).collect(),
            next_lane: AtomicUsize::new(0),
        }))
    }

    /// Loads everything now (blocks for about 0.3 s); later calls cost nothing.
    pub fn load(&self) -> Result<(), SpeechError> {
        self.detector()?;
        self.recogniser()?;
        Ok(())
    }

    /// Whether the recogniser is in memory.
    pub fn is_loaded(&self) -> bool {
        locked(&self.recogniser).is_some()
    }

    pub(crate) fn recogniser(&self) -> Result<Arc<Moonshine>, SpeechError> {
        once(&self.recogniser, || {
            Moonshine::load(
                &self.folder.join(ENCODER),
                &self.folder.join(DECODER),
                &self.folder.join(TOKENS),
            )
        })
    }

    fn detector(&self) -> Result<Arc<Silero>, SpeechError> {
        once(&self.detector, || Silero::load(&self.folder.join(VAD)))
    }

    /// A voice detector for one call, on the next of the detection threads.
    pub(crate) fn vad(&self) -> Result<Vad, SpeechError> {
        let turn = self.next_lane.fetch_add(1, Ordering::Relaxed);
        let lane = self.lanes[turn % self.lanes.len()].clone();
        Ok(Vad::new(self.detector()?, lane))
    }
}

/// A load that failed is tried again by the next caller; one that runs is waited for.
fn once<T>(
    slot: &Mutex<Option<Arc<T>>>,
    load: impl FnOnce() -> Result<T, SpeechError>,
) -> Result<Arc<T>, SpeechError> {
    let mut slot = locked(slot);
    if let Some(there) = slot.as_ref() {
        return Ok(there.clone());
    }
    let fresh = Arc::new(load()?);
    *slot = Some(fresh.clone());
    Ok(fresh)
}

/// A panic while loading leaves the slot empty, so a poisoned lock is as good as new.
fn locked<T>(slot: &Mutex<Option<Arc<T>>>) -> std::sync::MutexGuard<'_, Option<Arc<T>>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
