//! Which data set of one's own a name in the store belongs to. Two whose folders are called alike are kept apart: their
//! views, their newest results, and so what `coreg clean` leaves.
//!
//! `claims/NAME.json` in the store's folder says whose NAME is, by the place of the images or of the description. The
//! same place gets the same name again. A claim is made by runs; whoever only asks what would run looks.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use pipeline::error::{Error, OrFail, Result};
use pipeline::store::Store;
use serde::{Deserialize, Serialize};

use super::Experiment;
use crate::dataset::set_name::{self, is_of_catalog};

/// Who asks for a name: a data set that is no part of the catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimant {
    /// The folder, file or pattern of its images, or the file of its description.
    pub place: PathBuf,
    /// Whether the user named it: then no other name is taken.
    pub named: bool,
    /// How the user can give it another name.
    pub how: String,
}

/// What `claims/NAME.json` says of NAME.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    /// Whose it is.
    place: String,
    /// The same place, from the folder that holds the store: both may be moved together.
    from_artifacts: String,
    /// What it would have been called, had the name been free.
    wanted: String,
}

/// A name, what is to be said of it, and whether its claim has to be written.
#[derive(Debug, PartialEq)]
struct Settled {
    name: String,
    claim: Claim,
    notes: Vec<String>,
    write: bool,
}

impl Experiment {
    /// Gives the data set the name that it has in this store, or would have in the next run. Writes nothing.
    ///
    /// # Errors
    /// A claim that cannot be read.
    pub fn look_up_name(&mut self, store: &Store) -> Result<()> {
        let claims = read(&store.root().join(FOLDER))?;
        match self.claimant.clone() {
            Some(claimant) => self.settle(store, &claimant, &claims).map(drop),
            None => {
                self.take_for_the_catalog(&claims);
                Ok(())
            }
        }
    }

    /// As [`look_up_name`](Self::look_up_name), and makes the name that of this data set.
    ///
    /// # Errors
    /// A claim that cannot be read or written.
    pub fn claim_name(&mut self, store: &Store) -> Result<()> {
        let folder = store.root().join(FOLDER);
        fs::create_dir_all(&folder).map_err(cannot_write(&folder))?;
        // Of two runs that want a name at the same time the second one sees what the first one got.
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(cannot_write(&path))?;
        lock.lock().map_err(cannot_write(&path))?;
        let claims = read(&folder)?;
        if let Some(claimant) = self.claimant.clone() {
            let settled = self.settle(store, &claimant, &claims)?;
            if settled.write {
                write(&folder, &settled.name, &settled.claim)?;
            }
        } else if self.take_for_the_catalog(&claims) {
            let path = path_of(&folder, &self.data_set.name);
            fs::remove_file(&path).map_err(cannot_write(&path))?;
        }
        Ok(())
    }

    /// A data set of the catalog has its name whoever took it. Says so where somebody did.
    fn take_for_the_catalog(&mut self, claims: &BTreeMap<String, Claim>) -> bool {
        let name = &self.data_set.name;
        let Some(claim) = claims.get(name) else { return false };
        self.notes.push(format!(
            "`{name}` was the name of {} until now, and is that of a data set of the catalog: {REPLACED}; another NAME=name \
             for those images keeps them apart",
            claim.place
        ));
        true
    }

    fn settle(
        &mut self,
        store: &Store,
        claimant: &Claimant,
        claims: &BTreeMap<String, Claim>,
    ) -> Result<Settled> {
        let me = claim_of(store, claimant, &self.data_set.name);
        let used = |name: &str| store.root().join("heads").join(name).exists();
        let settled = settle(claims, claimant, me, &is_gone, &used)?;
        self.data_set.name.clone_from(&settled.name);
        self.notes.extend(settled.notes.iter().cloned());
        Ok(settled)
    }
}

/// What it means that a name is another data set's from now on.
const REPLACED: &str =
    "the newest run of that is replaced in this store, and `coreg clean` may free what that alone used";

/// The folder below the store's.
const FOLDER: &str = "claims";

/// What to do about a claim that cannot be used.
const REMOVE: &str = "remove the file: the next run that wants the name gets it";

