//! What runs read whose content no setting tells: images, tables of votes, a CLIP in a folder, prompts and words for
//! classes. Two runs may differ in it though all their settings are the same. What a run read, the record of the stage
//! that read it says.

use std::path::{Component, Path, PathBuf};

use pipeline::fingerprint::Manifest;
use pipeline::stage::Stage;

use crate::dataset::download::Download;
use crate::report::compare::RunFacts;

/// The place of the images and the texts of the classes, which the command line has as arguments: no settings name them.
const IMAGES: &str = "images";
const CLASS_TEXTS: &str = "class texts";

/// Something that a run read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// The setting that names it, or [`IMAGES`] or [`CLASS_TEXTS`].
    setting: &'static str,
    /// What it is called where no setting says so.
    name: String,
    /// What identifies its content.
    content: String,
}

/// What a stage read.
pub(super) fn of_stage(manifest: &Manifest) -> Vec<Read> {
    let files = || manifest.files.iter().map(|file| file.digest.to_string()).collect::<Vec<_>>().join(" ");
    let read = |setting, content| Read { setting, name: String::new(), content };
    let setting = |setting, key: &str| {
        let content = &manifest.settings[key];
        (!content.is_null()).then(|| read(setting, content.to_string()))
    };
    let texts = || {
        let count = manifest.settings["class_texts"].as_array().map_or(0, Vec::len);
        let texts = setting(CLASS_TEXTS, "class_texts")?;
        Some(Read { name: format!("of {count} classes"), ..texts })
    };
    // Stages go by the names that their records have.
    match manifest.stage.as_str() {
        stage if stage == Download::NAME => {
            let source = &manifest.settings["source"];
            vec![Read { setting: IMAGES, name: place(manifest), content: format!("{source} {}", files()) }]
        }
        "import-votes" => {
            let file = read("votes.file", files());
            let aliases = setting("votes.aliases", "aliases");
            [Some(file), aliases, texts()].into_iter().flatten().collect()
        }
        "annotate" => {
            let prompts = setting("annotate.prompts", "templates");
            [prompts, texts()].into_iter().flatten().collect()
        }
        "coop" => texts().into_iter().collect(),
        "human-labels" if !manifest.files.is_empty() => vec![read("label.truth", files())],
        "clip" if !manifest.files.is_empty() => vec![read("clip.model", files())],
        _ => Vec::new(),
    }
}

/// Where images came from: the folder that all files are in, or the only file; a hub's repository; or who drew them.
fn place(manifest: &Manifest) -> String {
    let source = &manifest.settings["source"];
    let text = |key: &str| source[key].as_str().unwrap_or_default();
    let names: Vec<&Path> = manifest.files.iter().map(|file| Path::new(&file.name)).collect();
    match (names.as_slice(), text("kind")) {
        ([first, others @ ..], _) => match in_common(first, others) {
            common if common.as_os_str().is_empty() => ".".to_owned(),
            common => common.display().to_string(),
        },
        ([], "hub") => text("repo").to_owned(),
        ([], "drawn") => "drawn by coreg".to_owned(),
        ([], kind) => kind.to_owned(),
    }
}

/// The longest path that all begin with.
fn in_common(first: &Path, others: &[&Path]) -> PathBuf {
    let same = |(at, part): &(usize, Component)| {
        others.iter().all(|other| other.components().nth(*at) == Some(*part))
    };
    first.components().enumerate().take_while(same).map(|(_, part)| part).collect()
}

/// Says in the runs' settings where what they read is not the same although it is called so, and of arguments what they
/// were, where they differ. `reads` has what each run read, as far as its records are kept.
pub(super) fn tell(runs: &mut [RunFacts], reads: &[Vec<Read>]) {
    let mut settings: Vec<&'static str> = Vec::new();
    for read in reads.iter().flatten() {
        if !settings.contains(&read.setting) {
            settings.push(read.setting);
        }
    }
    for setting in settings {
        let read: Vec<Option<&Read>> =
            reads.iter().map(|reads| reads.iter().find(|read| read.setting == setting)).collect();
        let named = |run: &RunFacts, read: &Read| {
            let set = run.settings.iter().find(|(name, _)| name == setting);
            set.map_or_else(|| read.name.clone(), |(_, value)| value.clone())
        };
        let called: Vec<Option<(String, &str)>> = (runs.iter().zip(&read))
            .map(|(run, read)| read.map(|read| (named(run, read), read.content.as_str())))
            .collect();
        let argument = [IMAGES, CLASS_TEXTS].contains(&setting);
        let mut contents = called.iter().flatten().map(|(_, content)| *content);
        let first = contents.next();
        if argument && contents.all(|content| Some(content) == first) {
            continue;
        }
        for (run, told) in runs.iter_mut().zip(told(&called, argument)) {
            let Some(told) = told else { continue };
            match run.settings.iter_mut().find(|(name, _)| name == setting) {
                Some((_, value)) => *value = told,
                None => run.settings.push((setting.to_owned(), told)),
            }
        }
    }
}

