//! The names that a file of weights has for the tensors of a CLIP: those of `transformers`' `CLIPModel`, or those of
//! OpenAI and open_clip; in both, perhaps with something before each name that a wrapper left there.
//!
//! Callers ask in `CLIPModel`'s names. Of values it knows nothing.

use pipeline::error::{Error, Result};

use super::stored::Stored;

/// A tensor that every image tower has once, by `CLIPModel`'s name and by open_clip's.
const OF_CLIP_MODEL: &str = "vision_model.embeddings.class_embedding";
const OF_OPEN_CLIP: &str = "visual.class_embedding";

/// How the names of a file are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// What stands before every name: `module.`, say, or nothing.
    prefix: String,
    /// For open_clip's names, what stands before those of the text tower: `text.` or nothing.
    open_clip: Option<&'static str>,
}

/// Where a tensor is in a file: under which name, and as what part of the one of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFile {
    /// The name in the file.
    pub name: String,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// open_clip multiplies by its projections from the other side.
    Transposed,
    /// open_clip keeps the maps to queries, keys and values as one.
    Third(usize),
}

impl Naming {
    /// The naming of a file that has these names.
    ///
    /// # Errors
    /// Several image towers, none of them at the top: nothing says which is meant.
    pub fn of<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Result<Self> {
        let before = |end: &'static str| {
            let prefixes = names.clone().filter_map(move |name| name.strip_suffix(end));
            prefixes.filter(|prefix| prefix.is_empty() || prefix.ends_with('.')).collect::<Vec<&str>>()
        };
        let (clip_model, open_clip) = (before(OF_CLIP_MODEL), before(OF_OPEN_CLIP));
        let found = if clip_model.is_empty() { &open_clip } else { &clip_model };
        let prefix = match found[..] {
            [] => "",
            [only] => only,
            _ if found.contains(&"") => "",
            _ => {
                let all: Vec<String> = found.iter().map(|prefix| format!("`{prefix}`")).collect();
                return Err(Error::new(format!(
                    "the weights hold several image towers: names begin with {}",
                    all.join(", ")
                ))
                .help("save the one that is meant into a file of its own"));
            }
        };
        let text = format!("{prefix}text.token_embedding.weight");
        let in_text = names.clone().any(|name| name == text);
        let is_open_clip = clip_model.is_empty() && !open_clip.is_empty();
        Ok(Self {
            prefix: prefix.to_owned(),
            open_clip: is_open_clip.then_some(if in_text { "text." } else { "" }),
        })
    }

    /// What stands before every name and is passed over; empty where nothing does.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where the tensor of this name of `CLIPModel`'s is.
    pub fn place_of(&self, name: &str) -> InFile {
        let translated = self.open_clip.and_then(|text| translate(name, text));
        let (own, part) = translated.unwrap_or_else(|| (name.to_owned(), Part::Whole));
        InFile { name: format!("{}{own}", self.prefix), part }
    }
}

impl InFile {
    /// The shape that the file's tensor has where the one asked for has this one.
    pub fn shape(&self, asked: &[usize]) -> Vec<usize> {
        let mut shape = asked.to_vec();
        match self.part {
            Part::Whole => {}
            Part::Transposed => shape.reverse(),
            Part::Third(_) => shape.iter_mut().take(1).for_each(|rows| *rows *= 3),
        }
        shape
    }

    /// The tensor asked for, of the file's. `None` where it has no such part.
    pub fn of(&self, stored: &Stored) -> Option<Stored> {
        match self.part {
            Part::Whole => Some(stored.clone()),
            Part::Transposed => stored.transposed(),
            Part::Third(number) => stored.third(number),
        }
    }
}

