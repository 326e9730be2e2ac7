//! Sounds that dialplans name: whether they are there and can be played.

use std::path::{Component, Path};

use audio_files::sound;
use call_core::document::{Document, Fault, Node, SourceFile, Value};

/// Largest file of a sound: ten minutes of 16-bit stereo at 48 kHz.
pub const LARGEST_SOUND_BYTES: u64 = LONGEST_SOUND_S as u64 * 48_000 * 4;
/// The longest sound, seconds.
pub const LONGEST_SOUND_S: u32 = 600;

/// Looks at every sound below the media folder that these dialplans name. One that is not there yet is a warning.
pub(crate) fn check(sources: &[SourceFile], media: &Path, faults: &mut Vec<Fault>) {
    for source in sources {
        // Faults of its form were told when it was read.
        let document = Document::parse(source.clone(), &mut Vec::new());
        walk(&document, document.root(), media, faults);
    }
}

fn walk(document: &Document, node: &Node, media: &Path, faults: &mut Vec<Fault>) {
    for item in node.items() {
        walk(document, item, media, faults);
    }
    for entry in node.entries() {
        match entry.key.as_str() {
            "play" => {
                let long = entry.node.child("source");
                look(document, long.unwrap_or(&entry.node), media, faults);
            }
            "music" => look(document, &entry.node, media, faults),
            _ => {}
        }
        walk(document, &entry.node, media, faults);
    }
}

fn look(document: &Document, node: &Node, media: &Path, faults: &mut Vec<Fault>) {
    let Value::String(name) = &node.value else {
        return;
    };
    let plain = |part| matches!(part, Component::Normal(_));
    if name.starts_with("prompt:") || !Path::new(name).components().all(plain) {
        return;
    }
    let path = media.join(name);
    let there = std::fs::metadata(&path);
    let Ok(there) = there else {
        let message = format!("there is no {}", path.display());
        return faults.push(Fault {
            severity: call_core::document::Severity::Warning,
            ..document.fault_at(node, message)
        });
    };
    if let Err(why) = playable(&path, there.len()) {
        let message = format!("{} cannot be played: {why}", path.display());
        faults.push(document.fault_at(node, message));
    }
}

fn playable(path: &Path, bytes: u64) -> Result<(), String> {
    if bytes > LARGEST_SOUND_BYTES {
        return Err(format!("longer than {LONGEST_SOUND_S} s"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    sound::check(&bytes, LONGEST_SOUND_S).map_err(|error| error.to_string())
}
