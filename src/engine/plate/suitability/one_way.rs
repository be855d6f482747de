//! Whether a plate changes one way and does not come back.

use std::ops::Range;

use crate::engine::plate::features::Features;

/// Where a plate begins to be one that does not come back, see [`one_way`].
pub(super) const ONE_WAY: f64 = 1.5;

/// How the distance of frames grows with their distance in time: the mean
/// difference of the first and the last sixth of the frames `of` the plate over the
/// mean difference of frames at most a sixth apart.
pub(super) fn one_way(f: &Features, of: Range<usize>) -> f64 {
    let n = of.len();
    let part = (n / 6).max(1);
    let cells = f.cells();
    let apart = |a: usize, b: usize| -> f64 {
        let (a, b) = (
            &f.luma[(of.start + a) * cells..],
            &f.luma[(of.start + b) * cells..],
        );
        (0..cells)
            .map(|c| f64::from((i32::from(a[c]) - i32::from(b[c])).abs()))
            .sum()
    };
    let step = (part / 6).max(1);
    let (mut ends, mut m) = (0.0, 0.0);
    for a in (0..part).step_by(step) {
        for b in (n - part..n).step_by(step) {
            ends += apart(a, b);
            m += 1.0;
        }
    }
    ends /= m;
    // Several distances, since what swings may be back after one of them.
    let near = [1, 2, 3, 4]
        .map(|k| {
            let lag = (part * k / 4).max(1);
            let starts = (0..n - lag).step_by(step);
            let m = starts.len() as f64;
            starts.map(|a| apart(a, a + lag)).sum::<f64>() / m
        })
        .into_iter()
        .fold(0.0, f64::max);
    if near < 1.0 { 1.0 } else { ends / near }
}

/// The longest stretch of a plate that changes one way, of two seconds and more, that
/// comes back; of equally long ones that which does so most.
pub(super) fn steadiest(f: &Features, fps: f64) -> Option<Range<usize>> {
    let n = f.frames;
    let least = (libm::rint(2.0 * fps) as usize).max(12);
    // Tenths of the plate are told apart.
    let step = (n / 10).max(1);
    let mut length = n.saturating_sub(step);
    while length >= least {
        let starts = (0..n - length).step_by(step).chain([n - length]);
        let best = starts
            .map(|s| (one_way(f, s..s + length), s))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|b| b.0 < ONE_WAY);
        if let Some((_, start)) = best {
            return Some(start..start + length);
        }
        length = if length > least {
            length.saturating_sub(step).max(least)
        } else {
            0
        };
    }
    None
}
