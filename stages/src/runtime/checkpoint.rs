//! A training stage's checkpoint: everything an epoch leaves behind, in one file that is whole or absent.
//!
//! The folder belongs to the stage's fingerprint, so that a changed setting never inherits old weights;
//! the file names the version of its layout. A checkpoint that cannot be read is passed over with a note.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;

use candle_core::{Device, Tensor};
use pipeline::error::{Error, OrFail, Result};
use pipeline::stage::Context;
use serde::{Serialize, de::DeserializeOwned};

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

const FILE: &str = "checkpoint.safetensors";
const UNFINISHED: &str = "checkpoint.part";
const FORMAT: &str = "coreg checkpoint 1";

/// Writes `tensors`, and `rest` as JSON, as the checkpoint, in place of the one before.
///
/// # Errors
/// The disk is full or not writable; the checkpoint before stays then.
pub fn save<T: Serialize>(context: &Context, tensors: &Tensors, rest: &T) -> Result<()> {
    let folder = context.checkpoint();
    let cannot = || {
        Error::new("cannot write the checkpoint")
            .at(folder)
            .help("make room on the disk and run again: finished epochs are kept")
    };
    fs::create_dir_all(folder).or_fail(cannot)?;
    let rest = serde_json::to_string(rest).or_fail(cannot)?;
    let bytes =
        safetensors::serialize(tensors, Some(HashMap::from([(FORMAT.to_owned(), rest)]))).or_fail(cannot)?;
    // Always the same name: what a killed process left half written is written over, and never piles up.
    let unfinished = folder.join(UNFINISHED);
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(&bytes)?;
        file.write_all(blake3::hash(&bytes).as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, folder.join(FILE))?;
        // The new name is on the disk only when the folder is.
        fs::File::open(folder)?.sync_all()
    };
    write().or_fail(cannot).inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

/// The checkpoint's tensors and the rest, if there is a whole one.
pub fn load<T: DeserializeOwned>(context: &Context) -> Option<(Tensors, T)> {
    let path = context.checkpoint().join(FILE);
    if !path.exists() {
        return None;
    }
    match read(&path) {
        Ok(whole) => Some(whole),
        Err(error) => {
            context.progress().note(format!("the checkpoint cannot be used, starting afresh: {error}"));
            None
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<(Tensors, T)> {
    let cannot = || Error::new("cannot read the checkpoint").at(path);
    let bytes = fs::read(path).or_fail(cannot)?;
    let (bytes, checksum) =
        bytes.split_last_chunk::<{ blake3::OUT_LEN }>().ok_or_else(|| cannot().because("it is cut short"))?;
    if blake3::hash(bytes).as_bytes() != checksum {
        return Err(cannot().because("its bytes do not match its checksum"));
    }
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).or_fail(cannot)?;
    let rest = header.metadata().as_ref().and_then(|entries| entries.get(FORMAT));
    let rest = rest.ok_or_else(|| cannot().because("another version of coreg wrote it"))?;
    let rest = serde_json::from_str(rest).or_fail(cannot)?;
    let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).or_fail(cannot)?;
    Ok((tensors.into_iter().collect(), rest))
}

/// Several parts' tensors under one roof: `part/name`.
pub fn join<'a>(parts: impl IntoIterator<Item = (&'a str, Tensors)>) -> Tensors {
    let prefixed = |(part, tensors): (&str, Tensors)| {
        let part = part.to_owned();
        tensors.into_iter().map(move |(name, tensor)| (format!("{part}/{name}"), tensor))
    };
    parts.into_iter().flat_map(prefixed).collect()
}

/// The tensors of one part of a [`join`].
pub fn part(tensors: &Tensors, part: &str) -> Tensors {
    let of_part = |(name, tensor): (&String, &Tensor)| {
        Some((name.strip_prefix(part)?.strip_prefix('/')?.to_owned(), tensor.clone()))
    };
    tensors.iter().filter_map(of_part).collect()
}
