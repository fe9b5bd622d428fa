//! `model.safetensors`: which tensors it holds, whether they are those the model needs, and their values as f32.
//!
//! It knows nothing of towers: callers name the tensors and shapes they want. Only what is asked for is read from disk.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use half::{bf16, f16};
use pipeline::error::{Error, OrFail, Result};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::content::Content;

/// Longest header that the format allows (the `safetensors` crate has the same limit).
const MAX_HEADER: u64 = 100_000_000;

/// An open safetensors file whose header has been read and found consistent with the file's length.
pub struct Weights {
    file: Content,
    data_start: u64,
    tensors: BTreeMap<String, TensorInfo>,
}

impl Weights {
    /// Reads the header only. A header that is cut short, malformed or at odds with the file's length is an error.
    pub fn open(content: &Content) -> Result<Self> {
        let corrupt = || {
            Error::new("the weights are not a readable safetensors file")
                .at(content)
                .help("download the file again: it may be cut short or damaged")
        };
        let cannot = || Error::new("cannot open CLIP's weights").at(content);
        let (length, mut file) = content.open().or_fail(cannot)?;
        let mut prefix = [0; 8];
        file.read_exact(&mut prefix).or_fail(corrupt)?;
        let header_length = u64::from_le_bytes(prefix);
        if header_length > MAX_HEADER || header_length > length.saturating_sub(8) {
            return Err(corrupt().because(format!("a header of {header_length} bytes in a file of {length}")));
        }
        let mut header = vec![0; header_length as usize];
        file.read_exact(&mut header).or_fail(corrupt)?;
        let metadata: Metadata = serde_json::from_slice(&header).or_fail(corrupt)?;
        let data_start = 8 + header_length;
        let tensors: BTreeMap<_, _> = metadata.tensors().into_iter().map(|(k, v)| (k, v.clone())).collect();
        for (name, info) in &tensors {
            let (start, end) = info.data_offsets;
            let bits = info.shape.iter().try_fold(info.dtype.bitsize(), |a, b| a.checked_mul(*b));
            let fits = start <= end
                && bits.is_some_and(|bits| bits.div_ceil(8) == end - start)
                && (end as u64) <= length - data_start;
            if !fits {
                return Err(corrupt().because(format!("the tensor {name} does not fit into the file")));
            }
        }
        Ok(Self { file: content.clone(), data_start, tensors })
    }

    /// Whether the file has a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Checks that the tensor is there, has this shape, and holds floats.
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<()> {
        self.find(name, shape).map(|_| ())
    }

    /// [`Weights::check`] for each of these.
    pub fn check_all(&self, shapes: &Shapes) -> Result<()> {
        shapes.0.iter().try_for_each(|(name, shape)| self.check(name, shape))
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo> {
        let help = "the weights belong to another config.json, or are not a CLIP's: take all files from one repository";
        let info = self.tensors.get(name).ok_or_else(|| {
            Error::new(format!("the weights lack the tensor {name} of shape {shape:?}"))
                .at(&self.file)
                .help(help)
        })?;
        if info.shape != shape {
            let found = &info.shape;
            return Err(Error::new(format!(
                "the tensor {name} has shape {found:?}, config.json asks for {shape:?}"
            ))
            .at(&self.file)
            .help(help));
        }
        if !matches!(info.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64) {
            let found = info.dtype;
            return Err(Error::new(format!("the tensor {name} holds {found:?}, not F16, BF16, F32 or F64"))
                .at(&self.file)
                .help("quantised weights are not supported: name a repository with float weights"));
        }
        Ok(info)
    }

    /// The tensor's values in row-major order, after the checks of [`Weights::check`].
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let info = self.find(name, shape)?;
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        let cannot = || Error::new(format!("cannot read the tensor {name}")).at(&self.file);
        let (_, mut file) = self.file.open().or_fail(cannot)?;
        file.seek(SeekFrom::Start(self.data_start + start as u64)).or_fail(cannot)?;
        file.read_exact(&mut bytes).or_fail(cannot)?;
        let values = floats(&bytes, info.dtype);
        if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
            return Err(cannot()
                .because(format!("it holds {bad}"))
                .help("the file is damaged: download it again"));
        }
        Ok(values)
    }
}

/// The tensors a model will read: names and shapes, so that a file can be checked from its header alone.
#[derive(Default)]
pub struct Shapes(Vec<(String, Vec<usize>)>);

