//! The record of a result: what it was made from, what it is, and who made it when.
//!
//! It knows how a record is written and checked, not where.

use serde::{Deserialize, Serialize};

use super::checksum;
use super::object::{self, FileEntry};
use crate::error::{Error, OrFail, Result};
use crate::fingerprint::{Digest, Fingerprint, Manifest};
use crate::machine::MachineLabels;

/// `results/<fingerprint>.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What the result was made from; its hash is the record's name.
    pub manifest: Manifest,
    /// The object that holds the result.
    pub digest: Digest,
    /// The object's files.
    pub files: Vec<FileEntry>,
    /// When and where it was made. Not part of any key.
    pub made: Made,
}

/// When and where a result was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// When it was finished (UTC, RFC 3339).
    pub at: String,
    /// On which machine.
    pub host: String,
    /// How long the stage ran, in seconds.
    pub seconds: f64,
    /// Processor time that the process used meanwhile, in seconds, on all cores together; 0 where it is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub processor: f64,
    /// The most memory that the process held while the stage ran, in bytes; 0 where it is not known.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory: u64,
    /// How many of the things it consists of were not made in that time but taken over: from earlier results, or
    /// from before an interruption.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub taken_over: u64,
    /// The labels of the [`Machine`](crate::machine::Machine) that it was made on; none where it had none.
    #[serde(default, skip_serializing_if = "MachineLabels::is_empty")]
    pub machine: MachineLabels,
}

/// How two records of one key compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twins {
    /// The same bytes.
    Same,
    /// Other bytes, from a machine of another kind: either serves, the first one stays.
    OtherMachine,
    /// Other bytes, and the machines do not explain it: one of them is wrong, or its stage gives other bytes each time.
    Contradiction,
}

fn is_zero<T: Default + PartialEq>(figure: &T) -> bool {
    *figure == T::default()
}

impl Record {
    /// The key under which it is kept.
    pub fn fingerprint(&self) -> Fingerprint {
        self.manifest.fingerprint()
    }

    /// How it compares with another record of the same key; none where the keys differ.
    pub fn twin_of(&self, other: &Self) -> Option<Twins> {
        if self.fingerprint() != other.fingerprint() {
            return None;
        }
        Some(match self.digest == other.digest {
            true => Twins::Same,
            false if self.made.machine != other.made.machine => Twins::OtherMachine,
            false => Twins::Contradiction,
        })
    }

    /// Size of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The record as JSON, whose second line is the checksum of all other lines.
    pub(crate) fn write(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_vec_pretty(self).or_fail(|| Error::new("cannot write a record"))?;
        Ok(checksum::seal(text))
    }

    /// Reads a record and checks that it is the one of `fingerprint`.
    pub(crate) fn read(text: &[u8], fingerprint: &Fingerprint) -> Result<Self> {
        let text = checksum::open(text)
            .ok_or_else(|| Error::new("the record does not have the checksum that it says"))?;
        let record: Self =
            serde_json::from_slice(&text).or_fail(|| Error::new("the record cannot be read as JSON"))?;
        if record.fingerprint() != *fingerprint {
            return Err(Error::new("the record's manifest has another fingerprint than its name"));
        }
        if object::digest(&record.files) != record.digest {
            return Err(Error::new("the record's file list has another digest than it says"));
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::fingerprint::Named;
    use rand::Rng;

    #[test]
    fn a_record_reads_back_whatever_numbers_the_settings_hold() {
        let mut random = crate::random::stream(1, "numbers");
        let mut numbers: Vec<f64> = (0..5000).map(|_| f64::from_bits(random.next_u64())).collect();
        numbers.retain(|number| number.is_finite());
        numbers.extend([0.1, 0.1 + 0.2, -0.0, f64::MIN_POSITIVE, f64::MAX, f64::from(0.1_f32)]);
        let record = Record {
            manifest: Manifest::new("stage", 1, &numbers, Vec::new(), Vec::new()).unwrap(),
            digest: object::digest(&[]),
            files: Vec::new(),
            made: Made {
                at: "2026-01-01T00:00:00Z".into(),
                host: "here".into(),
                seconds: 0.1,
                processor: 0.0,
                memory: 0,
                taken_over: 0,
                machine: MachineLabels::new(),
            },
        };
        let text = record.write().unwrap();
        assert_eq!(Record::read(&text, &record.fingerprint()).unwrap(), record);
        let unsealed = serde_json::to_vec_pretty(&record).unwrap();
        assert!(Record::read(&unsealed, &record.fingerprint()).is_err());
    }

    #[test]
    fn a_record_with_any_other_byte_is_no_record() {
        let name = |name: &str| Named { name: name.to_owned(), digest: object::digest(&[]) };
        let record = Record {
            manifest: Manifest::new("stage", 1, &[0.5, 2.0], vec![name("a")], vec![name("/a file")]).unwrap(),
            digest: object::digest(&[]),
            files: Vec::new(),
            made: Made {
                at: "2026-01-01T00:00:00Z".into(),
                host: "here".into(),
                seconds: 0.1,
                processor: 0.0,
                memory: 0,
                taken_over: 7,
                machine: [("device".to_owned(), "cpu".to_owned())].into(),
            },
        };
        let (text, fingerprint) = (record.write().unwrap(), record.fingerprint());
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut flipped = text.clone();
                flipped[at] ^= 1 << bit;
                assert!(Record::read(&flipped, &fingerprint).is_err(), "byte {at}, bit {bit}");
            }
            assert!(Record::read(&text[..at], &fingerprint).is_err(), "cut at {at}");
            let removed = [&text[..at], &text[at + 1..]].concat();
            assert!(Record::read(&removed, &fingerprint).is_err(), "without byte {at}");
        }
    }

    #[test]
    fn two_records_of_one_key_that_differ_only_by_machine_are_told_from_a_contradiction() {
        let record = |seed: u64, bytes: &[u8], device: &str| {
            let files = vec![FileEntry {
                path: "a".to_owned(),
                size: bytes.len() as u64,
                blake3: blake3::hash(bytes).into(),
            }];
            Record {
                manifest: Manifest::new("stage", 1, &seed, Vec::new(), Vec::new()).unwrap(),
                digest: object::digest(&files),
                files,
                made: Made {
                    at: "2026-01-01T00:00:00Z".into(),
                    host: "here".into(),
                    seconds: 0.1,
                    processor: 0.0,
                    memory: 0,
                    taken_over: 0,
                    machine: [("device".to_owned(), device.to_owned())].into(),
                },
            }
        };
        let first = record(1, b"one", "cpu");
        assert_eq!(first.twin_of(&record(1, b"one", "cuda")), Some(Twins::Same));
        assert_eq!(first.twin_of(&record(1, b"two", "cuda")), Some(Twins::OtherMachine));
        assert_eq!(first.twin_of(&record(1, b"two", "cpu")), Some(Twins::Contradiction));
        assert_eq!(first.twin_of(&record(2, b"one", "cpu")), None);
    }
}
