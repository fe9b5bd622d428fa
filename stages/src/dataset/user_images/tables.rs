//! Tables of images, Parquet or Arrow: which columns hold the images and the labels, and what the classes are.
//!
//! Each table is looked at for itself: one may have labels or name its classes where another has or does not. The rows
//! themselves are read by [`TableRows`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::Array;
use pipeline::error::{Error, Result};
use pipeline::stage::Reads;
use serde::{Deserialize, Serialize};

use super::columns::{Columns, choose, may_hold_images, name_of, no_labels, split_column, split_columns};
use super::form::Form;
use super::found_classes::classes_of;
use super::reading::{LabelsFrom, Reading};
use super::split_names::{AssignedFiles, assign_files};
use super::{Described, UserImages, belong_to, classes};
use crate::dataset::catalog::Classes;
use crate::dataset::first_few;
use crate::dataset::labels::{
    LabelColumn, LabelOrder, Written, class_names, is_gap, listed, values, written,
};
use crate::dataset::names::{Found, NameIndex, normalised};
use crate::dataset::split::{Split, SplitRule, prefixes};
use crate::dataset::table_file::{TableFile, decode};
use crate::dataset::table_rows::{EncodedBatch, ImageTable, SplitColumn, TableRows};

/// Tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tables {
    files: Vec<UserTable>,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct UserTable {
    /// How the ids of its rows begin.
    prefix: String,
    split: Option<Split>,
    image: String,
    label: Option<LabelColumn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    split_column: Option<SplitColumn>,
    path: PathBuf,
    /// Files of images that the table names by their paths.
    beside: Vec<PathBuf>,
}

/// What to do about a label that is no class.
const HELP: &str = "list every class in CLASSES=classes.txt, as the labels call it or in the order of their numbers; \
                    numbers that begin elsewhere than at 0: SET=download.first_label=1";

/// A table and what it says of its labels.
struct Candidate {
    file: TableFile,
    prefix: String,
    split: Option<Split>,
    columns: Columns,
    /// The classes that the table itself names.
    names: Option<Vec<String>>,
    labels: LabelSummary,
}

/// The labels of a table, without their order.
#[derive(Default)]
struct LabelSummary {
    names: BTreeSet<String>,
    numbers: Option<(i64, i64)>,
    /// How many are −1, which stands for unknown.
    minus_one: usize,
}

impl Tables {
    /// `files` are tables, from `root`; of a list of classes there may be another reading, as it is written.
    pub(super) fn describe(
        root: &Path,
        files: &[String],
        (mut list, written): (Option<Classes>, Option<Classes>),
        reading: &Reading,
    ) -> Result<Described> {
        let mut notes = Vec::new();
        let (rule, tables) = candidates(root, files, list.as_ref(), reading, &mut notes)?;
        if let (Some(read), Some(written)) = (&list, written) {
            let labels: Vec<&str> =
                tables.iter().flat_map(|table| &table.labels.names).map(String::as_str).collect();
            if belong_to(&labels, &written, read) {
                notes.push(
                    "the lines of CLASSES are taken as they are written, as labels are called so".to_owned(),
                );
                list = Some(written);
            }
        }
        let (rule, split_columns) = by_columns(rule, &tables, reading, &mut notes)?;
        let (classes, first) = classes_and_first(root, &tables, list, reading, &mut notes)?;
        let (mut all, mut orders) = (Vec::new(), Vec::new());
        for (Candidate { file, prefix, split, columns, .. }, split_column) in tables.iter().zip(split_columns)
        {
            let beside = if columns.files_beside { files_beside(file, &columns.image)? } else { Vec::new() };
            if !beside.is_empty() {
                notes.push(format!(
                    "{} images of {} are files of their own, which it names",
                    beside.len(),
                    name_of(file)
                ));
            }
            let label = columns.label.clone().map(|name| LabelColumn { name, first });
            // What contradicts the classes is said before anything runs.
            let opened =
                ImageTable::open(file.path(), &columns.image, label.as_ref(), &classes, (HELP, false))?;
            orders.push((name_of(file), opened.label_order().clone()));
            all.push(UserTable {
                prefix: prefix.clone(),
                split: *split,
                image: columns.image.clone(),
                label,
                split_column,
                path: file.path().to_owned(),
                beside,
            });
        }
        say_renamed(&orders, &classes, &mut notes).map_err(|error| error.at(root))?;
        let form = Form::of_encoded(sample(&tables)?.iter().map(Vec::as_slice));
        Ok(Described { source: UserImages::Tables(Self { files: all }), classes, form, split: rule, notes })
    }

