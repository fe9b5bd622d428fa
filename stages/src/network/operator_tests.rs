//! Single operators against PyTorch (golden/make_operators.py) and against finite differences: convolutions and
//! batch norm with ReLU, forward and backward, on every instruction set.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde::Deserialize;

use super::conv::{Algorithm, Prepared, WeightGradient, fill_padded, padded_len, scratch_len, unpad};
use super::isa::Level;
use super::norm::{self, Moments, Sums};
use super::pixels::{activate, moments, norm_gradient, relu_gradient};
use super::plan::{Conv, Norm, Parameter, padded};
use super::pool::Pool;

/// Length, and product with a formula vector.
type Digest = [f64; 2];

#[derive(Deserialize)]
struct Goldens {
    convolutions: Vec<Convolution>,
    norms: Vec<NormCase>,
}

#[derive(Deserialize)]
struct Convolution {
    cin: usize,
    cout: usize,
    kernel: usize,
    stride: usize,
    size: usize,
    images: usize,
    output: Digest,
    input_gradient: Digest,
    weight_gradient: Digest,
}

#[derive(Deserialize)]
struct NormCase {
    channels: usize,
    pixels: usize,
    output: Digest,
    input_gradient: Digest,
    weight_gradient: Digest,
    bias_gradient: Digest,
    mean: Digest,
    unbiased_variance: Digest,
}

fn goldens() -> Goldens {
    serde_json::from_str(include_str!("golden/operators.json")).unwrap()
}

