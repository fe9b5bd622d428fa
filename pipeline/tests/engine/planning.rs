//! What would run, and why.

use std::fs;

use pipeline::schedule::Status;

use crate::project::{Project, files_below};

fn lines(project: &Project, graph: &pipeline::graph::Graph) -> Vec<String> {
    project.plan(graph).into_iter().map(|(node, status)| format!("{node}: {status}")).collect()
}

#[test]
fn a_plan_for_an_empty_store_runs_everything() {
    let project = Project::new();
    assert_eq!(
        lines(&project, &project.diamond("i", "p", "r")),
        [
            "images: would run: never ran before",
            "prompts: would run: never ran before",
            "labels: would run after images and prompts: never ran before",
            "report: would run after labels: never ran before",
        ]
    );
}

#[test]
fn a_plan_explains_a_changed_setting_from_old_to_new() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    assert_eq!(
        lines(&project, &project.diamond("i", "other", "new")),
        [
            "images: cached",
            "prompts: would run: setting `says`: \"p\" → \"other\"",
            "labels: runs only if the output of prompts changes",
            "report: would run after labels: setting `says`: \"r\" → \"new\"",
        ]
    );
}

#[test]
fn a_plan_says_which_older_result_it_goes_back_to() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    project.made(&project.diamond("i", "p", "new"));
    let planned = project.plan(&project.diamond("i", "p", "r"));
    let differs = vec!["setting `says`: \"new\" → \"r\"".to_owned()];
    assert_eq!(planned[3], ("report".to_owned(), Status::Cached { differs }));
}

#[test]
fn a_plan_names_damage_and_leaves_it_where_it_is() {
    let project = Project::new();
    let graph = project.diamond("i", "p", "r");
    project.made(&graph);
    fs::remove_file(project.view().join("demo/report/text.txt")).unwrap();
    let before = files_below(&project.root());
    assert_eq!(
        lines(&project, &graph)[3],
        "report: would run: its kept result is damaged: file text.txt is missing"
    );
    assert_eq!(files_below(&project.root()), before);
}

#[test]
fn a_run_gives_the_reasons_that_its_plan_gave() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    let graph = project.diamond("i", "p", "new");
    let Status::WouldRun { why } = project.plan(&graph).pop().unwrap().1 else { panic!("it is not kept") };
    project.made(&graph);
    assert!(project.log().contains(&format!("started report: {}", why.join("; "))), "{:?}", project.log());
}

#[test]
fn an_input_that_changed_is_named() {
    let project = Project::new();
    project.made(&project.diamond("i", "p", "r"));
    project.made(&project.diamond("i", "other", "r"));
    assert!(
        project.log().contains(&"started labels: input prompts changed".to_owned()),
        "{:?}",
        project.log()
    );
}
