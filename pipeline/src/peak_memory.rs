//! The most memory that the process holds over a while: resident bytes as Linux counts them.
//!
//! The kernel keeps the highest point since the process began. While that rises it is the answer; where an earlier
//! stage went higher, what is held is looked at twenty times a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// A watch that began.
pub(crate) struct PeakMemory {
    highest_before: u64,
    seen: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl PeakMemory {
    pub(crate) fn watch() -> Self {
        let (highest_before, held) = (resident("VmHWM:"), resident("VmRSS:"));
        let (seen, over) = (Arc::new(AtomicU64::new(held)), Arc::new(AtomicBool::new(held == 0)));
        let (seen_by, until) = (Arc::clone(&seen), Arc::clone(&over));
        let look = move || {
            while !until.load(Ordering::Relaxed) {
                std::thread::park_timeout(BETWEEN_LOOKS);
                seen_by.fetch_max(resident("VmRSS:"), Ordering::Relaxed);
            }
        };
        // Without a thread for it, the figure is that of the beginning and the end.
        let watcher = std::thread::Builder::new().name("memory".to_owned()).spawn(look).ok();
        Self { highest_before, seen, over, watcher }
    }

    /// The peak so far, in bytes; 0 where the system does not tell.
    pub(crate) fn end(self) -> u64 {
        let highest = resident("VmHWM:");
        match highest > self.highest_before {
            true => highest,
            false => self.seen.load(Ordering::Relaxed).max(resident("VmRSS:")),
        }
    }
}

impl Drop for PeakMemory {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            watcher.thread().unpark();
            // It only looks: how it ended does not matter.
            let _ = watcher.join();
        }
    }
}

/// A line of `/proc/self/status`, in bytes; 0 where there is none.
fn resident(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value =
        status.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().next()?.parse().ok());
    value.map_or(0, |kilobytes: u64| kilobytes << 10)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_was_held_meanwhile_is_seen_after_it_is_gone() {
        const BLOCK: usize = 256 << 20;
        let held = |watch: PeakMemory| {
            // The compiler must not see that nobody needs it.
            let block = std::hint::black_box(vec![1u8; BLOCK]);
            std::thread::sleep(3 * BETWEEN_LOOKS);
            drop(block);
            watch.end()
        };
        let before = resident("VmRSS:");
        assert!(held(PeakMemory::watch()) >= before + BLOCK as u64 / 2, "the highest point so far");
        assert!(held(PeakMemory::watch()) >= before + BLOCK as u64 / 2, "not higher than before");
    }
}
