//! open_clip's `open_clip_config.json`: the sizes of both towers and how images are prepared, where the towers are plain
//! vision transformers, which are computed as `transformers` computes its `CLIPModel`.
//!
//! Whatever the file asks for beyond that is refused by name: it would load and give other features. It knows nothing of
//! files.

use pipeline::error::{Error, Result};
use serde_json::{Map, Value};

use super::config::{
    Activation, Config, Fields, MAX_LAYERS, MAX_WIDTH, Pooling, TextConfig, TowerConfig, VisionConfig,
};

/// What a folder or repository calls the file.
pub const FILE: &str = "open_clip_config.json";

/// Fields that change nothing of what is computed here: of training, of other outputs, or of what the tokenizer's own
/// file says.
const IDLE: [&str; 13] = [
    "attn_pooler_heads",
    "attn_pooler_queries",
    "custom_text",
    "eos_id",
    "final_ln_after_pool",
    "hf_tokenizer_name",
    "init_logit_scale",
    "n_queries",
    "nonscalar_logit_scale",
    "output_tokens",
    "pad_id",
    "patch_dropout",
    "pos_embed_type",
];
/// Fields of other kinds of towers that mean nothing without one of those that are refused.
const OF_OTHERS: [&str; 2] = ["timm_", "hf_"];

/// What is read, for an error.
const SUPPORTED: &str = "of open_clip's models plain vision transformers are read: with a class token, a causal text \
     transformer, and the feature of a text at its highest id (ViT-B-32, ViT-B-16, ViT-L-14, ViT-H-14, ViT-g-14, \
     ViT-bigG-14); name a repository with one, or a CLIPModel's of transformers";

/// Whether the object is open_clip's: that of a repository, or a model's alone, as open_clip's own list has them.
pub fn is_config(root: &Map<String, Value>) -> bool {
    ["model_cfg", "vision_cfg", "text_cfg"].iter().any(|field| root.contains_key(*field))
}

/// Both towers. An absent field has the value that open_clip gives it.
pub fn config(root: &Map<String, Value>) -> Result<Config> {
    let top = match root.contains_key("model_cfg") {
        true => object(root, "model_cfg", "")?,
        false => Fields { of: Some(root), prefix: String::new() },
    };
    let Some(model) = top.of else { return Err(Error::new("the field model_cfg is empty")) };
    let [vision, text] = ["vision_cfg", "text_cfg"].map(|tower| object(model, tower, &top.prefix));
    let (vision, text) = (vision?, text?);
    // By what they are, before the rest is looked at: their other fields mean something else.
    for (fields, kind) in
        [(&vision, "timm_model_name"), (&vision, "eva_model_name"), (&text, "hf_model_name")]
    {
        if let Some(value) = fields.get(kind) {
            return Err(refused(fields, kind, value));
        }
    }
    if let Some(layers @ Value::Array(_)) = vision.get("layers") {
        return Err(refused(&vision, "layers", layers).because("a list of layers is that of a ResNet"));
    }
    top.only(&["embed_dim", "preprocess_cfg", "quick_gelu", "vision_cfg", "text_cfg"])?;
    let quick = match top.get("quick_gelu") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(value) => return Err(top.wrong("quick_gelu", &format!("is {value}, not true or false"))),
    };
    Ok(Config {
        vision: vision_config(&vision, quick)?,
        text: text_config(&text, quick)?,
        projection: top.needed("embed_dim", MAX_WIDTH)?,
    })
}

fn vision_config(fields: &Fields, quick: bool) -> Result<VisionConfig> {
    let known = ["image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio", "pool_type"];
    fields.only(&[&known[..], &["act_kwargs", "norm_kwargs"]].concat())?;
    fields.only_value("pool_type", "tok")?;
    let (width, head) =
        (fields.count("width", 768, 1..=MAX_WIDTH)?, fields.count("head_width", 64, 1..=MAX_WIDTH)?);
    if width % head != 0 {
        return Err(fields.wrong("width", &format!("is {width}, no multiple of head_width {head}")));
    }
    let (image, patch) = (fields.side("image_size", 224)?, fields.side("patch_size", 16)?);
    if image < patch {
        return Err(fields.wrong("image_size", &format!("is {image}, smaller than patch_size {patch}")));
    }
    Ok(VisionConfig { tower: tower(fields, width, width / head, quick)?, image, patch })
}

