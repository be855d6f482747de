//! Jumps taken of late: where one comes back soon, a rhythm begins.

use super::plan::Change;

/// Seconds in which a jump should not come back.
const SOON: f64 = 10.0;
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
}
