//! Pieces of an output that an earlier result has are not made again.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pipeline::artifact::Artifact;
use pipeline::error::{Error, OrFail, Result};
use pipeline::graph::Graph;
use pipeline::pieces::Pieced;
use pipeline::stage::{Context, Stage};
use serde::{Deserialize, Serialize};

use crate::project::{Project, Text};

/// Words, each with what was made of it.
struct Shouted {
    words: Vec<String>,
    made: Vec<u8>,
}

impl Artifact for Shouted {
    fn save(&self, folder: &Path) -> Result<()> {
        let cannot = || Error::new("cannot write").at(folder);
        fs::write(folder.join("words"), self.words.join(" ")).or_fail(cannot)?;
        fs::write(folder.join("made"), &self.made).or_fail(cannot)
    }

    fn load(folder: &Path) -> Result<Self> {
        let cannot = || Error::new("cannot read").at(folder);
        let words = fs::read_to_string(folder.join("words")).or_fail(cannot)?;
        let words = words.split(' ').map(str::to_owned).collect();
        Ok(Self { words, made: fs::read(folder.join("made")).or_fail(cannot)? })
    }
}

impl Pieced for Shouted {
    fn pieces(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
        self.words.iter().map(String::as_str).zip(self.made.chunks(2).map(<[u8]>::to_vec))
    }
}

/// Makes of each word of its first input its first letter and the first one of its second input.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Shout {
    volume: u8,
    #[serde(skip)]
    made: Arc<AtomicUsize>,
    #[serde(skip)]
    breaks_at: Option<&'static str>,
}

impl Stage for Shout {
    type Inputs = (Text, Text);
    type Output = Shouted;
    const NAME: &'static str = "shout";
    const VERSION: u32 = 1;

    fn run(&self, (text, mark): (Arc<Text>, Arc<Text>), context: &Context) -> Result<Shouted> {
        let words: Vec<String> = text.0.split(' ').map(str::to_owned).collect();
        let mut pieces = context.pieces::<Shouted>(&words, &[1]);
        let missing = pieces.missing(&words);
        pieces.fill(|pieces| {
            missing.iter().map(|&at| words[at].as_str()).try_for_each(|word| {
                if self.breaks_at == Some(word) {
                    return Err(Error::new(format!("stuck at {word}")));
                }
                self.made.fetch_add(1, Ordering::Relaxed);
                pieces.put(word, &[word.as_bytes()[0], mark.0.as_bytes()[0]])
            })
        })?;
        let made = words.iter().filter_map(|word| pieces.get(word)).flatten().copied().collect();
        Ok(Shouted { words: words.clone(), made })
    }
}

/// How many pieces were made, how many the record says were taken over, and the output.
fn shout(project: &Project, words: &str, mark: &str, stage: Shout) -> (usize, Result<(u64, String)>) {
    let mut graph = Graph::new("demo").unwrap();
    let text = project.source(&mut graph, project.tiny("text", words));
    let mark = project.source(&mut graph, project.tiny("mark", mark));
    let made = Arc::default();
    graph.add("shout", Shout { made: Arc::clone(&made), ..stage }, (text, mark)).unwrap();
    let outcome = project.run(&graph).into_result().map(|report| {
        let record = report.node("shout").unwrap().result.as_ref().unwrap();
        let output = project.store().load::<Shouted>(record).unwrap();
        (record.made.taken_over, String::from_utf8(output.made).unwrap())
    });
    (made.load(Ordering::Relaxed), outcome)
}

fn shouted(project: &Project, words: &str, mark: &str, volume: u8) -> (usize, u64, String) {
    let (made, outcome) = shout(project, words, mark, Shout { volume, ..Shout::default() });
    let (taken_over, output) = outcome.unwrap();
    (made, taken_over, output)
}

#[test]
fn pieces_that_still_hold_are_taken_over_from_earlier_results_and_the_bytes_are_the_same() {
    let project = Project::new();
    assert_eq!(shouted(&project, "a b", "!", 1), (2, 0, "a!b!".to_owned()));
    assert_eq!(shouted(&project, "b c b", "!", 1), (1, 2, "b!c!b!".to_owned()));
    assert_eq!(shouted(&project, "c a", "!", 1), (0, 2, "c!a!".to_owned()));
    // Made from another input that the pieces depend on, or of another key.
    assert_eq!(shouted(&project, "a b c", "?", 1), (3, 0, "a?b?c?".to_owned()));
    assert_eq!(shouted(&project, "a b c", "!", 2), (3, 0, "a!b!c!".to_owned()));
    let alone = Project::new();
    assert_eq!(shouted(&alone, "b c b", "!", 1).2, "b!c!b!");
}

#[test]
fn pieces_of_a_damaged_result_are_made_again() {
    let project = Project::new();
    shouted(&project, "a b", "!", 1);
    let file = project.view().join("demo/shout/made");
    fs::remove_file(fs::canonicalize(&file).unwrap()).unwrap();
    fs::write(fs::canonicalize(project.view().join("demo/shout")).unwrap().join("made"), "xxxx").unwrap();
    assert_eq!(shouted(&project, "a c", "!", 1), (2, 0, "a!c!".to_owned()));
}

#[test]
fn pieces_from_before_an_interruption_are_taken_over() {
    let project = Project::new();
    let broken = Shout { breaks_at: Some("c"), ..Shout::default() };
    let (made, outcome) = shout(&project, "a b c d", "!", broken);
    assert!(outcome.err().unwrap().to_string().contains("stuck at c"));
    assert_eq!(made, 2);
    assert_eq!(shouted(&project, "a b c d", "!", 0), (2, 2, "a!b!c!d!".to_owned()));
    assert_eq!(fs::read_dir(project.root().join("checkpoints")).unwrap().count(), 0);
}
