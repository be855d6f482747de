//! What a region that is kept from the plate plays: the plate's own consecutive
//! time, cut as seldom as the plate's length allows.

use crate::device::{Cancelled, Task};
use crate::engine::plate::jumps::Jumps;
use crate::engine::plate::plan::{Change, Plan, Stretch};

/// No way from here.
const BLOCKED: i64 = 1 << 50;
/// What a cut is dear, in natural jumps: one more than the fewest is made only
/// where the fewest would need a jump that is far worse.
const CUT: f64 = 25.0;

/// How what is held out is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Frames that each clip lasts, at least.
    pub(super) shortest: usize,
    /// Frames that a cut takes around it, before an end that is given.
    pub(super) window: usize,
}

/// The clips that follow one another with the fewest cuts, and of those the least
/// seen.
pub(super) fn seldom(
    s: &Stretch,
    jumps: &Jumps,
    pace: Pace,
    task: Task<'_>,
) -> Result<Plan, Cancelled> {
    if s.closed {
        let last = jumps.frames.saturating_sub(1);
        let step = (jumps.frames / 24).max(1);
        let mut best: Option<(i64, Plan)> = None;
        for first in (0..=last).step_by(step) {
            let costs = Costs::new(s, Some(first), jumps, pace, task)?;
            let cost = costs.at(0, first);
            if best.as_ref().is_none_or(|b| cost < b.0) {
                best = Some((cost, costs.plan(first)));
            }
        }
        if let Some((_, plan)) = best {
            return Ok(plan);
        }
    }
    let costs = Costs::new(s, s.end, jumps, pace, task)?;
    let cheapest = || (0..jumps.frames).min_by_key(|j| costs.at(0, *j));
    let start = s.start.or_else(cheapest).unwrap_or(0);
    Ok(costs.plan(start))
}

/// The cheapest future of a clip that shows plate frame `j` at frame `t`.
struct Costs<'a> {
    s: &'a Stretch,
    end: Option<usize>,
    jumps: &'a Jumps,
    shortest: usize,
    /// The last frame at which there may be a cut.
    last: usize,
    cut: i64,
    cost: Vec<i64>,
}

impl<'a> Costs<'a> {
    fn new(
        s: &'a Stretch,
        end: Option<usize>,
        jumps: &'a Jumps,
        pace: Pace,
        task: Task<'_>,
    ) -> Result<Self, Cancelled> {
        let n = jumps.frames;
        let mut costs = Self {
            s,
            end,
            jumps,
            shortest: pace.shortest.max(1),
            last: s.length.saturating_sub(end.map_or(1, |_| pace.window + 1)),
            cut: libm::rint(CUT * jumps.natural) as i64,
            cost: vec![BLOCKED; (s.length + 1) * n],
        };
        // The best cut at a frame or later along the clip, of the frames that are still
        // looked at.
        let rows = costs.shortest + 1;
        let mut ahead = vec![BLOCKED; rows * n];
        for t in (0..=s.length).rev() {
            if t % 16 == 0 {
                task.check()?;
            }
            let later = |k: usize| ((t + k) % rows) * n;
            for j in 0..n {
                let (q, i) = (t + costs.shortest, j + costs.shortest);
                costs.cost[t * n + j] = if costs.runs_out(t, j) {
                    0
                } else if q <= s.length && jumps.run(j) > costs.shortest {
                    ahead[later(costs.shortest) + i]
                } else {
                    BLOCKED
                };
            }
            for i in 0..n {
                let mut best = BLOCKED;
                if t <= costs.last {
                    for l in &jumps.from[i] {
                        best = best.min(costs.taken(t, l.cost, l.to as usize));
                    }
                }
                if t < s.length && jumps.run(i) > 1 {
                    best = best.min(ahead[later(1) + i + 1]);
                }
                ahead[later(0) + i] = best;
            }
        }
        Ok(costs)
    }

    fn at(&self, t: usize, j: usize) -> i64 {
        self.cost[t * self.jumps.frames + j]
    }

    fn taken(&self, t: usize, cost: i32, to: usize) -> i64 {
        i64::from(cost) + self.cut + self.at(t, to)
    }

    fn runs_out(&self, t: usize, j: usize) -> bool {
        let left = self.s.length - t;
        match self.end {
            None => self.jumps.run(j) >= left,
            Some(e) => j + left == e && (self.jumps.run(j) >= left || left == 0),
        }
    }

