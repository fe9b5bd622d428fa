//! Artifacts that several people share: what runs leave has the permissions that the umask leaves, and whoever may only
//! read it can still ask what would run, and check what is kept.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tests::program::{Coreg, NOBODY, is_root};
use tests::project::Project;

/// Everything below a folder but links, with the folder itself.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        match (metadata.is_dir(), metadata.is_symlink()) {
            (true, _) => found.extend(below(&path)),
            (_, false) => found.push(path),
            _ => {}
        }
    }
    found
}

/// The permissions of a file or folder, with the bits above them.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Asserts that below `folder` everything has what the umask leaves; kept results without leave to write.
fn follows(folder: &Path, mask: u32) {
    let everything = below(folder);
    assert!(everything.len() > 5, "{everything:?}");
    for path in everything {
        let kept = path.to_str().unwrap().contains("/objects/");
        let expected = match (path.is_dir(), kept) {
            (true, _) => 0o777 & !mask,
            (false, true) => 0o444 & !mask,
            (false, false) => 0o666 & !mask,
        };
        assert_eq!(
            mode(&path) & 0o777,
            expected,
            "{:o} instead of {expected:o}: {}",
            mode(&path),
            path.display()
        );
    }
}

#[test]
fn what_a_run_leaves_has_the_permissions_that_the_umask_leaves() {
    for (name, mask) in [("022", 0o022), ("002", 0o002), ("077", 0o077)] {
        let project = Project::new();
        project.run().umask(name).ok();
        // A run that was killed: its checkpoint, its locks, its unfinished files.
        let mut running = project.run().set("warm-up.epochs=30").umask(name).start();
        running.until("warm-up      epoch 2");
        running.signal("KILL");
        running.end();
        for left in
            ["store/objects", "store/checkpoints", "store/claims", "store/heads/shapes", "runs", "shapes"]
        {
            let left = project.path("artifacts").join(left);
            assert!(fs::read_dir(&left).unwrap().count() > 0, "{}", left.display());
        }
        follows(&project.path("artifacts"), mask);
        follows(&project.path("cache"), mask);
        let variants = project.file("one.toml", "[[variant]]\nname = \"one\"\n");
        project.on_shapes(project.coreg(), &["ablations", "--variants", &variants]).umask(name).ok();
        assert_eq!(mode(&project.path("artifacts/shapes/one.md")), 0o666 & !mask);
        assert_eq!(mode(&project.path("artifacts/shapes/one.parquet")), 0o666 & !mask);
    }
}

#[test]
fn folders_in_a_folder_of_a_group_belong_to_the_group() {
    let project = Project::new();
    let artifacts = project.path("artifacts");
    fs::create_dir(&artifacts).unwrap();
    if is_root() {
        chown(&artifacts, None, Some(4242)).unwrap();
    }
    set_mode(&artifacts, 0o2775);
    let group = fs::metadata(&artifacts).unwrap().gid();
    project.run().umask("002").args(["--only", "label"]).ok();
    for path in below(&artifacts) {
        assert_eq!(fs::metadata(&path).unwrap().gid(), group, "{}", path.display());
        let expected = if path.is_dir() { 0o2000 } else { 0 };
        assert_eq!(mode(&path) & 0o2000, expected, "{}", path.display());
    }
}

#[test]
#[ignore = "becomes another user, which takes root"]
fn users_of_a_group_go_on_from_each_others_results() {
    let project = Project::new();
    set_mode(&project.path(""), 0o755);
    for shared in ["artifacts", "cache"] {
        fs::create_dir(project.path(shared)).unwrap();
        chown(project.path(shared), None, Some(NOBODY)).unwrap();
        set_mode(&project.path(shared), 0o2775);
    }
    let other = |command: Coreg| command.umask("002").without_privileges(&project.path(""));
    let mut running = project.run().set("warm-up.epochs=20").umask("002").start();
    running.until("warm-up      epoch 2");
    running.signal("KILL");
    running.end();
    let record = project.path("artifacts/store/results");
    let record = fs::read_dir(record).unwrap().next().unwrap().unwrap().path();
    let used = fs::metadata(&record).unwrap().modified().unwrap();
    // From the first user's results, over what its dead process left.
    other(project.run()).ok();
    assert_eq!(project.ran(), ["warm-up", "co-reg", "evaluate", "findings", "report"]);
    assert!(fs::metadata(&record).unwrap().modified().unwrap() > used, "the use is not noted");
    // From the first user's checkpoint.
    let resumed = other(project.run().set("warm-up.epochs=20")).ok();
    assert!(!resumed.stderr.contains("warm-up      epoch 1,"), "{}", resumed.stderr);
    project.run().umask("002").ok();
    assert_eq!(project.ran(), [] as [String; 0]);
    other(project.coreg().args(["verify"])).ok();
    assert!(other(project.coreg().args(["clean"])).ok().stdout.contains("freed 5 results"));
    project.is_whole();
}

