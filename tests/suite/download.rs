//! Files from a hub: verified, fetched again when wrong, found in the cache when the hub is away.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use pipeline::error::{Error, Result};
use pipeline::event::Progress;
use stages::hub::client::{Fetched, FileRequest, Hub, HubSettings, ProgressMonitor, RepoKind};
use tests::hub::{self as loopback, COMMIT, Fault};

const BIG: &str = "data/big.bin";
const SMALL: &str = "config.json";

/// A hub with one data set and one model, and an empty cache.
struct Setting {
    folder: tempfile::TempDir,
    hub: loopback::Hub,
    settings: HubSettings,
}

fn setting() -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let repos = folder.path().join("hub");
    for repo in ["datasets/some/set", "models/some/model"] {
        fs::create_dir_all(repos.join(repo).join("data")).unwrap();
        fs::write(repos.join(repo).join(BIG), big()).unwrap();
        fs::write(repos.join(repo).join(SMALL), b"{\"small\": true}").unwrap();
    }
    let hub = loopback::Hub::serve(&repos).unwrap();
    let settings = HubSettings {
        endpoint: hub.endpoint(),
        token: Some("hf_test".to_owned()),
        cache: folder.path().join("cache"),
        offline: false,
        patience: Duration::from_secs(20),
        attempts: 3,
        pause: Duration::from_millis(1),
    };
    Setting { folder, hub, settings }
}

/// Three megabytes, no two pages of them alike.
fn big() -> Vec<u8> {
    (0..750_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn request(file: &str) -> FileRequest<'_> {
    FileRequest { kind: RepoKind::Dataset, repo: "some/set", revision: COMMIT, file, sha256: None }
}

impl Setting {
    fn fetch(&self, request: &FileRequest) -> Result<Fetched> {
        Hub::open(self.settings.clone())?.fetch(request, &ProgressMonitor::unstoppable(&Progress::silent()))
    }

    fn fails(&self, request: &FileRequest, words: &[&str]) {
        let error = self.fetch(request).map(|fetched| fetched.path).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "no `{word}` in: {error}");
        }
    }

    fn gets(&self) -> usize {
        self.hub
            .take_log()
            .iter()
            .filter(|asked| asked.method == "GET" && asked.path.contains("/resolve/"))
            .count()
    }

    /// Everything in the cache that looks like a file, whole or not.
    fn cached_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.settings.cache.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.extension().is_some_and(|end| end == "lock") => {}
                    false => files.push(path),
                }
            }
        }
        files
    }
}

#[test]
fn a_file_is_fetched_whole_and_says_what_it_is() {
    let setting = setting();
    let fetched = setting.fetch(&request(BIG)).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), big());
    assert_eq!((fetched.size, fetched.commit.as_str()), (3_000_000, COMMIT));
    assert_eq!(fetched.sha256, loopback::name_of(&big()));
    let small = setting.fetch(&request(SMALL)).unwrap();
    assert_eq!(fs::read(small.path).unwrap(), b"{\"small\": true}");
}

#[test]
fn the_second_run_asks_nothing_for_a_pinned_commit() {
    let setting = setting();
    let first = setting.fetch(&request(BIG)).unwrap();
    setting.hub.take_log();
    let second = setting.fetch(&request(BIG)).unwrap();
    assert_eq!(first.path, second.path);
    assert_eq!(setting.hub.take_log(), []);
}

#[test]
fn the_cache_is_laid_out_as_the_python_tools_have_it() {
    let setting = setting();
    let branch = FileRequest { revision: "main", kind: RepoKind::Model, repo: "some/model", ..request(BIG) };
    setting.fetch(&branch).unwrap();
    let repo = setting.settings.cache.join("models--some--model");
    let link = fs::read_link(repo.join("snapshots").join(COMMIT).join(BIG)).unwrap();
    assert_eq!(link, PathBuf::from(format!("../../../blobs/{}", loopback::name_of(&big()))));
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
}

#[test]
fn a_revision_with_slashes_is_one_revision() {
    let setting = setting();
    let request =
        FileRequest { revision: "refs/pr/15", kind: RepoKind::Model, repo: "some/model", ..request(SMALL) };
    assert_eq!(setting.fetch(&request).unwrap().commit, COMMIT);
    assert!(setting.settings.cache.join("models--some--model/refs/refs/pr/15").is_file());
}

#[test]
fn the_token_goes_with_every_request() {
    let setting = setting();
    setting.fetch(&request(BIG)).unwrap();
    let log = setting.hub.take_log();
    assert!(log.len() >= 2);
    assert!(log.iter().all(|asked| asked.authorization.as_deref() == Some("Bearer hf_test")), "{log:?}");
}

