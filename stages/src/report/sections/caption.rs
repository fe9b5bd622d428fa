//! What is said below a picture, and what is read out for it.

use std::cmp::Reverse;

use maud::{Markup, html};

use crate::report::facts::Facts;
use crate::report::page::{count, cut, percent};
use crate::report::pictures::Sprites;

/// Candidates that are named; the others are counted.
const NAMED: usize = 4;
/// Characters of a name for which there is room below a picture, and in a list.
pub(super) const LONG: usize = 60;

/// The pictures of these images, each with its caption.
pub(super) fn pictures(facts: &Facts, sprites: &Sprites, rows: &[usize]) -> Markup {
    html! {
        div class="pictures" {
            @for &row in rows {
                (sprites.picture(row, &alt(facts, row), caption(facts, row)))
            }
        }
    }
}

/// `1 image`, `2,000 images`.
pub(super) fn images(number: usize) -> String {
    format!("{} {}", count(number), if number == 1 { "image" } else { "images" })
}

/// The candidates of an image and what speaks for each: how many voted for it or, where there are no votes, how much it
/// is believed. None where nobody voted on the image, for then any class may be the one.
fn candidates(facts: &Facts, row: usize) -> Vec<(usize, String)> {
    if facts.annotated(row).is_none() {
        return Vec::new();
    }
    let believed = facts.candidates(row);
    if facts.votes.is_none() {
        return believed.into_iter().map(|(class, weight)| (class, percent(f64::from(weight)))).collect();
    }
    let votes = facts.votes_on(row);
    let voted = |class: usize| votes.iter().find(|vote| vote.0 == class).map_or(0, |vote| vote.1);
    let mut all: Vec<(usize, usize)> = believed.into_iter().map(|(class, _)| (class, voted(class))).collect();
    // Of as many votes, the more believed one stays before the other.
    all.sort_by_key(|&(_, votes)| Reverse(votes));
    all.into_iter().map(|(class, votes)| (class, count(votes))).collect()
}

fn caption(facts: &Facts, row: usize) -> Markup {
    let candidates = candidates(facts, row);
    html! {
        div class="caption" { (cut(facts.id(row), LONG)) }
        div {
            @if candidates.is_empty() { "nobody voted" }
            @for (place, (class, support)) in candidates.iter().take(NAMED).enumerate() {
                @if place > 0 { " · " }
                (cut(facts.class(*class), LONG)) " " (support)
            }
            @if candidates.len() > NAMED { " +" (count(candidates.len() - NAMED)) }
        }
        @if let Some(said) = facts.said(row) {
            div {
                "→ " (cut(facts.class(said.class), LONG)) " " (percent(f64::from(said.confidence)))
            }
        }
        div class="caption" { (facts.split(row).name()) (side(facts, row)) }
        (verdict(facts, row))
    }
}

/// Whether the method believes the candidates, where it divides the training images by that.
fn side(facts: &Facts, row: usize) -> Markup {
    let Some(believed) = facts.believed(row) else { return html! {} };
    let (set, meaning) =
        if believed { ("𝒫", "candidates believed") } else { ("𝒰", "candidates not believed") };
    html! { " " abbr title=(meaning) { (set) } }
}

/// Whether what is said is true, where that is known.
fn verdict(facts: &Facts, row: usize) -> Markup {
    let Some(truth) = facts.truth(row) else { return html! {} };
    match facts.said(row) {
        Some(said) if said.class == truth => html! { div { "✓ right" } },
        Some(_) => html! { div { "✗ wrong: " (cut(facts.class(truth), LONG)) } },
        None => html! { div { "truth: " (cut(facts.class(truth), LONG)) } },
    }
}

