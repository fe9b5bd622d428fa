//! JSON whose second line is the checksum of all its other lines: any other byte is found, and it is JSON
//! all the same.
//!
//! It knows nothing of what the JSON says.

/// The first line, and what stands around the checksum in the second.
const OPENING: &str = "{\n";
const BEFORE: &str = "  \"checksum\": \"";
const AFTER: &str = "\",\n";

/// Puts the checksum into the pretty JSON of an object with at least one member.
pub(super) fn seal(mut text: Vec<u8>) -> Vec<u8> {
    text.push(b'\n');
    let line = format!("{BEFORE}{}{AFTER}", blake3::hash(&text));
    text.splice(OPENING.len()..OPENING.len(), line.into_bytes());
    text
}

/// What is inside.
pub(super) enum Inside {
    /// The text as it was before the checksum was put in.
    Whole(Vec<u8>),
    /// The text has no checksum.
    Unsealed,
    /// Not the text that the checksum is of.
    Damaged,
}

/// Takes the checksum out and compares it.
pub(super) fn open(text: &[u8]) -> Inside {
    let parts = text.strip_prefix(OPENING.as_bytes()).and_then(|rest| {
        let (checksum, rest) = rest.strip_prefix(BEFORE.as_bytes())?.split_at_checked(2 * blake3::OUT_LEN)?;
        Some((checksum, rest.strip_prefix(AFTER.as_bytes())?))
    });
    let Some((checksum, rest)) = parts else { return Inside::Unsealed };
    let text = [OPENING.as_bytes(), rest].concat();
    match blake3::hash(&text).to_hex().as_bytes() == checksum {
        true => Inside::Whole(text),
        false => Inside::Damaged,
    }
}
