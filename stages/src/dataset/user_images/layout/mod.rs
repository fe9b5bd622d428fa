//! What the folders around images mean: which of them train and which test, and which name classes.
//!
//! It reads paths alone, in steps: the tree of folders (`branch`), without masks and annotations beside the images
//! (`companions`), folders around everything (`wrappers`), the parts that train and test, as settings name them (`named`,
//! `named_around`) or going by their names (`level`, `arrangement`, with `crossed` where classes are around parts and
//! `in_names` where one name says both), where the labels are (`labels` and `outside`, which compare folders with the list
//! of classes through `fit`, refuse through `unclear` and say through `unlabelled` that there are none), and which names
//! are one class (`classes`, `copies`). Each step takes what is clear, says what it assumed together with the setting that
//! overrides it, and refuses the rest with both readings. It knows nothing of files or images.

mod arrangement;
mod branch;
mod classes;
mod companions;
mod copies;
mod crossed;
mod fit;
mod in_names;
mod labels;
mod level;
mod named;
mod named_around;
mod outside;
mod unclear;
mod unlabelled;
mod wrappers;

use std::collections::BTreeSet;

use pipeline::error::{Error, Result};

use super::first_few;
use crate::dataset::names::NameIndex;
use crate::dataset::split::{Split, SplitRule};
use branch::Branch;

pub(super) use branch::is_of_a_system;

/// Which folder around an image is its label. A table of labels is none of the readings of folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LabelsFrom {
    /// The one that is clear from the folders and from the list of classes.
    #[default]
    Auto,
    /// The outermost one, as torchvision has it.
    TopFolder,
    /// The innermost one, as `datasets` has it.
    ParentFolder,
    /// No folder is a label.
    None,
}

/// What is to be laid out.
pub(super) struct Question<'a> {
    /// Paths of the images from the root, with `/` between the parts.
    pub images: &'a [&'a str],
    /// All folders, empty ones too.
    pub folders: &'a [String],
    /// The names in the list of classes, if there is one.
    pub classes: Option<&'a [String]>,
    pub labels: LabelsFrom,
    /// The folders that train, as the user names them: names or paths, separated by commas. Empty: to be found.
    pub train: &'a str,
    /// The folders that test, likewise.
    pub test: &'a str,
}

/// What the folders mean.
#[derive(Debug, PartialEq)]
pub(super) struct Layout {
    /// Those that train first, by folder.
    pub parts: Vec<Part>,
    /// The classes that the folders name, sorted, where no list names them.
    pub classes: Option<Vec<String>>,
    pub rule: SplitRule,
    /// What was assumed and left out, and what overrides it.
    pub notes: Vec<String>,
    /// The folders around everything, with a slash at the end: `photos/`. All parts lie in it.
    pub wrapping: String,
}

/// Images of one split and one class.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    /// From the root; empty for the root itself.
    pub folder: String,
    /// None where it is drawn.
    pub split: Option<Split>,
    /// Index in the list of classes, or in those that were found.
    pub class: Option<usize>,
    /// Paths from the folder, sorted.
    pub files: Vec<String>,
}

/// The list of classes, if there is one.
struct List<'a> {
    names: Option<&'a [String]>,
    index: NameIndex,
}

impl<'a> List<'a> {
    fn of(names: Option<&'a [String]>) -> Self {
        Self { names, index: NameIndex::new(names.unwrap_or_default()) }
    }

    /// The class of this name.
    fn find(&self, name: &str) -> Option<usize> {
        self.index.find(name).one()
    }

    /// Whether there are names, and each is a class.
    fn has_all<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> bool {
        let mut names = names.into_iter().peekable();
        names.peek().is_some() && names.all(|name| self.find(name).is_some())
    }

    fn has_any<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> bool {
        names.into_iter().any(|name| self.find(name).is_some())
    }
}

/// Finds out what the folders mean.
///
/// # Errors
/// What is not clear; what contradicts the list of classes or the settings.
pub(super) fn lay_out(question: &Question) -> Result<Layout> {
    let list = List::of(question.classes);
    let mut notes = Vec::new();
    let keep = |name: &str| list.find(name).is_some();
    let (root, passed_over) = Branch::grow(question.images, question.folders, &keep);
    if !passed_over.is_empty() {
        let held: usize = passed_over.values().sum();
        notes.push(format!(
            "passed over, as systems and programs make such folders: {}{}{}; rename those that are yours",
            first_few(passed_over.keys()),
            if held == 0 { String::new() } else { format!(" with {}", images(held)) },
            without_images(&root, passed_over.keys())
        ));
    }
    if root.count() == 0 {
        return Err(Error::new("every image is in a folder that systems or programs make")
            .because(first_few(passed_over.keys()))
            .help("rename the folder if its images are yours"));
    }
    let root = companions::set_aside(root, question, &list, &mut notes)?;
    companions::say_files(&root.files(), &mut notes);
    let level = wrappers::outer(&root, &list, question.labels);
    let arrangement = match named::arrange(question, &root, level, &list, &mut notes)? {
        Some(arrangement) => arrangement,
        None => arrangement::by_names(level, &list, question.labels, &mut notes)?,
    };
    let rule = arrangement.rule;
    let read = labels::read(arrangement, &list, question.labels, &mut notes)?;
    let (parts, classes) = classes::number(read, &list, rule, &mut notes)?;
    let within = |part: &Part| part.folder == level.path || below(&part.folder, &level.path);
    let wraps = !level.path.is_empty() && parts.iter().all(within);
    let wrapping = if wraps { format!("{}/", level.path) } else { String::new() };
    let notes = notes.iter().map(|note| visible(note)).collect();
    Ok(Layout { parts, classes, rule, notes, wrapping })
}

/// In words, the folders that hold nothing but those of systems.
fn without_images<'n>(root: &Branch, passed_over: impl Iterator<Item = &'n String>) -> String {
    let around = passed_over.filter_map(|path| Some(path.rsplit_once('/')?.0));
    let emptied: BTreeSet<&str> = around.filter(|around| root.find(around).is_none()).collect();
    match emptied.len() {
        0 => String::new(),
        1 => format!(", and {} holds no image besides", first_few(emptied)),
        _ => format!(", and {} hold no image besides", first_few(emptied)),
    }
}

/// Whether nobody sees a character. Those that join letters are part of how some languages are written.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
    )
}

/// A text in which characters that nobody sees are written as their numbers.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a path lies in a folder.
fn below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// `1 image`, `2 images`.
fn images(count: usize) -> String {
    format!("{count} image{}", if count == 1 { "" } else { "s" })
}

/// The first few names, and a verb that fits their number.
fn they<S: AsRef<str>>(names: &[S], one: &str, several: &str) -> String {
    format!("{} {}", first_few(names), if names.len() == 1 { one } else { several })
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod neighbours_tests;
#[cfg(test)]
mod tests;