    pub(super) fn files(&self) -> Vec<Reads> {
        let files = self.files.iter().flat_map(|table| std::iter::once(&table.path).chain(&table.beside));
        files.cloned().map(Reads::All).collect()
    }

    pub(super) fn open(&self, classes: &Classes) -> Result<TableRows> {
        let open = |table: &UserTable| {
            let opened =
                ImageTable::open(&table.path, &table.image, table.label.as_ref(), classes, (HELP, false))?;
            Ok(opened.called(&table.prefix, 0, table.split).divided_by(table.split_column.clone()))
        };
        self.files.iter().map(open).collect::<Result<_>>().map(TableRows)
    }
}

/// The tables that hold images, with the split of each.
fn candidates(
    root: &Path,
    files: &[String],
    list: Option<&Classes>,
    reading: &Reading,
    notes: &mut Vec<String>,
) -> Result<(SplitRule, Vec<Candidate>)> {
    let (mut opened, mut without) = (Vec::new(), Vec::new());
    for file in files {
        let table = TableFile::open(&root.join(file))?;
        match may_hold_images(&table) || files.len() == 1 {
            true => opened.push((file.as_str(), table)),
            false => without.push(file),
        }
    }
    if !without.is_empty() && !opened.is_empty() {
        notes.push(format!("{} left out: no column holds images", first_few(without)));
    }
    let paths: Vec<&str> = opened.iter().map(|(file, _)| *file).collect();
    if paths.is_empty() {
        return Err(Error::new("no table has a column of images: a struct of bytes and path, or binary")
            .at(root)
            .help("name tables of images, or a folder of image files"));
    }
    let AssignedFiles { splits, rule, notes: assumed } =
        assign_files(&paths, reading).map_err(|error| error.at(root))?;
    notes.extend(assumed);
    let mut tables = Vec::new();
    for (((_, file), prefix), split) in opened.iter().zip(prefixes(&paths)).zip(splits) {
        let Some(split) = split else { continue };
        let use_labels = reading.labels != LabelsFrom::None;
        let named = [reading.image_column.as_str(), reading.label_column.as_str()];
        let columns = choose(file, named, use_labels, list.map(|list| list.names.as_slice()))?;
        notes.extend(columns.notes.iter().cloned());
        if columns.label.is_none() && use_labels {
            notes.extend(no_labels(file, &columns.image));
        }
        let names = columns.label.as_deref().and_then(|label| class_names(file.features()?, label));
        let labels = columns
            .label
            .as_deref()
            .map_or_else(|| Ok(LabelSummary::default()), |label| summary(file, label))?;
        let names = names.or_else(|| own_names(file));
        tables.push(Candidate { file: file.clone(), prefix, split, columns, names, labels });
    }
    tables.sort_by_key(|table| table.split);
    Ok((rule, tables))
}

/// The columns that say which rows train and which test, where neither the user nor the names of the tables say it.
fn by_columns(
    rule: SplitRule,
    tables: &[Candidate],
    reading: &Reading,
    notes: &mut Vec<String>,
) -> Result<(SplitRule, Vec<Option<SplitColumn>>)> {
    let open =
        matches!(rule, SplitRule::Random { .. }) && reading.train.is_empty() && reading.test.is_empty();
    let mut columns = Vec::new();
    for table in tables {
        columns.push(if open { split_column(&table.file)? } else { None });
    }
    let all = !columns.is_empty() && columns.iter().all(Option::is_some);
    let mut kept = Vec::new();
    for (table, column) in tables.iter().zip(columns) {
        let column = column.filter(|_| all);
        if let Some((column, others)) = &column {
            let left_out = match others.is_empty() {
                true => String::new(),
                false => format!("; rows that say {} are left out", first_few(others)),
            };
            notes.push(format!(
                "column `{}` of {} says which rows train ({}) and which test ({}){left_out}; a table for each part, or \
                 download.train=… with the table's name, overrides it",
                column.name,
                name_of(&table.file),
                first_few(&column.train),
                first_few(&column.test)
            ));
        }
        let column = column.map(|(column, _)| column);
        notes.extend(split_columns(&table.file, column.as_ref()));
        kept.push(column);
    }
    if all {
        // What was said of images that are drawn is not so.
        notes.retain(|note| !note.contains("are drawn for testing"));
    }
    Ok((if all { SplitRule::Standard } else { rule }, kept))
}

