//! Files of images: their names, what is in them, and what lies beside them.

use std::io::Write;

use image::{DynamicImage, ImageFormat};
use tests::image_set::encode;

use super::{Files, Input, Refused, Taken, check_all, picture};

const LIST: Option<&str> = Some("cat\ndog\n");
const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";

/// Three loose pictures.
fn three(files: &Files) {
    files.pictures(&["1.png", "2.png", "3.png"]);
}

const THREE: [(&str, &str); 3] = [("1.png", "- ?"), ("2.png", "- ?"), ("3.png", "- ?")];

#[test]
fn images_are_known_by_their_first_bytes_where_their_names_do_not_tell() {
    let netpbm = |files: &Files| {
        let image = DynamicImage::from(image::load_from_memory(&picture("a")).unwrap().to_rgb8());
        files.bytes("00000.ppm", encode(&image, ImageFormat::Pnm));
        files.bytes("00001.pgm", encode(&image.to_luma8().into(), ImageFormat::Pnm));
        files.bytes("00002.PNM", b"P3\n2 1\n255\n255 0 0 0 255 0\n");
    };
    let nameless = |files: &Files| {
        files.bytes("n02084071_1", picture("a"));
        files.bytes("photo.2024", picture("b"));
        files.bytes("1.png", picture("c"));
        files.bytes("README", "about these pictures");
        files.bytes("notes.txt", picture("no image by its name"));
    };
    check_all(&[
        Input {
            name: "GTSRB's own format",
            put: &netpbm,
            classes: LIST,
            want: Taken(
                &["cat", "dog"],
                &[("00000.ppm", "- ?"), ("00001.pgm", "- ?"), ("00002.PNM", "- ?")],
                &[],
            ),
            ..Input::default()
        },
        Input {
            name: "no ending",
            put: &nameless,
            classes: LIST,
            want: Taken(
                &["cat", "dog"],
                &[("n02084071_1", "- ?"), ("photo.2024", "- ?"), ("1.png", "- ?")],
                &["2 files are no images"],
            ),
            ..Input::default()
        },
    ]);
}

#[test]
fn what_stands_in_place_of_an_image_is_named_or_left_out() {
    let pointer = |files: &Files| {
        three(files);
        files.bytes("4.jpg", POINTER);
    };
    let page = |files: &Files| {
        three(files);
        files.bytes("4.jpg", "<!DOCTYPE html><html><body>403 Forbidden</body></html>");
    };
    let empty = |files: &Files| {
        three(files);
        files.bytes("4.jpg", "");
    };
    check_all(&[
        Input {
            name: "a Git LFS pointer",
            put: &pointer,
            classes: LIST,
            want: Refused(&["Git LFS pointer", "git lfs pull", "`4.jpg`"]),
            ..Input::default()
        },
        Input {
            name: "a page in place of a picture",
            put: &page,
            classes: LIST,
            want: Refused(&["HTML", "`4.jpg`", "download.skip_unreadable=true"]),
            ..Input::default()
        },
        Input {
            name: "the same, left out",
            put: &page,
            classes: LIST,
            set: "download.skip_unreadable=true",
            want: Taken(&["cat", "dog"], &THREE, &["1 unreadable image is left out: `4.jpg`"]),
        },
        Input {
            name: "an empty file, left out",
            put: &empty,
            classes: LIST,
            set: "download.skip_unreadable=true",
            want: Taken(&["cat", "dog"], &THREE, &["`4.jpg`"]),
        },
    ]);
}

#[cfg(unix)]
#[test]
fn names_and_links_that_cannot_be_used_are_named_or_left_out() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let no_utf8 = |files: &Files| {
        three(files);
        std::fs::write(files.path("x").with_file_name(OsStr::from_bytes(b"caf\xe9.png")), picture("x"))
            .unwrap();
    };
    let broken = |files: &Files| {
        three(files);
        std::os::unix::fs::symlink("nowhere", files.path("4.png")).unwrap();
    };
    check_all(&[
        Input {
            name: "a name that is not UTF-8",
            put: &no_utf8,
            classes: LIST,
            want: Refused(&["not UTF-8", "download.skip_unreadable=true"]),
            ..Input::default()
        },
        Input {
            name: "the same, left out",
            put: &no_utf8,
            classes: LIST,
            set: "download.skip_unreadable=true",
            want: Taken(&["cat", "dog"], &THREE, &["1 file is left out", "caf"]),
        },
        Input {
            name: "a link to nowhere, left out",
            put: &broken,
            classes: LIST,
            set: "download.skip_unreadable=true",
            want: Taken(&["cat", "dog"], &THREE, &["`4.png`"]),
        },
    ]);
}

