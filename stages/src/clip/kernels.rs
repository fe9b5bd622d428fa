//! The inner loops of the towers on a CPU: f32 slices in, f32 slices out, spread over rayon's threads.
//!
//! Lengths are the caller's duty (debug-asserted). No result depends on
//! the number of threads: work is split by rows, and every sum runs in a fixed order.

use rayon::prelude::*;

use super::config::Activation;

/// Elements that one task of an element-wise pass takes: enough to pay for the task, little enough to stay in cache.
const TASK: usize = 1 << 14;

/// out (m, n) += x (m, k) · w (k, n), all row-major and contiguous, on all threads.
///
/// A row of `out` depends on its row of `x` alone, bit for bit, however many others there are. gemm has two habits
/// against it: a single row is summed in another order, and where w is at most [`NARROW`] wide, few rows are summed in
/// pieces of 512 products and many in longer ones.
pub fn matmul_add(x: &[f32], w: &[f32], out: &mut [f32], [m, k, n]: [usize; 3]) {
    if m == 1 {
        let mut twice = out.repeat(2);
        matmul_add(&x.repeat(2), w, &mut twice, [2, k, n]);
        return out.copy_from_slice(&twice[..n]);
    }
    let threads = match rayon::current_num_threads() {
        1 => gemm::Parallelism::None,
        threads => gemm::Parallelism::Rayon(threads),
    };
    let piece = if n <= NARROW { k.div_ceil(k.div_ceil(512).max(1)).max(1) } else { k.max(1) };
    for from in (0..k).step_by(piece) {
        let to = (from + piece).min(k);
        let (x, w) = ((&x[from..], k), (&w[from * n..], n, 1));
        gemm_f32((&mut *out, n), x, w, [m, to - from, n], Add::ToWhatIsThere, threads);
    }
}

/// Up to this width gemm chooses the order of its sums by the number of rows, beyond it does not.
const NARROW: usize = 64;

/// out (m, n) = scale · x (m, k) · w (k, n), all row-major and contiguous, on this thread.
pub fn matmul_here(x: &[f32], w: &[f32], out: &mut [f32], [m, k, n]: [usize; 3], scale: f32) {
    gemm_f32((out, n), (x, k), (w, n, 1), [m, k, n], Add::ToNothing { scale }, gemm::Parallelism::None);
}

/// What becomes of a product.
enum Add {
    /// out += x · w.
    ToWhatIsThere,
    /// out = scale · x · w.
    ToNothing { scale: f32 },
}

/// The product of strided operands. `out` and `x` come with the stride of their rows, `w` with those of its rows and
/// its columns.
fn gemm_f32(
    (out, out_row): (&mut [f32], usize),
    (x, x_row): (&[f32], usize),
    (w, w_row, w_column): (&[f32], usize, usize),
    [m, k, n]: [usize; 3],
    add: Add,
    threads: gemm::Parallelism,
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(
        out_row >= n && out.len() > (m - 1) * out_row + n - 1,
        "the product does not fit into its output"
    );
    assert!(x.len() > (m - 1) * x_row + k - 1, "the left operand is too short");
    assert!(w.len() > (k - 1) * w_row + (n - 1) * w_column, "the right operand is too short");
    let (accumulate, scale) = match add {
        Add::ToWhatIsThere => (true, 1.0),
        Add::ToNothing { scale } => (false, scale),
    };
    // SAFETY: the assertions above bound every element that gemm touches, at row · row stride + column · column
    // stride with row and column below m, k or n; `out` is borrowed mutably, so it overlaps neither operand, and its
    // rows do not overlap each other, their stride being at least n.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_row as isize,
            accumulate,
            x.as_ptr(),
            1,
            x_row as isize,
            w.as_ptr(),
            w_column as isize,
            w_row as isize,
            1.0,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}

/// The rows of a linear map before its product is added: `bias` in every row, or `bias` + the rows of `residual`,
/// which begin anew where they end.
pub fn bias_rows(rows: usize, bias: &[f32], residual: Option<&[f32]>) -> Vec<f32> {
    let mut out = vec![0.0; rows * bias.len()];
    match residual {
        None => by_rows(&mut out, bias.len()).for_each(|(_, rows)| {
            for row in rows.chunks_exact_mut(bias.len()) {
                row.copy_from_slice(bias);
            }
        }),
        Some(residual) => by_rows(&mut out, bias.len()).for_each(|(start, rows)| {
            let residual =
                residual.chunks_exact(bias.len()).cycle().skip(start % residual.len() / bias.len());
            for (row, residual) in rows.chunks_exact_mut(bias.len()).zip(residual) {
                for ((y, r), b) in row.iter_mut().zip(residual).zip(bias) {
                    *y = r + b;
                }
            }
        }),
    }
    out
}

