//! A network's values by name, in PyTorch's layout: what goes to and comes from safetensors, and the values it
//! starts from.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use pipeline::error::Error;
use pipeline::random::ChaCha8Rng;
use rand::Rng;

use super::parameters::{Parameter, TrunkLayout};
use super::{Network, TRUNK};

impl Network {
    /// Parameters and running statistics by name, sorted, on the CPU, in PyTorch's layout (convolutions
    /// (out, in, kh, kw)).
    ///
    /// # Errors
    /// The device fails to give a tensor.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let layout = &self.trunk.layout;
        let mut all = split(&layout.parameters, "", self.parameter(TRUNK)?)?;
        all.extend(split(&layout.buffers, ".running_mean", &self.running_mean)?);
        all.extend(split(&layout.buffers, ".running_var", &self.running_var)?);
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
        let layout = &self.trunk.layout;
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
                sets.push((var, find(state, name, var.dims())?));
            }
        }
        let flat = [
            (self.parameter(TRUNK).map_err(failed)?, &layout.parameters, "", layout.len),
            (&self.running_mean, &layout.buffers, ".running_mean", layout.buffers_len),
            (&self.running_var, &layout.buffers, ".running_var", layout.buffers_len),
        ];
        for (var, pieces, suffix, len) in flat {
            let values = join(pieces, suffix, len, state)?;
            sets.push((var, Tensor::from_vec(values, len, &Device::Cpu).map_err(failed)?));
        }
        for (var, tensor) in sets {
            tensor.to_device(var.device()).and_then(|t| var.set(&t)).map_err(failed)?;
        }
        Ok(())
    }
}

/// The tensor called `name`, as f32 on the CPU, if it has this shape.
pub(super) fn find(
    state: &HashMap<String, Tensor>,
    name: &str,
    shape: &[usize],
) -> pipeline::error::Result<Tensor> {
    let tensor = state.get(name).ok_or_else(|| {
        Error::new(format!("the network's state lacks {name}"))
            .help("it was saved by a network of another architecture, or by another program")
    })?;
    if tensor.dims() != shape {
        return Err(Error::new(format!("{name} has the shape {:?}, not {shape:?}", tensor.dims()))
            .help("it was saved by a network of another architecture"));
    }
    tensor
        .to_device(&Device::Cpu)
        .and_then(|t| t.to_dtype(DType::F32))
        .and_then(|t| t.contiguous())
        .map_err(|e| Error::new(format!("cannot read {name}")).because(e))
}

/// PyTorch's default start, drawn in order of names and in PyTorch's order of values: convolutions uniform
/// within 1/√fan_in (`kaiming_uniform_(a=√5)`), norms 1 and 0.
pub(super) fn initial_trunk(layout: &TrunkLayout, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut flat = vec![0.0; layout.len];
    for p in &layout.parameters {
        let values = match p.shape[..] {
            [_, i, kh, kw] => uniform(rng, p.len(), i * kh * kw),
            _ if p.name.ends_with(".weight") => vec![1.0; p.len()],
            _ => vec![0.0; p.len()],
        };
        p.place(&values, &mut flat);
    }
    flat
}

/// `len` values uniform within ±1/√fan_in.
pub(super) fn uniform(rng: &mut ChaCha8Rng, len: usize, fan_in: usize) -> Vec<f32> {
    let bound = 1.0 / (fan_in as f64).sqrt();
    (0..len)
        .map(|_| {
            let unit = f64::from(rng.next_u32()) / 2f64.powi(32);
            ((2.0 * unit - 1.0) * bound) as f32
        })
        .collect()
}

/// The pieces of a flat variable by name, in PyTorch's layout.
pub(super) fn split(parameters: &[Parameter], suffix: &str, flat: &Var) -> Result<Vec<(String, Tensor)>> {
    let values = flat.as_detached_tensor().to_device(&Device::Cpu)?.to_vec1::<f32>()?;
    parameters
        .iter()
        .map(|p| {
            let tensor = Tensor::from_vec(p.to_torch(&values), p.shape.as_slice(), &Device::Cpu)?;
            Ok((format!("{}{suffix}", p.name), tensor))
        })
        .collect()
}

/// The flat values of named pieces, for a variable of `len` values.
pub(super) fn join(
    parameters: &[Parameter],
    suffix: &str,
    len: usize,
    state: &HashMap<String, Tensor>,
) -> pipeline::error::Result<Vec<f32>> {
    let mut flat = vec![0.0; len];
    for p in parameters {
        let name = format!("{}{suffix}", p.name);
        let tensor = find(state, &name, &p.shape)?;
        let values = tensor
            .flatten_all()
            .and_then(|t| t.to_vec1::<f32>())
            .map_err(|e| Error::new(format!("cannot read {name}")).because(e))?;
        p.place(&values, &mut flat);
    }
    Ok(flat)
}
