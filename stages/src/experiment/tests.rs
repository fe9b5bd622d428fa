#![allow(clippy::unwrap_used)]
use super::*;
use crate::methods::co_reg::CoReg;
use crate::methods::warm_up::WarmUp;

fn settings(profile: &str, labels: Option<&str>, set: &str) -> Result<Settings> {
    Ok(experiment(profile, labels, set)?.settings)
}

fn experiment(profile: &str, labels: Option<&str>, set: &str) -> Result<Experiment> {
    let choice = Choice {
        data_set: "demo".to_owned(),
        profile: profile.to_owned(),
        labels: labels.map(str::to_owned),
        set: vec![set.to_owned()],
        ..Choice::default()
    };
    Experiment::new(&choice, Place::Cpu)
}

#[test]
fn a_data_sets_part_of_a_profile_lies_between_the_profile_and_the_users_settings() {
    let own = DataSet::find("demo").unwrap().profile["quick"].clone();
    let own = own["co-reg"]["epochs"].as_integer().unwrap() as usize;
    let quick = settings("quick", None, "seed=3").unwrap();
    let epochs = |settings: Settings| settings.methods.of::<CoReg>().unwrap().epochs;
    assert_eq!((epochs(quick.clone()), quick.methods.of::<WarmUp>().unwrap().batch), (own, 64));
    assert_eq!(epochs(settings("quick", None, "co-reg.epochs=1").unwrap()), 1);
    assert_ne!(epochs(settings("paper", None, "").unwrap()), own);
}

#[test]
fn a_variant_is_over_the_profile_and_who_took_it_is_known() {
    let quick: CoReg = settings("quick", None, "").unwrap().methods.of().unwrap();
    let default = CoReg::default();
    assert_ne!(quick.unlabeled_error, default.unlabeled_error);
    let experiment = experiment("quick", None, "co-reg.variant=paper co-reg.regularise_after=3").unwrap();
    let paper: CoReg = experiment.settings.methods.of().unwrap();
    assert_eq!((paper.unlabeled_error, paper.divide.align), (default.unlabeled_error, default.divide.align));
    assert_eq!((paper.queue, paper.regularise_after), (quick.queue, 3));
    assert_eq!(experiment.setters["co-reg.partner"], "SET");
    assert!(!experiment.setters.contains_key("co-reg.variant"));
}

#[test]
fn labels_are_chosen_with_their_settings() {
    let labels = |text: &str| settings("quick", Some(text), "");
    assert_eq!(labels("clip").unwrap().labels, LabelSource::Clip);
    let synthetic = labels("synthetic q=0.03 eta=0.2").unwrap();
    assert_eq!(synthetic.labels, LabelSource::Synthetic);
    assert_eq!((synthetic.synthetic.q, synthetic.synthetic.eta), (0.03, 0.2));
    assert_eq!(labels("clip+votes").unwrap().labels, LabelSource::ClipAndVotes);
    let revision = settings("quick", None, "download.revision=main").unwrap_err().to_string();
    assert!(revision.contains("does not come from a hub"), "{revision}");
    for (wrong, said) in [("synthetic p=1", "synthetic.p"), ("people", "people"), ("clip q=1", "clip.q")] {
        let error = labels(wrong).unwrap_err().to_string();
        assert!(error.contains("LABELS") && error.contains(said), "{error}");
    }
}

fn nodes(set: &str, labels: &str) -> Vec<String> {
    let experiment = experiment("quick", Some(labels), set).unwrap();
    let graph = experiment.graph(&[experiment.branch()]).unwrap().graph;
    graph.nodes().map(|node| format!("{}({})", node.node, node.inputs.join(" "))).collect()
}

#[test]
fn one_annotator_needs_no_names_and_several_are_joined() {
    let alone = nodes("baselines=[]", "clip");
    assert_eq!(alone[..4], ["download()", "clip()", "embed(download clip)", "annotate(download embed clip)"]);
    let people = nodes("votes.file=v.parquet baselines=[]", "votes");
    assert_eq!(people[..3], ["download()", "annotate(download)", "label(download annotate)"]);
    let both = nodes("clip.model=demo-clip,some/Large_CLIP@v2 votes.file=v.parquet", "clip+votes");
    assert_eq!(
        both[..9],
        [
            "download()",
            "clip.demo-clip()",
            "embed.demo-clip(download clip.demo-clip)",
            "annotate.demo-clip(download embed.demo-clip clip.demo-clip)",
            "clip.large-clip()",
            "embed.large-clip(download clip.large-clip)",
            "annotate.large-clip(download embed.large-clip clip.large-clip)",
            "annotate.votes(download)",
            "annotate(annotate.demo-clip annotate.large-clip annotate.votes)",
        ]
    );
}

