#![allow(clippy::unwrap_used, clippy::panic)]
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::ImageFormat;
use pipeline::event::{Event, Progress};
use pipeline::stage::Cancel;

use super::*;
use crate::annotation::annotate::Annotate;
use crate::annotation::fetch_clip::{FetchClip, Origin};
use crate::annotation::human_labels::LabelTable;
use crate::artifacts::images::Split;
use crate::clip::ClipFiles;
use crate::dataset::demo::{self, Rendering};
use crate::runtime::device::InferenceType;

/// Two steps of PyTorch (golden/make_coop.py) and ours from the same vectors, images and labels.
#[test]
fn two_steps_are_pytorchs() {
    #[derive(Deserialize)]
    struct Golden {
        folder: String,
        classes: Vec<Vec<String>>,
        scale: f64,
        momentum: f64,
        weight_decay: f64,
        context: Vec<Vec<f32>>,
        images: Vec<Vec<f32>>,
        labels: Vec<usize>,
        features: Vec<Vec<f32>>,
        steps: Vec<GoldenStep>,
    }

    #[derive(Deserialize)]
    struct GoldenStep {
        rate: f64,
        loss: f32,
        context: Vec<Vec<f32>>,
    }

    let gap = |found: &[f32], wanted: &[Vec<f32>]| {
        let wanted = wanted.concat();
        assert_eq!(found.len(), wanted.len());
        found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let golden: Vec<Golden> = serde_json::from_str(include_str!("golden/coop.json")).unwrap();
    assert_eq!(golden.len(), 2);
    for golden in golden {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clip/golden").join(&golden.folder);
        let tower = PromptTower::load(&ClipFiles::in_folder(&folder).unwrap(), &Device::Cpu).unwrap();
        let prompts = tower.prompts(&golden.classes, golden.context.len()).unwrap();
        let rows = |rows: &[Vec<f32>]| {
            Tensor::from_vec(rows.concat(), (rows.len(), rows[0].len()), &Device::Cpu).unwrap()
        };
        let Golden { scale, momentum, weight_decay, .. } = &golden;
        let constants = Constants { scale: *scale, momentum: *momentum, weight_decay: *weight_decay };
        let mut prompt = LearnedPrompt::new(&tower, prompts, &rows(&golden.context), constants).unwrap();
        let name = &golden.folder;
        assert!(gap(&prompt.features().unwrap(), &golden.features) < 1e-5, "{name}");
        let images = rows(&golden.images);
        let classes = golden.classes.len();
        let targets: Vec<Vec<f32>> = (golden.labels.iter())
            .map(|label| (0..classes).map(|class| f32::from(class == *label)).collect())
            .collect();
        let targets = rows(&targets);
        for (number, step) in golden.steps.iter().enumerate() {
            let loss = prompt.step(&images, &targets, step.rate).unwrap().to_scalar::<f32>().unwrap();
            assert!((loss - step.loss).abs() < 1e-4, "{name}, step {number}: {loss} for {}", step.loss);
            let context = prompt.tensors()["context"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let gap = gap(&context, &step.context);
            assert!(gap < 1e-5, "{name}, step {number}: the context is {gap} away");
        }
    }
}

/// Pictures of the demo: so many of each class to train and to test with, and what its CLIP sees in them.
struct Demo {
    images: Arc<Images>,
    embeddings: Arc<Embeddings>,
    model: Arc<Model>,
}

fn embed() -> Embed {
    let clip = Origin::BuiltIn(demo::CLIP.to_owned());
    Embed { clip, precision: InferenceType::F32, mean: Vec::new(), std: Vec::new() }
}

fn class_names() -> Vec<String> {
    demo::classes().map(str::to_owned).collect()
}

impl Demo {
    fn new(train: usize, test: usize) -> Self {
        let classes = class_names();
        let (mut index, mut encoded) = (Index { classes, ..Index::default() }, Vec::new());
        for (split, count) in [(Split::Train, train), (Split::Test, test)] {
            for number in 0..count * index.classes.len() {
                let mut bytes = Cursor::new(Vec::new());
                let picture = demo::tile(Rendering::Demo, split.name(), 0, number);
                picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
                encoded.push(bytes.into_inner());
                index.ids.push(format!("{split}/{number}"));
                index.splits.push(split);
                index.labels.push(Some(demo::class_of(number) as i32));
            }
        }
        let paths = vec![None; encoded.len()];
        let images = Arc::new(Images::new(index, encoded, paths));
        let folder = tempfile::tempdir().unwrap();
        let context = Context::for_test(folder.path());
        let model = Arc::new(FetchClip { origin: embed().clip }.run((), &context).unwrap());
        let seen = embed().run((Arc::clone(&images), Arc::clone(&model)), &context).unwrap();
        Self { images, embeddings: Arc::new(seen), model }
    }

    fn inputs(&self) -> <<Coop as Stage>::Inputs as Inputs>::Loaded {
        (Arc::clone(&self.images), Arc::clone(&self.embeddings), Arc::clone(&self.model))
    }

    /// The same with other labels.
    fn relabelled(&self, label: impl Fn(usize, Option<i32>) -> Option<i32>) -> Arc<Images> {
        let mut index = self.images.index.clone();
        index.labels.iter_mut().enumerate().for_each(|(row, of)| *of = label(row, *of));
        let encoded = self.images.encoded().unwrap();
        let encoded: Vec<Vec<u8>> = (0..encoded.len()).map(|row| encoded.get(row).to_vec()).collect();
        let paths = vec![None; encoded.len()];
        Arc::new(Images::new(index, encoded, paths))
    }

    fn vote(&self, stage: &Coop) -> Votes {
        let folder = tempfile::tempdir().unwrap();
        stage.run(self.inputs(), &Context::for_test(folder.path())).unwrap()
    }

    /// Share of the test images that the votes get right.
    fn accuracy(&self, votes: &Votes) -> f64 {
        let test = self.images.index.of(Split::Test);
        let right = |row: &&usize| votes.on(**row)[0].map(i32::from) == self.images.index.labels[**row];
        test.iter().filter(right).count() as f64 / test.len() as f64
    }
}

fn coop(shots: usize, coop: CoopSettings) -> Coop {
    Coop {
        coop,
        labels: HumanLabels { shots, seed: 0, table: None },
        seed: 0,
        class_texts: class_names(),
        logit_scale: 100.0,
        flip: true,
        embed: embed(),
    }
}

/// Too short to learn much.
fn short() -> CoopSettings {
    CoopSettings { epochs: 3, crops: 2, ..CoopSettings::default() }
}

#[test]
fn four_labelled_images_a_class_of_the_demo_are_enough_to_beat_chance_by_far() {
    let demo = Demo::new(6, 20);
    let votes = demo.vote(&coop(4, CoopSettings::default()));
    assert_eq!(votes.names.annotators, ["coop, 4 labelled images a class"]);
    assert_eq!((votes.ids.len(), votes.names.classes.len()), (260, 10));
    for row in 0..votes.ids.len() {
        assert!((votes.probs(row).iter().sum::<f32>() - 1.0).abs() < 1e-4);
        assert_eq!(votes.on(row), [votes.most_probable(row)]);
    }
    let accuracy = demo.accuracy(&votes);
    assert!(accuracy > 0.25, "{accuracy}, where chance is 0.1");
}

#[test]
fn vectors_that_start_as_words_and_never_learn_vote_like_the_template_of_these_words() {
    let demo = Demo::new(2, 4);
    let still = CoopSettings { initial: Initial::Words, learning_rate: 0.0, ..short() };
    // The first epoch has a rate of its own; its one step moves the votes by next to nothing.
    let votes = demo.vote(&coop(1, still));
    let folder = tempfile::tempdir().unwrap();
    let context = Context::for_test(folder.path());
    let clip = embed().clip;
    let logit_scale = locate(&demo.model, &clip, &context).unwrap().logit_scale().unwrap().unwrap();
    assert!(logit_scale < 20.0, "the scale of the settings is another: {logit_scale}");
    let templates = vec!["a photo of a {}.".to_owned()];
    let template = Annotate { templates, class_texts: class_names(), logit_scale, clip };
    let wanted = template.run(demo.inputs(), &context).unwrap();
    let gap = votes.mean_probs.iter().zip(&wanted.mean_probs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(gap < 0.05, "{gap}");
}

#[test]
fn a_training_that_was_stopped_goes_on_to_the_same_votes() {
    let demo = Demo::new(2, 2);
    let stage = coop(2, CoopSettings { crops: 2, ..CoopSettings::default() });
    let folder = tempfile::tempdir().unwrap();
    let cancel = Cancel::default();
    let stop = cancel.clone();
    let listener = move |event: &Event| {
        if let Event::Progress { unit, done, .. } = event
            && unit == "epochs"
            && *done > 0
        {
            stop.request();
        }
    };
    let progress = Progress::new("coop", Arc::new(listener));
    let context = Context::new(Machine::default(), progress, cancel, folder.path());
    let stopped = stage.run(demo.inputs(), &context).err().map(|error| error.is_cancelled());
    assert_eq!(stopped, Some(true));
    let context = Context::for_test(folder.path());
    let (_, done) = checkpoint::load::<Done>(&context).unwrap();
    assert!((1..100).contains(&done.epochs), "{done:?}");
    assert_eq!(stage.run(demo.inputs(), &context).unwrap(), demo.vote(&stage));
}

#[test]
fn a_checkpoint_of_other_vectors_is_passed_over() {
    let demo = Demo::new(2, 2);
    let folder = tempfile::tempdir().unwrap();
    let context = Context::for_test(folder.path());
    coop(1, short()).run(demo.inputs(), &context).unwrap();
    let shorter = coop(1, CoopSettings { context_length: 3, ..short() });
    assert_eq!(shorter.run(demo.inputs(), &context).unwrap(), demo.vote(&shorter));
}

#[test]
fn new_crops_in_every_epoch_differ_from_a_pool_and_the_seed_decides_either() {
    let demo = Demo::new(2, 2);
    let vote = |crops, seed| {
        let settings = CoopSettings { crops, epochs: 6, ..short() };
        demo.vote(&Coop { seed, ..coop(2, settings) }).mean_probs
    };
    let (pool, new) = (vote(2, 0), vote(0, 0));
    assert_ne!(pool, new);
    assert_eq!([pool, new.clone()], [vote(2, 0), vote(0, 0)]);
    assert_ne!(new, vote(0, 1));
}

#[test]
fn an_epoch_is_of_whole_batches_unless_all_images_fill_none() {
    let stage = |batch| coop(2, CoopSettings { batch, ..short() });
    let order = |batch, epoch| stage(batch).order(epoch, 20);
    assert_eq!([8, 20, 32].map(|batch| order(batch, 1).len()), [16, 20, 20]);
    let mut all = order(32, 1);
    assert_ne!(all, order(32, 2));
    all.sort_unstable();
    assert_eq!(all, (0..20).collect::<Vec<_>>());
}

fn refused(result: Result<impl Sized>, words: &[&str]) {
    let error = result.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

#[test]
fn images_that_it_cannot_learn_from_are_refused_with_what_to_do() {
    let demo = Demo::new(2, 1);
    let folder = tempfile::tempdir().unwrap();
    let context = Context::for_test(folder.path());
    let run = |stage: &Coop, images: Arc<Images>| {
        let (_, embeddings, model) = demo.inputs();
        stage.run((images, embeddings, model), &context)
    };
    let unknown = demo.relabelled(|_, _| None);
    refused(run(&coop(2, short()), unknown), &["CoOp learns from 2 labelled images", "TRUTH=", "help: "]);
    let few = ["CoOp learns from 3 labelled images", "`forest`", "help: "];
    refused(run(&coop(3, short()), Arc::clone(&demo.images)), &few);
    let without_lakes = demo.relabelled(|_, label| label.filter(|label| *label != 2));
    refused(run(&coop(1, short()), without_lakes), &["no label of `lake`"]);
    let fewer = Coop { class_texts: class_names()[1..].to_vec(), ..coop(1, short()) };
    refused(run(&fewer, Arc::clone(&demo.images)), &["9 class texts for 10 classes"]);
    let long = coop(1, CoopSettings { context_length: 24, ..short() });
    refused(run(&long, Arc::clone(&demo.images)), &["a context of 24 vectors", "at most 20"]);
    let wild = coop(1, CoopSettings { learning_rate: 1e300, ..short() });
    refused(run(&wild, Arc::clone(&demo.images)), &["epoch 3 failed", "coop.learning_rate"]);
}

#[test]
fn labels_of_a_table_are_learned_from_where_the_data_set_has_none() {
    let demo = Demo::new(3, 2);
    let images = demo.relabelled(|_, _| None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("truth.csv");
    let rows: Vec<String> =
        (0..12).map(|number| format!("train/{number},{}", class_names()[demo::class_of(number)])).collect();
    std::fs::write(&file, format!("id,class\n{}\n", rows.join("\n"))).unwrap();
    let of_table = |file: PathBuf| {
        let (classes, class_texts) = (class_names(), class_names());
        let table = Some(LabelTable { file, classes, class_texts, surplus: false });
        Coop { labels: HumanLabels { shots: 0, seed: 0, table }, ..coop(0, short()) }
    };
    let stage = of_table(file.clone());
    stage.check(&Machine::default()).unwrap();
    assert_eq!(stage.files(), [Reads::All(file)]);
    assert_eq!(stage.key().unwrap(), of_table(PathBuf::from("elsewhere.csv")).key().unwrap());
    let (_, embeddings, model) = demo.inputs();
    let context = Context::for_test(folder.path());
    let votes = stage.run((images, embeddings, model), &context).unwrap();
    assert_eq!(votes.names.annotators, ["coop, 12 labelled images"]);
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_runs() {
    let check = |stage: Coop| stage.check(&Machine::default());
    check(coop(4, CoopSettings::default())).unwrap();
    refused(check(coop(4, CoopSettings { batch: 0, ..short() })), &["coop.batch = 0"]);
    refused(check(Coop { class_texts: vec!["one".to_owned()], ..coop(4, short()) }), &["nothing to choose"]);
    refused(check(Coop { logit_scale: -1.0, ..coop(4, short()) }), &["annotate.logit_scale = -1"]);
    let half = Embed { precision: InferenceType::F16, ..embed() };
    refused(check(Coop { embed: half, ..coop(4, short()) }), &["half precision needs a GPU"]);
}

#[test]
fn where_the_clip_lies_decides_nothing_and_shots_count_once() {
    let key = |stage: &Coop| stage.key().unwrap();
    let stage = coop(4, short());
    let elsewhere = Embed { clip: Origin::Folder(PathBuf::from("clip")), ..embed() };
    assert_eq!(key(&stage), key(&Coop { embed: elsewhere, ..stage.clone() }));
    assert_eq!(key(&stage), key(&coop(4, CoopSettings { shots: 4, ..short() })));
    assert_ne!(key(&stage), key(&coop(2, short())));
}
