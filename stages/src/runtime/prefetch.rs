//! Work prepared ahead of its use: one thread makes the next items while the caller uses the current one.
//!
//! It knows nothing of images or networks. Items come in order, so that what is made of them does not depend
//! on who was faster, and no thread outlives the call.

use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread;

use pipeline::error::{Error, OrFail, Result};

/// Makes the items 0 to `count` − 1 in order on a thread of their own, and hands each to `consume` on the
/// caller's; at most `depth` items are made beyond the one in use. `make` may use rayon, whose global pool it
/// then shares with `consume`.
///
/// With depth 0 every item is made when its turn comes, on the caller's thread. So it is on a thread of a
/// rayon pool, whatever the depth: another thread would leave that pool, and could wait for the very thread
/// that waits for it.
///
/// # Errors
/// The first item that cannot be made, once those before it are used; or what `consume` returns, once the
/// item that is being made is done: nothing more is made then. A panic on either side reaches the caller.
pub fn prefetch<T: Send>(
    count: usize,
    depth: usize,
    make: impl Fn(usize) -> Result<T> + Sync,
    mut consume: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    if depth == 0 || count < 2 || rayon::current_thread_index().is_some() {
        return (0..count).try_for_each(|i| consume(i, make(i)?));
    }
    let make = &make;
    thread::scope(|scope| {
        // One more waits in the maker's hand until there is room.
        let (send, made) = sync_channel(depth - 1);
        let make_all = move || {
            for i in 0..count {
                let item = make(i);
                let last = item.is_err();
                if send.send(item).is_err() || last {
                    break;
                }
            }
        };
        let maker = thread::Builder::new().name("prefetch".into()).spawn_scoped(scope, make_all);
        let maker = maker.or_fail(|| {
            Error::new("cannot start a thread that prepares the next batches")
                .help("close other programs, or raise the limit of threads (`ulimit -u`)")
        })?;
        let mut outcome = Ok(());
        // Ends when all is used, when an item or its use fails, or when the maker is gone: it panicked then.
        for (i, item) in made.iter().enumerate() {
            outcome = item.and_then(|item| consume(i, item));
            if outcome.is_err() {
                break;
            }
        }
        drop(made); // a maker that waits for room stops
        match maker.join() {
            Ok(()) => outcome,
            Err(panic) => resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[test]
    fn items_are_used_in_order_and_each_once_whatever_the_depth() {
        for (count, depth) in [(0, 2), (1, 2), (2, 1), (50, 0), (50, 1), (50, 2), (3, 100)] {
            let mut used = vec![];
            let consume = |i, item| {
                used.push((i, item));
                Ok(())
            };
            prefetch(count, depth, |i| Ok(i * i), consume).unwrap();
            assert_eq!(used, (0..count).map(|i| (i, i * i)).collect::<Vec<_>>(), "depth {depth}");
        }
    }

    #[test]
    fn no_more_is_made_ahead_than_was_asked_for() {
        for depth in [0, 1, 2, 5] {
            let made = AtomicUsize::new(0);
            let make = |_| Ok(made.fetch_add(1, SeqCst));
            let consume = |i, _| {
                // Time for a maker that knew no bound to run away.
                (0..200).for_each(|_| thread::yield_now());
                assert!(made.load(SeqCst) <= i + 1 + depth);
                Ok(())
            };
            prefetch(100, depth, make, consume).unwrap();
            assert_eq!(made.into_inner(), 100);
        }
    }

    #[test]
    fn the_next_item_is_made_while_one_is_in_use() {
        // The use of item 0 waits until item 1 is made: without a maker of its own it would wait for ever.
        let (tell, told) = std::sync::mpsc::channel();
        let make = |i| {
            tell.send(i).unwrap();
            Ok(())
        };
        let mut seen = vec![];
        let consume = |i, ()| {
            while i == 0 && !seen.contains(&1) {
                seen.push(told.recv().unwrap());
            }
            Ok(())
        };
        prefetch(3, 1, make, consume).unwrap();
        assert_eq!(seen, [0, 1]);
    }

    #[test]
    fn an_item_that_cannot_be_made_is_an_error_after_those_before_it() {
        for depth in [0, 2] {
            let mut used = vec![];
            let make = |i| {
                if i == 4 { Err(Error::new("item 4 is broken").at("here").help("mend it")) } else { Ok(i) }
            };
            let consume = |_, item| {
                used.push(item);
                Ok(())
            };
            let error = prefetch(1000, depth, make, consume).unwrap_err();
            assert_eq!(error.to_string(), "item 4 is broken\n  at: here\n  help: mend it");
            assert_eq!(used, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn an_error_of_the_use_ends_the_making() {
        let made = AtomicUsize::new(0);
        let make = |i| {
            made.fetch_add(1, SeqCst);
            Ok(i)
        };
        let consume = |i, _| if i == 3 { Err(Error::cancelled()) } else { Ok(()) };
        let error = prefetch(1_000_000, 2, make, consume).unwrap_err();
        assert!(error.is_cancelled());
        // 0 to 3 were used, two lay ready, and one more may have been in the making.
        assert!(made.into_inner() <= 4 + 2 + 1);
    }

    #[test]
    fn a_panic_on_either_side_reaches_the_caller() {
        let panics = |in_make: bool| {
            let run = || {
                let make = |i| if in_make && i == 5 { panic!("side one") } else { Ok(i) };
                prefetch(100, 2, make, |i, _| if i == 7 { panic!("side two") } else { Ok(()) })
            };
            *catch_unwind(AssertUnwindSafe(run)).unwrap_err().downcast::<&str>().unwrap()
        };
        assert_eq!(panics(true), "side one");
        assert_eq!(panics(false), "side two");
    }

    #[test]
    fn a_pool_of_one_thread_does_not_wait_for_itself() {
        use rayon::prelude::*;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let sum = pool.install(|| {
            let mut sum = 0;
            let make = |i| Ok((0..i).into_par_iter().sum::<usize>());
            prefetch(10, 2, make, |_, item| {
                sum += item;
                Ok(())
            })
            .unwrap();
            sum
        });
        assert_eq!(sum, 120);
    }
}