#[test]
fn wrong_bytes_are_fetched_again() {
    let setting = setting();
    for fault in [Fault::WrongBytes, Fault::PageWithStatus200, Fault::Cut(1_000_000), Fault::Short(10)] {
        fs::remove_dir_all(&setting.settings.cache).ok();
        setting.hub.take_log();
        setting.hub.misbehave(BIG, fault.clone(), 1);
        let fetched = setting.fetch(&request(BIG)).unwrap();
        assert_eq!(fs::read(fetched.path).unwrap(), big(), "{fault:?}");
        assert_eq!(setting.gets(), 2, "{fault:?}");
    }
}

#[test]
fn bytes_that_stay_wrong_are_refused_and_never_kept() {
    let setting = setting();
    setting.hub.misbehave(BIG, Fault::WrongBytes, 100);
    setting.fails(
        &request(BIG),
        &["some/set", COMMIT, BIG, &setting.settings.endpoint, "SHA-256", "tried 3 times"],
    );
    assert_eq!(setting.gets(), 3);
    assert_eq!(setting.cached_files(), [] as [PathBuf; 0]);
}

#[test]
fn an_error_page_never_becomes_a_file() {
    let setting = setting();
    for (fault, words) in [
        (Fault::PageInstead(403), &["403", "HF_TOKEN"][..]),
        (Fault::PageInstead(404), &["404"]),
        (Fault::PageInstead(503), &["503", "try later"]),
        (Fault::PageWithStatus200, &["200: this is no file"]),
        (Fault::Status(401), &["401", "HF_TOKEN"]),
        (Fault::Status(403), &["403", "HF_TOKEN"]),
        (Fault::Status(418), &["418", "HF_ENDPOINT"]),
    ] {
        for file in [BIG, SMALL] {
            setting.hub.misbehave(file, fault.clone(), 100);
            setting.fails(&request(file), words);
            let whole: Vec<_> = setting
                .cached_files()
                .into_iter()
                .filter(|path| path.metadata().unwrap().len() > 0)
                .collect();
            assert_eq!(whole, [] as [PathBuf; 0], "{fault:?}");
            setting.hub.behave();
        }
    }
    setting.fetch(&request(BIG)).unwrap();
}

#[test]
fn a_transfer_that_was_cut_goes_on_where_it_ended() {
    let setting = setting();
    setting.hub.misbehave(BIG, Fault::Cut(2_000_000), 1);
    setting.fetch(&request(BIG)).unwrap();
    let ranges: Vec<_> = setting.hub.take_log().into_iter().filter_map(|asked| asked.range).collect();
    assert_eq!(ranges, ["bytes=2000000-2999999"]);
}

#[test]
fn a_hub_that_cannot_resume_is_served_from_the_beginning() {
    let setting = setting();
    setting.hub.misbehave(BIG, Fault::Cut(2_000_000), 1);
    setting.hub.misbehave(BIG, Fault::NoRange, 1);
    assert_eq!(fs::read(setting.fetch(&request(BIG)).unwrap().path).unwrap(), big());
}

#[test]
fn a_hub_that_refuses_the_range_is_served_from_the_beginning() {
    let setting = setting();
    setting.hub.misbehave(BIG, Fault::Cut(2_000_000), 1);
    setting.hub.misbehave(BIG, Fault::PageInstead(416), 1);
    assert_eq!(fs::read(setting.fetch(&request(BIG)).unwrap().path).unwrap(), big());
    assert_eq!(setting.gets(), 3);
}

#[test]
fn the_token_does_not_go_with_a_redirect_to_another_host_and_the_range_does() {
    let setting = setting();
    let other = loopback::Hub::serve(setting.folder.path().join("hub")).unwrap();
    let there = format!("{}/datasets/some/set/resolve/{COMMIT}/{BIG}", other.endpoint());
    setting.hub.misbehave(BIG, Fault::Redirect(there), 100);
    other.misbehave(BIG, Fault::Cut(2_000_000), 1);
    assert_eq!(fs::read(setting.fetch(&request(BIG)).unwrap().path).unwrap(), big());
    let log = other.take_log();
    let asked: Vec<_> = log.iter().map(|asked| (asked.method.as_str(), asked.range.as_deref())).collect();
    assert_eq!(asked, [("GET", None), ("GET", Some("bytes=2000000-2999999"))]);
    assert!(log.iter().all(|asked| asked.authorization.is_none()), "{log:?}");
}

