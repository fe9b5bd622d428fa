//! PreAct ResNet with classifier and projector (method §3), trained on candle.
//!
//! The trunk is one operator of candle's graph with its own forward and backward pass, channels-last: on a CPU
//! norm and ReLU are folded into the convolutions, on all cores (`program.rs`); on an NVIDIA GPU they are
//! kernels between cuDNN's convolutions (`cuda/`). It knows nothing of data sets, losses or files.
//!
//! All parameters of the trunk are one flat variable, so that an optimiser step or a moving average is one
//! pass over memory; [`Network::state`] gives them by name in PyTorch's layout.

use std::collections::HashMap;
#[cfg(feature = "cuda")]
use std::sync::OnceLock;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{D, Device, Result, Tensor, Var, bail};
use pipeline::error::Error;
use pipeline::random::ChaCha8Rng;

mod architecture;
mod backward;
mod conv;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod curve_tests;
mod flow;
mod forward;
mod gemm;
mod isa;
mod norm;
mod op;
#[cfg(test)]
mod operator_tests;
mod pixels;
#[cfg(test)]
mod plain;
mod plan;
mod pool;
mod program;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod update;
mod winograd;

pub use architecture::{Architecture, Precision};
use isa::Level;
use norm::MOMENTUM;
use op::{Found, TrunkOp};
use plan::Plan;
use program::Trunk;
pub use update::Sgd;

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
        let plan = Plan::new(architecture);
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
            .push((TRUNK.to_owned(), Var::from_vec(state::initial_trunk(&plan, rng), plan.len, device)?));
        let running_mean = Var::from_vec(vec![0f32; plan.buffers_len], plan.buffers_len, device)?;
        let running_var = Var::from_vec(vec![1f32; plan.buffers_len], plan.buffers_len, device)?;
        let trunk = Trunk::new(plan, Level::best());
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
        let found: Found = Arc::new(Mutex::new(None));
        let op = TrunkOp::new(&self.trunk, running, pass == Pass::Train, &found);
        let features = match pass {
            Pass::Train => images.apply_op2(theta, op)?,
            _ => images.apply_op2_no_bwd(theta, &op)?,
        };
        if let Some((mean, variance)) = found.lock().unwrap_or_else(PoisonError::into_inner).take() {
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
                let (plan, exact) = (&self.trunk.plan, self.trunk.exact);
                let new = cuda::DeviceTrunk::new(engine, plan, self.precision, exact)?;
                self.device_trunk.get_or_init(|| Arc::new(new))
            }
        };
        let theta = self.parameter(TRUNK)?;
        let running = (pass == Pass::Eval)
            .then(|| [&self.running_mean, &self.running_var].map(|v| v.as_detached_tensor()));
        let found = cuda::Found::default();
        let op = cuda::TrunkOp::new(trunk, running, pass == Pass::Train, &found);
        let features = match pass {
            Pass::Train => images.apply_op2(theta, op)?,
            _ => images.apply_op2_no_bwd(theta, &op)?,
        };
        if let Some([mean, variance]) = found.lock().unwrap_or_else(PoisonError::into_inner).take() {
            update::average(&self.running_mean, &mean, 1.0 - MOMENTUM)?;
            update::average(&self.running_var, &variance, 1.0 - MOMENTUM)?;
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
        self.same_shape(other)?;
        for ((_, own), (_, var)) in self.parameters.iter().zip(&other.parameters) {
            own.set(var)?;
        }
        self.copy_running_from(other)
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
            update::average(own, var, decay)?;
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

    /// Parameters and running statistics by name, sorted, on the CPU, in PyTorch's layout (convolutions
    /// (out, in, kh, kw)).
    ///
    /// # Errors
    /// The device fails to give a tensor.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let plan = &self.trunk.plan;
        let mut all = state::split(&plan.parameters, "", self.parameter(TRUNK)?)?;
        all.extend(state::split(&plan.buffers, ".running_mean", &self.running_mean)?);
        all.extend(state::split(&plan.buffers, ".running_var", &self.running_var)?);
        for (name, var) in self.parameters.iter().filter(|(name, _)| name != TRUNK) {
            all.push((name.clone(), var.as_detached_tensor().to_device(&Device::Cpu)?.copy()?));
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(all)
    }

    /// Takes values from what [`Network::state`] gave. Nothing changes unless everything fits.
    ///
    /// # Errors
    /// A name is missing or unknown, or a shape differs.
    pub fn load_state(&self, state: &HashMap<String, Tensor>) -> pipeline::error::Result<()> {
        let plan = &self.trunk.plan;
        let failed = |e: candle_core::Error| Error::new("cannot put values into the network").because(e);
        let mut known: Vec<String> = self.state().map_err(failed)?.into_iter().map(|(n, _)| n).collect();
        known.sort();
        let mut unknown: Vec<&String> = state.keys().filter(|n| known.binary_search(n).is_err()).collect();
        unknown.sort();
        if let Some(name) = unknown.first() {
            return Err(Error::new(format!("the network has no parameter called {name}"))
                .help("it was saved by a network of another architecture, or by another program"));
        }
        let mut sets = vec![];
        for (name, var) in &self.parameters {
            if name != TRUNK {
                sets.push((var, state::find(state, name, var.dims())?));
            }
        }
        let flat = [
            (self.parameter(TRUNK).map_err(failed)?, &plan.parameters, "", plan.len),
            (&self.running_mean, &plan.buffers, ".running_mean", plan.buffers_len),
            (&self.running_var, &plan.buffers, ".running_var", plan.buffers_len),
        ];
        for (var, pieces, suffix, len) in flat {
            let values = state::join(pieces, suffix, len, state)?;
            sets.push((var, Tensor::from_vec(values, len, &Device::Cpu).map_err(failed)?));
        }
        for (var, tensor) in sets {
            tensor.to_device(var.device()).and_then(|t| var.set(&t)).map_err(failed)?;
        }
        Ok(())
    }
}
