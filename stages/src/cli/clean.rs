//! `coreg clean` and `coreg verify`.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use clap::Args;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use pipeline::error::{Error, Result};
use pipeline::stage::Cancel;
use pipeline::store::{Freed, Item, ItemKind, Policy};

use super::open_store;

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