    /// The cheapest way from plate frame `start`.
    fn plan(&self, start: usize) -> Plan {
        let mut changes = Vec::new();
        let (mut t, mut j) = (0, start);
        // The first clip may be left at once: it began before.
        let mut shortest = if self.s.start.is_some() {
            0
        } else {
            self.shortest
        };
        while !self.runs_out(t, j) {
            let mut best: Option<(i64, usize, usize)> = None;
            for r in shortest..self.jumps.run(j).min((self.last + 1).saturating_sub(t)) {
                for l in &self.jumps.from[j + r] {
                    let cost = self.taken(t + r, l.cost, l.to as usize);
                    // The latest of equals, so that a clip is not left early.
                    if cost < BLOCKED && best.is_none_or(|b| cost <= b.0) {
                        best = Some((cost, r, l.to as usize));
                    }
                }
            }
            let Some((_, r, to)) = best else {
                self.force(t, j, &mut changes);
                break;
            };
            t += r;
            j = to;
            changes.push(Change {
                at: t,
                offset: to as i32 - t as i32,
            });
            shortest = self.shortest;
        }
        Plan { start, changes }
    }

    /// Gets to the end by a cut that was not compared, in the middle of where one
    /// can be.
    fn force(&self, t: usize, j: usize, changes: &mut Vec<Change>) {
        let Some(end) = self.end else { return };
        let offset = end as i32 - self.s.length as i32;
        let first = (t as i32).max(-offset);
        let last = (t + self.jumps.frames - 1 - j.min(self.jumps.frames - 1)) as i32;
        let at = ((first + last.min(self.s.length as i32)) / 2).max(first);
        changes.push(Change {
            at: at.max(0) as usize,
            offset,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::gpu::Choice;
    use crate::engine::plate::features::Features;

    /// A plate of 40 frames that comes back to itself every ten.
    fn jumps() -> Jumps {
        let (cols, rows, frames) = (6, 4, 40);
        let mut colour = Vec::new();
        for t in 0..frames {
            for c in 0..cols * rows {
                let turn = std::f64::consts::TAU * (t as f64 / 10.0 + c as f64 / 24.0);
                let v = (0.5 + 0.3 * libm::sin(turn)) as f32;
                colour.extend([v, 0.5 * v, 0.2]);
            }
        }
        let features = Features::of(&colour, cols, rows, frames, &|_| false);
        Jumps::new(&features, 3, 10.0, &[], None, Choice::Cpu, Task::quiet()).unwrap()
    }

    fn plan(start: Option<usize>, end: Option<usize>, length: usize, closed: bool) -> Plan {
        let s = Stretch {
            length,
            start,
            end,
            closed,
        };
        let pace = Pace {
            shortest: 5,
            window: 2,
        };
        seldom(&s, &jumps(), pace, Task::quiet()).unwrap()
    }

    /// The plate frame of each frame.
    fn frames(p: &Plan, length: usize) -> Vec<i32> {
        (0..=length)
            .map(|t| {
                let change = p.changes.iter().rev().find(|c| c.at <= t);
                t as i32 + change.map_or(p.start as i32, |c| c.offset)
            })
            .collect()
    }

    #[test]
    fn within_the_plate_there_is_no_cut() {
        assert_eq!(plan(Some(4), None, 30, false).changes, []);
        assert_eq!(plan(Some(4), Some(34), 30, false).changes, []);
        assert_eq!(plan(None, None, 36, false).changes, []);
    }

    #[test]
    fn beyond_it_there_are_the_fewest_and_they_are_not_seen() {
        for length in [50usize, 100, 200] {
            let p = plan(Some(20), None, length, false);
            let shown = frames(&p, length - 1);
            assert!(shown.iter().all(|j| (0..40).contains(j)), "{shown:?}");
            // 16 to 20 frames are left of the first clip, later ones have 30 to 36
            // (it leaves in phase, and the last three frames cannot be left).
            let fewest = (length - 20).div_ceil(40);
            assert!(p.changes.len() >= fewest, "{:?}", p.changes);
            assert!(
                p.changes.len() <= (length - 16).div_ceil(30),
                "{:?}",
                p.changes
            );
            for c in shown.windows(2).filter(|c| c[1] != c[0] + 1) {
                assert_eq!((c[1] - c[0] - 1).rem_euclid(10), 0, "{shown:?}");
            }
        }
    }

    #[test]
    fn ends_that_are_given_are_reached_and_loops_close() {
        let p = plan(Some(3), Some(30), 60, false);
        assert_eq!(*frames(&p, 60).last().unwrap(), 30, "{:?}", p.changes);
        let p = plan(None, None, 57, true);
        assert_eq!(*frames(&p, 57).last().unwrap(), p.start as i32);
        // Too short to get there by a jump that is natural.
        let p = plan(Some(3), Some(30), 4, false);
        assert_eq!(*frames(&p, 4).last().unwrap(), 30, "{:?}", p.changes);
    }
}