#[test]
fn labels_in_a_table_beside_the_images_are_taken() {
    let with = |name: &'static str, text: &'static str| {
        move |files: &Files| {
            three(files);
            files.bytes(name, text);
        }
    };
    let labelled = [("1.png", "- cat"), ("2.png", "- dog"), ("3.png", "- ?")];
    check_all(&[
        Input {
            name: "a table of another name",
            put: &with("labels.csv", "file,label\n1.png,cat\n"),
            classes: LIST,
            want: Taken(&["cat", "dog"], &THREE, &["not read: `labels.csv`", "metadata.csv"]),
            ..Input::default()
        },
        Input {
            name: "a column of labels that the user names",
            put: &with("metadata.csv", "file_name,breed\n1.png,cat\n2.png,dog\n"),
            set: "download.label_column=breed",
            want: Taken(&["cat", "dog"], &labelled, &[]),
            ..Input::default()
        },
        Input {
            name: "metadata.csv",
            put: &with("metadata.csv", "file_name,label\n1.png,cat\n2.png,dog\n"),
            want: Taken(&["cat", "dog"], &labelled, &["`label`", "without a label: 1"]),
            ..Input::default()
        },
        Input {
            name: "metadata.jsonl with numbers",
            put: &with(
                "metadata.jsonl",
                "{\"file_name\": \"1.png\", \"label\": 0}\n{\"file_name\": \"2.png\", \"label\": 1}\n",
            ),
            classes: LIST,
            want: Taken(&["cat", "dog"], &labelled, &[]),
            ..Input::default()
        },
        Input {
            name: "semicolons, a byte order mark and Windows' lines",
            put: &with("metadata.csv", "\u{feff}file_name;Label\r\n./1.png;cat\r\n2.png;\"dog\"\r\n"),
            want: Taken(&["cat", "dog"], &labelled, &[]),
            ..Input::default()
        },
        Input {
            name: "one file with two labels",
            put: &with("metadata.csv", "file_name,label\n1.png,cat\n1.png,dog\n"),
            want: Refused(&["`1.png`", "two labels"]),
            ..Input::default()
        },
        Input {
            name: "rows of other images alone",
            put: &with("metadata.csv", "file_name,label\na.png,cat\nb.png,dog\n"),
            want: Refused(&["`a.png`", "`1.png`"]),
            ..Input::default()
        },
        Input {
            name: "no column of labels",
            put: &with("metadata.csv", "file_name,caption\n1.png,a cat\n"),
            classes: LIST,
            want: Taken(&["cat", "dog"], &THREE, &["no column of labels"]),
            ..Input::default()
        },
    ]);
}

