//! CLIP's `config.json`: the sizes of both towers, read with the hub's defaults and checked once; of open_clip's
//! `open_clip_config.json` the same, by [`open_clip`].
//!
//! What it hands out is numbers that cannot contradict each other.

use pipeline::error::{Error, OrFail, Result};
use serde_json::{Map, Value};

use super::content::Content;
use super::open_clip;

/// The pointwise non-linearity between the two linear maps of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x · σ(1.702 x): OpenAI's CLIPs.
    QuickGelu,
    /// x · Φ(x), with the error function: most of LAION's CLIPs.
    Gelu,
    /// The tanh approximation of [`Activation::Gelu`] (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
}

impl Activation {
    fn named(name: &str) -> Option<Self> {
        match name {
            "quick_gelu" => Some(Self::QuickGelu),
            "gelu" | "gelu_python" => Some(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Some(Self::GeluTanh),
            _ => None,
        }
    }
}

/// The sizes of one transformer encoder. `hidden` is a multiple of `heads`, nothing is zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TowerConfig {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width between the two linear maps of a block.
    pub intermediate: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// The blocks' non-linearity.
    pub activation: Activation,
    /// Added to the variance by every layer norm.
    pub eps: f32,
}

/// The image tower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VisionConfig {
    /// The encoder.
    pub tower: TowerConfig,
    /// Side of the square input, in pixels; at least `patch`.
    pub image: usize,
    /// Side of a square patch, in pixels.
    pub patch: usize,
}

impl VisionConfig {
    /// Patches along one side. Pixels beyond the last whole patch are not looked at.
    pub fn grid(&self) -> usize {
        self.image / self.patch
    }

    /// Length of the token sequence: the class token and one token a patch.
    pub fn tokens(&self) -> usize {
        self.grid() * self.grid() + 1
    }
}

/// Which token of a text carries its feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The first token with the highest id: what `eos_token_id: 2` means in OpenAI's first config files, where it is
    /// wrong as an id.
    FirstHighestId,
    /// The first token with this id.
    FirstOf(u32),
}

/// The text tower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextConfig {
    /// The encoder.
    pub tower: TowerConfig,
    /// Number of token ids.
    pub vocabulary: usize,
    /// Longest token sequence, both marks included; at least 3.
    pub positions: usize,
    /// Which token carries the feature.
    pub pooling: Pooling,
}

/// Both towers and the width of the space they share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// The image tower.
    pub vision: VisionConfig,
    /// The text tower.
    pub text: TextConfig,
    /// Width of a feature.
    pub projection: usize,
}

impl Config {
    /// Reads and checks the file. An absent field has the value that `transformers` gives it (ViT-B/32's).
    pub fn read(file: &Content) -> Result<Self> {
        let text = text(file)?;
        if file.name() == open_clip::FILE && !object(&text).is_ok_and(|root| open_clip::is_config(&root)) {
            return Err(Error::new("open_clip's config has no model_cfg with vision_cfg and text_cfg")
                .at(file)
                .help("take the file from the repository that the weights come from"));
        }
        Self::parse(&text).map_err(|e| e.at(file))
    }

    /// Whether the file is sure to be of a CLIP in the hub's format. What says nothing of it may still be one, whose
    /// sizes are all the defaults, or another program's file of the same name.
    pub fn names_a_clip(file: &Content) -> Result<bool> {
        let root = object(&text(file)?).map_err(|e| e.at(file))?;
        let kind = root.get("model_type").and_then(Value::as_str);
        let towers = ["text_config", "vision_config", "text_config_dict", "vision_config_dict"];
        Ok(kind.map_or_else(|| towers.iter().any(|tower| root.contains_key(*tower)), |kind| kind == "clip"))
    }

    fn parse(text: &str) -> Result<Self> {
        let root = object(text)?;
        if open_clip::is_config(&root) {
            return open_clip::config(&root);
        }
        if let Some(kind) = root.get("model_type").and_then(Value::as_str)
            && kind != "clip"
        {
            return Err(Error::new(format!("the model is a {kind:?}, not a CLIP")).help(
                "name a repository whose config.json says \"model_type\": \"clip\", as openai/clip-vit-base-patch32",
            ));
        }
        let vision = Fields::tower(&root, "vision")?;
        let text = Fields::tower(&root, "text")?;
        let top = Fields { of: Some(&root), prefix: String::new() };
        Ok(Self {
            vision: vision_config(&vision)?,
            text: text_config(&text)?,
            projection: top.count("projection_dim", 512, 1..=MAX_WIDTH)?,
        })
    }
}

/// Far above any CLIP there is (ViT-bigG: 1664 wide, 48 layers), far below what overflows.
pub(super) const MAX_WIDTH: usize = 1 << 15;
pub(super) const MAX_LAYERS: usize = 512;
const MAX_IMAGE: usize = 1 << 12;

