//! Convolutions and their gradients, directly and by Winograd, on every instruction set: against the sums that define
//! them, against PyTorch (golden/make_operators.py), and the gradients against finite differences.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde::Deserialize;

use super::*;
use crate::network::cpu::buffers::BufferPool;
use crate::network::cpu::simd::Level;
use crate::network::parameters::{Parameter, padded};
use crate::network::tests::{
    assert_close, assert_digest, assert_slope, digest, dot, formula, gathered, spread,
};

/// A convolution with its weight in PyTorch's order, and how it is computed.
struct Computed {
    conv: Conv,
    images: usize,
    algorithm: Algorithm,
    level: Level,
}

impl Computed {
    /// By every algorithm on every instruction set.
    fn in_every_way(conv: &Conv, images: usize) -> Vec<Self> {
        let algorithms = [Algorithm::Direct, Algorithm::Winograd];
        let one = |(level, algorithm)| Self { conv: conv.clone(), images, algorithm, level };
        Level::all().into_iter().flat_map(|level| algorithms.map(|a| (level, a))).map(one).collect()
    }

    fn name(&self) -> String {
        format!("{:?} {} {:?} {:?}", self.conv, self.images, self.level, self.algorithm)
    }

    fn weight(&self) -> Parameter {
        let Conv { cin, cout, kernel, offset, .. } = self.conv;
        Parameter { name: "weight".into(), offset, shape: vec![cout, cin, kernel, kernel] }
    }

    fn flat(&self, weight: &[f32]) -> Vec<f32> {
        let mut flat = vec![9.0; self.conv.offset + weight.len()];
        self.weight().place(weight, &mut flat);
        flat
    }