#[test]
fn a_repository_with_a_new_name_is_found_under_the_old_one() {
    let setting = setting();
    let there = format!("/datasets/some/set/resolve/{COMMIT}/{BIG}");
    setting.hub.misbehave(&format!("some/old/resolve/{COMMIT}/{BIG}"), Fault::Redirect(there), 100);
    let old = FileRequest { repo: "some/old", ..request(BIG) };
    assert_eq!(fs::read(setting.fetch(&old).unwrap().path).unwrap(), big());
}

#[test]
fn a_file_with_any_name_is_fetched() {
    let setting = setting();
    let name = "data/a b%20#1?ä.bin";
    fs::write(setting.folder.path().join("hub/datasets/some/set").join(name), b"content").unwrap();
    assert_eq!(fs::read(setting.fetch(&request(name)).unwrap().path).unwrap(), b"content");
}

#[test]
fn a_hub_that_is_busy_is_asked_again() {
    let setting = setting();
    setting.hub.misbehave(BIG, Fault::Status(503), 2);
    setting.fetch(&request(BIG)).unwrap();
    setting.hub.misbehave(SMALL, Fault::Status(429), 100);
    setting.fails(&request(SMALL), &["429", "try later"]);
}

#[test]
fn a_stall_ends_with_the_patience() {
    let mut setting = setting();
    setting.settings.patience = Duration::from_millis(300);
    setting.hub.misbehave(BIG, Fault::Stall(500_000, Duration::from_secs(30)), 1);
    setting.hub.misbehave(BIG, Fault::Silence(Duration::from_secs(30)), 1);
    setting.fetch(&request(BIG)).unwrap();
    setting.hub.misbehave(SMALL, Fault::Silence(Duration::from_secs(30)), 100);
    setting.fails(&request(SMALL), &["nothing came for 0.3 s", SMALL]);
}

#[test]
fn a_stop_is_obeyed_while_waiting_for_the_hub() {
    let mut setting = setting();
    setting.settings.patience = Duration::from_secs(3600);
    setting.hub.misbehave(BIG, Fault::Stall(1_500_000, Duration::from_secs(3600)), 1);
    let part = setting
        .settings
        .cache
        .join(format!("datasets--some--set/blobs/{}.incomplete", loopback::name_of(&big())));
    let asked = Cell::new(0);
    let progress = Progress::silent();
    let monitor = ProgressMonitor::new(&progress, || {
        asked.set(asked.get() + 1);
        let arrived = part.metadata().map_or(0, |data| data.len());
        if arrived >= 1_500_000 { Err(Error::cancelled()) } else { Ok(()) }
    });
    let error = Hub::open(setting.settings.clone()).unwrap().fetch(&request(BIG), &monitor).unwrap_err();
    assert!(error.is_cancelled() && asked.get() > 1);
    setting.fetch(&request(BIG)).unwrap();
    let ranges: Vec<_> = setting.hub.take_log().into_iter().filter_map(|asked| asked.range).collect();
    assert_eq!(ranges, ["bytes=1500000-2999999"], "what had arrived was kept");
}

#[test]
fn a_damaged_cache_is_mended() {
    let setting = setting();
    let fetched = setting.fetch(&request(BIG)).unwrap();
    let mut damaged = big();
    damaged[17] ^= 1;
    for content in [damaged, big()[..100].to_vec(), Vec::new()] {
        fs::write(fs::canonicalize(&fetched.path).unwrap(), content).unwrap();
        assert_eq!(fs::read(setting.fetch(&request(BIG)).unwrap().path).unwrap(), big());
    }
}

#[test]
fn a_checksum_of_the_catalog_that_differs_is_refused_before_the_transfer() {
    let setting = setting();
    let other = "0".repeat(64);
    setting.fails(
        &FileRequest { sha256: Some(&other), ..request(BIG) },
        &["not the file that is expected", &other],
    );
    assert_eq!(setting.gets(), 0);
    // Small files have no SHA-256 at the hub, so theirs is found out afterwards.
    setting.fails(
        &FileRequest { sha256: Some(&other), ..request(SMALL) },
        &["not the file that is expected", &other],
    );
    let right = loopback::name_of(&big());
    setting.fetch(&FileRequest { sha256: Some(&right), ..request(BIG) }).unwrap();
}

