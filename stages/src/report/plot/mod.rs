//! Plots as SVG within the page: lines over an axis, histograms, reliability diagrams. Beside each are its numbers as a
//! table, for whoever does not see it. Colours and dashes are classes of style.css; what the numbers mean, nobody here
//! knows.

mod axis;
mod bars;
mod lines;

use maud::{Markup, html};

use super::page::{bidi, wide};
use axis::Axis;
pub(crate) use bars::{Bin, Histogram, Layer, Reliability};
pub(crate) use lines::{Line, LinePlot, Mark, Style};

/// The size of a picture, in its own units; the page scales it.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 250.0;
/// What is left free around the axes: left, right, above, below.
const MARGINS: [f64; 4] = [54.0, 20.0, 26.0, 42.0];

/// Where values lie in a picture.
struct Frame<'a> {
    x: &'a Axis,
    y: &'a Axis,
}

impl Frame<'_> {
    fn x(&self, value: f64) -> f64 {
        let [left, right, ..] = MARGINS;
        left + self.x.share(value) * (WIDTH - left - right)
    }

    fn y(&self, value: f64) -> f64 {
        let [.., above, below] = MARGINS;
        HEIGHT - below - self.y.share(value) * (HEIGHT - above - below)
    }

    /// A point, as paths have it.
    fn point(&self, (x, y): (f64, f64)) -> String {
        format!("{} {}", short(self.x(x)), short(self.y(y)))
    }

    /// Lines at the ticks of both axes, what is written beside them, and what the axes are called.
    fn grid(&self, x: &str, y: &str) -> Markup {
        let [left, right, ..] = MARGINS;
        html! {
            @for &tick in &self.y.ticks {
                @let at = self.y(tick);
                line class="grid" x1=(left) x2=(WIDTH - right) y1=(short(at)) y2=(short(at)) {}
                text x=(left - 6.0) y=(short(at + 4.0)) text-anchor="end" { (self.y.label(tick)) }
            }
            @for &tick in &self.x.ticks {
                @let (at, low) = (short(self.x(tick)), self.y(self.y.low()));
                line class="grid" x1=(at) x2=(at) y1=(short(low)) y2=(short(low + 4.0)) {}
                text x=(at) y=(short(low + 17.0)) text-anchor="middle" { (self.x.label(tick)) }
            }
            text.name x="4" y="13" { (y) }
            text.name x=(WIDTH - right) y=(HEIGHT - 6.0) text-anchor="end" { (x) }
        }
    }
}

/// A length with one digit after the point: finer than a screen shows.
fn short(length: f64) -> String {
    format!("{length:.1}")
}

/// A picture of these parts; `label` says in words what it shows.
fn picture(label: &str, parts: &Markup) -> Markup {
    html! { svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) { (parts) } }
}

/// A plot's numbers, in a table that opens on demand. `note` says what is left out.
fn figures(title: &str, head: &[String], rows: &[Vec<String>], note: Option<&str>) -> Markup {
    let table = html! {
        table {
            thead { tr { @for name in head { th scope="col" { (bidi(name)) } } } }
            tbody {
                @for row in rows {
                    tr {
                        @for (at, cell) in row.iter().enumerate() {
                            @if at == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                        }
                    }
                }
            }
        }
    };
    html! {
        details {
            summary { "figures" }
            @if let Some(note) = note { p.note { (note) } }
            (wide(title, &table))
        }
    }
}

/// At most `most` of `count` rows, evenly spaced, the first and the last among them.
fn thinned(count: usize, most: usize) -> Vec<usize> {
    match most {
        0 | 1 => (0..count.min(most)).collect(),
        _ if count <= most => (0..count).collect(),
        _ => (0..most).map(|at| at * (count - 1) / (most - 1)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_rows_keep_the_first_and_the_last() {
        assert_eq!(thinned(4, 60), [0, 1, 2, 3]);
        let some = thinned(800, 60);
        assert_eq!((some.len(), some[0], some[59]), (60, 0, 799));
        assert!(some.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((thinned(0, 60), thinned(5, 1)), (vec![], vec![0]));
    }
}
