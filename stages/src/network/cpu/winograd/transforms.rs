//! The transforms of Winograd's F(4×4, 3×3), each of the form M X Mᵀ with a small constant matrix M, on vectors of
//! channels.

use crate::network::cpu::simd::Simd;

/// A constant matrix of `N` rows and `M` columns.
pub trait Matrix<const M: usize, const N: usize> {
    /// The matrix times a column.
    ///
    /// # Safety
    /// The machine has the instruction set.
    unsafe fn times<I: Simd>(v: [I::V; M]) -> [I::V; N];
}

/// Bᵀ: a side of an input tile.
pub struct Input;
/// Aᵀ: a side of an output tile.
pub struct Output;
/// A: a side of the gradient of an output tile.
pub struct OutputGradient;
/// G: a side of a filter.
pub struct Filter;
/// Gᵀ: a side of the gradient of a filter.
pub struct FilterGradient;

impl Matrix<6, 6> for Input {
    #[inline(always)]
    unsafe fn times<I: Simd>(v: [I::V; 6]) -> [I::V; 6] {
        // SAFETY: the caller's promises.
        unsafe {
            let (two, four, five) = (I::splat(2.0), I::splat(4.0), I::splat(-5.0));
            let a = I::fma(I::splat(-4.0), v[2], v[4]);
            let b = I::fma(I::splat(-4.0), v[1], v[3]);
            let c = I::sub(v[4], v[2]);
            let d = I::mul(two, I::sub(v[3], v[1]));
            [
                I::fma(four, v[0], I::fma(five, v[2], v[4])),
                I::add(a, b),
                I::sub(a, b),
                I::add(c, d),
                I::sub(c, d),
                I::fma(four, v[1], I::fma(five, v[3], v[5])),
            ]
        }
    }
}

impl Matrix<6, 4> for Output {
    #[inline(always)]
    unsafe fn times<I: Simd>(v: [I::V; 6]) -> [I::V; 4] {
        // SAFETY: the caller's promises.
        unsafe {
            let (p, m) = (I::add(v[1], v[2]), I::sub(v[1], v[2]));
            let (q, n) = (I::add(v[3], v[4]), I::sub(v[3], v[4]));
            [
                I::add(v[0], I::add(p, q)),
                I::fma(I::splat(2.0), n, m),
                I::fma(I::splat(4.0), q, p),
                I::add(I::fma(I::splat(8.0), n, m), v[5]),
            ]
        }
    }
}

impl Matrix<4, 6> for OutputGradient {
    #[inline(always)]
    unsafe fn times<I: Simd>(v: [I::V; 4]) -> [I::V; 6] {
        // SAFETY: the caller's promises.
        unsafe {
            let (a, b) = (I::add(v[0], v[2]), I::add(v[1], v[3]));
            let c = I::fma(I::splat(4.0), v[2], v[0]);
            let d = I::fma(I::splat(8.0), v[3], I::mul(I::splat(2.0), v[1]));
            [v[0], I::add(a, b), I::sub(a, b), I::add(c, d), I::sub(c, d), v[3]]
        }
    }
}

impl Matrix<3, 6> for Filter {
    #[inline(always)]
    unsafe fn times<I: Simd>(v: [I::V; 3]) -> [I::V; 6] {
        // SAFETY: the caller's promises.
        unsafe {
            let sixth = I::splat(-1.0 / 6.0);
            let a = I::mul(sixth, I::add(v[0], v[2]));
            let b = I::mul(sixth, v[1]);
            let c = I::fma(I::splat(1.0 / 24.0), v[0], I::mul(I::splat(1.0 / 6.0), v[2]));
            let d = I::mul(I::splat(1.0 / 12.0), v[1]);
            [I::mul(I::splat(0.25), v[0]), I::add(a, b), I::sub(a, b), I::add(c, d), I::sub(c, d), v[2]]
        }
    }
}

impl Matrix<6, 3> for FilterGradient {
    #[inline(always)]
    unsafe fn times<I: Simd>(v: [I::V; 6]) -> [I::V; 3] {
        // SAFETY: the caller's promises.
        unsafe {
            let (p, m) = (I::add(v[1], v[2]), I::sub(v[2], v[1]));
            let (q, n) = (I::add(v[3], v[4]), I::sub(v[3], v[4]));
            let sixth = I::splat(1.0 / 6.0);
            [
                I::fma(I::splat(0.25), v[0], I::sub(I::mul(I::splat(1.0 / 24.0), q), I::mul(sixth, p))),
                I::fma(sixth, m, I::mul(I::splat(1.0 / 12.0), n)),
                I::add(I::mul(sixth, I::sub(q, p)), v[5]),
            ]
        }
    }
}

/// Where the vectors of a square of them lie in memory.
#[derive(Clone, Copy)]
pub struct Square<P> {
    /// The first vector.
    pub at: P,
    /// Values from a vector to the one below.
    pub down: usize,
    /// Values from a vector to the one on the right.
    pub right: usize,
}

/// `to (+)= T X Tᵀ`, X being `from`: first down every column, then along every row.
///
/// # Safety
/// The machine has the instruction set, `from` holds M × M vectors, and `to` has room for N × N.
#[inline(always)]
pub unsafe fn transform<I: Simd, T: Matrix<M, N>, const M: usize, const N: usize>(
    from: Square<*const f32>,
    to: Square<*mut f32>,
    add: bool,
) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut columns = [[I::zero(); N]; M];
        let mut x = 0;
        while x < M {
            let mut v = [I::zero(); M];
            let mut y = 0;
            while y < M {
                v[y] = I::load(from.at.add(y * from.down + x * from.right));
                y += 1;
            }
            columns[x] = T::times::<I>(v);
            x += 1;
        }
        let mut y = 0;
        while y < N {
            let mut row = [I::zero(); M];
            let mut x = 0;
            while x < M {
                row[x] = columns[x][y];
                x += 1;
            }
            let row = T::times::<I>(row);
            let mut x = 0;
            while x < N {
                let at = to.at.add(y * to.down + x * to.right);
                I::store(at, if add { I::add(row[x], I::load(at)) } else { row[x] });
                x += 1;
            }
            y += 1;
        }
    }
}
