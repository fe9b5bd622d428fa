//! Which files of a folder count, what is said of them, and what is refused.

use super::*;

fn lay(names: &[(&str, &str)]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for (from, to) in names {
        std::fs::copy(folder(from), copy.path().join(to)).unwrap();
    }
    copy
}

const QUICK: [(&str, &str); 3] = [
    ("quick/config.json", "config.json"),
    ("quick/model.safetensors", "model.safetensors"),
    ("quick/tokenizer.json", "tokenizer.json"),
];
const OPEN: [(&str, &str); 4] = [
    ("open_clip/open_clip_config.json", "open_clip_config.json"),
    ("open_clip/open_clip_model.safetensors", "open_clip_model.safetensors"),
    ("open_clip/vocab.json", "vocab.json"),
    ("open_clip/merges.txt", "merges.txt"),
];

fn names(files: &ClipFiles) -> Vec<&str> {
    files.contents().into_iter().map(Content::name).collect()
}

#[test]
fn a_clip_model_counts_where_it_is_complete_and_open_clips_format_otherwise() {
    let both = lay(&[&QUICK[..], &OPEN[..]].concat());
    let files = ClipFiles::in_folder(both.path()).unwrap();
    assert_eq!(names(&files), ["config.json", "model.safetensors", "tokenizer.json"]);
    std::fs::remove_file(both.path().join("model.safetensors")).unwrap();
    let files = ClipFiles::in_folder(both.path()).unwrap();
    assert_eq!(names(&files), ["open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"]);
    std::fs::remove_file(both.path().join("tokenizer.json")).unwrap();
    let files = ClipFiles::in_folder(both.path()).unwrap();
    assert_eq!(names(&files)[2..], ["vocab.json", "merges.txt"]);
}

#[test]
fn another_programs_config_does_not_hide_open_clips() {
    // As repositories of timm have it, with weights of their own.
    let copy = lay(&[&OPEN[..], &[("quick/model.safetensors", "model.safetensors")]].concat());
    let timm = r#"{"architecture": "vit_base_patch32_clip_224", "num_classes": 512}"#;
    std::fs::write(copy.path().join("config.json"), timm).unwrap();
    let found = ClipFiles::found_in(copy.path()).unwrap();
    assert_eq!(names(&found.files)[..2], ["open_clip_config.json", "open_clip_model.safetensors"]);
    found.files.check().unwrap();
    let notes = found.notes().unwrap();
    assert!(matches!(&notes[..], [note] if note.ends_with("open_clip_config.json counts")), "{notes:?}");
}

#[test]
fn what_is_missing_is_said_with_what_is_there_and_what_to_add() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: [Case; 5] = [
        (&OPEN[1..], &["no config.json and no open_clip_config.json", "take the config of the repository"]),
        (
            &OPEN[..2],
            &["no tokenizer.json, and no vocab.json with merges.txt", "openai/clip-vit-base-patch32"],
        ),
        (&OPEN[..3], &["vocab.json without merges.txt"]),
        (
            &[OPEN[0], OPEN[2], OPEN[3]],
            &["no open_clip_model.safetensors and no open_clip_pytorch_model.bin"],
        ),
        (&[], &["no config.json", "there are: none"]),
    ];
    for (there, words) in cases {
        let copy = lay(there);
        let error = ClipFiles::in_folder(copy.path()).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(there.iter().all(|(_, name)| error.contains(name)), "{error}");
        assert!(error.contains("help: needed are config.json"), "{error}");
    }
}

#[test]
fn a_git_lfs_pointer_in_place_of_any_file_is_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    let preprocessor = [("quick/config.json", "preprocessor_config.json")];
    for (file, layout) in [
        ("config.json", &[&QUICK[..], &preprocessor].concat()),
        ("model.safetensors", &QUICK.to_vec()),
        ("tokenizer.json", &QUICK.to_vec()),
        ("preprocessor_config.json", &[&QUICK[..], &preprocessor].concat()),
        ("open_clip_config.json", &OPEN.to_vec()),
        ("open_clip_model.safetensors", &OPEN.to_vec()),
        ("vocab.json", &OPEN.to_vec()),
        ("merges.txt", &OPEN.to_vec()),
    ] {
        let copy = lay(layout);
        std::fs::write(copy.path().join(file), pointer).unwrap();
        let checked = ClipFiles::in_folder(copy.path()).and_then(|files| files.check());
        let error = checked.unwrap_err().to_string();
        assert!(error.contains("git lfs pull") && error.contains(file), "{file}: {error}");
        assert!(!error.contains("damaged"), "{file}: {error}");
    }
}

/// What transformers 5 writes.
const PROCESSOR: &str = r#"{"image_processor": {"crop_size": {"height": 20, "width": 20}, "do_center_crop": true,
    "do_convert_rgb": true, "do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.4, 0.3],
    "image_processor_type": "CLIPImageProcessor", "image_std": [0.1, 0.2, 0.3], "resample": 3,
    "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 20}}, "processor_class": "CLIPProcessor"}"#;