#[test]
fn labels_of_humans_lie_over_whatever_makes_the_candidates_where_they_are_asked_for() {
    let clip = nodes("label.shots=4 baselines=[]", "clip");
    let laid_over = ["label.candidates(download annotate)", "label(download label.candidates)"];
    assert_eq!(clip[4..6], laid_over);
    let learns = |node: &&String| node.starts_with("warm-up(") || node.starts_with("co-reg(");
    let from_both = |node: &String| node.contains("(download label)") || node.contains("(download label ");
    assert!(clip.iter().filter(learns).all(from_both), "{clip:?}");
    let synthetic = nodes("label.truth=file.csv", "synthetic q=0.1");
    assert_eq!(synthetic[1..3], ["label.candidates(download)", "label(download label.candidates)"]);
    let first = nodes("label.shots=4 baselines=['distill'] distill.labels=first-template", "clip");
    assert!(first.contains(&"distill(download label annotate.first)".to_owned()), "{first:?}");
    assert!(!nodes("label.shots_seed=4", "clip").iter().any(|node| node.starts_with("label.candidates")));
}

#[test]
fn shots_and_truth_are_settings_of_labels_that_make_no_other_candidates() {
    let choice = Choice {
        data_set: "demo".to_owned(),
        profile: "quick".to_owned(),
        shots: Some(4),
        truth: Some("~/truth.csv".to_owned()),
        ..Choice::default()
    };
    let asked = Experiment::new(&choice, Place::Cpu).unwrap();
    let home = std::env::var("HOME").unwrap();
    assert_eq!((asked.settings.label.shots, asked.settings.label.shots_seed), (4, 0));
    assert_eq!(asked.settings.label.truth, format!("{home}/truth.csv"));
    let key = |experiment: &Experiment, node: &str| {
        let graph = experiment.graph(&[experiment.branch()]).unwrap().graph;
        graph.stage(node).unwrap().key().unwrap()
    };
    let plain = experiment("quick", None, "").unwrap();
    assert_eq!(key(&asked, "label.candidates"), key(&plain, "label"));
    for (set, node) in [("label.shots=2", "label"), ("label.truth=t.csv label.shots=2", "label")] {
        let experiment = experiment("quick", None, set).unwrap();
        let graph = experiment.graph(&[experiment.branch()]).unwrap().graph;
        let stage = graph.stage(node).unwrap();
        let rebuilt = registry().unwrap().rebuild(stage.name(), stage.version(), &stage.settings().unwrap());
        assert_eq!(rebuilt.unwrap().key().unwrap(), stage.key().unwrap(), "{set}");
    }
}

#[test]
fn annotators_that_cannot_be_told_apart_are_refused() {
    let refused = |set: &str, labels: &str| {
        let experiment = experiment("quick", Some(labels), set).unwrap();
        experiment.graph(&[experiment.branch()]).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(refused("clip.model=demo-clip,demo-clip", "clip").contains("names `demo-clip` twice"));
    assert!(refused("clip.model=demo-clip,demo-clip@main", "clip").contains("not on a hub"));
    assert!(refused("clip.model=some/clip,some/clip@main", "clip").contains("names `some/clip` twice"));
    assert!(refused("clip.model=src,./src/", "clip").contains("twice"));
    assert_eq!(refused("clip.model=some/clip,some/clip@v2", "clip"), "");
    assert!(refused("clip.model=demo-clip,", "clip").contains("clip.model"));
    assert!(refused("", "votes").contains("VOTES"));
}

#[test]
fn who_is_named_and_would_not_vote_is_refused() {
    let given = |clip: Option<&str>, votes: Option<&str>, labels: Option<&str>| {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let choice = Choice {
            data_set: "demo".to_owned(),
            profile: "quick".to_owned(),
            clip: text(clip),
            votes: text(votes),
            labels: text(labels),
            ..Choice::default()
        };
        Experiment::new(&choice, Place::Cpu).map(|experiment| experiment.settings.labels)
    };
    let (clip, votes) = (Some("some/clip"), Some("votes.parquet"));
    assert_eq!(given(None, votes, None).unwrap(), LabelSource::Votes);
    assert_eq!(given(clip, votes, Some("clip+votes")).unwrap(), LabelSource::ClipAndVotes);
    assert_eq!(given(clip, votes, Some("votes")).unwrap(), LabelSource::Votes);
    assert_eq!(given(clip, None, Some("synthetic")).unwrap(), LabelSource::Synthetic);
    assert_eq!(given(clip, None, None).unwrap(), LabelSource::Clip);
    for (clip, votes, labels) in
        [(clip, votes, None), (None, votes, Some("clip")), (None, votes, Some("synthetic q=0.1"))]
    {
        let error = given(clip, votes, labels).unwrap_err().to_string();
        assert!(error.contains("LABELS=clip+votes"), "{error}");
    }
}

#[test]
fn every_stage_is_rebuilt_from_its_serialised_form() {
    let registry = registry().unwrap();
    let methods = crate::methods::METHODS.iter().map(|method| (method.name, "clip"));
    for (method, labels) in methods.chain([("co-reg", "synthetic q=0.03 eta=0.2")]) {
        let mut experiment =
            experiment("quick", Some(labels), "seed=7 optimizer.learning_rate=0.013").unwrap();
        experiment.settings.method = method.to_owned();
        let graph = experiment.graph(&[experiment.branch()]).unwrap().graph;
        for node in graph.nodes() {
            let stage = graph.stage(&node.node).unwrap();
            let settings = stage.settings().unwrap();
            let rebuilt = registry.rebuild(stage.name(), stage.version(), &settings).unwrap();
            assert_eq!(rebuilt.key().unwrap(), stage.key().unwrap(), "{} of {method}", node.node);
        }
    }
}
