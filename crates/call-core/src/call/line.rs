//! News of the caller's line: hold, causes, the end of a session that nobody refreshed.

use std::time::Duration;

use model::EndReason;

use super::ending::Close;
use super::{Call, CallFact, Effect, LineNews};

/// What is known of the line.
#[derive(Debug, Default)]
pub(super) struct Line {
    held: bool,
    /// The Q.850 cause that the far side gave for what it does next.
    cause: Option<u8>,
}

impl Line {
    /// The far side's own word for why it ends the call, else ours.
    pub(super) fn cause_or(&self, ours: u8) -> u8 {
        self.cause.unwrap_or(ours)
    }
}

impl Call {
    /// Whether the far side holds the call.
    pub fn is_held(&self) -> bool {
        self.line.held
    }

    /// Before the answer there is nothing to hold; a cause may come with a CANCEL.
    pub(super) fn early_line_news(&mut self, now: Duration, news: LineNews) {
        match news {
            LineNews::Attested(attested) => self.attested(now, *attested),
            LineNews::Cause { q850 } => self.line.cause = Some(q850),
            LineNews::Held | LineNews::Resumed | LineNews::Expired => {}
        }
    }

    pub(super) fn line_news(&mut self, now: Duration, news: LineNews) {
        match news {
            LineNews::Attested(attested) => self.attested(now, *attested),
            LineNews::Held => self.hold(true),
            LineNews::Resumed => self.hold(false),
            LineNews::Cause { q850 } => self.line.cause = Some(q850),
            // RFC 4028 §10: the dialog has sent its BYE already.
            LineNews::Expired => {
                let close = Close::server(EndReason::SessionExpired, 504, 102);
                self.end_untold(now, close);
            }
        }
    }

    fn hold(&mut self, held: bool) {
        if std::mem::replace(&mut self.line.held, held) == held {
            return;
        }
        self.fact(match held {
            true => CallFact::Held,
            false => CallFact::Resumed,
        });
        self.put(Effect::Hold(held));
    }
}
