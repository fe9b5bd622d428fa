//! From bytes of any size to a network's input, as nodes of the graph: what predicting does to decoded images, to the
//! byte. The one thing left out is that predicting keeps images that it made smaller as JPEG.
//!
//! Pillow rounds to bytes after each of the two passes of a resize, a half upwards, and takes first the pass that
//! leaves less to the other. So passes are separate nodes here, each followed by a rounding. The resize to the network's
//! size is a product with matrices of Pillow's own weights: onnxruntime's `Resize` places its weights in f32, and is one
//! level off in up to 3 % of the bytes where the sizes have a power of two in common, as small images mostly do. Making
//! large images smaller is `Resize`, for which such a product would be too much work.

use super::graph::{GraphBuilder, Side, float, int, ints, subgraph, to, word};
use super::proto::element::{BOOL, DOUBLE, FLOAT, INT64};
use crate::artifacts::student::InputFormat;

/// The input of the graph: bytes (N, H, W, 3).
pub const IMAGES: &str = "images";
/// The networks' input: f32 (N, channels, size, size).
pub const INPUT: &str = "input";
/// Bits behind the point of a weight of Pillow's.
const PRECISION: u32 = 22;

/// Adds the nodes between [`IMAGES`] and [`INPUT`]. Images whose shorter side has more than `shrink` pixels are made
/// smaller first, unless that is 0.
pub fn preprocess(graph: &mut GraphBuilder, format: &InputFormat, shrink: usize) {
    // (2): height and width.
    let sides = graph.node("Shape", &[IMAGES], "sides", vec![int("start", 1), int("end", 3)]);
    let planes = graph.node("Transpose", &[IMAGES], "planes", vec![ints("perm", &[0, 3, 1, 2])]);
    let colours = graph.node("Cast", &[&planes], "colours", to(FLOAT));
    let (colours, sides) = match shrink {
        0 => (colours, sides),
        most => shrunk(graph, &colours, &sides, most),
    };
    let pixels = if format.channels == 1 { luma(graph, &colours) } else { colours };
    let resized = resized(graph, &pixels, &sides, format);
    normalised(graph, &resized, format);
}

/// Images and their sides as an import keeps them: where the shorter side has more than `most` pixels it gets `most`,
/// and the other as many as that leaves, rounded up.
fn shrunk(graph: &mut GraphBuilder, pixels: &str, sides: &str, most: usize) -> (String, String) {
    let most = graph.integers("most", &[1], &[most as i64]);
    let (first, one) = (graph.integers("first", &[1], &[0]), graph.integers("one", &[1], &[1]));
    let short = graph.node("ReduceMin", &[sides, &first], "short", vec![int("keepdims", 1)]);
    // Where it stays, this is (side · short + short − 1) / short: the side itself.
    let kept_short = graph.node("Min", &[&short, &most], "short.kept", vec![]);
    let product = graph.node("Mul", &[sides, &kept_short], "sides.product", vec![]);
    let almost = graph.node("Sub", &[&short, &one], "short.less", vec![]);
    let upwards = graph.node("Add", &[&product, &almost], "sides.upwards", vec![]);
    let kept = graph.node("Div", &[&upwards, &short], "sides.kept", vec![]);
    let large = graph.node("Greater", &[&short, &most], "large", vec![]);
    let shape = [Side::Named("N"), Side::Fixed(3), Side::Named("height"), Side::Named("width")];
    let smaller = graph.branch("shrink", (FLOAT, &shape), |graph| bicubic(graph, pixels, sides, &kept));
    let same =
        graph.branch("keep", (FLOAT, &shape), |graph| graph.node("Identity", &[pixels], "keep", vec![]));
    let branches = vec![subgraph("then_branch", smaller), subgraph("else_branch", same)];
    (graph.node("If", &[&large], "shrunk", branches), kept)
}

/// Pillow's bicubic, as ONNX has it. Its sums are f32's, so that a byte in a thousand is one level off.
fn bicubic(graph: &mut GraphBuilder, pixels: &str, from: &str, to: &str) -> String {
    let columns_first = columns_first(graph, from, to, "shrink");
    let rows_first = graph.node("Not", &[&columns_first], "shrink.rows_first", vec![]);
    let height_and_width =
        graph.node("Concat", &[&columns_first, &rows_first], "shrink.first", vec![int("axis", 0)]);
    // Each pass changes one side: this is what lies between them.
    let between = graph.node("Where", &[&height_and_width, to, from], "shrink.between", vec![]);
    let outer = graph.node("Shape", &[pixels], "shrink.outer", vec![int("start", 0), int("end", 2)]);
    let half = graph.floats("half", &[], &[0.5]);
    let (least, most) = (graph.floats("darkest", &[], &[0.0]), graph.floats("brightest", &[], &[255.0]));
    let mut pixels = pixels.to_owned();
    for (pass, sides) in [("shrink.1", between.as_str()), ("shrink.2", to)] {
        let sizes = graph.node("Concat", &[&outer, sides], &format!("{pass}.sizes"), vec![int("axis", 0)]);
        let attributes = vec![
            word("mode", "cubic"),
            float("cubic_coeff_a", -0.5),
            int("antialias", 1),
            // At the borders weights of what is outside are dropped, and the others add up to 1.
            int("exclude_outside", 1),
            word("coordinate_transformation_mode", "half_pixel"),
        ];
        pixels = graph.node("Resize", &[&pixels, "", "", &sizes], pass, attributes);
        pixels = rounded(graph, &pixels, &half, pass);
        pixels = graph.node("Clip", &[&pixels, &least, &most], &format!("{pass}.bytes"), vec![]);
    }
    pixels
}

