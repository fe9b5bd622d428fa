//! Real images and a trained CLIP, where there are some: `COREG_HUB` names a folder with
//! `datasets/timm/eurosat-rgb` and `models/standin/clip-eurosat` in hub layout.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use tests::project::Project;
use tests::tables::figures;

#[test]
#[ignore = "COREG_HUB must name a folder with EuroSAT and a CLIP that was trained on it"]
fn votes_on_real_images_are_as_good_as_they_were_measured_to_be() {
    let served = PathBuf::from(std::env::var_os("COREG_HUB").unwrap());
    for repo in ["datasets/timm/eurosat-rgb", "models/standin/clip-eurosat"] {
        assert!(served.join(repo).is_dir(), "COREG_HUB has no {repo}");
    }
    let project = Project::on_hub(&served);
    let run = project
        .coreg()
        .env("RAYON_NUM_THREADS", "2")
        .args(["run", "--dataset", "eurosat", "--clip", "standin/clip-eurosat", "--device", "cpu"])
        .args(["--only", "statistics"])
        .set("download.limit_train=1000 download.limit_test=200")
        .ok();
    println!("{}", run.stdout);
    let figures = figures(&project.path("artifacts/eurosat/statistics/summary.parquet"), Some("train"));
    println!("{figures:?}");
    assert_eq!(figures["images"], 1000.0);
    for (metric, range) in [("avg_candidates", 1.5..2.5), ("eta", 0.2..0.4), ("zero_shot_mean", 0.40..0.52)] {
        assert!(range.contains(&figures[metric]), "{metric} is {}", figures[metric]);
    }
}
