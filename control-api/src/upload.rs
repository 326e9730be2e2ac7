//! Takes recordings: streamed to a temporary file, checked, synced, then renamed into place. At
//! no moment is more than a chunk of it in memory, or a half of it under its final name.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use axum::body::Body;
use futures_util::StreamExt as _;
use model::CallId;
use sha2::{Digest, Sha256};
use tokio::{fs, io::AsyncWriteExt as _};

use crate::{
    app::App,
    clock::{now_ms, random},
    error::{ApiError, ErrorCode, FaultCode},
    store::{StoredRecording, hex},
};

/// The largest recording: 18 hours of stereo at 8 kHz.
const LARGEST: u64 = 2 << 30;
/// What temporary files end with.
const PART: &str = "part";
/// How old a temporary file must be to count as left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(3_600);

/// Stores the recording of `call`, whose SHA-256 must be `sha256`.
pub async fn take(
    app: &App,
    call: CallId,
    sha256: Option<&str>,
    body: Body,
) -> Result<StoredRecording, ApiError> {
    let wanted = sha256.filter(|text| is_sha256(text)).ok_or_else(|| {
        ApiError::at(
            ErrorCode::ValidationFailed,
            FaultCode::InvalidFormat,
            "/header/x-content-sha256",
            "x-content-sha256 must be 64 lower-case hex digits",
        )
    })?;
    let path = place(call, wanted);
    let target = app.vault().folder().join(&path);
    let folder = target
        .parent()
        .unwrap_or(app.vault().folder())
        .to_path_buf();
    fs::create_dir_all(&folder).await.map_err(disk)?;
    let part = Part::new(&folder, call);
    let (bytes, found) = write(&part.path, body).await?;
    if found != wanted {
        let message = format!("the body's SHA-256 is {found}: send it again");
        let (code, fault) = (ErrorCode::ValidationFailed, FaultCode::Inconsistent);
        return Err(ApiError::at(
            code,
            fault,
            "/header/x-content-sha256",
            message,
        ));
    }
    fs::rename(&part.path, &target).await.map_err(disk)?;
    sync_folder(&folder).await.map_err(disk)?;
    let recording = StoredRecording {
        path,
        bytes,
        sha256: found,
        stored_ms: now_ms(),
    };
    if app.db().add_recording(call, &recording).await? {
        return Ok(recording);
    }
    known(app, call, recording, &target).await
}

/// The call has a recording already: the same one is fine, another one is not taken.
async fn known(
    app: &App,
    call: CallId,
    recording: StoredRecording,
    target: &Path,
) -> Result<StoredRecording, ApiError> {
    match app.db().recording(call).await? {
        Some(before) if before.sha256 == recording.sha256 => Ok(before),
        _ => {
            let _ = fs::remove_file(target).await;
            Err(ApiError::new(
                ErrorCode::Conflict,
                "this call has another recording already",
            ))
        }
    }
}

fn is_sha256(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 64 && text.bytes().all(digit)
}

/// The path below the recordings folder, spread over folders by the end of the call's id. The
/// content is part of the name, so that two contents never meet under one.
fn place(call: CallId, sha256: &str) -> String {
    let call = call.to_string();
    let shard: String = call.chars().rev().take(2).collect();
    let content: String = sha256.chars().take(16).collect();
    format!("{shard}/{call}.{content}.wav")
}

/// A temporary file that is gone when nobody renamed it.
struct Part {
    path: PathBuf,
}

impl Part {
    fn new(folder: &Path, call: CallId) -> Self {
        let name = format!("{call}.{}.{PART}", hex(&random::<8>()));
        Self {
            path: folder.join(name),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Writes the body and syncs it; its size and SHA-256.
async fn write(path: &Path, body: Body) -> Result<(u64, String), ApiError> {
    let mut file = fs::File::create_new(path).await.map_err(disk)?;
    let mut body = body.into_data_stream();
    let mut digest = Sha256::new();
    let mut bytes = 0_u64;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| {
            ApiError::new(
                ErrorCode::InvalidRequest,
                "the body broke off: send it again",
            )
        })?;
        bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if bytes > LARGEST {
            let message = format!("a recording has at most {LARGEST} bytes");
            return Err(ApiError::new(ErrorCode::PayloadTooLarge, message));
        }
        digest.update(&chunk);
        file.write_all(&chunk).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    file.sync_all().await.map_err(disk)?;
    Ok((bytes, hex(&digest.finalize())))
}

/// A rename lasts once its folder is synced.
async fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder).await?.sync_all().await
}

#[allow(clippy::needless_pass_by_value)] // a function for map_err
fn disk(fault: io::Error) -> ApiError {
    tracing::error!(%fault, "a recording could not be written");
    ApiError::new(ErrorCode::Unavailable, "the recording could not be written")
}

/// Removes temporary files that a killed process left behind.
pub async fn sweep(recordings: &Path) -> io::Result<usize> {
    let mut swept = 0;
    let mut folders = fs::read_dir(recordings).await?;
    while let Some(folder) = folders.next_entry().await? {
        if !folder.file_type().await?.is_dir() {
            continue;
        }
        let mut files = fs::read_dir(folder.path()).await?;
        while let Some(file) = files.next_entry().await? {
            let part = file.path().extension().is_some_and(|end| end == PART);
            if part && is_old(&file.metadata().await?) {
                fs::remove_file(file.path()).await?;
                swept += 1;
            }
        }
    }
    Ok(swept)
}

fn is_old(metadata: &std::fs::Metadata) -> bool {
    let changed = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let age = SystemTime::now().duration_since(changed);
    age.is_ok_and(|age| age > LEFT_BEHIND)
}
