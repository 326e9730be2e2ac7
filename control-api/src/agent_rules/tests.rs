use serde_json::json;

use super::*;

fn fields(config: &Value) -> Vec<String> {
    let mut faults = Faults::default();
    check(config, "", &mut faults);
    let details = faults.finish().err().map(|fault| fault.details);
    let fields = details.unwrap_or_default().into_iter();
    fields.map(|detail| detail.field).collect()
}

fn good() -> Value {
    json!({
        "display_name": "Ada",
        "brain": {
            "kind": "script",
            "business": "the Harbour Restaurant",
            "zone": "Europe/Paris",
            "opening_hours": [{"days": ["fri"], "opens": "18:00", "closes": "22:00"}],
            "prices": [{"item": "the tasting menu", "cents": 5500, "currency": "EUR"}],
            "booking": {"resource": "tables", "tables": 2, "max_party": 8, "slot_minutes": 60},
        },
        "tools": ["book_table"],
    })
}

#[test]
fn a_good_configuration_has_no_fault() {
    assert_eq!(fields(&good()), Vec::<String>::new());
}

#[test]
fn each_rule_names_its_place() {
    let cases = [
        ("/display_name", json!("")),
        ("/display_name", json!("x".repeat(51))),
        ("/farewell", json!("x".repeat(201))),
        ("/max_duration_s", json!(5)),
        ("/max_duration_s", json!(99_999)),
        ("/language", json!("klingonish")),
        ("/language", json!("fr")),
        ("/tools/0", json!("rm")),
        ("/brain/zone", json!("Mars/Olympus")),
        ("/brain/business", json!(" ")),
        ("/brain/opening_hours/0/days/0", json!("friday")),
        ("/brain/opening_hours/0/opens", json!("6pm")),
        ("/brain/opening_hours/0/closes", json!("17:00")),
        ("/brain/prices/0/currency", json!("euro")),
        ("/brain/booking/tables", json!(0)),
        ("/brain/booking/slot_minutes", json!(1)),
    ];
    for (place, wrong) in cases {
        let mut config = good();
        match config.pointer_mut(place) {
            Some(member) => *member = wrong.clone(),
            None => config[&place[1..]] = wrong.clone(),
        }
        assert_eq!(fields(&config), [place], "{wrong}");
    }
}

#[test]
fn a_shape_that_is_wrong_hides_no_other_fault() {
    let mut config = good();
    config["brain"]["prices"] = json!(7);
    config["display_name"] = json!("");
    config["brain"]["zone"] = json!("Nowhere");
    assert_eq!(fields(&config), ["/display_name", "/brain/zone"]);
}

#[test]
fn endpoints_must_not_cross() {
    let mut config = good();
    config["turn"] = json!({"endpoint_min_ms": 900, "endpoint_max_ms": 800});
    assert_eq!(fields(&config), ["/turn/endpoint_max_ms"]);
}

#[test]
fn times_of_day_are_read_strictly() {
    assert_eq!(read_minute("09:30"), Some(570));
    assert_eq!(read_minute("24:00"), Some(1_440));
    for wrong in ["9:30", "24:01", "12:60", "12", "+1:30", "-1:30", ""] {
        assert_eq!(read_minute(wrong), None, "{wrong}");
    }
}
