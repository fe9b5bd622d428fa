//! Reuse of pieces: of an output that is made of pieces, those are not made again that an earlier result has, or that
//! this one had before it was interrupted.
//!
//! A stage names the pieces that it needs, makes those that are missing and hands each over as it is made. It hears
//! nothing of checkpoints and of earlier results, and its output has the same bytes as without them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::artifact::Artifact;
use crate::error::{Error, OrFail, Result};
use crate::stage::Context;
use crate::store::{fail, sync_folder};

/// An artifact that is made of pieces of equal length.
pub trait Pieced: Artifact {
    /// Every piece by its name, which says all that it depends on but for the inputs that
    /// [`Context::pieces`] is told: a digest of what it was made from.
    fn pieces(&self) -> impl Iterator<Item = (&str, Vec<u8>)>;
}

/// The pieces of an output: those that are known, of those that are needed.
pub struct Pieces<'a> {
    needed: HashSet<&'a str>,
    /// Where in `bytes` a piece begins.
    starts: HashMap<&'a str, usize>,
    bytes: Vec<u8>,
    /// Length of one piece; 0 as long as none is known.
    length: usize,
    /// How many of the names were known from the start.
    taken_over: usize,
    kept_at: Instant,
    context: &'a Context,
}

/// How much work a kill may cost.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(30);

/// The file of the checkpoint. It is written under the second name, always the same: what a killed process left half
/// written is written over, and never piles up.
const FILE: &str = "pieces";
const UNFINISHED: &str = "pieces.part";

/// With which the file begins.
const FORMAT: &[u8] = b"pipeline pieces 1\n";

impl Context {
    /// The pieces of these names that need not be made: of this result before it was interrupted, and of kept results of
    /// this stage, in this version and of the same key, that were made from the same inputs at the positions
    /// `depends_on`. What is damaged is not used.
    ///
    /// How many of the names were known is said in the record of the result, beside how long the stage ran.
    pub fn pieces<'a, A: Pieced>(&'a self, names: &'a [String], depends_on: &[usize]) -> Pieces<'a> {
        let mut pieces = Pieces {
            needed: names.iter().map(String::as_str).collect(),
            starts: HashMap::new(),
            bytes: Vec::new(),
            length: 0,
            taken_over: 0,
            kept_at: Instant::now(),
            context: self,
        };
        pieces.take_from_checkpoint();
        if let Some(earlier) = &self.earlier {
            for result in earlier.with_inputs(depends_on) {
                if pieces.starts.len() == pieces.needed.len() {
                    break;
                }
                if let Some(artifact) = result.load::<A>() {
                    artifact.pieces().for_each(|(name, bytes)| pieces.add(name, &bytes));
                }
            }
        }
        pieces.taken_over = names.iter().filter(|name| pieces.get(name).is_some()).count();
        self.set_taken_over(pieces.taken_over as u64);
        pieces
    }
}

impl<'a> Pieces<'a> {
    /// The positions of those among `names` that are not known, of each name the first.
    pub fn missing(&self, names: &[String]) -> Vec<usize> {
        let mut seen = HashSet::new();
        let missing = |at: &usize| self.get(&names[*at]).is_none() && seen.insert(&names[*at]);
        (0..names.len()).filter(missing).collect()
    }

    /// How many of the names were known from the start: what the record of the result says.
    pub fn taken_over(&self) -> usize {
        self.taken_over
    }

    /// Runs `make`, which hands over the missing pieces as it makes them. They outlive a failure, a stop, and but for
    /// the last half minute a kill.
    ///
    /// # Errors
    /// Those of `make`; a disk that cannot be written.
    pub fn fill(&mut self, make: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        make(self).map_err(|error| match self.keep() {
            // Whoever stops the run relies on it that nothing is lost.
            Err(not_kept) if error.is_cancelled() => not_kept,
            _ => error,
        })
    }

    /// Hands over a piece that was made just now.
    ///
    /// # Errors
    /// A disk that cannot be written.
    pub fn put(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.add(name, bytes);
        self.keep_every(BETWEEN_CHECKPOINTS)
    }

