//! CLIP's weights: whether the file holds the tensors that the model needs, and their values as f32.
//!
//! Callers name the tensors and shapes they want, in the names of `transformers`; [`header`] (`model.safetensors`) and
//! [`pickle`] (`pytorch_model.bin`) tell where each tensor lies, [`Naming`] what the file calls it. Only what is asked for
//! is read.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use pipeline::error::{Error, OrFail, Result};

use super::content::Content;
use super::naming::{InFile, Naming};
use super::stored::{Kind, Stored, floats};
use super::{header, pickle};

/// A file of weights whose tensors are listed.
pub struct ClipWeights {
    file: Content,
    tensors: BTreeMap<String, Stored>,
    naming: Naming,
}

impl ClipWeights {
    /// Lists the tensors, by the file's name as a checkpoint of PyTorch (`.bin`) or as safetensors. A file that is cut
    /// short, malformed or at odds with itself is an error, and so is one that holds several CLIPs.
    pub fn open(content: &Content) -> Result<Self> {
        content.refuse_pointer()?;
        let is_pickle = content.as_ref().extension().is_some_and(|extension| extension == "bin");
        let tensors = if is_pickle { pickle::read(content)? } else { header::read(content)? };
        let naming = Naming::of(tensors.keys().map(String::as_str)).map_err(|error| error.at(content))?;
        Ok(Self { file: content.clone(), tensors, naming })
    }

    /// Whether the file has a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(&self.naming.place_of(name).name)
    }

    /// What stands before every name in the file and is passed over; empty where nothing does.
    pub fn prefix(&self) -> &str {
        self.naming.prefix()
    }

    /// Checks that the tensor is there, has this shape, and holds floats.
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<()> {
        self.find(name, shape).map(|_| ())
    }

    /// [`ClipWeights::check`] for each of these.
    pub fn check_all(&self, shapes: &Shapes) -> Result<()> {
        shapes.iter().try_for_each(|(name, shape)| self.check(name, shape))
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<Stored> {
        let help = "the weights belong to another config.json or open_clip_config.json, or are not a CLIP's: take all files from one repository";
        let place: InFile = self.naming.place_of(name);
        let (name, wanted) = (&place.name, place.shape(shape));
        let stored = self.tensors.get(name).ok_or_else(|| {
            Error::new(format!("the weights lack the tensor {name} of shape {wanted:?}"))
                .at(&self.file)
                .help(help)
        })?;
        if let Kind::Other(found) = &stored.kind {
            return Err(Error::new(format!("the tensor {name} holds {found}, not F16, BF16, F32 or F64"))
                .at(&self.file)
                .help("quantised weights are not supported: name a repository with float weights"));
        }
        match place.of(stored).filter(|_| stored.shape == wanted) {
            Some(stored) => Ok(stored),
            None => {
                let found = &stored.shape;
                let what = format!("the tensor {name} has shape {found:?}, the config asks for {wanted:?}");
                Err(Error::new(what).at(&self.file).help(help))
            }
        }
    }

    /// The tensor's values in row-major order, after the checks of [`ClipWeights::check`].
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let stored = self.find(name, shape)?;
        let cannot = || Error::new(format!("cannot read the tensor {name}")).at(&self.file);
        let [_, span] = stored.extent().ok_or_else(cannot)?;
        let mut bytes = vec![0; span * stored.kind.size()];
        let (_, mut file) = self.file.open().or_fail(cannot)?;
        file.seek(SeekFrom::Start(stored.start)).or_fail(cannot)?;
        file.read_exact(&mut bytes).or_fail(cannot)?;
        let mut values = floats(&bytes, &stored.kind);
        if let Some(strides) = &stored.strides {
            values = in_row_major_order(&values, shape, strides);
        }
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

    /// Name and shape of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.0.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }

    /// How many numbers all of them hold.
    pub fn count(&self) -> u64 {
        self.iter().map(|(_, shape)| shape.iter().map(|&side| side as u64).product::<u64>()).sum()
    }

    /// These and those.
    pub fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }
}

/// The numbers of a tensor that lie `strides` apart along its sides.
fn in_row_major_order(values: &[f32], shape: &[usize], strides: &[usize]) -> Vec<f32> {
    let mut from = vec![0];
    for (side, stride) in shape.iter().zip(strides) {
        from = from.iter().flat_map(|at| (0..*side).map(move |i| at + i * stride)).collect();
    }
    from.into_iter().map(|at| values[at]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use half::{bf16, f16};

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
        let weights = ClipWeights::open(&path).unwrap();
        assert_eq!(weights.read("a", &[2]).unwrap(), [1.5, -2.0]);
        assert_eq!(weights.read("b", &[1]).unwrap(), [0.25]);
        assert_eq!(weights.read("c", &[]).unwrap(), [3.0]);
        assert_eq!(weights.read("d", &[1, 1]).unwrap(), [7.125]);
    }

    #[test]
    fn a_wrong_tensor_is_named_with_both_shapes() {
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I32","shape":[1],"data_offsets":[8,12]}}"#;
        let (_folder, path) = file(header, &[0; 12]);
        let weights = ClipWeights::open(&path).unwrap();
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
            assert!(ClipWeights::open(&path).is_err(), "{header}");
        }
        for bytes in [&[][..], &[1, 2, 3], &[255; 64], &[9, 0, 0, 0, 0, 0, 0, 0, b'{']] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model.safetensors");
            std::fs::write(&path, bytes).unwrap();
            assert!(ClipWeights::open(&path.into()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn weights_that_are_not_finite_are_refused() {
        let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        let (_folder, path) = file(header, &f32::NAN.to_le_bytes());
        let error = ClipWeights::open(&path).unwrap().read("a", &[1]).unwrap_err().to_string();
        assert!(error.contains("tensor a") && error.contains("NaN"), "{error}");
    }
}
