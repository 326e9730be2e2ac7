//! What a running server answered, for people.

use serde_json::Value;

/// Rows under a head, columns as wide as they need.
fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let widths: [usize; N] = std::array::from_fn(|at| {
        let cells = all().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect::<Vec<_>>().join("\n")
}

/// A field as text; nothing for what is not there.
fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Everything in short.
pub(super) fn status(answer: &Value) -> String {
    let accepting = answer["accepting"] == true;
    let door = match (accepting, answer["draining"] == true) {
        (true, _) => "takes calls",
        (false, true) => "drains: no new calls",
        (false, false) => "no new calls: the journal is full",
    };
    let office = if answer["office_reachable"] == true {
        "reached"
    } else {
        "away"
    };
    format!(
        "{door}; {} calls, {} dialogs; office {office}, snapshot {}; {} facts to ship\n\n{}\n\n{}",
        text(answer, "calls"),
        text(answer, "dialogs"),
        text(answer, "snapshot"),
        answer["journal"]["unacknowledged"],
        profiles(answer),
        trunks(answer),
    )
}

/// SIP profiles.
pub(super) fn profiles(answer: &Value) -> String {
    let rows = list(answer, "profiles").map(|profile| {
        let listen = list(profile, "listen").filter_map(Value::as_str);
        let blocked = profile["blocked"].as_object().into_iter().flatten();
        let blocked: u64 = blocked.filter_map(|(_, n)| n.as_u64()).sum();
        [
            text(profile, "name"),
            text(profile, "state"),
            text(profile, "calls"),
            blocked.to_string(),
            listen.collect::<Vec<_>>().join(" "),
            text(profile, "external_ip"),
            text(profile, "reason"),
        ]
    });
    let head = [
        "PROFILE", "STATE", "CALLS", "BLOCKED", "LISTEN", "EXTERNAL", "REASON",
    ];
    table(head, &rows.collect::<Vec<_>>())
}

/// Trunks.
pub(super) fn trunks(answer: &Value) -> String {
    let profiles = list(answer, "profiles");
    let rows = profiles.flat_map(|profile| {
        let name = text(profile, "name");
        list(profile, "trunks").map(move |trunk| {
            let state = text(trunk, "state");
            [
                text(trunk, "name"),
                name.clone(),
                state,
                text(trunk, "reason"),
            ]
        })
    });
    table(
        ["TRUNK", "PROFILE", "STATE", "REASON"],
        &rows.collect::<Vec<_>>(),
    )
}

/// Live calls.
pub(super) fn calls(answer: &Value) -> String {
    let calls = answer.as_array().into_iter().flatten();
    let fields = ["call", "profile", "trunk", "from", "to", "seconds"];
    let rows = calls.map(|call| fields.map(|field| text(call, field)));
    table(
        ["CALL", "PROFILE", "TRUNK", "FROM", "TO", "SECONDS"],
        &rows.collect::<Vec<_>>(),
    )
}

/// One call and its legs.
pub(super) fn call(answer: &Value) -> String {
    let legs = list(answer, "legs").map(|leg| {
        ["leg", "transport", "local", "remote", "sip_call_id"].map(|field| text(leg, field))
    });
    let legs = table(
        ["LEG", "OVER", "LOCAL", "REMOTE", "CALL-ID"],
        &legs.collect::<Vec<_>>(),
    );
    format!("{}\n\n{legs}", calls(&Value::Array(vec![answer.clone()])))
}

/// A fact as it happens, in one line.
pub(super) fn fact(fact: &Value) -> String {
    if let Some(missed) = fact.get("missed") {
        return format!("… {missed} facts missed");
    }
    let data = fact
        .get("data")
        .map_or_else(String::new, ToString::to_string);
    format!(
        "{}  {:>8} ms  {:<16} {data}",
        text(fact, "conversation"),
        text(fact, "offset_ms"),
        text(fact, "type"),
    )
}

/// Sources that are banned.
pub(super) fn bans(answer: &Value) -> String {
    let Some(bans) = answer.as_array() else {
        return done(answer);
    };
    let fields = ["source", "profile", "seconds_left"];
    let rows = bans.iter().map(|ban| fields.map(|field| text(ban, field)));
    table(
        ["SOURCE", "PROFILE", "SECONDS LEFT"],
        &rows.collect::<Vec<_>>(),
    )
}

/// What a reload did.
pub(super) fn reloaded(answer: &Value) -> String {
    let done = &answer["reloaded"];
    let parts = [
        ("added", "added"),
        ("changed", "changed"),
        ("removed", "removed"),
        ("at_next_start", "only at the next start"),
    ];
    let lines = parts.iter().filter_map(|(field, words)| {
        let names: Vec<_> = list(done, field).filter_map(Value::as_str).collect();
        (!names.is_empty()).then(|| format!("{words}: {}", names.join(", ")))
    });
    let warnings = list(done, "warnings")
        .filter_map(Value::as_str)
        .map(str::to_owned);
    let mut lines: Vec<_> = lines.chain(warnings).collect();
    lines.insert(0, "reloaded".to_owned());
    lines.join("\n")
}

/// It was done; what there is to say about it.
pub(super) fn done(answer: &Value) -> String {
    let fields = answer.as_object().into_iter().flatten();
    let said = fields.filter(|(name, value)| *name != "ok" && !value.is_null());
    let said = said.map(|(name, value)| format!("{name} {}", value.to_string().trim_matches('"')));
    let said: Vec<_> = said.collect();
    match said.is_empty() {
        true => "ok".to_owned(),
        false => format!("ok: {}", said.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let answer = json!({ "profiles": [
            { "name": "external", "state": "up", "calls": 12, "listen": ["udp://0.0.0.0:5080"],
              "blocked": { "rate": 3, "acl": 4 }, "reason": null,
              "trunks": [{ "name": "carrier", "state": "failed", "reason": "no answer to OPTIONS" }] },
            { "name": "tls", "state": "failed", "calls": 0, "listen": [], "reason": "in use" },
        ]});
        assert_eq!(
            profiles(&answer),
            "PROFILE   STATE   CALLS  BLOCKED  LISTEN              EXTERNAL  REASON\n\
             external  up      12     7        udp://0.0.0.0:5080\n\
             tls       failed  0      0                                      in use"
        );
        assert_eq!(
            trunks(&answer),
            "TRUNK    PROFILE   STATE   REASON\n\
             carrier  external  failed  no answer to OPTIONS"
        );
        assert_eq!(done(&json!({ "ok": true, "calls": 3 })), "ok: calls 3");
    }
}
