//! Frames as they are kept: the plate's part, 16 bits a sample.

use super::fit::Fit;
use crate::device::ops::FeatureMap;

/// Values that a kept sample tells apart.
const LEVELS: f32 = 65535.;

/// Writes `pixels` (RGB of -1 to 1), whose first lies at `x`, `y`, into the `wide` ×
/// `tall` picture `bytes`, 6 bytes a pixel; what lies outside is left out.
pub fn packed_into(
    bytes: &mut [u8],
    [wide, tall]: [usize; 2],
    [x, y]: [usize; 2],
    pixels: &FeatureMap,
) {
    let width = pixels.width().min(wide.saturating_sub(x));
    for row in 0..pixels.height().min(tall.saturating_sub(y)) {
        let at = ((y + row) * wide + x) * 6;
        let to = bytes[at..at + width * 6].chunks_exact_mut(2);
        for (to, v) in to.zip(pixels.row(row)) {
            let level = (0.5 * v.clamp(-1., 1.) + 0.5) * LEVELS;
            to.copy_from_slice(&(level.round() as u16).to_le_bytes());
        }
    }
}

/// A picture that parts are laid into, each with weights that sum to 1.
pub struct Laid {
    size: [usize; 2],
    values: Vec<f32>,
}

impl Laid {
    /// For the plate's part of pictures of `fit`.
    pub fn new(fit: Fit) -> Self {
        let [wide, tall] = fit.content;
        Self {
            size: fit.content,
            values: vec![0.; wide * tall * 3],
        }
    }

    /// Lays `pixels`, whose first lies at `x`, `y`, as much as the weights of rows and
    /// of columns say.
    pub fn lay(&mut self, pixels: &FeatureMap, [x, y]: [usize; 2], [down, across]: &[Vec<f32>; 2]) {
        let [wide, tall] = self.size;
        let width = pixels.width().min(wide.saturating_sub(x));
        let rows = pixels.height().min(tall.saturating_sub(y));
        for (row, in_row) in (0..rows).zip(down) {
            let at = ((y + row) * wide + x) * 3;
            let to = self.values[at..at + width * 3].chunks_exact_mut(3);
            let from = pixels.row(row).chunks_exact(3);
            for ((to, from), in_column) in to.zip(from).zip(across) {
                let weight = in_row * in_column;
                for (to, from) in to.iter_mut().zip(from) {
                    *to += weight * from;
                }
            }
        }
    }

    /// The picture as it is kept.
    pub fn packed(&self) -> Vec<u8> {
        let [wide, tall] = self.size;
        let mut bytes = vec![0; wide * tall * 6];
        let rows = FeatureMap::from_rows(tall, wide, 3, self.values.clone());
        packed_into(&mut bytes, self.size, [0, 0], &rows);
        bytes
    }
}

/// The same back, RGB row by row; `None` where `bytes` are no such picture.
pub fn unpacked(bytes: &[u8], [wide, tall]: [usize; 2]) -> Option<Vec<f32>> {
    let samples = bytes
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]));
    let values = samples.map(|s| 2. * (f32::from(s) / LEVELS) - 1.);
    (bytes.len() == wide * tall * 6).then(|| values.collect())
}
