//! PreAct ResNet with classifier and projector (method §3), trained on candle.
//!
//! The trunk (stem, blocks, average pool) is one operator of candle's graph with its own forward and backward pass,
//! channels-last. Each operator has a file of the same name for each device:
//!
//! | operator | CPU | NVIDIA GPU |
//! |---|---|---|
//! | the whole trunk, forward and backward | `cpu/trunk/` | `cuda/trunk/` |
//! | as a node of candle's graph | `cpu/custom_op.rs` | `cuda/custom_op.rs` |
//! | convolution: output, input's and weight's gradient | `cpu/convolution/`, `cpu/winograd/`, `cpu/gemm.rs` | `cuda/convolution.rs` (cuDNN) |
//! | batch norm with ReLU, and its gradient | `cpu/norm/` | `cuda/norm.rs`, `norm.cu` |
//! | average pool, and its gradient | `cpu/average_pool.rs` | `cuda/average_pool.rs`, `average_pool.cu` |
//! | SGD step | `sgd.rs` | `cuda/sgd.rs`, `sgd.cu` |
//! | moving average | `moving_average.rs` | `cuda/moving_average.rs`, `moving_average.cu` |
//!
//! On a CPU norm and ReLU are folded into the convolutions, on all cores; on a GPU they are kernels between cuDNN's
//! convolutions. `reference.rs` is the trunk through candle's own operators, for the tests. The room knows nothing of
//! data sets, losses or files.
//!
//! All parameters of the trunk are one flat variable (`parameters.rs`), so that an optimizer step or a moving average
//! is one pass over memory; [`Network::state`] gives them by name in PyTorch's layout.

#[cfg(feature = "cuda")]
use std::sync::OnceLock;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{D, Device, Result, Tensor, Var, bail};
use pipeline::error::Error;
use pipeline::random::ChaCha8Rng;

mod architecture;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod moving_average;
mod parameters;
#[cfg(test)]
mod reference;
mod sgd;
mod state;
#[cfg(test)]
pub(crate) mod tests;

pub use architecture::{Architecture, Precision};
use cpu::{Level, StatisticsSlot, Trunk, TrunkOp};
use moving_average::average_into;
pub(crate) use parameters::EPSILON;
use parameters::{MOMENTUM, TrunkLayout};
pub use sgd::Sgd;

/// Name of the flat variable that holds the trunk.
const TRUNK: &str = "trunk";

/// How a batch goes through the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Statistics of the batch, running ones updated, graph kept for gradients.
    Train,
    /// Statistics of the batch, running ones updated, no graph.
    TrainNoGrad,
    /// Running statistics, no graph.
    Eval,
}

/// What [`Network::forward`] gives.
pub struct Output {
    /// (B, classes)
    pub logits: Tensor,
    /// (B, 8 · width)
    pub features: Tensor,
}

/// A PreAct ResNet with classifier and projector.
pub struct Network {
    architecture: Architecture,
    trunk: Trunk,
    /// Trainable variables, sorted by name.
    parameters: Vec<(String, Var)>,
    running_mean: Var,
    running_var: Var,
    precision: Precision,
    /// The trunk on a GPU, laid out on first use.
    #[cfg(feature = "cuda")]
    device_trunk: OnceLock<Arc<cuda::DeviceTrunk>>,
}

impl Network {
    /// A network at PyTorch's default start: weights and linear biases uniform within 1/√fan_in, norms 1
    /// and 0, drawn from `rng` in order of names.
    ///
    /// # Errors
    /// The architecture is not possible, or the device has no room.
    pub fn new(architecture: &Architecture, rng: &mut ChaCha8Rng, device: &Device) -> Result<Self> {
        architecture.validate().map_err(candle_core::Error::wrap)?;
        let layout = TrunkLayout::new(architecture);
        let a = architecture;
        let mut parameters = vec![];
        let heads = [
            ("classifier", a.features(), a.classes),
            ("projector.0", a.features(), a.features()),
            ("projector.2", a.features(), a.embedding),
        ];
        for (name, from, to) in heads {
            let bias = Var::from_vec(state::uniform(rng, to, from), to, device)?;
            let weight = Var::from_vec(state::uniform(rng, to * from, from), (to, from), device)?;
            parameters.push((format!("{name}.bias"), bias));
            parameters.push((format!("{name}.weight"), weight));
        }
        parameters
            .push((TRUNK.to_owned(), Var::from_vec(state::initial_trunk(&layout, rng), layout.len, device)?));
        let running_mean = Var::from_vec(vec![0f32; layout.buffers_len], layout.buffers_len, device)?;
        let running_var = Var::from_vec(vec![1f32; layout.buffers_len], layout.buffers_len, device)?;
        let trunk = Trunk::new(layout, Level::best());
        Ok(Self {
            architecture: architecture.clone(),
            trunk,
            parameters,
            running_mean,
            running_var,
            precision: Precision::F32,
            #[cfg(feature = "cuda")]
            device_trunk: OnceLock::new(),
        })
    }

