//! The one TLS provider of the process.

use std::sync::Once;

/// Makes rustls use `ring`. Idempotent; the first line of every `main` and every test that
/// connects, because a client built before it would panic for want of a provider.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that somebody installed a provider before us, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
