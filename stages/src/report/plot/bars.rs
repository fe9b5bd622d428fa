//! Bars over the shares from 0 to 1: how often each was said, and how often it was right.

use maud::{Markup, html};

use super::axis::{Axis, figure};
use super::{Frame, figures, picture, short};
use crate::report::page::{bidi, count, percent};

/// Numbers of images by a share that each has, in bins of equal width from 0 to 1.
pub(crate) struct Histogram {
    /// What the plot shows.
    pub(crate) title: String,
    /// What the share is.
    pub(crate) x: String,
    /// Layers that stand on one another, the lowest first; all with as many bins.
    pub(crate) layers: Vec<Layer>,
}

/// One kind of images in a histogram.
pub(crate) struct Layer {
    /// What they are called.
    pub(crate) name: String,
    /// How many are in each bin.
    pub(crate) images: Vec<usize>,
}

/// How often answers are right against how sure they are, in bins of equal width from 0 to 1.
pub(crate) struct Reliability {
    /// What the plot shows.
    pub(crate) title: String,
    /// The bins from 0 to 1.
    pub(crate) bins: Vec<Bin>,
}

/// The answers whose confidence is in one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bin {
    /// How many they are. Of none the rest is 0.
    pub(crate) images: usize,
    /// Their mean confidence.
    pub(crate) confidence: f64,
    /// The share of them that is right.
    pub(crate) accuracy: f64,
}

/// Fills of layers that style.css has.
const FILLS: usize = 3;

impl Histogram {
    /// The plot.
    pub(crate) fn render(&self) -> Markup {
        let bins = self.layers.iter().map(|layer| layer.images.len()).max().unwrap_or(0);
        let of = |layer: &Layer, bin: usize| layer.images.get(bin).copied().unwrap_or(0);
        let heights: Vec<f64> = (0..bins)
            .map(|bin| self.layers.iter().map(|layer| of(layer, bin)).sum::<usize>() as f64)
            .collect();
        let most = heights.iter().copied().fold(0.0, f64::max);
        let axes = Axis::around(&[0.0, 1.0], true, 5).zip(Axis::around(&[0.0, most], false, 5));
        let total = |layer: &Layer| count(layer.images.iter().sum());
        let told: Vec<String> =
            self.layers.iter().map(|layer| format!("{} {}", total(layer), layer.name)).collect();
        let in_words = format!("{}: images by {}: {}", self.title, self.x, told.join(", "));
        let names = self.layers.iter().map(|layer| layer.name.clone());
        let head: Vec<String> = [self.x.clone()].into_iter().chain(names).collect();
        let row = |bin: usize| -> Vec<String> {
            let cells = self.layers.iter().map(|layer| count(of(layer, bin)));
            [range(bin, bins)].into_iter().chain(cells).collect()
        };
        let rows: Vec<Vec<String>> = (0..bins).map(row).collect();
        html! {
            figure.plot {
                figcaption { (self.title) }
                @if let Some((x, y)) = axes {
                    @let frame = Frame { x: &x, y: &y };
                    (picture(&in_words, &html! {
                        (frame.grid(&self.x, "images"))
                        @for bin in 0..bins {
                            @for (at, layer) in self.layers.iter().enumerate() {
                                @let below: usize = self.layers[..at].iter().map(|lower| of(lower, bin)).sum();
                                @let images = of(layer, bin);
                                @if images > 0 {
                                    (bar(&frame, at, bin, bins, (below as f64, (below + images) as f64)))
                                }
                            }
                        }
                    }))
                    ul.legend {
                        @for (at, layer) in self.layers.iter().enumerate() {
                            li {
                                svg.key viewBox="0 0 30 8" aria-hidden="true" {
                                    rect class={ "b" (at % FILLS) } x="1" y="0" width="28" height="8" {}
                                }
                                (bidi(&layer.name)) " " span.last { (total(layer)) }
                            }
                        }
                    }
                    (figures(&self.title, &head, &rows, None))
                }
            }
        }
    }
}

