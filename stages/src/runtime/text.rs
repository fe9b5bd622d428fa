//! Text files that users write: UTF-8 with or without a byte order mark, or the UTF-16 of Windows' editors.

use std::io;
use std::path::Path;

use super::lfs;

/// The text of a file, without its byte order mark.
///
/// # Errors
/// A file that cannot be read or is no text, a Git LFS pointer in its place.
pub fn read(path: &Path) -> io::Result<String> {
    decode(&std::fs::read(path)?)
}

/// The text in these bytes, as [`read`] gives it.
///
/// # Errors
/// Bytes that are no text, or a Git LFS pointer.
pub fn decode(bytes: &[u8]) -> io::Result<String> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if lfs::is_pointer(bytes) {
        return Err(invalid(lfs::error().to_string()));
    }
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty());
        text.ok_or_else(|| invalid("it begins as UTF-16 text and is none".to_owned()))
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => {
            String::from_utf8(rest.to_vec()).map_err(|error| invalid(error.to_string()))
        }
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        bytes => String::from_utf8(bytes.to_vec()).map_err(|error| invalid(error.to_string())),
    }
}

/// The lines of a list that a user wrote, each with its number from 1: without blanks around them, empty ones, and those
/// that begin with `#`, which are comments.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_editors_encoding_is_the_same_text() {
        let text = "# c\r\nété\n猫\n";
        let units: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [&b"\xff\xfe"[..], &little].concat(),
            [&b"\xfe\xff"[..], &big].concat(),
        ] {
            assert_eq!(decode(&bytes).unwrap(), text);
        }
        assert_eq!(lines(text).collect::<Vec<_>>(), [(2, "été"), (3, "猫")]);
        for bytes in [
            &b"\xff\xfe\x00"[..],
            b"\xff\xfe\x00\xd8",
            b"caf\xe9",
            b"version https://git-lfs.github.com/spec/v1\n",
        ] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
