//! Fills a matte: where something covers a place, the place is shown as it was
//! at another time. Cells leave the plate before the matte arrives and come
//! home after it has gone; frames that show the matte are dead to them.

use super::edit_list::{Event, Kind, NEVER};
use super::features::{Features, NATURAL};
use super::parts::grown;
use super::plan::draw;
use super::playing::Playing;
use super::switch::{Ask, Bound, Budget, COST, FORBIDDEN, Room, Weights, fit};
use crate::device::{Cancelled, Task};
use crate::sampler::Philox;

/// What fills are decided on.
pub(super) struct Covered<'a> {
    pub(super) features: &'a Features,
    /// Frame by frame, a cell: whether the matte covers any of it.
    pub(super) matte: &'a [bool],
    pub(super) fps: f64,
    /// Number of output frames.
    pub(super) length: usize,
    /// Plate index less output index of the plate itself.
    pub(super) home: i32,
}

/// Rows and columns that the matte is grown by, since the maps of an edit list
/// are drawn smoothly between its cells.
const GROW: usize = 1;
/// Seconds that a clip should remain free of the matte.
const HORIZON: f64 = 1.5;
/// Seconds without the matte after which a cell comes home.
const CLEAR: f64 = 0.6;
/// Clips begun at most for one arrival of the matte.
const CLIPS: usize = 3;

/// The events that keep the matte out of sight.
pub(super) fn fill(
    c: &Covered<'_>,
    rng: &mut Philox,
    task: Task<'_>,
) -> Result<Vec<Event>, Cancelled> {
    let mut filler = Filler::new(c);
    let gap = (filler.window / 2).max(2);
    for at in (0..c.length.saturating_sub(1)).step_by(gap) {
        task.step("Filling the matte", at, c.length)?;
        for _ in 0..CLIPS {
            if !filler.leave(at, gap, rng, task)? {
                break;
            }
        }
        filler.come_home(at);
        filler.playing.retire(&mut filler.done, at, |_, _| {});
    }
    Ok(filler.events)
}

struct Filler<'a> {
    c: &'a Covered<'a>,
    /// The matte, grown.
    matte: Vec<bool>,
    /// For each frame and cell, how many frames before it are matted.
    before: Vec<u32>,
    /// Cells that the matte ever comes near.
    ever: Vec<bool>,
    window: usize,
    playing: Playing,
    done: usize,
    room: Room,
    events: Vec<Event>,
}

impl<'a> Filler<'a> {
    fn new(c: &'a Covered<'a>) -> Self {
        let f = c.features;
        let cells = f.cells();
        let mut matte = Vec::with_capacity(f.frames * cells);
        for t in 0..f.frames {
            let frame = &c.matte[t * cells..(t + 1) * cells];
            matte.extend(grown(frame, f.cols, f.rows, GROW));
        }
        let mut before = vec![0u32; (f.frames + 1) * cells];
        for t in 0..f.frames {
            for k in 0..cells {
                before[(t + 1) * cells + k] =
                    before[t * cells + k] + u32::from(matte[t * cells + k]);
            }
        }
        let any: Vec<bool> = (0..cells)
            .map(|k| before[f.frames * cells + k] > 0)
            .collect();
        let frames = f.frames;
        Self {
            matte,
            before,
            ever: grown(&any, f.cols, f.rows, 4),
            window: (libm::rint(0.4 * c.fps) as usize).clamp(4, (frames / 4).max(4)),
            playing: Playing::new(cells, c.home),
            done: 0,
            room: Room::default(),
            events: Vec::new(),
            c,
        }
    }

    /// Whether plate frame `p` shows the matte at cell `k`, or does not exist.
    fn dead(&self, p: i32, k: usize) -> bool {
        let f = self.c.features;
        usize::try_from(p).map_or(true, |p| p >= f.frames || self.matte[p * f.cells() + k])
    }

    /// How many of the plate frames `[a, b)` show the matte at cell `k`.
    fn matted(&self, a: i32, b: i32, k: usize) -> u32 {
        let f = self.c.features;
        let clip = |t: i32| t.clamp(0, f.frames as i32) as usize * f.cells() + k;
        self.before[clip(b)] - self.before[clip(a)]
    }

