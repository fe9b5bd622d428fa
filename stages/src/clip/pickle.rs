//! `pytorch_model.bin`: which tensors a checkpoint of PyTorch holds and where each lies in it.
//!
//! The file is a zip archive of parts that are not compressed: `data.pkl` tells of
//! each tensor its type, shape and part, the other parts hold the numbers. A pickle is a program, and this one is never
//! run: candle's reader turns it into plain objects, of which tensors are listed and all else is passed over.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;

use candle_core::DType;
use candle_core::pickle::{Object, Stack, TensorInfo};
use pipeline::error::{Error, OrFail, Result};
use zip::{HasZipMetadata, ZipArchive};

use super::content::Content;
use super::stored::{Kind, Stored};
use crate::runtime::panics::guarded;

/// Longest `data.pkl`. Two hundred bytes tell of a tensor, and the largest CLIP has 1,300.
const MAX_PICKLE: u64 = 1 << 24;
/// Objects that the reader may handle in all, repetitions counted: a table of 13,000 tensors takes fewer. A
/// pickle can double an object with every few bytes, and would fill the memory.
const MAX_OBJECTS: usize = 1 << 23;
/// Bytes of a text that count as an object: repeated, a text is copied.
const SHORT: usize = 32;
/// Depth of objects within objects; a tensor is eight deep. Dropping much deeper ones would overflow the stack.
const MAX_DEPTH: usize = 64;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// The file's tensors by name. A file that is cut short, malformed or at odds with itself is an error.
pub fn read(content: &Content) -> Result<BTreeMap<String, Stored>> {
    let corrupt = || {
        Error::new("the weights are not a readable checkpoint of PyTorch").at(content).help(
            "download the file again: it may be cut short or damaged; checkpoints of PyTorch before 1.6 are not read",
        )
    };
    guarded(|| list(content)).or_fail(corrupt)?.or_fail(corrupt)
}

/// A part of the archive: where its bytes lie in the file.
struct Part {
    start: u64,
    size: u64,
}

fn list(content: &Content) -> Result<BTreeMap<String, Stored>, Fault> {
    let (length, file) = content.open()?;
    let mut archive = ZipArchive::new(BufReader::new(file))?;
    let mut parts = BTreeMap::new();
    let mut pickle = None;
    for index in 0..archive.len() {
        let mut part = archive.by_index(index)?; // an error if compressed or encrypted
        let name = part.name()?.into_owned();
        let start = part.data_start().ok_or("a part of the archive has no beginning")?;
        let size = part.size();
        if part.get_metadata().compressed_size != size
            || start.checked_add(size).is_none_or(|end| end > length)
        {
            return Err(format!("the part {name} does not fit into the file").into());
        }
        if let Some(folder) = name.strip_suffix("/data.pkl") {
            if pickle.is_some() || size > MAX_PICKLE {
                return Err(format!("{name} is a second one, or longer than {MAX_PICKLE} bytes").into());
            }
            let mut bytes = Vec::new();
            part.read_to_end(&mut bytes)?; // with its checksum
            pickle = Some((folder.to_owned(), bytes));
        }
        parts.insert(name, Part { start, size });
    }
    let (folder, pickle) = pickle.ok_or("it has no data.pkl")?;
    let Object::Dict(entries) = objects(&pickle)? else { return Err("it holds no table of tensors".into()) };
    let entries = state_dict(entries);
    let mut tensors = BTreeMap::new();
    for (name, object) in entries {
        let Object::Unicode(name) = name else { continue };
        let info = object.into_tensor_info(Object::Unicode(name.clone()), &Path::new(&folder).join("data"));
        let stored = match info {
            Ok(None) => continue,
            Ok(Some(info)) => locate(&info, &parts).map_err(|fault| format!("the tensor {name}: {fault}"))?,
            // Of a type that candle does not know; it matters only if the model needs this tensor.
            Err(fault) => {
                let kind = Kind::Other(format!("what cannot be read ({fault})"));
                Stored { shape: Vec::new(), kind, start: 0, strides: None }
            }
        };
        tensors.insert(name, stored);
    }
    Ok(tensors)
}

/// The table of tensors: the object itself, or what it has under `state_dict`, where checkpoints of a training keep it.
fn state_dict(mut entries: Vec<(Object, Object)>) -> Vec<(Object, Object)> {
    let is_table = |(name, object): &(Object, Object)| matches!((name, object), (Object::Unicode(name), Object::Dict(_)) if name == "state_dict");
    match entries.iter().position(is_table).map(|at| entries.swap_remove(at)) {
        Some((_, Object::Dict(inner))) => inner,
        _ => entries,
    }
}