fn text_config(fields: &Fields, quick: bool) -> Result<TextConfig> {
    let known =
        ["context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "pool_type", "proj_type"];
    fields.only(&[&known[..], &["act_kwargs", "norm_kwargs"]].concat())?;
    fields.only_value("pool_type", "argmax")?;
    fields.only_value("proj_type", "linear")?;
    let (width, heads) =
        (fields.count("width", 512, 1..=MAX_WIDTH)?, fields.count("heads", 8, 1..=MAX_WIDTH)?);
    if width % heads != 0 {
        return Err(fields.wrong("width", &format!("is {width}, no multiple of heads {heads}")));
    }
    Ok(TextConfig {
        tower: tower(fields, width, heads, quick)?,
        vocabulary: fields.count("vocab_size", 49408, 3..=1 << 24)?,
        positions: fields.count("context_length", 77, 3..=MAX_WIDTH)?,
        pooling: Pooling::FirstHighestId,
    })
}

fn tower(fields: &Fields, hidden: usize, heads: usize, quick: bool) -> Result<TowerConfig> {
    let ratio = match fields.get("mlp_ratio") {
        None => 4.0,
        Some(value) => value.as_f64().filter(|ratio| *ratio > 0.0 && *ratio <= 64.0).ok_or_else(|| {
            fields.wrong("mlp_ratio", &format!("is {value}, not a number above 0 and up to 64"))
        })?,
    };
    let intermediate = (hidden as f64 * ratio) as usize; // cut towards zero, as open_clip does
    if intermediate == 0 {
        return Err(
            fields.wrong("mlp_ratio", &format!("is {ratio}: no width is left between the maps of a block"))
        );
    }
    Ok(TowerConfig {
        hidden,
        heads,
        intermediate,
        layers: fields.count("layers", 12, 1..=MAX_LAYERS)?,
        activation: activation(fields, quick)?,
        eps: epsilon(fields)?,
    })
}

fn activation(fields: &Fields, quick: bool) -> Result<Activation> {
    let plain = if quick { Activation::QuickGelu } else { Activation::Gelu };
    match fields.get("act_kwargs").map(|value| (value, value.as_object())) {
        None => Ok(plain),
        Some((_, Some(none))) if none.is_empty() => Ok(plain),
        Some((value, Some(given))) if given.len() == 1 && !quick => match given.get("approximate") {
            Some(Value::String(how)) if how == "tanh" => Ok(Activation::GeluTanh),
            Some(Value::String(how)) if how == "none" => Ok(Activation::Gelu),
            _ => Err(refused(fields, "act_kwargs", value)),
        },
        Some((value, _)) => Err(refused(fields, "act_kwargs", value)),
    }
}

fn epsilon(fields: &Fields) -> Result<f32> {
    match fields.get("norm_kwargs").map(|value| (value, value.as_object())) {
        None => Ok(1e-5),
        Some((_, Some(none))) if none.is_empty() => Ok(1e-5),
        Some((value, given)) => {
            let eps = given.filter(|given| given.len() == 1).and_then(|given| given.get("eps"));
            let eps = eps.and_then(Value::as_f64).filter(|eps| *eps > 0.0 && *eps < 1.0);
            eps.map(|eps| eps as f32).ok_or_else(|| refused(fields, "norm_kwargs", value))
        }
    }
}

/// The object `name` of `root`, whose own fields are called `prefix` and their names. One that is absent has no fields.
fn object<'a>(root: &'a Map<String, Value>, name: &str, prefix: &str) -> Result<Fields<'a>> {
    let of = match root.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::Object(of)) => Some(of),
        Some(_) => return Err(Error::new(format!("the field {prefix}{name} is not a JSON object"))),
    };
    Ok(Fields { of, prefix: format!("{prefix}{name}.") })
}