fn text(file: &Content) -> Result<String> {
    file.refuse_pointer()?;
    file.text().or_fail(|| Error::new("cannot read CLIP's config").at(file))
}

fn object(text: &str) -> Result<Map<String, Value>> {
    let root: Value = serde_json::from_str(text).or_fail(|| Error::new("CLIP's config is not JSON"))?;
    let Value::Object(root) = root else { return Err(Error::new("CLIP's config is not a JSON object")) };
    Ok(root)
}

fn vision_config(fields: &Fields) -> Result<VisionConfig> {
    if fields.count("num_channels", 3, 0..=usize::MAX)? != 3 {
        return Err(fields.wrong("num_channels", "must be 3 (RGB)"));
    }
    let patch = fields.side("patch_size", 32)?;
    let image = fields.side("image_size", 224)?;
    if image < patch {
        return Err(fields.wrong("image_size", &format!("is {image}, smaller than patch_size {patch}")));
    }
    Ok(VisionConfig { tower: tower(fields, [768, 3072, 12, 12])?, image, patch })
}

fn text_config(fields: &Fields) -> Result<TextConfig> {
    let vocabulary = fields.count("vocab_size", 49408, 3..=1 << 24)?;
    let pooling = match fields.eos()? {
        None | Some(2) => Pooling::FirstHighestId,
        Some(id) if (id as usize) < vocabulary => Pooling::FirstOf(id),
        Some(id) => {
            return Err(fields.wrong("eos_token_id", &format!("is {id}, beyond vocab_size {vocabulary}")));
        }
    };
    let positions = fields.count("max_position_embeddings", 77, 3..=MAX_WIDTH)?;
    Ok(TextConfig { tower: tower(fields, [512, 2048, 12, 8])?, vocabulary, positions, pooling })
}

fn tower(fields: &Fields, [hidden, intermediate, layers, heads]: [usize; 4]) -> Result<TowerConfig> {
    let hidden = fields.count("hidden_size", hidden, 1..=MAX_WIDTH)?;
    let heads = fields.count("num_attention_heads", heads, 1..=MAX_WIDTH)?;
    if hidden % heads != 0 {
        return Err(
            fields.wrong("hidden_size", &format!("is {hidden}, no multiple of num_attention_heads {heads}"))
        );
    }
    let activation = match fields.get("hidden_act") {
        None => Activation::QuickGelu,
        Some(value) => value.as_str().and_then(Activation::named).ok_or_else(|| {
            fields.wrong(
                "hidden_act",
                &format!("is {value}; known: quick_gelu, gelu, gelu_new, gelu_pytorch_tanh"),
            )
        })?,
    };
    let eps = match fields.get("layer_norm_eps") {
        None => 1e-5,
        Some(value) => value.as_f64().filter(|e| *e > 0.0 && *e < 1.0).ok_or_else(|| {
            fields.wrong("layer_norm_eps", &format!("is {value}, not a number between 0 and 1"))
        })?,
    };
    Ok(TowerConfig {
        hidden,
        heads,
        intermediate: fields.count("intermediate_size", intermediate, 1..=8 * MAX_WIDTH)?,
        layers: fields.count("num_hidden_layers", layers, 1..=MAX_LAYERS)?,
        activation,
        eps: eps as f32,
    })
}

/// One JSON object of the file, and what to call its fields in an error. An object that is absent has no fields.
pub(super) struct Fields<'a> {
    /// Its fields.
    pub(super) of: Option<&'a Map<String, Value>>,
    /// What to write before a field's name.
    pub(super) prefix: String,
}

impl<'a> Fields<'a> {
    /// `{tower}_config`, or the older `{tower}_config_dict`, which wins in every field, defaults included, where a
    /// file has both (as in `transformers`' `CLIPConfig`).
    fn tower(root: &'a Map<String, Value>, tower: &str) -> Result<Self> {
        for name in [format!("{tower}_config_dict"), format!("{tower}_config")] {
            match root.get(&name) {
                None | Some(Value::Null) => {}
                Some(Value::Object(of)) => return Ok(Self { of: Some(of), prefix: format!("{name}.") }),
                Some(_) => return Err(Error::new(format!("the field {name} is not a JSON object"))),
            }
        }
        Ok(Self { of: None, prefix: format!("{tower}_config.") })
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.of.and_then(|of| of.get(name)).filter(|value| !value.is_null())
    }

    pub(super) fn wrong(&self, name: &str, how: &str) -> Error {
        Error::new(format!("the field {}{name} {how}", self.prefix))
    }

    pub(super) fn count(
        &self,
        name: &str,
        absent: usize,
        allowed: std::ops::RangeInclusive<usize>,
    ) -> Result<usize> {
        match self.get(name) {
            None => Ok(absent),
            Some(value) => self.whole(name, value, allowed),
        }
    }

