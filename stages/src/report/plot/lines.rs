//! Lines over an axis: what was measured epoch by epoch, or against anything else that grows.

use maud::{Markup, html};

use super::axis::{Axis, figure};
use super::{Frame, figures, picture, short, thinned};
use crate::report::page::bidi;

/// A line.
pub(crate) struct Line {
    /// What it is called in the legend.
    pub(crate) name: String,
    /// Its points, by ascending x. Those that are not finite are left out.
    pub(crate) points: Vec<(f64, f64)>,
}

/// How a line is drawn. There are eight colours and eight dashes; after the last the first come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Which colour, from 0.
    pub(crate) colour: usize,
    /// Which dashes, from 0, which is a line without.
    pub(crate) dash: usize,
}

/// A place on the horizontal axis that has a name.
pub(crate) struct Mark {
    /// Where.
    pub(crate) at: f64,
    /// What is written there.
    pub(crate) name: String,
}

/// Lines with their axes.
pub(crate) struct LinePlot {
    /// What the plot shows.
    pub(crate) title: String,
    /// What is on the horizontal axis.
    pub(crate) x: String,
    /// What is on the vertical axis.
    pub(crate) y: String,
    /// Whether y are shares, shown in percent.
    pub(crate) shares: bool,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

/// How many colours, and how many dashes, style.css has.
const STYLES: usize = 8;
/// Rows of the table at most.
const ROWS: usize = 60;
/// Lines that the description in words tells of at most.
const TOLD: usize = 8;

impl Style {
    fn class(self) -> String {
        format!("l{} d{}", self.colour % STYLES, self.dash % STYLES)
    }
}

impl LinePlot {
    /// The plot; each line has another colour and other dashes than the one before.
    pub(crate) fn render(&self) -> Markup {
        let styles: Vec<Style> = (0..self.lines.len()).map(|at| Style { colour: at, dash: at }).collect();
        self.render_with(&styles, &[])
    }

    /// The plot with a style for each line, and with marks.
    pub(crate) fn render_with(&self, styles: &[Style], marks: &[Mark]) -> Markup {
        let finite = |line: &Line| -> Vec<(f64, f64)> {
            line.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
        };
        let lines: Vec<Drawn> = (self.lines.iter().zip(styles))
            .map(|(line, style)| Drawn { name: &line.name, points: finite(line), class: style.class() })
            .filter(|line| !line.points.is_empty())
            .collect();
        let all = |of: fn(&(f64, f64)) -> f64| -> Vec<f64> {
            lines.iter().flat_map(|line| &line.points).map(of).collect()
        };
        let x = Axis::around(&all(|point| point.0), false, 6);
        let y = Axis::around(&all(|point| point.1), self.shares, 5);
        html! {
            figure.plot {
                figcaption { (self.title) }
                @if let (Some(x), Some(y)) = (x, y) {
                    (picture(&self.in_words(&lines), &self.drawing(&Frame { x: &x, y: &y }, &lines, marks)))
                    (self.legend(&lines))
                    (self.table(&lines))
                } @else {
                    p.note { "There is nothing to draw." }
                }
            }
        }
    }

    fn drawing(&self, frame: &Frame, lines: &[Drawn], marks: &[Mark]) -> Markup {
        let (low, high) = (frame.y(frame.y.low()), frame.y(frame.y.high()));
        html! {
            (frame.grid(&self.x, &self.y))
            @for mark in marks.iter().filter(|mark| (0.0..=1.0).contains(&frame.x.share(mark.at))) {
                @let at = frame.x(mark.at);
                @let (anchor, beside) = if frame.x.share(mark.at) < 0.6 { ("start", 4.0) } else { ("end", -4.0) };
                line class="mark" x1=(short(at)) x2=(short(at)) y1=(short(low)) y2=(short(high)) {}
                text x=(short(at + beside)) y=(short(high + 11.0)) text-anchor=(anchor) { (mark.name) }
            }
            @for line in lines {
                path class=(line.class) d=(line.path(frame)) {}
                // A line of one point is its end.
                @if let Some(&(x, y)) = line.points.last() {
                    circle class=(line.class) cx=(short(frame.x(x))) cy=(short(frame.y(y))) r="2.4" {}
                }
            }
        }
    }

    fn legend(&self, lines: &[Drawn]) -> Markup {
        html! {
            ul.legend {
                @for line in lines {
                    li {
                        svg.key viewBox="0 0 30 8" aria-hidden="true" { path class=(line.class) d="M0 4H30" {} }
                        (bidi(line.name))
                        @if let Some(&(_, last)) = line.points.last() { " " span.last { (figure(last, self.shares)) } }
                    }
                }
            }
        }
    }

