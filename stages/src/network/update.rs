//! In-place updates of parameters: SGD with momentum and weight decay as `torch.optim.SGD` does it, and the
//! exponential moving average of a momentum network. One pass over memory each, on all cores.
//!
//! It knows nothing of networks: named variables in, the same variables changed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, Var, bail};
use pipeline::error::Error;
use rayon::prelude::*;

use super::op::{values, values_mut};

/// Values that one task updates.
const CHUNK: usize = 16 * 1024;

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
    /// An optimiser of these variables, at rest.
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
            let Some(grad) = grads.get(var) else { continue };
            if grad.shape() != var.shape() {
                bail!("the gradient of {name} is {:?}, the parameter {:?}", grad.shape(), var.shape());
            }
            match velocity {
                Velocity::Cpu(velocity) => {
                    let step = Step {
                        velocity,
                        momentum: self.momentum as f32,
                        weight_decay: self.weight_decay as f32,
                        lr: lr as f32,
                    };
                    var.inplace_op2(&grad.contiguous()?, &step)?;
                }
                Velocity::Device(velocity) => {
                    let mut velocity = velocity.lock().unwrap_or_else(PoisonError::into_inner);
                    let w = var.as_detached_tensor();
                    let grad = (grad + (&w * self.weight_decay)?)?;
                    let new = ((&*velocity * self.momentum)? + grad)?;
                    var.set(&(w - (&new * lr)?)?)?;
                    *velocity = new;
                }
            }
        }
        Ok(())
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

struct Step<'a> {
    velocity: &'a Mutex<Vec<f32>>,
    momentum: f32,
    weight_decay: f32,
    lr: f32,
}

impl InplaceOp2 for Step<'_> {
    fn name(&self) -> &'static str {
        "sgd-step"
    }

    fn cpu_fwd(&self, w: &mut CpuStorage, wl: &Layout, g: &CpuStorage, gl: &Layout) -> Result<()> {
        let (w, g) = (values_mut(w, wl)?, values(g, gl)?);
        let mut v = self.velocity.lock().unwrap_or_else(PoisonError::into_inner);
        w.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK)).zip(g.par_chunks(CHUNK)).for_each(
            |((w, v), g)| {
                for ((w, v), g) in w.iter_mut().zip(v).zip(g) {
                    *v = self.momentum * *v + (g + self.weight_decay * *w);
                    *w -= self.lr * *v;
                }
            },
        );
        Ok(())
    }
}

/// `key ← decay · key + (1 − decay) · query`, in place.
///
/// # Errors
/// The shapes or devices differ.
pub(super) fn average(key: &Var, query: &Var, decay: f64) -> Result<()> {
    if key.device().is_cpu() {
        key.inplace_op2(query, &Average { decay: decay as f32 })
    } else {
        let mean = ((key.as_detached_tensor() * decay)? + (query.as_detached_tensor() * (1.0 - decay))?)?;
        key.set(&mean)
    }
}

struct Average {
    decay: f32,
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "moving-average"
    }

    fn cpu_fwd(&self, key: &mut CpuStorage, kl: &Layout, query: &CpuStorage, ql: &Layout) -> Result<()> {
        let (key, query) = (values_mut(key, kl)?, values(query, ql)?);
        if key.len() != query.len() {
            bail!("a moving average of {} values was given {}", key.len(), query.len());
        }
        let rest = 1.0 - self.decay;
        key.par_chunks_mut(CHUNK).zip(query.par_chunks(CHUNK)).for_each(|(key, query)| {
            for (k, q) in key.iter_mut().zip(query) {
                *k = self.decay * *k + rest * q;
            }
        });
        Ok(())
    }
}
