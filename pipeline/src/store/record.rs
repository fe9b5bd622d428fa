//! The record of a result: what it was made from, what it is, and who made it when.
//!
//! It knows how a record is written and checked, not where.

use serde::{Deserialize, Serialize};

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

    /// When it was finished, in seconds since 1970; none if its record does not say it properly.
    pub(crate) fn made_at(&self) -> Option<i64> {
        self.made.at.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
    }

    pub(crate) fn write(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self).or_fail(|| Error::new("cannot write a record"))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Reads a record and checks that it is the one of `fingerprint`.
    pub(crate) fn read(text: &str, fingerprint: &Fingerprint) -> Result<Self> {
        let record: Self =
            serde_json::from_str(text).or_fail(|| Error::new("the record cannot be read as JSON"))?;
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
            made: Made { at: "2026-01-01T00:00:00Z".into(), host: "here".into(), seconds: 0.1 },
        };
        let text = String::from_utf8(record.write().unwrap()).unwrap();
        assert_eq!(Record::read(&text, &record.fingerprint()).unwrap(), record);
    }
}
