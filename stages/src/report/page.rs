//! The page: a document of sections that stands alone, and the few words that all sections write alike (shares, counts,
//! names, wide tables). It does not know what the sections speak of.

use std::borrow::Cow;

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// A part of the page, with a heading and a place in the list of sections.
pub(crate) struct Section {
    /// Its anchor; every section has another.
    pub(crate) id: &'static str,
    /// Its heading.
    pub(crate) title: String,
    /// What stands below the heading.
    pub(crate) body: Markup,
}

const STYLE: &str = include_str!("style.css");

/// What a browser may do with the page: show it as it is. Nothing is fetched, run or sent.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// The whole document. `sheets` is CSS with pictures in it; no text of a user may be part of it, since it is not escaped.
pub(crate) fn document(title: &str, subtitle: &str, sections: &[Section], sheets: &str) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                // Without one some browsers ask for one.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
                style { (PreEscaped(sheets)) }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    h1 { (bidi(title)) }
                    p.subtitle { (bidi(subtitle)) }
                }
                nav aria-label="Sections" {
                    ul {
                        @for section in sections {
                            // Without how many there are.
                            li { a href={ "#" (section.id) } { (section.title.split(':').next().unwrap_or_default()) } }
                        }
                    }
                }
                main id="content" tabindex="-1" {
                    @for section in sections {
                        section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                            h2 id={ (section.id) "-title" } { (section.title) }
                            (section.body)
                        }
                    }
                }
                footer {
                    p {
                        "Made by coreg. This page loads nothing from elsewhere: it can be copied, kept and sent as one \
                        file."
                    }
                }
            }
        }
    };
    // Here, so that no text of a user's can be forgotten: names, notes and findings alike.
    visible(&document.into_string()).into_owned()
}

/// Text in which signs that show nothing, and may hide or turn round what stands beside them, are written out:
/// `‹U+202E›`. Ends of lines and tabs are blanks to a browser, and stay.
fn visible(text: &str) -> Cow<'_, str> {
    written_out(text, |c| match c {
        '\n' | '\t' => false,
        // Unicode's property Bidi_Control.
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    })
}

/// Text in which these signs are written out.
fn written_out(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match hidden(c) {
            true => written += &format!("‹U+{:04X}›", u32::from(c)),
            false => written.push(c),
        }
    }
    Cow::Owned(written)
}

/// A share in percent: `56.7 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A number of things, its thousands set apart: `12,345`.
pub(crate) fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut written = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

/// A name that may be of any script, set apart so that it reorders nothing around it. Ends of lines in it are shown.
pub(crate) fn bidi(text: &str) -> Markup {
    html! { bdi { (written_out(text, char::is_control)) } }
}

/// As [`bidi`], of a name of which there is no room for more than so many characters: the whole is then its title.
pub(crate) fn cut(text: &str, most: usize) -> Markup {
    match text.char_indices().nth(most) {
        None => bidi(text),
        Some((end, _)) => html! { bdi title=(text) { (written_out(&text[..end], char::is_control)) "…" } },
    }
}

/// A table that may be wider than the page, in a frame that scrolls by itself. `label` says what the table is of.
pub(crate) fn wide(label: &str, table: &Markup) -> Markup {
    html! { div.wide role="region" aria-label=(label) tabindex="0" { (table) } }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SCRIPT: &str = "<script>alert(1)</script>";

    fn page() -> String {
        let section = Section { id: "one", title: SCRIPT.to_owned(), body: html! { p { (SCRIPT) } } };
        document(SCRIPT, SCRIPT, &[section], ".s0{background-image:url(data:image/png;base64,AA==)}")
    }

    #[test]
    fn what_others_wrote_is_text_and_never_markup() {
        let page = page();
        assert!(!page.to_lowercase().contains("<script"), "{page}");
        // In the head's title, the heading, the subtitle, the list of sections, the section's heading and its text.
        assert_eq!(page.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count(), 6);
    }

    #[test]
    fn the_policy_stands_before_all_that_it_governs() {
        let page = page();
        let policy = page.find("content=\"default-src 'none';").unwrap();
        assert!(policy < page.find("<style").unwrap() && policy < page.find("<link").unwrap());
    }

    #[test]
    fn nothing_is_asked_of_the_network() {
        let page = page().to_lowercase();
        for reference in ["http:", "https:", "@import", "src=", "url(//", "href=\"//"] {
            assert!(!page.contains(reference), "{reference}");
        }
        assert_eq!(page.matches("url(").count(), page.matches("url(data:").count());
    }

    #[test]
    fn every_section_is_linked_and_named_by_its_heading() {
        let page = page();
        assert!(
            page.contains("href=\"#one\"")
                && page.contains("<section id=\"one\" aria-labelledby=\"one-title\">")
        );
        assert!(page.contains("<h2 id=\"one-title\">"));
    }

    #[test]
    fn numbers_are_written_alike_everywhere() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((percent(0.567), percent(1.0)), ("56.7 %".to_owned(), "100.0 %".to_owned()));
        assert_eq!(bidi("a<b").into_string(), "<bdi>a&lt;b</bdi>");
    }

    #[test]
    fn what_hides_or_turns_round_its_neighbours_is_written_out_wherever_it_stands() {
        let name = "\u{202E}gnp\u{2069} \u{1B}[31m \u{85} é 猫 قطة";
        let section =
            Section { id: "one", title: name.to_owned(), body: html! { p title=(name) { (name) } } };
        let page = document(name, name, &[section], "");
        assert!(
            !page.contains(|c: char| c.is_control() && c != '\n') && !page.contains('\u{202E}'),
            "{page}"
        );
        let shown = "‹U+202E›gnp‹U+2069› ‹U+001B›[31m ‹U+0085› é 猫 قطة";
        // The six places of every text, and a title of its own.
        assert_eq!(page.matches(shown).count(), 7, "{page}");
        assert_eq!(bidi("new\nline").into_string(), "<bdi>new‹U+000A›line</bdi>");
    }

    #[test]
    fn a_long_name_is_cut_and_whole_in_its_title() {
        assert_eq!(cut("äöü", 3).into_string(), "<bdi>äöü</bdi>");
        assert_eq!(cut("äöü\"", 3).into_string(), "<bdi title=\"äöü&quot;\">äöü…</bdi>");
    }
}