impl Shapes {
    /// No tensor yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One tensor.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) {
        self.0.push((name.to_owned(), shape.to_owned()));
    }

    /// A layer norm's gain and bias.
    pub fn norm(&mut self, name: &str, width: usize) {
        self.tensor(&format!("{name}.weight"), &[width]);
        self.tensor(&format!("{name}.bias"), &[width]);
    }

    /// A linear map with bias.
    pub fn linear(&mut self, name: &str, [inputs, outputs]: [usize; 2]) {
        self.tensor(&format!("{name}.weight"), &[outputs, inputs]);
        self.tensor(&format!("{name}.bias"), &[outputs]);
    }

    /// How many numbers all of them hold.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, shape)| shape.iter().map(|&side| side as u64).product::<u64>()).sum()
    }

    /// These and those.
    pub fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }
}

/// Little-endian floats of `dtype` as f32. Other types than floats give nothing; they are refused before.
fn floats(bytes: &[u8], dtype: Dtype) -> Vec<f32> {
    let (pairs, fours, eights) =
        (bytes.as_chunks::<2>().0, bytes.as_chunks::<4>().0, bytes.as_chunks::<8>().0);
    match dtype {
        Dtype::F16 => pairs.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => pairs.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::F32 => fours.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F64 => eights.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn file(header: &str, data: &[u8]) -> (tempfile::TempDir, Content) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat();
        std::fs::write(&path, bytes).unwrap();
        (folder, path.into())
    }

    #[test]
    fn every_float_type_is_read_as_f32() {
        let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},
            "b":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]},"c":{"dtype":"F64","shape":[],"data_offsets":[6,14]},
            "d":{"dtype":"F32","shape":[1,1],"data_offsets":[14,18]}}"#;
        let data = [
            &f16::from_f32(1.5).to_le_bytes()[..],
            &f16::from_f32(-2.0).to_le_bytes(),
            &bf16::from_f32(0.25).to_le_bytes(),
            &3.0f64.to_le_bytes(),
            &7.125f32.to_le_bytes(),
        ]
        .concat();
        let (_folder, path) = file(header, &data);
        let weights = Weights::open(&path).unwrap();
        assert_eq!(weights.read("a", &[2]).unwrap(), [1.5, -2.0]);
        assert_eq!(weights.read("b", &[1]).unwrap(), [0.25]);
        assert_eq!(weights.read("c", &[]).unwrap(), [3.0]);
        assert_eq!(weights.read("d", &[1, 1]).unwrap(), [7.125]);
    }

    #[test]
    fn a_wrong_tensor_is_named_with_both_shapes() {
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I32","shape":[1],"data_offsets":[8,12]}}"#;
        let (_folder, path) = file(header, &[0; 12]);
        let weights = Weights::open(&path).unwrap();
        let error = weights.check("a", &[1, 2]).unwrap_err().to_string();
        assert!(error.contains("tensor a has shape [2]") && error.contains("[1, 2]"), "{error}");
        let error = weights.check("nought", &[3]).unwrap_err().to_string();
        assert!(error.contains("lack the tensor nought of shape [3]"), "{error}");
        let error = weights.check("b", &[1]).unwrap_err().to_string();
        assert!(error.contains("tensor b holds I32"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_an_error_at_opening() {
        let good = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let lying = r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#;
        let huge = r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#;
        let backwards = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#;
        for (header, data) in [
            (good, &[0; 7][..]),
            (lying, &[0; 8]),
            (huge, &[0; 8]),
            (backwards, &[0; 8]),
            ("{", &[]),
            ("", &[]),
        ] {
            let (_folder, path) = file(header, data);
            assert!(Weights::open(&path).is_err(), "{header}");
        }
        for bytes in [&[][..], &[1, 2, 3], &[255; 64], &[9, 0, 0, 0, 0, 0, 0, 0, b'{']] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model.safetensors");
            std::fs::write(&path, bytes).unwrap();
            assert!(Weights::open(&path.into()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn weights_that_are_not_finite_are_refused() {
        let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let (_folder, path) = file(header, &f32::NAN.to_le_bytes());
        let error = Weights::open(&path).unwrap().read("a", &[1]).unwrap_err().to_string();
        assert!(error.contains("tensor a") && error.contains("NaN"), "{error}");
    }
}
