//! Which image each row of a table of votes is on.
//!
//! An id is an image's own, or what a spreadsheet or another system made of it.

use std::collections::{HashMap, HashSet};

use pipeline::error::{Error, Result};
use pipeline::stage::Context;

use super::{ImportVotes, VoteTable};
use crate::artifacts::images::{Index, Split};
use crate::dataset::first_few;
use crate::dataset::names::canonical;

/// An id in the form in which those are alike that differ in composition, blanks around them, or kind of slash.
fn alike(id: &str) -> String {
    let slashes = canonical(id).replace('\\', "/");
    slashes.strip_prefix("./").map(str::to_owned).unwrap_or(slashes)
}

impl ImportVotes {
    /// The image of every row. Checks that every row is on one, that no annotator has two rows on one, and that every
    /// training image has a row.
    pub(super) fn find_images(
        &self,
        table: &VoteTable,
        index: &Index,
        context: &Context,
    ) -> Result<Vec<Option<usize>>> {
        let own: HashMap<&str, usize> =
            index.ids.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
        // Two images whose ids are alike are told apart by their own alone.
        let mut others: HashMap<String, Option<usize>> = HashMap::new();
        for (at, id) in index.ids.iter().enumerate() {
            others.entry(alike(id)).and_modify(|image| *image = None).or_insert(Some(at));
        }
        let mut changed = Vec::new();
        let mut find = |id: &String| {
            own.get(id.as_str()).copied().or_else(|| {
                let image = others.get(&alike(id)).copied().flatten()?;
                changed.push(format!("{id} for {}", index.ids[image]));
                Some(image)
            })
        };
        let images: Vec<Option<usize>> = table.rows.iter().map(|row| find(&row.id)).collect();
        let (mut seen, mut voted_on) = (HashSet::new(), HashSet::<usize>::new());
        let (mut unknown, mut doubled) = (Vec::new(), Vec::new());
        for (row, image) in table.rows.iter().zip(&images) {
            match image {
                None => unknown.push(&row.id),
                Some(image) if !seen.insert((image, &row.annotator)) => {
                    doubled.push(format!("{} by {}", row.id, row.annotator));
                }
                Some(_) => {}
            }
            voted_on.extend(image);
        }
        if !doubled.is_empty() {
            let (count, few) = (doubled.len(), first_few(&doubled));
            return Err(Error::new(format!("{count} votes are there twice: {few}"))
                .help("an annotator has one row an image: give the second one another name"));
        }
        if !unknown.is_empty() && !self.surplus {
            let (count, of) = (unknown.len(), first_few(&index.ids));
            return Err(Error::new(format!("{count} votes are on ids that no image has: {}", first_few(unknown)))
                .help(format!("ids are those of download/images.parquet, such as {of}; votes.surplus=true passes over others")));
        }
        if !unknown.is_empty() {
            let count = unknown.len();
            let few = first_few(unknown);
            context
                .progress()
                .note(format!("{count} votes are on ids that no image has, and are passed over: {few}"));
        }
        if !changed.is_empty() {
            context.progress().note(format!(
                "{} ids are written otherwise than the images' and are taken for theirs: {}",
                changed.len(),
                first_few(changed)
            ));
        }
        let without = |split: Split| -> Vec<&String> {
            let rows = index.of(split).into_iter().filter(|row| !voted_on.contains(row));
            rows.map(|row| &index.ids[row]).collect()
        };
        let (train, test) = (without(Split::Train), without(Split::Test));
        if !train.is_empty() && !self.incomplete {
            let error =
                Error::new(format!("{} training images have no row: {}", train.len(), first_few(&train)));
            return Err(error.help(
                "write a row for each, with a null class where there is no answer; votes.incomplete=true goes on without",
            ));
        }
        for (ids, what) in [(train, "training"), (test, "test")] {
            if !ids.is_empty() {
                let (count, few) = (ids.len(), first_few(&ids));
                context.progress().note(format!("{count} {what} images have no vote: {few}"));
            }
        }
        Ok(images)
    }
}
