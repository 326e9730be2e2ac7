//! The tools an agent may be granted, as a language model sees them. Who calls, for whom and in
//! which call is never an argument: the runner fills that in.

use call_core::brain::ToolSpec;
use model::AgentConfig;
use serde_json::{Value, json};

/// The tool that ends the call; the dialogue carries it out itself.
pub const END_CALL: &str = "end_call";

/// The tool that hands the caller to one of the agent's destinations.
pub const TRANSFER: &str = "transfer";

/// One row of the table.
pub struct ToolRow {
    /// As agents grant it.
    pub name: &'static str,
    /// For the model.
    pub description: &'static str,
    /// JSON schema of its arguments.
    pub schema: fn() -> Value,
}

/// Every tool.
pub const ALL: &[ToolRow] = &[
    ToolRow {
        name: "book_table",
        description: "Books a table. Call it only after the caller agreed to day, time, number of \
                      people and phone number. The answer is booked with a code to read out, full \
                      with other starts to offer, or refused with a reason.",
        schema: || {
            json!({
                "type": "object",
                "properties": {
                    "starts_local": { "type": "string", "description": "local start, YYYY-MM-DDTHH:MM" },
                    "party_size": { "type": "integer", "minimum": 1 },
                    "phone": { "type": "string", "description": "digits, or the caller's own number" },
                },
                "required": ["starts_local", "party_size", "phone"],
                "additionalProperties": false,
            })
        },
    },
    ToolRow {
        name: "find_booking",
        description: "Finds a booking by its code.",
        schema: || {
            json!({
                "type": "object",
                "properties": { "code": { "type": "string" } },
                "required": ["code"],
                "additionalProperties": false,
            })
        },
    },
    ToolRow {
        name: TRANSFER,
        description: "Hands the caller to a person. Tell the caller first that you connect them.",
        schema: || {
            json!({
                "type": "object",
                "properties": { "destination": { "type": "string" } },
                "required": ["destination"],
                "additionalProperties": false,
            })
        },
    },
    ToolRow {
        name: END_CALL,
        description: "Ends the call once the caller has said goodbye. The farewell is spoken by the \
                      telephone system.",
        schema: || json!({ "type": "object", "properties": {}, "additionalProperties": false }),
    },
];

/// The granted tools, as a model sees them. Names that no row has are left out ([`unknown`] tells).
pub fn specs(granted: &[String]) -> Vec<ToolSpec> {
    ALL.iter()
        .filter(|row| granted.iter().any(|name| name == row.name))
        .map(|row| ToolSpec {
            name: row.name.into(),
            description: row.description.into(),
            schema: (row.schema)(),
        })
        .collect()
}

/// The tools of an agent. Of its destinations a model sees names and descriptions, nothing else.
pub fn specs_for(config: &AgentConfig) -> Vec<ToolSpec> {
    let mut specs = specs(&config.tools);
    specs.retain(|spec| spec.name != TRANSFER || !config.transfers.is_empty());
    for spec in specs.iter_mut().filter(|spec| spec.name == TRANSFER) {
        let names: Vec<&str> = config.transfers.iter().map(|d| d.name.as_str()).collect();
        spec.schema["properties"]["destination"]["enum"] = json!(names);
        for destination in &config.transfers {
            let line = format!(" {}: {}.", destination.name, destination.description);
            spec.description.push_str(&line);
        }
    }
    specs
}

/// The granted names that no tool has: a fault of the configuration.
pub fn unknown(granted: &[String]) -> Vec<String> {
    let known = |name: &&String| ALL.iter().any(|row| row.name == name.as_str());
    granted
        .iter()
        .filter(|name| !known(name))
        .cloned()
        .collect()
}
