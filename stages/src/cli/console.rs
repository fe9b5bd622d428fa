//! What a person sees of a run: a bar for each running stage on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pipeline::event::{Event, Listener};

use super::printable;

/// Without a terminal, a line on progress no more often than this.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Who says what was assumed before any stage runs, in the place of a stage.
pub(super) const INPUT: &str = "input";

/// Says what was assumed of the user's input, where no run says it.
pub(super) fn say_notes(notes: &[String]) {
    for note in notes {
        eprintln!("{INPUT:<12} {}", printable(note));
    }
}

/// The console; writes to standard error.
pub(super) struct Console {
    bars: MultiProgress,
    plain: bool,
    state: Mutex<BarState>,
}

#[derive(Default)]
struct BarState {
    running: BTreeMap<String, Running>,
    cached: usize,
}

struct Running {
    bar: ProgressBar,
    unit: String,
    said: Instant,
}

impl Console {
    pub(super) fn new() -> Self {
        let plain = !std::io::stderr().is_terminal();
        Self { bars: MultiProgress::new(), plain, state: Mutex::default() }
    }

    fn say(&self, line: &str) {
        let line = &*printable(line);
        if self.plain {
            eprintln!("{line}");
        } else {
            // A terminal that went away is no reason to stop.
            let _ = self.bars.println(line);
        }
    }

    fn begin(&self, node: &str) -> Running {
        let bar = if self.plain { ProgressBar::hidden() } else { self.bars.add(ProgressBar::no_length()) };
        bar.set_prefix(format!("{node:<12}"));
        bar.set_style(style("{prefix} {spinner} {elapsed} {msg}"));
        bar.enable_steady_tick(Duration::from_millis(120));
        Running { bar, unit: String::new(), said: Instant::now() }
    }

    fn progress(&self, node: &str, running: &mut Running, done: u64, total: Option<u64>, unit: &str) {
        if running.unit != unit || running.bar.length() != total {
            unit.clone_into(&mut running.unit);
            running.bar.reset();
            running.bar.set_style(match (total, unit) {
                (None, _) => style(&format!("{{prefix}} {{spinner}} {{pos}} {unit} ({{per_sec}}) {{msg}}")),
                (Some(_), "bytes") => {
                    style("{prefix} {bar:24} {bytes}/{total_bytes} ({bytes_per_sec}, {eta} left) {msg}")
                }
                (Some(_), unit) => style(&format!(
                    "{{prefix}} {{bar:24}} {{pos}}/{{len}} {unit} ({{per_sec}}, {{eta}} left) {{msg}}"
                )),
            });
            if let Some(total) = total {
                running.bar.set_length(total);
            }
        }
        running.bar.set_position(done);
        if self.plain && running.said.elapsed() >= LINE_EVERY {
            running.said = Instant::now();
            let of = total.map(|total| format!("/{total}")).unwrap_or_default();
            self.say(&format!("{node:<12} {done}{of} {unit}"));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Listener for Console {
    fn on(&self, event: &Event) {
        let Ok(mut state) = self.state.lock() else { return };
        match event {
            Event::Cached { .. } => state.cached += 1,
            Event::Started { node, why, .. } => {
                self.say(&format!("{node:<12} runs: {}", shortened(why)));
                let running = self.begin(node);
                state.running.insert(node.clone(), running);
            }
            Event::Progress { node, done, total, unit } => {
                if let Some(running) = state.running.get_mut(node) {
                    self.progress(node, running, *done, *total, unit);
                }
            }
            Event::Note { node, text } => self.say(&format!("{node:<12} {text}")),
            Event::Waiting { node, holder } => self.say(&format!("{node:<12} waits for {holder}")),
            Event::Damaged { node, what, moved_to } => {
                self.say(&format!("{node:<12} damaged: {what}; set aside in {moved_to}"));
            }
            Event::Finished { node, seconds, .. } => {
                self.end(&mut state, node);
                self.say(&format!("{node:<12} done in {:.1} s", seconds.as_secs_f64()));
            }
            Event::Failed { node, .. } => {
                self.end(&mut state, node);
                self.say(&format!("{node:<12} failed"));
            }
            Event::Stopped { node } => {
                self.end(&mut state, node);
                self.say(&format!("{node:<12} stopped"));
            }
            Event::Skipped { node, because_of } => {
                self.say(&format!("{node:<12} skipped: {because_of} has no result"));
            }
            Event::RunStarted { .. } => {}
            Event::RunFinished { seconds, .. } => {
                let cached = state.cached;
                self.say(&format!("{cached} stages cached; {:.1} s in all", seconds.as_secs_f64()));
            }
        }
    }
}

impl Console {
    fn end(&self, state: &mut BarState, node: &str) {
        if let Some(running) = state.running.remove(node) {
            running.bar.finish_and_clear();
        }
    }
}

/// Reasons in a line: the first of them where they are many, as of a report, which names every setting.
fn shortened(why: &[String]) -> String {
    const MOST: usize = 5;
    match why.len().saturating_sub(MOST) {
        0 => why.join("; "),
        more => format!("{}; and {more} more", why[..MOST].join("; ")),
    }
}
