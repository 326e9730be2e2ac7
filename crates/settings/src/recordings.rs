//! Where recordings are kept.

use call_core::document::Fault;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::check::Read;
use crate::{Secret, Server};

/// Recordings: in `recordings` of the data folder, or in an S3 bucket (all-in-one; the office has it on its command line).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recordings {
    /// The bucket. Without it they are in the data folder.
    #[schemars(length(min = 3, max = 63))]
    pub bucket: Option<String>,
    /// The service, `https://s3.example`. Without it: Amazon's in the region.
    #[schemars(with = "Option<String>", extend("format" = "http-url"))]
    pub endpoint: Option<String>,
    /// Its region.
    pub region: String,
    /// What the names of objects begin with.
    pub prefix: String,
    /// The id of the key that opens it.
    pub access_key: Option<Secret>,
    /// The key.
    pub secret_key: Option<Secret>,
}

impl Default for Recordings {
    fn default() -> Recordings {
        Recordings {
            bucket: None,
            endpoint: None,
            region: "us-east-1".to_owned(),
            prefix: String::new(),
            access_key: None,
            secret_key: None,
        }
    }
}

/// A bucket needs a key, and what belongs to a bucket needs the bucket.
pub(crate) fn check(server: &Read<Server>, faults: &mut Vec<Fault>) {
    let recordings = &server.value.recordings;
    let document = &server.document;
    let keys = [
        ("access_key", recordings.access_key.is_some()),
        ("secret_key", recordings.secret_key.is_some()),
    ];
    match recordings.bucket {
        Some(_) => {
            for (name, _) in keys.iter().filter(|(_, given)| !given) {
                let message = format!("a bucket needs `{name}`");
                faults.push(document.fault("/recordings/bucket", message));
            }
        }
        None => {
            let others = [
                ("endpoint", recordings.endpoint.is_some()),
                ("prefix", !recordings.prefix.is_empty()),
            ];
            for (name, _) in keys.iter().chain(&others).filter(|(_, given)| *given) {
                let message = format!("`{name}` belongs to a `bucket`, and there is none");
                faults.push(document.fault(&format!("/recordings/{name}"), message));
            }
        }
    }
    let prefix = &recordings.prefix;
    if prefix.starts_with('/') || prefix.ends_with('/') || prefix.contains("//") {
        let message = "a prefix neither begins nor ends with a slash";
        faults.push(document.fault("/recordings/prefix", message));
    }
}
