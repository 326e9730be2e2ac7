//! The name of a dialog on our side.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::wire_text;

/// Call-ID and our own tag. Responses carry it in From, in-dialog requests in To: no other registry is needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DialogId {
    /// Call-ID.
    #[serde(with = "wire_text")]
    pub call_id: Bytes,
    /// The tag we chose.
    #[serde(with = "wire_text")]
    pub local_tag: Bytes,
}

impl fmt::Display for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        write!(f, "{};{}", text(&self.call_id), text(&self.local_tag))
    }
}
