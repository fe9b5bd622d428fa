//! A network's values by name, in PyTorch's layout: what goes to and comes from safetensors, and the values it
//! starts from.
//!
//! It knows nothing of files.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use pipeline::error::Error;
use pipeline::random::ChaCha8Rng;
use rand::Rng;

use super::plan::{Parameter, Plan};

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
pub(super) fn initial_trunk(plan: &Plan, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut flat = vec![0.0; plan.len];
    for p in &plan.parameters {
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
