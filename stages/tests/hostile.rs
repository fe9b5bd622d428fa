//! Files from outside, bent in every way: an error or a value, never a panic, a hang or gigabytes.
//!
//! Each test bends good files at random, the same way each time. The suite tries some hundred of each kind;
//! `COREG_HOSTILE=20000 cargo nextest run --release -p stages --test hostile --no-capture` as many as it says.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use pipeline::artifact::Artifact;
use pipeline::stage::Context;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use stages::artifacts::annotation::{Embeddings, Labels, Names, Unmatched, Votes};
use stages::artifacts::images::{Images, Index, Split};
use stages::artifacts::training::{CoRegResult, Epoch, Pair, PseudoLabel, WarmedUp};
use stages::clip::{ClipFiles, ImageEncoder, TextEncoder};
use stages::download::catalog::DataSet;
use stages::network::Architecture;
use stages::settings::{Settings, overrides};

/// No input may have made the process larger than this.
const MOST_MEMORY: u64 = 2 << 30;

fn tries() -> usize {
    std::env::var("COREG_HOSTILE").map_or(400, |n| n.parse().unwrap())
}

/// Counts what was tried, and what came of it.
struct Trial {
    name: &'static str,
    random: ChaCha8Rng,
    begun: Instant,
    accepted: usize,
    refused: usize,
    slowest: Duration,
}

impl Trial {
    fn new(name: &'static str) -> Self {
        let random = pipeline::random::stream(1, name);
        let (begun, slowest) = (Instant::now(), Duration::ZERO);
        Self { name, random, begun, accepted: 0, refused: 0, slowest }
    }

    /// One input; a panic ends the test, and prints how to have it again.
    fn of<T>(&mut self, work: impl FnOnce() -> Option<T>) {
        let begun = Instant::now();
        match work() {
            Some(_) => self.accepted += 1,
            None => self.refused += 1,
        }
        self.slowest = self.slowest.max(begun.elapsed());
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let Self { name, accepted, refused, slowest, .. } = self;
        let memory = peak_memory();
        println!(
            "{name}: {} tried, {accepted} read, {refused} refused, {:.1} s, slowest {slowest:?}, peak memory {} MB",
            *accepted + *refused,
            self.begun.elapsed().as_secs_f64(),
            memory >> 20
        );
        if !std::thread::panicking() {
            assert!(memory < MOST_MEMORY, "{memory} bytes");
            assert!(*refused > 0, "nothing was bent enough to be refused");
        }
    }
}

/// The most memory that this process has had, in bytes; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// Bends bytes: flips, cuts, doubles, removes, inserts, or writes large numbers.
fn bend(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.random_range(1..4) {
        let len = bytes.len().max(1);
        let at = random.random_range(0..len);
        let end = (at + random.random_range(1..64)).min(bytes.len());
        let at = at.min(end);
        match random.random_range(0..7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => bytes[at..end].fill(0xff),
            4 => {
                let large = [u64::MAX, 1 << 40, 1 << 31, 0][random.random_range(0..4)].to_le_bytes();
                bytes[at..end].iter_mut().zip(large).for_each(|(byte, new)| *byte = new);
            }
            5 => bytes.insert(at, random.random()),
            _ => bytes[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << random.random_range(0..8)),
        }
    }
    bytes
}

/// Puts something else in the place of one value of a JSON text.
fn bend_json(text: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let Ok(mut root) = serde_json::from_slice::<Value>(text) else { return text.to_vec() };
    let mut deep = json!(1);
    (0..100).for_each(|_| deep = json!([deep]));
    let other = [
        Value::Null,
        json!(-1),
        json!(0),
        json!(1),
        json!(u64::MAX),
        json!(1_u64 << 33),
        json!(1e308),
        json!(0.5),
        json!(""),
        json!("../../../etc/passwd"),
        json!("\u{0}\u{202e}…"),
        json!([]),
        json!({}),
        json!(true),
        deep,
    ];
    let mut place = &mut root;
    loop {
        let inner = match place {
            Value::Object(map) if !map.is_empty() => map.len(),
            Value::Array(list) if !list.is_empty() => list.len(),
            _ => 0,
        };
        if inner == 0 || random.random_ratio(1, 6) {
            break;
        }
        let n = random.random_range(0..inner);
        place = match place {
            Value::Object(map) => map.values_mut().nth(n).unwrap(),
            Value::Array(list) => &mut list[n],
            _ => break,
        };
    }
    *place = other[random.random_range(0..other.len())].clone();
    serde_json::to_vec(&root).unwrap()
}

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clip/golden/quick").join(file)
}

