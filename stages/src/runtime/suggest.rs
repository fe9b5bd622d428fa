//! The nearest known name, for whoever misspelt one.

use pipeline::error::Error;

/// The error for a name that nobody has, with the nearest one and, if they are few, all of them.
pub fn unknown(what: &str, name: &str, known: impl IntoIterator<Item = String>) -> Error {
    let mut known: Vec<String> = known.into_iter().collect();
    known.sort();
    let nearest =
        known.iter().max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    let error = Error::new(format!("there is no {what} `{name}`"));
    match nearest {
        None => error,
        Some(nearest) if known.len() > 12 => error.help(format!("did you mean `{nearest}`?")),
        Some(nearest) => error.help(format!("did you mean `{nearest}`? There are: {}", known.join(", "))),
    }
}
