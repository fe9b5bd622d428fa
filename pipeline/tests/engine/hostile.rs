//! Records and heads that somebody wrote by hand: errors, never panics, and nothing outside is touched.
//!
//! `STORE_HOSTILE=50000 cargo nextest run --release -p pipeline hostile::` tries more than the suite does.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rand::RngExt;
use serde_json::{Value, json};

use crate::project::{Project, files_below};

/// Puts something else in the place of one value, or renames one key.
fn bend(value: &mut Value, random: &mut rand_chacha::ChaCha8Rng) {
    let inner = match value {
        Value::Object(map) if !map.is_empty() => map.len(),
        Value::Array(list) if !list.is_empty() => list.len(),
        _ => 0,
    };
    if inner > 0 && random.random_ratio(5, 6) {
        let n = random.random_range(0..inner);
        return match value {
            Value::Object(map) => bend(map.values_mut().nth(n).unwrap(), random),
            Value::Array(list) => bend(&mut list[n], random),
            _ => {}
        };
    }
    let mut deep = json!(1);
    (0..200).for_each(|_| deep = json!([deep]));
    let others = [
        Value::Null,
        json!(-1),
        json!(u64::MAX),
        json!(1e308),
        json!(""),
        json!("../../../../etc/passwd"),
        json!("\u{0}"),
        json!("f".repeat(64)),
        json!("F".repeat(64)),
        json!("é".repeat(32)),
        json!([]),
        json!({"x": 1}),
        deep,
    ];
    *value = others[random.random_range(0..others.len())].clone();
}

/// A record's JSON without its checksum, as anybody could write it.
fn unsealed(text: &[u8]) -> Value {
    let mut record: Value = serde_json::from_slice(text).unwrap();
    record.as_object_mut().unwrap().remove("checksum").unwrap();
    record
}

#[test]
fn records_written_by_hand_are_right_or_set_aside() {
    let project = Project::new();
    let graph = project.diamond("i", "p", "r");
    project.made(&graph);
    let store = project.store();
    let path = fs::read_dir(project.root().join("results")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&path).unwrap();
    let fingerprint = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let mut random = pipeline::random::stream(1, "hostile records");
    let tries = std::env::var("STORE_HOSTILE").map_or(500, |n| n.parse().unwrap());
    let mut refused = 0;
    for n in 0..tries {
        let mut bent = unsealed(&whole);
        (0..=n % 3).for_each(|_| bend(&mut bent, &mut random));
        fs::write(&path, serde_json::to_vec(&bent).unwrap()).unwrap();
        refused += usize::from(store.record(&fingerprint).is_err());
        let damage = store.verify(&project.cancel, &mut |_, _| {}).unwrap();
        // What is not part of a key may be anything: who made it, when, the name of an input.
        assert_eq!(damage.is_empty(), path.exists(), "{bent}");
    }
    assert!(refused > tries / 2, "{refused} of {tries}");
    fs::write(&path, whole).unwrap();
    assert_eq!(project.made(&graph), [""; 0]);
}

/// The digest of an object with one file.
fn object(path: &str, size: u64, digest: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("pipeline object 1");
    hasher.update(&(path.len() as u64).to_le_bytes());
    hasher.update(path.as_bytes());
    hasher.update(&size.to_le_bytes());
    hasher.update(digest.as_bytes());
    hasher.finalize().to_string()
}

#[test]
fn a_record_whose_files_lie_outside_of_its_object_is_damage() {
    let project = Project::new();
    let graph = project.diamond("i", "p", "r");
    project.made(&graph);
    let secret = project.folder.path().join("secret");
    fs::write(&secret, "mine").unwrap();
    let head = fs::read_to_string(project.root().join("heads/demo/report")).unwrap();
    let path = project.root().join(format!("results/{}.json", head.trim()));
    for outside in ["../../../secret", secret.to_str().unwrap(), "a/../../../../secret"] {
        // Everything about it is right but where the file is.
        let blake3 = blake3::hash(b"mine").to_string();
        let digest = object(outside, 4, &blake3);
        let mut record = unsealed(&fs::read(&path).unwrap());
        record["digest"] = json!(digest);
        record["files"] = json!([{"path": outside, "size": 4, "blake3": blake3}]);
        fs::write(&path, record.to_string()).unwrap();
        fs::create_dir(project.root().join("objects").join(&digest)).unwrap();
        assert_eq!(project.made(&graph), ["report"], "{outside}");
        assert_eq!(project.shown("report"), "r(join(i,p))");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "mine");
    }
}

#[test]
fn an_object_that_is_a_link_out_of_the_store_is_damage_and_what_it_leads_to_stays() {
    let project = Project::new();
    let graph = project.diamond("i", "p", "r");
    project.made(&graph);
    let object = fs::canonicalize(project.view().join("demo/report")).unwrap();
    let elsewhere = project.folder.path().join("elsewhere");
    fs::rename(&object, &elsewhere).unwrap();
    symlink(&elsewhere, &object).unwrap();
    let before = files_below(&elsewhere);
    assert_eq!(project.made(&graph), ["report"]);
    assert!(fs::symlink_metadata(&object).unwrap().is_dir());
    project.store().collect(pipeline::store::Policy::EVERYTHING, false).unwrap();
    assert_eq!(files_below(&elsewhere), before);
}

#[test]
fn cleaning_does_not_follow_links_out_of_the_store() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let mine = project.folder.path().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("thesis.tex"), "all of it").unwrap();
    for place in ["objects/x", "checkpoints/x", "damaged/x", "heads/x", "tmp/x"] {
        symlink(&mine, project.root().join(place)).unwrap();
    }
    let inside = project.root().join("checkpoints/y");
    fs::create_dir(&inside).unwrap();
    symlink(&mine, inside.join("link")).unwrap();
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755)).unwrap();
    project.store().collect(pipeline::store::Policy::EVERYTHING, false).unwrap();
    assert_eq!(fs::read_to_string(mine.join("thesis.tex")).unwrap(), "all of it");
}