    /// Begins a clip for the cells that will show the matte, or run off the
    /// plate, before the next event would help them. False when there are none.
    fn leave(
        &mut self,
        at: usize,
        gap: usize,
        rng: &mut Philox,
        task: Task<'_>,
    ) -> Result<bool, Cancelled> {
        let f = self.c.features;
        let cells = f.cells();
        let last = (at + gap + self.window / 2).min(self.c.length);
        let mut bad = vec![false; cells];
        for t in at..last {
            let old = self.playing.at(t);
            for k in 0..cells {
                bad[k] |= self.dead(t as i32 + old[k], k);
            }
        }
        if !bad.contains(&true) {
            return Ok(false);
        }
        let costs = self.landings(at, &bad, task)?;
        let heat = 0.35 * f64::from(NATURAL);
        let j = draw(&costs, heat, rng) as i32;
        let offset = j - at as i32;
        let window = self.window.min(self.c.length - 1 - at);
        let mut extra = vec![0i16; (window + 2) * cells];
        let mut gone = vec![false; cells];
        for u in 0..=window {
            let old = self.playing.at(at + u);
            for k in 0..cells {
                let new = j + u as i32;
                extra[u * cells + k] = if gone[k] || !self.ever[k] {
                    FORBIDDEN
                } else if self.matted(new, new + gap as i32, k) > 0 {
                    (60 * COST) as i16
                } else {
                    0
                };
                gone[k] |= self.dead((at + u) as i32 + old[k], k);
            }
        }
        for k in 0..cells {
            extra[(window + 1) * cells + k] = match (bad[k], self.ever[k]) {
                (true, _) => FORBIDDEN,
                (false, true) => 1,
                (false, false) => 0,
            };
        }
        self.go(at, offset, window, &extra);
        Ok(true)
    }

    /// How well each plate frame would do from `at` on for the cells `bad`:
    /// how often it shows the matte there, and how it agrees with the picture
    /// around them.
    fn landings(&self, at: usize, bad: &[bool], task: Task<'_>) -> Result<Vec<i64>, Cancelled> {
        let f = self.c.features;
        let cells = f.cells();
        let frames = f.frames as i32;
        let left = (self.c.length - at) as i32;
        let horizon = (libm::rint(HORIZON * self.c.fps) as i32).clamp(1, left.max(1));
        let around = grown(bad, f.cols, f.rows, 2);
        let inside: Vec<usize> = (0..cells).filter(|k| bad[*k]).collect();
        let ring: Vec<usize> = (0..cells).filter(|k| around[*k]).collect();
        let moments = [0, self.window / 2, self.window];
        let mut costs = Vec::with_capacity(f.frames);
        for j in 0..frames {
            if j % 32 == 0 {
                task.check()?;
            }
            let runs = horizon.min(frames - j);
            let shown: i64 = inside
                .iter()
                .map(|&k| i64::from(self.matted(j, j + runs, k)) + i64::from(horizon - runs))
                .sum();
            let share =
                shown * i64::from(20 * NATURAL) / (inside.len() as i64 * i64::from(horizon));
            let (mut sum, mut n) = (0i64, 0i64);
            for u in moments {
                let t = (at + u).min(self.c.length - 1) as i32;
                let new = (j + t - at as i32).min(frames - 1);
                let old = self.playing.at(t as usize);
                for &k in &ring {
                    let was = t + old[k];
                    if !self.dead(was, k) && !self.dead(new, k) {
                        sum += i64::from(f.jump(k, was as usize, new as usize).min(9 * NATURAL));
                        n += 1;
                    }
                }
            }
            let agrees = if n > 0 {
                sum / n
            } else {
                i64::from(9 * NATURAL)
            };
            let same = i64::from((j - at as i32 - self.c.home).abs() < 2) * i64::from(5 * NATURAL);
            costs.push(agrees + share + same);
        }
        Ok(costs)
    }

