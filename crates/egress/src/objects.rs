//! Objects: files of any size by name, in a folder or in an S3 bucket. The only file that names `object_store`.
//!
//! Both are written in parts as the bytes come and appear whole or not at all; of an object no more than two parts are in memory. A bucket
//! is reached through the door's own client: no proxy of the environment, no redirects, and no credentials but those it is given.

use std::{fmt, future::Future, ops::Range, path::Path, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, GetOptions, GetRange, MultipartUpload,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, RetryConfig,
    aws::AmazonS3Builder,
    client::{HttpClient, HttpConnector},
    local::LocalFileSystem,
    path::Path as Key,
};
use tokio::time::timeout;

use crate::Egress;

/// What is sent at once. S3 takes no smaller part but the last, and 10,000 of them.
const PART: usize = 5 << 20;
/// Longest wait for one request and its repetitions.
const REQUEST: Duration = Duration::from_secs(90);
/// Longest wait for the next bytes of an object.
const IDLE: Duration = Duration::from_secs(30);
/// Repetitions of a request that failed on the way or with 5xx.
const REPEATS: usize = 5;
/// For how long they may go on.
const REPEAT_FOR: Duration = Duration::from_secs(60);

/// An S3 bucket, and what opens it. Its endpoint is the operator's word: it may be anywhere.
#[derive(Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// The service, `https://s3.example`; none is Amazon's in the region.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: String,
    /// What object names begin with, without a slash at the end; empty for nothing.
    pub prefix: String,
    /// The id of the key.
    pub access_key: String,
    /// The key.
    pub secret_key: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("name", &self.name)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Why an object could not be had, put or deleted. Names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// There is none of this name.
    #[error("there is no object {key}")]
    NotFound {
        /// Its name.
        key: String,
    },
    /// The folder cannot be opened, the bucket cannot be used as described.
    #[error("the store of objects cannot be set up: {why}")]
    Setup {
        /// One line.
        why: String,
    },
    /// The store failed or refused.
    #[error("{what} {key}: {why}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// The object's name.
        key: String,
        /// One line.
        why: String,
    },
    /// It took too long.
    #[error("{what} {key} took longer than {limit:?}")]
    Timeout {
        /// What was tried.
        what: &'static str,
        /// The object's name.
        key: String,
        /// The limit.
        limit: Duration,
    },
}

/// Objects of one place. A cheap handle.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    /// Whether objects have a description beside their bytes.
    describes: bool,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects({})", self.store)
    }
}

/// Bytes of an object as they come.
pub type ObjectBytes = BoxStream<'static, Result<Bytes, ObjectError>>;

impl Objects {
    /// The files of a folder, which must be there. What was reported as put is synced.
    ///
    /// # Errors
    /// [`ObjectError::Setup`] when it cannot be opened.
    pub fn folder(folder: &Path) -> Result<Self, ObjectError> {
        let files = LocalFileSystem::new_with_prefix(folder).map_err(setup)?;
        Ok(Self {
            store: Arc::new(files.with_fsync(true)),
            prefix: String::new(),
            describes: false,
        })
    }