/// The non-linearity in place.
pub fn activate(xs: &mut [f32], activation: Activation) {
    xs.par_chunks_mut(TASK).for_each(|xs| match activation {
        Activation::QuickGelu => xs.iter_mut().for_each(|x| *x *= sigmoid(1.702 * *x)),
        Activation::Gelu => xs.iter_mut().for_each(|x| *x = gelu(*x)),
        Activation::GeluTanh => xs.iter_mut().for_each(|x| {
            // ½(1 + tanh u) = σ(2u), u = √(2/π) (x + 0.044715 x³)
            *x *= sigmoid(2.0 * 0.797_884_6 * (*x + 0.044_715 * *x * *x * *x));
        }),
    });
}

/// Layer norm of every row of `x` with the biased variance.
pub fn layer_norm(x: &[f32], gain: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
    let width = gain.len();
    let mut out = vec![0.0; x.len()];
    by_rows(&mut out, width).for_each(|(start, rows)| {
        for (y, x) in rows.chunks_exact_mut(width).zip(x[start..].chunks_exact(width)) {
            let mean = sum(x, |v| v) / width as f32;
            let variance = sum(x, |v| (v - mean) * (v - mean)) / width as f32;
            let scale = 1.0 / (variance + eps).sqrt();
            for (((y, x), g), b) in y.iter_mut().zip(x).zip(gain).zip(bias) {
                *y = (x - mean) * scale * g + b;
            }
        }
    });
    out
}

/// Multi-head attention. `qkv` is (sequences · tokens, 3 · hidden): queries, keys and values side by side, the heads
/// of each side by side; the result is (sequences · tokens, hidden). `causal`: no token looks at later ones.
pub fn attention(qkv: &[f32], tokens: usize, hidden: usize, heads: usize, causal: bool) -> Vec<f32> {
    let width = hidden / heads;
    let scale = (width as f32).powf(-0.5);
    let mut out = vec![0.0; qkv.len() / 3];
    let sequences = out.par_chunks_mut(tokens * hidden).zip(qkv.par_chunks(tokens * 3 * hidden));
    sequences.for_each_init(
        || vec![0.0; tokens * tokens],
        |scores, (out, qkv)| {
            let none = gemm::Parallelism::None;
            let row = 3 * hidden;
            for head in 0..heads {
                let (q, k, v) = (head * width, hidden + head * width, 2 * hidden + head * width);
                let (queries, keys, values) = ((&qkv[q..], row), (&qkv[k..], 1, row), (&qkv[v..], row, 1));
                let add = Add::ToNothing { scale };
                gemm_f32((scores, tokens), queries, keys, [tokens, width, tokens], add, none);
                for (i, row) in scores.chunks_exact_mut(tokens).enumerate() {
                    let seen = if causal { i + 1 } else { tokens };
                    softmax(&mut row[..seen]);
                    row[seen..].fill(0.0);
                }
                let out = (&mut out[head * width..], hidden);
                let add = Add::ToNothing { scale: 1.0 };
                gemm_f32(out, (scores, tokens), values, [tokens, tokens, width], add, none);
            }
        },
    );
    out
}

/// The whole patches of images (count, 3, side, side), as rows (count · (1 + grid²), 3 · patch²) in the order of a
/// convolution's kernel. The first row of each image is zero: the place of its class token.
pub fn patches(images: &[f32], side: usize, patch: usize) -> Vec<f32> {
    let grid = side / patch;
    let row = 3 * patch * patch;
    let tokens = 1 + grid * grid;
    let mut out = vec![0.0; images.len() / (3 * side * side) * tokens * row];
    let pairs = out.par_chunks_mut(tokens * row).zip(images.par_chunks(3 * side * side));
    pairs.for_each(|(out, image)| {
        for (at, out) in out[row..].chunks_exact_mut(row).enumerate() {
            let (top, left) = (at / grid * patch, at % grid * patch);
            for (line, out) in out.chunks_exact_mut(patch).enumerate() {
                let (channel, y) = (line / patch, top + line % patch);
                let from = (channel * side + y) * side + left;
                out.copy_from_slice(&image[from..from + patch]);
            }
        }
    });
    out
}

/// Softmax of one row in place.
pub fn softmax(row: &mut [f32]) {
    let top = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    row.iter_mut().for_each(|x| *x = exp(*x - top));
    let scale = 1.0 / sum(row, |v| v);
    row.iter_mut().for_each(|x| *x *= scale);
}

/// Whole rows of `width`, some at a time, with the offset of the first.
fn by_rows(out: &mut [f32], width: usize) -> impl ParallelIterator<Item = (usize, &mut [f32])> {
    let step = (TASK / width).max(1) * width;
    out.par_chunks_mut(step).enumerate().map(move |(i, rows)| (i * step, rows))
}

