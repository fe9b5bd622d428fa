//! The ids of the images, and how else they may be written: with other slashes, in a folder, without an ending.
//!
//! It knows nothing of files.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::dataset::names::canonical;

/// The images by their ids.
pub(super) struct KnownIds<'a> {
    ids: &'a [String],
    own: HashMap<&'a str, usize>,
    alike: Places,
}

/// Images by what they are called: the first two of each, as two are told apart by their own ids alone.
#[derive(Default)]
struct Places(HashMap<String, Vec<usize>>);

impl Places {
    fn add(&mut self, id: &str, image: usize) {
        let images = self.0.entry(id.to_owned()).or_default();
        if images.len() < 2 {
            images.push(image);
        }
    }

    fn of(&self, id: &str) -> &[usize] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }
}

impl<'a> KnownIds<'a> {
    /// Of these ids, in the order of the images.
    pub(super) fn new(ids: &'a [String]) -> Self {
        let mut all = Self { ids, own: HashMap::new(), alike: Places::default() };
        for (image, id) in ids.iter().enumerate() {
            all.own.insert(id, image);
            all.alike.add(&alike(id), image);
        }
        all
    }

    /// The image of this id, or the only one whose id differs from it in composition, blanks around it, or kind of slash.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.own.get(id).copied().or_else(|| match self.alike.of(&alike(id)) {
            [image] => Some(*image),
            _ => None,
        })
    }

    /// The images of ids that have a folder in front or no ending, if each is one image's alone; `taken` are those of
    /// other ids.
    ///
    /// # Errors
    /// An id that is no image's, or unclear: then why, if there is more to say than that.
    pub(super) fn find_loosely<'b>(
        &self,
        unknown: &BTreeSet<&'b str>,
        taken: &HashSet<usize>,
    ) -> Result<HashMap<&'b str, usize>, Option<String>> {
        let mut found: HashMap<&'b str, usize> = HashMap::new();
        if unknown.is_empty() {
            return Ok(found);
        }
        let (mut short, mut inner) = (Places::default(), Places::default());
        for (image, id) in self.ids.iter().enumerate() {
            let id = alike(id);
            if let Some(before) = without_ending(&id) {
                short.add(before, image);
                tails(&id).skip(1).for_each(|tail| inner.add(tail, image));
            }
        }
        let mut by_image: HashMap<usize, &str> = HashMap::new();
        for &id in unknown {
            let form = alike(id);
            let mut images: BTreeSet<usize> = inner.of(&form).iter().copied().collect();
            for tail in tails(&form) {
                images.extend(self.alike.of(tail));
                images.extend(short.of(tail));
                images.extend(without_ending(tail).map_or(&[][..], |before| self.alike.of(before)));
            }
            let own = |image: usize| &self.ids[image];
            let images: Vec<usize> = images.into_iter().collect();
            let image = match images[..] {
                [] => return Err(None),
                [image] => image,
                [one, other, ..] => {
                    return Err(Some(format!("`{id}` may be `{}` or `{}`", own(one), own(other))));
                }
            };
            if taken.contains(&image) {
                return Err(Some(format!(
                    "`{id}` may be `{}`, on which there are votes already",
                    own(image)
                )));
            }
            if let Some(other) = by_image.insert(image, id) {
                return Err(Some(format!("`{other}` and `{id}` may both be `{}`", own(image))));
            }
            found.insert(id, image);
        }
        Ok(found)
    }
}

/// An id in the form in which those are alike that differ in composition, blanks around them, or kind of slash.
fn alike(id: &str) -> String {
    let slashes = canonical(id).replace('\\', "/");
    slashes.strip_prefix("./").map(str::to_owned).unwrap_or(slashes)
}

/// An id without the ending that files have.
fn without_ending(id: &str) -> Option<&str> {
    let (before, ending) = id.rsplit_once('.')?;
    let plain = ending.len() <= 5
        && ending.bytes().all(|b| b.is_ascii_alphanumeric())
        && ending.bytes().any(|b| b.is_ascii_alphabetic());
    (plain && !before.is_empty() && !before.ends_with('/')).then_some(before)
}

/// An id, and what is left of it without its folders, one after the other.
fn tails(id: &str) -> impl Iterator<Item = &str> {
    let inner = id.match_indices('/').map(move |(at, _)| &id[at + 1..]);
    std::iter::once(id).chain(inner.filter(|tail| !tail.is_empty()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn loosely(ids: &[&str], unknown: &[&'static str]) -> Result<Vec<(&'static str, usize)>, Option<String>> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let known = KnownIds::new(&ids);
        let found = known.find_loosely(&unknown.iter().copied().collect(), &HashSet::new())?;
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort();
        Ok(found)
    }

    #[test]
    fn ids_with_a_folder_in_front_or_without_an_ending_are_one_images_alone() {
        let ids = ["0.png", "1.png", "a/2.png", "3"];
        assert_eq!(loosely(&ids, &["0", "1"]).unwrap(), [("0", 0), ("1", 1)]);
        assert_eq!(
            loosely(&ids, &["/data/0.png", "C:\\x\\1.png"]).unwrap(),
            [("/data/0.png", 0), ("C:\\x\\1.png", 1)]
        );
        assert_eq!(
            loosely(&ids, &["/data/a/2", "2.png"]),
            Err(Some("`/data/a/2` and `2.png` may both be `a/2.png`".to_owned()))
        );
        assert_eq!(loosely(&ids, &["2.png", "x/3.jpg"]).unwrap(), [("2.png", 2), ("x/3.jpg", 3)]);
        assert_eq!(loosely(&ids, &["0", "7"]), Err(None));
        assert_eq!(loosely(&ids, &["0.jpg"]), Err(None));
        assert_eq!(loosely(&ids, &["2"]), Err(None));
        let unclear = loosely(&["0.png", "0.jpg"], &["0"]).unwrap_err().unwrap();
        assert!(unclear.contains("`0.png` or `0.jpg`"), "{unclear}");
    }
}
