//! `model.safetensors`: which tensors the file holds and where each lies in it.
//!
//! Only the header is read, no values.

use std::collections::BTreeMap;
use std::io::Read;

use pipeline::error::{Error, OrFail, Result};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::content::Content;
use super::stored::{Kind, Stored};

/// Longest header that the format allows (the `safetensors` crate has the same limit).
const MAX_HEADER: u64 = 100_000_000;

/// The file's tensors by name. A header that is cut short, malformed or at odds with the file's length is an error.
pub fn read(content: &Content) -> Result<BTreeMap<String, Stored>> {
    let corrupt = || {
        Error::new("the weights are not a readable safetensors file")
            .at(content)
            .help("download the file again: it may be cut short or damaged")
    };
    let (length, mut file) =
        content.open().or_fail(|| Error::new("cannot open CLIP's weights").at(content))?;
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
    let mut tensors = BTreeMap::new();
    for (name, info) in metadata.tensors() {
        let (start, end) = info.data_offsets;
        let bits = info.shape.iter().try_fold(info.dtype.bitsize(), |a, b| a.checked_mul(*b));
        let fits = start <= end
            && bits.is_some_and(|bits| bits.div_ceil(8) == end - start)
            && (end as u64) <= length - data_start;
        if !fits {
            return Err(corrupt().because(format!("the tensor {name} does not fit into the file")));
        }
        let kind = match info.dtype {
            Dtype::F16 => Kind::F16,
            Dtype::BF16 => Kind::BF16,
            Dtype::F32 => Kind::F32,
            Dtype::F64 => Kind::F64,
            other => Kind::Other(format!("{other:?}")),
        };
        let (shape, start) = (info.shape.clone(), data_start + start as u64);
        tensors.insert(name, Stored { shape, kind, start, strides: None });
    }
    Ok(tensors)
}