/// What the pickle builds.
fn objects(mut pickle: &[u8]) -> Result<Object, Fault> {
    let (mut stack, mut left) = (Stack::empty(), MAX_OBJECTS);
    loop {
        if let [b'X', a, b, c, d, rest @ ..] = pickle
            && rest.len() < u32::from_le_bytes([*a, *b, *c, *d]) as usize
        {
            return Err("a text in data.pkl is longer than data.pkl".into()); // and would be allocated first
        }
        if stack.read(&mut pickle)? {
            return Ok(stack.finalize()?);
        }
        if let Some(top) = stack.stack().last() {
            weigh(top, MAX_DEPTH, &mut left)?;
        }
    }
}

/// Takes the object and all within it off what is `left`.
fn weigh(object: &Object, depth: usize, left: &mut usize) -> Result<(), Fault> {
    let cost = match object {
        Object::Unicode(text) => 1 + text.len() / SHORT,
        Object::Class { module_name, class_name } => 1 + (module_name.len() + class_name.len()) / SHORT,
        _ => 1,
    };
    *left =
        left.checked_sub(cost).filter(|_| depth > 0).ok_or("data.pkl holds more than a table of tensors")?;
    let mut all = |objects: &[Object]| objects.iter().try_for_each(|object| weigh(object, depth - 1, left));
    match object {
        Object::Tuple(objects) | Object::List(objects) => all(objects),
        Object::Dict(pairs) => pairs.iter().try_for_each(|(key, value)| {
            weigh(key, depth - 1, left)?;
            weigh(value, depth - 1, left)
        }),
        Object::Reduce { callable, args } | Object::Build { callable, args } => {
            weigh(callable, depth - 1, left)?;
            weigh(args, depth - 1, left)
        }
        Object::PersistentLoad(object) => weigh(object, depth - 1, left),
        _ => Ok(()),
    }
}

