//! Recordings, written off the media threads: stereo WAV, caller left, agent right, one frame each per call tick.
//!
//! Samples are written ten times a second, the header once a second: a file survives SIGKILL valid to
//! its last second, and whole once it is mended.

use super::meters::{Meters, count};
use super::shared::Shared;
use super::{MediaError, RECORDER_RING_MS};
use media_core::recording::{
    MAX_DATA_BYTES, MAX_STEREO_LEN, WAV_HEADER_LEN, bytes_of, interleave, wav_header,
};
use media_core::{Frame, Rate};
use rtrb::{Consumer, Producer, RingBuffer};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const ROUND: Duration = Duration::from_millis(100);
const HEADER_EVERY: Duration = Duration::from_secs(1);
/// Bytes of one sample of both channels.
const STEREO_SAMPLE: u64 = 4;
/// Where the header has its sampling rate, and how much of it the RIFF size counts.
const RATE_AT: usize = 24;
const RIFF_REST: u32 = 36;

/// What to record into, and whom to tell when the file is closed.
#[derive(Debug)]
pub struct RecordingSpec {
    /// The file; an existing one is replaced.
    pub path: PathBuf,
    /// Gets the report when the file is whole.
    pub done: Option<oneshot::Sender<RecordingReport>>,
}

/// A closed recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingReport {
    /// The file.
    pub path: PathBuf,
    /// Where on the call timeline it begins.
    pub start_ms: u64,
    /// Its length.
    pub duration_ms: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Ticks that are silence because they could not be held (a full ring, a machine being replaced).
    pub filled_ticks: u64,
    /// What went wrong with the disk, if anything did; the file is then valid up to there.
    pub error: Option<String>,
}

/// What both ends of a recording's ring see.
#[derive(Debug, Default)]
struct TapCell {
    closed: AtomicBool,
    start_tick: AtomicU64,
    /// Ticks of silence still owed when the tap was closed.
    owed: AtomicU64,
    filled: AtomicU64,
}

/// Whether a recording is silent. It grows all the same: its timeline is the call's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mute {
    /// It has the sound of the call.
    Off,
    /// Silent until told otherwise.
    On,
    /// Silent for so many ticks more: a key that is still held down stays out too.
    For(u32),
}

/// The media thread's end of a recording. Dropping it closes the recording.
pub(super) struct Tap {
    ring: Producer<i16>,
    cell: Arc<TapCell>,
    shared: Arc<Shared>,
    meters: Arc<Meters>,
    owed: u64,
    started: bool,
    mute: Mute,
    frame: [i16; MAX_STEREO_LEN],
}

impl Tap {
    /// One tick. What the ring cannot take is owed as silence, so that the timeline stays whole.
    pub(super) fn write(&mut self, tick: u64, caller: &Frame, agent: &Frame) {
        if !self.started {
            self.started = true;
            self.cell.start_tick.store(tick, Ordering::Release);
        }
        let len = interleave(caller, agent, &mut self.frame);
        if self.is_mute() {
            self.frame.fill(0);
        }
        self.pay_silence(len);
        let written = self.owed == 0
            && self
                .frame
                .get(..len)
                .is_some_and(|pcm| self.ring.push_entire_slice(pcm).is_ok());
        if !written {
            self.owed += 1;
            count(&self.shared.recorder_drops);
            count(&self.meters.recorder_drops);
        }
    }

    /// Makes it silent, or ends that.
    pub(super) fn mute(&mut self, mute: Mute) {
        self.mute = mute;
    }

    /// Whether this tick is silent.
    fn is_mute(&mut self) -> bool {
        let now = self.mute;
        self.mute = match now {
            Mute::Off | Mute::For(0 | 1) => Mute::Off,
            Mute::On => Mute::On,
            Mute::For(ticks) => Mute::For(ticks - 1),
        };
        !matches!(now, Mute::Off | Mute::For(0))
    }

    /// Ticks that will never be written.
    pub(super) fn skip(&mut self, ticks: u64) {
        if self.started {
            self.owed += ticks;
        }
    }

