//! What a dialplan file may hold: the types that serde reads and the JSON Schema comes from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{Pattern, Template, action, schedule, target, variables};
use crate::document::{Complaint, FormatCheck, Hint, Shape};
use crate::length;

/// A dialplan: what happens to calls of one context.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The context these routes belong to: `public`, `internal` or one of your own.
    #[schemars(length(min = 1))]
    pub context: String,
    /// Opening hours by name.
    #[serde(default)]
    pub schedule: BTreeMap<String, ScheduleFields>,
    /// Routes; the first that matches wins.
    #[serde(default)]
    pub route: Vec<RouteFields>,
    /// Lists of actions by name, reached by `goto`.
    #[serde(default)]
    pub section: BTreeMap<String, SectionFields>,
}

/// Opening hours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleFields {
    /// IANA time zone, `Europe/Paris`.
    #[schemars(extend("format" = "time-zone"))]
    pub zone: String,
    /// Days and hours: `mon-fri 09:00-18:00`.
    pub open: Vec<OpenHours>,
    /// Dates that are closed all day, `2026-12-25`.
    #[serde(default)]
    pub closed_on: Vec<ClosedDay>,
}

/// A route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteFields {
    /// The name shown in traces and records.
    pub name: Option<String>,
    /// When it applies; without it always.
    pub when: Option<When>,
    /// What it does.
    #[schemars(length(min = 1))]
    pub r#do: Vec<ActionFields>,
    /// What it does when all but the schedule matched.
    pub r#else: Option<Vec<ActionFields>>,
    /// Go on with the next route afterwards.
    #[serde(default)]
    pub r#continue: bool,
}

/// A list of actions with a name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SectionFields {
    /// What it does.
    #[schemars(length(min = 1))]
    pub r#do: Vec<ActionFields>,
}

/// A condition. All keys must hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    /// The called number in E.164 form; a list means any of them.
    pub number: Option<OneOrMany<Number>>,
    /// Expression for the whole called user part.
    pub to: Option<Expression>,
    /// Expression to be found anywhere in the called user part.
    pub to_contains: Option<Expression>,
    /// Expression for the whole calling user part.
    pub from: Option<Expression>,
    /// The trunk the call came over; a list means any.
    pub trunk: Option<OneOrMany<String>>,
    /// The profile the call came in on; a list means any.
    pub profile: Option<OneOrMany<String>>,
    /// Header name → expression for its whole value.
    #[serde(default)]
    pub header: BTreeMap<String, Expression>,
    /// Variable → expression for its whole value.
    #[serde(default)]
    pub var: BTreeMap<String, Expression>,
    /// A schedule that must be open.
    pub schedule: Option<String>,
    /// At least one of these must hold.
    pub any: Option<Vec<When>>,
    /// All of these must hold.
    pub all: Option<Vec<When>>,
    /// This must not hold.
    pub not: Option<Box<When>>,
}

/// One value or a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(super) fn list(&self) -> Vec<&T> {
        match self {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many.iter().collect(),
        }
    }
}

macro_rules! text_with_format {
    ($name:ident, $format:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Deserialize)]
        #[serde(transparent)]
        pub(super) struct $name(pub String);

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    };
}

text_with_format!(Expression, "regex", "A regular expression.");
text_with_format!(Number, "e164", "A number with its plus.");
text_with_format!(OpenHours, "opening-hours", "Days and hours.");
text_with_format!(ClosedDay, "date", "A date.");

/// An action: a bare word or a table with one key.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct ActionFields(pub serde_json::Value);

impl JsonSchema for ActionFields {
    fn schema_name() -> Cow<'static, str> {
        "Action".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        action::action_schema(generator)
    }
}

/// The JSON Schema of a dialplan file.
pub fn schema() -> Schema {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<File>()
}

/// The schema with its string formats and hints, ready to check documents.
pub fn shape() -> &'static Shape {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    SHAPE.get_or_init(|| Shape::new(schema(), &hints(), &FORMATS))
}

const FORMATS: [FormatCheck; 13] = [
    (length::FORMAT, length::check),
    (target::FORMAT, target::check),
    ("template", |text| Ok(Template::parse(text).map(|_| ())?)),
    ("regex", |text| Pattern::anywhere(text).map(|_| ())),
    ("e164", check_number),
    ("opening-hours", |text| {
        Ok(schedule::Hours::parse(text).map(|_| ())?)
    }),
    ("date", check_date),
    ("time-zone", check_zone),
    ("agent-name", check_agent),
    ("media-name", check_media),
    ("variable-name", check_variable),
    ("digits", check_digits),
    ("reason-phrase", check_phrase),
];

