//! The JSON Schemas of all files, from the types that read them.

use call_core::document::Shape;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::hints::{FORMATS, PROFILE, SERVER};
use crate::{Carrier, Profile, Server};

/// File name and schema of everything an operator edits. Committed in `crates/settings/schemas`.
pub fn schemas() -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("sidetone.schema.json", schema::<Server>().to_value()),
        ("sip-profile.schema.json", schema::<Profile>().to_value()),
        ("carrier.schema.json", schema::<Carrier>().to_value()),
        (
            "dialplan.schema.json",
            call_core::dialplan::schema().to_value(),
        ),
    ]
}

pub(crate) fn server_shape() -> Shape {
    Shape::new(schema::<Server>(), &SERVER, &FORMATS)
}

pub(crate) fn profile_shape() -> Shape {
    Shape::new(schema::<Profile>(), PROFILE, &FORMATS)
}

pub(crate) fn carrier_shape() -> Shape {
    Shape::new(schema::<Carrier>(), PROFILE, &FORMATS)
}

fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
}
