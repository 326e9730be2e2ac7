//! Takes recordings: streamed to where they are kept, checked, and there only then. At no moment is more than two parts of one in
//! memory, or a half of it under its final name.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use axum::body::Body;
use egress::{ObjectError, ObjectWriter};
use futures_util::StreamExt as _;
use model::CallId;
use sha2::{Digest, Sha256};
use tokio::fs;

use crate::{
    app::App,
    clock::now_ms,
    error::{ApiError, ErrorCode, FaultCode},
    store::{StoredRecording, hex},
};

/// The largest recording: 18 hours of stereo at 8 kHz.
const LARGEST: u64 = 2 << 30;
/// What stands in the names of temporary files alone: before the number of the attempt.
const PART: &str = ".wav#";
/// How old a temporary file must be to count as left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(3_600);

/// Stores the recording of `call`, whose SHA-256 must be `sha256`. Goes on to the end should the caller go away: what has come of it
/// is put away then.
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
    let (app, wanted) = (app.clone(), wanted.to_owned());
    let taken = tokio::spawn(async move {
        match app.db().is_erased(call).await? {
            true => forget(&app, call, wanted, body).await,
            false => keep(&app, call, wanted, body).await,
        }
    });
    let lost = |_| ApiError::new(ErrorCode::Internal, "the recording could not be taken");
    taken.await.map_err(lost)?
}

async fn keep(
    app: &App,
    call: CallId,
    wanted: String,
    body: Body,
) -> Result<StoredRecording, ApiError> {
    let path = place(call, &wanted);
    let mut writer = app.vault().begin(&path, &wanted).await.map_err(unkept)?;
    let taken = read(body, Some(&mut writer)).await;
    let fits = taken.and_then(|(bytes, found)| fitting(bytes, &found, &wanted));
    let bytes = match fits {
        Ok(bytes) => bytes,
        Err(fault) => {
            writer.abort().await;
            return Err(fault);
        }
    };
    writer.finish().await.map_err(unkept)?;
    let recording = StoredRecording {
        place: app.vault().place(),
        path,
        bytes,
        sha256: wanted,
        stored_ms: now_ms(),
    };
    if app.db().add_recording(call, &recording).await? {
        return Ok(recording);
    }
    known(app, call, recording).await
}

/// Nobody may keep this: it is taken off the switch's hands, and no byte of it is written.
async fn forget(
    app: &App,
    call: CallId,
    wanted: String,
    body: Body,
) -> Result<StoredRecording, ApiError> {
    let (bytes, found) = read(body, None).await?;
    tracing::info!(%call, "an erased recording came, and was not kept");
    Ok(StoredRecording {
        place: app.vault().place(),
        path: String::new(),
        bytes: fitting(bytes, &found, &wanted)?,
        sha256: wanted,
        stored_ms: now_ms(),
    })
}

/// The call has a recording already: the same one is fine, another one is not taken.
async fn known(
    app: &App,
    call: CallId,
    recording: StoredRecording,
) -> Result<StoredRecording, ApiError> {
    match app.db().recording(call).await? {
        Some(before) if before.sha256 == recording.sha256 => Ok(before),
        _ => {
            if let Err(fault) = app.vault().delete(&recording).await {
                tracing::error!(%call, %fault, "a recording that was not taken is still there");
            }
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

/// Reads the body, into the writer if there is one; its size and SHA-256.
async fn read(
    body: Body,
    mut writer: Option<&mut ObjectWriter>,
) -> Result<(u64, String), ApiError> {
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
        if let Some(writer) = &mut writer {
            writer.write(&chunk).await.map_err(unkept)?;
        }
    }
    Ok((bytes, hex(&digest.finalize())))
}

/// The size, of what is what it should be.
fn fitting(bytes: u64, found: &str, wanted: &str) -> Result<u64, ApiError> {
    if found == wanted {
        return Ok(bytes);
    }
    let message = format!("the body's SHA-256 is {found}: send it again");
    let (code, fault) = (ErrorCode::ValidationFailed, FaultCode::Inconsistent);
    Err(ApiError::at(
        code,
        fault,
        "/header/x-content-sha256",
        message,
    ))
}

#[allow(clippy::needless_pass_by_value)] // a function for map_err
fn unkept(fault: ObjectError) -> ApiError {
    tracing::error!(%fault, "a recording could not be kept");
    ApiError::new(ErrorCode::Unavailable, "the recording could not be kept")
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
            let name = file.file_name();
            let part = name.to_str().is_some_and(|name| name.contains(PART));
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
