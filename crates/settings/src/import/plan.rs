//! Dialplan contexts: extensions as routes.

use std::path::PathBuf;

use super::{
    Output, Piece,
    action::{self, Scope},
    expression, profile, quoted,
    report::Report,
    tree::{Element, Found, Tree},
};

/// The output files of all contexts, and an empty one for each that a profile names and nobody has.
pub(super) fn dialplans(tree: &Tree, profiles: &[Output], report: &mut Report) -> Vec<Output> {
    let mut outputs: Vec<Output> = Vec::new();
    for (name, extensions) in &tree.contexts {
        if !profile::is_name(name) {
            continue;
        }
        let ours = profile::context(name);
        let at = file(ours, &mut outputs);
        for extension in extensions {
            let Some(output) = outputs.get_mut(at) else {
                continue;
            };
            match route(extension, report) {
                Ok(piece) => output.pieces.push(piece),
                Err((line, why)) => report.not(&extension.file, line, &named(extension), why),
            }
        }
    }
    for profile in profiles {
        for piece in &profile.pieces {
            let context = piece
                .text
                .lines()
                .find_map(|l| l.strip_prefix("context = \""));
            if let Some(context) = context.and_then(|rest| rest.strip_suffix('"')) {
                file(context, &mut outputs);
            }
        }
    }
    outputs
}

/// The place of a context's file among the outputs.
fn file(context: &str, outputs: &mut Vec<Output>) -> usize {
    let path = PathBuf::from(format!("dialplans/{context}.toml"));
    if let Some(at) = outputs.iter().position(|output| output.path == path) {
        return at;
    }
    let head = Piece {
        text: format!("context = {}\n", quoted(context)),
        file: PathBuf::new(),
        line: 0,
        name: format!("context {context}"),
        optional: false,
    };
    outputs.push(Output {
        path,
        pieces: vec![head],
    });
    outputs.len() - 1
}

fn named(extension: &Found) -> String {
    format!("extension {}", extension.element.get("name").unwrap_or("?"))
}

type Why = (usize, String);

/// An extension as a `[[route]]`, or the line and the reason why it stays behind.
fn route(extension: &Found, report: &mut Report) -> Result<Piece, Why> {
    let element = &extension.element;
    let conditions: Vec<&Element> = element
        .children
        .iter()
        .filter(|child| child.name == "condition")
        .collect();
    let mut when = When::default();
    for (at, condition) in conditions.iter().enumerate() {
        plain(condition, at + 1 == conditions.len())?;
        when.add(condition)?;
    }
    let actions = conditions.last().map(|last| last.children.as_slice());
    let actions = deeds(extension, actions.unwrap_or_default(), &when, report)?;
    let name = element.get("name").unwrap_or("unnamed");
    let mut text = format!("\n[[route]]\nname = {}\n", quoted(name));
    if element.get("continue") == Some("true") {
        text += "continue = true\n";
    }
    if !when.keys.is_empty() {
        text += &format!("when = {{ {} }}\n", when.keys.join(", "));
    }
    text += &format!("do = [{}]\n", actions.join(", "));
    Ok(Piece {
        text,
        file: extension.file.clone(),
        line: element.line,
        name: named(extension),
        optional: true,
    })
}

/// Conditions are all looked at before anything is done here; what needs more stays behind.
fn plain(condition: &Element, last: bool) -> Result<(), Why> {
    let has = |name: &str| condition.children.iter().any(|child| child.name == name);
    let why = if has("condition") {
        "conditions within conditions"
    } else if has("anti-action") {
        "actions for when a condition does not hold"
    } else if has("action") && !last {
        "actions before the last condition: they would run although it does not hold"
    } else if matches!(condition.get("break"), Some("never" | "always" | "on-true")) {
        "a break other than on-false"
    } else {
        return Ok(());
    };
    Err((condition.line, why.into()))
}

