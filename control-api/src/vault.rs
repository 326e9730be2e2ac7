//! Where the sound of recordings lies: in the data folder, or in a bucket. What was kept in the folder before there was a bucket stays
//! there and is found there.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use egress::{Bucket, Egress, EgressConfig, EgressError, ObjectError, ObjectWriter, Objects};
use futures_util::stream::{self, BoxStream, StreamExt as _};

use crate::{closed::closed, store::StoredRecording};

/// What a recording is (RFC 2361).
const MEDIA_TYPE: &str = "audio/wav";

/// Bytes of a recording as they come.
pub type Sound = BoxStream<'static, io::Result<Bytes>>;

closed! {
    /// Where a recording lies.
    pub enum Place {
        /// In the data folder.
        Folder = "folder",
        /// In the bucket.
        Bucket = "bucket",
    }
}

/// Where recordings are kept.
#[derive(Debug, Clone)]
pub struct Vault {
    root: PathBuf,
    folder: Objects,
    bucket: Option<Objects>,
}

impl Vault {
    /// The vault in this folder, which must be there; new recordings go to the bucket if there is one.
    ///
    /// # Errors
    /// The folder cannot be opened, the bucket cannot be used as described.
    pub fn open(root: PathBuf, bucket: Option<&Bucket>) -> Result<Self, VaultError> {
        let folder = Objects::folder(&root)?;
        let bucket = bucket.map(|bucket| -> Result<Objects, VaultError> {
            let egress = Egress::new(EgressConfig::default())?;
            Ok(Objects::bucket(bucket, &egress)?)
        });
        Ok(Self {
            bucket: bucket.transpose()?,
            root,
            folder,
        })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where new recordings go.
    pub fn place(&self) -> Place {
        match self.bucket {
            Some(_) => Place::Bucket,
            None => Place::Folder,
        }
    }

    /// Begins a new recording.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn begin(&self, path: &str, sha256: &str) -> Result<ObjectWriter, ObjectError> {
        let objects = self.bucket.as_ref().unwrap_or(&self.folder);
        objects.begin(path, MEDIA_TYPE, sha256).await
    }

    /// A part of a recording. Should it turn out to be shorter, the stream ends with an error, so that nobody takes it for whole.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn read(
        &self,
        stored: &StoredRecording,
        part: Range<u64>,
    ) -> Result<Sound, ObjectError> {
        let left = part.end.saturating_sub(part.start);
        let bytes = self.of(stored)?.read(&stored.path, part).await?;
        let whole = stream::try_unfold((bytes, left), |(mut bytes, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let piece = bytes.next().await.unwrap_or(Ok(Bytes::new()));
            let piece = piece.map_err(io::Error::other)?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let left = left.saturating_sub(piece.len() as u64);
            Ok(Some((piece, (bytes, left))))
        });
        Ok(whole.boxed())
    }

    /// Deletes a recording's sound. What is not there is deleted.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn delete(&self, stored: &StoredRecording) -> Result<(), ObjectError> {
        self.of(stored)?.delete(&stored.path).await
    }

    fn of(&self, stored: &StoredRecording) -> Result<&Objects, ObjectError> {
        match (stored.place, &self.bucket) {
            (Place::Folder, _) => Ok(&self.folder),
            (Place::Bucket, Some(bucket)) => Ok(bucket),
            (Place::Bucket, None) => Err(ObjectError::Failed {
                what: "cannot reach",
                key: stored.path.clone(),
                why: "it lies in a bucket, and none is configured".to_owned(),
            }),
        }
    }
}

/// Why there is no vault.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The way out.
    #[error(transparent)]
    Door(#[from] EgressError),
    /// The folder or the bucket.
    #[error(transparent)]
    Objects(#[from] ObjectError),
}