#[test]
fn offline_uses_the_cache_and_asks_nothing() {
    let mut setting = setting();
    let branch = FileRequest { revision: "main", ..request(BIG) };
    setting.fetch(&branch).unwrap();
    setting.hub.take_log();
    setting.settings.offline = true;
    assert_eq!(setting.fetch(&branch).unwrap().commit, COMMIT);
    assert_eq!(setting.fetch(&request(BIG)).unwrap().size, 3_000_000);
    setting.fails(&request(SMALL), &[SMALL, "HF_HUB_OFFLINE", "cache"]);
    let blob = fs::canonicalize(setting.fetch(&branch).unwrap().path).unwrap();
    fs::write(blob, "damaged").unwrap();
    setting.fails(&branch, &["damaged", "SHA-256", "unset HF_HUB_OFFLINE"]);
    assert_eq!(setting.hub.take_log(), []);
}

#[test]
fn a_cached_branch_is_used_when_the_hub_cannot_be_reached() {
    let mut setting = setting();
    let branch = FileRequest { revision: "main", ..request(BIG) };
    let fetched = setting.fetch(&branch).unwrap();
    setting.settings.endpoint = nobody();
    assert_eq!(setting.fetch(&branch).unwrap().path, fetched.path);
    setting.fails(
        &request(SMALL),
        &[SMALL, "some/set", COMMIT, &setting.settings.endpoint, "HF_ENDPOINT", "refused"],
    );
}

/// An endpoint where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn a_missing_file_is_answered_with_what_is_there() {
    let setting = setting();
    setting.fails(&request("data/train.parquet"), &["data/train.parquet", "some/set", COMMIT, SMALL, BIG]);
    setting.fails(&FileRequest { repo: "some/other", ..request(BIG) }, &["some/other", "no such repository"]);
}

#[test]
fn an_optional_file_may_be_missing_and_is_asked_for_once() {
    let setting = setting();
    let hub = Hub::open(setting.settings.clone()).unwrap();
    let progress = Progress::silent();
    let monitor = ProgressMonitor::unstoppable(&progress);
    let optional = request("preprocessor_config.json");
    assert!(hub.fetch_if_there(&optional, &monitor).unwrap().is_none());
    setting.hub.take_log();
    assert!(hub.fetch_if_there(&optional, &monitor).unwrap().is_none());
    assert_eq!(setting.hub.take_log(), []);
    assert!(hub.fetch_if_there(&request(SMALL), &monitor).unwrap().is_some());
}

#[test]
fn the_first_place_that_has_the_file_is_used() {
    let setting = setting();
    let hub = Hub::open(setting.settings.clone()).unwrap();
    let progress = Progress::silent();
    let monitor = ProgressMonitor::unstoppable(&progress);
    let places = [FileRequest { revision: "main", ..request("model.safetensors") }, request(SMALL)];
    assert_eq!(hub.fetch_first(&places, &monitor).unwrap().path.file_name().unwrap(), SMALL);
    let error = hub.fetch_first(&places[..1], &monitor).unwrap_err().to_string();
    assert!(error.contains("model.safetensors") && error.contains(BIG), "{error}");
}

#[test]
fn a_listing_is_sorted_and_offline_it_is_the_cache() {
    let mut setting = setting();
    let list = |setting: &Setting| {
        let hub = Hub::open(setting.settings.clone()).unwrap();
        let files = hub.list(&request(SMALL), &ProgressMonitor::unstoppable(&Progress::silent())).unwrap();
        files.into_iter().map(|file| (file.path, file.size)).collect::<Vec<_>>()
    };
    assert_eq!(list(&setting), [(SMALL.to_owned(), 15), (BIG.to_owned(), 3_000_000)]);
    setting.fetch(&request(BIG)).unwrap();
    setting.settings.offline = true;
    assert_eq!(list(&setting), [(BIG.to_owned(), 3_000_000)]);
}

#[test]
fn names_that_lead_out_of_the_cache_are_refused() {
    let setting = setting();
    for (repo, file) in
        [("some/set", "../../secret"), ("some/..", BIG), ("set", BIG), ("some/set", "/etc/passwd")]
    {
        setting.fails(&FileRequest { repo, ..request(file) }, &["cannot be a file of a hub"]);
    }
    assert_eq!(setting.hub.take_log(), []);
}

#[test]
fn a_cache_that_cannot_be_written_to_is_named() {
    let mut setting = setting();
    let file = setting.folder.path().join("file");
    fs::write(&file, "").unwrap();
    setting.settings.cache = file.join("cache");
    setting.fails(&request(BIG), &["cannot write to the hub's cache", "file/cache", "HF_HUB_CACHE"]);
}

#[test]
fn two_at_once_fetch_a_file_once() {
    let setting = setting();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(|| setting.fetch(&request(BIG)).unwrap())).collect();
        for run in runs {
            assert_eq!(fs::read(run.join().unwrap().path).unwrap(), big());
        }
    });
    assert_eq!(setting.gets(), 1);
}
