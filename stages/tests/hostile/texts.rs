//! What people write: descriptions, settings, prompts, variants, aliases.

use std::fs;
use std::path::Path;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use stages::dataset::catalog::{Classes, DataSet};
use stages::experiment::settings::{Settings, overrides};
use stages::experiment::variants::BuiltIn;
use stages::experiment::{Choice, Experiment};
use stages::runtime::device::Place;

use crate::{Trial, corrupt, names, tries};

#[test]
fn a_description_of_a_data_set() {
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/catalog");
    let files = fs::read_dir(catalog).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let files: Vec<Vec<u8>> = files.collect();
    let mut trial = Trial::new("data set's TOML");
    for n in 0..tries() {
        let whole = &files[n % files.len()];
        let bytes = match n % 2 {
            0 => corrupt(whole, &mut trial.random),
            _ => corrupt_toml(whole, &mut trial.random),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        trial.of(|| DataSet::parse(&text, Path::new("bent.toml")).ok());
    }
}

/// Puts something else behind one `=`.
fn corrupt_toml(text: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
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
            true => String::from_utf8_lossy(&corrupt(text.as_bytes(), &mut trial.random)).into_owned(),
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
        let bytes = corrupt(b"a photo of a {}\nthe {}.\n\nwhat {} {} is\n", &mut trial.random);
        fs::write(&path, bytes).unwrap();
        trial.of(|| stages::annotation::annotate::templates(path.to_str()?, &[]).ok());
    }
}

#[test]
fn a_file_of_variants() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("variants.toml");
    let choice = Choice { data_set: "demo".to_owned(), profile: "quick".to_owned(), ..Choice::default() };
    let experiment = Experiment::new(&choice, Place::Cpu).unwrap();
    let text = concat!(include_str!("../../../data/variants/ablations.toml"), "[grid]\n'seed' = [1, 2]\n");
    let mut trial = Trial::new("variants");
    for n in 0..tries() {
        let bytes = match n % 2 {
            0 => corrupt(text.as_bytes(), &mut trial.random),
            _ => corrupt_toml(text.as_bytes(), &mut trial.random),
        };
        fs::write(&path, bytes).unwrap();
        trial.of(|| {
            let branches = experiment.variants(Some(&path), BuiltIn::Ablations, &[], 2).ok()?;
            experiment.graph(&branches).ok().map(drop)
        });
    }
}

#[test]
fn a_file_of_aliases() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("aliases.txt");
    let names = names().classes;
    let classes = Classes { texts: names.clone(), names, renamed: Vec::new() };
    let mut trial = Trial::new("aliases");
    for _ in 0..tries() {
        let bytes =
            corrupt("cat: kitten | tabby\n# of dogs\ndog: puppy\ncrab: 蟹\n".as_bytes(), &mut trial.random);
        fs::write(&path, bytes).unwrap();
        trial.of(|| stages::annotation::import_votes::aliases(path.to_str()?, &classes).ok());
    }
}
