//! Counts in words, in the singular and the plural.

/// A count with what is counted: "1 vote is", "2 votes are".
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_all_else_plural() {
        let votes = [0, 1, 2].map(|count| counted(count, "vote is", "votes are"));
        assert_eq!(votes, ["0 votes are", "1 vote is", "2 votes are"]);
    }
}
