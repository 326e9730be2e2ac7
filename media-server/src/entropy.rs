//! The one place where randomness comes from: the operating system.

use std::fmt::Debug;

/// `N` random bytes.
///
/// # Panics
/// When the operating system has no randomness to give: nothing secret could be made then, so
/// nothing should run.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    if let Err(e) = getrandom::fill(&mut out) {
        no_entropy(&e);
    }
    out
}

fn no_entropy(e: &dyn Debug) -> ! {
    panic!("the operating system gives no randomness: {e:?}")
}

/// 128 random bits, for ids.
pub fn u128() -> u128 {
    u128::from_le_bytes(bytes())
}
