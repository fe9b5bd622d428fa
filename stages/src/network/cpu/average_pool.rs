//! The average pool over all pixels of an image, and its gradient.

/// Pixels of `memory` channels, `area` an image → (B, features).
pub fn average_pool(x: &[f32], area: usize, memory: usize, features: usize) -> Vec<f32> {
    let mut pooled = Vec::with_capacity(x.len() / (area * memory) * features);
    for image in x.chunks_exact(area * memory) {
        let mut sums = vec![0.0f32; memory];
        for pixel in image.chunks_exact(memory) {
            for (s, v) in sums.iter_mut().zip(pixel) {
                *s += v;
            }
        }
        pooled.extend(sums[..features].iter().map(|s| s / area as f32));
    }
    pooled
}

/// The gradient of an image's pixels, `to`, from that of its features, which all `area` pixels share: channels
/// `from..` as many as `width`, written or added.
pub fn average_pool_gradient(
    features_grad: &[f32],
    area: usize,
    [from, width]: [usize; 2],
    add: bool,
    to: &mut [f32],
) {
    let scale = 1.0 / area as f32;
    for to in to.chunks_exact_mut(width) {
        if !add {
            to.fill(0.0);
        }
        for (to, g) in to.iter_mut().zip(&features_grad[from.min(features_grad.len())..]) {
            *to += g * scale;
        }
    }
}
