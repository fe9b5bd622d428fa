#![allow(clippy::unwrap_used)]
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn written(folder: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn of(name: &str, content: impl AsRef<[u8]>) -> Result<VoteTable> {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, name, content);
    check(&path)?;
    read(&path, &lone_annotator(&path).unwrap_or_default())
}

fn refused(name: &str, content: impl AsRef<[u8]>, words: &[&str]) {
    let error = of(name, content).unwrap_err().to_string();
    assert!([&[name], words].concat().iter().all(|word| error.contains(word)), "{error}");
    assert!(error.contains("help: "), "{error}");
}

fn text(answer: &str) -> Option<VoteAnswer> {
    Some(VoteAnswer::Text(answer.to_owned()))
}

/// The rows without their places.
fn brief(table: &VoteTable) -> Vec<(&str, &str, Option<VoteAnswer>, f64)> {
    let brief = |row: &VoteRow| (row.id.clone(), row.annotator.clone(), row.answer.clone(), row.confidence);
    table
        .rows
        .iter()
        .map(|row| (row.id.as_str(), row.annotator.as_str(), brief(row).2, row.confidence))
        .collect()
}

const CSV: &str = "id,annotator,class,confidence\na/1,llava,\"a cat, I think\",0.5\na/2,anna,dog,\n";
const JSON: &str = "{\"id\": \"a/1\", \"annotator\": \"llava\", \"class\": \"a cat, I think\", \"confidence\": 0.5}\n\n{\"id\": \"a/2\", \"annotator\": \"anna\", \"class\": \"dog\", \"confidence\": NaN}\n";

