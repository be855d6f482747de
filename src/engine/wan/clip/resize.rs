//! A picture as CLIP looks at it: its middle, small and square.

use crate::device::ops::FeatureMap;
use crate::frame::Filter;

/// What CLIP was trained with: the mean and the spread of red, green and blue.
const MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const SPREAD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// The middle square of `frame` (RGB of -1 to 1, display-referred) at `size` ×
/// `size`, normalised, `[3, size, size]` flat. Resized so that the shorter side is
/// `size`, by cubic interpolation over the area that a pixel becomes, as the
/// reference's image library does; that library rounds to 8 bits in between,
/// which is left out here.
pub(super) fn looked_at(frame: &FeatureMap, size: usize) -> Vec<f32> {
    let (height, width) = (frame.height(), frame.width());
    if height * width == 0 {
        return vec![0.; 3 * size * size];
    }
    let short = height.min(width);
    let (tall, wide) = (size * height / short, size * width / short);
    // Only what the crop needs is made.
    let part = |all: usize| {
        let skip = (all - size) / 2;
        skip..skip + size
    };
    let rows = Filter::Cubic.taps(height, tall, part(tall));
    let columns = Filter::Cubic.taps(width, wide, part(wide));
    let mut narrow = vec![0f64; height * size * 3];
    for (y, out) in narrow.chunks_exact_mut(size * 3).enumerate() {
        for (column, out) in columns.iter().zip(out.chunks_exact_mut(3)) {
            for (i, weight) in column.weights.iter().enumerate() {
                for (out, v) in out.iter_mut().zip(frame.at(y, column.first + i)) {
                    *out += weight * (0.5 * f64::from(*v) + 0.5);
                }
            }
            // Cubic interpolation overshoots; the reference's 8 bits do not.
            out.iter_mut().for_each(|v| *v = v.clamp(0., 1.));
        }
    }
    let mut out = vec![0f32; 3 * size * size];
    for (y, row) in rows.iter().enumerate() {
        for x in 0..size {
            for c in 0..3 {
                let source = row.weights.iter().enumerate();
                let value: f64 = source
                    .map(|(i, weight)| weight * narrow[((row.first + i) * size + x) * 3 + c])
                    .sum();
                let value = (value.clamp(0., 1.) - MEAN[c]) / SPREAD[c];
                out[(c * size + y) * size + x] = value as f32;
            }
        }
    }
    out
}