/// The formula of golden/make_goldens.py.
fn formula(count: usize, seed: usize) -> Vec<f32> {
    let one = |i: usize| (i as f64 * 1.7 + seed as f64 * 0.913 + ((i * i) % 97) as f64 * 0.31).sin() as f32;
    (0..count).map(one).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn length(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}

fn assert_digest(what: &str, found: &[f32], wanted: Digest) {
    let found = [length(found), dot(found, &formula(found.len(), 77))];
    for (f, w) in found.iter().zip(wanted) {
        assert!((f - w).abs() <= 1e-4 * wanted[0] + 1e-6, "{what}: {found:?}, PyTorch has {wanted:?}");
    }
}

/// `a` + `by` · `direction`.
fn moved(a: &[f32], direction: &[f32], by: f64) -> Vec<f32> {
    a.iter().zip(direction).map(|(a, d)| a + by as f32 * d).collect()
}

/// That `gradient` of `x` is the slope of the function `of` along it.
fn assert_slope(what: &str, x: &[f32], gradient: &[f32], within: f64, of: impl Fn(&[f32]) -> f64) {
    let norm = length(gradient);
    assert!(norm > 1e-3, "{what} has a gradient of {norm}");
    let by = 2e-2 * length(x) / norm;
    let slope = (of(&moved(x, gradient, by)) - of(&moved(x, gradient, -by))) / (2.0 * by * norm);
    assert!((slope - norm).abs() < within * norm, "{what}: slope {slope}, gradient {norm}");
}

/// Rows of `channels` values, `memory` apart, zeros between them; and back.
fn spread(x: &[f32], channels: usize, memory: usize) -> Vec<f32> {
    let row = |row: &[f32]| [row, &vec![0.0; memory - channels]].concat();
    x.chunks_exact(channels).flat_map(row).collect()
}

fn gathered(x: &[f32], channels: usize, memory: usize) -> Vec<f32> {
    x.chunks_exact(memory).flat_map(|row| row[..channels].to_vec()).collect()
}

/// A convolution with its weight in PyTorch's order, as one way of computing it sees it.
struct Way {
    conv: Conv,
    images: usize,
    algorithm: Algorithm,
    level: Level,
}

impl Way {
    fn weight(&self) -> Parameter {
        let Conv { cin, cout, kernel, .. } = self.conv;
        Parameter { name: "weight".into(), offset: 0, shape: vec![cout, cin, kernel, kernel] }
    }

    fn flat(&self, weight: &[f32]) -> Vec<f32> {
        let mut flat = vec![0.0; weight.len()];
        self.weight().place(weight, &mut flat);
        flat
    }

    /// Images with their frames.
    fn framed(&self, x: &[f32], size: usize, memory: usize) -> Vec<f32> {
        let mut out = vec![0.0; scratch_len(self.images, size, memory)];
        let (image, line) = (padded_len(size, memory), size * memory);
        for (framed, plain) in out.chunks_exact_mut(image).zip(x.chunks_exact(size * line)) {
            fill_padded(framed, size, memory, |y, row| row.copy_from_slice(&plain[y * line..(y + 1) * line]));
        }
        out
    }

    fn framed_input(&self, x: &[f32]) -> Vec<f32> {
        let Conv { cin, cin_memory, size, .. } = self.conv;
        self.framed(&spread(x, cin, cin_memory), size, cin_memory)
    }

    fn framed_gradient(&self, g: &[f32]) -> Vec<f32> {
        let (channels, memory) = (self.conv.cout, self.conv.cout_memory());
        self.framed(&spread(g, channels, memory), self.conv.out_size(), memory)
    }

    fn forward(&self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let Self { conv, images, algorithm, level } = self;
        let memory = conv.cout_memory();
        let mut out = vec![f32::NAN; images * conv.out_size().pow(2) * memory];
        let flat = self.flat(weight);
        Prepared::forward(conv, &flat, *images, false, *algorithm, *level, &Pool::default())
            .run(&self.framed_input(x), &mut out);
        gathered(&out, conv.cout, memory)
    }

    fn input_gradient(&self, g: &[f32], weight: &[f32]) -> Vec<f32> {
        let Self { conv, images, algorithm, level } = self;
        // Zeros: a 1×1 convolution of stride 2 leaves the pixels that it skips as they are.
        let mut out = vec![0.0; images * conv.size.pow(2) * conv.cin_memory];
        let flat = self.flat(weight);
        Prepared::backward(conv, &flat, *images, false, *algorithm, *level, &Pool::default())
            .run(&self.framed_gradient(g), &mut out);
        gathered(&out, conv.cin, conv.cin_memory)
    }

    fn weight_gradient(&self, x: &[f32], g: &[f32]) -> Vec<f32> {
        let Self { conv, images, algorithm, level } = self;
        let memory = conv.cout_memory();
        let gradient = WeightGradient::new(conv, memory, *images, *algorithm, *level);
        let mut sum = vec![0.0; gradient.len()];
        gradient.add(*images, &self.framed_input(x), &self.framed_gradient(g), &mut sum);
        let mut flat = vec![0.0; conv.len()];
        gradient.finish(&sum, &Pool::default(), |taps| unpad(conv, taps, 0, memory, &mut flat));
        self.weight().to_torch(&flat)
    }
}

#[test]
fn convolutions_are_pytorchs_and_their_gradients_the_slopes() {
    for case in goldens().convolutions {
        let Convolution { cin, cout, kernel, stride, size, images, .. } = case;
        // Images keep their channels, activations come in whole vectors; only those pass a gradient on.
        let activations = cin > 3;
        let cin_memory = if activations { padded(cin) } else { cin };
        let conv = Conv { cin, cout, cin_memory, kernel, stride, size, offset: 0 };
        let (x, w) = (formula(images * size * size * cin, 1), formula(conv.len(), 2));
        let g = formula(images * conv.out_size().pow(2) * cout, 3);
        for level in Level::all() {
            for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
                let of = format!("{conv:?} {level:?} {algorithm:?}");
                let way = Way { conv: conv.clone(), images, algorithm, level };
                assert_digest(&of, &way.forward(&x, &w), case.output);
                let dw = way.weight_gradient(&x, &g);
                assert_digest(&format!("weight {of}"), &dw, case.weight_gradient);
                // A convolution is linear: its slope is the same however far one goes.
                assert_slope(&format!("weight {of}"), &w, &dw, 1e-3, |w| dot(&way.forward(&x, w), &g));
                if activations {
                    let dx = way.input_gradient(&g, &w);
                    assert_digest(&format!("input {of}"), &dx, case.input_gradient);
                    assert_slope(&format!("input {of}"), &x, &dx, 1e-3, |x| dot(&way.forward(x, &w), &g));
                }
            }
        }
    }
}

/// What batch norm with ReLU gives for pixels (n, c), and its gradients for those of its output.
struct NormResult {
    output: Vec<f32>,
    mean: Vec<f32>,
    unbiased_variance: Vec<f32>,
    /// Of input, weight and bias.
    gradients: [Vec<f32>; 3],
}