/// How each of these is told, given what it is called and what identifies its content: by its name and, where another
/// content has that name, that it is another. The same content under another name is told by its first name if it is an
/// `argument`: a moved folder is no difference. Of a setting, whose names differ anyway, it is said.
fn told(called: &[Option<(String, &str)>], argument: bool) -> Vec<Option<String>> {
    // What was told before, with the name and the content that it stands for.
    let mut before: Vec<(&str, &str, String)> = Vec::new();
    let mut all = Vec::new();
    for called in called {
        let Some((name, content)) = called else {
            all.push(None);
            continue;
        };
        let same = before.iter().find(|of| of.0 == name && of.1 == *content);
        let moved = before.iter().find(|of| of.1 == *content);
        let others = before.iter().filter(|of| of.0 == name).count();
        let with = |words: &str| match name.is_empty() {
            true => words.to_owned(),
            false => format!("{name}, {words}"),
        };
        let told = match (same, moved) {
            (Some((.., told)), _) => told.clone(),
            (None, Some((.., told))) if argument => told.clone(),
            (None, Some(_)) if others == 0 => with("the same contents"),
            _ if others == 0 => name.clone(),
            _ if others == 1 => with("other contents"),
            _ => with(&format!("other contents ({})", others + 1)),
        };
        if same.is_none() {
            before.push((name.as_str(), *content, told.clone()));
        }
        all.push(Some(told));
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use pipeline::fingerprint::Named;
    use serde_json::{Value, json};

    use super::*;

    fn manifest(stage: &str, settings: Value, files: &[(&str, char)]) -> Manifest {
        let named = |&(name, digit): &(&str, char)| Named {
            name: name.to_owned(),
            digest: digit.to_string().repeat(64).parse().unwrap(),
        };
        Manifest::new(stage, 1, &settings, Vec::new(), files.iter().map(named).collect()).unwrap()
    }

    /// Two runs with these settings, after it was told what they read.
    fn settings(of: [(&[(&str, &str)], Manifest); 2]) -> [Vec<(String, String)>; 2] {
        let run = |settings: &[(&str, &str)]| RunFacts {
            settings: settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..RunFacts::default()
        };
        let mut runs = of.each_ref().map(|(settings, _)| run(settings));
        tell(&mut runs, &of.map(|(_, manifest)| of_stage(&manifest)));
        runs.map(|run| run.settings)
    }

    #[test]
    fn a_table_of_votes_that_was_edited_is_told_apart_from_what_it_was() {
        let votes = |digit| manifest("import-votes", json!({}), &[("vv.csv", digit)]);
        let set: &[(&str, &str)] = &[("votes.file", "vv.csv")];
        let told = settings([(set, votes('a')), (set, votes('b'))]);
        assert_eq!(told.map(|all| all[0].1.clone()), ["vv.csv", "vv.csv, other contents"]);
        let told = settings([(set, votes('a')), (set, votes('a'))]);
        assert_eq!(told[0], told[1]);
    }

    #[test]
    fn the_folder_of_the_images_is_told_where_others_were_read() {
        let images = |folder: &str, digit| {
            let files = [(format!("{folder}/cat"), digit), (format!("{folder}/dog"), 'c')];
            let files: Vec<(&str, char)> =
                files.iter().map(|(name, digit)| (name.as_str(), *digit)).collect();
            manifest("download", json!({"source": {"kind": "own", "folder": {}}}), &files)
        };
        let none: &[(&str, &str)] = &[];
        let told = |a, b| {
            settings([(none, a), (none, b)])
                .map(|all| all.into_iter().map(|(_, value)| value).collect::<Vec<_>>())
        };
        assert_eq!(told(images("a/two", 'a'), images("b/two", 'b')), [["a/two"], ["b/two"]]);
        assert_eq!(told(images("two", 'a'), images("two", 'b')), [["two"], ["two, other contents"]]);
        // A folder that was moved holds the same images.
        assert_eq!(told(images("two", 'a'), images("moved", 'a')), [Vec::<String>::new(), Vec::new()]);
        let hub = |revision| {
            manifest(
                "download",
                json!({"source": {"kind": "hub", "repo": "some/set", "revision": revision}}),
                &[],
            )
        };
        assert_eq!(told(hub(1), hub(2)), [["some/set"], ["some/set, other contents"]]);
    }

    #[test]
    fn prompts_and_class_texts_are_told_apart_by_what_they_are() {
        let annotate = |templates: &[&str], texts: &[&str]| {
            manifest("annotate", json!({"templates": templates, "class_texts": texts}), &[])
        };
        let set: &[(&str, &str)] = &[("annotate.prompts", "my.txt")];
        let told = settings([(set, annotate(&["a {}"], &["x", "y"])), (set, annotate(&["{}"], &["x", "z"]))]);
        let expected =
            [("annotate.prompts", "my.txt, other contents"), ("class texts", "of 2 classes, other contents")];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(told[1], expected);
    }

    #[test]
    fn contents_are_told_by_their_names_and_by_numbers_where_more_than_two_share_one() {
        let called = [("v", "1"), ("v", "2"), ("v", "3"), ("v", "2"), ("w", "1")];
        let called = called.map(|(name, content)| Some((name.to_owned(), content)));
        let told = told(&called, false).into_iter().map(Option::unwrap).collect::<Vec<_>>();
        let expected =
            ["v", "v, other contents", "v, other contents (3)", "v, other contents", "w, the same contents"];
        assert_eq!(told, expected);
    }
}
