//! Any byte or file of a store may be flipped, cut, removed or replaced: it is found before use, said, set
//! aside and made good.
//!
//! `STORE_CORRUPTIONS=5000 cargo nextest run --release -p pipeline corrupting::` tries more than the suite does.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::project::{Project, files_below};

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Corruption {
    Flip,
    Cut,
    Insert,
    Remove,
    Link,
    Folder,
    Stray,
}

const CORRUPTIONS: [Corruption; 7] = [
    Corruption::Flip,
    Corruption::Cut,
    Corruption::Insert,
    Corruption::Remove,
    Corruption::Link,
    Corruption::Folder,
    Corruption::Stray,
];

/// Corrupts a file; gives the bytes that are at its place then, if there are any.
fn corrupt_file(
    corruption: Corruption,
    path: &Path,
    elsewhere: &Path,
    random: &mut ChaCha8Rng,
) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    match corruption {
        Corruption::Flip => {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        Corruption::Cut => bytes.truncate(random.random_range(0..bytes.len())),
        Corruption::Insert => bytes.insert(random.random_range(0..=bytes.len()), random.random()),
        Corruption::Stray => {
            fs::write(path.parent().unwrap().join("stray"), "x").unwrap();
            return Some(b"x".to_vec());
        }
        Corruption::Remove | Corruption::Link | Corruption::Folder => {
            fs::remove_file(path).unwrap();
            match corruption {
                Corruption::Link => {
                    // To a copy with the very same bytes, outside of what the test looks at.
                    let copy = elsewhere.join("copy");
                    fs::write(&copy, &bytes).unwrap();
                    symlink(&copy, path).unwrap();
                }
                Corruption::Folder => fs::create_dir(path).unwrap(),
                _ => {}
            }
            return None;
        }
    }
    fs::write(path, &bytes).unwrap();
    Some(bytes)
}

/// The files of one part of the store.
fn files(project: &Project, part: &str) -> Vec<PathBuf> {
    let folder = project.root().join(part);
    files_below(&folder).into_keys().map(|name| folder.join(name)).collect()
}

fn damage(project: &Project) -> Vec<String> {
    let found = project.store().verify(&project.cancel, &mut |_, _| {}).unwrap();
    found.into_iter().map(|damage| damage.what).collect()
}

fn tries() -> usize {
    std::env::var("STORE_CORRUPTIONS").map_or(60, |n| n.parse().unwrap())
}

fn told(project: &Project) -> bool {
    project.log().iter().any(|line| line.starts_with("damaged"))
}

/// Corrupts one file after the other, and each time lets `find` see to it; whatever it does, the next run
/// must have the right result, and the store be whole.
fn corrupt(part: &str, seed: u64, corruptions: &[Corruption], find: impl Fn(&Project, usize) -> bool) {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let good = files_below(&project.root().join("objects"));
    let mut random = pipeline::random::stream(seed, "spoils");
    for n in 0..tries() {
        let all = files(&project, part);
        let victim = &all[random.random_range(0..all.len())];
        let corruption = corruptions[random.random_range(0..corruptions.len())];
        let left = corrupt_file(corruption, victim, project.folder.path(), &mut random);
        let at = format!("{corruption:?} of {}, number {n}", victim.display());
        let early = find(&project, n);
        // What no run reads is left to `verify`.
        let late = !damage(&project).is_empty();
        // A result without a record is one that was never made, a link to the same bytes as good as they.
        let harmless = part == "results" && matches!(corruption, Corruption::Remove | Corruption::Link);
        assert!(early || late || harmless, "not found: {at}");
        if let Some(left) = left {
            let aside = files_below(&project.root().join("damaged"));
            assert!(aside.into_values().any(|bytes| bytes == left), "not set aside: {at}");
        }
        project.made(&project.diamond("i", "p", "r"));
        assert_eq!(project.shown("report"), "r(join(i,p))", "{at}");
        assert_eq!(damage(&project), [""; 0], "{at}");
        let now = files_below(&project.root().join("objects"));
        assert!(good.iter().all(|(name, bytes)| now.get(name) == Some(bytes)), "{at}");
        // Only these: what `find` made on top goes, so that the next victim is worth something.
        project.store().collect(pipeline::store::Policy::UNREACHABLE, false).unwrap();
        fs::remove_dir_all(project.root().join("damaged")).unwrap();
    }
}

#[test]
fn any_corrupt_file_of_an_object_is_found_by_verifying() {
    corrupt("objects", 1, &CORRUPTIONS, |_, _| false);
}

#[test]
fn any_corrupt_record_is_found_by_verifying() {
    corrupt("results", 2, &CORRUPTIONS[..6], |_, _| false);
}

#[test]
fn no_run_uses_a_corrupt_object() {
    corrupt("objects", 3, &CORRUPTIONS, |project, n| {
        // Reads `labels`, and everything else if that has to be made again.
        project.made(&project.diamond("i", "p", &format!("new{n}")));
        let told = told(project);
        assert_eq!(project.shown("report"), format!("new{n}(join(i,p))"));
        told
    });
}

#[test]
fn no_run_uses_a_corrupt_record() {
    corrupt("results", 4, &CORRUPTIONS[..6], |project, _| {
        project.made(&project.diamond("i", "p", "r"));
        let told = told(project);
        assert_eq!(project.shown("report"), "r(join(i,p))");
        told
    });
}

#[test]
fn a_corrupt_head_costs_nothing_but_an_explanation() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let mut random = pipeline::random::stream(5, "spoils");
    for n in 0..tries() {
        let all = files(&project, "heads");
        let victim = &all[random.random_range(0..all.len())];
        let corruption = CORRUPTIONS[random.random_range(0..4)];
        corrupt_file(corruption, victim, project.folder.path(), &mut random);
        let report = format!("r{n}");
        assert!(project.made(&project.diamond("i", "p", &report)).contains(&"report".to_owned()));
        assert_eq!(
            project.made(&project.diamond("i", "p", &report)),
            [""; 0],
            "{corruption:?} {}",
            victim.display()
        );
        assert_eq!(project.shown("report"), format!("r{n}(join(i,p))"));
    }
}

#[test]
fn a_corrupt_format_is_said_with_what_to_do_and_nothing_is_touched() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let format = project.root().join("FORMAT");
    for corrupt in
        [None, Some(&b""[..]), Some(b"pipeline stor"), Some(b"\xff\xfe\n"), Some(b"qipeline store 1\n")]
    {
        match corrupt {
            None => fs::remove_file(&format).unwrap(),
            Some(bytes) => fs::write(&format, bytes).unwrap(),
        }
        let before = files_below(&project.root());
        let error = pipeline::store::Store::open(project.root()).unwrap_err().to_string();
        assert!(error.contains("FORMAT") && error.contains("help: "), "{error}");
        assert!(error.contains("write the line `pipeline store 1` into that file"), "{error}");
        assert_eq!(files_below(&project.root()), before);
    }
    fs::write(&format, "pipeline store 1\n").unwrap();
    assert_eq!(project.made(&project.diamond("i", "p", "r")), [""; 0]);
}

#[test]
fn a_link_of_the_view_that_is_lost_or_leads_elsewhere_is_made_again() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let link = project.view().join("demo/report");
    for elsewhere in [None, Some("/nowhere"), Some("/etc"), Some("../demo/report")] {
        fs::remove_file(&link).unwrap();
        if let Some(target) = elsewhere {
            symlink(target, &link).unwrap();
        }
        assert_eq!(project.made(&project.diamond("i", "p", "r")), [""; 0]);
        assert_eq!(project.shown("report"), "r(join(i,p))");
    }
}
