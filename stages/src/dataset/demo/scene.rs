//! The ten kinds of land cover and how each looks from above: a scene is a colour for every point.
//!
//! One function a class; each first draws what is particular to this place, then says what is where. It knows
//! nothing of files.

use super::dice::{Dice, Point};
use super::palette::{Colour, Palette, blend, lit};
use super::texture::{Cells, Noise, smooth, wave};

/// The colour of every point, in pixels from the middle of the tile; tiles show about ±16.
pub(super) type Scene = Box<dyn Fn(Point) -> Colour + Send + Sync>;

/// Draws a scene of a class.
type DrawScene = fn(&mut Dice, Palette) -> Scene;

/// The classes in the order of their labels.
pub(super) const CLASSES: [(&str, DrawScene); 10] = [
    ("forest", forest),
    ("river", river),
    ("lake", lake),
    ("highway", highway),
    ("residential", residential),
    ("industrial", industrial),
    ("cropland", cropland),
    ("orchard", orchard),
    ("pasture", pasture),
    ("desert", desert),
];

/// Crowns close to each other, of different sizes, darker between them.
fn forest(dice: &mut Dice, palette: Palette) -> Scene {
    crowns(dice, palette.tree, palette.ground, 0.02)
}

/// Crowns that leave about `glades` of the ground open.
fn crowns(dice: &mut Dice, tree: Colour, ground: Colour, glades: f32) -> Scene {
    let size = dice.between(3.6, 5.6);
    let (cells, stand) = (Cells::new(dice, [size, size], 1.0), Noise::new(dice));
    let sun = dice.direction();
    Box::new(move |p| {
        let cell = cells.at(p);
        let [x, y] = cell.from_centre;
        let lean = 1.0 + 0.25 * (x * sun[0] + y * sun[1]) / size;
        let crown = lit(tree, (0.8 + 0.45 * cell.own) * lean);
        let shaded = blend(lit(tree, 0.45), crown, cell.to_border / 1.6);
        let open = stand.at([p[0] / 9.0, p[1] / 9.0]) < glades * (0.5 + cell.other);
        if open { ground } else { shaded }
    })
}

/// A ribbon of water that winds and changes its width.
fn river(dice: &mut Dice, palette: Palette) -> Scene {
    let (water, bank) = (palette.water, lit(palette.patches, 0.8));
    let land = countryside(dice, palette);
    let (bends, shape) = (Noise::new(dice), Noise::new(dice));
    let (width, swing, length) = (dice.between(2.0, 3.6), dice.between(8.0, 13.0), dice.between(9.0, 15.0));
    let (aside, phase) = (dice.between(-5.0, 5.0), dice.unit());
    Box::new(move |p| {
        let [x, y] = p;
        let bend = wave(x / (2.6 * length) + phase) * 0.45 + bends.at([x / length, 0.5]) * 2.0 - 1.0;
        let half = width * (0.7 + 0.6 * shape.at([x / 6.0, 9.5]));
        let off = (y - aside - swing * bend * 0.8).abs() - half;
        let ripple = 1.0 + 0.1 * (shape.at([x / 2.5, y / 2.5]) - 0.5);
        let shore = blend(bank, land(p), off / 1.5);
        blend(lit(water, ripple), shore, off + 0.5)
    })
}

/// One wide water with an uneven shore, nearly without texture.
fn lake(dice: &mut Dice, palette: Palette) -> Scene {
    let (water, bank) = (palette.water, lit(palette.patches, 0.85));
    let land = countryside(dice, palette);
    let shore = Noise::new(dice);
    let (radius, uneven) = (dice.between(9.0, 15.0), dice.between(3.0, 9.0));
    let (direction, off) = (dice.direction(), dice.between(0.0, 11.0));
    let depth = dice.between(0.75, 1.0);
    Box::new(move |p| {
        let [x, y] = [p[0] - direction[0] * off, p[1] - direction[1] * off];
        let edge = (x * x + y * y).sqrt() - radius;
        let edge = edge + uneven * 2.0 * (shore.fractal([x / 11.0, y / 11.0]) - 0.5);
        let surface = lit(water, 1.0 - (1.0 - depth) * smooth(-edge / 8.0));
        blend(surface, blend(bank, land(p), edge / 2.0), edge + 0.5)
    })
}

