//! Whom `bridge` may call.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::action::Callee;
use super::template::Refused;
use super::{Template, Variables};
use crate::dialing::Digits;
use crate::document::Complaint;

/// The JSON Schema `format` of a target.
pub const FORMAT: &str = "bridge-target";

/// Somebody to call, with variables.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Target(pub Template);

impl Target {
    /// Whom it names with the variables as they are now.
    ///
    /// # Errors
    /// As [`Template::target`].
    pub fn callee(&self, variables: &Variables) -> Result<Callee, Refused> {
        let digits = match self.0.variables().next() {
            Some(_) => Digits::Supplied,
            None => Digits::Written,
        };
        let name = self.0.target(variables)?;
        Ok(Callee { name, digits })
    }
}

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

/// Takes `sip:user@host[:port]`, `trunk/NAME/NUMBER` and `user/EXTENSION`; host and trunk may not
/// come from a variable.
pub fn check(text: &str) -> Result<(), Complaint> {
    if text.contains(|c: char| c.is_control() || c == ' ') {
        return Err("a target holds no blanks".into());
    }
    if let Some(rest) = text.strip_prefix("trunk/") {
        let (name, number) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() || name.contains('{') || number.is_empty() {
            return Err("expected trunk/NAME/NUMBER, the name without variables".into());
        }
    } else if let Some(extension) = text.strip_prefix("user/") {
        if extension.is_empty() {
            return Err("expected user/EXTENSION".into());
        }
    } else {
        let uri = text.strip_prefix("sip:").ok_or(
            "expected a target such as \"sip:1000@10.0.0.5:5060\", \"trunk/NAME/+15550100\" or \"user/1000\"",
        )?;
        let host = uri.rsplit_once('@').map_or(uri, |(_, host)| host);
        if host.is_empty() {
            return Err("the SIP URI names no host".into());
        }
        if host.contains('{') {
            return Err("the host of a target may not come from a variable".into());
        }
    }
    Template::parse(text)?;
    Ok(())
}
