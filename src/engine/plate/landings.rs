//! Which clips would do for a change, and when it may begin: the planned jump,
//! and the jumps near it that fit what comes after.

use super::carry::Carrier;
use super::plan::Change;
use super::recent::Recent;

/// Other clips that are tried for a change, beside the planned one: when it is
/// planned, and a little before and after.
const OTHERS: usize = 5;
const OTHERS_APART: usize = 3;
/// Seconds by which a change may come before or after its plan.
const SHIFT: f64 = 0.16;

impl Carrier<'_> {
    /// Frames by which a change may come before or after its plan.
    pub(super) fn shift(&self) -> usize {
        libm::rint(SHIFT * self.g.fps) as usize
    }

    /// When a change may begin and the offsets that would do then, the planned
    /// ones first.
    pub(super) fn candidates(
        &self,
        changes: &[Change],
        index: usize,
        before: i32,
        within: std::ops::RangeInclusive<usize>,
    ) -> Vec<(usize, i32)> {
        let Change { at, offset } = changes[index];
        let shift = self.shift();
        let mut out = vec![(at, offset)];
        for (at, others) in [
            (at, OTHERS),
            (at.saturating_sub(shift), OTHERS_APART),
            (at + shift, OTHERS_APART),
        ] {
            let apart = changes.get(index + 1).map_or(self.stretch.length, |c| c.at);
            if !within.contains(&at) || at + 2 * shift >= apart {
                continue;
            }
            let landings = self.landings(changes, index, at, before);
            out.extend(landings.into_iter().take(others + 1).map(|o| (at, o)));
        }
        out.retain(|(at, offset)| *at as i32 + offset >= 0);
        out.retain(|c| *c == (at, offset) || self.clear(changes, index, before, *c));
        if self.style.taste.back > 0.0 {
            let recent = Recent::new(
                self.start,
                &changes[..index],
                at,
                self.g.fps,
                self.g.jumps.window,
            );
            let shown = |at: usize, offset: i32| (at as i32 + offset).max(0) as usize;
            out.retain(|&c| c == (at, offset) || !recent.has(shown(c.0, before), shown(c.0, c.1)));
        }
        let mut seen = std::collections::HashSet::new();
        out.retain(|c| seen.insert(*c));
        out
    }

    /// Whether neither the clip that ends (`before`) nor the one that begins shows
    /// a frame that is left out, if the change is `at` and to `offset`.
    fn clear(
        &self,
        changes: &[Change],
        index: usize,
        before: i32,
        (at, offset): (usize, i32),
    ) -> bool {
        let jumps = &self.g.jumps;
        // The end of the plate is minded elsewhere.
        let shows = |from: i32, count: usize| {
            let from = from.max(0) as usize;
            let run = jumps.run(from);
            from + run >= jumps.frames || run >= count
        };
        let next = changes
            .get(index + 1)
            .map_or(self.stretch.length, |c| c.at + jumps.window);
        let planned = changes[index].at.min(at);
        shows(planned as i32 + before, at - planned + jumps.window + 1)
            && shows(at as i32 + offset, next - at)
    }

    /// Offsets that would do for a change that begins at `at`, the planned one
    /// first.
    fn landings(&self, changes: &[Change], index: usize, at: usize, before: i32) -> Vec<i32> {
        let n = self.g.fine.features.frames as i32;
        let jumps = &self.g.jumps;
        let Change { offset, .. } = changes[index];
        let at = at as i32;
        let mut out = vec![offset];
        let next = changes.get(index + 1);
        let given = self.stretch.end.is_some() || self.stretch.closed;
        if next.is_none() && given {
            return out;
        }
        let from = at + before;
        if from < 0 || from >= n {
            return out;
        }
        let need = match next {
            Some(c) => c.at as i32 - at + jumps.window as i32,
            None => self.stretch.length as i32 - 1 - at,
        };
        let mut found: Vec<(i32, i32)> = Vec::new();
        for l in &jumps.from[from as usize] {
            let to = l.to as i32;
            if need >= jumps.run(l.to as usize) as i32 {
                continue;
            }
            let out = match next {
                None => 0,
                Some(c) => {
                    let leave = to + c.at as i32 - at;
                    let land = c.at as i32 + c.offset;
                    match jumps.cost(leave.max(0) as usize, land.max(0) as usize) {
                        Some(cost) => cost,
                        None => continue,
                    }
                }
            };
            found.push((l.cost + out, to - at));
        }
        found.sort_unstable();
        for (_, o) in found {
            if out.len() > OTHERS {
                break;
            }
            if out.iter().all(|have| (have - o).abs() >= 3) {
                out.push(o);
            }
        }
        out
    }
}
