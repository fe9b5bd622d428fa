//! The 14 operations of the strong augmentation (method §3), on 8-bit RGB, as Pillow defines them.
//!
//! [`augment`](super::augment) chooses an operation and its magnitude.

mod geometry;
mod light;

/// One operation with its magnitude. The order and the ranges are those of [`Operation::drawn`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// Stretches each channel to 0–255.
    Autocontrast,
    /// Fades to black: factor 1 leaves the image, 0 is black.
    Brightness(f32),
    /// Fades to grey.
    Colour(f32),
    /// Fades to the mean luma.
    Contrast(f32),
    /// Fades to a smoothed copy.
    Sharpness(f32),
    /// Makes each channel's histogram flat.
    Equalize,
    /// Leaves the image.
    Identity,
    /// Keeps this many upper bits of each value, 1–8.
    Posterize(u8),
    /// Turns counter-clockwise about the centre, in degrees; outside is black, as for all that follow.
    Rotate(f64),
    /// Takes each row from x + magnitude · y.
    ShearX(f64),
    /// Takes each column from y + magnitude · x.
    ShearY(f64),
    /// Inverts every value from the threshold on.
    Solarize(u8),
    /// Moves to the left by this share of the width.
    TranslateX(f64),
    /// Moves up by this share of the height.
    TranslateY(f64),
}

impl Operation {
    /// How many operations there are.
    pub const COUNT: usize = 14;

    /// Operation number `index` (below [`COUNT`](Self::COUNT)) with the magnitude at `unit`, in [0, 1), of its
    /// range: factors .05–.95, 4–8 bits, ±30°, shear ±.3, threshold 0–256, shift ±.3. Bits and thresholds are
    /// whole numbers, rounded down.
    pub fn drawn(index: usize, unit: f64) -> Self {
        let factor = (0.05 + 0.9 * unit) as f32;
        let either_way = 0.6 * unit - 0.3;
        match index {
            0 => Self::Autocontrast,
            1 => Self::Brightness(factor),
            2 => Self::Colour(factor),
            3 => Self::Contrast(factor),
            4 => Self::Sharpness(factor),
            5 => Self::Equalize,
            7 => Self::Posterize((4.0 + 4.0 * unit) as u8),
            8 => Self::Rotate(60.0 * unit - 30.0),
            9 => Self::ShearX(either_way),
            10 => Self::ShearY(either_way),
            11 => Self::Solarize((256.0 * unit) as u8),
            12 => Self::TranslateX(either_way),
            13 => Self::TranslateY(either_way),
            _ => Self::Identity,
        }
    }

    /// Applies the operation to `image`, `size` × `size` RGB. `spare` is room that may be used and swapped
    /// with it.
    ///
    /// # Panics
    /// If either buffer is not `size · size · 3` bytes long.
    pub fn apply(self, size: usize, image: &mut Vec<u8>, spare: &mut Vec<u8>) {
        assert!(image.len() == size * size * 3 && spare.len() == image.len(), "buffers do not fit the size");
        match self {
            Self::Identity => {}
            Self::Autocontrast => light::autocontrast(image),
            Self::Brightness(factor) => light::blend_from_value(0, factor, image),
            Self::Colour(factor) => light::colour(factor, image),
            Self::Contrast(factor) => light::blend_from_value(light::mean_luma(image), factor, image),
            Self::Sharpness(factor) => {
                light::sharpness(size, factor, image, spare);
                std::mem::swap(image, spare);
            }
            Self::Equalize => light::equalize(image),
            Self::Posterize(bits) => light::posterize(bits, image),
            Self::Solarize(threshold) => light::solarize(threshold, image),
            Self::Rotate(degrees) => {
                geometry::rotate(size, degrees, image, spare);
                std::mem::swap(image, spare);
            }
            Self::ShearX(share) => {
                geometry::shear_x(size, share, image, spare);
                std::mem::swap(image, spare);
            }
            Self::ShearY(share) => {
                geometry::shear_y(size, share, image, spare);
                std::mem::swap(image, spare);
            }
            Self::TranslateX(share) => {
                geometry::translate_x(size, share, image, spare);
                std::mem::swap(image, spare);
            }
            Self::TranslateY(share) => {
                geometry::translate_y(size, share, image, spare);
                std::mem::swap(image, spare);
            }
        }
    }
}

#[cfg(test)]
mod tests;