/// Class names of tables that are none of those listed: their numbers are places in the list, if all tables have the same
/// names in the same order.
fn say_renamed(orders: &[(String, LabelOrder)], classes: &Classes, notes: &mut Vec<String>) -> Result<()> {
    let renamed: Vec<(&String, &Vec<String>)> = orders
        .iter()
        .filter_map(|(table, order)| match order {
            LabelOrder::OtherNames(names) => Some((table, names)),
            _ => None,
        })
        .collect();
    let Some((first, names)) = renamed.first() else { return Ok(()) };
    if let Some((other, others)) = renamed.iter().find(|(_, others)| others != names) {
        return Err(Error::new(format!(
            "the classes in CLASSES are called otherwise than those of the tables, which do not agree: {} in {first}, \
             {} in {other}",
            listed(names),
            listed(others)
        ))
        .help("list the classes as the tables call them"));
    }
    notes.push(format!(
        "the classes that {first} calls {} are those of CLASSES in the same order: {}; list them as the table calls them if \
         that is not meant",
        listed(names),
        listed(&classes.names)
    ));
    Ok(())
}

/// The class names of a table that coreg made: they lie beside the features.
fn own_names(file: &TableFile) -> Option<Vec<String>> {
    let json: serde_json::Value = serde_json::from_str(file.features()?).ok()?;
    json.get("classes")?.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

fn summary(file: &TableFile, label: &str) -> Result<LabelSummary> {
    let mut summary = LabelSummary::default();
    for batch in file.batches(&[label], None, 8192)? {
        let batch = batch?;
        for label in decode(file.path(), || written(batch.column(0)))? {
            match label {
                Written::Unknown => {}
                // A row will say what is wrong with it.
                Written::Fraction(_) => {}
                Written::Number(number) => summary.add(number),
                Written::Name(name) => {
                    summary.names.insert(name);
                }
            }
        }
    }
    Ok(summary)
}

impl LabelSummary {
    fn add(&mut self, number: i64) {
        if number == -1 {
            self.minus_one += 1;
            return;
        }
        let (low, high) = self.numbers.unwrap_or((number, number));
        self.numbers = Some((low.min(number), high.max(number)));
    }
}

/// The classes of all tables, and the number that the first of them has.
fn classes_and_first(
    root: &Path,
    tables: &[Candidate],
    list: Option<Classes>,
    reading: &Reading,
    notes: &mut Vec<String>,
) -> Result<(Classes, i64)> {
    // Of tables that name classes the one with the most; that others name some of those is checked when they are opened.
    let named = tables.iter().rev().filter_map(|table| Some((table, table.names.clone()?)));
    let named = named.max_by_key(|(_, names)| names.len());
    let texts: Vec<BTreeSet<String>> = tables.iter().map(|table| table.labels.names.clone()).collect();
    let is_listed = list.is_some() || named.is_some();
    if !is_listed {
        refuse_unlike(root, tables, &texts)?;
    }
    let classes = match (list, named) {
        (Some(list), _) => list,
        (None, Some((table, names))) => {
            let unnamed =
                tables.iter().filter(|other| other.names.is_none() && other.columns.label.is_some());
            let unnamed: Vec<_> = unnamed.map(|other| name_of(&other.file)).collect();
            if !unnamed.is_empty() {
                notes.push(format!(
                    "the labels of {} are taken as the classes that {} names: {}; CLASSES=… lists others",
                    unnamed.join(", "),
                    name_of(&table.file),
                    listed(&names)
                ));
            }
            of_names(names)
        }
        (None, None) if texts.iter().any(|names| !names.is_empty()) => {
            of_names(classes_of(&texts, "labels", notes))
        }
        (None, None) => {
            let labelled = tables.iter().any(|table| table.columns.label.is_some());
            let why = match labelled {
                true => "the labels are numbers, and no table says which classes they stand for",
                false => "no table has labels or names classes",
            };
            return Err(Error::new("the tables do not name their classes").at(root).because(why).help(format!(
                "list the classes in a text file, one a line, in the order of the label numbers if there are any, and \
                 name the file: CLASSES=classes.txt; or name a column of class names: SET=download.label_column=…; {}",
                tables[0].file.columns_in_words()
            )));
        }
    };
    let index = NameIndex::new(&classes.names);
    let gaps: BTreeSet<&String> =
        texts.iter().flatten().filter(|name| is_gap(name) && index.find(name) == Found::Nothing).collect();
    if !gaps.is_empty() && is_listed {
        notes.push(format!(
            "the labels {} stand for no label; a list in CLASSES with such a name makes it a class",
            first_few(gaps)
        ));
    }
    // Of two labels that one class of a list takes, the list decides, and it is said.
    let mut taken = std::collections::BTreeMap::<usize, BTreeSet<&String>>::new();
    for name in texts.iter().flatten() {
        if let Some(class) = index.find(name).one() {
            taken.entry(class).or_default().insert(name);
        }
    }
    for (class, names) in taken.into_iter().filter(|(_, names)| names.len() > 1) {
        notes.push(format!(
            "the labels {} are all of the class `{}`",
            first_few(names),
            classes.names[class]
        ));
    }
    let minus_one: usize = tables.iter().map(|table| table.labels.minus_one).sum();
    if minus_one > 0 {
        // Support vector machines have −1 and 1.
        if tables.iter().any(|table| table.labels.numbers == Some((1, 1))) && classes.names.len() == 2 {
            return Err(Error::new("the labels are −1 and 1")
                .at(root)
                .because("−1 usually stands for an unknown label, and here it may be a class")
                .help(
                    "write 0 and 1 for the classes; SET=download.labels=none takes the images without labels",
                ));
        }
        notes.push(format!("{minus_one} labels are −1, which stands for unknown"));
    }
    let numbered = classes.names.iter().any(|name| name.trim().parse::<i64>().is_ok());
    let numerals = || texts.iter().flatten().map(|name| name.parse::<i64>().ok());
    let mut numbers = LabelSummary::default();
    for table in tables.iter().filter(|table| table.names.is_none()) {
        for number in table.labels.numbers.into_iter().flat_map(|(low, high)| [low, high]) {
            numbers.add(number);
        }
    }
    if !numbered && numerals().any(|number| number.is_some()) {
        numerals().flatten().for_each(|number| numbers.add(number));
        notes.push("labels that are numerals in text are taken as the numbers of classes".to_owned());
    }
    let first = first_label(numbers.numbers, &classes.names, reading, notes);
    Ok((classes, first))
}

/// Refuses labels of which one table has words and another numbers, or of which those that test and those that train have
/// nothing in common: then nothing says which class is meant.
fn refuse_unlike(root: &Path, tables: &[Candidate], texts: &[BTreeSet<String>]) -> Result<()> {
    let words = tables.iter().zip(texts).find(|(_, names)| !names.is_empty());
    let numbers = tables.iter().find(|table| table.labels.numbers.is_some());
    if let (Some((words, names)), Some(numbers)) = (words, numbers) {
        return Err(Error::new(format!(
            "the labels of {} are words ({}) and those of {} numbers, and nothing says which class a number is",
            name_of(&words.file),
            first_few(names),
            name_of(&numbers.file)
        ))
        .at(root)
        .help("list the classes in the order of the numbers, one a line, and name the file: CLASSES=classes.txt"));
    }
    let of = |split: Split| -> BTreeSet<String> {
        let tables = tables.iter().zip(texts).filter(|(table, _)| table.split == Some(split));
        tables.flat_map(|(_, names)| names.iter().map(|name| normalised(name))).collect()
    };
    let (train, test) = (of(Split::Train), of(Split::Test));
    if !train.is_empty() && !test.is_empty() && train.is_disjoint(&test) {
        return Err(Error::new(format!(
            "the labels of the images for training and for testing have nothing in common: {}, and {}",
            first_few(train),
            first_few(test)
        ))
        .at(root)
        .help("write them alike, list the classes in CLASSES=classes.txt, or leave the labels out: SET=download.labels=none"));
    }
    Ok(())
}

/// The number that the first class has: what the user says, else 1 where the labels go from 1 to the number of classes,
/// else 0.
pub(super) fn first_label(
    numbers: Option<(i64, i64)>,
    names: &[String],
    reading: &Reading,
    notes: &mut Vec<String>,
) -> i64 {
    let classes = names.len();
    if let (None, Some(values), Some((low, high))) = (reading.first_label, values(names), numbers) {
        if (low..=high.min(low + 1000))
            .any(|number| values.get(&number).is_some_and(|class| i64::from(*class) != number))
        {
            notes.push(format!(
                "the labels are numbers and so are the names of the classes: label {low} is the class `{low}`, whatever \
                 its place in the list; class names that are words make the labels places"
            ));
        }
        return 0;
    }
    match (reading.first_label, numbers) {
        (Some(first), _) => first,
        (None, Some((low, high))) if low >= 1 && usize::try_from(high) == Ok(classes) => {
            notes.push(format!(
                "the labels are numbered from 1: they go from {low} to {high}, and there are {classes} classes; \
                 download.first_label=0 takes them as places from 0"
            ));
            1
        }
        (None, Some((low, _))) if low >= 1 => {
            notes.push(format!(
                "the labels are numbered from 0, as places in the list of classes, though none is below {low}; if they \
                 begin at 1: SET=download.first_label=1"
            ));
            0
        }
        _ => 0,
    }
}

/// Classes of these names. CLIP is told a name with blanks for underscores, or as it is where two names would then be one.
pub(super) fn of_names(names: Vec<String>) -> Classes {
    let told: Vec<String> = names.iter().map(|name| classes::default_text(name)).collect();
    let mut times = std::collections::HashMap::<&str, usize>::new();
    told.iter().for_each(|text| *times.entry(text).or_default() += 1);
    let once = |text: &String| times.get(text.as_str()) == Some(&1);
    let texts =
        names.iter().zip(&told).map(|(name, text)| if once(text) { text.clone() } else { name.clone() });
    let texts = texts.collect();
    Classes { names, texts, renamed: Vec::new() }
}

/// The files that a table names in place of images.
fn files_beside(file: &TableFile, image: &str) -> Result<Vec<PathBuf>> {
    let folder = file.path().parent().unwrap_or(Path::new(""));
    let mut files = BTreeSet::new();
    for batch in file.batches(&[image], None, 64)? {
        let batch = batch?;
        let images = decode(file.path(), || EncodedBatch::of(&batch))?;
        let Some(paths) = images.paths else { continue };
        let without = (0..batch.num_rows()).filter(|at| images.bytes.is_null(*at));
        let paths = without.filter(|at| paths.is_valid(*at)).map(|at| folder.join(paths.value(at)));
        // A file that is not there is a row without an image.
        files.extend(paths.filter(|path| path.is_file()));
    }
    Ok(files.into_iter().collect())
}

/// Some images of the tables that are used.
fn sample(tables: &[Candidate]) -> Result<Vec<Vec<u8>>> {
    let mut images = Vec::new();
    for Candidate { file, columns, .. } in tables {
        let folder = file.path().parent().unwrap_or(Path::new(""));
        let Some(batch) = file.batches(&[&columns.image], None, 64)?.next().transpose()? else { continue };
        let encoded = decode(file.path(), || EncodedBatch::of(&batch))?;
        for at in 0..batch.num_rows() {
            if encoded.bytes.is_valid(at) {
                images.push(encoded.bytes.value(at).to_vec());
            } else if let Some(paths) = &encoded.paths
                && paths.is_valid(at)
            {
                images.extend(std::fs::read(folder.join(paths.value(at))).ok());
            }
        }
        if !images.is_empty() {
            break;
        }
    }
    Ok(images)
}

#[cfg(test)]
#[path = "tables_fuzz_tests.rs"]
mod fuzz_tests;
