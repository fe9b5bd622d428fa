//! CLIPs in open_clip's format against open_clip, and tokenizers of two files against `transformers`: goldens made by
//! make_open_clip.py.

use super::*;

#[test]
fn features_are_those_of_open_clip() {
    for name in ["open_clip", "open_clip_custom"] {
        let golden = golden(&format!("{name}/golden.json"));
        let files = ClipFiles::in_folder(&folder(name)).unwrap();
        files.check().unwrap();
        for (found, wanted) in
            image_features(&files, &golden).iter().zip(golden["images"].as_array().unwrap())
        {
            let gap = gap(found, &floats(&wanted["feature"]));
            assert!(gap < 1e-5, "{name}, image of {}: {gap}", wanted["size"]);
        }
        let encoder = TextEncoder::load(&files, &Device::Cpu, DType::F32).unwrap();
        let found: Vec<Vec<f32>> = encoder.encode(&texts(&golden)).unwrap().to_vec2().unwrap();
        for (found, wanted) in found.iter().zip(golden["texts"].as_array().unwrap()) {
            let gap = gap(found, &floats(&wanted["feature"]));
            assert!(gap < 1e-5, "{name}, {}: {gap}", wanted["text"]);
        }
        let scale = golden["logit_scale"].as_f64().unwrap();
        assert!((files.logit_scale().unwrap().unwrap() - scale).abs() < 1e-3);
    }
}

#[test]
fn a_wrapper_s_prefix_is_passed_over_and_said() {
    let found = ClipFiles::found_in(&folder("open_clip_custom")).unwrap();
    let notes = found.notes().unwrap();
    assert!(matches!(&notes[..], [note] if note.contains("`module.`")), "{notes:?}");
    assert_eq!(ClipFiles::found_in(&folder("open_clip")).unwrap().notes().unwrap(), [""; 0]);
}

fn ids(files: &TokenizerFiles, wanted: &Value) {
    let mut config = Config::read(&folder("quick/config.json").into()).unwrap().text;
    config.positions = 1000;
    let tokenizer = Tokenizer::read(files, &config).unwrap();
    for case in wanted.as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let wanted: Vec<u32> =
            case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(tokenizer.tokenize(&[text]).unwrap()[0].ids, wanted, "{text:?}");
    }
}

#[test]
fn a_vocabulary_and_merges_give_the_ids_of_transformers_and_of_the_whole_tokenizer() {
    let wanted = golden("tokens.json");
    let parts = ClipFiles::in_folder(&folder("open_clip")).unwrap().tokenizer;
    assert!(matches!(parts, TokenizerFiles::Parts { .. }));
    ids(&parts, &wanted);
    ids(&folder("quick/tokenizer.json").into(), &wanted);
}

/// Files as editors of Windows save them, and a merge that begins like a comment.
#[test]
fn line_ends_and_marks_of_encoding_do_not_change_a_tokenizer() {
    let (copy, files) = copy_of_open_clip();
    let TokenizerFiles::Parts { vocabulary, merges } = &files.tokenizer else { panic!() };
    let with_mark = |path: &Path, text: String| std::fs::write(path, format!("\u{feff}{text}")).unwrap();
    let read = |path: &Content| std::fs::read_to_string(path.as_ref()).unwrap();
    with_mark(vocabulary.as_ref(), read(vocabulary));
    with_mark(merges.as_ref(), read(merges).replace('\n', "\r\n") + "\r\n");
    ids(&files.tokenizer, &golden("tokens.json"));
    let config = Config::read(&files.config).unwrap();
    edit(merges, "#version: 0.2\r\n", "#version: 0.2\r\n# #\r\n");
    let error = Tokenizer::read(&files.tokenizer, &config.text).err().unwrap().to_string();
    assert!(error.contains("merges.txt") && error.contains("##"), "{error}");
    drop(copy);
}

#[test]
fn a_tokenizer_of_two_files_that_do_not_fit_is_refused_with_its_file() {
    let cases = [
        ("vocab.json", "\"<|endoftext|>\": 525", "\"<|end|>\": 525", "<|startoftext|> and <|endoftext|>"),
        ("vocab.json", "{", "[", "each token and its number"),
        ("merges.txt", "p h", "p  h", "line 3"),
        ("merges.txt", "p h", "one two", "merges.txt"),
    ];
    for (file, from, to, word) in cases {
        let (copy, files) = copy_of_open_clip();
        edit(copy.path().join(file), from, to);
        let error = files.check().unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(word) && error.contains("help"), "{file}: {error}");
    }
}

