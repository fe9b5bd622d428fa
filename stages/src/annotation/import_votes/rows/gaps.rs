//! What is written in a table where there is nothing.

/// Whether programs write this where there is nothing.
pub(super) fn is_null(text: &str) -> bool {
    matches!(
        text.trim().to_lowercase().as_str(),
        "" | "null" | "nan" | "na" | "n/a" | "<na>" | "#n/a" | "nil"
    )
}

/// Whether programs or people write this where there is nothing, if no class is called so.
pub(in crate::annotation::import_votes) fn is_gap(text: &str) -> bool {
    let bare = text.trim().trim_end_matches('.').to_lowercase();
    is_null(text)
        || matches!(
            bare.as_str(),
            "none"
                | "unknown"
                | "n.a"
                | "undefined"
                | "not available"
                | "missing"
                | "-"
                | "--"
                | "–"
                | "—"
                | "?"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_nothing_is_a_gap() {
        for gap in ["", " NaN ", "n/a", "N.A.", "none", "Unknown", "null", "-", "?"] {
            assert!(is_gap(gap), "{gap}");
        }
        for word in ["0", "cat", "no", "unknown cat", "non-dog"] {
            assert!(!is_gap(word), "{word}");
        }
        assert!(is_null("null") && !is_null("none"));
    }
}