impl Reliability {
    /// The plot: a bar as high as the share that is right, the diagonal where it would be as high as the confidence, and
    /// from each bar's mean confidence a line to the diagonal.
    pub(crate) fn render(&self) -> Markup {
        let axes = || Axis::around(&[0.0, 1.0], true, 5);
        let bins = self.bins.len();
        let filled = || self.bins.iter().enumerate().filter(|(_, bin)| bin.images > 0);
        let told: Vec<String> = filled()
            .map(|(at, bin)| format!("{} of those of {}", percent(bin.accuracy), range(at, bins)))
            .collect();
        let in_words = format!("{}: right are, by confidence, {}", self.title, told.join(", "));
        let head = ["confidence", "images", "mean confidence", "right"].map(str::to_owned);
        let rows: Vec<Vec<String>> = filled()
            .map(|(at, bin)| {
                let [confidence, accuracy] = [bin.confidence, bin.accuracy].map(|share| figure(share, true));
                vec![range(at, bins), count(bin.images), confidence, accuracy]
            })
            .collect();
        html! {
            figure.plot {
                figcaption { (self.title) }
                @if let (Some(x), Some(y)) = (axes(), axes()) {
                    @let frame = Frame { x: &x, y: &y };
                    (picture(&in_words, &html! {
                        (frame.grid("confidence", "right"))
                        @for (at, bin) in filled() { (bar(&frame, 0, at, bins, (0.0, bin.accuracy))) }
                        (path(&frame, "ideal", [(0.0, 0.0), (1.0, 1.0)]))
                        @for (_, bin) in filled() {
                            @let ends = [bin.accuracy, bin.confidence].map(|height| (bin.confidence, height));
                            (path(&frame, "gap", ends))
                        }
                    }))
                    (figures(&self.title, &head, &rows, None))
                }
            }
        }
    }
}

/// A bar of one bin, from one value up to another.
fn bar(frame: &Frame, layer: usize, bin: usize, bins: usize, (from, to): (f64, f64)) -> Markup {
    let edge = |bin: usize| frame.x(bin as f64 / bins as f64);
    let (left, right, above, below) = (edge(bin) + 1.0, edge(bin + 1) - 1.0, frame.y(to), frame.y(from));
    html! {
        rect class={ "b" (layer % FILLS) } x=(short(left)) y=(short(above)) width=(short(right - left))
            height=(short(below - above)) {}
    }
}

fn path(frame: &Frame, class: &str, points: [(f64, f64); 2]) -> Markup {
    let [from, to] = points.map(|point| frame.point(point));
    html! { path class=(class) d={ "M" (from) "L" (to) } {} }
}

/// What lies in a bin: `20 to 25 %`.
fn range(bin: usize, bins: usize) -> String {
    let edge = |bin: usize| 100.0 * bin as f64 / bins as f64;
    let digits = usize::from(100 % bins.max(1) > 0);
    format!("{:.digits$} to {:.digits$} %", edge(bin), edge(bin + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_written_with_no_more_digits_than_they_need() {
        assert_eq!((range(4, 20), range(0, 15)), ("20 to 25 %".to_owned(), "0.0 to 6.7 %".to_owned()));
    }

    #[test]
    fn layers_stand_on_one_another() {
        let layer = |name: &str, images: [usize; 2]| Layer { name: name.to_owned(), images: images.to_vec() };
        let layers = vec![layer("right", [0, 3]), layer("<b>wrong", [1, 1])];
        let histogram = Histogram { title: "Confidence".to_owned(), x: "confidence".to_owned(), layers };
        let page = histogram.render().into_string();
        // Four images are as high as the axis; the fourth stands on the three.
        assert!(
            page.contains("class=\"b1\" x=\"218.0\" y=\"26.0\" width=\"161.0\" height=\"45.5\""),
            "{page}"
        );
        assert!(page.contains("3 right, 2 &lt;b&gt;wrong") && !page.contains("<b>"), "{page}");
        assert!(page.contains("<th scope=\"row\">50 to 100 %</th><td>3</td><td>1</td>"), "{page}");
    }

    #[test]
    fn empty_bins_have_neither_bar_nor_row() {
        let bin = Bin { images: 2, confidence: 0.75, accuracy: 0.5 };
        let plot = Reliability { title: "Reliability".to_owned(), bins: vec![Bin::default(), bin] };
        let page = plot.render().into_string();
        assert_eq!((page.matches("<rect").count(), page.matches("class=\"gap\"").count()), (1, 1));
        assert!(
            page.contains("<th scope=\"row\">50 to 100 %</th><td>2</td><td>75.0 %</td><td>50.0 %</td>"),
            "{page}"
        );
    }
}