/// Where the tensor's numbers lie, all of them within its part.
fn locate(info: &TensorInfo, parts: &BTreeMap<String, Part>) -> Result<Stored, Fault> {
    let part = parts.get(&info.path).ok_or_else(|| format!("the part {} is missing", info.path))?;
    let (shape, strides) = (info.layout.dims(), info.layout.stride());
    if shape.len() != strides.len() {
        return Err(format!("shape {shape:?} with strides {strides:?}").into());
    }
    let kind = match info.dtype {
        DType::F16 => Kind::F16,
        DType::BF16 => Kind::BF16,
        DType::F32 => Kind::F32,
        DType::F64 => Kind::F64,
        other => Kind::Other(format!("{other:?}")),
    };
    let mut stored = Stored {
        shape: shape.to_vec(),
        kind,
        // candle gives the offset in bytes.
        start: part.start.saturating_add(info.layout.start_offset() as u64),
        strides: (!info.layout.is_contiguous()).then(|| strides.to_vec()),
    };
    let numbers = stored.extent();
    let bytes = numbers.and_then(|[_, span]| (span as u64).checked_mul(info.dtype.size_in_bytes() as u64));
    let end = bytes.and_then(|bytes| bytes.checked_add(stored.start));
    if end.is_none_or(|end| end > part.start + part.size) {
        return Err(format!("shape {shape:?} with strides {strides:?} does not fit into its part").into());
    }
    if numbers.is_some_and(|[count, span]| count > span) {
        // Nothing in the file would bound how much memory it takes.
        stored.kind = Kind::Other("one number in several places".to_owned());
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::io::Write;
    use std::path::PathBuf;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::super::weights::ClipWeights;
    use super::*;

    fn golden(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clip/golden").join(name)
    }

    /// A checkpoint of these parts.
    fn archive(parts: &[(&str, &[u8])]) -> (tempfile::TempDir, Content) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pytorch_model.bin");
        let mut archive = ZipWriter::new(std::fs::File::create(&path).unwrap());
        for (name, bytes) in parts {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap();
        (folder, path.into())
    }

    /// The parts of a checkpoint.
    fn parts(name: &str) -> Vec<(String, Vec<u8>)> {
        let mut archive = ZipArchive::new(std::fs::File::open(golden(name)).unwrap()).unwrap();
        let count = archive.len();
        let read = |i| {
            let mut part = archive.by_index(i).unwrap();
            let mut bytes = Vec::new();
            part.read_to_end(&mut bytes).unwrap();
            (part.name().unwrap().into_owned(), bytes)
        };
        (0..count).map(read).collect()
    }

    #[test]
    fn every_layout_that_pytorch_allows_is_read_in_row_major_order() {
        let weights = ClipWeights::open(&golden("odd.bin").into()).unwrap();
        let counted = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        for name in ["half", "bfloat16", "double", "parameter"] {
            assert_eq!(weights.read(name, &[2, 3]).unwrap(), counted, "{name}");
        }
        assert_eq!(weights.read("scalar", &[]).unwrap(), [4.25]);
        assert_eq!(weights.read("transposed", &[2, 3]).unwrap(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(weights.read("slice", &[2, 3]).unwrap(), [7.0, 8.0, 9.0, 13.0, 14.0, 15.0]);
        let all: Vec<f32> = (0..24u8).map(f32::from).collect();
        assert_eq!(weights.read("channels last", &[2, 3, 2, 2]).unwrap(), all);
        assert_eq!(weights.read("all of one storage", &[24]).unwrap(), all);
        let odd: Vec<f32> = all.into_iter().skip(1).step_by(2).collect();
        assert_eq!(weights.read("every second", &[12]).unwrap(), odd);
        assert!(weights.read("no numbers", &[0, 3]).unwrap().is_empty());
        assert!(!weights.has("no tensor"));
    }

    #[test]
    fn what_holds_no_floats_is_refused_by_name() {
        let weights = ClipWeights::open(&golden("odd.bin").into()).unwrap();
        for (name, shape, word) in [
            ("eight bits", vec![5], "CharStorage"),
            ("ids", vec![5], "I64"),
            ("one number in six places", vec![2, 3], "several places"),
        ] {
            let error = weights.check(name, &shape).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(word) && error.contains("odd.bin"), "{error}");
        }
        let error = weights.check("half", &[3, 2]).unwrap_err().to_string();
        assert!(error.contains("shape [2, 3]") && error.contains("[3, 2]"), "{error}");
    }

    /// What becomes of a part: other bytes, or nothing.
    type Change<'a> = dyn Fn(&str, &[u8]) -> Option<Vec<u8>> + 'a;

    #[test]
    fn a_part_that_is_missing_or_too_short_is_an_error_at_opening() {
        let whole = parts("odd.bin");
        let rebuilt = |change: &Change| {
            let changed: Vec<_> = whole
                .iter()
                .filter_map(|(name, bytes)| Some((name.as_str(), change(name, bytes)?)))
                .collect();
            let borrowed: Vec<_> = changed.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
            let (_folder, path) = archive(&borrowed);
            read(&path).map(drop).map_err(|error| error.to_string())
        };
        rebuilt(&|_, bytes| Some(bytes.to_vec())).unwrap();
        let missing =
            rebuilt(&|name, bytes| (!name.ends_with("/data/0")).then(|| bytes.to_vec())).unwrap_err();
        assert!(missing.contains("data/0 is missing"), "{missing}");
        let short = |name: &str, bytes: &[u8]| {
            Some(if name.ends_with("/data/0") { bytes[..bytes.len() - 1].to_vec() } else { bytes.to_vec() })
        };
        let short = rebuilt(&short).unwrap_err();
        assert!(short.contains("does not fit into its part"), "{short}");
        let none = rebuilt(&|name, bytes| (!name.ends_with("data.pkl")).then(|| bytes.to_vec())).unwrap_err();
        assert!(none.contains("no data.pkl"), "{none}");
    }

    #[test]
    fn a_pickle_that_is_no_table_of_tensors_is_an_error() {
        let doubling = [&b"]"[..], &b"q\x00h\x00\x86".repeat(200), b"."].concat();
        let deep = [&b"]"[..], &b"\x85".repeat(1_000_000), b"."].concat();
        let many = [&b"("[..], &b"N".repeat(100_000), b"tq\x00", &b"h\x00".repeat(10_000), b"."].concat();
        let text = "a".repeat(8_000_000);
        let long =
            [b"X", &8_000_000u32.to_le_bytes()[..], text.as_bytes(), b"q\x00", &b"h\x00".repeat(2000), b"."]
                .concat();
        let (too_much, no_table) = ("more than a table of tensors", "no table of tensors");
        let cases: [(&str, &[u8], &str); 10] = [
            ("repeats a long text", &long, too_much),
            ("doubles an object with every turn", &doubling, too_much),
            ("is a million deep", &deep, too_much),
            ("repeats a long list", &many, too_much),
            ("promises a long text", b"X\xff\xff\xff\xffab", "longer than data.pkl"),
            ("ends early", b"\x80\x02}q\x00(", "fill whole buffer"),
            ("has an operation that no table needs", b"\x80\x02\x97.", "op-code"),
            ("is a number", b"K\x01.", no_table),
            ("would run a program", b"cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", no_table),
            ("is empty", b"", "fill whole buffer"),
        ];
        for (what, pickle, words) in cases {
            let (_folder, path) = archive(&[("archive/data.pkl", pickle)]);
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("pytorch_model.bin") && error.contains(words), "{what}: {error}");
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_an_error_or_reads_but_never_panics() {
        let whole = std::fs::read(golden("odd.bin")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pytorch_model.bin");
        let mut refused = 0;
        for at in (0..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= [0x01, 0x80, 0x10][at / 3 % 3];
            std::fs::write(&path, bytes).unwrap();
            refused += usize::from(list(&path.clone().into()).is_err());
        }
        assert!(refused > whole.len() / 30, "{refused}");
        for keep in (0..whole.len()).step_by(97) {
            std::fs::write(&path, &whole[..keep]).unwrap();
            assert!(read(&path.clone().into()).is_err(), "{keep} bytes");
        }
    }
}
