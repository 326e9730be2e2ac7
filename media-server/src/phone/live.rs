//! The server's own live transcript: events from the office, as they happen.

use std::{path::Path, time::Duration};

use anyhow::Context;
use egress::{Egress, EgressConfig, Limits, Policy, Request, Response};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

/// Events that may wait to be shown.
const BOUND: usize = 256;

/// How long a call waits for the stream before it is placed without.
const OPENING: Duration = Duration::from_secs(2);

/// An open event stream.
pub(super) struct Live {
    events: mpsc::Receiver<Value>,
    ours: Filter,
}

impl Live {
    /// Follows the office's event stream from now on.
    pub(super) async fn open(office: &str, key_file: &Path) -> anyhow::Result<Self> {
        let key = std::fs::read_to_string(key_file);
        let key = key.with_context(|| key_file.display().to_string())?;
        let url = format!("{}/v1/stream", office.trim_end_matches('/'));
        let egress = Egress::new(EgressConfig::default())?;
        let (to, events) = mpsc::channel(BOUND);
        let (opened, is_open) = watch::channel(false);
        tokio::spawn(async move {
            let mut last = None;
            // An office that is killed in mid-call comes back: follow it again where we were.
            while !to.is_closed() {
                let _ = stream(&egress, (&url, key.trim()), &mut last, &to, &opened).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        });
        let mut is_open = is_open;
        let _ = tokio::time::timeout(OPENING, is_open.wait_for(|open| *open)).await;
        Ok(Self {
            events,
            ours: Filter::default(),
        })
    }

    /// From now on only what is about this SIP call comes.
    pub(super) fn about(&mut self, sip_call_id: String) {
        self.ours.sip_call_id = sip_call_id;
    }

    /// The next event of our call. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Option<Value> {
        loop {
            let event = self.events.recv().await?;
            if self.ours.is_ours(&event) {
                return Some(event);
            }
        }
    }
}

async fn stream(
    egress: &Egress,
    (url, key): (&str, &str),
    last: &mut Option<String>,
    to: &mpsc::Sender<Value>,
    opened: &watch::Sender<bool>,
) -> anyhow::Result<()> {
    let day = Duration::from_secs(86_400);
    let limits = Limits {
        idle: day,
        total: day,
        body_bytes: u64::MAX,
        ..Limits::default()
    };
    let mut request = Request::get(url).bearer(key).limits(limits);
    if let Some(last) = last.as_ref() {
        request = request.header("last-event-id", last);
    }
    let mut response: Response = egress.send(Policy::Named, request).await?;
    opened.send_replace(true);
    let mut text = String::new();
    while let Some(chunk) = response.chunk().await? {
        text.push_str(&String::from_utf8_lossy(&chunk));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let value = read(event, last);
            text = rest.to_owned();
            if let Some(value) = value {
                to.send(value).await?;
            }
        }
    }
    Ok(())
}

/// One server-sent event, and where we are with it.
fn read(event: &str, last: &mut Option<String>) -> Option<Value> {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
    if let Some(id) = field("id:") {
        *last = Some(id.trim().to_owned());
    }
    serde_json::from_str(field("data:")?.trim()).ok()
}

/// Knows which events are about our call.
#[derive(Default)]
struct Filter {
    sip_call_id: String,
    call: Option<String>,
}

impl Filter {
    fn is_ours(&mut self, event: &Value) -> bool {
        let call = event.get("call_id").and_then(Value::as_str);
        let sip = event.pointer("/data/sip_call_id").and_then(Value::as_str);
        if sip == Some(self.sip_call_id.as_str()) {
            self.call = call.map(str::to_owned);
        }
        call.is_some() && self.call.as_deref() == call
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_events_of_our_call_pass() {
        let mut filter = Filter {
            sip_call_id: "abc@phone".into(),
            call: None,
        };
        let ours = json!({ "call_id": "cal_1", "data": { "sip_call_id": "abc@phone" } });
        let other = json!({ "call_id": "cal_2", "data": { "sip_call_id": "x" } });
        let later = json!({ "call_id": "cal_1", "type": "call.ended", "data": {} });
        assert!(!filter.is_ours(&later));
        assert!(filter.is_ours(&ours));
        assert!(!filter.is_ours(&other));
        assert!(filter.is_ours(&later));
        assert!(!filter.is_ours(&json!({ "type": "resync" })));
    }

    #[test]
    fn the_place_in_the_stream_is_kept() {
        let mut last = None;
        let event = "id: 7\nevent: call.ended\ndata: {\"call_id\":\"cal_1\"}";
        assert!(read(event, &mut last).is_some());
        assert!(read(": alive", &mut last).is_none());
        assert_eq!(last.as_deref(), Some("7"));
    }
}
