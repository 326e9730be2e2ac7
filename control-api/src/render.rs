//! Transcripts as plain text and as WebVTT.

use model::transcript::{Segment, Speaker};

fn speaker(segment: &Segment) -> &'static str {
    match segment.speaker {
        Speaker::Caller => "caller",
        Speaker::Agent => "agent",
        Speaker::Human => "human",
    }
}

/// What the far side heard of it: the words that were sent, and a mark where they were cut.
fn words(segment: &Segment) -> String {
    let heard = segment.heard_text.as_deref().unwrap_or(&segment.text);
    let mark = if segment.interrupted { " —" } else { "" };
    format!(
        "{}{mark}",
        heard.split_whitespace().collect::<Vec<_>>().join(" ")
    )
}

fn clock(ms: u64) -> String {
    let (s, ms) = (ms / 1_000, ms % 1_000);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3_600, s / 60 % 60, s % 60)
}

/// One line for each segment: `[00:00:01.200] caller: text`.
pub fn txt(segments: &[Segment]) -> String {
    let line = |s: &Segment| format!("[{}] {}: {}\n", clock(s.start_ms), speaker(s), words(s));
    segments.iter().map(line).collect()
}

/// WebVTT (W3C) with a voice span for each speaker.
pub fn vtt(segments: &[Segment]) -> String {
    let mut text = "WEBVTT\n".to_owned();
    for segment in segments {
        // A cue must end after it begins.
        let end = segment.end_ms.max(segment.start_ms + 1);
        let words = escape(&words(segment));
        let (from, to, who) = (clock(segment.start_ms), clock(end), speaker(segment));
        text.push_str(&format!("\n{from} --> {to}\n<v {who}>{words}</v>\n"));
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut() -> Segment {
        Segment {
            speaker: Speaker::Agent,
            text: "Friday at seven for four. Shall I also".to_owned(),
            start_ms: 61_200,
            end_ms: 62_600,
            confidence: None,
            interrupted: true,
            heard_text: Some("Friday at\nseven <for>".to_owned()),
            timing: None,
            samples_sent: None,
            samples_total: None,
        }
    }

    #[test]
    fn text_shows_what_was_heard() {
        let want = "[00:01:01.200] agent: Friday at seven <for> —\n";
        assert_eq!(txt(&[cut()]), want);
    }

    #[test]
    fn vtt_escapes_and_names_the_voice() {
        let want =
            "WEBVTT\n\n00:01:01.200 --> 00:01:02.600\n<v agent>Friday at seven &lt;for&gt; —</v>\n";
        assert_eq!(vtt(&[cut()]), want);
    }
}