/// open_clip's name for a tensor of `CLIPModel`'s, `text` being what it has before those of its text tower. `None` for
/// what both call the same.
fn translate(name: &str, text: &str) -> Option<(String, Part)> {
    let whole = |name: String| Some((name, Part::Whole));
    if let Some(rest) = name.strip_prefix("vision_model.") {
        return match rest {
            "embeddings.class_embedding" => whole("visual.class_embedding".to_owned()),
            "embeddings.patch_embedding.weight" => whole("visual.conv1.weight".to_owned()),
            "embeddings.position_embedding.weight" => whole("visual.positional_embedding".to_owned()),
            _ => norm(rest, [("pre_layrnorm.", "ln_pre."), ("post_layernorm.", "ln_post.")])
                .map(|own| (own, Part::Whole))
                .or_else(|| block(rest))
                .map(|(own, part)| (format!("visual.{own}"), part)),
        };
    }
    if let Some(rest) = name.strip_prefix("text_model.") {
        return match rest {
            "embeddings.token_embedding.weight" => whole(format!("{text}token_embedding.weight")),
            "embeddings.position_embedding.weight" => whole(format!("{text}positional_embedding")),
            _ => norm(rest, [("final_layer_norm.", "ln_final.")])
                .map(|own| (own, Part::Whole))
                .or_else(|| block(rest))
                .map(|(own, part)| (format!("{text}{own}"), part)),
        };
    }
    match name {
        "visual_projection.weight" => Some(("visual.proj".to_owned(), Part::Transposed)),
        "text_projection.weight" => Some((format!("{text}text_projection"), Part::Transposed)),
        _ => None,
    }
}

fn norm<const N: usize>(rest: &str, names: [(&str, &str); N]) -> Option<String> {
    names.into_iter().find_map(|(ours, theirs)| Some(format!("{theirs}{}", rest.strip_prefix(ours)?)))
}

/// A tensor of a block, `encoder.layers.3.mlp.fc1.bias`.
fn block(rest: &str) -> Option<(String, Part)> {
    let (number, rest) = rest.strip_prefix("encoder.layers.")?.split_once('.')?;
    let (of, kind) = rest.rsplit_once('.')?;
    let (own, part) = match of {
        "layer_norm1" => (format!("ln_1.{kind}"), Part::Whole),
        "layer_norm2" => (format!("ln_2.{kind}"), Part::Whole),
        "self_attn.q_proj" => (format!("attn.in_proj_{kind}"), Part::Third(0)),
        "self_attn.k_proj" => (format!("attn.in_proj_{kind}"), Part::Third(1)),
        "self_attn.v_proj" => (format!("attn.in_proj_{kind}"), Part::Third(2)),
        "self_attn.out_proj" => (format!("attn.out_proj.{kind}"), Part::Whole),
        "mlp.fc1" => (format!("mlp.c_fc.{kind}"), Part::Whole),
        "mlp.fc2" => (format!("mlp.c_proj.{kind}"), Part::Whole),
        _ => return None,
    };
    Some((format!("transformer.resblocks.{number}.{own}"), part))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn naming(names: &[&str]) -> Result<Naming> {
        Naming::of(names.iter().copied())
    }

    #[test]
    fn what_stands_before_every_name_is_passed_over() {
        for prefix in ["", "module.", "clip.", "_orig_mod.module.", "model."] {
            let names = [OF_CLIP_MODEL, "logit_scale"].map(|name| format!("{prefix}{name}"));
            let found = naming(&names.each_ref().map(String::as_str)).unwrap();
            assert_eq!(found.prefix(), prefix);
            assert_eq!(found.place_of("logit_scale").name, names[1]);
        }
        let part_of_a_word = format!("my{OF_CLIP_MODEL}");
        assert_eq!(naming(&[&part_of_a_word]).unwrap(), Naming::default());
    }

    #[test]
    fn of_two_models_the_one_at_the_top_is_meant_or_neither() {
        let (student, teacher) = (format!("student.{OF_OPEN_CLIP}"), format!("teacher.{OF_OPEN_CLIP}"));
        assert_eq!(naming(&[&student, OF_OPEN_CLIP]).unwrap().prefix(), "");
        let error = naming(&[&student, &teacher]).unwrap_err().to_string();
        assert!(error.contains("`student.`, `teacher.`"), "{error}");
    }

    #[test]
    fn open_clips_text_tower_may_stand_under_a_name_of_its_own() {
        let inner = naming(&[OF_OPEN_CLIP, "text.token_embedding.weight"]).unwrap();
        assert_eq!(inner.place_of("text_model.final_layer_norm.bias").name, "text.ln_final.bias");
        let wrapped = naming(&["module.visual.class_embedding", "module.token_embedding.weight"]).unwrap();
        let place = wrapped.place_of("text_model.encoder.layers.10.self_attn.v_proj.bias");
        assert_eq!(place.name, "module.transformer.resblocks.10.attn.in_proj_bias");
        assert_eq!(place.shape(&[24]), [72]);
        assert_eq!(wrapped.place_of("visual_projection.weight").shape(&[20, 24]), [24, 20]);
    }
}
