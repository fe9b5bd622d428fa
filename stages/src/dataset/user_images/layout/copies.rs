//! Folders that look like copies of others by their names, as desktops call them: `cat - Copy`, `cat (1)`.
//!
//! It sees only names.

use std::collections::BTreeSet;

/// What desktops put after the name of a copy, in lower case.
const ENDINGS: [&str; 10] =
    [" - copy", " - kopie", " - copie", " - copia", " copy", " kopie", " copie", " copia", "_copy", "-copy"];

/// Says which classes are called as copies of others are. They are classes all the same.
pub(super) fn say_copies<'n>(names: impl IntoIterator<Item = &'n str>, notes: &mut Vec<String>) {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let copies = names.iter().filter_map(|name| Some((*name, original(name, &names)?)));
    let copies: Vec<String> = copies.map(|(name, of)| format!("`{name}` of `{of}`")).collect();
    if copies.is_empty() {
        return;
    }
    let more = if copies.len() > 5 { format!(" and {} more", copies.len() - 5) } else { String::new() };
    notes.push(format!(
        "a folder that looks like a copy of another by its name is a class of its own all the same: {}{more}; take copies \
         away, or list the classes in CLASSES=classes.txt",
        copies[..copies.len().min(5)].join(", ")
    ));
}

/// The name among these of which this one is a copy's.
fn original<'n>(name: &'n str, names: &BTreeSet<&str>) -> Option<&'n str> {
    let mut left = name;
    // A number may stand behind a word: `cat - Copy (2)`, `cat copy 2`.
    for _ in 0..3 {
        left = without_number(left).or_else(|| without_ending(left))?.trim_end();
        if left != name && names.contains(left) {
            return Some(left);
        }
    }
    None
}

/// `cat` of `cat (1)`, and `cat copy` of `cat copy 2`.
fn without_number(name: &str) -> Option<&str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((before, number)) = name.strip_suffix(')').and_then(|name| name.rsplit_once('(')) {
        return Some(before).filter(|before| digits(number) && !before.trim().is_empty());
    }
    let (before, number) = name.rsplit_once(' ')?;
    Some(before).filter(|before| digits(number) && without_ending(before).is_some())
}

fn without_ending(name: &str) -> Option<&str> {
    ENDINGS.iter().find_map(|ending| {
        let (before, its) = name.split_at_checked(name.len().checked_sub(ending.len())?)?;
        (its.eq_ignore_ascii_case(ending) && !before.trim().is_empty()).then_some(before)
    })
}