    /// Lets cells that the matte has left play the plate again.
    fn come_home(&mut self, at: usize) {
        let f = self.c.features;
        let cells = f.cells();
        let home = self.c.home;
        let clear = libm::rint(CLEAR * self.c.fps) as i32;
        let now = at as i32 + home;
        let ready: Vec<bool> = {
            let old = self.playing.at(at + self.window);
            (0..cells)
                .map(|k| {
                    old[k] != home && !self.dead(now, k) && self.matted(now, now + clear, k) == 0
                })
                .collect()
        };
        if ready.iter().filter(|r| **r).count() <= 6 {
            return;
        }
        let window = self.window.min(self.c.length - 1 - at);
        let mut extra = vec![0i16; (window + 2) * cells];
        let mut gone = vec![false; cells];
        for u in 0..=window {
            let old = self.playing.at(at + u);
            for k in 0..cells {
                if !ready[k] || gone[k] {
                    extra[u * cells + k] = FORBIDDEN;
                }
                gone[k] |= self.dead((at + u) as i32 + old[k], k);
            }
        }
        for k in 0..cells {
            extra[(window + 1) * cells + k] = match ready[k] {
                true if gone[k] => FORBIDDEN,
                true => (3 * COST / 2) as i16,
                false => 0,
            };
        }
        self.go(at, home, window, &extra);
    }

    fn go(&mut self, at: usize, offset: i32, window: usize, extra: &[i16]) {
        let f = self.c.features;
        let ask = Ask {
            at,
            offset,
            window,
            extra,
            life: 8,
            bound: Bound::NONE,
        };
        let free = Budget { step: 0, rounds: 0 };
        let times = fit(
            f,
            &self.playing,
            &ask,
            &Weights::default(),
            free,
            &mut self.room,
        )
        .remove(0);
        let switch: Vec<u8> = times
            .iter()
            .map(|&s| if usize::from(s) > window { NEVER } else { s })
            .collect();
        if switch.iter().all(|s| *s == NEVER) {
            return;
        }
        self.playing.lay(at, offset, window, &switch);
        self.events.push(Event {
            at: at as u32,
            offset,
            window: window as u8,
            switch,
            kind: Kind::Aside,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of four by four cells goes across a place that flickers.
    #[test]
    fn a_passing_subject_is_never_shown() {
        let (cols, rows, frames) = (24usize, 16usize, 40usize);
        let mut matte = vec![false; cols * rows * frames];
        let mut colour = vec![0f32; cols * rows * frames * 3];
        for t in 0..frames {
            for y in 0..rows {
                for x in 0..cols {
                    let k = t * cols * rows + y * cols + x;
                    let covered = (6..10).contains(&y) && x + 8 >= t && x + 4 < t;
                    matte[k] = covered;
                    let wave = ((t * 3 + x * 5 + y) % 7) as f32 / 40.0;
                    for c in 0..3 {
                        colour[k * 3 + c] = if covered { 0.9 } else { 0.3 + wave };
                    }
                }
            }
        }
        let features = Features::of(&colour, cols, rows, frames, &|_| false);
        let covered = Covered {
            features: &features,
            matte: &matte,
            fps: 10.0,
            length: frames,
            home: 0,
        };
        let task = Task::quiet();
        let mut rng = Philox::new(1, [0; 3]);
        let events = fill(&covered, &mut rng, task).unwrap();
        let mut offsets = vec![0i32; cols * rows];
        for t in 0..frames {
            for e in &events {
                for (o, &s) in offsets.iter_mut().zip(&e.switch) {
                    if s != NEVER && e.at as usize + usize::from(s) == t {
                        *o = e.offset;
                    }
                }
            }
            for k in 0..cols * rows {
                let p = (t as i32 + offsets[k]) as usize;
                let shown = p >= frames || matte[p * cols * rows + k];
                assert!(!shown, "frame {t}, cell {k} shows plate frame {p}");
            }
        }
        assert!(offsets.iter().filter(|o| **o == 0).count() * 2 > cols * rows);
    }
}
