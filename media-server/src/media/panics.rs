//! Panics on media threads: the process's hook would print a backtrace there, and reading its symbols takes longer than
//! several ticks of every leg on the thread. Here only message and place are kept; the leg's actor reports them.

use std::cell::{Cell, RefCell};
use std::sync::Once;

thread_local! {
    static IS_MEDIA: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Wraps the process's hook, once.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_MEDIA.get() {
                return before(info);
            }
            let place = info
                .location()
                .map(|at| format!(" at {}:{}", at.file(), at.line()));
            let text = format!("{}{}", message(info.payload()), place.unwrap_or_default());
            LAST.with_borrow_mut(|last| *last = Some(text));
        }));
    });
}

/// This thread is a media thread.
pub(super) fn this_is_a_media_thread() {
    IS_MEDIA.set(true);
}

/// What the thread's last panic said, once.
pub(super) fn last() -> String {
    LAST.with_borrow_mut(Option::take)
        .unwrap_or_else(|| "panic without a message".to_owned())
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned())
}
