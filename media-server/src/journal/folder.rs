//! The small files beside the segments: who this node is, and how far the office has acknowledged.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use model::NodeId;
use serde::{Deserialize, Serialize};

use super::{JournalError, seal, segment::Position};

/// This folder's node and how often it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub node: NodeId,
    pub boot: u64,
}

impl Identity {
    /// Reads the identity and counts this start, durably, before anything is written under it.
    /// A damaged file is set aside and the folder becomes a new node: its spooled facts carry
    /// their own node and boot, so nothing is lost by it.
    pub(crate) fn next(dir: &Path, now_unix_ms: i64) -> Result<Self, JournalError> {
        let path = dir.join("node.json");
        let known = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Self>(&bytes).ok(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(JournalError::disk("read", &path, e)),
        };
        if known.is_none() && path.exists() {
            tracing::warn!(path = %path.display(), "damaged node identity: set aside, this folder becomes a new node");
            let aside = path.with_extension("json.damaged");
            fs::rename(&path, &aside).map_err(|e| JournalError::disk("rename", &path, e))?;
        }
        let next = match known {
            Some(known) => Self {
                boot: known.boot + 1,
                ..known
            },
            None => Self::fresh(now_unix_ms)?,
        };
        let text = serde_json::to_vec(&next).map_err(|_| JournalError::Sealing)?;
        seal::write_private(&path, &text).map_err(|e| JournalError::disk("write", &path, e))?;
        Ok(next)
    }

    fn fresh(now_unix_ms: i64) -> Result<Self, JournalError> {
        let mut random = [0; 16];
        seal::random(&mut random)?;
        let born = u64::try_from(now_unix_ms).unwrap_or(0);
        Ok(Self {
            node: NodeId::new(born, u128::from_be_bytes(random)),
            boot: 1,
        })
    }
}

const SLOT_BYTES: usize = 32;

/// The acknowledged position: two slots written in turn, so that a torn write leaves the other.
pub(crate) struct AckFile {
    file: File,
    path: PathBuf,
    generation: u64,
}

impl AckFile {
    /// Opens the file. A lost or damaged one means that nothing is acknowledged: everything is
    /// sent again, which changes nothing at the office.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Position), JournalError> {
        let path = dir.join("acknowledged");
        let fail = |e| JournalError::disk("open", &path, e);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        let newest = (0..2)
            .filter_map(|slot| read_slot(&file, slot))
            .max_by_key(|(generation, _)| *generation);
        let (generation, position) = newest.unwrap_or_default();
        let ack = Self {
            file,
            path,
            generation,
        };
        Ok((ack, position))
    }

    /// Keeps `position`. Not synced: after a power cut a batch is sent again.
    pub(crate) fn keep(&mut self, position: Position) -> Result<(), JournalError> {
        self.generation += 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(&self.generation.to_be_bytes());
        slot[8..16].copy_from_slice(&position.segment.to_be_bytes());
        slot[16..24].copy_from_slice(&position.offset.to_be_bytes());
        let crc = crc32fast::hash(&slot[..28]);
        slot[28..].copy_from_slice(&crc.to_be_bytes());
        let place = (self.generation % 2) * SLOT_BYTES as u64;
        self.file
            .write_all_at(&slot, place)
            .map_err(|e| JournalError::disk("write", &self.path, e))
    }
}

fn read_slot(file: &File, slot: u64) -> Option<(u64, Position)> {
    let mut bytes = [0; SLOT_BYTES];
    file.read_exact_at(&mut bytes, slot * SLOT_BYTES as u64)
        .ok()?;
    let crc = u32::from_be_bytes(*bytes.last_chunk()?);
    let numbers: &[u8; 24] = bytes.first_chunk()?;
    let (numbers, _) = numbers.as_chunks::<8>();
    let [generation, segment, offset] = numbers else {
        return None;
    };
    (crc32fast::hash(&bytes[..28]) == crc).then_some((
        u64::from_be_bytes(*generation),
        Position {
            segment: u64::from_be_bytes(*segment),
            offset: u64::from_be_bytes(*offset),
        },
    ))
}

/// Copies stretches that cannot be read out of `segment` into `set-aside/`, for people to look at.
pub(crate) fn set_aside(
    dir: &Path,
    segment: &super::segment::Segment,
    damaged: &[(u64, u64)],
) -> Result<PathBuf, JournalError> {
    let folder = dir.join("set-aside");
    fs::create_dir_all(&folder).map_err(|e| JournalError::disk("create", &folder, e))?;
    for (from, to) in damaged {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        let path = folder.join(format!("{:016x}-{from}.damaged", segment.number));
        segment
            .file
            .read_exact_at(&mut bytes, *from)
            .and_then(|()| fs::write(&path, &bytes))
            .map_err(|e| JournalError::disk("write", &path, e))?;
    }
    Ok(folder)
}
