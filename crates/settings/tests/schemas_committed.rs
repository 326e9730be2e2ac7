//! The committed JSON Schemas are the ones our types make. `UPDATE_SCHEMAS=1 cargo test -p settings` writes them.

use std::path::Path;

#[test]
fn committed_schemas_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    for (name, schema) in settings::schemas() {
        let path = folder.join(name);
        if settings::variable("UPDATE_SCHEMAS").is_some() {
            let text = serde_json::to_string_pretty(&schema).unwrap();
            std::fs::write(&path, text + "\n").unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let committed: serde_json::Value = serde_json::from_str(&committed).unwrap_or_default();
        assert!(
            committed == schema,
            "{name} has drifted: UPDATE_SCHEMAS=1 cargo test -p settings"
        );
    }
}