#[test]
fn the_processor_config_of_transformers_5_is_read() {
    let copy = lay(&QUICK);
    let path = copy.path().join("processor_config.json");
    std::fs::write(&path, PROCESSOR).unwrap();
    let found = ClipFiles::found_in(copy.path()).unwrap();
    assert_eq!(names(&found.files)[3..], ["processor_config.json"]);
    let preprocess = found.files.preprocess().unwrap();
    assert_eq!(preprocess.normalisation(), Some([[0.5, 0.4, 0.3], [0.1, 0.2, 0.3]]));
    assert_eq!(found.notes().unwrap(), [""; 0]);
    // That of transformers 4 says nothing of images.
    std::fs::write(&path, r#"{"processor_class": "CLIPProcessor"}"#).unwrap();
    let found = ClipFiles::found_in(copy.path()).unwrap();
    assert_eq!(found.files.preprocessor, None);
    let notes = found.notes().unwrap();
    assert!(
        matches!(&notes[..], [note] if note.contains("assumed") && note.contains("clip.mean")),
        "{notes:?}"
    );
}

#[test]
fn of_two_files_that_differ_in_meaning_the_one_that_counts_is_said() {
    let copy = lay(&QUICK);
    std::fs::write(copy.path().join("processor_config.json"), PROCESSOR).unwrap();
    let own = copy.path().join("preprocessor_config.json");
    let whole: Value = serde_json::from_str(PROCESSOR).unwrap();
    let notes = |preprocessor: &Value| {
        std::fs::write(&own, preprocessor.to_string()).unwrap();
        let found = ClipFiles::found_in(copy.path()).unwrap();
        assert_eq!(names(&found.files)[3..], ["preprocessor_config.json"]);
        found.notes().unwrap()
    };
    // The same in other words.
    let mut same = whole["image_processor"].clone();
    for (field, value) in [("resample", "bicubic".into()), ("size", 20.into()), ("crop_size", Value::Null)] {
        same[field] = value;
    }
    same.as_object_mut().unwrap().remove("do_resize");
    assert_eq!(notes(&same), [""; 0]);
    let mut other = same.clone();
    other["image_std"] = serde_json::json!([0.1, 0.2, 0.4]);
    let found = notes(&other);
    assert!(
        matches!(&found[..], [note] if note.starts_with("processor_config.json") && note.ends_with("preprocessor_config.json counts")),
        "{found:?}"
    );
    other.as_object_mut().unwrap().remove("image_std");
    let found = notes(&other);
    assert!(
        found.len() == 2 && found[0].contains("preprocessor_config.json does not name both"),
        "{found:?}"
    );
}

#[test]
fn a_filter_and_sizes_may_be_written_in_any_of_the_known_ways() {
    let picture = picture(&serde_json::json!([33, 27]));
    let pixels = |json: &str| {
        let preprocess = preprocess_from(json, 20);
        let mut out = vec![0.0; preprocess.floats()];
        preprocess.apply(&picture, &mut out).unwrap();
        out
    };
    for (one, other) in [
        (r#"{"resample": 3}"#, r#"{"resample": "bicubic"}"#),
        (r#"{"resample": 2}"#, r#"{"resample": "PILImageResampling.BILINEAR"}"#),
        (r#"{"resample": 2}"#, r#"{"resample": "BILINEAR"}"#),
        (r#"{"size": 20}"#, r#"{"size": {"shortest_edge": 20, "longest_edge": null}}"#),
        (r#"{"size": {"height": 20, "width": 22}}"#, r#"{"size": [20, 22]}"#),
        (r#"{"crop_size": 20}"#, r#"{"crop_size": [20, 20]}"#),
        (r#"{"image_mean": [0.5, 0.5, 0.5]}"#, r#"{"image_mean": 0.5}"#),
    ] {
        assert!(pixels(one) == pixels(other), "{one} and {other}");
    }
    assert!(pixels(r#"{"resample": 2}"#) != pixels(r#"{"resample": 3}"#));
}

#[test]
fn another_mean_and_deviation_stand_in_for_those_of_the_files_each_for_itself() {
    let set = Preprocess::standard(20).normalised_by(Some([0.5; 3]), Some([0.25; 3]));
    let read = preprocess_from(r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}"#, 20);
    let picture = picture(&serde_json::json!([20, 20]));
    let (mut one, mut other) = (vec![0.0; set.floats()], vec![0.0; set.floats()]);
    set.apply(&picture, &mut one).unwrap();
    read.apply(&picture, &mut other).unwrap();
    assert_eq!(one, other);
    let mean_alone = read.normalised_by(Some([0.1, 0.2, 0.3]), None);
    assert_eq!(mean_alone.normalisation(), Some([[0.1, 0.2, 0.3], [0.25; 3]]));
}

/// Black apart from a red pixel in the middle: of the whole, a million pixels long, only the middle is computed.
#[test]
fn no_proportions_are_too_narrow() {
    let preprocess = Preprocess::standard(20);
    for (width, height) in [(1, 2100), (2100, 1), (1, 60_001), (60_001, 2)] {
        let mut image = RgbImage::new(width, height);
        image.put_pixel(width / 2, height / 2, image::Rgb([255, 0, 0]));
        let mut out = vec![0.0; preprocess.floats()];
        preprocess.apply(&image, &mut out).unwrap();
        assert!(out[20 * 10 + 10] > out[0] || out[20 * 10 + 10] > 1.0, "{width}×{height}");
        assert!(preprocess.seen((width, height)) < 0.001);
    }
    assert_eq!(preprocess.seen((20, 40)), 0.5);
}
