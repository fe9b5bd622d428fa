//! `coreg clean` and `coreg verify`.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use clap::Args;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use pipeline::error::{Error, Result};
use pipeline::stage::{Cancel, Machine};
use pipeline::store::{Damage, Freed, Item, ItemKind, Policy, Store};

use super::{look_at_store, open_store};
use crate::runtime::device::{Place, machine};

#[derive(Args)]
pub(super) struct CleanArgs {
    /// Say what would be freed, and free nothing.
    #[arg(long)]
    dry_run: bool,
    /// Only what nobody used for so long (`30d`, `12h`, `2 weeks`); checkpoints and damaged results too.
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Only as much as it takes to have less than this (`10GB`, `500MiB`), least recently used first.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    keep_under: Option<ByteSize>,
    /// Damaged results that were set aside, instead of whole ones.
    #[arg(long, conflicts_with_all = ["keep_under", "all"])]
    damaged: bool,
    /// Checkpoints of unfinished stages, instead of results.
    #[arg(long, conflicts_with_all = ["keep_under", "all"])]
    checkpoints: bool,
    /// The results in use, checkpoints and damaged results too. Run records stay.
    #[arg(long)]
    all: bool,
}

impl CleanArgs {
    fn policy(&self) -> Policy {
        let base = match self.older_than {
            _ if self.all => Policy::EVERYTHING,
            _ if self.damaged || self.checkpoints => Policy {
                results: false,
                damaged: self.damaged,
                checkpoints: self.checkpoints,
                ..Policy::UNREACHABLE
            },
            Some(age) => Policy::older_than(age),
            None => Policy::UNREACHABLE,
        };
        Policy { older_than: self.older_than, keep_under: self.keep_under.map(|size| size.0), ..base }
    }
}

/// An age as people write it.
fn age(text: &str) -> Result<Duration, String> {
    let help = "write an age such as 30d, 12h or 2 weeks";
    let span: Span = text.parse().map_err(|_| help)?;
    let now = Timestamp::now();
    // Through the calendar, for months and years have no length of their own.
    let then = now.to_zoned(TimeZone::UTC).checked_sub(span).map_err(|_| help)?.timestamp();
    Duration::try_from(now.duration_since(then)).map_err(|_| help.to_owned())
}

fn size(text: &str) -> Result<ByteSize, String> {
    text.parse().map_err(|_| "write a size such as 10GB or 500MiB".to_owned())
}

pub(super) fn clean(artifacts: &Path, args: &CleanArgs) -> Result<()> {
    let store = open_store(artifacts)?;
    let freed = store.collect(args.policy(), args.dry_run)?;
    if !args.dry_run {
        store.unlink_view(artifacts)?;
    }
    let now = SystemTime::now();
    for item in &freed.items {
        out!("{}", line(item, now));
    }
    let more: String = [
        (ItemKind::Object, ["object of no result", "objects of no result"]),
        (ItemKind::Checkpoint, ["checkpoint", "checkpoints"]),
        (ItemKind::Damaged, ["damaged", "damaged"]),
    ]
    .into_iter()
    .filter_map(|(kind, words)| match freed.count(kind) {
        0 => None,
        count => Some(format!("{count} {}, ", words[usize::from(count > 1)])),
    })
    .collect();
    out!(
        "{} {} results, {more}{}; {} stay",
        if args.dry_run { "would free" } else { "freed" },
        freed.count(ItemKind::Result),
        shown(freed.bytes()),
        shown(freed.stays)
    );
    if let Some(limit) = args.keep_under.filter(|limit| freed.stays > limit.0) {
        out!("{}", why_more_stays(&freed, limit, args));
    }
    Ok(())
}

/// `co-reg        result       used 3 days ago    12.3 MB  a1b2c3d4e5f6`.
fn line(item: &Item, now: SystemTime) -> String {
    let kind = match item.kind {
        ItemKind::Result => "result",
        ItemKind::Object => "object of no result",
        ItemKind::Checkpoint => "checkpoint",
        ItemKind::Damaged => "damaged",
    };
    let unused = ago(now.duration_since(item.used).unwrap_or_default());
    let stage = item.stage.as_deref().unwrap_or("–");
    format!("{stage:<12} {kind:<12} used {unused:<16} {:>9}  {}", shown(item.bytes), item.name)
}

fn ago(unused: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = unused.as_secs();
    match seconds {
        _ if seconds >= 2 * DAY => format!("{} days ago", seconds / DAY),
        _ if seconds >= 2 * HOUR => format!("{} hours ago", seconds / HOUR),
        _ if seconds >= 2 * MINUTE => format!("{} minutes ago", seconds / MINUTE),
        _ => "just now".to_owned(),
    }
}

