//! `say`: synthesised speech. Before the answer it is early media (183).

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, Op, Outline, Refused, Row, Template, Variables};

pub(super) const ROW: Row = Row::new::<Say>("say", r#"{ say = "You dialled {to}." }"#)
    .short("text")
    .freeswitch(&["speak"]);

/// Says a text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Say {
    /// What to say.
    text: Template,
    /// A voice other than the default one.
    voice: Option<String>,
}

impl Action for Say {
    fn outline(&self) -> Outline<'_> {
        Outline {
            templates: vec![&self.text],
            ..Outline::default()
        }
    }

    fn ops(&self, variables: &Variables) -> Result<Vec<Op>, Refused> {
        Ok(vec![Op::Say {
            text: self.text.text(variables),
            voice: self.voice.clone(),
        }])
    }
}
