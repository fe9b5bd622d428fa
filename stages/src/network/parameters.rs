//! The trunk's layers and parameters: which convolutions and norms there are, and where each parameter stands.
//!
//! All parameters of the trunk live in one flat vector, so that an optimiser step is one pass; this file gives
//! names, shapes and places. A convolution's weight is stored (kh, kw, in, out), which is what the kernels
//! read; [`Parameter::to_torch`] turns it into PyTorch's (out, in, kh, kw).

use super::Architecture;
use super::cpu::LANES;

/// ε of every norm, PyTorch's default.
pub(crate) const EPSILON: f64 = 1e-5;

/// Weight of the new batch in the running statistics, PyTorch's default.
pub(super) const MOMENTUM: f64 = 0.1;

/// Rounds channels up to whole vectors.
pub(super) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}

/// A convolution without bias: 3×3 with padding 1, or 1×1 without.
#[derive(Clone, Debug)]
pub(super) struct Conv {
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Channels of the input as it lies in memory (padded, except for images).
    pub cin_memory: usize,
    /// 1 or 3.
    pub kernel: usize,
    /// 1 or 2.
    pub stride: usize,
    /// Side of the square input.
    pub size: usize,
    /// Offset of the weight in the flat vector.
    pub offset: usize,
}

impl Conv {
    /// Side of the square output.
    pub fn out_size(&self) -> usize {
        (self.size - 1) / self.stride + 1
    }

    /// Channels of the output as it lies in memory.
    pub fn cout_memory(&self) -> usize {
        padded(self.cout)
    }

    /// Number of weights.
    pub fn len(&self) -> usize {
        self.kernel * self.kernel * self.cin * self.cout
    }
}

/// A batch norm.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    /// Channels.
    pub channels: usize,
    /// Offset of the scale in the flat vector.
    pub weight: usize,
    /// Offset of the shift in the flat vector.
    pub bias: usize,
    /// Offset of the running mean in the flat vector of means, and of the variance in that of variances.
    pub running: usize,
}

/// a = relu(norm1(x)); out = conv2(relu(norm2(conv1(a)))) + (shortcut(a) or a).
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub norm1: Norm,
    pub conv1: Conv,
    pub norm2: Norm,
    pub conv2: Conv,
    pub shortcut: Option<Conv>,
}

/// A named piece of a flat vector.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    /// PyTorch-style name.
    pub name: String,
    /// Offset in the flat vector.
    pub offset: usize,
    /// Shape in PyTorch's order.
    pub shape: Vec<usize>,
}

impl Parameter {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Values in PyTorch's order, from the flat vector.
    pub fn to_torch(&self, flat: &[f32]) -> Vec<f32> {
        let own = &flat[self.offset..self.offset + self.len()];
        let [o, i, kh, kw] = self.shape[..] else { return own.to_vec() };
        let mut out = Vec::with_capacity(own.len());
        for oc in 0..o {
            for ic in 0..i {
                out.extend((0..kh * kw).map(|tap| own[(tap * i + ic) * o + oc]));
            }
        }
        out
    }

    /// Puts values in PyTorch's order into the flat vector.
    pub fn place(&self, values: &[f32], flat: &mut [f32]) {
        let own = &mut flat[self.offset..self.offset + values.len()];
        let [o, i, kh, kw] = self.shape[..] else {
            own.copy_from_slice(values);
            return;
        };
        for (at, v) in values.iter().enumerate() {
            let (tap, ic, oc) = (at % (kh * kw), at / (kh * kw) % i, at / (kh * kw * i));
            own[(tap * i + ic) * o + oc] = *v;
        }
    }
}

/// The trunk: everything between the image and the pooled features.
#[derive(Clone, Debug)]
pub(super) struct TrunkLayout {
    pub stem: Conv,
    pub stem_norm: Norm,
    pub blocks: Vec<Block>,
    /// Channels of the features.
    pub features: usize,
    /// Trainable parameters, sorted by name.
    pub parameters: Vec<Parameter>,
    /// Length of the flat vector of parameters.
    pub len: usize,
    /// Running means (the variances have the same places), without the word itself: `….running_mean`.
    pub buffers: Vec<Parameter>,
    /// Length of the flat vector of running means.
    pub buffers_len: usize,
}

impl TrunkLayout {
    /// Lays out the trunk of a validated architecture.
    pub fn new(a: &Architecture) -> Self {
        let mut build = Builder::default();
        let mut size = a.input_size;
        let (cin, width) = (a.input_channels, a.width);
        let stem = build.conv("stem.conv", [cin, width, 3, 1], size, cin);
        let stem_norm = build.norm("stem.norm", width);
        let mut blocks = vec![];
        let mut cin = width;
        for (stage, &count) in a.blocks.iter().enumerate() {
            let cout = width << stage;
            for block in 0..count {
                let stride = match (stage, block) {
                    (0, 0) => a.first_stride,
                    (_, 0) => 2,
                    _ => 1,
                };
                let name = |part: &str| format!("stages.{stage}.blocks.{block}.{part}");
                let norm1 = build.norm(&name("norm1"), cin);
                let conv1 = build.conv(&name("conv1"), [cin, cout, 3, stride], size, padded(cin));
                let norm2 = build.norm(&name("norm2"), cout);
                let shortcut = (stride != 1 || cin != cout)
                    .then(|| build.conv(&name("shortcut"), [cin, cout, 1, stride], size, padded(cin)));
                size = conv1.out_size();
                let conv2 = build.conv(&name("conv2"), [cout, cout, 3, 1], size, padded(cout));
                blocks.push(Block { norm1, conv1, norm2, conv2, shortcut });
                cin = cout;
            }
        }
        build.parameters.sort_by(|a, b| a.name.cmp(&b.name));
        build.buffers.sort_by(|a, b| a.name.cmp(&b.name));
        let Builder { parameters, len, buffers, buffers_len } = build;
        Self { stem, stem_norm, blocks, features: cin, parameters, len, buffers, buffers_len }
    }
}

#[derive(Default)]
struct Builder {
    parameters: Vec<Parameter>,
    len: usize,
    buffers: Vec<Parameter>,
    buffers_len: usize,
}

impl Builder {
    fn parameter(&mut self, name: String, shape: Vec<usize>) -> usize {
        let offset = self.len;
        self.len += shape.iter().product::<usize>();
        self.parameters.push(Parameter { name, offset, shape });
        offset
    }

    fn conv(&mut self, name: &str, of: [usize; 4], size: usize, cin_memory: usize) -> Conv {
        let [cin, cout, kernel, stride] = of;
        let offset = self.parameter(format!("{name}.weight"), vec![cout, cin, kernel, kernel]);
        Conv { cin, cout, cin_memory, kernel, stride, size, offset }
    }

    fn norm(&mut self, name: &str, channels: usize) -> Norm {
        let weight = self.parameter(format!("{name}.weight"), vec![channels]);
        let bias = self.parameter(format!("{name}.bias"), vec![channels]);
        let running = self.buffers_len;
        self.buffers_len += channels;
        self.buffers.push(Parameter { name: name.to_owned(), offset: running, shape: vec![channels] });
        Norm { channels, weight, bias, running }
    }
}