    /// The objects of a bucket. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`ObjectError::Setup`] when it cannot be used as described.
    pub fn bucket(bucket: &Bucket, egress: &Egress) -> Result<Self, ObjectError> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket.name)
            .with_region(&bucket.region)
            .with_access_key_id(&bucket.access_key)
            .with_secret_access_key(&bucket.secret_key)
            .with_http_connector(Door(HttpClient::new(egress.clients().named())))
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: REPEATS,
                retry_timeout: REPEAT_FOR,
            });
        if let Some(endpoint) = &bucket.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(true);
        }
        let store = builder.build().map_err(setup)?;
        Ok(Self {
            store: Arc::new(store),
            prefix: bucket.prefix.clone(),
            describes: true,
        })
    }

    /// Begins an object. `sha256` (hex) and `media_type` are kept beside it where there is room for that.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn begin(
        &self,
        key: &str,
        media_type: &'static str,
        sha256: &str,
    ) -> Result<ObjectWriter, ObjectError> {
        let mut options = PutMultipartOptions::default();
        if self.describes {
            options.attributes = Attributes::from_iter([
                (Attribute::ContentType, media_type.to_owned()),
                (Attribute::Metadata("sha256".into()), sha256.to_owned()),
            ]);
        }
        let path = self.path(key);
        let begun = self.store.put_multipart_opts(&path, options);
        Ok(ObjectWriter {
            upload: timed("cannot put", key, begun).await?,
            key: key.to_owned(),
            part: BytesMut::new(),
        })
    }

    /// A part of an object. Should the object be shorter, the stream ends early.
    ///
    /// # Errors
    /// [`ObjectError`]; one in the middle of the stream when the store fails for good.
    pub async fn read(&self, key: &str, part: Range<u64>) -> Result<ObjectBytes, ObjectError> {
        const WHAT: &str = "cannot read";
        if part.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(part)),
            ..GetOptions::default()
        };
        let path = self.path(key);
        let found = timed(WHAT, key, self.store.get_opts(&path, options)).await?;
        let key = key.to_owned();
        let bytes = stream::unfold(found.into_stream(), move |mut bytes| {
            let key = key.clone();
            async move {
                let next = timeout(IDLE, bytes.next()).await;
                let next = next.map_or_else(
                    |_| Some(Err(late(WHAT, &key, IDLE))),
                    |next| next.map(|piece| piece.map_err(|error| failed(WHAT, &key, &error))),
                );
                next.map(|piece| (piece, bytes))
            }
        });
        Ok(bytes.boxed())
    }

    /// How many bytes an object has.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn length(&self, key: &str) -> Result<u64, ObjectError> {
        let path = self.path(key);
        let found = timed("cannot look at", key, self.store.head(&path)).await?;
        Ok(found.size)
    }

    /// Deletes an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// [`ObjectError`], never [`ObjectError::NotFound`].
    pub async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        let path = self.path(key);
        match timed("cannot delete", key, self.store.delete(&path)).await {
            Err(ObjectError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    fn path(&self, key: &str) -> Key {
        match self.prefix.is_empty() {
            true => Key::from(key),
            false => Key::from(format!("{}/{key}", self.prefix)),
        }
    }
}

/// An object being put.
pub struct ObjectWriter {
    upload: Box<dyn MultipartUpload>,
    key: String,
    part: BytesMut,
}

impl ObjectWriter {
    const WHAT: &'static str = "cannot put";

    /// Takes the next bytes. Waits while a part is on its way.
    ///
    /// # Errors
    /// [`ObjectError`]: the object is lost then.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), ObjectError> {
        while !bytes.is_empty() {
            let room = PART - self.part.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == PART {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// The object appears, whole.
    ///
    /// # Errors
    /// [`ObjectError`]: it does not.
    pub async fn finish(mut self) -> Result<(), ObjectError> {
        if !self.part.is_empty() {
            self.send().await?;
        }
        timed(Self::WHAT, &self.key, self.upload.complete()).await?;
        Ok(())
    }

    /// Nothing of it stays.
    pub async fn abort(mut self) {
        if let Err(error) = timed("cannot abort", &self.key, self.upload.abort()).await {
            tracing::warn!(%error, "parts of an object are left behind");
        }
    }

    async fn send(&mut self) -> Result<(), ObjectError> {
        let part = self.part.split().freeze();
        timed(Self::WHAT, &self.key, self.upload.put_part(part.into())).await
    }
}

/// Makes a bucket go through the door.
#[derive(Debug)]
struct Door(HttpClient);

impl HttpConnector for Door {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

async fn timed<T>(
    what: &'static str,
    key: &str,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<T, ObjectError> {
    let done = timeout(REQUEST, request).await;
    let done = done.map_err(|_| late(what, key, REQUEST))?;
    done.map_err(|error| failed(what, key, &error))
}

fn late(what: &'static str, key: &str, limit: Duration) -> ObjectError {
    ObjectError::Timeout {
        what,
        key: key.to_owned(),
        limit,
    }
}

fn failed(what: &'static str, key: &str, error: &object_store::Error) -> ObjectError {
    let key = key.to_owned();
    match error {
        object_store::Error::NotFound { .. } => ObjectError::NotFound { key },
        other => ObjectError::Failed {
            what,
            key,
            why: other.to_string(),
        },
    }
}

#[allow(clippy::needless_pass_by_value)] // a function for map_err
fn setup(error: object_store::Error) -> ObjectError {
    ObjectError::Setup {
        why: error.to_string(),
    }
}
