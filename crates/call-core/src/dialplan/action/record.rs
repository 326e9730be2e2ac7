//! `record`: a stereo recording on the call's timeline, once it may be made.

use model::RecordingMode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Action, Consent, ConsentOp, Op, Outline, RecordSpec, Refused, Row, Template, Variables,
};
use crate::consent::usual;

pub(super) const ROW: Row = Row::new::<Record>(
    "record",
    r#"{ record = { channels = 2, consent = "announce" } }"#,
)
.bare()
.freeswitch(&["record_session"]);

/// Records the call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Record {
    /// 1 = both sides mixed, 2 = caller left, agent right.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 2))]
    channels: u8,
    /// How consent is obtained.
    #[serde(default = "announce")]
    consent: Consent,
    /// What the caller is told or asked first; recording begins after it. Without it `announce`
    /// records at once, and `ask` asks in the usual words.
    say: Option<Template>,
    /// BCP 47 language of the usual words.
    #[serde(default = "english")]
    language: String,
}

const fn two() -> u8 {
    2
}

const fn announce() -> Consent {
    Consent::Announce
}

fn english() -> String {
    "en".to_owned()
}

impl Record {
    /// What the caller hears before it is recorded, if anything.
    fn mode(&self) -> Option<RecordingMode> {
        match self.consent {
            Consent::Ask => Some(RecordingMode::Ask),
            Consent::Announce => self.say.as_ref().map(|_| RecordingMode::Announce),
            Consent::Given => None,
        }
    }
}

impl Action for Record {
    fn outline(&self) -> Outline<'_> {
        Outline {
            templates: self.say.iter().collect(),
            records: true,
            asks: self.mode().is_some(),
            ..Outline::default()
        }
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        let told = self.say.is_some() && self.consent == Consent::Given;
        told.then(|| {
            let why = "with `consent = \"given\"` nobody is told: leave `say` out";
            ("say", why.to_owned())
        })
    }

    fn ops(&self, variables: &Variables) -> Result<Vec<Op>, Refused> {
        let said = self.say.as_ref().map(|text| text.text(variables));
        Ok(vec![match self.mode() {
            Some(mode) => Op::Consent(ConsentOp {
                mode,
                channels: self.channels,
                text: said.unwrap_or_else(|| usual(mode, &self.language).to_owned()),
            }),
            None => Op::Record(RecordSpec {
                channels: self.channels,
                consent: self.consent,
            }),
        }])
    }
}
