//! What the person at the phone sees: the picture, or JSON lines.

use std::{io::IsTerminal, time::Duration};

use serde_json::{Value, json};

/// Writes to stdout.
pub(super) struct Show {
    json: bool,
    colour: bool,
}

impl Show {
    /// Colours only on a terminal.
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            colour: !json && std::io::stdout().is_terminal(),
        }
    }

    /// Something the phone itself saw, with its own clock.
    pub(super) fn event(&self, at: Duration, name: &str, mut fields: Value) {
        if !self.json {
            return;
        }
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("event".into(), json!(name));
            fields.insert("at_ms".into(), json!(millis(at)));
        }
        println!("{fields}");
    }

    /// A line of the picture.
    pub(super) fn line(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }

    /// An event of the server about our call.
    pub(super) fn server(&mut self, event: &Value) {
        if self.json {
            println!("{}", json!({ "event": "server", "server": event }));
            return;
        }
        let data = event.get("data").unwrap_or(&Value::Null);
        match event
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
        {
            "call.started" => self.started(event, data),
            "call.answered" => self.answered(data),
            "agent.started" => self.agent(data),
            "transcript.segment" => self.segment(data),
            "turn.completed" => self.turn(data),
            "turn.interrupted" => self.interrupted(data),
            "turn.false_pause" => self.dim(&format!(
                "        │ paused {} ms at a noise",
                number(data, "paused_ms")
            )),
            "tool.completed" => self.line(&format!(
                "✓ {} {}",
                text(data, "name"),
                text(data, "summary")
            )),
            "tool.failed" => self.line(&format!(
                "✗ {} {}",
                text(data, "name"),
                text(data, "summary")
            )),
            "provider.degraded" => self.dim(&format!(
                "        │ {}: {}",
                text(data, "role"),
                text(data, "what")
            )),
            "call.ended" => self.line(&format!(
                "ended   {} after {:.1} s",
                text(data, "reason"),
                number(data, "duration_ms") as f64 / 1_000.0
            )),
            _ => {}
        }
    }

    fn started(&self, event: &Value, data: &Value) {
        let call = event
            .get("call_id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.line(&format!(
            "call {call}  {} → {}",
            text(data, "from"),
            text(data, "to")
        ));
    }

    fn answered(&self, data: &Value) {
        self.dim(&format!(
            "        │ {} 20 ms   answered {} ms",
            text(data, "codec"),
            number(data, "setup_ms")
        ));
    }

    fn agent(&self, data: &Value) {
        let agent = data.get("agent").unwrap_or(&Value::Null);
        self.dim(&format!(
            "        │ {}@{}",
            text(agent, "slug"),
            number(agent, "version")
        ));
    }

    fn segment(&mut self, data: &Value) {
        let speaker = text(data, "speaker");
        let length = number(data, "end_ms").saturating_sub(number(data, "start_ms"));
        let seconds = length as f64 / 1_000.0;
        if speaker == "caller" {
            self.line(&format!(
                "{}  {:<48} said {seconds:.1} s",
                self.paint("caller", 36),
                text(data, "text")
            ));
            return;
        }
        let heard = data.get("heard_text").and_then(Value::as_str);
        let cut = data.get("interrupted").and_then(Value::as_bool) == Some(true);
        let words = match (cut, heard) {
            (true, Some(heard)) => {
                let total = number(data, "samples_total") as f64 / 8_000.0;
                format!("{heard} —✂ heard {seconds:.1} of {total:.1} s")
            }
            _ => text(data, "text"),
        };
        self.line(&format!("{}   {words}", self.paint("agent", 33)));
    }

    fn turn(&self, data: &Value) {
        let stage = |name: &str| match data.get(name).and_then(Value::as_u64) {
            Some(ms) => format!("+{ms}"),
            None => "–".into(),
        };
        self.dim(&format!(
            "        │ heard end {} ms │ brain {} │ voice {} │ first packet {} ms",
            stage("endpoint_ms"),
            stage("brain_ms"),
            stage("voice_ms"),
            stage("first_packet_ms")
        ));
    }

    fn interrupted(&self, data: &Value) {
        self.dim(&format!(
            "        │ interrupted in {} ms",
            number(data, "yield_ms")
        ));
    }

    fn dim(&self, text: &str) {
        self.line(&self.paint(text, 90));
    }

    fn paint(&self, text: &str, colour: u8) -> String {
        match self.colour {
            true => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

fn text(data: &Value, name: &str) -> String {
    data.get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn number(data: &Value, name: &str) -> u64 {
    data.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// Whole milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