/// The name that the data set gets, whose claim would be `me`. `is_gone` says whether nothing is at a place any more,
/// `used` whether there are results under a name.
fn settle(
    claims: &BTreeMap<String, Claim>,
    claimant: &Claimant,
    me: Claim,
    is_gone: &dyn Fn(&str) -> bool,
    used: &dyn Fn(&str) -> bool,
) -> Result<Settled> {
    let at_its_place = |claim: &Claim| claim.place == me.place;
    let mine = |claim: &Claim| {
        at_its_place(claim) || claim.from_artifacts == me.from_artifacts && is_gone(&claim.place)
    };
    let (how, wanted) = (&claimant.how, me.wanted.as_str());
    let mut notes = Vec::new();
    let name = if claimant.named {
        wanted.to_owned()
    } else {
        // What it was called the last time, though a better name may be free by now.
        let same = |belongs: &dyn Fn(&Claim) -> bool| {
            let found = claims.iter().find(|(_, claim)| claim.wanted == wanted && belongs(claim));
            found.map(|(name, _)| name.clone())
        };
        let free = |name: &String| !is_of_catalog(name) && claims.get(name).is_none_or(mine);
        let mut names = std::iter::once(wanted.to_owned()).chain(set_name::longer(wanted, &claimant.place));
        let name = same(&at_its_place).or_else(|| same(&mine)).or_else(|| names.find(free));
        name.ok_or_else(|| Error::new("no name for the data set is free").help(how.clone()))?
    };
    let old = claims.get(&name);
    if name != wanted {
        let whose = match claims.get(wanted) {
            _ if is_of_catalog(wanted) => "a data set of the catalog is called so".to_owned(),
            Some(other) => format!("in this store that is the name of {}", other.place),
            None => "that was another's name when it was first run".to_owned(),
        };
        notes.push(format!("called `{name}` and not `{wanted}`: {whose}; {how} chooses another name"));
    }
    match old {
        Some(other) if !mine(other) => notes.push(format!(
            "`{name}` was the name of {} until now: {REPLACED}; {how} chooses another name",
            other.place
        )),
        Some(moved) if moved.place != me.place => notes.push(format!(
            "`{name}` was the name of {}, where nothing is any more: these images are taken for the same ones, moved \
             together with the store; {how} keeps them apart",
            moved.place
        )),
        None if is_of_catalog(&name) => notes.push(format!(
            "`{name}` is a data set of the catalog too: its newest run is replaced in this store, and `coreg clean` may \
             free what that alone used; {how} chooses another name"
        )),
        None if used(&name) => notes.push(format!(
            "the results under `{name}` in this store do not say of which images they are: if of others, those runs are \
             not the newest any more, and `coreg clean` may free what they alone used; {how} chooses another name"
        )),
        _ => {}
    }
    let write = old.is_none_or(|old| old.place != me.place || old.from_artifacts != me.from_artifacts);
    Ok(Settled { name, claim: me, notes, write })
}

/// What the claimant's claim says.
fn claim_of(store: &Store, claimant: &Claimant, wanted: &str) -> Claim {
    let artifacts = store.root().parent().map(set_name::place).unwrap_or_default();
    Claim {
        place: text(&claimant.place),
        from_artifacts: text(&relative(&artifacts, &claimant.place)),
        wanted: wanted.to_owned(),
    }
}

/// A path as text; one that is no UTF-8 in quotes, with its bytes as numbers.
fn text(path: &Path) -> String {
    path.to_str().map_or_else(|| format!("{path:?}"), str::to_owned)
}

/// Whether nothing is at a place that was claimed once. Where this cannot be told, something is.
fn is_gone(place: &str) -> bool {
    let found = set_name::literal_part(Path::new(place)).symlink_metadata();
    found.is_err_and(|error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
}

/// The way from one absolute folder to another path.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

/// All claims, by their names; none where the folder is not there.
fn read(folder: &Path) -> Result<BTreeMap<String, Claim>> {
    let cannot = |path: &Path| Error::new("cannot read whose a data set's name is").at(path);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        other => other.or_fail(|| cannot(folder).help("make the folder readable for this user"))?,
    };
    let mut claims = BTreeMap::new();
    for entry in entries {
        let path = entry.or_fail(|| cannot(folder))?.path();
        let name =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
        let Some(name) = name else { continue };
        let bytes = fs::read(&path).or_fail(|| cannot(&path).help("make the file readable for this user"))?;
        claims
            .insert(name.to_owned(), serde_json::from_slice(&bytes).or_fail(|| cannot(&path).help(REMOVE))?);
    }
    Ok(claims)
}

fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

/// Writes a claim, whole or not at all.
fn write(folder: &Path, name: &str, claim: &Claim) -> Result<()> {
    let path = path_of(folder, name);
    let text = serde_json::to_string_pretty(claim).or_fail(|| Error::new("cannot write a claim"))?;
    // Always the same name, one process at a time: what a kill left is written over.
    let unfinished = folder.join("unfinished");
    let write = || -> io::Result<()> {
        let mut file = File::create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(cannot_write(&path))
}

fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |cause| {
        Error::new("cannot write whose a data set's name is")
            .at(path)
            .because(cause)
            .help("make room on the disk, make the folder writable, or keep the artifacts elsewhere: ARTIFACTS=folder")
    }
}

#[cfg(test)]
mod tests;