/// FreeSWITCH's words and words of our own that do not work yet.
fn hints() -> Vec<Hint> {
    let mut hints = vec![
        Hint::renamed("extension", "FreeSWITCH's <extension> is a [[route]] here"),
        Hint::renamed(
            "condition",
            "FreeSWITCH's <condition> is `when = { … }` here",
        ),
        Hint::renamed(
            "action",
            "FreeSWITCH's <action> is an entry of `do = [ … ]` here",
        ),
        Hint::renamed("actions", "the list of actions is `do = [ … ]`"),
        Hint::renamed(
            "anti-action",
            "FreeSWITCH's <anti-action> is `else = [ … ]` here",
        ),
        Hint::renamed(
            "destination_number",
            "FreeSWITCH's destination_number is `number` (E.164) or `to` (as dialled)",
        ),
        Hint::renamed(
            "caller_id_number",
            "FreeSWITCH's caller_id_number is `from`",
        ),
        Hint::renamed(
            "regex",
            "FreeSWITCH's regex=\"any\" is `any = [ … ]`, regex=\"all\" is `all = [ … ]`",
        ),
        Hint::renamed(
            "break",
            "there is no break: the first route that matches wins, `continue = true` goes on",
        ),
        Hint::renamed("time-of-day", "times of day belong into a [schedule.NAME]"),
        Hint::renamed("wday", "days of the week belong into a [schedule.NAME]"),
    ];
    for row in &action::ALL {
        hints.extend(
            row.freeswitch
                .iter()
                .map(|name| Hint::renamed(name, row.example)),
        );
    }
    let later = "it is planned; today's actions are listed in dialplans/README.md";
    hints.extend(action::LATER.iter().map(|name| Hint::later(name, later)));
    hints
}

fn check_number(text: &str) -> Result<(), Complaint> {
    match super::e164(text) {
        Some(number) if number == text => Ok(()),
        Some(number) => Err(Complaint {
            message: "expected a number in E.164 form".to_owned(),
            hint: Some(format!("write \"{number}\"")),
        }),
        None => Err(Complaint {
            message: "expected a number in E.164 form".to_owned(),
            hint: Some(
                "\"+\", country code, number: \"+33100000001\"; extensions are matched by `to`"
                    .to_owned(),
            ),
        }),
    }
}

fn check_date(text: &str) -> Result<(), Complaint> {
    let date: Result<jiff::civil::Date, _> = text.parse();
    date.map(|_| ())
        .map_err(|_| "expected a date such as \"2026-12-25\"".into())
}

fn check_zone(text: &str) -> Result<(), Complaint> {
    let zone = jiff::tz::TimeZone::get(text);
    zone.map(|_| ())
        .map_err(|_| "expected an IANA time zone such as \"Europe/Paris\"".into())
}

fn check_agent(text: &str) -> Result<(), Complaint> {
    let word = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
    };
    let good = text
        .split_once('/')
        .is_some_and(|(tenant, slug)| word(tenant) && word(slug));
    if good {
        Ok(())
    } else {
        Err("expected tenant/agent, for example \"demo/receptionist\"".into())
    }
}

fn check_media(text: &str) -> Result<(), Complaint> {
    let plain = text.strip_prefix("prompt:").unwrap_or(text);
    let climbs = plain
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == "..");
    if climbs || plain.contains(['\\', '\0']) {
        return Err(
            "expected a file below the media folder, without leading / and without ..".into(),
        );
    }
    Ok(())
}

fn check_variable(text: &str) -> Result<(), Complaint> {
    if variables::is_name(text) {
        Ok(())
    } else {
        Err("expected a variable name: lower case, digits and _".into())
    }
}

pub(super) fn check_digits(text: &str) -> Result<(), Complaint> {
    let good = text
        .chars()
        .all(|c| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D'));
    if good {
        Ok(())
    } else {
        Err("expected digits out of 0-9, *, #, A-D".into())
    }
}

fn check_phrase(text: &str) -> Result<(), Complaint> {
    let good = text.len() <= 128 && !text.chars().any(char::is_control);
    if good {
        Ok(())
    } else {
        Err("a reason phrase is one short line".into())
    }
}
