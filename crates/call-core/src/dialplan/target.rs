//! Whom `bridge` may call.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::Template;
use crate::document::Complaint;

/// The JSON Schema `format` of a target.
pub const FORMAT: &str = "bridge-target";

/// A SIP URI with variables.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Target(pub Template);

impl JsonSchema for Target {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": FORMAT })
    }
}

/// Takes `sip:user@host[:port]`; the host may not come from a variable.
pub fn check(text: &str) -> Result<(), Complaint> {
    for later in ["user/", "trunk/"] {
        if text.starts_with(later) {
            return Err(Complaint {
                message: format!("targets of the form `{later}…` are not available yet"),
                hint: Some("name the far side as a SIP URI: \"sip:1000@10.0.0.5:5060\"".to_owned()),
            });
        }
    }
    let uri = text
        .strip_prefix("sip:")
        .ok_or("expected a SIP URI such as \"sip:1000@10.0.0.5:5060\"")?;
    if uri.contains(|c: char| c.is_control() || c == ' ') {
        return Err("a SIP URI holds no blanks".into());
    }
    let host = uri.rsplit_once('@').map_or(uri, |(_, host)| host);
    if host.is_empty() {
        return Err("the SIP URI names no host".into());
    }
    if host.contains('{') {
        return Err("the host of a target may not come from a variable".into());
    }
    Template::parse(text)?;
    Ok(())
}