    /// The picture in words: where each line begins and ends.
    fn in_words(&self, lines: &[Drawn]) -> String {
        let told = lines.iter().take(TOLD).filter_map(|line| {
            let (&(_, first), &(_, last)) = (line.points.first()?, line.points.last()?);
            let [first, last] = [first, last].map(|value| figure(value, self.shares));
            Some(format!("{} from {first} to {last}", line.name))
        });
        let told: Vec<String> = told.collect();
        let more = match lines.len().saturating_sub(TOLD) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        format!("{}: {} over {}: {}{more}", self.title, self.y, self.x, told.join("; "))
    }

    fn table(&self, lines: &[Drawn]) -> Markup {
        let mut places: Vec<f64> = lines.iter().flat_map(|line| &line.points).map(|point| point.0).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let shown = thinned(places.len(), ROWS);
        let note = (shown.len() < places.len())
            .then(|| format!("{} of {} rows, evenly spaced.", shown.len(), places.len()));
        let head: Vec<String> =
            [&*self.x].into_iter().chain(lines.iter().map(|line| line.name)).map(str::to_owned).collect();
        let row = |&at: &usize| -> Vec<String> {
            let x = places[at];
            let cells = lines.iter().map(|line| {
                let point = line.points.iter().find(|point| point.0 == x);
                point.map_or_else(String::new, |&(_, y)| figure(y, self.shares))
            });
            [figure(x, false)].into_iter().chain(cells).collect()
        };
        let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
        figures(&self.title, &head, &rows, note.as_deref())
    }
}

/// A line as it is drawn: its finite points, one at least.
struct Drawn<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
    class: String,
}

impl Drawn<'_> {
    fn path(&self, frame: &Frame) -> String {
        let points: Vec<String> = self.points.iter().map(|&point| frame.point(point)).collect();
        format!("M{}", points.join("L"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(lines: &[(&str, &[(f64, f64)])]) -> LinePlot {
        let line =
            |&(name, points): &(&str, &[(f64, f64)])| Line { name: name.to_owned(), points: points.to_vec() };
        LinePlot {
            title: "Test accuracy".to_owned(),
            x: "epoch".to_owned(),
            y: "accuracy".to_owned(),
            shares: true,
            lines: lines.iter().map(line).collect(),
        }
    }

    #[test]
    fn a_plot_tells_its_numbers_in_a_picture_in_words_and_in_a_table() {
        let page = plot(&[("student", &[(1.0, 0.25), (2.0, 0.5)])]).render().into_string();
        assert!(page.contains("role=\"img\"") && page.contains("student from 25.0 % to 50.0 %"), "{page}");
        assert!(page.contains("<th scope=\"row\">2</th><td>50.0 %</td>"), "{page}");
        // From the left below to the right above: both points are on the axes' ends.
        assert!(page.contains("d=\"M54.0 208.0L380.0 26.0\""), "{page}");
    }

    #[test]
    fn a_name_is_text_and_never_markup() {
        let mut plot = plot(&[("<script>alert(1)</script>", &[(1.0, 0.5)])]);
        plot.title = "<script>\"".to_owned();
        let marks = [Mark { at: 1.0, name: "<script>".to_owned() }];
        let page = plot.render_with(&[Style { colour: 0, dash: 0 }], &marks).into_string();
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)"), "{page}");
        assert!(page.contains("aria-label=\"&lt;script&gt;&quot;"), "{page}");
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        let points = [(1.0, 0.5), (2.0, f64::NAN), (3.0, f64::INFINITY), (4.0, 0.7)];
        let page = plot(&[("a", &points), ("b", &[(1.0, f64::NAN)])]).render().into_string();
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
        assert_eq!(page.matches("<tr>").count(), 3);
        let nothing = plot(&[("b", &[(1.0, f64::NAN)])]).render().into_string();
        assert!(nothing.contains("nothing to draw") && !nothing.contains("<svg"), "{nothing}");
    }

    #[test]
    fn lines_differ_in_colour_and_in_dashes() {
        let page = plot(&[("a", &[(1.0, 0.5)]), ("b", &[(1.0, 0.6)])]).render().into_string();
        assert!(page.contains("class=\"l0 d0\"") && page.contains("class=\"l1 d1\""), "{page}");
    }

    #[test]
    fn a_long_table_is_thinned_and_says_so() {
        let points: Vec<(f64, f64)> = (1..=800).map(|epoch| (f64::from(epoch), 0.5)).collect();
        let page = plot(&[("a", &points)]).render().into_string();
        assert!(page.contains("60 of 800 rows") && page.contains("<th scope=\"row\">800</th>"), "{page}");
        assert_eq!(page.matches("<th scope=\"row\">").count(), 60);
    }
}