/// In two groups of pixels, one of them odd, as the network does it.
fn norm_and_relu(level: Level, x: &[f32], weight: &[f32], bias: &[f32], g: &[f32]) -> NormResult {
    let channels = weight.len();
    let (c, n) = (padded(channels), x.len() / channels);
    let of = Norm { channels, weight: 0, bias: channels, running: 0 };
    let theta = [weight, bias].concat();
    let (x, mut dz) = (spread(x, channels, c), spread(g, channels, c));
    let split = (n / 3).max(1) * c;
    let groups = [&x[..split], &x[split..]].map(|x| {
        let (mut mean, mut m2) = (vec![0.0; c], vec![0.0; c]);
        // SAFETY: whole pixels of c channels, and as many values in both results.
        unsafe { moments(level, x.as_ptr(), x.len() / c, c, None, mean.as_mut_ptr(), m2.as_mut_ptr()) };
        Moments { count: x.len() / c, mean, m2 }
    });
    let (count, mean, m2) = norm::combine(&groups);
    assert_eq!(count, n as f64);
    let biased: Vec<f64> = m2.iter().map(|m| m / count).collect();
    let state = norm::state(&of, &theta, &mean, &biased);
    let mut output = vec![f32::NAN; x.len()];
    let (mut sum, mut along) = (vec![0.0; c], vec![0.0; c]);
    // SAFETY: all hold n · c values, the norm and the sums c.
    unsafe {
        activate(level, x.as_ptr(), n, c, None, &state, false, output.as_mut_ptr());
        let (sum, along) = (sum.as_mut_ptr(), along.as_mut_ptr());
        relu_gradient(level, dz.as_mut_ptr(), x.as_ptr(), n, c, None, &state, sum, along);
    }
    let mut sums = Sums::new(c);
    sums.add(&sum, &along);
    let mut flat = vec![0.0; 2 * channels];
    let grad = norm::gradient(&of, &theta, &state, &[sums], n, &mut flat);
    let mut dx = vec![f32::NAN; x.len()];
    // SAFETY: all hold n · c values, the norms c.
    unsafe {
        norm_gradient(
            level,
            dz.as_ptr(),
            x.as_ptr(),
            n,
            c,
            0,
            c,
            None,
            &state,
            &grad,
            false,
            dx.as_mut_ptr(),
        );
    }
    let narrow = |v: Vec<f64>| v.into_iter().take(channels).map(|v| v as f32).collect();
    NormResult {
        output: gathered(&output, channels, c),
        mean: narrow(mean),
        unbiased_variance: narrow(m2.iter().map(|m| m / (count - 1.0)).collect()),
        gradients: [gathered(&dx, channels, c), flat[..channels].to_vec(), flat[channels..].to_vec()],
    }
}

#[test]
fn batch_norm_with_relu_is_pytorchs_and_its_gradients_the_slopes() {
    for case in goldens().norms {
        let NormCase { channels, pixels, .. } = case;
        let x = formula(pixels * channels, 6);
        let weight: Vec<f32> = formula(channels, 4).into_iter().map(|v| 1.0 + 0.3 * v).collect();
        let bias: Vec<f32> = formula(channels, 5).into_iter().map(|v| 0.2 * v).collect();
        let g = formula(pixels * channels, 7);
        for level in Level::all() {
            let of = format!("{channels} channels, {pixels} pixels, {level:?}");
            let found = norm_and_relu(level, &x, &weight, &bias, &g);
            let [dx, dw, db] = &found.gradients;
            assert_digest(&of, &found.output, case.output);
            assert_digest(&format!("mean {of}"), &found.mean, case.mean);
            assert_digest(&format!("variance {of}"), &found.unbiased_variance, case.unbiased_variance);
            assert_digest(&format!("input {of}"), dx, case.input_gradient);
            assert_digest(&format!("weight {of}"), dw, case.weight_gradient);
            assert_digest(&format!("bias {of}"), db, case.bias_gradient);
            // Some pixel crosses its ReLU on the way.
            let value = |x: &[f32], w: &[f32], b: &[f32]| dot(&norm_and_relu(level, x, w, b, &g).output, &g);
            assert_slope(&format!("input {of}"), &x, dx, 5e-2, |x| value(x, &weight, &bias));
            assert_slope(&format!("weight {of}"), &weight, dw, 5e-2, |w| value(&x, w, &bias));
            assert_slope(&format!("bias {of}"), &bias, db, 5e-2, |b| value(&x, &weight, b));
        }
    }
}
