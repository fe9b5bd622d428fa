//! The record of a result: what it was made from, what it is, and who made it when.
//!
//! It knows how a record is written and checked, not where.

use serde::{Deserialize, Serialize};

use super::checksum;
use super::object::{self, FileEntry};
use crate::error::{Error, OrFail, Result};
use crate::fingerprint::{Digest, Fingerprint, Manifest};

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
    /// How many of the things it consists of were not made in that time but taken over: from earlier results, or
    /// from before an interruption.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub taken_over: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Record {
    /// The key under which it is kept.
    pub fn fingerprint(&self) -> Fingerprint {
        self.manifest.fingerprint()
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
                taken_over: 0,
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
                taken_over: 7,
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
}
