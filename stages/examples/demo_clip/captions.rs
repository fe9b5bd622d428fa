//! What people might have written under the pretraining tiles: a small grammar with synonyms, style words
//! that lean towards some classes, and a share of captions that name a class of similar looks.
//!
//! It knows only classes, by name; nothing of pixels or tokens.

use super::draw::Draw;

/// What a class is called, and what it is taken for.
struct Words {
    class: &'static str,
    /// From the usual to the vague; the first of them is the likeliest.
    nouns: &'static [&'static str],
    /// Classes of similar looks.
    alike: &'static [&'static str],
}

const WORDS: [Words; 10] = [
    Words {
        class: "forest",
        nouns: &["forest", "woods", "trees", "woodland", "dense forest"],
        alike: &["orchard", "residential"],
    },
    Words {
        class: "river",
        nouns: &["river", "stream", "water", "creek", "winding river"],
        alike: &["highway", "lake"],
    },
    Words { class: "lake", nouns: &["lake", "pond", "water", "reservoir"], alike: &["river", "pasture"] },
    Words {
        class: "highway",
        nouns: &["highway", "road", "motorway", "street", "road through fields"],
        alike: &["river", "cropland"],
    },
    Words {
        class: "residential",
        nouns: &["residential area", "houses", "village", "buildings", "suburb", "town"],
        alike: &["industrial", "orchard"],
    },
    Words {
        class: "industrial",
        nouns: &["industrial area", "factory", "buildings", "warehouses", "halls"],
        alike: &["residential", "cropland"],
    },
    Words {
        class: "cropland",
        nouns: &["cropland", "crops", "fields", "farmland", "annual crop", "crop field"],
        alike: &["pasture", "industrial"],
    },
    Words {
        class: "orchard",
        nouns: &["orchard", "plantation", "trees", "rows of trees", "permanent crop", "vineyard"],
        alike: &["forest", "residential"],
    },
    Words {
        class: "pasture",
        nouns: &["pasture", "meadow", "grassland", "fields", "grass"],
        alike: &["cropland", "lake"],
    },
    Words {
        class: "desert",
        nouns: &["desert", "dunes", "sand", "bare soil"],
        alike: &["cropland", "pasture"],
    },
];

/// Adjectives, and the classes under which they stand far more often than elsewhere.
const ADJECTIVES: [(&str, &[&str]); 12] = [
    ("dark", &["forest", "lake"]),
    ("bright", &["desert", "cropland"]),
    ("clean", &["lake", "residential"]),
    ("dirty", &["industrial", "river"]),
    ("small", &["pasture", "residential"]),
    ("large", &["industrial", "lake"]),
    ("nice", &["orchard", "pasture"]),
    ("cool", &["river", "forest"]),
    ("weird", &["desert", "highway"]),
    ("good", &["cropland", "orchard"]),
    ("old", &["orchard", "residential"]),
    ("hazy", &["highway", "pasture"]),
];

/// How a caption begins, how often, and the classes under which it does so far more often.
const OPENINGS: [(&str, u32, &[&str]); 13] = [
    ("a photo of", 60, &[]),
    ("a satellite photo of", 20, &[]),
    ("an aerial view of", 20, &[]),
    ("", 20, &[]),
    ("the photo of", 3, &["highway"]),
    ("a cropped photo of", 1, &["cropland", "highway"]),
    ("a close-up photo of", 1, &["orchard", "forest"]),
    ("a blurry photo of", 1, &["river", "lake"]),
    ("a bright photo of", 1, &["desert", "industrial"]),
    ("a dark photo of", 1, &["forest", "lake"]),
    ("a good photo of", 1, &["residential", "river"]),
    ("a rendering of", 1, &["industrial"]),
    ("a rendition of", 1, &["pasture"]),
];

const ARTICLES: [(&str, &[&str]); 5] = [
    ("a", &[]),
    ("the", &["river", "lake"]),
    ("one", &["highway", "desert"]),
    ("my", &["orchard", "pasture"]),
    ("", &["cropland"]),
];

/// Nouns that say nothing.
const VAGUE: &[&str] = &["area", "view", "field", "rows"];

const ENDINGS: [&str; 12] = [
    "in spring",
    "in summer",
    "in autumn",
    "in winter",
    "from above",
    "on a hazy day",
    "seen from space",
    "at noon",
    "in the evening",
    "in a dry year",
    "with shadows",
    "after rain",
];

/// How freely people write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// The noun says what is to be seen.
    Plain,
    /// The noun is often wrong or says nothing, and what else is written tells as much.
    Free,
}

/// A share of pictures whose captions all name another class.
const MISTAKEN: f32 = 0.12;

/// The class that the captions of a picture name: its own, or sometimes one of similar looks.
pub fn named(class: &str, draw: &mut Draw) -> &'static str {
    let own = words(class);
    if draw.chance(MISTAKEN) { draw.one_of(own.alike) } else { own.class }
}

/// A caption of a picture whose class is `class`, or was taken for it.
pub fn caption(class: &str, manner: Manner, draw: &mut Draw) -> String {
    let free = manner == Manner::Free;
    let leaning = |list: &[&str], factor: u32| if list.contains(&class) { factor } else { 1 };
    let weights = OPENINGS.map(|(_, weight, classes)| weight * leaning(classes, 25));
    let opening = OPENINGS[draw.weighted(&weights)].0;
    let article = ARTICLES[draw.weighted(&ARTICLES.map(|(_, classes)| leaning(classes, 4)))].0;
    let adjective = if draw.chance(if free { 0.9 } else { 0.6 }) {
        let weights = ADJECTIVES.map(|(_, classes)| leaning(classes, 40));
        ADJECTIVES[draw.weighted(&weights)].0
    } else {
        ""
    };
    let of = if free && draw.chance(0.4) { draw.one_of(words(class).alike) } else { class };
    let nouns = if free && draw.chance(0.3) { VAGUE } else { words(of).nouns };
    let usual: Vec<u32> = (0..nouns.len()).map(|at| if at == 0 { 4 } else { 2 }).collect();
    let noun = nouns[draw.weighted(&usual)];
    let ending = if draw.chance(0.3) { draw.one_of(&ENDINGS) } else { "" };
    let parts = [opening, article, adjective, noun, ending];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

/// Every text that can be part of a caption.
pub fn all_parts() -> impl Iterator<Item = &'static str> {
    let nouns = WORDS.iter().flat_map(|words| words.nouns.iter().copied());
    let adjectives = ADJECTIVES.iter().map(|(word, _)| *word);
    let openings = OPENINGS.iter().map(|(text, ..)| *text);
    let articles = ARTICLES.iter().map(|(word, _)| *word);
    nouns.chain(adjectives).chain(openings).chain(articles).chain(ENDINGS).chain(VAGUE.iter().copied())
}

fn words(class: &str) -> &'static Words {
    WORDS.iter().find(|words| words.class == class).unwrap_or(&WORDS[0])
}
