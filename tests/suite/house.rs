//! The house: which room of the sources may know which, and what the sources say of themselves. It reads them as text.
//!
//! A room is a folder of `stages/src`. Tests in the sources are left out: they may reach for whatever they need.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The rooms from the top floor down, each with those that it may import from.
const ROOMS: [(&str, &[&str]); 15] = [
    (
        "cli",
        &["experiment", "methods", "results", "report", "export", "learn", "dataset", "artifacts", "runtime"],
    ),
    (
        "experiment",
        &[
            "methods",
            "results",
            "report",
            "annotation",
            "learn",
            "dataset",
            "artifacts",
            "network",
            "runtime",
        ],
    ),
    ("methods", &["learn", "dataset", "artifacts", "network", "vision", "runtime"]),
    ("results", &["learn", "artifacts", "network", "vision", "runtime"]),
    ("report", &["learn", "artifacts", "vision"]),
    ("export", &["artifacts", "network", "vision", "runtime"]),
    ("annotation", &["learn", "dataset", "hub", "artifacts", "clip", "vision", "runtime"]),
    ("learn", &["artifacts", "network", "vision", "runtime"]),
    ("dataset", &["hub", "artifacts", "clip", "vision", "runtime"]),
    ("hub", &["runtime"]),
    ("artifacts", &["network", "runtime"]),
    ("network", &["runtime"]),
    ("clip", &["vision", "runtime"]),
    ("vision", &["runtime"]),
    ("runtime", &[]),
];

/// Crates that open connections: `hub/` alone names them.
const CONNECTIONS: [&str; 5] = ["hf_hub", "reqwest", "tokio", "ureq", "TcpStream"];

/// Crates that the engine never hears of.
const NOT_OF_THE_ENGINE: [&str; 6] =
    ["candle_core", "candle_nn", "candle_transformers", "arrow", "parquet", "image"];

