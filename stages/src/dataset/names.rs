//! Names of classes: when two of them mean the same, in every place where users write them.
//!
//! Folders, label columns, lists of classes, class names in a table's features, aliases and answers are all compared
//! here, by one rule: a name is first sought as it is written, and then by its [`normalised`] form, which must belong to
//! one class alone. It knows nothing of files or images.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

/// A name as people read it: composed characters (Unicode's NFC), and no blanks around it.
pub(crate) fn canonical(name: &str) -> String {
    name.trim().trim_start_matches('\u{feff}').trim().nfc().collect()
}

/// The form in which names are alike: Unicode's NFKC in lower case, without blanks, hyphens and underscores. Between two
/// digits they count, as one hyphen, and so does a sign before the first: `10-1` is not `101`, nor `-1` `1`.
pub(crate) fn normalised(name: &str) -> String {
    let folded: Vec<char> = name.nfkc().flat_map(char::to_lowercase).nfkc().collect();
    let mut out = String::with_capacity(name.len());
    let (mut gap, mut joint) = (false, false);
    for c in folded {
        if c.is_whitespace() || is_joint(c) {
            gap = true;
            joint |= is_joint(c);
            continue;
        }
        // `10-1` is not `101`, nor `-1` the same as `1`.
        let counts = out.chars().next_back().map_or(joint, char::is_numeric);
        if gap && c.is_numeric() && counts {
            out.push('-');
        }
        (gap, joint) = (false, false);
        out.push(c);
    }
    out
}

/// Hyphens and underscores, and what people see as such.
fn is_joint(c: char) -> bool {
    matches!(c, '-' | '_' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{feff}' | '\u{200b}')
}

/// Which of some names another one means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The one at this index.
    One(usize),
    /// Several are like it, and none is written so.
    Several(Vec<usize>),
    /// None.
    Nothing,
}

impl Found {
    /// The index, if it is one.
    pub(crate) fn one(self) -> Option<usize> {
        match self {
            Self::One(index) => Some(index),
            Self::Several(_) | Self::Nothing => None,
        }
    }
}

/// A list of names in which others are sought.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameIndex {
    written: HashMap<String, usize>,
    alike: HashMap<String, Vec<usize>>,
}

impl NameIndex {
    /// Of these names, in their order. Of names that are written the same the first counts.
    pub(crate) fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let mut all = Self::default();
        for (index, name) in names.into_iter().enumerate() {
            let name = name.as_ref();
            all.written.entry(canonical(name)).or_insert(index);
            let form = normalised(name);
            // A name of nothing but hyphens has no form to be alike in.
            if !form.is_empty() {
                all.alike.entry(form).or_default().push(index);
            }
        }
        all
    }

    /// The name that is written so, or the only one that is like it.
    pub(crate) fn find(&self, name: &str) -> Found {
        if let Some(index) = self.written.get(&canonical(name)) {
            return Found::One(*index);
        }
        match self.alike.get(&normalised(name)).map(Vec::as_slice) {
            Some([one]) => Found::One(*one),
            Some(several) => Found::Several(several.to_vec()),
            None => Found::Nothing,
        }
    }

    /// Names that are written differently and are alike, by index, the first pair first.
    pub(crate) fn alike(&self) -> Vec<Vec<usize>> {
        let mut groups: Vec<_> = self.alike.values().filter(|group| group.len() > 1).cloned().collect();
        groups.sort();
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_blanks_hyphens_and_composition_do_not_count() {
        for (one, other) in [
            ("Sea Lake", "sea_lake"),
            ("T-shirt", "tshirt"),
            ("T‑shirt", "T-SHIRT"),
            ("\u{e9}t\u{e9}", "E\u{301}te\u{301}"),
            ("\u{ff21}\u{ff11}", "a1"),
            ("class_1", "Class 1"),
            ("dog", "\u{feff}dog "),
        ] {
            assert_eq!(normalised(one), normalised(other), "{one} {other}");
        }
        for (one, other) in
            [("10-1", "101"), ("-1", "1"), ("1_0", "10"), ("été", "ete"), ("C#", "C"), ("C++", "C")]
        {
            assert_ne!(normalised(one), normalised(other), "{one} {other}");
        }
        assert_eq!(normalised("10 - 1"), normalised("10_1"));
    }

    #[test]
    fn a_name_is_sought_as_written_first_and_by_its_form_only_if_that_is_one_name() {
        let names = NameIndex::new(["A", "a", "Sea Lake", "10-1", "101", "e\u{301}te\u{301}", "-", "_"]);
        assert_eq!(names.find("a"), Found::One(1));
        assert_eq!(names.find(" A "), Found::One(0));
        assert_eq!(names.find("\u{ff41}"), Found::Several(vec![0, 1]));
        assert_eq!(names.find("sea-lake"), Found::One(2));
        assert_eq!(names.find("10_1"), Found::One(3));
        assert_eq!(names.find("\u{e9}t\u{e9}"), Found::One(5));
        assert_eq!(names.find("_"), Found::One(7));
        assert_eq!(names.find("--"), Found::Nothing);
        assert_eq!(names.find(""), Found::Nothing);
        assert_eq!(names.alike(), [vec![0, 1]]);
    }
}
