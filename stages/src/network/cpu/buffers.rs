//! Memory that is kept from step to step: aligned buffers handed out and taken back. A fresh buffer's content is
//! arbitrary.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// One cache line, so that vectors never straddle two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

fn as_slice(lines: &[Line], len: usize) -> &[f32] {
    debug_assert!(len <= lines.len() * 16);
    // SAFETY: a line is sixteen f32 without padding, and the length is within.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), len) }
}

fn as_slice_mut(lines: &mut [Line], len: usize) -> &mut [f32] {
    debug_assert!(len <= lines.len() * 16);
    // SAFETY: a line is sixteen f32 without padding, the length is within, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), len) }
}

/// Free buffers.
#[derive(Clone, Default)]
pub struct BufferPool(Arc<Mutex<Vec<Vec<Line>>>>);

impl BufferPool {
    /// The program's pool: networks that take turns share their memory.
    pub fn shared() -> Self {
        static SHARED: LazyLock<BufferPool> = LazyLock::new(BufferPool::default);
        SHARED.clone()
    }

    /// A buffer of `len` values of arbitrary content: the smallest free one that is not more than twice as
    /// long, or a new one.
    pub fn take(&self, len: usize) -> Buffer {
        let need = len.div_ceil(16);
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let best = (0..free.len())
            .filter(|&i| free[i].len() >= need && free[i].len() <= need.max(64) * 2)
            .min_by_key(|&i| free[i].len());
        let lines = match best {
            Some(i) => free.swap_remove(i),
            None => vec![Line([0.0; 16]); need],
        };
        Buffer { lines, len, home: Arc::clone(&self.0) }
    }
}

/// A buffer on loan; it goes back when dropped.
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
    home: Arc<Mutex<Vec<Vec<Line>>>>,
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        as_slice(&self.lines, self.len)
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        as_slice_mut(&mut self.lines, self.len)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(lines);
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    static MORE: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Lends `N` pieces of this thread's scratch memory, of the lengths given and arbitrary content.
///
/// Nested calls would find the scratch in use and allocate; no caller nests.
pub fn scratch<const N: usize, R>(lens: [usize; N], work: impl FnOnce([&mut [f32]; N]) -> R) -> R {
    let mut lines =
        SCRATCH.with(|s| s.try_borrow_mut().map(|mut s| std::mem::take(&mut *s)).unwrap_or_default());
    // A page between the pieces, less a line, keeps equal offsets of two pieces out of the same cache sets.
    let need = lens.iter().map(|len| len.div_ceil(16) + 5).sum();
    if lines.len() < need {
        lines = vec![Line([0.0; 16]); need];
    }
    let mut rest = &mut lines[..];
    let pieces = lens.map(|len| {
        let (piece, tail) = std::mem::take(&mut rest).split_at_mut(len.div_ceil(16) + 5);
        rest = tail;
        as_slice_mut(piece, len)
    });
    let result = work(pieces);
    SCRATCH.with(|s| {
        if let Ok(mut s) = s.try_borrow_mut() {
            *s = lines;
        }
    });
    result
}

/// A second piece of scratch memory, inside [`scratch`].
pub fn more_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    MORE.with(|s| {
        let mut lines = s.try_borrow_mut().map(|mut s| std::mem::take(&mut *s)).unwrap_or_default();
        if lines.len() * 16 < len {
            lines = vec![Line([0.0; 16]); len.div_ceil(16)];
        }
        let result = work(as_slice_mut(&mut lines, len));
        if let Ok(mut s) = s.try_borrow_mut() {
            *s = lines;
        }
        result
    })
}