/// Bends one file of a CLIP, and reads and uses the CLIP.
fn clip(file: &'static str, as_json: bool) {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(golden(file), folder.path().join(file)).unwrap();
    }
    let preprocessor = json!({
        "crop_size": {"height": 20, "width": 20}, "do_center_crop": true, "do_convert_rgb": true, "do_normalize": true,
        "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.2, 0.2, 0.2],
        "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 20}
    });
    let path = folder.path().join(file);
    if file == "preprocessor_config.json" {
        fs::write(&path, preprocessor.to_string()).unwrap();
    }
    let whole = fs::read(&path).unwrap();
    let image = image::RgbImage::from_pixel(31, 22, image::Rgb([7, 8, 9]));
    let mut trial = Trial::new(file);
    for n in 0..tries() {
        let bytes = match as_json && n % 3 > 0 {
            true => bend_json(&whole, &mut trial.random),
            false => bend(&whole, &mut trial.random),
        };
        fs::write(&path, bytes).unwrap();
        trial.of(|| {
            let files = ClipFiles::in_folder(folder.path()).ok()?;
            files.check().ok()?;
            let _ = files.logit_scale();
            let images = ImageEncoder::load(&files, &Device::Cpu, DType::F32).ok()?;
            images.encode(&images.batch(std::slice::from_ref(&image)).ok()?).ok()?;
            let texts = TextEncoder::load(&files, &Device::Cpu, DType::F32).ok()?;
            texts.encode(&["a photo of a cat", "", "\u{202e}…"]).ok()
        });
    }
}

#[test]
fn a_config_of_a_clip() {
    clip("config.json", true);
}

#[test]
fn a_tokenizer_of_a_clip() {
    clip("tokenizer.json", true);
}

#[test]
fn a_preprocessor_of_a_clip() {
    clip("preprocessor_config.json", true);
}

#[test]
fn the_weights_of_a_clip() {
    clip("model.safetensors", false);
}

#[test]
fn the_header_of_the_weights_of_a_clip() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(golden(file), folder.path().join(file)).unwrap();
    }
    let whole = fs::read(golden("model.safetensors")).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut trial = Trial::new("safetensors header");
    for n in 0..tries() {
        // The first as it is, to know that it would be read.
        let good = &whole[8..8 + header];
        let bent = if n == 0 { good.to_vec() } else { bend_json(good, &mut trial.random) };
        let bytes = [&(bent.len() as u64).to_le_bytes()[..], &bent, &whole[8 + header..]].concat();
        fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        trial.of(|| {
            let files = ClipFiles::in_folder(folder.path()).ok()?;
            files.check().ok()?;
            ImageEncoder::load(&files, &Device::Cpu, DType::F32).ok()
        });
    }
    assert!(trial.accepted > 0);
}

#[test]
fn a_description_of_a_data_set() {
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/catalog");
    let files = fs::read_dir(catalog).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let files: Vec<Vec<u8>> = files.collect();
    let mut trial = Trial::new("data set's TOML");
    for n in 0..tries() {
        let whole = &files[n % files.len()];
        let bytes = match n % 2 {
            0 => bend(whole, &mut trial.random),
            _ => bend_toml(whole, &mut trial.random),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        trial.of(|| DataSet::parse(&text, Path::new("bent.toml")).ok());
    }
}

/// Puts something else behind one `=`.
fn bend_toml(text: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let with: Vec<usize> = (0..lines.len()).filter(|&n| lines[n].contains('=')).collect();
    let line = &mut lines[with[random.random_range(0..with.len())]];
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let others = [
        "-1",
        "0",
        "9223372036854775807",
        "1e400",
        "nan",
        "\"\"",
        "\"../../x\"",
        "\"/etc\"",
        "[]",
        "{}",
        "true",
        &deep,
    ];
    let key = line.split('=').next().unwrap_or_default().to_owned();
    *line = format!("{key}= {}", others[random.random_range(0..others.len())]);
    lines.join("\n").into_bytes()
}

#[test]
fn settings_on_the_command_line() {
    let keys = [
        "seed",
        "co-reg.epochs",
        "network.blocks",
        "input.mean",
        "annotate",
        "a.b.c.d",
        "",
        "co-reg..x",
        "label.rule",
    ];
    let values = [
        "1",
        "-1",
        "1e400",
        "[1,2,3]",
        "[[[[",
        "{x=1}",
        "\"",
        "",
        "nan",
        "🙂",
        "18446744073709551616",
        "2020-01-01",
    ];
    let mut trial = Trial::new("settings");
    for _ in 0..tries() {
        let pairs = (0..trial.random.random_range(1..4)).map(|_| {
            let key = keys[trial.random.random_range(0..keys.len())];
            let value = values[trial.random.random_range(0..values.len())];
            format!("{key}={value}")
        });
        let text = pairs.collect::<Vec<_>>().join(" ");
        let text = match trial.random.random_ratio(1, 3) {
            true => String::from_utf8_lossy(&bend(text.as_bytes(), &mut trial.random)).into_owned(),
            false => text,
        };
        trial.of(|| Settings::layered([("SET", overrides(&[text]).ok()?)]).ok());
    }
}

#[test]
fn a_file_of_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prompts.txt");
    let mut trial = Trial::new("prompts");
    for _ in 0..tries() {
        let bytes = bend(b"a photo of a {}\nthe {}.\n\nwhat {} {} is\n", &mut trial.random);
        fs::write(&path, bytes).unwrap();
        trial.of(|| stages::annotate::templates(path.to_str()?, &[]).ok());
    }
}