/// ⌊x + ½⌋: rounds as fixed point does, a half upwards. ONNX's own `Round` rounds it to even.
fn rounded(graph: &mut GraphBuilder, x: &str, half: &str, name: &str) -> String {
    let sum = graph.node("Add", &[x, half], &format!("{name}.sum"), vec![]);
    graph.node("Floor", &[&sum], &format!("{name}.whole"), vec![])
}

/// Whether Pillow's first pass goes along the columns, of sides `from` made sides `to`: `vision::resize` has the rule.
fn columns_first(graph: &mut GraphBuilder, from: &str, to: &str, name: &str) -> String {
    let named = |part: &str| format!("{name}.{part}");
    let (first, second) = (graph.integers("first", &[1], &[0]), graph.integers("second", &[1], &[1]));
    let fewer = graph.node("Sub", &[from, to], &named("fewer"), vec![]);
    let rows = graph.node("Gather", &[&fewer, &first], &named("fewer_rows"), vec![]);
    let columns = graph.node("Gather", &[&fewer, &second], &named("fewer_columns"), vec![]);
    // `first` is 0 as well.
    let lower = graph.node("Greater", &[&rows, &first], &named("lower"), vec![]);
    let twice = graph.node("Add", &[&columns, &columns], &named("twice_fewer_columns"), vec![]);
    let mostly = graph.node("Less", &[&twice, &rows], &named("mostly_lower"), vec![]);
    graph.node("And", &[&lower, &mostly], &named("columns_first"), vec![])
}

/// The luma of colours, as `vision::decode::luma`. All sums are multiples of 2⁻¹⁶ below 256: exact in f32.
fn luma(graph: &mut GraphBuilder, colours: &str) -> String {
    let weights = [19_595.0, 38_470.0, 7_471.0].map(|weight: f32| weight / 65_536.0);
    let weights = graph.floats("luma.weights", &[1, 3, 1, 1], &weights);
    let (channels, half) = (graph.integers("second", &[1], &[1]), graph.floats("half", &[], &[0.5]));
    let products = graph.node("Mul", &[colours, &weights], "luma.products", vec![]);
    let sum = graph.node("ReduceSum", &[&products, &channels], "luma", vec![int("keepdims", 1)]);
    rounded(graph, &sum, &half, "luma")
}

/// Images of the network's size, by Pillow's bilinear filter: (N, channels, size, size).
fn resized(graph: &mut GraphBuilder, pixels: &str, sides: &str, format: &InputFormat) -> String {
    let size = format.size;
    let wanted = graph.integers("size", &[2], &[size as i64; 2]);
    let first = graph.integers("first", &[1], &[0]);
    let equal = graph.node("Equal", &[sides, &wanted], "fits.each", vec![]);
    let equal = graph.node("Cast", &[&equal], "fits.numbers", to(INT64));
    let equal = graph.node("ReduceMin", &[&equal, &first], "fits.both", vec![int("keepdims", 1)]);
    let fits = graph.node("Cast", &[&equal], "fits", to(BOOL));
    let square = [Side::Named("N"), Side::Fixed(format.channels), Side::Fixed(size), Side::Fixed(size)];
    let same =
        graph.branch("fits", (FLOAT, &square), |graph| graph.node("Identity", &[pixels], "as_is", vec![]));
    let other = graph.branch("resize", (FLOAT, &square), |graph| {
        let columns_first = columns_first(graph, sides, &wanted, "resize");
        let pixels = graph.node("Cast", &[pixels], "resize.pixels", to(DOUBLE));
        let along = taps(graph, sides, size, Axis::Columns);
        let down = taps(graph, sides, size, Axis::Rows);
        let half = graph.doubles("half_in_f64", &[], &[0.5]);
        // The weights are multiples of 2⁻²² and sums stay below 256: exact in f64.
        let pass = |graph: &mut GraphBuilder, pixels: &str, axis: Axis, name: &str| {
            let factors = if axis == Axis::Rows { [down.as_str(), pixels] } else { [pixels, along.as_str()] };
            let product = graph.node("MatMul", &factors, name, vec![]);
            rounded(graph, &product, &half, name)
        };
        let down_first = graph.branch("columns_first", (DOUBLE, &square), |graph| {
            let between = pass(graph, &pixels, Axis::Rows, "columns_first.1");
            pass(graph, &between, Axis::Columns, "columns_first.2")
        });
        let along_first = graph.branch("rows_first", (DOUBLE, &square), |graph| {
            let between = pass(graph, &pixels, Axis::Columns, "rows_first.1");
            pass(graph, &between, Axis::Rows, "rows_first.2")
        });
        let orders = vec![subgraph("then_branch", down_first), subgraph("else_branch", along_first)];
        let whole = graph.node("If", &[&columns_first], "resize.whole", orders);
        graph.node("Cast", &[&whole], "resize", to(FLOAT))
    });
    let branches = vec![subgraph("then_branch", same), subgraph("else_branch", other)];
    graph.node("If", &[&fits], "resized", branches)
}

