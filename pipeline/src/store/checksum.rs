//! JSON whose second line is the checksum of all its other lines: any other byte is found, and it is JSON
//! all the same.

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

/// Takes the checksum out and compares it: the text as it was before, or none if this is not what was sealed.
pub(super) fn open(text: &[u8]) -> Option<Vec<u8>> {
    let rest = text.strip_prefix(OPENING.as_bytes())?.strip_prefix(BEFORE.as_bytes())?;
    let (checksum, rest) = rest.split_at_checked(2 * blake3::OUT_LEN)?;
    let text = [OPENING.as_bytes(), rest.strip_prefix(AFTER.as_bytes())?].concat();
    (blake3::hash(&text).to_hex().as_bytes() == checksum).then_some(text)
}