/// How images are prepared, `preprocess_cfg`; `None` where the file does not say.
pub fn preprocessing(root: &Map<String, Value>) -> Result<Option<&Map<String, Value>>> {
    Ok(object(root, "preprocess_cfg", "")?.of)
}

fn refused(fields: &Fields, name: &str, value: &Value) -> Error {
    fields.wrong(name, &format!("is {value}, which is not supported")).help(SUPPORTED)
}

impl Fields<'_> {
    fn needed(&self, name: &str, most: usize) -> Result<usize> {
        match self.get(name) {
            None => Err(self.wrong(name, "is missing")),
            Some(_) => self.count(name, 0, 1..=most),
        }
    }

    /// Refuses a field with another value than this one.
    fn only_value(&self, name: &str, known: &str) -> Result<()> {
        match self.get(name) {
            Some(value) if value.as_str() != Some(known) => Err(refused(self, name, value)),
            _ => Ok(()),
        }
    }

    /// Refuses a field that says something and is not among these: it may change what the towers compute.
    fn only(&self, known: &[&str]) -> Result<()> {
        let says_nothing = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty() || text == "default",
            Value::Array(list) => list.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(true) => false,
        };
        let passes = |name: &str, value: &Value| {
            known.contains(&name)
                || IDLE.contains(&name)
                || OF_OTHERS.iter().any(|of| name.starts_with(of))
                || says_nothing(value)
        };
        match self.of.into_iter().flatten().find(|(name, value)| !passes(name, value)) {
            Some((name, value)) => Err(refused(self, name, value)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn read(model: Value) -> Result<Config> {
        config(json!({"model_cfg": model, "preprocess_cfg": {}}).as_object().unwrap())
    }

    /// open_clip's own file of this name, with what `change` says.
    fn vit_b_32(change: &[(&str, Value)]) -> Value {
        let mut model = json!({"embed_dim": 512,
            "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}});
        for (pointer, value) in change {
            let (of, name) = pointer.rsplit_once('/').unwrap();
            model.pointer_mut(of).unwrap()[name] = value.clone();
        }
        model
    }

    #[test]
    fn the_activation_is_plain_unless_the_file_says_quick() {
        let plain = read(vit_b_32(&[])).unwrap();
        let quick = read(vit_b_32(&[("/quick_gelu", json!(true))])).unwrap();
        let tanh = json!({"approximate": "tanh"});
        let tanh = read(vit_b_32(&[("/text_cfg/act_kwargs", tanh)])).unwrap();
        assert_eq!(plain.vision.tower.activation, Activation::Gelu);
        assert_eq!(quick.text.tower.activation, Activation::QuickGelu);
        assert_eq!(
            (tanh.text.tower.activation, tanh.vision.tower.activation),
            (Activation::GeluTanh, Activation::Gelu)
        );
    }

    #[test]
    fn a_models_own_file_is_read_as_that_of_a_repository() {
        let alone = vit_b_32(&[]);
        assert!(is_config(alone.as_object().unwrap()));
        assert_eq!(config(alone.as_object().unwrap()).unwrap(), read(alone.clone()).unwrap());
        assert!(!is_config(json!({"vision_config": {}, "text_config": {}}).as_object().unwrap()));
    }

    #[test]
    fn sizes_follow_from_ratios_and_widths_of_heads() {
        let giant = [
            ("/vision_cfg/width", json!(1664)),
            ("/vision_cfg/head_width", json!(104)),
            ("/vision_cfg/mlp_ratio", json!(4.9231)),
            ("/vision_cfg/image_size", json!([224, 224])),
            ("/text_cfg/norm_kwargs", json!({"eps": 1e-6})),
        ];
        let config = read(vit_b_32(&giant)).unwrap();
        assert_eq!((config.vision.tower.heads, config.vision.tower.intermediate), (16, 8192));
        assert_eq!((config.text.tower.eps, config.vision.tower.eps), (1e-6, 1e-5));
        assert_eq!((config.text.pooling, config.projection), (Pooling::FirstHighestId, 512));
    }

    #[test]
    fn what_does_not_change_the_features_passes() {
        let idle = [
            ("/custom_text", json!(true)),
            ("/init_logit_scale", json!(2.6)),
            ("/vision_cfg/patch_dropout", json!(0.5)),
            ("/vision_cfg/attentional_pool", json!(false)),
            ("/vision_cfg/timm_pool", json!("avg")),
            ("/vision_cfg/pool_type", json!("tok")),
            ("/text_cfg/hf_tokenizer_name", json!("owner/name")),
            ("/text_cfg/proj_bias", json!(false)),
            ("/text_cfg/ls_init_value", json!(null)),
        ];
        assert_eq!(read(vit_b_32(&idle)).unwrap(), read(vit_b_32(&[])).unwrap());
    }

    #[test]
    fn another_kind_of_model_is_refused_by_the_field_that_makes_it_one() {
        let cases = [
            ("/vision_cfg/timm_model_name", json!("vit_base_patch16_siglip_224")),
            ("/vision_cfg/eva_model_name", json!("eva-clip-b-16")),
            ("/vision_cfg/layers", json!([3, 4, 6, 3])),
            ("/vision_cfg/attentional_pool", json!(true)),
            ("/vision_cfg/attentional_pool", json!("parallel")),
            ("/vision_cfg/no_ln_pre", json!(true)),
            ("/vision_cfg/pool_type", json!("avg")),
            ("/vision_cfg/global_average_pool", json!(true)),
            ("/vision_cfg/ls_init_value", json!(1e-5)),
            ("/vision_cfg/qk_norm", json!(true)),
            ("/vision_cfg/act_kwargs", json!({"approximate": "other"})),
            ("/vision_cfg/norm_kwargs", json!({"bias": false})),
            ("/text_cfg/hf_model_name", json!("roberta-base")),
            ("/text_cfg/pool_type", json!("last")),
            ("/text_cfg/pool_type", json!("eos")),
            ("/text_cfg/proj_type", json!("none")),
            ("/text_cfg/proj_bias", json!(true)),
            ("/text_cfg/embed_cls", json!(true)),
            ("/text_cfg/no_causal_mask", json!(true)),
            ("/text_cfg/tokenizer_kwargs", json!({"clean": "canonicalize"})),
            ("/multimodal_cfg", json!({"width": 512})),
            ("/init_logit_bias", json!(-10)),
            ("/something_new", json!(true)),
        ];
        for (pointer, value) in cases {
            let error = read(vit_b_32(&[(pointer, value)])).unwrap_err().to_string();
            let field = format!("model_cfg{}", pointer.replace('/', "."));
            assert!(error.contains(&field) && error.contains("ViT-B-32"), "{pointer}: {error}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_name_of_the_field() {
        let cases = [
            ("/embed_dim", json!(null)),
            ("/embed_dim", json!("wide")),
            ("/quick_gelu", json!("yes")),
            ("/vision_cfg/width", json!(770)),
            ("/vision_cfg/patch_size", json!(0)),
            ("/vision_cfg/mlp_ratio", json!(-1)),
            ("/vision_cfg/image_size", json!([224, 112])),
            ("/text_cfg/heads", json!(7)),
            ("/text_cfg/context_length", json!(2)),
            ("/text_cfg/layers", json!(1e9)),
        ];
        for (pointer, value) in cases {
            let error = read(vit_b_32(&[(pointer, value)])).unwrap_err().to_string();
            let name = pointer.rsplit('/').next().unwrap();
            assert!(error.contains(name) || name == "heads" && error.contains("width"), "{pointer}: {error}");
        }
        assert!(config(json!({"model_cfg": 7}).as_object().unwrap()).is_err());
    }
}
