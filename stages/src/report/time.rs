//! A page of how long each stage took and what it needed.
//!
//! It is apart from the report, which is an artifact like others: the same command gives the same bytes, and no clock is
//! ever in them.

use std::collections::{BTreeMap, BTreeSet};

use bytesize::ByteSize;
use maud::{Markup, html};

use super::page::{Section, bidi, count, document, wide};

/// A stage, and how its result came about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// The node.
    pub node: String,
    /// Its stage.
    pub stage: String,
    /// When the result was finished (UTC, RFC 3339).
    pub at: String,
    /// How long the stage ran, in seconds.
    pub seconds: f64,
    /// The most memory that the process held meanwhile, in bytes; 0 where it is not known.
    pub memory: u64,
    /// Size of the result in bytes.
    pub bytes: u64,
    /// How many pieces of the result were not made in that time.
    pub taken_over: u64,
    /// The kind of machine, by label.
    pub machine: BTreeMap<String, String>,
}

/// Below so many seconds a stage is over before a rate says anything.
const TIMED: f64 = 0.1;

/// How many images stages look at.
#[derive(Clone, Copy, Debug)]
pub struct Images {
    /// Training and test images.
    pub all: usize,
    /// Test images.
    pub tested: usize,
}

/// The page: what `title` is called took so long.
pub fn page(title: &str, images: Images, steps: &[Step]) -> String {
    let section = Section { id: "time", title: "Time and memory".to_owned(), body: body(steps, images) };
    document(title, "How long its stages took", &[section], "")
}

impl Images {
    /// How many images a step looked at in its time; none of stages that do not go through them once, or are over at once.
    fn of(self, step: &Step) -> Option<f64> {
        let images = match step.stage.as_str() {
            "download" | "embed" | "annotate" | "label" => self.all,
            "evaluate" => self.tested,
            _ => return None,
        };
        let looked_at = (images as u64).saturating_sub(step.taken_over);
        (looked_at > 0 && step.seconds >= TIMED).then_some(looked_at as f64)
    }
}

fn body(steps: &[Step], images: Images) -> Markup {
    if steps.is_empty() {
        return html! { p { "It is not known how the results came about." } };
    }
    let total: f64 = steps.iter().map(|step| step.seconds).sum();
    let longest = steps.iter().map(|step| step.seconds).fold(0.0, f64::max);
    let bytes: u64 = steps.iter().map(|step| step.bytes).sum();
    let table = html! {
        table {
            thead {
                tr {
                    th scope="col" { "stage" }
                    th scope="col" { "time" }
                    th scope="col" { "images a second" }
                    th scope="col" { "most memory" }
                    th scope="col" { "size of the result" }
                }
            }
            tbody {
                @for step in steps {
                    tr {
                        th scope="row" { (bidi(&step.node)) }
                        td.bar style={ "--share:" (format!("{:.4}", step.seconds / longest.max(f64::MIN_POSITIVE))) } {
                            (duration(step.seconds))
                        }
                        td { (images.of(step).map(|images| rate(images, step.seconds)).unwrap_or_default()) }
                        td { @if step.memory > 0 { (size(step.memory)) } }
                        td { (size(step.bytes)) }
                    }
                }
            }
            tfoot { tr { th scope="row" { "all" } td { (duration(total)) } td {} td {} td { (size(bytes)) } } }
        }
    };
    html! {
        p {
            "These are the runs that made the results of the newest run, which may be earlier ones: what did not change is \
            not made again. " (when(steps))
        }
        (wide("Time and memory of the stages", &table))
        p.note {
            "Time is that of a stage with reading and decoding; several may have run at once. Memory is the most that the \
            whole program held meanwhile. Images that were not looked at anew are not counted, and of a stage that is over in \
            less than a tenth of a second there is no rate; " code { "evaluate" } " looks at the test images alone, with \
            every network."
        }
        (machines(steps))
    }
}

/// Between which moments the results were finished.
fn when(steps: &[Step]) -> String {
    // RFC 3339 in UTC sorts as text does.
    let moments: BTreeSet<&str> =
        steps.iter().map(|step| step.at.as_str()).filter(|at| !at.is_empty()).collect();
    match (moments.first(), moments.last()) {
        (Some(first), Some(last)) if first == last => format!("They were finished at {first}."),
        (Some(first), Some(last)) => format!("The first was finished at {first}, the last at {last}."),
        _ => String::new(),
    }
}

