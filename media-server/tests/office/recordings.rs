//! Recordings: uploaded whole, kept until acknowledged.

use std::{path::PathBuf, time::Duration};

use media_server::office::RecordingUploader;

use crate::{
    build::{Dice, call},
    fake::{Fake, Mood, eventually},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn wav(dir: &std::path::Path, name: &str, bytes: usize) -> (PathBuf, Vec<u8>) {
    let mut dice = Dice(bytes as u64);
    let sound: Vec<u8> = (0..bytes)
        .map(|_| u8::try_from(dice.roll(256)).unwrap())
        .collect();
    let path = dir.join(name);
    std::fs::write(&path, &sound).unwrap();
    (path, sound)
}

#[tokio::test]
async fn a_recording_is_uploaded_whole_through_failures_and_only_then_removed() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let (path, sound) = wav(dir.path(), "one.wav", 3_000_001);
    fake.change(|world| world.moods = [Mood::Unwell, Mood::Says(422), Mood::Says(500)].into());
    let uploader = RecordingUploader::open(dir.path(), fake.client(PATIENCE)).unwrap();
    let finished = uploader.ready(call(1), &path).await.unwrap();
    assert_eq!(finished.bytes, 3_000_001);
    assert_eq!(finished.sha256.len(), 64);
    assert!(path.exists());
    let running = tokio::spawn(uploader.clone().run());
    fake.until(|world| world.recordings.contains_key(&call(1)))
        .await;
    assert!(fake.see(|world| world.recordings[&call(1)] == sound));
    eventually(|| !path.exists() && !dir.path().join("one.wav.ready").exists()).await;
    assert_eq!(uploader.waiting(), 0);
    running.abort();
}

#[tokio::test]
async fn what_a_killed_switch_had_not_handed_over_is_found_again() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let (first, _) = wav(dir.path(), "first.wav", 1_000);
    let (unfinished, _) = wav(dir.path(), "unfinished.wav", 1_000);
    let killed = RecordingUploader::open(dir.path(), fake.client(PATIENCE)).unwrap();
    killed.ready(call(1), &first).await.unwrap();
    drop(killed);

    let uploader = RecordingUploader::open(dir.path(), fake.client(PATIENCE)).unwrap();
    assert_eq!(uploader.waiting(), 1);
    let running = tokio::spawn(uploader.run());
    fake.until(|world| world.uploads == 1).await;
    eventually(|| !first.exists()).await;
    assert!(unfinished.exists(), "nobody said that it is whole");
    running.abort();
}

#[tokio::test]
async fn a_recording_that_is_refused_stays_here_and_holds_up_nothing() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let (taken, _) = wav(dir.path(), "taken.wav", 500);
    let (next, _) = wav(dir.path(), "next.wav", 600);
    fake.change(|world| world.moods = [Mood::Says(409)].into());
    let uploader = RecordingUploader::open(dir.path(), fake.client(PATIENCE)).unwrap();
    uploader.ready(call(1), &taken).await.unwrap();
    uploader.ready(call(2), &next).await.unwrap();
    let running = tokio::spawn(uploader.run());
    fake.until(|world| world.recordings.contains_key(&call(2)))
        .await;
    running.abort();
    assert!(taken.exists());
    let again = RecordingUploader::open(dir.path(), fake.client(PATIENCE)).unwrap();
    assert!(
        again.waiting() <= 1,
        "the refused one is not tried at each start"
    );
    assert!(!fake.see(|world| world.recordings.contains_key(&call(1))));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_an_error_and_not_a_wait() {
    let (fake, dir) = (Fake::start().await, tempfile::tempdir().unwrap());
    let uploader = RecordingUploader::open(dir.path(), fake.client(PATIENCE)).unwrap();
    let missing = uploader.ready(call(1), &dir.path().join("none.wav")).await;
    assert!(missing.is_err());
    assert_eq!(uploader.waiting(), 0);
}
