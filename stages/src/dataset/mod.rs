//! Images and what they are called: the catalog, people's own images, the demo, and the stage `download`.

pub mod catalog;
pub mod demo;
pub mod download;
pub mod images_alone;
mod import;
pub(crate) mod labels;
mod layout;
pub mod limit;
mod listing;
pub(crate) mod names;
pub mod set_name;
pub mod split;
mod table_file;
mod table_rows;
pub mod user_images;

pub use import::ImportImages;

/// The first few of a list, each in quotes, and how many more there are.
pub(crate) fn first_few<S: AsRef<str>>(list: impl IntoIterator<Item = S>) -> String {
    const FEW: usize = 5;
    let all: Vec<S> = list.into_iter().collect();
    let shown: Vec<String> = all.iter().take(FEW).map(|name| format!("`{}`", name.as_ref())).collect();
    let more = if all.len() > FEW { format!(" and {} more", all.len() - FEW) } else { String::new() };
    shown.join(", ") + &more
}