/// The content of every file, and when it was changed.
fn state(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
    let read = |path: PathBuf| {
        let metadata = fs::metadata(&path).unwrap();
        let bytes = if metadata.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        (path, (bytes, metadata.mtime(), metadata.mtime_nsec()))
    };
    below(folder).into_iter().map(read).collect()
}

/// A project after a run whose artifacts nobody may write any more.
struct ReadOnly {
    project: Project,
    before: BTreeMap<PathBuf, (Vec<u8>, i64, i64)>,
}

impl ReadOnly {
    fn new(change: impl Fn(&Project)) -> Self {
        let project = Project::after_a_run();
        change(&project);
        set_mode(&project.path(""), 0o755);
        below(&project.path("cache")).iter().for_each(|path| set_mode(path, 0o755));
        let artifacts = project.path("artifacts");
        below(&artifacts).iter().for_each(|path| set_mode(path, if path.is_dir() { 0o555 } else { 0o444 }));
        Self { before: state(&artifacts), project }
    }

    /// The command for a user for whom that counts.
    fn user(&self, command: Coreg) -> Coreg {
        command.without_privileges(&self.project.path(""))
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        // Or the folder cannot be removed.
        below(&self.project.path("artifacts"))
            .iter()
            .filter(|path| path.is_dir())
            .for_each(|path| set_mode(path, 0o755));
    }
}

#[test]
fn who_may_only_read_the_artifacts_can_plan_explain_show_and_verify() {
    let shared = ReadOnly::new(|_| {});
    let project = &shared.project;
    let planned = shared.user(project.plan()).ok().stdout;
    assert!(planned.lines().all(|line| line.ends_with("cached")), "{planned}");
    let planned = shared.user(project.plan().set("co-reg.lambda_proto=0")).ok().stdout;
    assert!(planned.contains("co-reg       would run: setting `method.lambda_proto`"), "{planned}");
    let explained = shared.user(project.on_shapes(project.coreg(), &["explain", "label"])).ok().stdout;
    assert!(explained.contains("label: cached") && explained.contains("newest result"), "{explained}");
    let shown = shared.user(project.coreg().args(["show", "shapes/label"])).ok().stdout;
    assert!(shown.contains("labels.parquet"), "{shown}");
    let verified = shared.user(project.coreg().args(["verify"])).ok().stdout;
    assert!(verified.contains("only read") && verified.contains("every kept result is whole"), "{verified}");
    let help = if is_root() { "belongs to another user (id 0)" } else { "change the permissions" };
    for command in
        [project.run(), project.run().set("co-reg.lambda_proto=0"), project.coreg().args(["clean"])]
    {
        shared.user(command).output().helpful_error(&[
            "artifacts/store",
            "Permission denied",
            "may not write",
            help,
        ]);
    }
    assert_eq!(state(&project.path("artifacts")), shared.before);
}

#[test]
fn damage_in_artifacts_that_can_only_be_read_is_said_and_stays_where_it_is() {
    let shared = ReadOnly::new(|project| {
        let file = fs::canonicalize(project.view("label/labels.parquet")).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        bytes[9] ^= 1;
        set_mode(&file, 0o644);
        fs::write(&file, bytes).unwrap();
    });
    let project = &shared.project;
    let output = shared.user(project.coreg().args(["verify"])).output();
    output.helpful_error(&["1 damaged results stay where they are", "artifacts/store"]);
    assert!(output.stdout.contains("does not hold what it held"), "{}", output.stdout);
    assert_eq!(state(&project.path("artifacts")), shared.before);
}

#[test]
fn results_that_a_user_may_not_read_are_no_damage() {
    let shared = ReadOnly::new(|_| {});
    let project = &shared.project;
    let object = fs::canonicalize(project.view("label")).unwrap();
    set_mode(&object, 0o700);
    if is_root() {
        shared.user(project.coreg().args(["verify"])).output().helpful_error(&[
            "Permission denied",
            "may not read",
            "belongs to another user (id 0)",
        ]);
    }
    set_mode(&object, 0o555);
    assert_eq!(state(&project.path("artifacts")), shared.before);
}

#[test]
fn who_only_asks_makes_no_folder() {
    let project = Project::new();
    let planned = project.plan().ok().stdout;
    assert!(planned.contains("download     would run: never ran before"), "{planned}");
    let explained = project.on_shapes(project.coreg(), &["explain", "label"]).ok().stdout;
    assert!(explained.contains("never ran before"), "{explained}");
    assert!(project.coreg().args(["verify"]).ok().stdout.contains("there is none yet"));
    project.coreg().args(["show", "shapes/label"]).output().helpful_error(&["there is no table"]);
    assert!(!project.path("artifacts").exists());
}