    fn whole(&self, name: &str, value: &Value, allowed: std::ops::RangeInclusive<usize>) -> Result<usize> {
        let count = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| allowed.contains(n));
        count.ok_or_else(|| {
            let (low, high) = (allowed.start(), allowed.end());
            self.wrong(name, &format!("is {value}, not a whole number from {low} to {high}"))
        })
    }

    /// A number of pixels, or a square given as two equal numbers.
    pub(super) fn side(&self, name: &str, absent: usize) -> Result<usize> {
        match self.get(name) {
            Some(Value::Array(sides)) => match &sides[..] {
                [height, width] if height == width => self.whole(name, height, 1..=MAX_IMAGE),
                _ => Err(self.wrong(name, "is not a square: only square images and patches are supported")),
            },
            _ => self.count(name, absent, 1..=MAX_IMAGE),
        }
    }

    /// `eos_token_id`: one id or, as some files have it, a list that begins with it.
    fn eos(&self) -> Result<Option<u32>> {
        let value = match self.get("eos_token_id") {
            None if self.of.is_some_and(|of| of.contains_key("eos_token_id")) => return Ok(None),
            None => return Ok(Some(49407)),
            Some(Value::Array(ids)) => ids.first().unwrap_or(&Value::Null),
            Some(value) => value,
        };
        self.whole("eos_token_id", value, 0..=u32::MAX as usize).map(|id| Some(id as u32))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn an_empty_config_is_vit_b_32() {
        let config = Config::parse("{}").unwrap();
        assert_eq!((config.vision.tower.hidden, config.vision.tokens(), config.projection), (768, 50, 512));
        assert_eq!((config.text.tower.heads, config.text.positions), (8, 77));
        assert_eq!(config.text.pooling, Pooling::FirstOf(49407));
    }

    #[test]
    fn the_older_config_dict_wins_in_every_field() {
        let config = r#"{"vision_config": {"hidden_size": 64, "patch_size": 16}, "text_config_dict": null,
            "vision_config_dict": {"hidden_size": 1024, "num_attention_heads": 16}, "projection_dim": 768}"#;
        let config = Config::parse(config).unwrap();
        assert_eq!((config.vision.tower.hidden, config.vision.patch, config.projection), (1024, 32, 768));
    }

    #[test]
    fn the_first_config_files_pool_at_the_highest_id() {
        for eos in ["2", "null"] {
            let config = Config::parse(&format!(r#"{{"text_config": {{"eos_token_id": {eos}}}}}"#)).unwrap();
            assert_eq!(config.text.pooling, Pooling::FirstHighestId);
        }
    }

    #[test]
    fn every_activation_of_the_hub_has_one_meaning() {
        let names = ["quick_gelu", "gelu", "gelu_new", "gelu_pytorch_tanh"];
        let found = names.map(|name| {
            let config = format!(r#"{{"vision_config": {{"hidden_act": "{name}"}}}}"#);
            Config::parse(&config).unwrap().vision.tower.activation
        });
        let tanh = Activation::GeluTanh;
        assert_eq!(found, [Activation::QuickGelu, Activation::Gelu, tanh, tanh]);
    }

    #[test]
    fn nonsense_is_refused_with_the_name_of_the_field() {
        let cases = [
            (r#"{"vision_config": {"num_attention_heads": 0}}"#, "vision_config.num_attention_heads"),
            (r#"{"vision_config": {"hidden_size": 100}}"#, "vision_config.hidden_size"),
            (r#"{"vision_config": {"hidden_size": -768}}"#, "vision_config.hidden_size"),
            (r#"{"vision_config": {"image_size": 31}}"#, "vision_config.image_size"),
            (r#"{"vision_config": {"image_size": [224, 112]}}"#, "vision_config.image_size"),
            (r#"{"vision_config": {"num_channels": 1}}"#, "vision_config.num_channels"),
            (r#"{"vision_config": {"hidden_act": "relu"}}"#, "vision_config.hidden_act"),
            (r#"{"text_config": {"num_hidden_layers": 1e9}}"#, "text_config.num_hidden_layers"),
            (r#"{"text_config": {"intermediate_size": 99999999999}}"#, "text_config.intermediate_size"),
            (r#"{"text_config": {"layer_norm_eps": 0}}"#, "text_config.layer_norm_eps"),
            (r#"{"text_config": {"eos_token_id": 49408}}"#, "text_config.eos_token_id"),
            (r#"{"text_config": {"max_position_embeddings": 2}}"#, "text_config.max_position_embeddings"),
            (r#"{"text_config_dict": {"vocab_size": "many"}}"#, "text_config_dict.vocab_size"),
            (r#"{"projection_dim": 0}"#, "projection_dim"),
            (r#"{"vision_config": 7}"#, "vision_config"),
            (r#"{"model_type": "siglip"}"#, "siglip"),
            ("[]", "not a JSON object"),
            ("{", "not JSON"),
        ];
        for (json, word) in cases {
            let error = Config::parse(json).unwrap_err().to_string();
            assert!(error.contains(word), "{json} gave: {error}");
        }
    }
}