    /// A piece, if it is known.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let start = *self.starts.get(name)?;
        self.bytes.get(start..start + self.length)
    }

    /// Length of one piece in bytes; 0 as long as none is known.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Adds a piece, if it is needed, not known yet, and as long as the others.
    fn add(&mut self, name: &str, bytes: &[u8]) {
        let fits = !bytes.is_empty() && (self.length == 0 || self.length == bytes.len());
        if let Some(&name) = self.needed.get(name)
            && !self.starts.contains_key(name)
            && fits
        {
            self.length = bytes.len();
            self.starts.insert(name, self.bytes.len());
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Keeps what is known where a kill cannot reach it, if that was not done for so long.
    fn keep_every(&mut self, time: Duration) -> Result<()> {
        if self.kept_at.elapsed() < time { Ok(()) } else { self.keep() }
    }

    /// Keeps what is known where a kill cannot reach it.
    fn keep(&mut self) -> Result<()> {
        if self.starts.is_empty() {
            return Ok(());
        }
        let folder = self.context.checkpoint();
        fs::create_dir_all(folder).map_err(fail("make the folder", folder))?;
        let unfinished = folder.join(UNFINISHED);
        let write = |bytes: &[u8]| -> std::io::Result<()> {
            let mut file = fs::File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.write_all(blake3::hash(bytes).as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, folder.join(FILE))
        };
        write(&self.written())
            .map_err(fail("write the checkpoint", folder))
            .and_then(|()| sync_folder(folder))
            .inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        self.kept_at = Instant::now();
        Ok(())
    }

    /// The format's name; how many pieces there are and the length of one; their names in the order of the pieces, each
    /// after its length; the pieces. Numbers are u64, little endian. The BLAKE3 of all that follows in the file.
    fn written(&self) -> Vec<u8> {
        let mut names: Vec<(&usize, &&str)> = self.starts.iter().map(|(name, start)| (start, name)).collect();
        names.sort_unstable();
        let mut bytes = FORMAT.to_vec();
        let number = |n: usize| (n as u64).to_le_bytes();
        bytes.extend(number(names.len()));
        bytes.extend(number(self.length));
        for (_, name) in names {
            bytes.extend(number(name.len()));
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes.extend_from_slice(&self.bytes);
        bytes
    }

    fn take_from_checkpoint(&mut self) {
        let path = self.context.checkpoint().join(FILE);
        if !path.exists() {
            return;
        }
        let cannot = || Error::new("cannot read the checkpoint").at(&path);
        let read = fs::read(&path).or_fail(cannot).and_then(|bytes| {
            let pieces = parse(&bytes).ok_or_else(|| cannot().because("it is damaged"))?;
            pieces.into_iter().for_each(|(name, piece)| self.add(name, piece));
            Ok(())
        });
        if let Err(error) = read {
            self.context.progress().note(format!("the checkpoint cannot be used, starting afresh: {error}"));
        }
    }
}

/// The pieces in a file, by name; none if it is not whole.
fn parse(file: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let (bytes, checksum) = file.split_last_chunk::<{ blake3::OUT_LEN }>()?;
    if blake3::hash(bytes).as_bytes() != checksum {
        return None;
    }
    let mut rest = bytes.strip_prefix(FORMAT)?;
    let number = |rest: &mut &[u8]| -> Option<usize> {
        let (number, after) = rest.split_first_chunk()?;
        *rest = after;
        usize::try_from(u64::from_le_bytes(*number)).ok()
    };
    let (count, length) = (number(&mut rest)?, number(&mut rest)?);
    let mut names = Vec::new();
    for _ in 0..count {
        let size = number(&mut rest)?;
        let (name, after) = rest.split_at_checked(size)?;
        names.push(std::str::from_utf8(name).ok()?);
        rest = after;
    }
    let fits = length > 0 && rest.len() == count.checked_mul(length)?;
    fits.then(|| names.into_iter().zip(rest.chunks(length)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;

    /// Pieces that nothing but the checkpoint in `context` knows.
    struct Unpieced;
    impl Artifact for Unpieced {
        fn save(&self, _: &Path) -> Result<()> {
            Ok(())
        }
        fn load(_: &Path) -> Result<Self> {
            Ok(Self)
        }
    }
    impl Pieced for Unpieced {
        fn pieces(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
            std::iter::empty()
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn known(context: &Context, names: &[String]) -> usize {
        names.len() - context.pieces::<Unpieced>(names, &[]).missing(names).len()
    }

    #[test]
    fn what_is_known_is_kept_again_once_it_was_not_for_so_long() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::for_test(folder.path());
        let names = names(&["a", "b"]);
        let mut pieces = context.pieces::<Unpieced>(&names, &[]);
        pieces.put("a", b"1").unwrap();
        assert_eq!(known(&context, &names), 0);
        pieces.keep_every(Duration::ZERO).unwrap();
        assert_eq!(known(&context, &names), 1);
        pieces.put("b", b"2").unwrap();
        assert_eq!(known(&context, &names), 1);
    }

    #[test]
    fn what_was_made_before_a_failure_or_a_stop_is_known_afterwards() {
        for error in [|| Error::new("broken"), Error::cancelled] {
            let folder = tempfile::tempdir().unwrap();
            let context = Context::for_test(folder.path());
            let names = names(&["a", "b", "a"]);
            let mut pieces = context.pieces::<Unpieced>(&names, &[]);
            assert_eq!(pieces.missing(&names), [0, 1]);
            let failed = pieces.fill(|pieces| pieces.put("b", b"2").and(Err(error())));
            assert_eq!(failed.unwrap_err().to_string(), error().to_string());
            let pieces = context.pieces::<Unpieced>(&names, &[]);
            assert_eq!((pieces.missing(&names), pieces.get("b")), (vec![0], Some(&b"2"[..])));
        }
    }

    #[test]
    fn a_checkpoint_of_something_else_is_of_no_use_and_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::for_test(folder.path());
        let all = names(&["a", "b"]);
        let mut other = context.pieces::<Unpieced>(&all, &[]);
        for (name, bytes) in [("a", &b"12"[..]), ("c", b"12"), ("b", b"1"), ("b", b"")] {
            other.add(name, bytes); // `c` is not needed, `b` of another length
        }
        other.keep().unwrap();
        let pieces = context.pieces::<Unpieced>(&all[1..], &[]);
        assert_eq!((pieces.length(), pieces.get("a")), (0, None));
        let pieces = context.pieces::<Unpieced>(&all, &[]);
        assert_eq!((pieces.get("a"), pieces.get("b")), (Some(&b"12"[..]), None));
    }

    #[test]
    fn a_file_of_pieces_with_any_other_byte_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::for_test(folder.path());
        let names = names(&["a", "b"]);
        let mut pieces = context.pieces::<Unpieced>(&names, &[]);
        pieces.add("a", b"12");
        pieces.add("b", b"34");
        pieces.keep().unwrap();
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        assert_eq!(known(&context, &names), 2);
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            for bent in [&flipped[..], &whole[..at]] {
                fs::write(&path, bent).unwrap();
                assert_eq!(known(&context, &names), 0, "byte {at}");
            }
        }
    }

    #[test]
    fn a_file_of_pieces_that_claims_too_much_is_passed_over() {
        let number = |n: u64| n.to_le_bytes().to_vec();
        for (count, length, name) in
            [(u64::MAX, 2, 1), (1, u64::MAX, 1), (1, 0, 1), (1, 2, u64::MAX), (2, 1, 1)]
        {
            let mut bytes = [FORMAT.to_vec(), number(count), number(length), number(name)].concat();
            bytes.extend(b"a12");
            bytes.extend(blake3::hash(&bytes).as_bytes());
            assert!(parse(&bytes).is_none(), "{count} {length} {name}");
        }
    }

    #[test]
    fn pieces_that_a_kill_left_half_written_are_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context::for_test(folder.path());
        let names = names(&["a"]);
        fs::write(folder.path().join(UNFINISHED), vec![7; 100_000]).unwrap();
        let mut pieces = context.pieces::<Unpieced>(&names, &[]);
        pieces.add("a", b"1");
        pieces.keep().unwrap();
        assert_eq!(known(&context, &names), 1);
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [FILE]);
    }
}
