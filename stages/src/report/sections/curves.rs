//! The curves: what every epoch of every training was like, as small plots side by side. It knows the columns that
//! histories may have, not the methods that write them; a column that it does not know is shown under its own name.

pub(crate) mod course;

use std::collections::BTreeSet;

use maud::{Markup, html};

use crate::report::facts::{Facts, Training};
use crate::report::page::Section;
use crate::report::plot::{Line, LinePlot, Mark, Style};
use course::{Course, Points, courses};

/// A plot, with the columns that its lines are of and what each is called there.
struct Panel {
    title: &'static str,
    y: &'static str,
    shares: bool,
    /// Whether a column means the same in every training of a course: one line then goes through all of them.
    through: bool,
    columns: &'static [(&'static str, &'static str)],
}

const fn shares(
    title: &'static str,
    y: &'static str,
    columns: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, y, shares: true, through: true, columns }
}

const fn nats(title: &'static str, columns: &'static [(&'static str, &'static str)]) -> Panel {
    Panel { title, y: "nats", shares: false, through: true, columns }
}

static ACCURACIES: [Panel; 2] = [
    shares("Test accuracy", "right", &[("accuracy_test_both", "both networks"), ("accuracy_test", "")]),
    shares(
        "Pseudo-labels that are right",
        "right",
        &[("pseudo_label_accuracy_partial", "in 𝒫"), ("pseudo_label_accuracy_unlabeled", "in 𝒰")],
    ),
];

static DIVISION: [Panel; 2] = [
    Panel {
        title: "Sizes of 𝒫 and 𝒰",
        y: "images",
        shares: false,
        through: true,
        columns: &[("size_partial", "𝒫"), ("size_unlabeled", "𝒰")],
    },
    shares(
        "Candidates that hold the true class",
        "pure",
        &[
            ("purity", "all training images"),
            ("purity_partial", "𝒫"),
            ("purity_unlabeled", "𝒰"),
            ("mean_w", "believed (mean w)"),
        ],
    ),
];

static LOSS: [Panel; 1] =
    [Panel { title: "Loss", y: "loss", shares: false, through: false, columns: &[("loss", "")] }];

static CRITERIA: [Panel; 6] = [
    shares("Both networks agree", "agree", &[("agreement", "")]),
    shares("Predictions among the candidates", "among them", &[("within_candidates", "")]),
    shares("Classes named as often as by the annotators", "balance", &[("balance", "")]),
    nats("Annotators foretold (log-probability)", &[("believed", "")]),
    nats("Decisiveness: each sure, all together diverse", &[("decisiveness", "")]),
    nats("Neighbourhood density", &[("density", "")]),
];

/// What the columns of the terms of a loss begin with.
const TERM: &str = "loss_";

/// The section; none where no training has an epoch.
pub(crate) fn section(facts: &Facts) -> Option<Section> {
    Some(Section {
        id: "curves",
        title: "Training, epoch by epoch".to_owned(),
        body: body(&facts.trainings)?,
    })
}

fn body(trainings: &[Training]) -> Option<Markup> {
    let courses = courses(trainings);
    let drawn =
        |panels: &[Panel]| -> Vec<Markup> { panels.iter().filter_map(|of| draw(&courses, of)).collect() };
    let known: BTreeSet<&str> = [&ACCURACIES[..], &DIVISION[..], &LOSS[..], &CRITERIA[..]]
        .into_iter()
        .flatten()
        .flat_map(|panel| panel.columns)
        .map(|&(column, _)| column)
        .collect();
    let columns: BTreeSet<&str> =
        trainings.iter().flat_map(|training| &training.history.columns).map(String::as_str).collect();
    let (terms, further): (Vec<&str>, Vec<&str>) =
        columns.difference(&known).copied().partition(|column| column.starts_with(TERM));
    let alone = |columns: Vec<&str>| -> Vec<Markup> {
        columns.into_iter().filter_map(|column| draw_column(&courses, column)).collect()
    };
    let groups = [
        Group {
            title: "Accuracy",
            note: "No epoch is picked by these: the last one counts.",
            plots: drawn(&ACCURACIES),
        },
        Group {
            title: "Division",
            note: "𝒫 are the training images whose candidates are believed, 𝒰 the others.",
            plots: drawn(&DIVISION),
        },
        Group { title: "Loss", note: "", plots: drawn(&LOSS) },
        Group {
            title: "Without the truth",
            note: "Figures of the test images that need no true class. How far they rank trainings as the accuracy does is \
                   in docs/experiments; none of them is trusted to choose one.",
            plots: drawn(&CRITERIA),
        },
    ];
    let folded = [("terms of the loss", alone(terms)), ("further figures", alone(further))];
    let some = groups.iter().any(|group| !group.plots.is_empty()) || folded.iter().any(|of| !of.1.is_empty());
    some.then(|| {
        html! {
            @for group in groups.iter().filter(|group| !group.plots.is_empty()) {
                h3 { (group.title) }
                @if !group.note.is_empty() { p.note { (group.note) } }
                (side_by_side(&group.plots))
            }
            @for (name, plots) in folded.iter().filter(|of| !of.1.is_empty()) {
                details { summary { (name) } (side_by_side(plots)) }
            }
        }
    })
}

/// Plots under one heading.
struct Group {
    title: &'static str,
    note: &'static str,
    plots: Vec<Markup>,
}

fn side_by_side(plots: &[Markup]) -> Markup {
    html! { div.plots { @for plot in plots { (plot) } } }
}

fn draw(courses: &[Course], panel: &Panel) -> Option<Markup> {
    let Panel { title, y, shares, through, columns } = *panel;
    plot(courses, (title, y, shares), through, columns)
}

