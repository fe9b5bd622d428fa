//! Checkpoints of a training.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use candle_core::{DType, Device, Tensor};
use pipeline::stage::Context;

use crate::{Trial, corrupt, tries};

#[test]
fn a_checkpoint_with_and_without_a_fitting_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context::for_test(folder.path());
    let tensors =
        BTreeMap::from([("a".to_owned(), Tensor::zeros((5, 3), DType::F32, &Device::Cpu).unwrap())]);
    stages::runtime::checkpoint::save(&context, &tensors, &vec![1, 2, 3]).unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let whole = fs::read(&path).unwrap();
    let load = || stages::runtime::checkpoint::load::<Vec<i32>>(&context);
    assert!(load().is_some());
    let content = &whole[..whole.len() - blake3::OUT_LEN];
    let mut trial = Trial::new("checkpoint");
    for n in 0..tries() {
        let corrupted = match n % 2 {
            0 => corrupt(&whole, &mut trial.random),
            _ => {
                let corrupted = corrupt(content, &mut trial.random);
                [&corrupted[..], blake3::hash(&corrupted).as_bytes()].concat()
            }
        };
        let same = corrupted == whole;
        fs::write(&path, corrupted).unwrap();
        // Without a fitting checksum it must not be taken for whole.
        trial.of(|| load().inspect(|_| assert!(n % 2 == 1 || same, "taken for whole")));
    }
}

#[test]
fn a_checkpoint_with_any_other_byte_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context::for_test(folder.path());
    let tensors = BTreeMap::from([("a".to_owned(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap())]);
    stages::runtime::checkpoint::save(&context, &tensors, &HashMap::from([("epoch", 1)])).unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let whole = fs::read(&path).unwrap();
    let load = || stages::runtime::checkpoint::load::<HashMap<String, u32>>(&context);
    assert!(load().is_some());
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        fs::write(&path, flipped).unwrap();
        assert!(load().is_none(), "byte {at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert!(load().is_none(), "cut at {at}");
    }
}

#[test]
fn a_checkpoint_that_a_kill_left_half_written_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context::for_test(folder.path());
    let tensors = BTreeMap::from([("a".to_owned(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap())]);
    fs::write(folder.path().join("checkpoint.part"), vec![7; 100_000]).unwrap();
    assert!(stages::runtime::checkpoint::load::<u32>(&context).is_none());
    stages::runtime::checkpoint::save(&context, &tensors, &1).unwrap();
    assert_eq!(stages::runtime::checkpoint::load::<u32>(&context).unwrap().1, 1);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["checkpoint.safetensors"]);
}