    /// Images with their frames, which are built over whatever the memory holds.
    fn framed(&self, x: &[f32], size: usize, memory: usize) -> Vec<f32> {
        let (image, line) = (padded_len(size, memory), size * memory);
        let mut out = vec![f32::NAN; scratch_len(self.images, size, memory)];
        out[self.images * image..].fill(0.0);
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

    /// The output, added to `before` where it is given.
    fn forward_onto(&self, x: &[f32], weight: &[f32], before: Option<&[f32]>) -> Vec<f32> {
        let Self { conv, images, algorithm, level } = self;
        let memory = conv.cout_memory();
        let mut out = match before {
            Some(before) => spread(before, conv.cout, memory),
            None => vec![f32::NAN; images * conv.out_size().pow(2) * memory],
        };
        let (flat, buffers, add) = (self.flat(weight), BufferPool::default(), before.is_some());
        PreparedConvolution::new(
            Direction::Forward,
            conv,
            &flat,
            *images,
            add,
            *algorithm,
            (*level, &buffers),
        )
        .run(&self.framed_input(x), &mut out);
        gathered(&out, conv.cout, memory)
    }

    fn forward(&self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        self.forward_onto(x, weight, None)
    }

    fn input_gradient(&self, g: &[f32], weight: &[f32]) -> Vec<f32> {
        let Self { conv, images, algorithm, level } = self;
        // Zeros: a 1×1 convolution of stride 2 leaves the pixels that it skips as they are.
        let mut out = vec![0.0; images * conv.size.pow(2) * conv.cin_memory];
        let (flat, buffers) = (self.flat(weight), BufferPool::default());
        let direction = Direction::InputGradient;
        PreparedConvolution::new(direction, conv, &flat, *images, false, *algorithm, (*level, &buffers))
            .run(&self.framed_gradient(g), &mut out);
        gathered(&out, conv.cin, conv.cin_memory)
    }

    fn weight_gradient(&self, x: &[f32], g: &[f32]) -> Vec<f32> {
        let Self { conv, images, algorithm, level } = self;
        let memory = conv.cout_memory();
        let gradient = WeightGradient::new(conv, memory, *images, *algorithm, *level);
        let mut sum = vec![0.0; gradient.len()];
        gradient.add(*images, &self.framed_input(x), &self.framed_gradient(g), &mut sum);
        let mut flat = vec![0.0; conv.offset + conv.len()];
        gradient.finish(&sum, &BufferPool::default(), |taps| unpad(conv, taps, 0, memory, &mut flat));
        self.weight().to_torch(&flat)
    }
}

/// Images keep their channels, activations come in whole vectors; only those pass a gradient on.
fn conv([cin, cout, kernel, stride, size]: [usize; 5], offset: usize) -> (Conv, bool) {
    let activations = cin > 3;
    let cin_memory = if activations { padded(cin) } else { cin };
    (Conv { cin, cout, cin_memory, kernel, stride, size, offset }, activations)
}

/// Input, weight in PyTorch's order, gradient of the output.
fn values(conv: &Conv, images: usize) -> [Vec<f32>; 3] {
    let Conv { cin, cout, size, .. } = *conv;
    [
        formula(images * size * size * cin, 1),
        formula(conv.len(), 2),
        formula(images * conv.out_size().pow(2) * cout, 3),
    ]
}

/// Output, input's gradient and weight's gradient by the sums that define them, in f64.
fn defined(conv: &Conv, images: usize, [x, w, g]: &[Vec<f32>; 3]) -> [Vec<f32>; 3] {
    let Conv { cin, cout, kernel, stride, size, .. } = *conv;
    let so = conv.out_size();
    let (mut y, mut dx, mut dw) = (vec![0f64; g.len()], vec![0f64; x.len()], vec![0f64; w.len()]);
    for at in 0..images * so * so * kernel * kernel {
        let (tap, pixel) = (at % (kernel * kernel), at / (kernel * kernel));
        let (i, oy, ox, ky, kx) =
            (pixel / (so * so), pixel / so % so, pixel % so, tap / kernel, tap % kernel);
        let along = |o: usize, k: usize| (o * stride + k).checked_sub(kernel / 2).filter(|at| *at < size);
        let (Some(iy), Some(ix)) = (along(oy, ky), along(ox, kx)) else { continue };
        for ic in 0..cin {
            for oc in 0..cout {
                let xi = ((i * size + iy) * size + ix) * cin + ic;
                let yi = ((i * so + oy) * so + ox) * cout + oc;
                let wi = ((oc * cin + ic) * kernel + ky) * kernel + kx;
                y[yi] += f64::from(x[xi]) * f64::from(w[wi]);
                dx[xi] += f64::from(g[yi]) * f64::from(w[wi]);
                dw[wi] += f64::from(g[yi]) * f64::from(x[xi]);
            }
        }
    }
    [y, dx, dw].map(|v| v.into_iter().map(|v| v as f32).collect())
}

#[test]
fn convolutions_and_their_gradients_are_the_sums_that_define_them() {
    let shapes = [
        [3, 16, 3, 1, 5],
        [16, 16, 3, 1, 8],
        [20, 40, 3, 2, 7],
        [33, 17, 3, 2, 8],
        [16, 32, 1, 2, 9],
        [5, 64, 1, 1, 4],
        [64, 48, 3, 1, 3],
        [64, 48, 3, 1, 12],
        [16, 96, 3, 1, 28],
        [144, 16, 3, 1, 4],
        [32, 32, 3, 1, 1],
        [1, 16, 3, 2, 1],
    ];
    for (shape, images) in shapes.into_iter().flat_map(|shape| [(shape, 1), (shape, 3)]) {
        let (conv, activations) = conv(shape, 7);
        let values = values(&conv, images);
        let [y, dx, dw] = defined(&conv, images, &values);
        let [x, w, g] = &values;
        for computed in Computed::in_every_way(&conv, images) {
            let of = computed.name();
            let out = computed.forward(x, w);
            assert_close(&format!("forward {of}"), &out, &y, 1e-4);
            let twice: Vec<f32> = out.iter().map(|v| v * 2.0).collect();
            let accumulated = computed.forward_onto(x, w, Some(&out));
            assert_close(&format!("accumulated {of}"), &accumulated, &twice, 1e-5);
            if activations {
                assert_close(&format!("input {of}"), &computed.input_gradient(g, w), &dx, 1e-4);
            }
            assert_close(&format!("weight {of}"), &computed.weight_gradient(x, g), &dw, 1e-4);
        }
    }
}

#[derive(Deserialize)]
struct Goldens {
    convolutions: Vec<Golden>,
}

#[derive(Deserialize)]
struct Golden {
    cin: usize,
    cout: usize,
    kernel: usize,
    stride: usize,
    size: usize,
    images: usize,
    output: [f64; 2],
    input_gradient: [f64; 2],
    weight_gradient: [f64; 2],
}

#[test]
fn convolutions_are_pytorchs_and_their_gradients_the_slopes() {
    let goldens: Goldens = serde_json::from_str(include_str!("../../golden/operators.json")).unwrap();
    let check = |what: &str, found: &[f32], wanted| assert_digest(what, digest(found), wanted, 1e-4);
    for case in goldens.convolutions {
        let (conv, activations) = conv([case.cin, case.cout, case.kernel, case.stride, case.size], 0);
        let [x, w, g] = values(&conv, case.images);
        for computed in Computed::in_every_way(&conv, case.images) {
            let of = computed.name();
            check(&of, &computed.forward(&x, &w), case.output);
            let dw = computed.weight_gradient(&x, &g);
            check(&format!("weight {of}"), &dw, case.weight_gradient);
            // A convolution is linear: its slope is the same however far one goes.
            assert_slope(&format!("weight {of}"), &w, &dw, 1e-3, |w| dot(&computed.forward(&x, w), &g));
            if activations {
                let dx = computed.input_gradient(&g, &w);
                check(&format!("input {of}"), &dx, case.input_gradient);
                assert_slope(&format!("input {of}"), &x, &dx, 1e-3, |x| dot(&computed.forward(x, &w), &g));
            }
        }
    }
}
