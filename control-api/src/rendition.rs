//! A recording in the form that was asked for: the stereo master as it lies there, or what is made of it on the way out.
//! Nothing of a recording is in memory but what is between disk and line, and nothing that is made is kept.

use std::{
    io,
    ops::Range,
    sync::{Arc, LazyLock},
};

use audio_files::{
    FileError,
    export::{Export, Form, Master},
    ogg_opus, wav,
};
use bytes::Bytes;
use egress::ObjectError;
use futures_util::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    app::App,
    error::{ApiError, ErrorCode},
    store::StoredRecording,
    vault::Sound,
};

/// Encoding takes a core while it lasts: so many at once, the others wait for their turn.
static ENCODERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(cores))
});

/// A form of one recording.
pub struct Rendition {
    /// What it is (RFC 2361, RFC 5334).
    pub media_type: &'static str,
    /// Tells it from every other content, within quotes.
    pub tag: String,
    /// Its size, bytes.
    pub length: u64,
    made: Option<(Form, Master)>,
    serial: u32,
}

impl Rendition {
    /// The master (no form), or a form of it.
    pub async fn of(
        app: &App,
        stored: &StoredRecording,
        form: Option<Form>,
    ) -> Result<Self, ApiError> {
        let tag = tag(stored, form);
        let serial = stored.sha256.get(..8).unwrap_or_default();
        let serial = u32::from_str_radix(serial, 16).unwrap_or_default();
        let Some(form) = form else {
            return Ok(Self {
                media_type: "audio/wav",
                tag,
                length: stored.bytes,
                made: None,
                serial,
            });
        };
        let master = head(app, stored).await?;
        let export = Export::new(&master, form, serial, 0).map_err(unfit)?;
        Ok(Self {
            media_type: match form {
                Form::MixedWav => "audio/wav",
                Form::Opus { .. } => "audio/ogg; codecs=opus",
            },
            tag,
            length: export.length(),
            made: Some((form, master)),
            serial,
        })
    }

    /// A part of it.
    pub async fn part(
        self,
        app: &App,
        stored: &StoredRecording,
        part: Range<u64>,
    ) -> Result<Sound, ApiError> {
        let Some((form, master)) = self.made else {
            return open(app, stored, part).await;
        };
        let export = Export::new(&master, form, self.serial, part.start).map_err(unfit)?;
        let source = open(app, stored, export.source()).await?;
        let turn = match form {
            Form::MixedWav => None,
            Form::Opus { .. } => ENCODERS.clone().acquire_owned().await.ok(),
        };
        Ok(made(export, source, part.end - part.start, turn))
    }
}

/// The SHA-256 names the master. What is made of it also hangs on what makes it.
fn tag(stored: &StoredRecording, form: Option<Form>) -> String {
    let sha256 = &stored.sha256;
    match form {
        None => format!("\"{sha256}\""),
        Some(Form::MixedWav) => format!("\"{sha256}.mixed\""),
        Some(Form::Opus { mixed }) => {
            let channels = if mixed { 1 } else { 2 };
            let encoder = ogg_opus::encoder().replace(' ', "-");
            format!("\"{sha256}.{encoder}.{channels}\"")
        }
    }
}

async fn open(app: &App, stored: &StoredRecording, part: Range<u64>) -> Result<Sound, ApiError> {
    app.vault().read(stored, part).await.map_err(|fault| {
        tracing::error!(%fault, "a recording cannot be read");
        match fault {
            ObjectError::NotFound { .. } => ApiError::new(
                ErrorCode::NotFound,
                "the sound of this recording is missing",
            ),
            _ => ApiError::new(ErrorCode::Unavailable, "the recording cannot be read now"),
        }
    })
}

/// What the master's first bytes say of it.
async fn head(app: &App, stored: &StoredRecording) -> Result<Master, ApiError> {
    let wanted = stored.bytes.min(wav::HEAD_LEN as u64);
    let mut pieces = open(app, stored, 0..wanted).await?;
    let mut head = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece
            .map_err(|_| ApiError::new(ErrorCode::Unavailable, "the recording cannot be read"))?;
        head.extend_from_slice(&piece);
    }
    Master::read(&head, stored.bytes).map_err(unfit)
}

#[allow(clippy::needless_pass_by_value)] // a function for map_err
fn unfit(fault: FileError) -> ApiError {
    let message = format!("the recording cannot be had in another form: {fault}");
    ApiError::new(ErrorCode::NotAcceptable, message)
}

/// A form on its way out.
struct Making {
    export: Export,
    source: Sound,
    /// Bytes that are still wanted.
    left: u64,
    over: bool,
    /// Held for as long as it is made.
    turn: Option<OwnedSemaphorePermit>,
}

impl Making {
    /// Takes the next piece of the master; what is then ready.
    async fn step(mut self) -> io::Result<(Vec<u8>, Self)> {
        let Some(piece) = self.source.next().await else {
            let out = self.export.finish();
            self.over = true;
            return Ok((out, self));
        };
        let piece = piece?;
        if self.turn.is_none() {
            return Ok((self.export.push(&piece), self));
        }
        // Encoding takes milliseconds: too long for a thread that serves others.
        let made = tokio::task::spawn_blocking(move || (self.export.push(&piece), self));
        made.await.map_err(io::Error::other)
    }

    /// The next bytes that are wanted; none once all have come.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        while self.left > 0 {
            if self.over {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (mut out, making) = self.step().await?;
            self = making;
            out.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= out.len() as u64;
            if !out.is_empty() {
                return Ok(Some((out.into(), self)));
            }
        }
        Ok(None)
    }
}

fn made(export: Export, source: Sound, left: u64, turn: Option<OwnedSemaphorePermit>) -> Sound {
    let making = Making {
        export,
        source,
        left,
        over: false,
        turn,
    };
    stream::try_unfold(making, Making::next).boxed()
}
