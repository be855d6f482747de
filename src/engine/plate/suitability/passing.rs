//! What passes through the picture once.

use crate::engine::plate::features::Features;

/// Share of [`passing`] from which something passes: of water, flames,
/// flags and steam it is at most .013, of a boat that crosses a lake .21.
pub(super) const PASSING: f64 = 0.1;

/// Share of the moving cells that mostly rest and depart from rest once, far
/// and for a while: what passes through, in contrast to what plays. Of a plate that
/// changes `one_way`, what is away at an end of it is a part of that change.
pub(super) fn passing(f: &Features, fps: f64, one_way: bool) -> f64 {
    let cells = f.cells();
    let n = f.frames;
    let (mut once, mut moving) = (0usize, 0usize);
    let mut values = vec![0i32; n];
    for c in 0..cells {
        for t in 0..n {
            values[t] = i32::from(f.luma[t * cells + c]);
        }
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let rest = sorted[n / 2];
        let reach = (sorted[n - 1] - rest).max(rest - sorted[0]);
        if reach < 160 {
            continue;
        }
        moving += 1;
        let away: Vec<bool> = values
            .iter()
            .map(|v| (v - rest).abs() * 3 > reach)
            .collect();
        let visits = away.chunk_by(|a, b| a == b).filter(|r| r[0]).count();
        let long = away.iter().filter(|a| **a).count();
        let at_end = away[0] || away[n - 1];
        if visits == 1 && !(one_way && at_end) && long as f64 > 0.12 * fps && long * 2 < n {
            once += 1;
        }
    }
    if moving * 50 < cells {
        0.0
    } else {
        once as f64 / moving as f64
    }
}
