//! Signs around the lines of a list that are no part of them: quotes, bullets, commas.
//!
//! They are left out where every line has the same. It knows nothing of images or files.

/// Signs before the entries of a list.
const BULLETS: [&str; 8] = ["- ", "* ", "+ ", "– ", "— ", "•", "‣", "· "];

/// Signs around a text.
const QUOTES: [(char, char); 7] =
    [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’'), ('«', '»'), ('「', '」')];

/// The lines without the signs that all of them have around them; none if they have none in common. One line alone has
/// nothing in common with others.
pub(crate) fn undressed<'a>(lines: &[&'a str]) -> Option<Vec<&'a str>> {
    if lines.len() < 2 {
        return None;
    }
    let mut bare = lines.to_vec();
    while let Some(next) =
        without_commas(&bare).or_else(|| without_bullets(&bare)).or_else(|| without_quotes(&bare))
    {
        bare = next;
    }
    (bare != lines).then_some(bare)
}

/// Whether all lines are in quotes.
pub(crate) fn quoted(lines: &[&str]) -> bool {
    without_quotes(lines).is_some()
}

/// Without the comma after each; the last line may do without it.
fn without_commas<'a>(lines: &[&'a str]) -> Option<Vec<&'a str>> {
    let (last, others) = lines.split_last()?;
    [',', ';'].into_iter().find_map(|sign| {
        let mut bare: Vec<&str> =
            others.iter().map(|line| filled(line.strip_suffix(sign)?)).collect::<Option<_>>()?;
        bare.push(filled(last.strip_suffix(sign).unwrap_or(last))?);
        (!others.is_empty()).then_some(bare)
    })
}

fn without_bullets<'a>(lines: &[&'a str]) -> Option<Vec<&'a str>> {
    BULLETS
        .into_iter()
        .find_map(|bullet| lines.iter().map(|line| filled(line.strip_prefix(bullet)?)).collect::<Option<_>>())
}

fn without_quotes<'a>(lines: &[&'a str]) -> Option<Vec<&'a str>> {
    QUOTES.into_iter().find_map(|(open, close)| {
        let inner = |line: &&'a str| {
            let inner = line.strip_prefix(open)?.strip_suffix(close)?;
            filled(inner).filter(|inner| !inner.contains([open, close]))
        };
        lines.iter().map(inner).collect::<Option<_>>()
    })
}

/// The text without blanks around it, if there is one.
fn filled(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_that_all_lines_have_are_left_out() {
        for lines in [
            ["\"cat\"", "\"dog\""],
            ["'cat'", "'dog'"],
            ["- cat", "- dog"],
            ["* cat", "* dog"],
            ["• cat", "•dog"],
            ["cat,", "dog,"],
            ["\"cat\",", "\"dog\""],
            ["- \"cat\",", "- \"dog\","],
        ] {
            assert_eq!(undressed(&lines), Some(vec!["cat", "dog"]), "{lines:?}");
        }
        for lines in [
            ["\"cat\"", "dog"],
            ["- cat", "dog"],
            ["- cat", "* dog"],
            ["cat", "dog,"],
            ["\"a\",\"1\"", "\"b\",\"2\""],
            ["-", "-"],
            ["cat", "dog"],
        ] {
            assert_eq!(undressed(&lines), None, "{lines:?}");
        }
        assert_eq!(undressed(&["\"cat\""]), None);
        assert!(quoted(&["'a'", "'b'"]) && !quoted(&["- a", "- b"]));
    }
}
