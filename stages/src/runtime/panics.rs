//! Libraries that panic on damaged files where they should return an error (parquet 60, tokenizers 0.22).

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Does the work; of a panic in it nothing is printed. What was worked on must not be used again after one.
///
/// # Errors
/// A panic, as what it says of the file: that its parts contradict each other.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, &'static str> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                before(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    done.map_err(|_| "its parts contradict each other")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_the_next_work_is_done() {
        assert!(guarded(|| panic!("assertion failed: bit_width <= 64")).is_err());
        assert_eq!(guarded(|| guarded(|| 3)), Ok(Ok(3)));
    }
}