fn alt(facts: &Facts, row: usize) -> String {
    let candidates = candidates(facts, row);
    let names: Vec<&str> = candidates.iter().take(NAMED).map(|&(class, _)| facts.class(class)).collect();
    let mut text = format!("image {}: ", facts.id(row));
    match candidates.len() {
        0 => text += "nobody voted",
        all if all > NAMED => text += &format!("candidates {} and {} more", names.join(", "), all - NAMED),
        _ => text += &format!("candidates {}", names.join(", ")),
    }
    if let Some(said) = facts.said(row) {
        text += &format!(", taken for {}", facts.class(said.class));
    }
    if let Some(truth) = facts.truth(row) {
        text += &format!(", truth {}", facts.class(truth));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use pipeline::stage::Context;

    use super::*;
    use crate::artifacts::annotation::{Names, Votes};
    use crate::report::sections::fixture_tests::{Example, Run};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// The text of a caption, each part in brackets.
    fn words(facts: &Facts, row: usize) -> String {
        let mut words = String::new();
        for part in caption(facts, row).into_string().split('<') {
            let (tag, text) = part.split_once('>').unwrap_or_default();
            match tag.split(' ').next() {
                Some("div") => words += "[",
                Some("/div") => words += "]",
                _ => {}
            }
            words += text;
        }
        words
    }

    #[test]
    fn a_caption_says_what_the_annotators_say_what_is_made_of_it_and_whether_that_is_right() {
        let candidates = [(2, 0.5), (0, 0.25), (1, 0.25)];
        let right = Example { truth: Some(2), ..Example::train(&candidates, (2, 0.75)) };
        let wrong = Example { truth: Some(1), believed: false, ..right.clone() };
        let mut run = Run::new(names(&["Forest", "Pasture", "River"]), &[right, wrong]);
        let shares = words(&run.facts(), 0);
        for part in ["[River ", " · Forest ", " · Pasture ", "[→ River ", "[train 𝒫]", "[✓ right]"] {
            assert!(shares.contains(part), "{part} in {shares}");
        }
        assert!(shares.contains(&percent(0.5)) && shares.contains(&percent(0.75)), "{shares}");
        let wrong = words(&run.facts(), 1);
        assert!(wrong.contains("[train 𝒰]") && wrong.contains("[✗ wrong: Pasture]"), "{wrong}");
        run.votes = Some(Votes {
            votes: [Some(0), Some(2), Some(2), Some(0), Some(2), None].repeat(2),
            names: Names { annotators: names(&["a", "b", "c", "d", "e", "f"]), ..Names::default() },
            ..Votes::default()
        });
        let votes = words(&run.facts(), 0);
        assert!(votes.contains("[River 3 · Forest 2 · Pasture 0]"), "{votes}");
    }

    #[test]
    fn four_candidates_are_named_and_the_others_counted() {
        let candidates: Vec<(u16, f32)> = (0..7).map(|class| (class, 1.0 / 7.0)).collect();
        let classes = (0..7).map(|n| format!("class {n}")).collect();
        let run = Run::new(classes, &[Example::train(&candidates, (6, 0.5))]);
        let text = words(&run.facts(), 0);
        assert!(text.contains("class 3") && !text.contains("class 4") && text.contains(" +3]"), "{text}");
        let alt = alt(&run.facts(), 0);
        assert!(alt.contains("class 3 and 3 more, taken for class 6"), "{alt}");
    }

    #[test]
    fn an_image_that_nobody_voted_on_has_no_candidates() {
        let unknown = Example { single: None, ..Example::train(&[(0, 0.5), (1, 0.5)], (1, 0.5)) };
        let run = Run::new(names(&["x", "y"]), &[unknown]);
        let text = words(&run.facts(), 0);
        assert!(text.contains("[nobody voted][→ y"), "{text}");
        assert!(alt(&run.facts(), 0).contains("nobody voted, taken for y"));
    }

    #[test]
    fn names_stay_texts() {
        let image = Example::test(Some(0), Some(0), (0, 0.9));
        let run = Run::new(names(&["<script>alert(1)</script>"]), &[image]);
        let sprites = Sprites::new(&run.images, &[0], &Context::for_test("no checkpoint"));
        let page = pictures(&run.facts(), &sprites.unwrap(), &[0]).into_string();
        assert!(!page.contains("<script>"), "{page}");
        let label =
            r#"aria-label="image &quot;0&quot;.png: candidates &lt;script&gt;alert(1)&lt;/script&gt;,"#;
        assert!(page.contains(label), "{page}");
    }
}