/// Bends the files of an artifact in turn, and loads it.
fn artifact<A: Artifact>(name: &'static str, good: &A, with: impl Fn(A)) {
    let folder = tempfile::tempdir().unwrap();
    good.save(folder.path()).unwrap();
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut trial = Trial::new(name);
    for n in 0..tries() {
        let path = &files[n % files.len()];
        let whole = fs::read(path).unwrap();
        fs::write(path, bend(&whole, &mut trial.random)).unwrap();
        trial.of(|| A::load(folder.path()).ok().map(&with));
        fs::write(path, whole).unwrap();
    }
}

fn ids() -> Vec<String> {
    (0..40).map(|n| format!("train/{n:06}")).collect()
}

fn names() -> Names {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Names { annotators: words(&["{}", "a {}"]), classes: words(&["cat", "dog", "crab"]) }
}

#[test]
fn tables_of_images() {
    let index = Index {
        ids: ids(),
        splits: vec![Split::Train; 40],
        labels: (0..40).map(|n| (n % 4 > 0).then_some(n % 3)).collect(),
        classes: names().classes,
    };
    let images =
        Images::new(index, (0..40).map(|n| vec![n; 9]).collect(), vec![Some("x.png".to_owned()); 40]);
    artifact("images", &images, |images| drop(images.encoded()));
}

#[test]
fn tables_of_annotations() {
    let images = vec!["5e".repeat(32); 40];
    let embeddings = Embeddings { ids: ids(), images, features: vec![0.25; 160], width: 4 };
    artifact("embeddings", &embeddings, drop);
    let splits = vec![Split::Train; 40];
    let votes = Votes {
        ids: ids(),
        splits: splits.clone(),
        votes: (0..80).map(|n| (n % 7 > 0).then_some(1)).collect(),
        mean_probs: vec![0.3; 120],
        unmatched: vec![Unmatched {
            annotator: "a {}".to_owned(),
            answer: "a cow".to_owned(),
            reason: "no class".to_owned(),
            images: 6,
        }],
        names: names(),
    };
    artifact("votes", &votes, drop);
    let candidates = (0..40).map(|n| (0..n % 3).collect()).collect();
    let labels = Labels {
        ids: ids(),
        splits,
        candidates,
        single: vec![Some(1); 40],
        labels: vec![Some(2); 40],
        names: names(),
    };
    artifact("labels", &labels, drop);
}

#[test]
fn networks_and_what_training_left() {
    let tensor = |n: usize| Tensor::zeros((n, 3), DType::F32, &Device::Cpu).unwrap();
    let state = || BTreeMap::from([("a".to_owned(), tensor(4)), ("b".to_owned(), tensor(9))]);
    let pair = Pair { architecture: Architecture::resnet18(3, 32, 3), states: [state(), state()] };
    let history = vec![Epoch { epoch: 1, network: 1, values: BTreeMap::from([("loss".to_owned(), 0.5)]) }];
    artifact("warm-up", &WarmedUp { pair: pair.clone(), history: history.clone() }, drop);
    let label = |id| PseudoLabel { id, pseudo_label: 1, confidence: 0.5, w: 0.5, partial: true };
    let pseudo_labels = ids().into_iter().map(label).collect();
    artifact("co-reg", &CoRegResult { pair, history, pseudo_labels }, drop);
}

#[test]
fn a_checkpoint_with_and_without_a_fitting_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context::for_test(folder.path());
    let tensors =
        BTreeMap::from([("a".to_owned(), Tensor::zeros((5, 3), DType::F32, &Device::Cpu).unwrap())]);
    stages::checkpoint::save(&context, &tensors, &vec![1, 2, 3]).unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let whole = fs::read(&path).unwrap();
    let load = || stages::checkpoint::load::<Vec<i32>>(&context);
    assert!(load().is_some());
    let content = &whole[..whole.len() - blake3::OUT_LEN];
    let mut trial = Trial::new("checkpoint");
    for n in 0..tries() {
        let bent = match n % 2 {
            0 => bend(&whole, &mut trial.random),
            _ => {
                let bent = bend(content, &mut trial.random);
                [&bent[..], blake3::hash(&bent).as_bytes()].concat()
            }
        };
        let same = bent == whole;
        fs::write(&path, bent).unwrap();
        // Without a fitting checksum it must not be taken for whole.
        trial.of(|| load().inspect(|_| assert!(n % 2 == 1 || same, "taken for whole")));
    }
}

#[test]
fn a_checkpoint_with_any_other_byte_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context::for_test(folder.path());
    let tensors = BTreeMap::from([("a".to_owned(), Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap())]);
    stages::checkpoint::save(&context, &tensors, &HashMap::from([("epoch", 1)])).unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let whole = fs::read(&path).unwrap();
    let load = || stages::checkpoint::load::<HashMap<String, u32>>(&context);
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
    assert!(stages::checkpoint::load::<u32>(&context).is_none());
    stages::checkpoint::save(&context, &tensors, &1).unwrap();
    assert_eq!(stages::checkpoint::load::<u32>(&context).unwrap().1, 1);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["checkpoint.safetensors"]);
}