    fn pay_silence(&mut self, len: usize) {
        const SILENCE: [i16; MAX_STEREO_LEN] = [0; MAX_STEREO_LEN];
        while self.owed > 0 && self.ring.slots() >= 2 * len {
            if self
                .ring
                .push_entire_slice(SILENCE.get(..len).unwrap_or(&[]))
                .is_err()
            {
                return;
            }
            self.owed -= 1;
            self.cell.filled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.cell.owed.store(self.owed, Ordering::Relaxed);
        self.cell.closed.store(true, Ordering::Release);
    }
}

/// A thread's inbox and handle.
type Worker = (Sender<Job>, Option<JoinHandle<()>>);

enum Job {
    Open(Box<Recording>),
    Shutdown,
}

/// The writing threads.
pub(super) struct RecorderPool {
    threads: Mutex<Vec<Worker>>,
    next: AtomicU64,
    meters: Arc<Meters>,
}

impl RecorderPool {
    pub(super) fn start(threads: usize, meters: &Arc<Meters>) -> Result<Self, MediaError> {
        let start = |n: usize| {
            let (jobs, inbox) = channel();
            let meters = Arc::clone(meters);
            let builder = std::thread::Builder::new().name(format!("recorder-{n}"));
            let handle = builder
                .spawn(move || run(&inbox, &meters))
                .map_err(MediaError::Thread)?;
            Ok((jobs, Some(handle)))
        };
        let threads = (0..threads).map(start).collect::<Result<_, MediaError>>()?;
        Ok(Self {
            threads: Mutex::new(threads),
            next: AtomicU64::new(0),
            meters: Arc::clone(meters),
        })
    }

    /// Makes the file and gives the media thread's end of it.
    pub(super) fn open(
        &self,
        spec: RecordingSpec,
        rate: Rate,
        shared: Arc<Shared>,
    ) -> Result<Box<Tap>, MediaError> {
        let RecordingSpec { path, done } = spec;
        let file = create(&path, rate).map_err(|source| MediaError::Recording {
            path: path.clone(),
            source,
        })?;
        let (ring, samples) = RingBuffer::new(rate.samples(RECORDER_RING_MS) * 2);
        let cell = Arc::new(TapCell::default());
        let meters = Arc::clone(&self.meters);
        let tap = Tap {
            ring,
            cell: Arc::clone(&cell),
            shared,
            meters,
            owed: 0,
            started: false,
            mute: Mute::Off,
            frame: [0; MAX_STEREO_LEN],
        };
        let recording = Recording {
            file,
            path,
            rate,
            samples,
            cell,
            done,
            bytes: 0,
            header_at: Instant::now(),
            buffer: Vec::new(),
            error: None,
        };
        self.hand_over(Job::Open(Box::new(recording)))?;
        Ok(Box::new(tap))
    }

    /// Closes nothing by force: each thread ends when its recordings have ended.
    pub(super) fn shutdown(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (jobs, _) in threads.iter() {
            let _ = jobs.send(Job::Shutdown);
        }
        for (_, handle) in threads.iter_mut() {
            if let Some(handle) = handle.take() {
                let _ = handle.join();
            }
        }
    }

    fn hand_over(&self, job: Job) -> Result<(), MediaError> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.next.fetch_add(1, Ordering::Relaxed) as usize % threads.len().max(1);
        let (jobs, _) = threads.get(turn).ok_or(MediaError::Stopping)?;
        jobs.send(job).map_err(|_| MediaError::Stopping)
    }
}

fn create(path: &Path, rate: Rate) -> std::io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.write_all_at(&wav_header(rate, 0), 0)?;
    Ok(file)
}

/// Makes the header of a recording that was never closed say what is really there: the header is
/// written once a second, samples ten times. Its length in milliseconds.
///
/// # Errors
/// The disk's; `InvalidData` when the file is no recording of ours.
pub fn mend(path: &Path) -> std::io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut header = [0; WAV_HEADER_LEN];
    file.read_exact_at(&mut header, 0)?;
    let [r0, r1, r2, r3] = *header
        .get(RATE_AT..)
        .and_then(|rest| rest.first_chunk::<4>())
        .unwrap_or(&[0; 4]);
    let rate_hz = u64::from(u32::from_le_bytes([r0, r1, r2, r3]));
    if header.get(..4) != Some(b"RIFF") || rate_hz == 0 {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let there = file.metadata()?.len().saturating_sub(WAV_HEADER_LEN as u64);
    let data = (there - there % STEREO_SAMPLE).min(u64::from(MAX_DATA_BYTES));
    file.set_len(WAV_HEADER_LEN as u64 + data)?;
    let data_bytes = data as u32;
    file.write_all_at(&(data_bytes + RIFF_REST).to_le_bytes(), 4)?;
    file.write_all_at(&data_bytes.to_le_bytes(), WAV_HEADER_LEN as u64 - 4)?;
    file.sync_data()?;
    Ok(data * 1_000 / (rate_hz * STEREO_SAMPLE))
}

