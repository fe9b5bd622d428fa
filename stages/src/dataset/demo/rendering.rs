//! How the two renderings of the world differ: colours, distance, light, weather and sensor.

use super::camera::Conditions;
use super::palette::Colours;

/// A way to picture the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rendering {
    /// The data set `demo`.
    Demo,
    /// What the miniature CLIP learned from.
    Pretraining,
}

/// All that makes up a rendering.
pub(super) struct Style {
    pub colours: Colours,
    pub conditions: Conditions,
}

impl Rendering {
    /// Its name, which its random streams carry, and its style.
    pub(super) fn style(self) -> (&'static str, &'static Style) {
        match self {
            Self::Demo => ("demo", &DEMO),
            Self::Pretraining => ("pretraining", &PRETRAINING),
        }
    }
}

const DEMO: Style = Style {
    colours: Colours {
        ground: &[
            [0.42, 0.50, 0.26],
            [0.55, 0.48, 0.32],
            [0.33, 0.42, 0.24],
            [0.68, 0.60, 0.44],
            [0.50, 0.40, 0.30],
            [0.62, 0.62, 0.50],
        ],
        trees: &[[0.17, 0.32, 0.16], [0.25, 0.38, 0.17], [0.42, 0.33, 0.18], [0.21, 0.28, 0.20]],
        water: &[
            [0.18, 0.32, 0.46],
            [0.15, 0.26, 0.38],
            [0.28, 0.42, 0.48],
            [0.36, 0.40, 0.33],
            [0.46, 0.55, 0.62],
        ],
        paved: &[[0.48, 0.47, 0.46], [0.62, 0.60, 0.56], [0.34, 0.34, 0.36], [0.58, 0.50, 0.42]],
        roofs: &[[0.62, 0.34, 0.26], [0.74, 0.72, 0.70], [0.42, 0.38, 0.36], [0.36, 0.44, 0.54]],
        spread: 0.07,
    },
    conditions: Conditions {
        zoom: [0.8, 1.15],
        light: [0.75, 1.2],
        contrast: [0.75, 1.25],
        slant: [0.0, 0.25],
        tint: [0.88, 1.12],
        haze: [0.0, 0.3],
        blur: [0.0, 0.35],
        grain: [0.0, 0.03],
        speckle: [0.0, 0.025],
    },
};

const PRETRAINING: Style = Style {
    colours: Colours {
        ground: &[
            [0.36, 0.52, 0.22],
            [0.48, 0.56, 0.30],
            [0.60, 0.54, 0.34],
            [0.78, 0.70, 0.50],
            [0.44, 0.36, 0.26],
        ],
        trees: &[[0.14, 0.32, 0.14], [0.24, 0.40, 0.16], [0.18, 0.26, 0.16]],
        water: &[[0.14, 0.28, 0.46], [0.20, 0.36, 0.40], [0.10, 0.18, 0.30]],
        paved: &[[0.40, 0.40, 0.42], [0.54, 0.53, 0.52]],
        roofs: &[[0.66, 0.32, 0.24], [0.80, 0.78, 0.76], [0.50, 0.46, 0.44]],
        spread: 0.06,
    },
    conditions: Conditions {
        zoom: [0.85, 1.3],
        light: [0.85, 1.15],
        contrast: [0.9, 1.3],
        slant: [0.0, 0.15],
        tint: [0.94, 1.06],
        haze: [0.0, 0.2],
        blur: [0.0, 0.3],
        grain: [0.0, 0.02],
        speckle: [0.0, 0.02],
    },
};
