//! The operations that move pixels: Pillow's `Image.transform(AFFINE)` and `Image.rotate`, nearest pixel,
//! outside black.
//!
//! Images are rows of interleaved RGB. Source: Pillow's `libImaging/Geometry.c` and `Image.rotate`.

/// Bits behind the point of a source position, as in Pillow's `affine_fixed`.
const PRECISION: u32 = 16;

fn fixed(value: f64) -> i32 {
    (value * f64::from(1 << PRECISION) + 0.5).floor() as i32
}

/// Writes `row` moved left by `shift` pixels to `out`, and black where it has no pixel.
fn shift_row(shift: i32, row: &[u8], out: &mut [u8]) {
    let gap = (shift.unsigned_abs() as usize * 3).min(row.len());
    let kept = row.len() - gap;
    if shift >= 0 {
        out[..kept].copy_from_slice(&row[gap..]);
        out[kept..].fill(0);
    } else {
        out[..gap].fill(0);
        out[gap..].copy_from_slice(&row[..kept]);
    }
}

/// The whole pixels by which a shift of `share` of the size moves the nearest pixel.
fn whole_shift(size: usize, share: f64) -> i32 {
    (size as f64 * share + 0.5).floor() as i32
}

pub(super) fn translate_x(size: usize, share: f64, image: &[u8], out: &mut [u8]) {
    let shift = whole_shift(size, share);
    let rows = image.chunks_exact(size * 3).zip(out.chunks_exact_mut(size * 3));
    rows.for_each(|(row, out)| shift_row(shift, row, out));
}

pub(super) fn translate_y(size: usize, share: f64, image: &[u8], out: &mut [u8]) {
    // The rows lie one after another: a shift by rows is a shift of the whole.
    shift_row(whole_shift(size, share) * size as i32, image, out);
}

pub(super) fn shear_x(size: usize, share: f64, image: &[u8], out: &mut [u8]) {
    let step = fixed(share);
    let mut at = fixed(0.5 + share * 0.5);
    for (row, out) in image.chunks_exact(size * 3).zip(out.chunks_exact_mut(size * 3)) {
        shift_row(at >> PRECISION, row, out);
        at += step;
    }
}

pub(super) fn shear_y(size: usize, share: f64, image: &[u8], out: &mut [u8]) {
    let stride = size * 3;
    let step = fixed(share);
    let mut at = fixed(0.5 + share * 0.5);
    out.fill(0);
    // Runs of columns share a shift and move together.
    let mut column = 0;
    while column < size {
        let shift = at >> PRECISION;
        let first = column;
        while column < size && at >> PRECISION == shift {
            column += 1;
            at += step;
        }
        let (from, to) = (shift.max(0) as usize, (-shift).max(0) as usize);
        let rows = size.saturating_sub(shift.unsigned_abs() as usize);
        let columns = first * 3..column * 3;
        let pairs =
            image.chunks_exact(stride).skip(from).zip(out.chunks_exact_mut(stride).skip(to)).take(rows);
        if columns.len() == 9 {
            // The usual length: of a size known when compiling.
            pairs.for_each(|(row, out)| {
                out[first * 3..first * 3 + 9].copy_from_slice(&row[first * 3..first * 3 + 9])
            });
        } else {
            pairs.for_each(|(row, out)| out[columns.clone()].copy_from_slice(&row[columns.clone()]));
        }
    }
}

pub(super) fn rotate(size: usize, degrees: f64, image: &[u8], out: &mut [u8]) {
    // Pillow rounds the matrix to 15 decimals.
    let round = |value: f64| (value * 1e15).round() / 1e15;
    let angle = -degrees.rem_euclid(360.0).to_radians();
    let (cos, sin) = (round(angle.cos()), round(angle.sin()));
    let centre = size as f64 / 2.0;
    let start_x = cos * -centre + sin * -centre + centre;
    let start_y = -sin * -centre + cos * -centre + centre;
    let (cos_step, sin_step) = (fixed(cos), fixed(sin));
    let mut row_x = fixed(start_x + cos * 0.5 + sin * 0.5);
    let mut row_y = fixed(start_y - sin * 0.5 + cos * 0.5);
    let (pixels, _) = image.as_chunks::<3>();
    for out in out.chunks_exact_mut(size * 3) {
        let (mut x, mut y) = (row_x, row_y);
        for out in out.as_chunks_mut::<3>().0 {
            let (column, row) = ((x >> PRECISION) as usize, (y >> PRECISION) as usize); // below zero: huge
            let inside = column < size && row < size;
            *out = if inside { pixels[row * size + column] } else { [0; 3] };
            x += cos_step;
            y -= sin_step;
        }
        row_x += sin_step;
        row_y += cos_step;
    }
}
