//! Where the sound of recordings lies.

use std::{
    io::{self, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
};

use crate::store::StoredRecording;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// Bytes of a recording as they come.
pub type Sound = BoxStream<'static, io::Result<Bytes>>;

/// The folder of recordings.
#[derive(Debug, Clone)]
pub struct Vault {
    folder: PathBuf,
}

impl Vault {
    /// The vault in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A part of a recording. Should it turn out to be shorter, the stream ends with an error, so that nobody takes it for whole.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub async fn read(&self, stored: &StoredRecording, part: Range<u64>) -> io::Result<Sound> {
        let mut file = File::open(self.folder.join(&stored.path)).await?;
        file.seek(SeekFrom::Start(part.start)).await?;
        let left = part.end.saturating_sub(part.start);
        let chunks = stream::try_unfold((file, left), |(mut file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let mut buffer = BytesMut::with_capacity(want);
            let count = (&mut file).take(want as u64).read_buf(&mut buffer).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(Some((buffer.freeze(), (file, left - count as u64))))
        });
        Ok(chunks.boxed())
    }
}