/// The keys of a `when`, and what `$1` means.
#[derive(Default)]
struct When {
    keys: Vec<String>,
    key: String,
    groups: usize,
}

impl When {
    fn add(&mut self, condition: &Element) -> Result<(), Why> {
        let line = condition.line;
        let fault = |why: &str| (line, why.to_owned());
        if condition.get("regex").is_some() {
            return Err(fault("several expressions in one condition (regex = …)"));
        }
        let times = [
            "year", "yday", "mon", "mday", "week", "mweek", "wday", "hour", "minute",
        ];
        let more = [
            "minute-of-day",
            "time-of-day",
            "date-time",
            "tz-offset",
            "dst",
        ];
        if times
            .iter()
            .chain(&more)
            .any(|time| condition.get(time).is_some())
        {
            return Err(fault("a time of day: write a [schedule] with its zone"));
        }
        let child = condition
            .children
            .iter()
            .find(|child| child.name == "expression");
        let expression = child.map(|child| child.text.as_str());
        let expression = expression
            .or_else(|| condition.get("expression"))
            .unwrap_or_default();
        let Some(field) = condition.get("field").filter(|_| !expression.is_empty()) else {
            return Ok(());
        };
        let carried = expression::carry(expression).map_err(fault)?;
        let (key, value) = key_of(field).ok_or_else(|| fault(&format!("the field {field}")))?;
        let text = match (key, carried.whole) {
            ("to", false) => format!("to_contains = {}", quoted(&carried.expression)),
            (_, true) => format!("{value} = {}", place(key, &carried.expression)),
            (_, false) => format!(
                "{value} = {}",
                place(key, &format!(".*{}.*", carried.expression))
            ),
        };
        if self
            .keys
            .iter()
            .any(|have| have.split(' ').next() == text.split(' ').next())
        {
            return Err(fault("two conditions on the same field"));
        }
        self.keys.push(text);
        // FreeSWITCH's groups are those of the condition whose actions run: the last.
        self.key = key.split(' ').next().unwrap_or_default().to_owned();
        self.groups = carried.groups;
        Ok(())
    }
}

/// Our key for a field, and how it is written.
fn key_of(field: &str) -> Option<(&str, &str)> {
    match field {
        "destination_number" => Some(("to", "to")),
        "caller_id_number" | "ani" => Some(("from", "from")),
        _ => {
            let name = field.strip_prefix("${sip_h_")?.strip_suffix('}')?;
            Some((name, "header"))
        }
    }
}

/// A header's expression stands under the header's name.
fn place(key: &str, expression: &str) -> String {
    match key {
        "to" | "from" => quoted(expression),
        header => format!("{{ {} = {} }}", quoted(header), quoted(expression)),
    }
}

fn deeds(
    extension: &Found,
    children: &[Element],
    when: &When,
    report: &mut Report,
) -> Result<Vec<String>, Why> {
    let (mut actions, mut set, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for child in children.iter().filter(|child| child.name == "action") {
        let scope = Scope {
            key: &when.key,
            groups: when.groups,
            set: &set,
        };
        let what = format!(
            "{}, action {} {}",
            named(extension),
            child.get("application").unwrap_or("?"),
            child.get("data").unwrap_or_default()
        );
        match action::carry(child, &scope) {
            action::Carried::Action(action) => {
                let data = child.get("data").and_then(|data| data.split_once('='));
                if let (Some("set"), Some((name, _))) = (child.get("application"), data) {
                    set.push(name.trim().to_owned());
                }
                actions.push(action);
            }
            action::Carried::Nothing(why) => notes.push((child.line, what, why)),
            action::Carried::Impossible(why) => return Err((child.line, why)),
        }
    }
    if actions.is_empty() {
        return Err((
            extension.element.line,
            "nothing of it has a counterpart here".into(),
        ));
    }
    for (line, what, why) in notes {
        report.not(&extension.file, line, &what, why);
    }
    Ok(actions)
}
