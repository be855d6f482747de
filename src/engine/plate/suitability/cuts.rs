//! Where a plate cuts to another shot.

use std::ops::Range;

use crate::engine::plate::features::Features;

/// Two pictures belong to one shot if they correlate more than this: of 21 shots of water,
/// fire, flags, people, cars and blinking lamps two frames in a row had .29 and more, of five
/// cuts at most .22.
const ALIKE: f64 = 0.4;
/// Share of the cells that change at a cut: lamps that are switched changed .23 at most, cuts
/// .82 and more.
const SHARE: f64 = 0.5;
/// What a cell must change to count, 4096 for white.
const CHANGE: i32 = 128;
/// A cut is a step of more than so many times those of the frames beside it: a flame stepped
/// 1.4 times as far, a picture on a cut 2.6 times and more. A flash has two such steps, and
/// is none.
const STANDS_OUT: f64 = 2.0;
/// How many steps before and after are looked at.
const BESIDE: usize = 3;
/// Least step that those beside are credited with, 4096 for white.
const NOISE: f64 = 8.0;

/// The frames that begin another shot, in order.
pub(super) fn cuts(f: &Features) -> Vec<usize> {
    let steps: Vec<f64> = (1..f.frames).map(|t| step(f, t)).collect();
    let stands_out = |i: usize| {
        let beside = i.saturating_sub(BESIDE)..(i + BESIDE + 1).min(steps.len());
        let most = beside
            .filter(|&j| j != i)
            .fold(NOISE, |most, j| steps[j].max(most));
        steps[i] > STANDS_OUT * most
    };
    (1..f.frames)
        .filter(|&t| stands_out(t - 1) && changed(f, t) > SHARE && alike(f, t) < ALIKE)
        .collect()
}

/// The longest of the shots that `cuts` leave of `frames` frames, the last of such.
pub(super) fn longest_shot(cuts: &[usize], frames: usize) -> Range<usize> {
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([frames]);
    starts
        .zip(ends)
        .map(|(start, end)| start..end)
        .max_by_key(Range::len)
        .unwrap_or(0..frames)
}

/// The luma of frames `t` - 1 and `t`, cell by cell.
fn pairs(f: &Features, t: usize) -> impl Iterator<Item = (i32, i32)> {
    let cells = f.cells();
    let frame = |t: usize| f.luma[t * cells..(t + 1) * cells].iter();
    let wide = |(a, b): (&i16, &i16)| (i32::from(*a), i32::from(*b));
    frame(t - 1).zip(frame(t)).map(wide)
}

/// Mean absolute difference of frame `t` from the one before.
fn step(f: &Features, t: usize) -> f64 {
    let sum: i64 = pairs(f, t).map(|(a, b)| i64::from((a - b).abs())).sum();
    sum as f64 / f.cells() as f64
}

/// Share of the cells that change from the frame before `t`.
fn changed(f: &Features, t: usize) -> f64 {
    let many = pairs(f, t).filter(|(a, b)| (a - b).abs() > CHANGE).count();
    many as f64 / f.cells() as f64
}

/// Correlation of frame `t` with the one before; 0 where either is of one colour.
fn alike(f: &Features, t: usize) -> f64 {
    let n = f.cells() as f64;
    let (mut a, mut b, mut aa, mut bb, mut ab) = (0i64, 0i64, 0i64, 0i64, 0i64);
    for (x, y) in pairs(f, t) {
        let (x, y) = (i64::from(x), i64::from(y));
        a += x;
        b += y;
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    let [a, b, aa, bb, ab] = [a, b, aa, bb, ab].map(|v| v as f64);
    let spread = libm::sqrt((n * aa - a * a).max(0.0) * (n * bb - b * b).max(0.0));
    if spread > 0.0 {
        (n * ab - a * b) / spread
    } else {
        0.0
    }
}