fn copy_of_open_clip() -> (tempfile::TempDir, ClipFiles) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["open_clip_config.json", "open_clip_model.safetensors", "vocab.json", "merges.txt"] {
        std::fs::copy(folder("open_clip").join(name), copy.path().join(name)).unwrap();
    }
    let files = ClipFiles::in_folder(copy.path()).unwrap();
    (copy, files)
}

#[test]
fn the_check_names_the_tensor_as_the_file_does() {
    let cases = [
        ("\"mlp_ratio\": 2.6", "\"mlp_ratio\": 3.0", "visual.transformer.resblocks.0.mlp.c_fc.weight"),
        ("\"layers\": 2", "\"layers\": 3", "transformer.resblocks.2."),
        ("\"image_size\": 24", "\"image_size\": 32", "visual.positional_embedding"),
        ("\"vocab_size\": 526", "\"vocab_size\": 527", "token_embedding.weight"),
        (
            "\"embed_dim\": 20",
            "\"embed_dim\": 24",
            "visual.proj has shape [24, 20], the config asks for [24, 24]",
        ),
    ];
    for (from, to, tensor) in cases {
        let (_copy, files) = copy_of_open_clip();
        edit(&files.config, from, to);
        let error = files.check().unwrap_err().to_string();
        assert!(error.contains(tensor) && error.contains("open_clip_model.safetensors"), "{to}: {error}");
    }
}

/// Also the proof that the golden is sharp enough.
#[test]
fn activation_heads_crop_and_filter_are_those_of_open_clips_config() {
    let golden = golden("open_clip/golden.json");
    let edits = [
        ("\"embed_dim\": 20", "\"quick_gelu\": true, \"embed_dim\": 20"),
        ("\"head_width\": 8", "\"head_width\": 12"),
        ("\"bicubic\"", "\"bilinear\""),
        ("\"shortest\"", "\"squash\""),
        ("0.48145466", "0.5"),
    ];
    for (from, to) in edits {
        let (_copy, files) = copy_of_open_clip();
        edit(&files.config, from, to);
        let found = image_features(&files, &golden);
        let gap = gap(&found[1], &floats(&golden["images"][1]["feature"]));
        assert!(gap > 2e-5, "{to} changes nothing");
    }
    let (_copy, files) = copy_of_open_clip();
    for (mode, word) in [("longest", "resize_mode"), ("random", "resize_mode"), ("", "nothing")] {
        let text = std::fs::read_to_string(&files.config).unwrap();
        std::fs::write(&files.config, text.replace("\"shortest\"", &format!("{mode:?}"))).unwrap();
        let error = files.preprocess().err().map(|error| error.to_string());
        assert_eq!(error.is_some(), word != "nothing", "{mode}");
        assert!(error.is_none_or(|error| error.contains(word) && error.contains("shortest, squash")));
        std::fs::write(&files.config, text).unwrap();
    }
}

#[test]
fn open_clips_names_are_read_beside_a_hub_config_too() {
    // The same numbers under other names: what a CLIPModel's config says of them is what counts.
    let (copy, files) = copy_of_open_clip();
    let wanted = image_features(&files, &golden("open_clip/golden.json"));
    let config = serde_json::json!({"model_type": "clip", "projection_dim": 20,
        "vision_config": {"hidden_size": 24, "intermediate_size": 62, "num_hidden_layers": 2,
            "num_attention_heads": 3, "image_size": 24, "patch_size": 8, "hidden_act": "gelu"},
        "text_config": {"hidden_size": 20, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 2,
            "vocab_size": 526, "max_position_embeddings": 24, "eos_token_id": 2, "hidden_act": "gelu"}});
    std::fs::write(copy.path().join("config.json"), config.to_string()).unwrap();
    let weights = copy.path().join("open_clip_model.safetensors");
    std::fs::rename(&weights, copy.path().join("model.safetensors")).unwrap();
    let files = ClipFiles::in_folder(copy.path()).unwrap();
    assert_eq!(files.config.name(), "config.json");
    files.check().unwrap();
    let (square, found) = (3, image_features(&files, &golden("open_clip/golden.json")));
    assert!(gap(&found[square], &wanted[square]) < 1e-6);
}
