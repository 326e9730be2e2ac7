use serde_json::json;

use super::*;
use crate::auth::Scope;

#[test]
fn every_route_declares_what_it_asks_for() {
    let (_, table) = table().expect("no route without a scope");
    let publish = (Method::POST, "/v1/agents/{id}/publish".to_owned());
    assert_eq!(
        table.access.get(&publish),
        Some(&Access::Needs(Scope::AgentsWrite))
    );
    let public: Vec<&str> = table
        .access
        .iter()
        .filter(|(_, access)| **access == Access::Public)
        .map(|((_, path), _)| path.as_str())
        .collect();
    assert_eq!(public.len(), 4, "{public:?}");
}

#[test]
fn a_route_without_a_scope_stops_the_start() {
    let document = json!({"paths": {"/v1/open": {"get": {"operationId": "open"}}}});
    let fault = declared_access(&document).unwrap_err();
    assert_eq!(fault.path, "/v1/open");
    let misspelt = json!({"paths": {"/v1/open": {"get": {"x-scope": "agents:raed"}}}});
    assert!(declared_access(&misspelt).is_err());
}