    /// Sets the type in which the trunk is computed from now on.
    ///
    /// # Errors
    /// bf16 on a CPU, which has no operators for it.
    pub fn set_precision(&mut self, precision: Precision) -> pipeline::error::Result<()> {
        if precision == Precision::Bf16 && self.device().is_cpu() {
            return Err(Error::new("a CPU does not train in bf16").help("use precision f32, or DEVICE=cuda"));
        }
        self.precision = precision;
        #[cfg(feature = "cuda")]
        {
            self.device_trunk = OnceLock::new();
        }
        Ok(())
    }

    /// The type in which the trunk is computed.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The network's shape.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Where the network lives.
    pub fn device(&self) -> &Device {
        self.running_mean.device()
    }

    /// images (B, H, W, C) in f32, channels last and normalised → logits and features.
    ///
    /// # Errors
    /// The images have another shape, type or device.
    pub fn forward(&self, images: &Tensor, pass: Pass) -> Result<Output> {
        let a = &self.architecture;
        let (batch, h, w, c) = images.dims4()?;
        if (h, w, c) != (a.input_size, a.input_size, a.input_channels) || batch == 0 {
            bail!(
                "the network takes images of {0}×{0}×{1}, channels last, and was given {batch}×{h}×{w}×{c}",
                a.input_size,
                a.input_channels
            );
        }
        let features = self.trunk_features(&images.contiguous()?, pass)?;
        let logits = self.linear("classifier", &features, pass)?;
        Ok(Output { logits, features })
    }

    /// features (B, 8 · width) → projections (B, embedding) of length 1: Linear, ReLU, Linear, L2 norm.
    ///
    /// # Errors
    /// The features have another shape, type or device.
    pub fn project(&self, features: &Tensor, pass: Pass) -> Result<Tensor> {
        let hidden = self.linear("projector.0", features, pass)?.relu()?;
        let z = self.linear("projector.2", &hidden, pass)?;
        // As F.normalize, whose floor is 1e-12 on the length.
        let length = (z.sqr()?.sum_keepdim(D::Minus1)? + 1e-24)?.sqrt()?;
        z.broadcast_div(&length)
    }

    fn linear(&self, name: &str, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let find = |part: &str| -> Result<Tensor> {
            let var = self.parameter(&format!("{name}.{part}"))?;
            Ok(if pass == Pass::Train { var.as_tensor().clone() } else { var.as_detached_tensor() })
        };
        x.matmul(&find("weight")?.t()?)?.broadcast_add(&find("bias")?)
    }

