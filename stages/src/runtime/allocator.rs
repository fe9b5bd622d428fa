//! The program's allocator, and how it is set up for training.
//!
//! Every step makes and drops the same tensors of tens of megabytes. The system's allocator gives each back to the
//! kernel and faults it in again, page by page and zeroed; so does mimalloc after a hundredth of a second. Kept
//! instead, a Co-Reg step of 256 + 256 images takes a fifth less processor time.

pub use mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 2 and 3: milliseconds before freed memory goes back to the system.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Keeps freed memory for the next step, unless `MIMALLOC_PURGE_DELAY` says otherwise. To be called first thing in
/// a program whose global allocator is [`MiMalloc`], before there are other threads.
pub fn keep_freed_memory() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: the option is one of mimalloc's, and no other thread sets options.
        unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_delay_and_is_switched_off() {
        // SAFETY: the option is one of mimalloc's.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // Its neighbours are switches and sizes: only the delay is in milliseconds, and never zero.
        assert!((1..=10_000).contains(&delay()), "{}", delay());
        keep_freed_memory();
        assert_eq!(delay(), -1);
    }
}
