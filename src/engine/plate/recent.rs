//! What was shown of late, and the jumps that were taken: where one comes back soon, a
//! rhythm begins.

use std::collections::VecDeque;

use super::plan::Change;

/// Seconds in which neither a jump nor what was shown should come back.
pub(super) const SOON: f64 = 10.0;
/// Jumps are alike whose lengths differ by less than this, in seconds.
const ALIKE: f64 = 0.25;

/// The jumps of the last seconds.
pub(super) struct Recent {
    /// Plate frame jumped from, and to.
    jumps: Vec<(usize, usize)>,
    alike: usize,
    window: usize,
}

impl Recent {
    /// Those of `changes`, from a clip that showed plate frame `start` at frame 0, that
    /// a jump at frame `t` could repeat. A jump takes `window` frames.
    pub(super) fn new(start: usize, changes: &[Change], t: usize, fps: f64, window: usize) -> Self {
        let soon = t.saturating_sub((SOON * fps) as usize);
        let before = std::iter::once(start as i32).chain(changes.iter().map(|c| c.offset));
        let jumps = changes
            .iter()
            .zip(before)
            .filter(|(c, _)| c.at >= soon)
            .map(|(c, before)| {
                let shown = |offset: i32| (c.at as i32 + offset).max(0) as usize;
                (shown(before), shown(c.offset))
            })
            .collect();
        Self {
            jumps,
            alike: libm::rint(ALIKE * fps) as usize,
            window,
        }
    }

    /// Whether the jump from plate frame `i` to `k` brings frames together that one of
    /// these did.
    pub(super) fn has(&self, i: usize, k: usize) -> bool {
        self.jumps.iter().any(|&(from, to)| {
            (k + from).abs_diff(i + to) < self.alike && i.abs_diff(from) < self.window
        })
    }
}

/// How often each plate frame was shown in the last seconds of a walk.
pub(super) struct Shown {
    /// The plate frames in the order that they were shown in, of the last `within`.
    played: VecDeque<usize>,
    within: usize,
    counts: Vec<u32>,
}

impl Shown {
    /// Of a plate of `frames` frames, in the last `within` frames of the walk.
    pub(super) fn new(frames: usize, within: usize) -> Self {
        Self {
            played: VecDeque::with_capacity(within + 1),
            within,
            counts: vec![0; frames],
        }
    }

    /// The walk goes on with these plate frames.
    pub(super) fn show(&mut self, frames: std::ops::Range<usize>) {
        for j in frames {
            self.played.push_back(j);
            self.counts[j] += 1;
            if self.played.len() > self.within
                && let Some(old) = self.played.pop_front()
            {
                self.counts[old] -= 1;
            }
        }
    }

    /// For each plate frame how often the `window` frames from it on were shown, over
    /// the mean of all.
    pub(super) fn crowded(&self, window: usize) -> Vec<f64> {
        let n = self.counts.len();
        let mean = self.played.len() as f64 / n as f64;
        let mut sums = vec![0u32; n + 1];
        for i in 0..n {
            sums[i + 1] = sums[i] + self.counts[i];
        }
        let shown = |i: usize| sums[(i + window).min(n)] - sums[i];
        (0..n)
            .map(|i| f64::from(shown(i)) / window as f64 / mean.max(0.3))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_back_where_it_brings_the_same_frames_together_within_ten_seconds() {
        let change = |at, offset| Change { at, offset };
        // At 24 frames a second: from 60 to 10 at frame 30, from 70 to 50 at 90.
        let changes = [change(30, -20), change(90, -40)];
        let recent = |t| Recent::new(30, &changes, t, 24.0, 20);
        assert!(recent(120).has(60, 10));
        assert!(recent(120).has(75, 25), "the same frames, a little later");
        assert!(recent(120).has(62, 15), "nearly the same");
        assert!(!recent(120).has(62, 20), "another length");
        assert!(!recent(120).has(85, 35), "none of its frames");
        assert!(recent(271).has(70, 50), "ten seconds after the first");
        assert!(!recent(271).has(60, 10), "but not of the second");
    }

    #[test]
    fn frames_are_crowded_where_they_were_shown_of_late() {
        let mut shown = Shown::new(6, 4);
        shown.show(0..3);
        // Three of six frames were shown once: half of that is the mean.
        assert_eq!(shown.crowded(2), [2.0, 2.0, 1.0, 0.0, 0.0, 0.0]);
        // Frames 0 and 1 are forgotten for 4 and 5.
        shown.show(3..6);
        let mean = 4.0 / 6.0;
        let found = shown.crowded(2);
        let right = [0.0, 0.5, 1.0, 1.0, 1.0, 0.5].map(|c| c / mean);
        assert!(found.iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