/// A column that has no panel, by its own name.
fn draw_column(courses: &[Course], column: &str) -> Option<Markup> {
    plot(courses, (column, "", false), false, &[(column, "")])
}

/// A plot of these columns in all trainings; none where no training has any of them.
fn plot(
    courses: &[Course],
    (title, y, shares): (&str, &str, bool),
    through: bool,
    columns: &[(&str, &str)],
) -> Option<Markup> {
    let mut found: Vec<Found> = Vec::new();
    let mut colours = 0;
    for course in courses {
        for &(column, word) in columns {
            for (who, networks) in course.series(column, through) {
                let lines = networks.into_iter();
                found.extend(lines.map(|(network, points)| Found {
                    who,
                    word,
                    network,
                    colour: colours,
                    points,
                }));
                colours += 1;
            }
        }
    }
    let first = found.first()?.who;
    let one_training = found.iter().all(|line| line.who == first);
    let places = || found.iter().flat_map(|line| &line.points).map(|point| point.0);
    let (begin, end) = (places().fold(f64::INFINITY, f64::min), places().fold(f64::NEG_INFINITY, f64::max));
    let marks: Vec<Mark> = (courses.iter().flat_map(|course| course.beginnings()))
        .filter(|&(at, _)| begin < at && at < end)
        .map(|(at, name)| Mark { at, name: name.to_owned() })
        .collect();
    let earlier: Vec<&str> = courses.iter().flat_map(|course| course.earlier()).collect();
    let x = match earlier.is_empty() {
        true => "epoch".to_owned(),
        false => format!("epoch, {} included", earlier.join(" and ")),
    };
    let style = |(dash, line): (usize, &Found)| Style { colour: line.colour, dash };
    let styles: Vec<Style> = found.iter().enumerate().map(style).collect();
    let lines =
        found.into_iter().map(|line| Line { name: line.name(one_training), points: line.points }).collect();
    let plot = LinePlot { title: title.to_owned(), x, y: y.to_owned(), shares, lines };
    Some(plot.render_with(&styles, &marks))
}

/// A line that is to be drawn.
struct Found<'a> {
    /// The training, or the last one of a course.
    who: &'a str,
    /// What its column is called in the plot.
    word: &'a str,
    /// The network, where they differ.
    network: Option<u8>,
    /// Networks of one training and column share a colour.
    colour: usize,
    points: Points,
}

impl Found<'_> {
    /// What the line is called: no more than tells it from the others.
    fn name(&self, one_training: bool) -> String {
        let network = self.network.map_or_else(String::new, |network| format!("network {network}"));
        let who = if one_training { "" } else { self.who };
        let told: Vec<&str> =
            [who, self.word, &network].into_iter().filter(|part| !part.is_empty()).collect();
        if told.is_empty() { self.who.to_owned() } else { told.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::artifacts::history::{Epoch, History};

    /// Two networks over two epochs, each figure with the network's number in its second digit after the point.
    fn history(rate: f64, columns: &[(&str, f64)]) -> History {
        let names = ["learning_rate"].into_iter().chain(columns.iter().map(|&(name, _)| name));
        let mut history = History::new(names);
        for (epoch, network) in [(1u32, 1u8), (1, 2), (2, 1), (2, 2)] {
            let figures =
                columns.iter().map(|&(name, value)| (name.to_owned(), value + 0.01 * f64::from(network)));
            let values = figures.chain([("learning_rate".to_owned(), rate / f64::from(epoch))]).collect();
            history.push(Epoch { epoch, network, values }).unwrap();
        }
        history
    }

    #[test]
    fn without_an_epoch_there_are_no_curves() {
        let empty = History::new(["loss"]);
        assert!(body(&[Training { title: "Co-Reg", goes_on: false, history: &empty }]).is_none());
        assert!(body(&[]).is_none());
    }

    #[test]
    fn what_the_method_goes_on_from_is_before_it_on_one_axis() {
        let before = history(0.08, &[("accuracy_test", 0.25), ("loss", -1.0)]);
        let method = history(0.04, &[("accuracy_test", 0.75), ("loss", 1.0), ("size_partial", 100.0)]);
        let trainings = [
            Training { title: "warm-up", goes_on: false, history: &before },
            Training { title: "<script>alert(1)</script>", goes_on: true, history: &method },
        ];
        let page = body(&trainings).unwrap().into_string();
        assert!(page.contains("epoch, warm-up included") && !page.contains("<script"), "{page}");
        // One line of each network goes through both; the losses of both are of different things.
        assert!(page.contains("network 1 from 26.0 % to 76.0 %; network 2 from 27.0 % to 77.0 %"), "{page}");
        assert!(page.contains("warm-up, network 2 from -0.9800 to -0.9800"), "{page}");
        assert!(page.contains("Sizes of 𝒫 and 𝒰") && !page.contains("hold the true class"), "{page}");
    }

    #[test]
    fn a_column_that_nobody_knows_is_shown_by_its_name() {
        let history = history(0.1, &[("temper", 0.5), ("loss_temper", 0.5)]);
        let page =
            body(&[Training { title: "Other", goes_on: false, history: &history }]).unwrap().into_string();
        for name in ["<figcaption>temper</figcaption>", "<figcaption>loss_temper</figcaption>"] {
            assert!(page.contains(name), "{page}");
        }
        assert!(!page.contains("<h3>Division</h3>"), "{page}");
    }

    #[test]
    fn networks_share_a_colour_and_differ_in_dashes() {
        let history = history(0.1, &[("accuracy_test", 0.5)]);
        let page =
            body(&[Training { title: "Other", goes_on: false, history: &history }]).unwrap().into_string();
        assert!(page.contains("class=\"l0 d0\"") && page.contains("class=\"l0 d1\""), "{page}");
    }
}