/// What "knows nothing of …" means: the claim, and the words that the code of such a file does not import.
const CLAIMS: [(&str, &[&str]); 18] = [
    ("batches", &["Views", "views"]),
    ("caching", &["store", "Store"]),
    ("clip", &["clip"]),
    ("data sets", &["dataset"]),
    ("files", &["fs", "File", "Path", "PathBuf"]),
    ("graphs", &["graph", "Graph", "Handle"]),
    ("images", &["image", "vision", "Images", "Pixels"]),
    ("labels", &["annotation", "Labels"]),
    ("locks", &["lock", "Lock"]),
    ("losses", &["losses"]),
    ("networks", &["network", "Network", "Architecture"]),
    ("parquet", &["parquet", "arrow"]),
    ("records", &["record", "Record"]),
    ("schedules", &["schedule", "Scheduler"]),
    ("stages", &["Stage"]),
    ("stores", &["store", "Store"]),
    ("tensors", &["candle_core", "Tensor"]),
    ("threads", &["thread", "rayon"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files below `folder` of the repository with one of these endings, by their places in it, without what builds and
/// runs leave there.
fn files(folder: &str, endings: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let made = ["target", "artifacts"].into_iter().any(|made| path == root().join(made));
            if path.is_dir() {
                if !name.starts_with('.') && !made {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let place = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.insert(place, std::fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

/// Sources of a crate without those that are tests by their names.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut all = files(folder, &[".rs"]);
    all.retain(|place, _| {
        let name = place.rsplit('/').next().unwrap();
        !(name == "tests.rs"
            || name.ends_with("_tests.rs")
            || place.contains("/tests/")
            || place.contains("/golden/"))
    });
    assert!(all.len() > 15, "{folder} has {} sources", all.len());
    all
}

/// A word or a sign of Rust, and the line it stands on.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    line: usize,
}

/// The tokens of a source without comments, literals, and what is under `#[cfg(test)]`. `::` is one token.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let end_of_word = |from: usize| (from..chars.len()).find(|&j| !word(chars[j])).unwrap_or(chars.len());
    let (mut all, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let c = chars[i];
        let (end, is_token) = if c == '/' && at(i + 1) == '/' {
            ((i..chars.len()).find(|&j| chars[j] == '\n').unwrap_or(chars.len()), false)
        } else if c == '/' && at(i + 1) == '*' {
            (end_of_comment(&chars, i), false)
        } else if let Some(end) = literal(&chars, i) {
            (end.min(chars.len()), false)
        } else if word(c) {
            (end_of_word(i), true)
        } else if c == ':' && at(i + 1) == ':' {
            (i + 2, true)
        } else {
            (i + 1, !c.is_whitespace())
        };
        if is_token {
            all.push(Token { text: chars[i..end].iter().collect(), line });
        }
        line += chars[i..end].iter().filter(|&&c| c == '\n').count();
        i = end;
    }
    without_tests(all)
}

/// The end of a comment in `/* */` that begins at `i`; such comments may hold others.
fn end_of_comment(chars: &[char], i: usize) -> usize {
    let (mut depth, mut j) = (1, i + 2);
    while depth > 0 && j < chars.len() {
        match (chars[j], chars.get(j + 1)) {
            ('/', Some('*')) => (depth, j) = (depth + 1, j + 2),
            ('*', Some('/')) => (depth, j) = (depth - 1, j + 2),
            _ => j += 1,
        }
    }
    j
}

/// The end of a string or a character that begins at `i`.
fn literal(chars: &[char], i: usize) -> Option<usize> {
    raw_string(chars, i).or_else(|| string(chars, i)).or_else(|| character(chars, i))
}

/// The end of a raw string that begins at `i`.
fn raw_string(chars: &[char], i: usize) -> Option<usize> {
    let after_word = i > 0 && (chars[i - 1].is_alphanumeric() || chars[i - 1] == '_');
    let prefix =
        ["br", "cr", "r"].into_iter().find(|p| chars[i..].starts_with(&p.chars().collect::<Vec<_>>()))?;
    let hashes = chars[i + prefix.len()..].iter().take_while(|&&c| c == '#').count();
    let open = i + prefix.len() + hashes;
    if after_word || chars.get(open) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let end = (open + 1..chars.len()).find(|&j| chars[j..].starts_with(&close))?;
    Some(end + close.len())
}

/// The end of a string that begins at `i`.
fn string(chars: &[char], i: usize) -> Option<usize> {
    if chars[i] != '"' {
        return None;
    }
    let mut j = i + 1;
    while j < chars.len() && chars[j] != '"' {
        j += if chars[j] == '\\' { 2 } else { 1 };
    }
    Some(j + 1)
}

/// The end of a character that begins at `i`; a lifetime is none.
fn character(chars: &[char], i: usize) -> Option<usize> {
    if chars[i] != '\'' {
        return None;
    }
    if chars.get(i + 1) == Some(&'\\') {
        return (i + 3..chars.len()).find(|&j| chars[j] == '\'').map(|j| j + 1);
    }
    (chars.get(i + 2) == Some(&'\'')).then_some(i + 3)
}

/// Drops every item under `#[cfg(test)]` or `#[cfg(all(test, …))]`: to the `;`, or to the end of its block.
fn without_tests(all: Vec<Token>) -> Vec<Token> {
    let (mut kept, mut i) = (Vec::new(), 0);
    while i < all.len() {
        let texts: Vec<&str> = all[i..].iter().take(7).map(|token| token.text.as_str()).collect();
        let of_tests = matches!(&texts[..], ["#", "[", "cfg", "(", "test", ..])
            || matches!(&texts[..], ["#", "[", "cfg", "(", "all", "(", "test"]);
        if !of_tests {
            kept.push(all[i].clone());
            i += 1;
            continue;
        }
        let (mut depth, mut block) = (0usize, false);
        while i < all.len() {
            match all[i].text.as_str() {
                "{" | "[" | "(" => {
                    block |= depth == 0 && all[i].text == "{";
                    depth += 1;
                }
                "}" | "]" | ")" => depth -= 1,
                _ => {}
            }
            let ends = depth == 0 && (all[i].text == ";" || (block && all[i].text == "}"));
            i += 1;
            if ends {
                break;
            }
        }
    }
    kept
}

/// The modules that a source stands in: `stages/src/learn/losses.rs` in `["learn", "losses"]`.
fn modules(place: &str) -> Vec<String> {
    let inner = place.split_once("/src/").unwrap().1.strip_suffix(".rs").unwrap();
    let mut modules: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if modules.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        modules.pop();
    }
    modules
}

/// What a source takes from its crate: the first module of each path below `crate`, and the line. `super` is followed.
fn taken(place: &str, source: &str) -> Vec<(String, usize)> {
    let all = tokens(source);
    let text = |i: usize| all.get(i).map_or("", |token| token.text.as_str());
    let own = modules(place);
    let mut found = Vec::new();
    // Modules written out in the file, with the depth of braces at which each ends.
    let (mut inner, mut depth): (Vec<usize>, usize) = (Vec::new(), 0);
    let mut i = 0;
    while i < all.len() {
        match text(i) {
            "{" => {
                if i >= 2 && text(i - 2) == "mod" {
                    inner.push(depth);
                }
                depth += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                if inner.last() == Some(&depth) {
                    inner.pop();
                }
            }
            "crate" | "super" if i == 0 || text(i - 1) != "::" => {
                let mut level =
                    if text(i) == "crate" { 0 } else { (own.len() + inner.len()).saturating_sub(1) };
                let mut next = i + 1;
                while text(next) == "::" && text(next + 1) == "super" {
                    (level, next) = (level.saturating_sub(1), next + 2);
                }
                if text(next) == "::" {
                    if level > 0 {
                        found.extend(own.first().map(|room| (room.clone(), all[i].line)));
                    } else {
                        let names = names_after(&all, next + 1);
                        found.extend(names.into_iter().map(|name| (name, all[i].line)));
                    }
                }
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// The name at `i`, or the first name of each branch of the braces there.
fn names_after(all: &[Token], i: usize) -> Vec<String> {
    if all.get(i).map(|token| token.text.as_str()) != Some("{") {
        return all.get(i).map(|token| token.text.clone()).into_iter().collect();
    }
    let (mut names, mut depth) = (Vec::new(), 0);
    for (before, token) in all[i..].iter().zip(&all[i + 1..]) {
        match before.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && ["{", ","].contains(&before.text.as_str()) && token.text != "}" {
            names.push(token.text.clone());
        }
    }
    names
}

/// Every word of a path and every word of a `use`.
fn named(source: &str) -> BTreeSet<String> {
    let all = tokens(source);
    let mut found = BTreeSet::new();
    let mut within_use = false;
    for (i, token) in all.iter().enumerate() {
        let beside = |j: usize| all.get(j).is_some_and(|token| token.text == "::");
        match token.text.as_str() {
            "use" => within_use = true,
            ";" => within_use = false,
            word if within_use || beside(i + 1) || (i > 0 && beside(i - 1)) => {
                found.insert(word.to_owned());
            }
            _ => {}
        }
    }
    found
}

#[test]
fn imports_are_read_in_each_of_their_forms() {
    let source = "
        //! [`crate::cli`]
        use crate::{learn::{losses, mixup::mix}, vision};
        use super::super::hub::client;
        pub(in crate::network) fn f() -> &'static str { let c = '\\''; /* crate::cli */ \"crate::cli\" }
        mod inner { fn g() { super::super::step::h(); crate::clip::encode(r#\"crate::cli\"#) } }
        #[cfg(test)]
        mod tests { use crate::cli; }
    ";
    let found = taken("stages/src/network/cpu/norm.rs", source);
    let found: Vec<(&str, usize)> = found.iter().map(|(room, line)| (room.as_str(), *line)).collect();
    let expected = [("learn", 3), ("vision", 3), ("network", 4), ("network", 5), ("network", 6), ("clip", 6)];
    assert_eq!(found, expected);
    assert_eq!(taken("stages/src/network/norm.rs", "use super::super::hub::client;")[0].0, "hub");
}

#[test]
fn every_source_stands_in_a_room() {
    let rooms: BTreeSet<String> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    let mut found = BTreeSet::new();
    for place in sources("stages/src").keys() {
        match &modules(place)[..] {
            [] => {}
            [room, ..] => {
                assert!(rooms.contains(room), "{place} stands in no room of the table");
                found.insert(room.clone());
            }
        }
    }
    assert_eq!(found, rooms, "the table has a room that is not there");
}

#[test]
fn the_floors_lie_below_each_other() {
    let floor = |room: &str| ROOMS.iter().position(|(name, _)| *name == room);
    for (room, below) in ROOMS {
        for other in below {
            assert!(floor(other) > floor(room), "{room} -> {other} does not run downwards");
        }
    }
}

#[test]
fn arrows_between_rooms_are_those_of_the_table_and_each_is_used() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.into_iter().collect();
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for (place, source) in sources("stages/src") {
        let Some(room) = modules(&place).first().cloned() else { continue };
        for (other, line) in taken(&place, &source) {
            if other == room {
                continue;
            }
            match allowed.get(room.as_str()).is_some_and(|below| below.contains(&other.as_str())) {
                true => drop(used.insert((room.clone(), other))),
                false => wrong.push(format!("{place}:{line}: {room} -> {other}")),
            }
        }
    }
    for (room, below) in ROOMS {
        for other in below {
            if !used.contains(&(room.to_owned(), (*other).to_owned())) {
                wrong.push(format!("the table allows {room} -> {other}, and nothing uses it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_hub_alone_opens_connections() {
    let mut by_the_hub = false;
    for (place, source) in sources("stages/src") {
        let named = named(&source);
        let of = CONNECTIONS.into_iter().find(|name| named.contains(*name));
        if place.starts_with("stages/src/hub/") {
            by_the_hub |= of.is_some();
        } else {
            assert_eq!(of, None, "{place} names a crate that opens connections");
        }
    }
    assert!(by_the_hub, "the hub names none of {CONNECTIONS:?}: is the list out of date?");
}

#[test]
fn the_engine_never_hears_of_images_and_tensors() {
    for (place, source) in sources("pipeline/src") {
        let named = named(&source);
        let of = NOT_OF_THE_ENGINE.into_iter().find(|name| named.contains(*name));
        assert_eq!(of, None, "{place} names a crate that the engine does not need");
    }
    let manifest = std::fs::read_to_string(root().join("pipeline/Cargo.toml")).unwrap();
    let names = manifest
        .lines()
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .map(|name| name.replace('-', "_"));
    let of: Vec<String> = names.filter(|name| NOT_OF_THE_ENGINE.contains(&name.as_str())).collect();
    assert!(of.is_empty(), "pipeline/Cargo.toml depends on {of:?}");
}

/// The comments of a source as one line of words, without the marks that begin them.
fn prose(source: &str) -> String {
    let words = |line: &str| {
        let line = line.trim_start();
        let marks = ["//!", "///", "//", "#"];
        marks.iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line).trim().to_owned()
    };
    source.lines().map(words).collect::<Vec<_>>().join(" ")
}

/// The comments alone, as [`prose`].
fn comments(source: &str) -> String {
    let of = |line: &&str| line.trim_start().starts_with("//");
    prose(&source.lines().filter(of).collect::<Vec<_>>().join("\n"))
}

#[test]
fn what_a_file_says_it_knows_nothing_of_it_does_not_import() {
    let claims: BTreeMap<&str, &[&str]> = CLAIMS.into_iter().collect();
    let (mut wrong, mut held) = (Vec::new(), BTreeSet::new());
    for (place, source) in sources("stages/src").into_iter().chain(sources("pipeline/src")) {
        let comments = comments(&source);
        let of_all = ["knows nothing of ", "know nothing of ", "Knows nothing of "];
        let said = of_all
            .into_iter()
            .flat_map(|words| comments.split(words).skip(1).map(str::to_owned).collect::<Vec<_>>());
        for said in said {
            let list =
                said.split(['.', ':', ';']).next().unwrap().replace(" or ", ", ").replace(" and ", ", ");
            for what in list.split(", ").map(|what| what.trim_start_matches("or ").trim().to_lowercase()) {
                let Some((&claim, words)) = claims.get_key_value(what.as_str()) else {
                    wrong.push(format!(
                        "{place}: \"knows nothing of {what}\" is a claim that no test holds: say it otherwise"
                    ));
                    continue;
                };
                held.insert(claim);
                let named = named(&source);
                // The room that the file stands in is no import.
                let own = modules(&place).first().cloned().unwrap_or_default();
                if let Some(word) = words.iter().find(|word| **word != own && named.contains(**word)) {
                    wrong.push(format!("{place} names `{word}` and says that it knows nothing of {what}"));
                }
            }
        }
    }
    let idle: Vec<&&str> = claims.keys().filter(|claim| !held.contains(**claim)).collect();
    if !idle.is_empty() {
        wrong.push(format!("nobody claims to know nothing of {idle:?}: take it out of the table"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The numbers after a `§` or `§§`: `5`, `4, 5 and 7`, `5–9`.
fn sections(text: &str) -> Vec<u32> {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok().map(|number| (number, digits.len()))
    };
    let mut rest = text.trim_start_matches('§').trim_start();
    let mut found = Vec::new();
    let mut through = false;
    while let Some((next, length)) = number(rest) {
        match (through, found.last().copied()) {
            (true, Some(last)) => found.extend(last + 1..=next),
            _ => found.push(next),
        }
        rest = &rest[length..];
        let several = text.starts_with("§§");
        let Some(mark) = [", ", " and ", "–", "-"].into_iter().find(|mark| several && rest.starts_with(mark))
        else {
            break;
        };
        through = ["–", "-"].contains(&mark);
        rest = &rest[mark.len()..];
    }
    found
}

/// The numbers of the method's headings.
fn headings(method: &str) -> BTreeSet<u32> {
    let numbers = method.lines().filter_map(|line| line.strip_prefix("## ")?.split_once('.')?.0.parse().ok());
    numbers.collect()
}

fn method() -> String {
    std::fs::read_to_string(root().join("docs/method.md")).unwrap()
}

#[test]
fn sections_are_read_in_each_of_their_forms() {
    assert_eq!(sections("§5)"), [5]);
    assert_eq!(sections("§3, \"Normalisation\""), [3]);
    assert_eq!(sections("§§4, 5 and 7 as"), [4, 5, 7]);
    assert_eq!(sections("§§5–9) two"), [5, 6, 7, 8, 9]);
    assert_eq!(sections("§§6-8)"), [6, 7, 8]);
    assert_eq!(sections("§N"), [0u32; 0]);
}

#[test]
fn every_section_that_is_cited_is_in_the_method() {
    let headings = headings(&method());
    assert_eq!(headings, (1..=headings.len() as u32).collect());
    let (mut cited, mut wrong) = (BTreeSet::new(), Vec::new());
    for (place, source) in files("", &[".rs", ".md", ".toml", ".py"]) {
        if place == "tests/suite/house.rs" {
            continue;
        }
        let text = prose(&source);
        for (at, _) in text.match_indices('§') {
            if text[..at].ends_with('§') {
                continue; // The second half of a §§.
            }
            let own = place == "docs/method.md";
            let explained = own && text[at..].starts_with("§N");
            // After its first `method §` a page may leave the word out.
            if !(own || text[..at].contains("method §") || text[..at].ends_with("method ")) {
                wrong
                    .push(format!("{place}: § stands without the document it is of: {}", excerpt(&text, at)));
            }
            let numbers = sections(&text[at..]);
            if numbers.is_empty() && !explained {
                wrong.push(format!("{place}: § without a number: {}", excerpt(&text, at)));
            }
            for number in numbers {
                if !headings.contains(&number) {
                    wrong.push(format!(
                        "{place}: docs/method.md has no section {number}: {}",
                        excerpt(&text, at)
                    ));
                }
                if !own {
                    cited.insert(number);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cited.len() > 10, "few sections are cited: {cited:?}");
}

/// The words around a place in a text.
fn excerpt(text: &str, at: usize) -> String {
    let before: String = text[..at].chars().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect();
    before + &text[at..].chars().take(30).collect::<String>()
}

#[test]
fn marks_are_explained_where_they_are_used() {
    let method = method();
    for mark in ["**[P]**", "**[I]**", "**[ours]**"] {
        assert!(method.contains(mark), "docs/method.md does not explain {mark}");
    }
    let mut users = 0;
    for (place, source) in sources("stages/src") {
        let comments = comments(&source).replace('\\', "");
        let marks = [["[P]", "[P:", "[P,", "[P "], ["[I]", "[I:", "[I,", "[I "]].concat();
        if let Some(first) = marks.into_iter().filter_map(|mark| comments.find(mark)).min() {
            users += 1;
            let pages = ["docs/method.md", "docs/methods.md"];
            let explained = pages.iter().any(|page| comments.find(page).is_some_and(|at| at < first + 120));
            assert!(
                explained,
                "{place}: with its first [P] or [I] a page says: see docs/method.md, or methods.md"
            );
        }
    }
    assert!(users > 0, "nothing in the sources carries a mark");
}

#[test]
fn a_default_in_the_method_is_the_programs() {
    let settings = serde_json::to_value(stages::experiment::settings::Settings::defaults().unwrap()).unwrap();
    let method = method();
    let mut compared = 0;
    for words in method.split('`').skip(1).step_by(2) {
        let Some((name, value)) = words.split_once('=') else { continue };
        if !(name.contains('.') || name == "seed") || value.contains(' ') {
            continue;
        }
        let default = name.split('.').fold(&settings, |at, key| &at[key]);
        let stated: Value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        let same = match (default.as_f64(), stated.as_f64()) {
            (Some(default), Some(stated)) => default == stated,
            _ => *default == stated,
        };
        assert!(same, "docs/method.md says {name} = {stated}, the program's default is {default}");
        compared += 1;
    }
    assert!(compared > 40, "{compared} defaults were found in docs/method.md");
}
