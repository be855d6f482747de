//! Pictures in another size: separable filters that widen where pixels are lost, so
//! that nothing flickers, and keep the bits where the size stays.

use std::ops::Range;

/// How samples around a place are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// By nearness, over two samples: no value beyond those that there were.
    Triangle,
    /// Keys' cubic with a slope of -1/2 at 1, over four samples: sharper, and it
    /// overshoots at edges.
    Cubic,
}

/// The inputs that one output is made of, and how much each counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    /// The first of them.
    pub first: usize,
    /// From there on; they sum to one.
    pub weights: Vec<f64>,
}

impl Filter {
    fn reach(self) -> f64 {
        match self {
            Self::Triangle => 1.,
            Self::Cubic => 2.,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Triangle => (1. - x).max(0.),
            Self::Cubic if x < 1. => (1.5 * x - 2.5) * x * x + 1.,
            Self::Cubic if x < 2. => ((-0.5 * x + 2.5) * x - 4.) * x + 2.,
            Self::Cubic => 0.,
        }
    }

    /// Of the `to` outputs that `from` inputs become, what those in `wanted` are made
    /// of. Places count from the middle of samples.
    pub fn taps(self, from: usize, to: usize, wanted: Range<usize>) -> Vec<Taps> {
        let scale = from as f64 / to.max(1) as f64;
        let wide = scale.max(1.);
        wanted
            .map(|i| {
                let centre = (i as f64 + 0.5) * scale;
                let reach = self.reach() * wide;
                let end = ((centre + reach + 0.5) as usize).min(from);
                let first = ((centre - reach + 0.5).max(0.) as usize).min(end.saturating_sub(1));
                let mut weights: Vec<f64> = (first..end)
                    .map(|x| self.weight((x as f64 - centre + 0.5) / wide))
                    .collect();
                let sum: f64 = weights.iter().sum();
                weights.iter_mut().for_each(|w| *w /= sum);
                Taps { first, weights }
            })
            .collect()
    }
}

/// The part of a picture that lies at `rows` × `columns` once all of it, `height` ×
/// `width` with `channels` samples a place, is `to` high and wide. The same bits where
/// the size stays.
pub fn resampled(
    data: &[f32],
    (height, width, channels): (usize, usize, usize),
    to: (usize, usize),
    (rows, columns): (Range<usize>, Range<usize>),
    filter: Filter,
) -> Vec<f32> {
    let (tall, wide) = (rows.len(), columns.len());
    let mut out = vec![0f32; tall * wide * channels];
    if out.is_empty() || data.len() < height * width * channels {
        return out;
    }
    if to == (height, width) {
        for (y, out) in rows.zip(out.chunks_exact_mut(wide * channels)) {
            let from = (y * width + columns.start) * channels;
            out.copy_from_slice(&data[from..from + wide * channels]);
        }
        return out;
    }
    let down = filter.taps(height, to.0, rows);
    let across = filter.taps(width, to.1, columns);
    let first = down.iter().map(|t| t.first).min().unwrap_or(0);
    let end = down.iter().map(|t| t.first + t.weights.len()).max();
    let kept = end.unwrap_or(0) - first;
    let mut narrow = vec![0f64; kept * wide * channels];
    for (y, out) in narrow.chunks_exact_mut(wide * channels).enumerate() {
        let row = &data[(first + y) * width * channels..][..width * channels];
        for (taps, out) in across.iter().zip(out.chunks_exact_mut(channels)) {
            let from = row[taps.first * channels..].chunks_exact(channels);
            for (weight, from) in taps.weights.iter().zip(from) {
                for (out, v) in out.iter_mut().zip(from) {
                    *out += weight * f64::from(*v);
                }
            }
        }
    }
    let mut sum = vec![0f64; wide * channels];
    for (taps, out) in down.iter().zip(out.chunks_exact_mut(wide * channels)) {
        sum.fill(0.);
        let from = narrow[(taps.first - first) * wide * channels..].chunks_exact(wide * channels);
        for (weight, from) in taps.weights.iter().zip(from) {
            for (sum, v) in sum.iter_mut().zip(from) {
                *sum += weight * v;
            }
        }
        for (out, sum) in out.iter_mut().zip(&sum) {
            *out = *sum as f32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(height: usize, width: usize) -> Vec<f32> {
        (0..height * width)
            .flat_map(|i| [(i % width) as f32, (i / width) as f32])
            .collect()
    }

    #[test]
    fn a_ramp_stays_a_ramp_and_a_window_is_a_part() {
        for filter in [Filter::Triangle, Filter::Cubic] {
            let (from, to) = ((12, 20), (24, 30));
            let all = resampled(
                &ramp(from.0, from.1),
                (from.0, from.1, 2),
                to,
                (0..to.0, 0..to.1),
                filter,
            );
            let at = |y: usize, x: usize| [all[(y * to.1 + x) * 2], all[(y * to.1 + x) * 2 + 1]];
            let [x, y] = at(12, 15);
            assert!(
                (x - (15.5 * 20. / 30. - 0.5)).abs() < 1e-3,
                "{filter:?} {x}"
            );
            assert!((y - (12.5 * 0.5 - 0.5)).abs() < 1e-3, "{filter:?} {y}");
            let part = resampled(
                &ramp(from.0, from.1),
                (from.0, from.1, 2),
                to,
                (5..9, 7..11),
                filter,
            );
            assert_eq!(part[..2], at(5, 7));
            assert_eq!(part[part.len() - 2..], at(8, 10));
        }
    }

    #[test]
    fn the_same_size_has_the_same_bits() {
        let data = [0.1f32, 7.3e4, -2.5, 1e-9, 0.3, 5.];
        let whole = (0..2, 0..3);
        assert_eq!(
            resampled(&data, (2, 3, 1), (2, 3), whole, Filter::Cubic),
            data
        );
    }

    #[test]
    fn the_mean_survives_a_smaller_size() {
        let data: Vec<f32> = (0..60 * 40).map(|i| (i * 37 % 101) as f32).collect();
        let mean = |d: &[f32]| d.iter().sum::<f32>() / d.len() as f32;
        let small = resampled(
            &data,
            (40, 60, 1),
            (10, 15),
            (0..10, 0..15),
            Filter::Triangle,
        );
        assert!((mean(&small) / mean(&data) - 1.).abs() < 0.01);
        let spread = |d: &[f32]| d.iter().fold(0f32, |m, v| m.max((v - mean(d)).abs()));
        assert!(spread(&small) < 0.5 * spread(&data), "averaged, not picked");
    }
}