/// A tar archive with these members.
fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in members {
        let mut head = [0u8; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[100..107].copy_from_slice(b"0000644");
        head[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        head[136..147].copy_from_slice(b"00000000000");
        head[156] = b'0';
        head[257..263].copy_from_slice(b"ustar\0");
        head[148..156].copy_from_slice(b"        ");
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.write_all(&head).unwrap();
        bytes.write_all(content).unwrap();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[test]
fn archives_of_samples_are_read_as_they_lie() {
    let shards = |files: &Files| {
        let sample = |name: &str, label: &str| {
            [(format!("{name}.png"), picture(name)), (format!("{name}.cls"), label.as_bytes().to_vec())]
        };
        let archive = |samples: &[(&str, &str)]| {
            let members: Vec<_> = samples.iter().flat_map(|(name, label)| sample(name, label)).collect();
            let members: Vec<(&str, Vec<u8>)> =
                members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
            tar(&members)
        };
        files.bytes("set-train-000000.tar", archive(&[("000", "0"), ("001", "1")]));
        files.bytes("set-train-000001.tar", archive(&[("000", "1")]));
        files.bytes("set-test-000000.tar", archive(&[("000", "0")]));
    };
    let json = |files: &Files| {
        let label = |name: &str| format!("{{\"label\": \"{name}\", \"url\": \"x\"}}").into_bytes();
        files.bytes(
            "a.tar",
            tar(&[
                ("1.json", label("cat")),
                ("1.jpg", picture("1")),
                ("1.seg.png", picture("mask")),
                ("2.jpg", picture("2")),
                ("2.json", label("dog")),
                ("3.jpg", picture("3")),
            ]),
        );
    };
    let dotted = |files: &Files| {
        let label = |label: &str| label.as_bytes().to_vec();
        files.bytes(
            "a.tar",
            tar(&[
                ("s0.v1.png", picture("1")),
                ("s0.v1.cls", label("0")),
                ("s0.v2.png", picture("2")),
                ("s0.v2.cls", label("1")),
                ("s1.input.png", picture("3")),
                ("s1.target.cls", label("1")),
            ]),
        );
    };
    let species = |files: &Files| {
        let label = |name: &str| format!("{{\"species\": \"{name}\", \"label\": 0}}").into_bytes();
        files.bytes(
            "a.tar",
            tar(&[
                ("1.json", label("dog")),
                ("1.jpg", picture("1")),
                ("2.json", label("cat")),
                ("2.jpg", picture("2")),
                ("3.json", label("dog")),
                ("3.jpg", picture("3")),
            ]),
        );
    };
    let frames = |files: &Files| {
        let names: Vec<String> = (0..6).map(|n| format!("img.{n:04}.png")).collect();
        let members: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (name.as_str(), picture(name))).collect();
        files.bytes("a.tar", tar(&members));
    };
    let folders = |files: &Files| {
        files.bytes("a.tar", tar(&[("cat/1.png", picture("1")), ("dog/1.png", picture("2"))]))
    };
    let cut = |files: &Files| {
        let whole = tar(&[("1.png", picture("1")), ("2.png", picture("2"))]);
        files.bytes("a.tar", &whole[..700]);
    };
    check_all(&[
        Input {
            name: "WebDataset's shards",
            put: &shards,
            classes: LIST,
            want: Taken(
                &["cat", "dog"],
                &[
                    ("set-train-000000/000", "train cat"),
                    ("set-train-000000/001", "train dog"),
                    ("set-train-000001/000", "train dog"),
                    ("set-test-000000/000", "test cat"),
                ],
                &[],
            ),
            ..Input::default()
        },
        Input {
            name: "labels in JSON, and masks",
            put: &json,
            want: Taken(
                &["cat", "dog"],
                &[("a/1", "- cat"), ("a/2", "- dog"), ("a/3", "- ?")],
                &["seg.png", "download.image_column"],
            ),
            ..Input::default()
        },
        Input {
            name: "dots in the names, each with its label",
            put: &dotted,
            classes: LIST,
            want: Taken(
                &["cat", "dog"],
                &[("a/s0.v1", "- cat"), ("a/s0.v2", "- dog"), ("a/s1", "- dog")],
                &[],
            ),
            ..Input::default()
        },
        Input {
            name: "the user names the key of the labels",
            put: &species,
            classes: LIST,
            set: "download.label_column=species",
            want: Taken(&["cat", "dog"], &[("a/1", "- dog"), ("a/2", "- cat"), ("a/3", "- dog")], &[]),
        },
        Input {
            name: "a key that is not there",
            put: &species,
            classes: LIST,
            set: "download.label_column=kind",
            want: Refused(&["kind", "`species`"]),
        },
        Input {
            name: "numbers after a dot",
            put: &frames,
            classes: LIST,
            want: Taken(
                &["cat", "dog"],
                &[
                    ("a/img.0000", "- ?"),
                    ("a/img.0001", "- ?"),
                    ("a/img.0002", "- ?"),
                    ("a/img.0003", "- ?"),
                    ("a/img.0004", "- ?"),
                    ("a/img.0005", "- ?"),
                ],
                &[],
            ),
            ..Input::default()
        },
        Input {
            name: "an archive of class folders",
            put: &folders,
            classes: LIST,
            want: Refused(&["`cat`, `dog`", "unpack"]),
            ..Input::default()
        },
        Input {
            name: "an archive that is cut off",
            put: &cut,
            classes: LIST,
            want: Refused(&["a.tar", "cut off"]),
            ..Input::default()
        },
        Input {
            name: "a zip",
            put: &|files: &Files| files.bytes("a.zip", b"PK\x03\x04"),
            classes: LIST,
            want: Refused(&["there is no image", ".zip: 1", "unpack"]),
            ..Input::default()
        },
    ]);
}

fn idx(shape: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|side| bytes.extend(side.to_be_bytes()));
    bytes.extend(values);
    bytes
}

#[test]
fn idx_files_packed_and_unpacked_and_numbered_from_one_are_read() {
    let put = |files: &Files| {
        for (name, count) in [("train", 3u32), ("t10k", 2)] {
            let images = idx(&[count, 4, 4], &vec![9; count as usize * 16]);
            let labels = idx(&[count], &[1, 2, 2][..count as usize]);
            for (what, bytes) in [("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)] {
                let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                packed.write_all(&bytes).unwrap();
                files.bytes(&format!("raw/{name}-{what}"), bytes);
                files.bytes(&format!("raw/{name}-{what}.gz"), packed.finish().unwrap());
            }
        }
    };
    let images = [
        ("train/000000", "train cat"),
        ("train/000001", "train dog"),
        ("train/000002", "train dog"),
        ("t10k/000000", "test cat"),
        ("t10k/000001", "test dog"),
    ];
    check_all(&[
        Input {
            name: "torchvision's raw folder, EMNIST's numbers",
            put: &put,
            classes: LIST,
            want: Taken(&["cat", "dog"], &images, &["numbered from 1", "download.first_label", ".gz"]),
            ..Input::default()
        },
        Input {
            name: "the user says that they are places",
            put: &put,
            classes: LIST,
            set: "download.first_label=0",
            want: Refused(&["label 2", "from 0", "download.first_label"]),
        },
    ]);
}