struct Recording {
    file: File,
    path: PathBuf,
    rate: Rate,
    samples: Consumer<i16>,
    cell: Arc<TapCell>,
    done: Option<oneshot::Sender<RecordingReport>>,
    bytes: u64,
    header_at: Instant,
    buffer: Vec<u8>,
    error: Option<String>,
}

/// Runs until told to stop and every recording is closed.
fn run(inbox: &Receiver<Job>, meters: &Meters) {
    let (mut open, mut stopping): (Vec<Recording>, bool) = (Vec::new(), false);
    let mut next = Instant::now() + ROUND;
    while !(stopping && open.is_empty()) {
        match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Job::Open(recording)) => open.push(*recording),
            Ok(Job::Shutdown) | Err(RecvTimeoutError::Disconnected) => stopping = true,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if stopping || Instant::now() >= next {
            next = Instant::now() + ROUND;
            open.retain_mut(|recording| !recording.round());
            meters.recordings.store(open.len(), Ordering::Relaxed);
        }
        if stopping && !open.is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Recording {
    /// Writes what has come; true when the file is closed.
    fn round(&mut self) -> bool {
        let closed = self.cell.closed.load(Ordering::Acquire);
        self.drain();
        if closed {
            self.finish();
        } else if self.header_at.elapsed() >= HEADER_EVERY {
            self.write_header();
        }
        closed
    }

    fn drain(&mut self) {
        let Ok(chunk) = self.samples.read_chunk(self.samples.slots()) else {
            return;
        };
        let (first, second) = chunk.as_slices();
        self.buffer.clear();
        self.buffer.extend(
            first
                .iter()
                .chain(second)
                .flat_map(|sample| sample.to_le_bytes()),
        );
        chunk.commit_all();
        self.append();
    }

    /// Puts the buffer at the end of the file, as far as a WAV header can count.
    fn append(&mut self) {
        let room = u64::from(MAX_DATA_BYTES).saturating_sub(self.bytes) as usize;
        let data = self
            .buffer
            .get(..self.buffer.len().min(room))
            .unwrap_or(&[]);
        if self.error.is_some() || data.is_empty() {
            return;
        }
        match self
            .file
            .write_all_at(data, WAV_HEADER_LEN as u64 + self.bytes)
        {
            Ok(()) => self.bytes += data.len() as u64,
            Err(error) => self.error = Some(error.to_string()),
        }
    }

    fn write_header(&mut self) {
        self.header_at = Instant::now();
        let header = wav_header(self.rate, self.bytes.min(u64::from(MAX_DATA_BYTES)) as u32);
        if let Err(error) = self.file.write_all_at(&header, 0) {
            self.error.get_or_insert(error.to_string());
        }
    }

    fn finish(&mut self) {
        let owed = self.cell.owed.load(Ordering::Relaxed);
        for _ in 0..owed {
            self.buffer.clear();
            self.buffer.resize(bytes_of(self.rate, 1) as usize, 0);
            self.append();
        }
        self.write_header();
        if let Err(error) = self.file.sync_data() {
            self.error.get_or_insert(error.to_string());
        }
        if let Some(done) = self.done.take() {
            let _ = done.send(self.report(owed));
        }
    }

    fn report(&self, owed: u64) -> RecordingReport {
        RecordingReport {
            path: self.path.clone(),
            start_ms: self.cell.start_tick.load(Ordering::Acquire) * media_core::FRAME_MS,
            duration_ms: self.bytes * 1_000 / (u64::from(self.rate.hz()) * 4),
            bytes: WAV_HEADER_LEN as u64 + self.bytes,
            filled_ticks: self.cell.filled.load(Ordering::Relaxed) + owed,
            error: self.error.clone(),
        }
    }
}
