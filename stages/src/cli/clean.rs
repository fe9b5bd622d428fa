//! `coreg clean` and `coreg verify`.

use std::path::Path;

use pipeline::error::{Error, Result};
use pipeline::stage::Cancel;
use pipeline::store::Policy;

use super::open_store;

pub(super) fn clean(artifacts: &Path, dry_run: bool, all: bool) -> Result<()> {
    let policy = if all { Policy::Everything } else { Policy::Unreachable };
    let freed = open_store(artifacts)?.collect(policy, dry_run)?;
    out!(
        "{} {} results, {} checkpoints, {:.1} MB",
        if dry_run { "would free" } else { "freed" },
        freed.results,
        freed.checkpoints,
        freed.bytes as f64 / 1e6
    );
    Ok(())
}

pub(super) fn verify(artifacts: &Path, cancel: &Cancel) -> Result<()> {
    let bar = indicatif::ProgressBar::no_length();
    let damaged = open_store(artifacts)?.verify(cancel, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    if damaged.is_empty() {
        out!("every kept result is whole");
        return Ok(());
    }
    for damage in &damaged {
        out!("{}; set aside in {}", damage.what, damage.moved_to.display());
    }
    Err(Error::new(format!("{} damaged results were set aside", damaged.len()))
        .help("run again: they are made anew"))
}