/// Which side of the images a matrix changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    /// The height: the matrix is (size, height) and stands on the left.
    Rows,
    /// The width: the matrix is (width, size) and stands on the right.
    Columns,
}

/// The weights with which each of `size` targets draws from the sources along an axis: a triangle, widened when
/// shrinking, whose weights add up to 1, rounded as Pillow rounds them.
fn taps(graph: &mut GraphBuilder, sides: &str, size: usize, axis: Axis) -> String {
    let (name, of, targets, across) = match axis {
        Axis::Rows => ("rows", 0, [size, 1], 1),
        Axis::Columns => ("columns", 1, [1, size], 0),
    };
    let named = |part: &str| format!("{name}.{part}");
    let place = |graph: &mut GraphBuilder, place: i64| {
        graph.integers(if place == 0 { "first" } else { "second" }, &[1], &[place])
    };
    let (own, other) = (place(graph, of), place(graph, across));
    let [none, half, one] = [("none", 0.0), ("half", 0.5), ("one", 1.0)]
        .map(|(name, value)| graph.doubles(&format!("{name}_in_f64"), &[], &[value]));

    let count = graph.node("Gather", &[sides, &own], &named("count"), vec![]);
    let length = graph.node("Cast", &[&count], &named("length"), to(DOUBLE));
    let target_length = graph.doubles("size_in_f64", &[], &[size as f64]);
    let scale = graph.node("Div", &[&length, &target_length], &named("scale"), vec![]);
    let widen = graph.node("Max", &[&scale, &one], &named("widen"), vec![]);
    let middles: Vec<f64> = (0..size).map(|target| target as f64 + 0.5).collect();
    let middles = graph.doubles(&named("middles"), &targets, &middles);
    let centres = graph.node("Mul", &[&middles, &scale], &named("centres"), vec![]);

    let end = graph.node("Squeeze", &[&count], &named("end"), vec![]);
    let (begin, step) = (graph.integers("begin", &[], &[0]), graph.integers("step", &[], &[1]));
    let sources = graph.node("Range", &[&begin, &end, &step], &named("sources"), vec![]);
    let sources = graph.node("Unsqueeze", &[&sources, &own], &named("sources.across"), vec![]);
    let sources = graph.node("Cast", &[&sources], &named("sources.f64"), to(DOUBLE));

    // The matrix: as many rows as there are sources, or columns.
    let apart = graph.node("Sub", &[&sources, &centres], &named("apart"), vec![]);
    let apart = graph.node("Add", &[&apart, &half], &named("apart.middle"), vec![]);
    let narrow = graph.node("Div", &[&one, &widen], &named("narrow"), vec![]);
    let apart = graph.node("Mul", &[&apart, &narrow], &named("apart.narrow"), vec![]);
    let apart = graph.node("Abs", &[&apart], &named("distance"), vec![]);
    let weights = graph.node("Sub", &[&one, &apart], &named("slope"), vec![]);
    let weights = graph.node("Max", &[&weights, &none], &named("triangle"), vec![]);
    let sums = graph.node("ReduceSum", &[&weights, &other], &named("sums"), vec![int("keepdims", 1)]);
    let weights = graph.node("Div", &[&weights, &sums], &named("exact"), vec![]);
    let unit = graph.doubles("unit", &[], &[f64::from(1 << PRECISION)]);
    let weights = graph.node("Mul", &[&weights, &unit], &named("fixed"), vec![]);
    let weights = rounded(graph, &weights, &half, &named("fixed"));
    graph.node("Div", &[&weights, &unit], &named("weights"), vec![])
}

/// value · 1 / (255 · std) − mean / std, with the factors that `vision::views` has.
fn normalised(graph: &mut GraphBuilder, pixels: &str, format: &InputFormat) {
    let channels = format.channels;
    let each = |values: &[f32]| -> Vec<f64> {
        values.iter().copied().cycle().take(channels).map(f64::from).collect()
    };
    let (mean, std) = (each(&format.mean), each(&format.std));
    let scale: Vec<f32> = std.iter().map(|std| (1.0 / (255.0 * std)) as f32).collect();
    let offset: Vec<f32> = mean.iter().zip(&std).map(|(mean, std)| (-mean / std) as f32).collect();
    let scale = graph.floats("normalise.scale", &[1, channels, 1, 1], &scale);
    let offset = graph.floats("normalise.offset", &[1, channels, 1, 1], &offset);
    let scaled = graph.node("Mul", &[pixels, &scale], "normalise.scaled", vec![]);
    graph.node("Add", &[&scaled, &offset], INPUT, vec![]);
}