#[test]
fn a_table_is_the_same_in_every_format_whatever_it_is_called() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(CSV.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let utf16: Vec<u8> = format!("\u{feff}{CSV}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let semicolons =
        "sep=;\r\nid;annotator;class;confidence\r\na/1;llava;a cat, I think;0,5\r\na/2;anna;dog;\r\n";
    let array = format!("[{}]", JSON.trim().replace("\n\n", ","));
    let spread = JSON.replace(", \"class\"", ",\n \"class\"");
    for (name, content) in [
        ("votes.csv", CSV.as_bytes()),
        ("votes", CSV.as_bytes()),
        ("votes.txt", CSV.as_bytes()),
        ("votes.csv", format!("\u{feff}{}", CSV.replace('\n', "\r\n")).as_bytes()),
        ("votes.csv", &utf16),
        ("votes.csv", semicolons.as_bytes()),
        (
            "votes.tsv",
            "id\tannotator\tclass\tconfidence\na/1\tllava\ta cat, I think\t50%\na/2\tanna\tdog\tnull"
                .as_bytes(),
        ),
        ("votes.csv.gz", &packed),
        ("votes.csv", &packed),
        ("votes.jsonl", JSON.as_bytes()),
        ("votes.ndjson", JSON.as_bytes()),
        ("votes", JSON.as_bytes()),
        ("votes.json", array.as_bytes()),
        ("votes.json", spread.as_bytes()),
    ] {
        let table = of(name, content).unwrap();
        let expected = [("a/1", "llava", text("a cat, I think"), 0.5), ("a/2", "anna", text("dog"), 1.0)];
        assert_eq!(brief(&table), expected, "{name}");
    }
}

#[test]
fn numbers_are_numbers_where_the_whole_column_is() {
    let classes = |name: &str, values: &[&str]| -> Vec<Option<VoteAnswer>> {
        let rows = values.iter().map(|value| match name {
            "x.csv" => format!("i,m,{value}\n"),
            _ => format!("{{\"id\": \"i\", \"annotator\": \"m\", \"class\": {value}}}\n"),
        });
        let head = if name == "x.csv" { "id,annotator,class\n" } else { "" };
        let table = of(name, format!("{head}{}", rows.collect::<String>())).unwrap();
        table.rows.into_iter().map(|row| row.answer).collect()
    };
    let numeral = |number| Some(VoteAnswer::Numeral(number));
    let number = |number| Some(VoteAnswer::Number(number));
    assert_eq!(
        classes("x.csv", &["7", "", "2.0", "null", "NaN"]),
        [numeral(7), None, numeral(2), None, None]
    );
    assert_eq!(classes("x.csv", &["7", "none", "-"]), [numeral(7), text("none"), text("-")]);
    assert_eq!(classes("x.csv", &["7", "cat", ""]), [text("7"), text("cat"), None]);
    assert_eq!(classes("x.csv", &["7.5", "1"]), [text("7.5"), text("1")]);
    assert_eq!(classes("x.jsonl", &["7", "null", "2.0"]), [number(7), None, number(2)]);
    assert_eq!(classes("x.jsonl", &["7", "\"cat\""]), [text("7"), text("cat")]);
    assert_eq!(classes("x.jsonl", &["[\"cat\", \"dog\"]"]), [text("[\"cat\",\"dog\"]")]);
}

#[test]
fn a_table_that_does_not_say_who_is_of_one_annotator_called_as_the_file_is() {
    let table = of("gpt-4.1.csv.gz", "file_name,Prediction\na/1,cat\n").unwrap();
    assert_eq!(table.rows[0].annotator, "gpt-4.1");
    assert!(table.notes.iter().any(|note| note.contains("`gpt-4.1`")), "{:?}", table.notes);
    assert!(
        table.notes.iter().any(|note| note.contains("`Prediction` is taken for `class`")),
        "{:?}",
        table.notes
    );
}

#[test]
fn exported_labels_that_somebody_corrected_are_votes_without_a_confidence() {
    let csv = "id,split,label,confidence,source,candidates,truth\na/1,train,dog,0.36,co-reg,cat|cow,\na/2,train,,,,cat,\n";
    let json = "{\"id\":\"a/1\",\"split\":\"train\",\"label\":\"dog\",\"confidence\":0.36,\"source\":\"co-reg\",\"candidates\":[\"cat\",\"cow\"],\"truth\":null}\n\
                {\"id\":\"a/2\",\"split\":\"train\",\"label\":null,\"confidence\":null,\"source\":null,\"candidates\":[\"cat\"],\"truth\":null}\n";
    for (name, content) in [("labels.csv", csv), ("labels.jsonl", json)] {
        let table = of(name, content).unwrap();
        let expected = [("a/1", "labels", text("dog"), 1.0), ("a/2", "labels", None, 1.0)];
        assert_eq!(brief(&table), expected, "{name}");
        assert!(table.notes.iter().any(|note| note.contains("exported")), "{:?}", table.notes);
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    refused("x.csv", "id,annotator,class\na,m,cat\nb,m,cat,dog\n", &["line 3", "4 fields", "quotes"]);
    refused("x.csv", "id,annotator,class\na,m,cat\n,m,cat\n", &["line 3", "no id"]);
    refused("x.csv", "id,annotator,class,confidence\na,m,cat,sure\n", &["line 2", "`sure`"]);
    refused("x.csv", "id,annotator\na,m\n", &["no column `class`", "id, annotator"]);
    for name in ["x.csv", "x.jsonl", "x.parquet", "x"] {
        refused(name, "", &["the file is empty"]);
    }
    refused("x.csv", " \n\n", &["the file is empty"]);
    refused("x.csv", "# a comment\n", &["no line of names"]);
    refused(
        "x.jsonl",
        "{\"id\": \"a\", \"annotator\": \"m\", \"class\": \"cat\"}\n{\"id\": \n",
        &["line 2", "no JSON"],
    );
    refused("x.jsonl", "{\"id\": \"a\", \"annotator\": \"m\", \"class\": true}\n", &["line 1", "true"]);
    refused("x.json", "[{\"id\": \"a\", \"annotator\": \"m\", \"class\": 1.5}]", &["entry 1", "1.5"]);
    refused("x.json", "[1]", &["entry 1", "no object"]);
    refused(
        "x.json",
        "{\"id\": {\"0\": \"a\"}, \"annotator\": {\"0\": \"m\"}, \"class\": {\"0\": \"cat\"}}",
        &["line 1", "records"],
    );
    refused("x.csv", b"id,annotator,class\na,m,caf\xe9\n", &["UTF-8"]);
}

#[test]
fn what_is_no_table_of_votes_is_refused_by_name() {
    refused("votes.xlsx", b"PK\x03\x04 and so on", &["Excel", "CSV"]);
    refused("votes.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", &["old Excel"]);
    refused(
        "votes.parquet",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        &["git lfs pull"],
    );
    refused("votes.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", &["git lfs pull"]);
    refused("votes.parquet", "id,annotator,class\n", &["cannot read the table of votes", "Parquet"]);
    refused("votes.csv.gz", b"\x1f\x8b\x08\x00\x00", &["cannot unpack"]);
}
