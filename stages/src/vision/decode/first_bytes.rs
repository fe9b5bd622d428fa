//! What the first bytes of a file say it is: an image that can be decoded, or something else that people have under an
//! image's name, with its own name and what to do about it.
//!
//! Whether an image is whole is for its decoder to say.

use pipeline::error::Error;

use crate::runtime::lfs;

/// So many bytes are enough to tell.
pub const ENOUGH: usize = 512;

/// Whether these are the first bytes of an image of a format that [`decode`](super::decode) takes. `first` is the whole
/// file or at least [`ENOUGH`] bytes of it. Of formats with a short mark, such as BMP and PNM, more of the header has to
/// fit, so that no text that begins alike is taken for one.
pub fn is_image(first: &[u8]) -> bool {
    match first {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] | [0xff, 0xd8, 0xff, ..] => true,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => true,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => true,
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => !is_canon_raw(first),
        [b'B', b'M', ..] => is_bmp(first),
        [b'P', b'1'..=b'7', ..] => is_pnm(first),
        _ => false,
    }
}

fn is_canon_raw(first: &[u8]) -> bool {
    first.starts_with(b"II*\0") && first.get(8..10) == Some(b"CR")
}

/// By the size of its second header, which tells the few versions of the format apart.
fn is_bmp(first: &[u8]) -> bool {
    const SIZES: [u8; 8] = [12, 16, 40, 52, 56, 64, 108, 124];
    matches!(first.get(14..18), Some([size, 0, 0, 0]) if SIZES.contains(size))
}

/// Comments of a PNM file are looked through up to here.
pub(super) const PNM_HEADER: usize = 4096;

/// By the numbers after the mark; in PAM by the name of the first line.
fn is_pnm(first: &[u8]) -> bool {
    let first = &first[..first.len().min(PNM_HEADER)];
    let Some((_, rest)) = first.split_at_checked(2) else { return false };
    if !rest.first().is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'#') {
        return false;
    }
    let text = String::from_utf8_lossy(rest);
    let whole = text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with('#'));
    let without_comments: String =
        whole.map(|line| line.split('#').next().unwrap_or_default().to_owned() + "\n").collect();
    let mut words = without_comments.split_ascii_whitespace();
    match first[1] {
        b'7' => words
            .next()
            .is_some_and(|word| ["WIDTH", "HEIGHT", "DEPTH", "MAXVAL", "TUPLTYPE"].contains(&word)),
        _ => [words.next(), words.next()]
            .iter()
            .all(|word| word.is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit()))),
    }
}

/// A kind of file that is no image we read: how it begins at which place, what it is called, and what to do.
struct Kind {
    at: usize,
    mark: &'static [u8],
    what: &'static str,
    help: &'static str,
}

const fn kind(at: usize, mark: &'static [u8], what: &'static str, help: &'static str) -> Kind {
    Kind { at, mark, what, help }
}

const AS_PNG: &str = "write it as PNG or JPEG, for example with `magick FILE FILE.png`";
const DEVELOP: &str =
    "develop it to JPEG or PNG first, with the camera's program, `darktable-cli` or `dcraw`";
const UNPACK: &str = "unpack it first; the images themselves are read";
const FETCH: &str = "fetch the file again, and look at what was sent in its place";
const REMOVE: &str = "remove it, or put the image in its place";