    fn parameter(&self, name: &str) -> Result<&Var> {
        match self.parameters.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            Ok(at) => Ok(&self.parameters[at].1),
            Err(_) => bail!("the network has no parameter {name}"),
        }
    }

    fn trunk_features(&self, images: &Tensor, pass: Pass) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = self.device() {
            return self.cuda_features(device, images, pass);
        }
        self.cpu_features(images, pass)
    }

    fn cpu_features(&self, images: &Tensor, pass: Pass) -> Result<Tensor> {
        let theta = self.parameter(TRUNK)?;
        let running = match pass {
            Pass::Eval => Some((self.running_mean.to_vec1::<f32>()?, self.running_var.to_vec1::<f32>()?)),
            _ => None,
        };
        let slot: StatisticsSlot = Arc::new(Mutex::new(None));
        let op = TrunkOp::new(&self.trunk, running, pass == Pass::Train, &slot);
        let features = match pass {
            Pass::Train => images.apply_op2(theta, op)?,
            _ => images.apply_op2_no_bwd(theta, &op)?,
        };
        if let Some((mean, variance)) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let len = mean.len();
            self.update_running(
                &Tensor::from_vec(mean, len, &Device::Cpu)?,
                &Tensor::from_vec(variance, len, &Device::Cpu)?,
            )?;
        }
        Ok(features)
    }

    #[cfg(feature = "cuda")]
    fn cuda_features(&self, device: &candle_core::CudaDevice, images: &Tensor, pass: Pass) -> Result<Tensor> {
        let trunk = match self.device_trunk.get() {
            Some(trunk) => trunk,
            None => {
                let engine = cuda::Engine::of(device)?;
                let (layout, exact) = (&self.trunk.layout, self.trunk.exact);
                let new = cuda::DeviceTrunk::new(engine, layout, self.precision, exact)?;
                self.device_trunk.get_or_init(|| Arc::new(new))
            }
        };
        let theta = self.parameter(TRUNK)?;
        let running = (pass == Pass::Eval)
            .then(|| [&self.running_mean, &self.running_var].map(|v| v.as_detached_tensor()));
        let slot = cuda::StatisticsSlot::default();
        let op = cuda::TrunkOp::new(trunk, running, pass == Pass::Train, &slot);
        let features = match pass {
            Pass::Train => images.apply_op2(theta, op)?,
            _ => images.apply_op2_no_bwd(theta, &op)?,
        };
        if let Some([mean, variance]) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
            average_into(&self.running_mean, &mean, 1.0 - MOMENTUM)?;
            average_into(&self.running_var, &variance, 1.0 - MOMENTUM)?;
        }
        Ok(features)
    }

    fn update_running(&self, mean: &Tensor, variance: &Tensor) -> Result<()> {
        for (running, new) in [(&self.running_mean, mean), (&self.running_var, variance)] {
            let old = running.as_detached_tensor();
            running.set(&((old * (1.0 - MOMENTUM))? + (new * MOMENTUM)?)?)?;
        }
        Ok(())
    }

    /// A network of its own with the same values: the key network of MoCo (method §8).
    ///
    /// # Errors
    /// The device has no room.
    pub fn copy_of(&self) -> Result<Self> {
        let copy = |var: &Var| Var::from_tensor(&var.as_detached_tensor().copy()?);
        let parameters =
            self.parameters.iter().map(|(n, v)| Ok((n.clone(), copy(v)?))).collect::<Result<_>>()?;
        Ok(Self {
            architecture: self.architecture.clone(),
            trunk: self.trunk.clone(),
            parameters,
            running_mean: copy(&self.running_mean)?,
            running_var: copy(&self.running_var)?,
            precision: self.precision,
            #[cfg(feature = "cuda")]
            device_trunk: self.device_trunk.clone(),
        })
    }

    /// Takes the parameters and running statistics of another network of the same architecture.
    ///
    /// # Errors
    /// The architectures differ.
    pub fn copy_from(&self, other: &Self) -> Result<()> {
        self.copy_parameters_from(other)?;
        self.copy_running_from(other)
    }

    /// Takes the parameters of another network of the same architecture; running statistics stay.
    ///
    /// # Errors
    /// The architectures differ.
    pub fn copy_parameters_from(&self, other: &Self) -> Result<()> {
        self.same_shape(other)?;
        for ((_, own), (_, var)) in self.parameters.iter().zip(&other.parameters) {
            own.set(var)?;
        }
        Ok(())
    }

    /// Takes the running statistics of another network of the same architecture.
    ///
    /// # Errors
    /// The architectures differ.
    pub fn copy_running_from(&self, other: &Self) -> Result<()> {
        self.same_shape(other)?;
        self.running_mean.set(&other.running_mean)?;
        self.running_var.set(&other.running_var)
    }

    /// own ← decay · own + (1 − decay) · other, for every parameter (method §8: decay 0.999). Running
    /// statistics stay: a key network sees its own batches.
    ///
    /// # Errors
    /// The architectures differ.
    pub fn ema_from(&self, other: &Self, decay: f64) -> Result<()> {
        self.same_shape(other)?;
        for ((_, own), (_, var)) in self.parameters.iter().zip(&other.parameters) {
            average_into(own, var, decay)?;
        }
        Ok(())
    }

    fn same_shape(&self, other: &Self) -> Result<()> {
        if self.architecture == other.architecture {
            Ok(())
        } else {
            bail!("networks of different architectures: {:?} and {:?}", self.architecture, other.architecture)
        }
    }

    /// Trainable variables, sorted by name. The trunk is one flat variable; see [`Network::state`] for its
    /// pieces.
    pub fn parameters(&self) -> &[(String, Var)] {
        &self.parameters
    }

    /// Number of trainable values.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(|(_, v)| v.elem_count()).sum()
    }
}