/// The kinds of machines, each with what was made on it where there are several.
fn machines(steps: &[Step]) -> Markup {
    let mut kinds: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for step in steps.iter().filter(|step| !step.machine.is_empty()) {
        let labels: Vec<String> =
            step.machine.iter().map(|(name, value)| format!("{name} {value}")).collect();
        kinds.entry(labels.join(", ")).or_default().push(&step.node);
    }
    html! {
        @if !kinds.is_empty() {
            h3 { @if kinds.len() == 1 { "The machine" } @else { "The machines" } }
            ul.plain {
                @for (labels, nodes) in &kinds {
                    li { (labels) @if kinds.len() > 1 { ": " (nodes.join(", ")) } }
                }
            }
        }
    }
}

/// Seconds for people.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Images a second, to two digits: what one run on a busy machine is good for.
fn rate(images: f64, seconds: f64) -> String {
    let rate = images / seconds.max(1e-3);
    let unit = 10f64.powf(rate.max(1.0).log10().floor() - 1.0);
    let rounded = (rate / unit).round() * unit;
    if rounded < 10.0 { format!("{rounded:.1}") } else { count(rounded as usize) }
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(stage: &str, seconds: f64) -> Step {
        let at = "2026-11-28T20:00:00Z".to_owned();
        let machine = [("device".to_owned(), "cpu".to_owned())].into();
        Step { node: stage.to_owned(), stage: stage.to_owned(), seconds, at, machine, ..Step::default() }
    }

    const IMAGES: Images = Images { all: 3000, tested: 1000 };

    #[test]
    fn a_stage_is_timed_by_the_images_that_it_looked_at() {
        let embed = Step { taken_over: 2000, ..step("embed", 10.0) };
        assert_eq!(IMAGES.of(&embed), Some(1000.0));
        assert_eq!(IMAGES.of(&Step { taken_over: 3000, ..embed }), None);
        assert_eq!(IMAGES.of(&step("evaluate", 1.0)), Some(1000.0));
        assert_eq!(IMAGES.of(&step("co-reg", 1.0)), None);
        assert_eq!(
            [(2468.0, 2.0), (2468.0, 1000.0), (0.0, 0.0)].map(|(n, s)| rate(n, s)),
            ["1,200", "2.5", "0.0"]
        );
        // What is over at once has no rate: its time is that of a few reads.
        assert_eq!(IMAGES.of(&step("label", 0.09)), None);
        assert_eq!(IMAGES.of(&step("label", 0.1)), Some(3000.0));
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let told = [0.04, 9.96, 59.4, 97.0, 3600.0, 7500.0].map(duration);
        assert_eq!(told, ["0.0 s", "10 s", "59 s", "1 min 37 s", "1 h 0 min", "2 h 5 min"]);
    }

    #[test]
    fn the_page_adds_up_all_stages_and_names_the_machine() {
        let steps = [Step { memory: 2_000_000_000, ..step("<script>", 60.0) }, step("evaluate", 2.0)];
        let page = page("Demo", Images { all: 10, tested: 4 }, &steps);
        assert!(page.contains("<td>1 min 2 s</td>") && page.contains("<li>device cpu</li>"), "{page}");
        assert!(page.contains("2.0 GB") && page.contains("finished at 2026-11-28T20:00:00Z"), "{page}");
        // Four test images in two seconds.
        assert!(page.contains("<td>2.0</td>") && !page.contains("<script"), "{page}");
    }

    #[test]
    fn machines_of_several_kinds_are_told_with_what_was_made_on_each() {
        let cuda = [("device".to_owned(), "cuda".to_owned())].into();
        let steps = [step("embed", 1.0), Step { machine: cuda, ..step("co-reg", 1.0) }];
        let page = body(&steps, IMAGES).into_string();
        assert!(page.contains("<li>device cpu: embed</li><li>device cuda: co-reg</li>"), "{page}");
    }

    #[test]
    fn without_a_step_the_page_says_so() {
        assert!(body(&[], IMAGES).into_string().contains("not known"));
    }
}
