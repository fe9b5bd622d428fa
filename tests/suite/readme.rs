//! The README: each of its blocks is run by a test or by `.ci/run`, and each command in it is one that make knows.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// Language and content of each fenced block.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut parts = text.split("\n```");
    parts.next();
    let mut found = Vec::new();
    while let Some(block) = parts.next() {
        let (language, content) = block.split_once('\n').unwrap();
        found.push((language.to_owned(), content.to_owned()));
        parts.next();
    }
    found
}

#[test]
fn every_block_is_run_somewhere() {
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    for (language, content) in blocks(&readme()) {
        match language.as_str() {
            // `.ci/run` types these as they stand; own_images.rs runs the others' program with the same arguments.
            "sh" => {
                for line in content.lines().filter(|line| !line.trim().is_empty()) {
                    let covered = ci.lines().any(|command| command == line) || line.contains("IMAGES=");
                    assert!(covered, "nobody runs `{line}`");
                }
            }
            "sql" | "python" => assert!(ci.contains("tests/readers/readme.py")),
            // What a run prints, and the map of the folders.
            "text" | "" => {}
            other => panic!("nobody runs blocks of `{other}`"),
        }
    }
}

#[test]
fn every_command_is_one_that_make_knows() {
    let text = readme();
    let inline = text.split('`').skip(1).step_by(2);
    let mut commands: Vec<String> =
        inline.filter(|words| words.starts_with("make ")).map(str::to_owned).collect();
    let blocks = blocks(&text).into_iter().filter(|(language, _)| language == "sh");
    commands.extend(blocks.flat_map(|(_, content)| content.lines().map(str::to_owned).collect::<Vec<_>>()));
    commands.retain(|command| !command.trim().is_empty());
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        // A word such as A|B stands for a choice.
        let dry = format!("{} --dry-run", command.replace('|', "-"));
        let run = Command::new("sh").args(["-c", &dry]).current_dir(root()).output().unwrap();
        let told = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "`{command}`: {told}");
    }
}

#[test]
fn what_the_readme_links_to_is_there() {
    for link in readme().split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0) {
        if let Some(heading) = link.strip_prefix('#') {
            let headings = readme()
                .lines()
                .filter_map(|line| line.strip_prefix("## ").map(str::to_lowercase))
                .collect::<Vec<_>>();
            assert!(
                headings.iter().any(|title| title.replace(' ', "-") == heading),
                "no {link}: {headings:?}"
            );
        } else if !link.starts_with("http") {
            assert!(root().join(link).exists(), "no {link}");
        }
    }
}
