//! Drift: how far the light and the colour of a sequence go from where they begin, by
//! means over whole seconds, since what is shorter is flicker.

use super::profile::{Profile, least_and_most, mean};

/// Frames of a second.
fn second(fps: f64) -> usize {
    (fps.round() as usize).max(1)
}

/// Largest difference of a second's mean from the mean of the first made
/// second, over `unit`.
pub(super) fn drift(profile: &Profile, made: &[bool], fps: f64, unit: f64) -> Option<f64> {
    let lumas: Vec<f64> = profile
        .luma
        .iter()
        .zip(made)
        .filter(|m| *m.1)
        .map(|m| *m.0)
        .collect();
    let means: Vec<f64> = lumas
        .chunks_exact(second(fps))
        .map(|s| mean(s.iter().copied()))
        .collect();
    let first = *means.first()?;
    (unit > 0.0).then(|| {
        means
            .iter()
            .map(|m| (m - first).abs() / unit)
            .fold(0.0, f64::max)
    })
}

/// Largest difference of any channel's mean over a second from that over the
/// first, over `unit`.
pub(super) fn colour_drift(means: &[[f64; 3]], fps: f64, unit: f64) -> Option<f64> {
    let second = second(fps);
    let mean = |s: &[[f64; 3]], c: usize| mean(s.iter().map(|m| m[c]));
    let first = means.chunks_exact(second).next()?;
    let furthest = means
        .chunks_exact(second)
        .flat_map(|s| (0..3).map(move |c| (mean(s, c) - mean(first, c)).abs()))
        .fold(0.0, f64::max);
    (unit > 0.0).then(|| furthest / unit)
}

/// The largest difference of any channel's mean over one second of a plate from that over
/// another, over `unit`.
pub(super) fn own_colour_drift(means: &[[f64; 3]], fps: f64, unit: f64) -> Option<f64> {
    let channels = (0..3).filter_map(|c| {
        let of: Vec<f64> = means.iter().map(|m| m[c]).collect();
        least_and_most(&of, second(fps)).map(|[least, most]| most - least)
    });
    let furthest = channels.reduce(f64::max)?;
    (unit > 0.0).then(|| furthest / unit)
}
