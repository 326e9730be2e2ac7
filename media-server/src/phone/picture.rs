//! The server's events as a person reads them: a pure machine from events to lines.
//!
//! Events come when things are known, not when they happened: where a turn's milliseconds went is
//! known at the answer's first packet, what was said in it may be closed later. Here they are put
//! back into the order of the conversation.

use serde_json::Value;

/// Width of the words before the remark at the right.
const WORDS: usize = 58;

/// A line, with how it is painted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// As it is.
    Plain(String),
    /// In the background: figures.
    Dim(String),
    /// The caller's words.
    Caller(String),
    /// The agent's words.
    Agent(String),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Picture {
    /// What the first line says; empty once it was shown.
    head: Head,
    /// The caller's words of the turn that is being answered were shown.
    caller_shown: bool,
    /// A turn's figures, waiting for the caller's words.
    turn: Option<Line>,
    /// What the agent said after them.
    held: Vec<Line>,
    /// How fast the agent fell silent for the words that come next.
    yielded_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct Head {
    call: String,
    whom: String,
    sound: String,
}

impl Picture {
    /// The lines that an event adds.
    pub(super) fn take(&mut self, event: &Value) -> Vec<Line> {
        let null = Value::Null;
        let data = event.get("data").unwrap_or(&null);
        let name = event.get("type").and_then(Value::as_str);
        match name.unwrap_or_default() {
            "call.started" => self.started(event, data),
            "call.answered" => self.answered(data),
            "agent.started" => return self.agent_started(data),
            "turn.interrupted" => self.yielded_ms = Some(number(data, "yield_ms")),
            other => return self.body(other, data),
        }
        Vec::new()
    }

    fn started(&mut self, event: &Value, data: &Value) {
        self.head.call = text(event, "call_id");
        self.head.whom = text(data, "to");
    }

    fn answered(&mut self, data: &Value) {
        let (codec, setup) = (text(data, "codec"), number(data, "setup_ms"));
        self.head.sound = format!("{codec} 20 ms   answered {setup} ms");
    }

    fn agent_started(&mut self, data: &Value) -> Vec<Line> {
        let null = Value::Null;
        let agent = data.get("agent").unwrap_or(&null);
        let (slug, version) = (text(agent, "slug"), number(agent, "version"));
        if !self.head.call.is_empty() {
            self.head.whom = format!("{} → {slug}@{version}", self.head.whom);
            return self.header();
        }
        vec![Line::Dim(format!("        │ {slug}@{version}"))]
    }

    /// The first line, once.
    fn header(&mut self) -> Vec<Line> {
        let Head { call, whom, sound } = std::mem::take(&mut self.head);
        match call.is_empty() {
            true => Vec::new(),
            false => vec![Line::Plain(format!("call {call}  {whom}   {sound}"))],
        }
    }

    fn body(&mut self, name: &str, data: &Value) -> Vec<Line> {
        let lines = match name {
            "transcript.segment" if text(data, "speaker") == "caller" => self.caller(data),
            "transcript.segment" => self.agent(data),
            "turn.completed" => self.turn(data),
            "turn.false_pause" => vec![Line::Dim(format!(
                "        │ paused {} ms at a noise",
                number(data, "paused_ms")
            ))],
            "tool.completed" => vec![Line::Plain(format!("✓ {}", summary(data)))],
            "tool.failed" | "tool.denied" => vec![Line::Plain(format!("✗ {}", summary(data)))],
            "provider.degraded" => vec![Line::Dim(format!(
                "        │ {}: {}",
                text(data, "role"),
                text(data, "what")
            ))],
            "call.ended" => self.ended(data),
            _ => return Vec::new(),
        };
        let mut all = self.header();
        all.extend(lines);
        all
    }

    fn caller(&mut self, data: &Value) -> Vec<Line> {
        let remark = match self.yielded_ms.take() {
            Some(ms) => format!("interrupted in {ms} ms"),
            None => format!("said {:.1} s", seconds(data)),
        };
        let words = text(data, "text");
        let line = Line::Caller(format!("caller  {words:<WORDS$} {remark}"));
        self.caller_shown = self.turn.is_none();
        let mut lines = vec![line];
        lines.extend(self.release());
        lines
    }

    fn turn(&mut self, data: &Value) -> Vec<Line> {
        // A turn without an answer has no figures worth a line.
        if data.get("first_packet_ms").is_none_or(Value::is_null) {
            return Vec::new();
        }
        let mut lines = self.release();
        let line = figures(data);
        match std::mem::take(&mut self.caller_shown) {
            true => lines.push(line),
            false => self.turn = Some(line),
        }
        lines
    }

    fn agent(&mut self, data: &Value) -> Vec<Line> {
        let line = Line::Agent(format!("agent   {}", spoken(data)));
        match self.turn {
            Some(_) => self.held.push(line),
            None => return vec![line],
        }
        Vec::new()
    }

    fn release(&mut self) -> Vec<Line> {
        let held = std::mem::take(&mut self.held);
        self.turn.take().into_iter().chain(held).collect()
    }

    fn ended(&mut self, data: &Value) -> Vec<Line> {
        let mut lines = self.release();
        let after = number(data, "duration_ms") as f64 / 1_000.0;
        let reason = text(data, "reason");
        lines.push(Line::Plain(format!("ended   {reason} after {after:.1} s")));
        lines
    }
}

fn figures(data: &Value) -> Line {
    let stage = |name: &str| match data.get(name).and_then(Value::as_u64) {
        Some(ms) => format!("+{ms}"),
        None => "–".into(),
    };
    Line::Dim(format!(
        "        │ heard end {} ms │ brain {} │ voice {} │ first packet {} ms",
        stage("endpoint_ms"),
        stage("brain_ms"),
        stage("voice_ms"),
        stage("first_packet_ms")
    ))
}

/// What the caller got to hear of it.
fn spoken(data: &Value) -> String {
    let heard = data.get("heard_text").and_then(Value::as_str);
    let cut = data.get("interrupted").and_then(Value::as_bool) == Some(true);
    match (cut, heard) {
        (true, Some(heard)) => {
            let sent = number(data, "samples_sent") as f64 / 8_000.0;
            let total = number(data, "samples_total") as f64 / 8_000.0;
            format!("{heard} —✂ heard {sent:.1} of {total:.1} s")
        }
        _ => text(data, "text"),
    }
}

/// `booked R-4471`; with the tool's name where it says nothing.
fn summary(data: &Value) -> String {
    let said = text(data, "summary");
    match said.is_empty() {
        true => text(data, "name"),
        false => said,
    }
}

fn seconds(data: &Value) -> f64 {
    let length = number(data, "end_ms").saturating_sub(number(data, "start_ms"));
    length as f64 / 1_000.0
}

fn text(data: &Value, name: &str) -> String {
    let value = data.get(name).and_then(Value::as_str);
    value.unwrap_or_default().to_owned()
}

fn number(data: &Value, name: &str) -> u64 {
    data.get(name).and_then(Value::as_u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(events: &[Value]) -> Vec<String> {
        let mut picture = Picture::default();
        let lines = events.iter().flat_map(|event| picture.take(event));
        let words = lines.map(|line| match line {
            Line::Plain(l) | Line::Dim(l) | Line::Caller(l) | Line::Agent(l) => l,
        });
        let tidy = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        words.map(tidy).collect()
    }

    fn event(name: &str, data: Value) -> Value {
        let mut event = json!({ "type": name, "call_id": "cal_1" });
        event["data"] = data;
        event
    }

    fn said(speaker: &str, text: &str) -> Value {
        let data = json!({ "speaker": speaker, "text": text, "start_ms": 1000, "end_ms": 3100 });
        event("transcript.segment", data)
    }

    fn turn() -> Value {
        let data =
            json!({ "endpoint_ms": 310, "brain_ms": 3, "voice_ms": 12, "first_packet_ms": 341 });
        event("turn.completed", data)
    }

    const FIGURES: &str = "│ heard end +310 ms │ brain +3 │ voice +12 │ first packet +341 ms";

    #[test]
    fn the_first_line_names_number_agent_and_codec() {
        let agent = json!({ "agent": { "slug": "receptionist", "version": 3 } });
        let events = [
            event("call.started", json!({ "from": "+1", "to": "+15550100" })),
            event("call.answered", json!({ "codec": "PCMU", "setup_ms": 41 })),
            event("agent.started", agent),
            said("agent", "Hello."),
        ];
        assert_eq!(
            shown(&events),
            [
                "call cal_1 +15550100 → receptionist@3 PCMU 20 ms answered 41 ms",
                "agent Hello."
            ]
        );
    }

    #[test]
    fn words_come_before_the_figures_of_their_turn_whatever_came_first() {
        let ordered = ["caller four please said 2.1 s", FIGURES, "agent For four."];
        let words = said("caller", "four please");
        let answer = said("agent", "For four.");
        assert_eq!(shown(&[words.clone(), turn(), answer.clone()]), ordered);
        assert_eq!(shown(&[turn(), words.clone(), answer.clone()]), ordered);
        assert_eq!(shown(&[turn(), answer, words]), ordered);
    }

    #[test]
    fn a_cut_shows_what_was_heard_and_how_fast_it_was() {
        let cut = json!({
            "speaker": "agent", "text": "Friday at seven for four.", "heard_text": "Friday at",
            "interrupted": true, "samples_sent": 11_200, "samples_total": 31_200,
            "start_ms": 0, "end_ms": 1400,
        });
        let events = [
            event("turn.interrupted", json!({ "yield_ms": 84 })),
            event("transcript.segment", cut),
            said("caller", "no wait"),
        ];
        assert_eq!(
            shown(&events),
            [
                "agent Friday at —✂ heard 1.4 of 3.9 s",
                "caller no wait interrupted in 84 ms"
            ]
        );
    }

    #[test]
    fn what_was_held_is_shown_at_the_end() {
        let ended = event(
            "call.ended",
            json!({ "reason": "caller_hangup", "duration_ms": 4200 }),
        );
        assert_eq!(
            shown(&[turn(), said("agent", "For four."), ended]),
            [
                FIGURES,
                "agent For four.",
                "ended caller_hangup after 4.2 s"
            ]
        );
    }
}
