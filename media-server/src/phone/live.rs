//! The server's own live transcript: events from the office, as they happen.

use std::{path::Path, time::Duration};

use anyhow::Context;
use egress::{Egress, EgressConfig, Limits, Policy, Request, Response};
use serde_json::Value;
use tokio::sync::mpsc;

/// Events that may wait to be shown.
const BOUND: usize = 256;

/// Follows the office's event stream for one SIP call, from now on.
pub(super) fn follow(
    office: &str,
    key_file: &Path,
    sip_call_id: String,
) -> anyhow::Result<mpsc::Receiver<Value>> {
    let key = std::fs::read_to_string(key_file);
    let key = key.with_context(|| key_file.display().to_string())?;
    let url = format!("{}/v1/stream", office.trim_end_matches('/'));
    let egress = Egress::new(EgressConfig::default())?;
    let (to, events) = mpsc::channel(BOUND);
    tokio::spawn(async move {
        let mut filter = Filter::new(sip_call_id);
        // An office that is killed in mid-call comes back: follow it again where we were.
        while !to.is_closed() {
            let _ = stream(&egress, &url, key.trim(), &mut filter, &to).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    Ok(events)
}

async fn stream(
    egress: &Egress,
    url: &str,
    key: &str,
    filter: &mut Filter,
    to: &mpsc::Sender<Value>,
) -> anyhow::Result<()> {
    let day = Duration::from_secs(86_400);
    let limits = Limits {
        idle: day,
        total: day,
        body_bytes: u64::MAX,
        ..Limits::default()
    };
    let mut request = Request::get(url).bearer(key).limits(limits);
    if let Some(last) = &filter.last_id {
        request = request.header("last-event-id", last);
    }
    let mut response: Response = egress.send(Policy::Named, request).await?;
    let mut text = String::new();
    while let Some(chunk) = response.chunk().await? {
        text.push_str(&String::from_utf8_lossy(&chunk));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let shown = filter.take(event);
            text = rest.to_owned();
            if let Some(value) = shown {
                to.send(value).await?;
            }
        }
    }
    Ok(())
}

/// Knows which events are about our call.
struct Filter {
    sip_call_id: String,
    call: Option<String>,
    last_id: Option<String>,
}

impl Filter {
    fn new(sip_call_id: String) -> Self {
        Self {
            sip_call_id,
            call: None,
            last_id: None,
        }
    }

    /// One server-sent event; its data when it is ours.
    fn take(&mut self, event: &str) -> Option<Value> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        if let Some(id) = field("id:") {
            self.last_id = Some(id.trim().to_owned());
        }
        let value: Value = serde_json::from_str(field("data:")?.trim()).ok()?;
        let call = value.get("call_id")?.as_str()?.to_owned();
        let sip = value.pointer("/data/sip_call_id").and_then(Value::as_str);
        if sip == Some(self.sip_call_id.as_str()) {
            self.call = Some(call.clone());
        }
        (self.call.as_deref() == Some(call.as_str())).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_of_our_call_pass() {
        let mut filter = Filter::new("abc@phone".into());
        let ours =
            r#"data: {"call_id":"cal_1","type":"call.started","data":{"sip_call_id":"abc@phone"}}"#;
        let other = r#"data: {"call_id":"cal_2","type":"call.started","data":{"sip_call_id":"x"}}"#;
        let later = "id: 7\ndata: {\"call_id\":\"cal_1\",\"type\":\"call.ended\",\"data\":{}}";
        assert!(filter.take(later).is_none());
        assert!(filter.take(ours).is_some());
        assert!(filter.take(other).is_none());
        assert!(filter.take(later).is_some());
        assert_eq!(filter.last_id.as_deref(), Some("7"));
    }
}
