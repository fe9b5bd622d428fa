//! What colour the materials of a scene have, and how a place and a season choose them.
//!
//! The colours of different materials overlap on purpose: what tells the classes apart is their structure.

use super::dice::Dice;

/// Red, green and blue, 0 to 1.
pub(super) type Colour = [f32; 3];

/// The colours that a rendering of the world has for its materials; each scene takes one of each.
pub(super) struct Colours {
    /// Grass, soil, sand, snow.
    pub ground: &'static [Colour],
    /// Crowns of trees.
    pub trees: &'static [Colour],
    /// Rivers and lakes.
    pub water: &'static [Colour],
    /// Roads and yards.
    pub paved: &'static [Colour],
    /// Roofs.
    pub roofs: &'static [Colour],
    /// How far each may wander from the list.
    pub spread: f32,
}

/// The colours of one scene.
pub(super) struct Palette {
    pub ground: Colour,
    /// What the ground changes to in patches.
    pub patches: Colour,
    pub tree: Colour,
    pub water: Colour,
    pub paved: Colour,
    pub roofs: [Colour; 2],
    /// Four parcels.
    pub crops: [Colour; 4],
}

impl Palette {
    pub fn new(dice: &mut Dice, colours: &Colours) -> Self {
        let mut pick = |list: &[Colour]| {
            let chosen = dice.one_of(list);
            let (all, one) = (colours.spread * dice.bell(), [dice.bell(), dice.bell(), dice.bell()]);
            [0, 1, 2].map(|i| (chosen[i] + all + 0.4 * colours.spread * one[i]).clamp(0.02, 0.98))
        };
        let ground = pick(colours.ground);
        // Neighbouring patches share the place and the season.
        let mut near = || blend(ground, pick(colours.ground), 0.45);
        let (patches, crops) = (near(), [near(), near(), near(), near()]);
        let roofs = [pick(colours.roofs), pick(colours.roofs)];
        Self {
            ground,
            patches,
            crops,
            roofs,
            tree: pick(colours.trees),
            water: pick(colours.water),
            paved: pick(colours.paved),
        }
    }
}

/// From `a` (0) to `b` (1).
pub(super) fn blend(a: Colour, b: Colour, share: f32) -> Colour {
    let share = share.clamp(0.0, 1.0);
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * share)
}

/// Lighter (above 1) or darker.
pub(super) fn lit(colour: Colour, light: f32) -> Colour {
    colour.map(|value| value * light)
}
