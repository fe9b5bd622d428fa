//! Which image each row of a table of votes is on.
//!
//! An id is an image's own, or what a spreadsheet or another system made of it: `known_ids` says which.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use pipeline::error::{Error, Result};
use pipeline::stage::Context;

use super::counted::counted;
use super::known_ids::KnownIds;
use super::rows::VoteRow;
use super::{ImportVotes, VoteAnswer, VoteTable};
use crate::artifacts::images::{Index, Split};
use crate::dataset::first_few;

impl ImportVotes {
    /// The image of every row that counts; rows that say again what one before says do not. Checks that every row is on
    /// an image, that no annotator says two things of one, and that every training image has a row.
    pub(super) fn find_images(
        &self,
        table: &VoteTable,
        index: &Index,
        context: &Context,
    ) -> Result<Vec<Option<usize>>> {
        let known = KnownIds::new(&index.ids);
        let mut images: Vec<Option<usize>> = table.rows.iter().map(|row| known.find(&row.id)).collect();
        let taken: HashSet<usize> = images.iter().flatten().copied().collect();
        let rows = || table.rows.iter().zip(&images);
        let unknown: BTreeSet<&str> =
            rows().filter(|(_, image)| image.is_none()).map(|(row, _)| row.id.as_str()).collect();
        let mut unclear = None;
        match known.find_loosely(&unknown, &taken) {
            Ok(found) => {
                for (row, image) in table.rows.iter().zip(&mut images) {
                    *image = image.or_else(|| found.get(row.id.as_str()).copied());
                }
            }
            Err(why) => unclear = why,
        }
        self.note_changed(table, &images, index, context);

        let (mut first, mut voted_on) = (HashMap::<(usize, &str), usize>::new(), HashSet::new());
        let (mut unknown, mut doubled, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        let mut differs = None;
        for (at, row) in table.rows.iter().enumerate() {
            let Some(image) = images[at] else {
                unknown.push(&row.id);
                continue;
            };
            voted_on.insert(image);
            match first.entry((image, row.annotator.as_str())) {
                Entry::Vacant(place) => {
                    place.insert(at);
                }
                Entry::Occupied(place) => {
                    let before = &table.rows[*place.get()];
                    let which = format!("{} by {}", row.id, row.annotator);
                    if says(before) == says(row) {
                        repeated.push(which);
                        images[at] = None;
                    } else {
                        differs.get_or_insert_with(|| {
                            let unit = table.unit;
                            let (one, other) = (says(before), says(row));
                            format!("{unit} {} has {one}, and {unit} {} {other}", before.at, row.at)
                        });
                        doubled.push(which);
                    }
                }
            }
        }
        if let Some(differs) = differs {
            let votes = counted(doubled.len(), "vote is", "votes are");
            return Err(Error::new(format!("{votes} there twice: {}", first_few(&doubled)))
                .because(differs)
                .help("an annotator has one row an image: remove one, or give the second one another name"));
        }
        if !repeated.is_empty() {
            context.progress().note(format!(
                "{} once more what a row before says; such rows count once: {}; rows of different annotators count each",
                counted(repeated.len(), "row says", "rows say"),
                first_few(&repeated)
            ));
        }
        self.pass_over(&unknown, table.rows.len(), unclear, index, context)?;

        let without = |split: Split| -> Vec<&String> {
            let rows = index.of(split).into_iter().filter(|row| !voted_on.contains(row));
            rows.map(|row| &index.ids[row]).collect()
        };
        let (train, test) = (without(Split::Train), without(Split::Test));
        if !train.is_empty() && !self.incomplete {
            let images = counted(train.len(), "training image has", "training images have");
            return Err(Error::new(format!("{images} no row: {}", first_few(&train))).help(
                "write a row for each, with a null class where there is no answer; votes.incomplete=true goes on without",
            ));
        }
        for (ids, what) in [(train, "training"), (test, "test")] {
            if !ids.is_empty() {
                let has = if ids.len() == 1 { "image has" } else { "images have" };
                let (count, few) = (ids.len(), first_few(&ids));
                context.progress().note(format!("{count} {what} {has} no vote: {few}"));
            }
        }
        Ok(images)
    }

    /// Says which ids are taken for those of images that are called otherwise.
    fn note_changed(&self, table: &VoteTable, images: &[Option<usize>], index: &Index, context: &Context) {
        let found =
            table.rows.iter().zip(images).filter_map(|(row, image)| Some((&row.id, &index.ids[(*image)?])));
        let changed: Vec<(&String, &String)> = found.filter(|(written, own)| written != own).collect();
        if changed.is_empty() {
            return;
        }
        let votes = counted(changed.len(), "vote is on an id", "votes are on ids");
        let pairs: BTreeSet<String> =
            changed.iter().map(|(written, own)| format!("{written} for {own}")).collect();
        context.progress().note(format!(
            "{votes} written otherwise than the images', and taken for theirs: {}; where that is wrong, write the ids as download/images.parquet has them",
            first_few(pairs)
        ));
    }

    /// Passes over votes on ids that no image has, if that is wished and others are left.
    fn pass_over(
        &self,
        unknown: &[&String],
        rows: usize,
        unclear: Option<String>,
        index: &Index,
        context: &Context,
    ) -> Result<()> {
        let Some(example) = unknown.first() else { return Ok(()) };
        let own = index.ids.first().map_or("nothing", String::as_str);
        let because = |error: Error| match unclear {
            Some(why) => error.because(why),
            None => error,
        };
        if unknown.len() == rows {
            let all = if rows == 1 {
                "the only vote is on an id".to_owned()
            } else {
                format!("all {rows} votes are on ids")
            };
            return Err(because(Error::new(format!(
                "{all} that no image has (`{example}`; images are called `{own}`)"
            )))
            .help("write the ids of download/images.parquet"));
        }
        let votes = counted(unknown.len(), "vote is on an id", "votes are on ids");
        let few = first_few(unknown);
        if !self.surplus {
            return Err(because(Error::new(format!("{votes} that no image has: {few}"))).help(format!(
                "ids are those of download/images.parquet, such as {}; votes.surplus=true passes over others",
                first_few(&index.ids)
            )));
        }
        let are = if unknown.len() == 1 { "is" } else { "are" };
        context.progress().note(format!(
            "{votes} that no image has, and {are} passed over: {few}; images are called `{own}`; where `download` takes all images, votes.surplus=false refuses that"
        ));
        Ok(())
    }
}

/// What a row says, apart from who says it of which image.
fn says(row: &VoteRow) -> String {
    let answer = match &row.answer {
        None => "no answer".to_owned(),
        Some(VoteAnswer::Number(number) | VoteAnswer::Numeral(number)) => format!("`{number}`"),
        Some(VoteAnswer::Text(text)) => format!("`{}`", text.trim()),
    };
    if row.confidence == 1.0 { answer } else { format!("{answer} with confidence {}", row.confidence) }
}
