//! Any byte or file of a store may be flipped, cut, removed or replaced: it is found before use, said, set
//! aside and made good.
//!
//! `STORE_SPOILS=5000 cargo nextest run --release -p pipeline spoiling::` tries more than the suite does.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::project::{Project, files_below};

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Flip,
    Cut,
    Insert,
    Remove,
    Link,
    Folder,
    Stray,
}

const BLOWS: [Blow; 7] =
    [Blow::Flip, Blow::Cut, Blow::Insert, Blow::Remove, Blow::Link, Blow::Folder, Blow::Stray];

/// Deals the blow to a file; gives the bytes that are at its place then, if there are any.
fn deal(blow: Blow, path: &Path, elsewhere: &Path, random: &mut ChaCha8Rng) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    match blow {
        Blow::Flip => {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        Blow::Cut => bytes.truncate(random.random_range(0..bytes.len())),
        Blow::Insert => bytes.insert(random.random_range(0..=bytes.len()), random.random()),
        Blow::Stray => {
            fs::write(path.parent().unwrap().join("stray"), "x").unwrap();
            return Some(b"x".to_vec());
        }
        Blow::Remove | Blow::Link | Blow::Folder => {
            fs::remove_file(path).unwrap();
            match blow {
                Blow::Link => {
                    // To a copy with the very same bytes, outside of what the test looks at.
                    let copy = elsewhere.join("copy");
                    fs::write(&copy, &bytes).unwrap();
                    symlink(&copy, path).unwrap();
                }
                Blow::Folder => fs::create_dir(path).unwrap(),
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

fn spoils() -> usize {
    std::env::var("STORE_SPOILS").map_or(60, |n| n.parse().unwrap())
}

fn told(project: &Project) -> bool {
    project.log().iter().any(|line| line.starts_with("damaged"))
}

/// Spoils one file after the other, and each time lets `find` see to it; whatever it does, the next run
/// must have the right result, and the store be whole.
fn spoil(part: &str, seed: u64, blows: &[Blow], find: impl Fn(&Project, usize) -> bool) {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let good = files_below(&project.root().join("objects"));
    let mut random = pipeline::random::stream(seed, "spoils");
    for n in 0..spoils() {
        let all = files(&project, part);
        let victim = &all[random.random_range(0..all.len())];
        let blow = blows[random.random_range(0..blows.len())];
        let left = deal(blow, victim, project.folder.path(), &mut random);
        let at = format!("{blow:?} of {}, number {n}", victim.display());
        let early = find(&project, n);
        // What no run reads is left to `verify`.
        let late = !damage(&project).is_empty();
        // A result without a record is one that was never made, a link to the same bytes as good as they.
        let harmless = part == "results" && matches!(blow, Blow::Remove | Blow::Link);
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
fn any_spoilt_file_of_an_object_is_found_by_verifying() {
    spoil("objects", 1, &BLOWS, |_, _| false);
}

#[test]
fn any_spoilt_record_is_found_by_verifying() {
    spoil("results", 2, &BLOWS[..6], |_, _| false);
}

#[test]
fn no_run_uses_a_spoilt_object() {
    spoil("objects", 3, &BLOWS, |project, n| {
        // Reads `labels`, and everything else if that has to be made again.
        project.made(&project.diamond("i", "p", &format!("new{n}")));
        let told = told(project);
        assert_eq!(project.shown("report"), format!("new{n}(join(i,p))"));
        told
    });
}

#[test]
fn no_run_uses_a_spoilt_record() {
    spoil("results", 4, &BLOWS[..6], |project, _| {
        project.made(&project.diamond("i", "p", "r"));
        let told = told(project);
        assert_eq!(project.shown("report"), "r(join(i,p))");
        told
    });
}

#[test]
fn a_spoilt_head_costs_nothing_but_an_explanation() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let mut random = pipeline::random::stream(5, "spoils");
    for n in 0..spoils() {
        let all = files(&project, "heads");
        let victim = &all[random.random_range(0..all.len())];
        let blow = BLOWS[random.random_range(0..4)];
        deal(blow, victim, project.folder.path(), &mut random);
        let report = format!("r{n}");
        assert!(project.made(&project.diamond("i", "p", &report)).contains(&"report".to_owned()));
        assert_eq!(
            project.made(&project.diamond("i", "p", &report)),
            [""; 0],
            "{blow:?} {}",
            victim.display()
        );
        assert_eq!(project.shown("report"), format!("r{n}(join(i,p))"));
    }
}

#[test]
fn a_spoilt_format_is_said_with_what_to_do_and_nothing_is_touched() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let format = project.root().join("FORMAT");
    for spoilt in
        [None, Some(&b""[..]), Some(b"pipeline stor"), Some(b"\xff\xfe\n"), Some(b"qipeline store 1\n")]
    {
        match spoilt {
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
