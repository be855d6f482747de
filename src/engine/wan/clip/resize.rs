//! A picture as CLIP looks at it: its middle, small and square.

use crate::device::ops::FeatureMap;

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
    let rows = weights(height, tall, (tall - size) / 2, size);
    let columns = weights(width, wide, (wide - size) / 2, size);
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

/// The inputs that an output is made of.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

/// Of the `to` outputs that `from` inputs become, those from `skip` on, `count` of
/// them.
fn weights(from: usize, to: usize, skip: usize, count: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let wide = scale.max(1.);
    (skip..skip + count)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - 2. * wide + 0.5).max(0.) as usize;
            let end = ((centre + 2. * wide + 0.5) as usize).min(from);
            let mut weights: Vec<f64> = (first..end)
                .map(|x| cubic((x as f64 - centre + 0.5) / wide))
                .collect();
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|w| *w /= sum);
            Taps { first, weights }
        })
        .collect()
}

/// Keys' cubic with a slope of -1/2 at 1.
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1. {
        (1.5 * x - 2.5) * x * x + 1.
    } else if x < 2. {
        ((-0.5 * x + 2.5) * x - 4.) * x + 2.
    } else {
        0.
    }
}