/// One or two straight bands of even width with hard edges, often with a line in the middle.
fn highway(dice: &mut Dice, palette: Palette) -> Scene {
    let paved = palette.paved;
    let land = countryside(dice, palette);
    let (half, aside) = (dice.between(1.6, 3.0), dice.between(-6.0, 6.0));
    let bow = dice.between(-0.005, 0.005);
    let line = if dice.chance(0.75) { dice.between(0.2, 0.45) } else { 0.0 };
    let bright = dice.chance(0.7);
    let crossing = dice.chance(0.35).then(|| (dice.between(-9.0, 9.0), dice.between(-0.6, 0.6), half * 0.7));
    Box::new(move |p| {
        let [x, y] = p;
        let off = (y - aside - bow * x * x).abs();
        let marking = blend(paved, if bright { [0.95, 0.95, 0.9] } else { [0.08; 3] }, line * 1.8);
        let band = blend(marking, paved, (off - 0.3) * 2.0);
        let mut colour = blend(band, land(p), (off - half) * 2.0 + 0.5);
        if let Some((at, slope, half)) = crossing {
            colour = blend(paved, colour, ((x - at - slope * y).abs() - half) * 2.0 + 0.5);
        }
        colour
    })
}

/// Many small houses in gardens, in rows along streets.
fn residential(dice: &mut Dice, palette: Palette) -> Scene {
    let Palette { ground, tree, paved, roofs, .. } = palette;
    let size = [dice.between(5.0, 6.6), dice.between(5.0, 6.6)];
    let (houses, gardens) = (Cells::new(dice, size, 0.3), Noise::new(dice));
    let (every, start) = (size[1] * 2.0, dice.between(0.0, 12.0));
    let street = dice.between(0.9, 1.5);
    Box::new(move |p| {
        let cell = houses.at(p);
        let [x, y] = cell.from_centre;
        let half = [1.3 + 0.9 * cell.own, 1.2 + 0.9 * cell.other];
        let inside = (half[0] - x.abs()).min(half[1] - y.abs());
        let roof = lit(roofs[usize::from(cell.other > 0.6)], if y > 0.0 { 0.75 } else { 1.1 });
        let green = blend(ground, tree, (gardens.at([p[0] / 2.5, p[1] / 2.5]) - 0.45) * 4.0);
        let shadow = ((half[0] - (x - 0.9).abs()).min(half[1] - (y - 0.9).abs())).clamp(0.0, 0.5);
        let yard = lit(green, 1.0 - shadow);
        let along = (p[1] + start).rem_euclid(every) - every / 2.0;
        let plot = if along.abs() < street { paved } else { yard };
        if inside > 0.0 { roof } else { plot }
    })
}

/// A few large halls on paved yards, each with its shadow.
fn industrial(dice: &mut Dice, palette: Palette) -> Scene {
    let Palette { ground, paved, roofs, .. } = palette;
    let size = [dice.between(12.0, 18.0), dice.between(10.0, 15.0)];
    let (halls, stains) = (Cells::new(dice, size, 0.35), Noise::new(dice));
    let (ribs, shade) = (dice.between(0.0, 0.16), dice.between(1.0, 2.0));
    let rib = dice.between(2.2, 3.4);
    Box::new(move |p| {
        let cell = halls.at(p);
        let [x, y] = cell.from_centre;
        let half = [size[0] * (0.26 + 0.16 * cell.own), size[1] * (0.24 + 0.16 * cell.other)];
        let inside = |x: f32, y: f32| (half[0] - x.abs()).min(half[1] - y.abs());
        let roof = roofs[usize::from(cell.own > 0.5)];
        let roof = lit(roof, 0.9 + 0.3 * cell.other + ribs * wave(x / rib));
        let yard = blend(paved, ground, (stains.fractal([p[0] / 8.0, p[1] / 8.0]) - 0.55) * 5.0);
        let yard = if inside(x - shade, y - shade) > 0.0 { lit(yard, 0.5) } else { yard };
        if inside(x, y) > 0.0 { roof } else { yard }
    })
}

