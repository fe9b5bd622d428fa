//! SGD with momentum and weight decay as `torch.optim.SGD` does it: named variables in, the same variables changed
//! in place, by one pass over memory on all cores of a CPU or by one kernel of a GPU (`cuda/sgd.rs`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

#[cfg(feature = "cuda")]
use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
#[cfg(feature = "cuda")]
use candle_core::{CudaStorage, Storage};
use pipeline::error::Error;
use rayon::prelude::*;

use super::cpu::{UPDATE_CHUNK, values, values_mut};
#[cfg(feature = "cuda")]
use super::cuda::Engine;

/// Stochastic gradient descent: g ← g + wd·w; v ← m·v + g; w ← w − lr·v (method §9: m = 0.9, wd = 5e-4).
pub struct Sgd {
    parameters: Vec<(String, Var)>,
    velocities: Vec<Velocity>,
    momentum: f64,
    weight_decay: f64,
}

/// A parameter's momentum: beside the parameter on the CPU, a tensor elsewhere.
enum Velocity {
    Cpu(Mutex<Vec<f32>>),
    Device(Mutex<Tensor>),
}

impl Sgd {
    /// An optimizer of these variables, at rest.
    ///
    /// # Errors
    /// The device has no room for the momentum.
    pub fn new(parameters: &[(String, Var)], momentum: f64, weight_decay: f64) -> Result<Self> {
        let velocity = |(_, var): &(String, Var)| {
            Ok(if var.device().is_cpu() {
                Velocity::Cpu(Mutex::new(vec![0.0; var.elem_count()]))
            } else {
                Velocity::Device(Mutex::new(var.as_detached_tensor().zeros_like()?))
            })
        };
        let velocities = parameters.iter().map(velocity).collect::<Result<_>>()?;
        Ok(Self { parameters: parameters.to_vec(), velocities, momentum, weight_decay })
    }

    /// One step at learning rate `lr`. A parameter without a gradient stays as it is, as in PyTorch.
    ///
    /// # Errors
    /// A gradient does not have its parameter's shape.
    pub fn step(&self, grads: &GradStore, lr: f64) -> Result<()> {
        for ((name, var), velocity) in self.parameters.iter().zip(&self.velocities) {
            if let Some(grad) = grads.get(var) {
                self.step_one(name, var, velocity, grad, lr)?;
            }
        }
        Ok(())
    }

    fn step_one(&self, name: &str, var: &Var, velocity: &Velocity, grad: &Tensor, lr: f64) -> Result<()> {
        if grad.shape() != var.shape() {
            bail!("the gradient of {name} is {:?}, the parameter {:?}", grad.shape(), var.shape());
        }
        let step = SgdStep {
            velocity,
            momentum: self.momentum as f32,
            weight_decay: self.weight_decay as f32,
            lr: lr as f32,
        };
        var.inplace_op2(&grad.contiguous()?, &step)
    }

    /// One step of the only parameter, whose gradient comes without a graph.
    #[cfg(all(test, feature = "cuda"))]
    pub(super) fn step_alone(&self, grad: &Tensor, lr: f64) -> Result<()> {
        let (name, var) = &self.parameters[0];
        self.step_one(name, var, &self.velocities[0], grad, lr)
    }

    /// The momentum of every parameter, under the parameter's name and in its order.
    ///
    /// # Errors
    /// The device fails to give a tensor.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let one = |((name, var), velocity): (&(String, Var), &Velocity)| {
            let tensor = match velocity {
                Velocity::Cpu(v) => {
                    let v = v.lock().unwrap_or_else(PoisonError::into_inner);
                    Tensor::from_slice(&v, var.shape(), var.device())?
                }
                Velocity::Device(v) => v.lock().unwrap_or_else(PoisonError::into_inner).copy()?,
            };
            Ok((name.clone(), tensor))
        };
        self.parameters.iter().zip(&self.velocities).map(one).collect()
    }

    /// Takes the momentum back from what [`Sgd::state`] gave.
    ///
    /// # Errors
    /// A parameter's momentum is missing or has another shape.
    pub fn load_state(&self, state: &HashMap<String, Tensor>) -> pipeline::error::Result<()> {
        for ((name, var), velocity) in self.parameters.iter().zip(&self.velocities) {
            let tensor = super::state::find(state, name, var.dims())?;
            let set = || -> Result<()> {
                match velocity {
                    Velocity::Cpu(v) => {
                        *v.lock().unwrap_or_else(PoisonError::into_inner) =
                            tensor.flatten_all()?.to_vec1::<f32>()?;
                    }
                    Velocity::Device(v) => {
                        *v.lock().unwrap_or_else(PoisonError::into_inner) =
                            tensor.to_device(var.device())?.copy()?;
                    }
                }
                Ok(())
            };
            set().map_err(|e| Error::new(format!("cannot take the momentum of {name}")).because(e))?;
        }
        Ok(())
    }
}

struct SgdStep<'a> {
    velocity: &'a Velocity,
    momentum: f32,
    weight_decay: f32,
    lr: f32,
}

impl InplaceOp2 for SgdStep<'_> {
    fn name(&self) -> &'static str {
        "sgd-step"
    }

    fn cpu_fwd(&self, w: &mut CpuStorage, wl: &Layout, g: &CpuStorage, gl: &Layout) -> Result<()> {
        let (w, g) = (values_mut(w, wl)?, values(g, gl)?);
        let Velocity::Cpu(v) = self.velocity else { bail!("the momentum is on another device") };
        let mut v = v.lock().unwrap_or_else(PoisonError::into_inner);
        w.par_chunks_mut(UPDATE_CHUNK)
            .zip(v.par_chunks_mut(UPDATE_CHUNK))
            .zip(g.par_chunks(UPDATE_CHUNK))
            .for_each(|((w, v), g)| {
                for ((w, v), g) in w.iter_mut().zip(v).zip(g) {
                    *v = self.momentum * *v + (g + self.weight_decay * *w);
                    *w -= self.lr * *v;
                }
            });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, w: &mut CudaStorage, wl: &Layout, g: &CudaStorage, gl: &Layout) -> Result<()> {
        let Velocity::Device(v) = self.velocity else { bail!("the momentum is on another device") };
        let v = v.lock().unwrap_or_else(PoisonError::into_inner);
        let (v, vl) = v.storage_and_layout();
        let Storage::Cuda(v) = &*v else { bail!("the momentum is on another device") };
        let engine = Engine::of(w.device())?;
        // The momentum is the optimizer's alone and locked, so that it may be written through its address.
        let places = [engine.values(w, wl)?, engine.values(v, vl)?, engine.values(g, gl)?];
        let count = places[0].1;
        if places.iter().any(|(_, n)| *n != count) {
            bail!("a step over {count} values was given others: {places:?}");
        }
        engine.kernels.sgd(places.map(|(at, _)| at), count, [self.momentum, self.weight_decay, self.lr])
    }
}