/// In the order in which they are tried.
const KINDS: [Kind; 48] = [
    kind(8, b"CR", "a camera's raw image (Canon CR2)", DEVELOP),
    kind(4, b"ftypcrx", "a camera's raw image (Canon CR3)", DEVELOP),
    kind(0, b"FUJIFILMCCD-RAW", "a camera's raw image (Fujifilm RAF)", DEVELOP),
    kind(0, b"IIRO", "a camera's raw image (Olympus ORF)", DEVELOP),
    kind(0, b"IIRS", "a camera's raw image (Olympus ORF)", DEVELOP),
    kind(0, b"IIU\0", "a camera's raw image (Panasonic RW2)", DEVELOP),
    kind(0, b"FOVb", "a camera's raw image (Sigma X3F)", DEVELOP),
    kind(4, b"ftypheic", "a HEIC image, as iPhones make them", AS_PNG),
    kind(4, b"ftypheix", "a HEIC image, as iPhones make them", AS_PNG),
    kind(4, b"ftyphevc", "a HEIC image, as iPhones make them", AS_PNG),
    kind(4, b"ftypmif1", "a HEIF image", AS_PNG),
    kind(4, b"ftypmsf1", "a HEIF image", AS_PNG),
    kind(4, b"ftypavif", "an AVIF image", AS_PNG),
    kind(4, b"ftypavis", "an AVIF image", AS_PNG),
    kind(4, b"ftyp", "a video", "take single images out of it, for example with `ffmpeg -i FILE %05d.png`"),
    kind(0, b"\0\0\0\x0cJXL ", "a JPEG XL image", AS_PNG),
    kind(0, b"\xff\x0a", "a JPEG XL image", AS_PNG),
    kind(0, b"\0\0\0\x0cjP", "a JPEG 2000 image", AS_PNG),
    kind(0, b"\xff\x4f\xff\x51", "a JPEG 2000 image", AS_PNG),
    kind(0, b"II+\0", "a BigTIFF image", AS_PNG),
    kind(0, b"MM\0+", "a BigTIFF image", AS_PNG),
    kind(0, b"8BPS", "a Photoshop document", AS_PNG),
    kind(0, b"\0\0\x01\0", "a Windows icon", AS_PNG),
    kind(0, b"\0\0\x02\0", "a Windows cursor", AS_PNG),
    kind(0, b"icns", "a macOS icon", AS_PNG),
    kind(0, b"\x76\x2f\x31\x01", "an OpenEXR image", AS_PNG),
    kind(0, b"#?RADIANCE", "a Radiance HDR image", AS_PNG),
    kind(0, b"DDS ", "a DirectDraw texture", AS_PNG),
    kind(0, b"qoif", "a QOI image", AS_PNG),
    kind(0, b"farbfeld", "a farbfeld image", AS_PNG),
    kind(0, b"SIMPLE  =", "a FITS image", AS_PNG),
    kind(128, b"DICM", "a DICOM image", AS_PNG),
    kind(
        0,
        b"%PDF",
        "a PDF document",
        "write its pages as images, for example with `pdftoppm -png FILE page`",
    ),
    kind(0, b"%!PS", "a PostScript document", AS_PNG),
    kind(0, b"PK\x03\x04", "a zip archive", UNPACK),
    kind(0, b"\x1f\x8b", "a gzip archive", UNPACK),
    kind(0, b"BZh", "a bzip2 archive", UNPACK),
    kind(0, b"\xfd7zXZ\0", "an xz archive", UNPACK),
    kind(0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    kind(0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    kind(0, b"Rar!", "a RAR archive", UNPACK),
    kind(257, b"ustar", "a tar archive", UNPACK),
    kind(0, b"PAR1", "a Parquet table", "name the table itself with IMAGES, and not as one of the images"),
    kind(0, b"\x93NUMPY", "a NumPy array", "write its images as PNG files"),
    kind(0, b"\x89HDF\r\n", "an HDF5 file", "write its images as PNG files"),
    kind(0, b"\0\x05\x16\x07", "what macOS notes about another file (AppleDouble), not the image", REMOVE),
    kind(0, b"\xd0\xcf\x11\xe0", "a file of Windows' own (such as Thumbs.db)", REMOVE),
    kind(
        0,
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        "a file that begins with nothing but zeros: its content was lost",
        FETCH,
    ),
];

/// What bytes are that no decoder takes, as an error that says what to do; none where they do not tell.
pub(super) fn something_else(bytes: &[u8]) -> Option<Error> {
    if lfs::is_pointer(bytes) {
        return Some(lfs::error());
    }
    let found =
        KINDS.iter().find(|kind| bytes.get(kind.at..).is_some_and(|rest| rest.starts_with(kind.mark)));
    // Two letters in the midst of a file say nothing unless it begins as that kind does.
    let found = found.filter(|kind| kind.mark != b"CR" || is_canon_raw(bytes));
    let (what, help) = found.map(|kind| (kind.what, kind.help)).or_else(|| text(bytes))?;
    Some(Error::new(format!("this is {what}")).help(help))
}

/// What a text is that has an image's name.
fn text(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let first = bytes.get(..ENOUGH.min(bytes.len()))?;
    let text = String::from_utf8_lossy(first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first)).to_lowercase();
    let text = text.trim_start();
    let begins = |marks: &[&str]| marks.iter().any(|mark| text.starts_with(mark));
    Some(match () {
        () if begins(&["<!doctype html", "<html", "<head", "<body"])
            || begins(&["<?xml", "<!--"]) && text.contains("<html") =>
        {
            ("an HTML page, not an image: a download that failed, or wants to be logged in", FETCH)
        }
        () if begins(&["<svg"]) || begins(&["<?xml", "<!--", "<!doctype svg"]) && text.contains("<svg") => {
            ("an SVG drawing", "write it as PNG, for example with `rsvg-convert -o FILE.png FILE`")
        }
        () if begins(&["<?xml", "<error"]) => {
            ("an XML document, not an image: perhaps a server's message in place of a download", FETCH)
        }
        () if begins(&["{", "["]) && !text.contains('\0') && text.contains('"') => {
            ("a JSON text, not an image: perhaps a server's message in place of a download", FETCH)
        }
        () if is_plain(first) => ("a text, not an image", FETCH),
        () => return None,
    })
}

/// Whether these bytes are text of some length, as far as they go.
fn is_plain(first: &[u8]) -> bool {
    let (whole, rest) = match std::str::from_utf8(first) {
        Ok(text) => (text, 0),
        Err(error) => (
            std::str::from_utf8(&first[..error.valid_up_to()]).unwrap_or_default(),
            first.len() - error.valid_up_to(),
        ),
    };
    // The last letter may be cut off.
    rest < 4 && whole.len() >= 8 && whole.chars().all(|c| !c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn images_are_known_by_their_first_bytes_and_nothing_else_is_taken_for_one() {
        for image in [
            &b"\x89PNG\r\n\x1a\n\0\0"[..],
            b"\xff\xd8\xff\xe0",
            b"GIF87a..",
            b"RIFF\x10\0\0\0WEBPVP8 ",
            b"II*\0\x08\0\0\0\x0a\0",
            b"MM\0*",
            b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
            b"P6\n# by a camera\n30 40\n255\n\xff\xff",
            b"P5 30 40 255 \0",
            b"P1\n2 2\n1 0",
            b"P4\t8\n8\n\xff",
            b"P7\nWIDTH 2\nHEIGHT 2\n",
            b"P7\n# a comment\nHEIGHT 2\n",
        ] {
            assert!(is_image(image), "{:?}", String::from_utf8_lossy(image));
        }
        for other in [
            &b""[..],
            b"P",
            b"P6",
            b"P1 is a parking place",
            b"P2P networks",
            b"P7 and P8",
            b"BMW",
            b"BM is the British Museum, and so on",
            b"II*\0\x10\0\0\0CR\x02\0",
            b"RIFF\x10\0\0\0WAVEfmt ",
            b"<html>",
            b"name,label\n",
            b"\0\0\x01\0",
        ] {
            assert!(!is_image(other), "{:?}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn what_is_no_image_is_called_by_its_name() {
        let mut tar = vec![b'a'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, words) in [
            (
                &b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..],
                ["Git LFS pointer", "git lfs pull"],
            ),
            (b"<!DOCTYPE html>\n<html>", ["HTML page", "fetch"]),
            (b"\xef\xbb\xbf\n <HTML lang=en>", ["HTML page", "fetch"]),
            (b"<?xml version=\"1.0\"?><html xmlns=\"x\">", ["HTML page", "fetch"]),
            (b"<?xml version=\"1.0\"?>\n<!-- x --><svg>", ["SVG", "PNG"]),
            (b"<svg xmlns=\"x\"/>", ["SVG", "PNG"]),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", ["XML", "fetch"]),
            (b"{\"error\": \"Not found\"}", ["JSON", "fetch"]),
            (b"404: Not Found\n", ["a text", "fetch"]),
            (b"Zugriff verweigert: g\xc3\xbcltige Anmeldung n\xc3", ["a text", "fetch"]),
            (b"%PDF-1.7", ["PDF", "pdftoppm"]),
            (b"\0\0\0\x18ftypheic\0\0", ["HEIC", "PNG"]),
            (b"\0\0\0\x1cftypmif1\0\0", ["HEIF", "PNG"]),
            (b"\0\0\0\x1cftypavif\0\0", ["AVIF", "PNG"]),
            (b"\0\0\0\x1cftypisom\0\0", ["video", "ffmpeg"]),
            (b"\xff\x0a\0\0", ["JPEG XL", "PNG"]),
            (b"\0\0\0\x0cJXL \r\n\x87\n", ["JPEG XL", "PNG"]),
            (b"\0\0\0\x0cjP  \r\n", ["JPEG 2000", "PNG"]),
            (b"8BPS\0\x01", ["Photoshop", "PNG"]),
            (b"\0\0\x01\0\x01\0", ["icon", "PNG"]),
            (b"II*\0\x10\0\0\0CR\x02\0", ["raw", "develop"]),
            (b"PK\x03\x04\x14", ["zip", "unpack"]),
            (b"\x1f\x8b\x08", ["gzip", "unpack"]),
            (&tar, ["tar", "unpack"]),
            (b"\0\x05\x16\x07\0\x02", ["AppleDouble", "remove"]),
            (&[0; 100], ["zeros", "fetch"]),
        ] {
            let error = something_else(bytes).unwrap().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        for unknown in
            [&b""[..], b"abc", b"\x01\x02\x03\x04\x05\x06\x07\x08\x09", b"abcdefghCR\xff\xfe\xfd\xfc\xfb"]
        {
            assert!(something_else(unknown).is_none());
        }
    }
}