fn shown(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

fn why_more_stays(freed: &Freed, limit: ByteSize, args: &CleanArgs) -> String {
    let (limit, in_use) = (shown(limit.0), shown(freed.in_use));
    let older = if args.older_than.is_some() { ", the rest is younger" } else { "" };
    format!(
        "that is more than {limit}: newest runs use {in_use} of it, which --all would take{older}; checkpoints and \
         damaged results go with --checkpoints and --damaged"
    )
}

pub(super) fn verify(artifacts: &Path, cancel: &Cancel) -> Result<()> {
    if !artifacts.join("store").exists() {
        let place = artifacts.join("store");
        out!("every kept result is whole: there is none yet, for {} is not there", place.display());
        return Ok(());
    }
    let bar = indicatif::ProgressBar::no_length();
    let mut progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    // What is damaged is set aside where that can be done.
    let (store, damaged) = match open_store(artifacts) {
        Ok(store) => {
            let damaged = store.verify(cancel, &mut progress)?;
            let told =
                |damage: Damage| format!("{}; set aside in {}", damage.what, damage.moved_to.display());
            (store, damaged.into_iter().map(told).collect())
        }
        Err(error) if error.is_denied() => {
            let store = look_at_store(artifacts)?;
            let damaged = store.inspect(cancel, &mut progress)?;
            out!("the store cannot be written, so that it is only read");
            (store, damaged)
        }
        Err(error) => return Err(error),
    };
    bar.finish_and_clear();
    for line in made_elsewhere(&store)? {
        out!("{line}");
    }
    if damaged.is_empty() {
        out!("every kept result is whole");
        return Ok(());
    }
    for line in &damaged {
        out!("{line}");
    }
    let count = damaged.len();
    Err(if store.is_writable() {
        Error::new(format!("{count} damaged results were set aside")).help("run again: they are made anew")
    } else {
        Error::new(format!("{count} damaged results stay where they are, for the store cannot be written"))
            .at(store.root())
            .help("verify it or run again where it can be written: they are set aside and made anew")
    })
}

/// A line for each other kind of machine that made results which are kept here: this one might have made other bytes
/// under the same keys.
fn made_elsewhere(store: &Store) -> Result<Vec<String>> {
    let places = [Place::Cpu, Place::Cuda].into_iter().filter(|place| place.device().is_ok());
    let here: Vec<Machine> = places.map(machine).collect();
    let mut lines = Vec::new();
    for (labels, count) in store.count_by_machine()? {
        if labels.is_empty() || here.iter().any(|machine| *machine.labels() == labels) {
            continue;
        }
        let kind: Vec<String> = labels.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let results = if count == 1 { "result is" } else { "results are" };
        lines.push(format!("{count} {results} from another kind of machine ({})", kind.join(", ")));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn results_of_another_kind_of_machine_are_counted_and_those_of_this_one_are_not() {
        use pipeline::fingerprint::Manifest;
        use pipeline::store::{Lookup, Spent};
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let other = Machine::default().label("device", "abacus").label("instructions", "beads");
        for (seed, made_on) in [&other, &other, &machine(Place::Cpu), &Machine::default()].iter().enumerate()
        {
            let manifest = Manifest::new("stage", 1, &seed, Vec::new(), Vec::new()).unwrap();
            let Lookup::Miss(slot) = store.lookup(&manifest, &Cancel::default(), &mut |_| ()).unwrap() else {
                unreachable!("nothing is kept yet")
            };
            slot.commit(Spent::default(), made_on).unwrap();
        }
        let told = made_elsewhere(&store).unwrap();
        assert_eq!(told, ["2 results are from another kind of machine (device abacus, instructions beads)"]);
    }

    #[test]
    fn ages_and_sizes_are_read_as_people_write_them() {
        let days = |n: u64| Duration::from_secs(n * 86_400);
        for (text, expected) in
            [("30d", days(30)), ("2 weeks", days(14)), ("12h", days(1) / 2), ("0s", days(0))]
        {
            assert_eq!(age(text).unwrap(), expected, "{text}");
        }
        assert!(age("1 month").unwrap() >= days(28));
        for text in ["", "30", "soon", "-3d", "99999 years"] {
            assert!(age(text).unwrap_err().contains("such as 30d"), "{text}");
        }
        assert_eq!(size("10GB").unwrap().0, 10_000_000_000);
        assert_eq!(size("1.5 MiB").unwrap().0, 3 << 19);
        assert!(size("much").unwrap_err().contains("such as 10GB"));
    }

    #[test]
    fn no_option_takes_what_is_in_use_but_all() {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: CleanArgs,
        }
        let policy = |words: &[&str]| {
            Line::try_parse_from(["clean"].iter().chain(words)).map(|line| line.args.policy())
        };
        let age = ["--older-than", "3d"];
        for words in
            [&[][..], &age, &["--keep-under", "1GB"], &["--damaged"], &["--checkpoints", "--dry-run"]]
        {
            assert!(!policy(words).unwrap().in_use, "{words:?}");
        }
        assert_eq!(policy(&["--all"]).unwrap(), Policy::EVERYTHING);
        assert_eq!(policy(&age).unwrap(), Policy::older_than(Duration::from_secs(3 * 86_400)));
        assert!(!policy(&["--damaged"]).unwrap().results);
        assert!(policy(&["--damaged", "--keep-under", "1GB"]).is_err());
    }
}
