//! The miniature CLIP that comes with coreg, as part of the program.
//!
//! `make demo-clip` trains it again (stages/examples/demo_clip).

use crate::clip::Content;

/// What the setting `clip.model` calls it.
pub const CLIP: &str = "demo-clip";

/// A file of it: its path in the repository, and its content.
macro_rules! file {
    ($path:literal) => {
        Content::BuiltIn { path: $path, bytes: include_bytes!(concat!("../../../../", $path)) }
    };
}

/// Its files under the hub's names.
pub fn clip_files() -> [(&'static str, Content); 3] {
    [
        ("config.json", file!("data/demo/clip/config.json")),
        ("model.safetensors", file!("data/demo/clip/model.safetensors")),
        ("tokenizer.json", file!("data/demo/clip/tokenizer.json")),
    ]
}