/// Σ f(x) in a fixed order: sixteen partial sums, so that the compiler may use vector registers.
#[inline(always)]
fn sum(xs: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut partial = [0.0f32; 16];
    let (chunks, rest) = xs.as_chunks::<16>();
    for chunk in chunks {
        for (p, x) in partial.iter_mut().zip(chunk) {
            *p += f(*x);
        }
    }
    for (p, x) in partial.iter_mut().zip(rest) {
        *p += f(*x);
    }
    partial.iter().sum()
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// x · Φ(x). Φ through Abramowitz and Stegun 7.1.26, whose error of 1.5e-7 is that of f32 itself.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series =
        ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    let tail = 0.5 * series * exp(-z * z); // 1 − Φ(|x|)
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

/// eˣ to about 1e-7 relative, without branches or calls, so that loops over it become vector code: libm's is scalar,
/// and a ViT-B/32 takes two million exponentials an image. Method: Cephes `expf`, x = n ln 2 + r, a polynomial in r.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it leaves round(x) in the lowest bits of the mantissa
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = ((((1.987_569_1e-4 * r + 1.398_2e-3) * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r
        + 0.166_666_65)
        * r
        + 0.5;
    let two_to_n = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (p * r * r + r + 1.0) * two_to_n
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_exponential_is_that_of_f64_to_single_precision() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let (found, wanted) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / wanted - 1.0).abs() < 3e-7, "exp({x}) = {found}, not {wanted}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn gelu_is_that_of_scipy() {
        // scipy.stats.norm.cdf(x) * x
        let table =
            [(-3.0, -0.004_049_694), (-1.0, -0.158_655_25), (-0.1, -0.046_017_216), (0.5, 0.345_731_23)];
        for (x, wanted) in
            table.into_iter().chain([(0.0, 0.0), (2.0, 1.954_499_7), (20.0, 20.0), (-20.0, 0.0)])
        {
            assert!((gelu(x) - wanted).abs() < 3e-7, "gelu({x}) = {}, not {wanted}", gelu(x));
        }
    }

    #[test]
    fn the_tanh_gelu_is_within_a_thousandth_of_gelu_but_not_the_same() {
        let xs: Vec<f32> = (-40..40).map(|i| i as f32 / 10.0).collect();
        let (mut a, mut b) = (xs.clone(), xs);
        activate(&mut a, Activation::Gelu);
        activate(&mut b, Activation::GeluTanh);
        let gap = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(gap < 1e-3 && gap > 1e-4, "{gap}");
    }

    #[test]
    fn a_product_is_added_to_what_is_there() {
        let mut out = vec![1.0; 4];
        matmul_add(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], &mut out, [2, 3, 2]);
        assert_eq!(out, [5.0, 6.0, 11.0, 12.0]);
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn a_short_operand_is_caught_before_memory_is_touched() {
        matmul_add(&[1.0; 5], &[1.0; 6], &mut [0.0; 4], [2, 3, 2]);
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let [rows, k, n] = [700, 192, 576]; // enough work for gemm to share it out
        let values = |count: usize, prime: usize| -> Vec<f32> {
            (0..count).map(|i| ((i * prime) % 1000) as f32 / 500.0 - 1.0).collect()
        };
        let (x, w) = (values(rows * k, 7919), values(k * n, 104_729));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut out = bias_rows(rows, &w[..n], None);
                matmul_add(&x, &w, &mut out, [rows, k, n]);
                let attended = attention(&out, 50, 192, 4, true);
                activate(&mut out, Activation::QuickGelu);
                (layer_norm(&attended, &w[..192], &x[..192], 1e-5), out)
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn a_row_of_a_product_does_not_depend_on_the_others() {
        let values = |count: usize, prime: usize| -> Vec<f32> {
            (0..count).map(|i| ((i * prime) % 1009) as f32 / 500.0 - 1.0).collect()
        };
        for (k, n) in
            [(24, 20), (64, 24), (513, 40), (768, 64), (1025, 64), (3072, 768), (768, 2304), (588, 1024)]
        {
            let most = 200;
            let (x, w) = (values(most * k, 7919), values(k * n, 104_729));
            let product = |rows: std::ops::Range<usize>| {
                let mut out = bias_rows(rows.len(), &w[..n], None);
                matmul_add(&x[rows.start * k..rows.end * k], &w, &mut out, [rows.len(), k, n]);
                out
            };
            let all = product(0..most);
            for rows in [0..1, 17..18, 5..7, 100..103, 60..124, 70..135, 199..200] {
                assert_eq!(
                    product(rows.clone()),
                    all[rows.start * n..rows.end * n],
                    "{rows:?} of ({k}, {n})"
                );
            }
        }
    }

    #[test]
    fn a_residual_shorter_than_the_result_begins_anew() {
        let rows = 3 * TASK; // several tasks
        let out = bias_rows(rows, &[10.0, 20.0], Some(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        for (i, row) in out.chunks(2).enumerate() {
            let at = (i % 3 * 2) as f32;
            assert_eq!(row, [11.0 + at, 22.0 + at], "row {i}");
        }
    }
}