/// Large parcels with straight borders; each in its own colour, some with the marks of machines.
fn cropland(dice: &mut Dice, palette: Palette) -> Scene {
    let crops = palette.crops;
    let size = [dice.between(11.0, 17.0), dice.between(8.0, 14.0)];
    let parcels = Cells::new(dice, size, 0.55);
    let (row, depth) = (dice.between(1.8, 2.8), dice.between(0.05, 0.3));
    let contrast = dice.between(0.5, 1.0);
    Box::new(move |p| {
        let cell = parcels.at(p);
        let crop = crops[((cell.own * 4.0) as usize).min(3)];
        let crop = lit(crop, 1.0 + contrast * (cell.other - 0.5));
        let across = if cell.other > 0.5 { p[0] } else { p[1] };
        let furrows = lit(crop, 1.0 + depth * (cell.own - 0.2) * wave(across / row));
        blend(lit(crop, 0.7), furrows, cell.to_border / 1.2)
    })
}

/// Trees at even distances in straight rows.
fn orchard(dice: &mut Dice, palette: Palette) -> Scene {
    let Palette { ground, patches, tree, .. } = palette;
    let (size, narrow) = (dice.between(4.2, 6.4), dice.between(0.75, 1.0));
    let trees = Cells::new(dice, [size, size * narrow], 0.1);
    let (crown, soil) = (size * dice.between(0.26, 0.36), Noise::new(dice));
    let paths = dice.between(0.0, 0.35);
    Box::new(move |p| {
        let cell = trees.at(p);
        let [x, y] = cell.from_centre;
        let off = (x * x + y * y).sqrt() - crown * (0.85 + 0.3 * cell.own);
        let soil = blend(ground, patches, soil.fractal([p[0] / 7.0, p[1] / 7.0]) * 1.6 - 0.4);
        let soil = lit(soil, 1.0 - paths * smooth(1.0 - (y.abs() / size)));
        blend(lit(tree, 0.85 + 0.3 * cell.other), soil, off + 0.5)
    })
}

/// Soft patches of grass, now and then a hedge or a lonely tree.
fn pasture(dice: &mut Dice, palette: Palette) -> Scene {
    let tree = palette.tree;
    let size = dice.between(15.0, 22.0);
    let (hedges, trees) = (Cells::new(dice, [size, size], 0.9), Cells::new(dice, [9.0, 9.0], 1.0));
    let hedged = dice.chance(0.4);
    let land = meadow(dice, palette.ground, palette.patches);
    Box::new(move |p| {
        let (field, cell) = (hedges.at(p), trees.at(p));
        let [x, y] = cell.from_centre;
        let off = (x * x + y * y).sqrt() - if cell.own > 0.8 { 1.4 } else { -1.0 };
        let hedge = if hedged { field.to_border / 0.9 } else { 1.0 };
        blend(tree, blend(lit(tree, 0.9), land(p), hedge), off + 0.5)
    })
}

/// Ground that changes softly into its patches.
fn meadow(dice: &mut Dice, ground: Colour, patches: Colour) -> Scene {
    let (large, small) = (Noise::new(dice), Noise::new(dice));
    let (size, rough) = (dice.between(7.0, 14.0), dice.between(0.0, 0.12));
    Box::new(move |[x, y]| {
        let share = large.fractal([x / size, y / size]) * 2.0 - 0.5;
        lit(blend(ground, patches, share), 1.0 + rough * (small.at([x / 1.5, y / 1.5]) - 0.5))
    })
}

/// Dunes: uneven waves, lit from one side.
fn desert(dice: &mut Dice, palette: Palette) -> Scene {
    let Palette { ground, patches, .. } = palette;
    let (warp, bare) = (Noise::new(dice), Noise::new(dice));
    let (period, bend) = (dice.between(4.5, 8.0), dice.between(7.0, 13.0));
    let depth = dice.between(0.16, 0.34);
    Box::new(move |[x, y]| {
        let bent = y + bend * (warp.at([x / 10.0, y / 14.0]) - 0.5);
        let phase = bent / period;
        let slope = phase - phase.floor();
        // A long flank towards the wind, a short one away from it.
        let dune = if slope < 0.75 { slope / 0.75 } else { (1.0 - slope) * 4.0 };
        let sand = blend(ground, patches, bare.fractal([x / 12.0, y / 12.0]) - 0.2);
        lit(sand, 1.0 + depth * (2.0 * smooth(dune) - 1.0))
    })
}

/// What lies beside rivers, lakes and roads: any of the quieter classes.
fn countryside(dice: &mut Dice, palette: Palette) -> Scene {
    match dice.below(4) {
        0 => cropland(dice, palette),
        1 => crowns(dice, palette.tree, palette.ground, 0.6),
        _ => meadow(dice, palette.ground, palette.patches),
    }
}
