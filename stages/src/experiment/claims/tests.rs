//! Who gets which name, and what is said of it.
#![allow(clippy::unwrap_used)]

use super::*;

/// A store's claims, and the places where something is.
#[derive(Default)]
struct Names {
    claims: BTreeMap<String, Claim>,
    gone: Vec<&'static str>,
    used: Vec<&'static str>,
}

impl Names {
    fn ask(&self, place: &str, name: Option<&str>) -> Settled {
        let claimant =
            Claimant { place: PathBuf::from(place), named: name.is_some(), how: "NAME=name".to_owned() };
        let wanted = name.map_or_else(|| place.rsplit('/').next().unwrap().to_owned(), str::to_owned);
        let artifacts = Path::new("/project/artifacts");
        let me = Claim {
            place: place.to_owned(),
            from_artifacts: text(&relative(artifacts, Path::new(place))),
            wanted,
        };
        let is_gone = |place: &str| self.gone.contains(&place);
        settle(&self.claims, &claimant, me, &is_gone, &|name| self.used.contains(&name)).unwrap()
    }

    /// The name that a run gets, and the notes in one.
    fn run(&mut self, place: &str, name: Option<&str>) -> (String, String) {
        let settled = self.ask(place, name);
        if settled.write {
            self.claims.insert(settled.name.clone(), settled.claim);
        }
        (settled.name, settled.notes.join("\n"))
    }
}

#[test]
fn two_folders_of_one_name_are_kept_apart_and_keep_their_names() {
    let mut names = Names::default();
    assert_eq!(names.run("/a/cats/images", None), ("images".to_owned(), String::new()));
    for _ in 0..2 {
        let (name, note) = names.run("/a/dogs/images", None);
        assert_eq!(name, "dogs-images");
        assert!(
            note.contains("`images`") && note.contains("/a/cats/images") && note.contains("NAME="),
            "{note}"
        );
        assert_eq!(names.run("/a/cats/images", None), ("images".to_owned(), String::new()));
    }
    assert_eq!(names.run("/b/dogs/images", None).0, "dogs-images-2");
    assert_eq!(names.run("/c/dogs/images", None).0, "dogs-images-3");
    // A shorter name that is free by now is no reason to change.
    names.claims.remove("images");
    assert_eq!(names.run("/a/dogs/images", None).0, "dogs-images");
    assert_eq!(names.run("/b/dogs/images", None).0, "dogs-images-2");
}

#[test]
fn who_only_looks_gets_the_same_name_and_claims_nothing() {
    let mut names = Names::default();
    names.run("/a/cats/images", None);
    let looked = names.ask("/a/dogs/images", None);
    assert!(looked.write && looked.name == "dogs-images");
    assert_eq!(names.ask("/b/dogs/images", None).name, "dogs-images");
    assert!(!names.ask("/a/cats/images", None).write);
}

#[test]
fn a_name_that_the_user_gives_counts_and_the_other_place_is_named() {
    let mut names = Names::default();
    names.run("/a/cats/images", None);
    assert_eq!(names.run("/a/dogs/images", Some("mine")), ("mine".to_owned(), String::new()));
    let (name, note) = names.run("/a/dogs/images", Some("images"));
    assert_eq!(name, "images");
    assert!(
        note.contains("/a/cats/images") && note.contains("replaced") && note.contains("coreg clean"),
        "{note}"
    );
    assert_eq!(names.run("/a/dogs/images", Some("images")).1, "");
    assert_eq!(names.run("/a/dogs/images", None).0, "images");
    let (name, note) = names.run("/a/cats/images", None);
    assert!(name == "cats-images" && note.contains("/a/dogs/images"), "{name}: {note}");
    // What was named otherwise once is no wish.
    assert_eq!(names.run("/x/birds", Some("mine")).0, "mine");
    assert_eq!(names.run("/x/birds", None), ("birds".to_owned(), String::new()));
}

#[test]
fn a_store_that_was_moved_with_its_images_keeps_their_names() {
    let mut names = Names::default();
    names.run("/project/images", None);
    for claim in names.claims.values_mut() {
        claim.place = "/before/images".to_owned();
    }
    // Those may be other images, as long as there are some where the name comes from.
    assert_eq!(names.ask("/project/images", None).name, "project-images");
    names.gone = vec!["/before/images"];
    let (name, note) = names.run("/project/images", None);
    assert!(name == "images" && note.contains("/before/images") && note.contains("moved"), "{name}: {note}");
    assert_eq!(names.run("/project/images", None), ("images".to_owned(), String::new()));
    assert_eq!(names.run("/elsewhere/images", None).0, "elsewhere-images");
}

#[test]
fn what_a_store_from_before_and_the_catalog_have_under_the_name_is_said() {
    let mut names = Names { used: vec!["images"], ..Names::default() };
    let (name, note) = names.run("/a/cats/images", None);
    assert!(name == "images" && note.contains("do not say of which images"), "{note}");
    assert_eq!(names.run("/a/cats/images", None).1, "");
    let (name, note) = names.run("/a/cats/images", Some("eurosat"));
    assert!(name == "eurosat" && note.contains("catalog"), "{note}");
    let (name, note) = names.run("/proj/eurosat", None);
    assert!(name == "proj-eurosat" && note.contains("catalog"), "{note}");
}

#[test]
fn a_description_that_is_renamed_has_its_new_name() {
    let mut names = Names::default();
    let claimant = Claimant { place: PathBuf::from("/a/set.toml"), named: false, how: "`name`".to_owned() };
    for wanted in ["one", "two", "one"] {
        let me = Claim { place: "/a/set.toml".into(), from_artifacts: "x".into(), wanted: wanted.into() };
        let settled = settle(&names.claims, &claimant, me, &|_| false, &|_| false).unwrap();
        assert_eq!((settled.name.as_str(), settled.notes.len()), (wanted, 0));
        names.claims.insert(settled.name, settled.claim);
    }
}

#[test]
fn claims_are_read_back_and_one_that_is_damaged_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(read(&folder.path().join("none")).unwrap().is_empty());
    let claim = Claim { place: "/a/été".into(), from_artifacts: "../été".into(), wanted: "t".into() };
    write(folder.path(), "t", &claim).unwrap();
    fs::write(folder.path().join("lock"), "").unwrap();
    assert_eq!(read(folder.path()).unwrap(), BTreeMap::from([("t".to_owned(), claim)]));
    fs::write(folder.path().join("t.json"), "{").unwrap();
    let error = read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("t.json") && error.contains("remove the file"), "{error}");
}
