use serde_json::json;

use super::*;
use crate::error::Detail;

fn document() -> Value {
    json!({"components": {"schemas": {
        "Pet": {
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "kind"],
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 5},
                "age": {"type": ["integer", "null"], "format": "int32", "minimum": 0},
                "tags": {"type": "array", "items": {"type": "string"}},
                "kind": {"$ref": "#/components/schemas/Kind"},
            },
        },
        "Kind": {"oneOf": [
            {"type": "object", "additionalProperties": false, "required": ["type", "lives"],
             "properties": {"type": {"type": "string", "enum": ["cat"]}, "lives": {"type": "integer"}}},
            {"type": "object", "required": ["type"], "properties": {"type": {"const": "dog"}}},
        ]},
    }}})
}

fn faults(value: &Value) -> Vec<(FaultCode, String)> {
    let document = document();
    let mut faults = Faults::default();
    Shape::new(&document, &mut faults).check("Pet", value, "");
    let details = faults.finish().err().map(|fault| fault.details);
    let pair = |detail: Detail| (detail.code, detail.field);
    details.unwrap_or_default().into_iter().map(pair).collect()
}

#[test]
fn what_fits_has_no_fault() {
    let cat = json!({"name": "Tom", "age": null, "kind": {"type": "cat", "lives": 9}});
    assert_eq!(faults(&cat), []);
    assert_eq!(faults(&json!({"name": "Rex", "kind": {"type": "dog"}})), []);
}

#[test]
fn every_fault_is_named_at_once_by_its_pointer() {
    let wrong = json!({
        "name": "Thomas",
        "age": 5_000_000_000_u64,
        "tags": ["a", 1],
        "a/b~c": true,
        "kind": {"type": "cat"},
    });
    let mut found = faults(&wrong);
    found.sort();
    let mut want = vec![
        (FaultCode::OutOfRange, "/name".to_owned()),
        (FaultCode::OutOfRange, "/age".to_owned()),
        (FaultCode::InvalidType, "/tags/1".to_owned()),
        (FaultCode::UnknownField, "/a~1b~0c".to_owned()),
        (FaultCode::Required, "/kind/lives".to_owned()),
    ];
    want.sort();
    assert_eq!(found, want);
}

#[test]
fn a_tag_that_is_unknown_or_missing_is_the_fault() {
    let unknown = faults(&json!({"name": "x", "kind": {"type": "cow"}}));
    assert_eq!(
        unknown,
        [(FaultCode::UnknownValue, "/kind/type".to_owned())]
    );
    let missing = faults(&json!({"name": "x", "kind": {}}));
    assert_eq!(missing, [(FaultCode::Required, "/kind/type".to_owned())]);
    let other = faults(&json!({"name": "x", "kind": 3}));
    assert_eq!(other, [(FaultCode::InvalidType, "/kind".to_owned())]);
}

#[test]
fn something_else_than_an_object_is_one_fault() {
    assert_eq!(
        faults(&json!([])),
        [(FaultCode::InvalidType, String::new())]
    );
}

/// The examples of RFC 7396, appendix A.
#[test]
fn merge_patches_do_what_rfc_7396_shows() {
    let cases = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (
            json!({"a": "b"}),
            json!({"b": "c"}),
            json!({"a": "b", "b": "c"}),
        ),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        ),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (
            json!({"e": null}),
            json!({"a": 1}),
            json!({"e": null, "a": 1}),
        ),
        (
            json!([1, 2]),
            json!({"a": "b", "c": null}),
            json!({"a": "b"}),
        ),
        (
            json!({}),
            json!({"a": {"bb": {"ccc": null}}}),
            json!({"a": {"bb": {}}}),
        ),
    ];
    for (mut target, patch, want) in cases {
        merge_patch(&mut target, &patch);
        assert_eq!(target, want);
    }
}
