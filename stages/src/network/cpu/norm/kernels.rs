//! Element-wise passes over pixels × channels, each fused so that data is touched once: batch norm with ReLU,
//! its gradient, and the sums that both need. `n` pixels of `c` channels (a multiple of [`LANES`]) stand one after
//! another.

use super::{Coefficients, GradientCoefficients};
use crate::network::cpu::simd::{LANES, Simd, per_level};

#[inline(always)]
unsafe fn inner_relu<I: Simd>(x: I::V, affine: Option<(I::V, I::V)>) -> I::V {
    // SAFETY: the caller's promises.
    unsafe {
        match affine {
            Some((scale, shift)) => I::max(I::fma(x, scale, shift), I::zero()),
            None => x,
        }
    }
}

#[inline(always)]
unsafe fn affine_at<I: Simd>(inner: Option<&Coefficients>, c: usize) -> Option<(I::V, I::V)> {
    // SAFETY: the caller's promises.
    unsafe { inner.map(|s| (I::load(s.scale.as_ptr().add(c)), I::load(s.shift.as_ptr().add(c)))) }
}

per_level! {
    /// `out (+)= relu(norm(x'))`, where x' = relu(inner(x)) if there is an inner norm.
    ///
    /// # Safety
    /// `x` and `out` hold `n · c` values, the norms `c` channels.
    pub fn norm_relu(
        x: *const f32, n: usize, c: usize, inner: Option<&Coefficients>, norm: &Coefficients, add: bool, out: *mut f32
    ) = norm_relu_on
}

#[inline(always)]
unsafe fn norm_relu_on<I: Simd>(
    x: *const f32,
    n: usize,
    c: usize,
    inner: Option<&Coefficients>,
    norm: &Coefficients,
    add: bool,
    out: *mut f32,
) {
    let mut k = 0;
    while k < c {
        // SAFETY: the caller's promises.
        unsafe {
            let first = affine_at::<I>(inner, k);
            let (scale, shift) = (I::load(norm.scale.as_ptr().add(k)), I::load(norm.shift.as_ptr().add(k)));
            for i in 0..n {
                let v = inner_relu::<I>(I::load(x.add(i * c + k)), first);
                let mut v = I::max(I::fma(v, scale, shift), I::zero());
                let to = out.add(i * c + k);
                if add {
                    v = I::add(v, I::load(to));
                }
                I::store(to, v);
            }
        }
        k += LANES;
    }
}

per_level! {
    /// `out (+)= a·dz + b·(x' − mean) + c` for channels `from..from + width`; `out` has `width` channels.
    ///
    /// # Safety
    /// `dz` and `x` hold `n · c` values, `out` `n · width`, the norms `c` channels. `out` may be `dz` if the
    /// width is `c`.
    pub fn norm_gradient(
        dz: *const f32, x: *const f32, n: usize, c: usize, from: usize, width: usize, inner: Option<&Coefficients>,
        norm: &Coefficients, grad: &GradientCoefficients, add: bool, out: *mut f32
    ) = norm_gradient_on
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn norm_gradient_on<I: Simd>(
    dz: *const f32,
    x: *const f32,
    n: usize,
    c: usize,
    from: usize,
    width: usize,
    inner: Option<&Coefficients>,
    norm: &Coefficients,
    grad: &GradientCoefficients,
    add: bool,
    out: *mut f32,
) {
    let mut k = 0;
    while k < width {
        // SAFETY: the caller's promises.
        unsafe {
            let at = from + k;
            let first = affine_at::<I>(inner, at);
            let mean = I::load(norm.mean.as_ptr().add(at));
            let a = I::load(grad.a.as_ptr().add(at));
            let b = I::load(grad.b.as_ptr().add(at));
            let shift = I::load(grad.c.as_ptr().add(at));
            for i in 0..n {
                let v = inner_relu::<I>(I::load(x.add(i * c + at)), first);
                let g = I::fma(a, I::load(dz.add(i * c + at)), I::fma(b, I::sub(v, mean), shift));
                let to = out.add(i * width + k);
                I::store(to, if add { I::add(g, I::load(to)) } else { g });
            }
        }
        k += LANES;
    }
}

per_level! {
    /// Mean and Σ(x' − mean)² of every channel, in two passes over data that is in cache.
    ///
    /// # Safety
    /// `x` holds `n · c` values, `mean` and `m2` `c` each; n > 0.
    pub fn moments(
        x: *const f32, n: usize, c: usize, inner: Option<&Coefficients>, mean: *mut f32, m2: *mut f32
    ) = moments_on
}

#[inline(always)]
unsafe fn moments_on<I: Simd>(
    x: *const f32,
    n: usize,
    c: usize,
    inner: Option<&Coefficients>,
    mean: *mut f32,
    m2: *mut f32,
) {
    let mut k = 0;
    while k < c {
        // SAFETY: the caller's promises.
        unsafe {
            let first = affine_at::<I>(inner, k);
            let at = |i: usize| inner_relu::<I>(I::load(x.add(i * c + k)), first);
            let (mut s, mut t) = (I::zero(), I::zero());
            let mut i = 0;
            while i + 2 <= n {
                s = I::add(s, at(i));
                t = I::add(t, at(i + 1));
                i += 2;
            }
            if i < n {
                s = I::add(s, at(i));
            }
            let per = I::splat(1.0 / n as f32);
            let guess = I::mul(I::add(s, t), per);
            let (mut s, mut t) = (I::zero(), I::zero());
            for i in 0..n {
                let d = I::sub(at(i), guess);
                s = I::add(s, d);
                t = I::fma(d, d, t);
            }
            // The first mean was rounded: correct both by what is left of the sum.
            let rest = I::mul(s, per);
            I::store(mean.add(k), I::add(guess, rest));
            I::store(m2.add(k), I::max(I::sub(t, I::mul(s, rest)), I::zero()));
        }
        k += LANES;
    }
}

per_level! {
    /// Back through ReLU: `dz = da where norm(x') > 0, else 0`, in place, and the sums Σdz and Σdz·x̂ of every
    /// channel.
    ///
    /// # Safety
    /// `da` and `x` hold `n · c` values, `sum` and `dot` `c` each, the norms `c` channels.
    pub fn relu_gradient(
        da: *mut f32, x: *const f32, n: usize, c: usize, inner: Option<&Coefficients>, norm: &Coefficients,
        sum: *mut f32, dot: *mut f32
    ) = relu_gradient_on
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn relu_gradient_on<I: Simd>(
    da: *mut f32,
    x: *const f32,
    n: usize,
    c: usize,
    inner: Option<&Coefficients>,
    norm: &Coefficients,
    sum: *mut f32,
    dot: *mut f32,
) {
    let mut k = 0;
    while k < c {
        // SAFETY: the caller's promises.
        unsafe {
            let first = affine_at::<I>(inner, k);
            let (scale, shift) = (I::load(norm.scale.as_ptr().add(k)), I::load(norm.shift.as_ptr().add(k)));
            let (mean, rstd) = (I::load(norm.mean.as_ptr().add(k)), I::load(norm.rstd.as_ptr().add(k)));
            let (mut s, mut t) = (I::zero(), I::zero());
            for i in 0..n {
                let v = inner_relu::<I>(I::load(x.add(i * c + k)), first);
                let to = da.add(i * c + k);
                let dz = I::gate(I::fma(v, scale, shift), I::load(to));
                I::store(to, dz);
                s = I::add(s, dz);
                t = I::fma(dz, I::sub(v, mean), t);
            }
            I::store(sum.add(k), s);
            I::store(dot.add(k), I::mul(t, rstd));
        }
        k += LANES;
    }
}
