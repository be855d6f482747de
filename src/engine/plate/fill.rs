//! Fills a matte: where something covers a place, the place is shown as it was
//! at another time. Cells leave the plate before the matte arrives and come
//! home after it has gone; frames that show the matte are dead to them.

use super::edit_list::{Event, Kind, LONGEST, NEVER};
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
/// Clips begun at most for one arrival of the matte: while some place would show it,
/// and where that is only to come.
const CLIPS: usize = 12;
const CLIPS_AHEAD: usize = 3;
/// Fewest frames in a row without the matte that can stand for a place: what is seen for
/// less flickers where it is shown again and again.
const BRIEFEST: u32 = 4;
/// The price of a frame in which a cell shows the matte.
const SHOWN: i32 = 3_000;

/// What a clip costs that helps no place.
const HELPLESS: i64 = 1 << 40;

/// The events that keep the matte out of sight.
pub(super) fn fill(
    c: &Covered<'_>,
    rng: &mut Philox,
    task: Task<'_>,
) -> Result<Vec<Event>, Cancelled> {
    let mut filler = Filler::new(c);
    for at in (0..c.length.saturating_sub(1)).step_by(filler.gap) {
        task.step("Filling the matte", at, c.length)?;
        filler.leave(at, rng, task)?;
        filler.come_home(at);
        filler.playing.retire(&mut filler.done, at, |_, _| {});
    }
    Ok(filler.events)
}

struct Filler<'a> {
    c: &'a Covered<'a>,
    /// For each plate frame and cell, how many frames from it on do not show the matte.
    free: Vec<u32>,
    /// Cells that the matte ever comes near, and those that it leaves never, or for too
    /// short a time.
    ever: Vec<bool>,
    hidden: Vec<bool>,
    /// Frames that a change takes at most, and frames from one chance of a change to
    /// the next: no more than any place is free of the matte.
    window: usize,
    gap: usize,
    playing: Playing,
    done: usize,
    room: Room,
    events: Vec<Event>,
}

/// For each frame and cell of a matte, how many frames from it on do not show it, or what
/// the smooth drawing of an edit list's maps brings near.
fn free_of(matte: &[bool], cols: usize, rows: usize) -> Vec<u32> {
    let cells = cols * rows;
    let mut free = vec![0u32; matte.len()];
    let mut after = vec![0u32; cells];
    let frames = free.chunks_exact_mut(cells).zip(matte.chunks_exact(cells));
    for (free, matte) in frames.rev() {
        let matted = grown(matte, cols, rows, GROW);
        for ((free, after), matted) in free.iter_mut().zip(&mut after).zip(matted) {
            *after = if matted { 0 } else { *after + 1 };
            *free = *after;
        }
    }
    free
}

/// The longest that each cell is free in a row, of what [`free_of`] tells.
fn longest(free: &[u32], cells: usize) -> Vec<u32> {
    let mut longest = vec![0u32; cells];
    for frame in free.chunks_exact(cells) {
        for (longest, n) in longest.iter_mut().zip(frame) {
            *longest = (*longest).max(*n);
        }
    }
    longest
}

/// Of cells that are free so long in a row at most, in a plate of `frames`: those that
/// the matte ever covers, and of these those that it leaves never, or for too short a time
/// to stand for them.
fn covered(longest: &[u32], frames: usize) -> (Vec<bool>, Vec<bool>) {
    let covered = longest.iter().map(|n| (*n as usize) < frames);
    let hidden = covered.clone().zip(longest);
    let hidden = hidden.map(|(covered, n)| covered && *n < BRIEFEST);
    (covered.collect(), hidden.collect())
}

/// The share of the cells that a matte covers at some time that it leaves never, or for
/// too short a time to stand for them; 0 of a matte that covers none.
pub(super) fn never_left(matte: &[bool], cols: usize, rows: usize) -> f64 {
    let cells = cols * rows;
    let longest = longest(&free_of(matte, cols, rows), cells);
    let (covered, hidden) = covered(&longest, matte.len() / cells.max(1));
    let count = |of: Vec<bool>| of.into_iter().filter(|b| *b).count();
    count(hidden) as f64 / count(covered).max(1) as f64
}

impl<'a> Filler<'a> {
    fn new(c: &'a Covered<'a>) -> Self {
        let f = c.features;
        let (frames, cells) = (f.frames, f.cells());
        let free = free_of(c.matte, f.cols, f.rows);
        let longest = longest(&free, cells);
        let (covered, hidden) = covered(&longest, frames);
        let window = (libm::rint(0.4 * c.fps) as usize).clamp(4, (frames / 4).clamp(4, LONGEST));
        let briefest = longest.into_iter().filter(|n| *n >= BRIEFEST).min();
        let briefest = briefest.unwrap_or(BRIEFEST) as usize;
        Self {
            free,
            ever: grown(&covered, f.cols, f.rows, 4),
            hidden,
            window,
            gap: (window / 2).min(briefest - 1),
            playing: Playing::new(cells, c.home),
            done: 0,
            room: Room::default(),
            events: Vec::new(),
            c,
        }
    }

    /// For how many frames from `p` on the plate does not show the matte at cell `k`,
    /// or end.
    fn free(&self, p: i32, k: usize) -> usize {
        let f = self.c.features;
        let p = usize::try_from(p).ok().filter(|p| *p < f.frames);
        p.map_or(0, |p| self.free[p * f.cells() + k] as usize)
    }

    /// For how many frames from `at` on each cell shows no matte as things stand, up to
    /// `most`.
    fn lasts(&self, at: usize, most: usize) -> Vec<usize> {
        let mut lasts = vec![most; self.c.features.cells()];
        for u in (0..most).rev() {
            let old = self.playing.at(at + u);
            for (k, last) in lasts.iter_mut().enumerate() {
                if self.free((at + u) as i32 + old[k], k) == 0 {
                    *last = u;
                }
            }
        }
        lasts
    }

    /// Begins clips for the cells that will show the matte, or run off the plate,
    /// before the next event would help them.
    fn leave(&mut self, at: usize, rng: &mut Philox, task: Task<'_>) -> Result<(), Cancelled> {
        let left = self.c.length - at;
        let (next, ahead) = (self.gap.min(left), (self.gap + self.window / 2).min(left));
        for number in 0..CLIPS {
            let lasts = self.lasts(at, ahead.max(self.window + 1).min(left));
            let within = |frames: usize| -> Vec<bool> {
                let hidden = lasts.iter().zip(&self.hidden);
                hidden.map(|(n, hidden)| !hidden && *n < frames).collect()
            };
            let (now, soon) = (within(next), within(ahead));
            let pressing = now.contains(&true);
            if !soon.contains(&true) || !pressing && number >= CLIPS_AHEAD {
                break;
            }
            let bad = if pressing { &now } else { &soon };
            let costs = self.landings(at, bad, &lasts, next, task)?;
            if costs.iter().all(|c| *c >= HELPLESS) {
                break;
            }
            let j = draw(&costs, 0.35 * f64::from(NATURAL), rng) as i32;
            self.begin(at, j, &lasts, &soon, next);
        }
        Ok(())
    }

    /// Begins the clip that shows plate frame `j` at `at`, where cells show no matte for
    /// `lasts` frames as things stand, and those that do not last are `soon`. The `next`
    /// chance is so many frames away.
    fn begin(&mut self, at: usize, j: i32, lasts: &[usize], soon: &[bool], next: usize) {
        let cells = self.c.features.cells();
        let window = self.window.min(self.c.length - 1 - at);
        let shown = |frames: usize| (frames as i32 * SHOWN).min(i32::from(FORBIDDEN));
        // For how long a cell that switches after `u` frames must show no matte.
        let needs = |u: usize| next.saturating_sub(u).max(1);
        let mut extra = vec![0i16; (window + 2) * cells];
        for (u, extra) in extra.chunks_exact_mut(cells).enumerate() {
            for (k, extra) in extra.iter_mut().enumerate() {
                let cost = match (self.ever[k], u <= window) {
                    _ if self.hidden[k] => 0,
                    (false, true) => i32::from(FORBIDDEN),
                    (false, false) => 0,
                    (true, true) => {
                        let before = u.saturating_sub(lasts[k]);
                        let after = needs(u).saturating_sub(self.free(j + u as i32, k));
                        shown(before + after)
                    }
                    (true, false) if lasts[k] < next => i32::from(FORBIDDEN),
                    (true, false) if soon[k] => 60 * COST,
                    (true, false) => 1,
                };
                *extra = cost as i16;
            }
        }
        let mut times = self.fitted(at, j - at as i32, window, &extra);
        // A labelling has no price that is surely paid: what would show the matte by it
        // and not without it stays, what would show it without goes when it must.
        for (k, time) in times
            .iter_mut()
            .enumerate()
            .filter(|(k, _)| !self.hidden[*k])
        {
            let u = usize::from(*time);
            let until = u + self.free(j + u as i32, k);
            if u <= window && until < next.min(lasts[k]) {
                *time = NEVER;
            }
            if !soon[k] {
                continue;
            }
            let due = lasts[k].min(window);
            let lasting = |u: usize| self.free(j + u as i32, k) >= needs(u);
            if lasts[k] < next && usize::from(*time) > due {
                *time = (0..=due)
                    .rev()
                    .find(|u| lasting(*u))
                    .map_or(*time, |u| u as u8);
            }
        }
        self.lay(at, j - at as i32, window, times);
    }

    /// How well each plate frame would do from `at` on for the cells `bad`, which show
    /// no matte for `lasts` frames: whether it shows the matte there before the `next`
    /// chance, for how long it does not, and how it agrees with the picture around them.
    fn landings(
        &self,
        at: usize,
        bad: &[bool],
        lasts: &[usize],
        next: usize,
        task: Task<'_>,
    ) -> Result<Vec<i64>, Cancelled> {
        let f = self.c.features;
        let cells = f.cells();
        let frames = f.frames as i32;
        let left = self.c.length - at;
        let horizon = (libm::rint(HORIZON * self.c.fps) as usize).clamp(1, left.max(1));
        let around = grown(bad, f.cols, f.rows, 2);
        let inside: Vec<usize> = (0..cells).filter(|k| bad[*k]).collect();
        let ring: Vec<usize> = (0..cells).filter(|k| around[*k]).collect();
        let moments = [0, self.window / 2, self.window];
        // The longest that it shows no matte there, whenever a cell switches.
        let lasting = |j: i32, k: usize| {
            let switches = 0..=lasts[k].min(self.window);
            let until = switches.map(|u| match self.free(j + u as i32, k) {
                0 => 0,
                free => free + u,
            });
            until.max().unwrap_or(0)
        };
        let mut costs = Vec::with_capacity(f.frames);
        for j in 0..frames {
            if j % 32 == 0 {
                task.check()?;
            }
            let (mut fails, mut short) = (0i64, 0i64);
            for &k in &inside {
                let lasting = lasting(j, k).min(horizon);
                fails += i64::from(lasting < next);
                short += (horizon - lasting) as i64;
            }
            let all = inside.len() as i64;
            if fails == all {
                costs.push(HELPLESS);
                continue;
            }
            let share = fails * i64::from(200 * NATURAL) / all
                + short * i64::from(20 * NATURAL) / (all * horizon as i64);
            let (mut sum, mut n) = (0i64, 0i64);
            for u in moments {
                let t = (at + u).min(self.c.length - 1) as i32;
                let new = (j + t - at as i32).min(frames - 1);
                let old = self.playing.at(t as usize);
                for &k in &ring {
                    let was = t + old[k];
                    if self.free(was, k) > 0 && self.free(new, k) > 0 {
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
        let left = self.c.length - at;
        let clear = (libm::rint(CLEAR * self.c.fps) as usize).min(left);
        let now = at as i32 + home;
        let old = self.playing.at(at + self.window);
        let ready: Vec<bool> = (0..cells)
            .map(|k| old[k] != home && self.free(now, k) >= clear.max(1))
            .collect();
        if ready.iter().filter(|r| **r).count() <= 6 {
            return;
        }
        let window = self.window.min(self.c.length - 1 - at);
        let mut extra = vec![0i16; (window + 2) * cells];
        let lasts = self.lasts(at, window + 1);
        for (u, extra) in extra.chunks_exact_mut(cells).enumerate() {
            for (k, extra) in extra.iter_mut().enumerate() {
                *extra = match (ready[k], u <= window) {
                    (false, true) => FORBIDDEN,
                    (false, false) => 0,
                    (true, true) if u > lasts[k] => FORBIDDEN,
                    (true, true) => 0,
                    (true, false) if lasts[k] <= window => FORBIDDEN,
                    (true, false) => (3 * COST / 2) as i16,
                };
            }
        }
        let mut times = self.fitted(at, home, window, &extra);
        // As in `begin`: what home still shows the matte at stays away, what must go goes.
        for (k, time) in times.iter_mut().enumerate() {
            *time = match (ready[k], usize::from(*time) > lasts[k]) {
                (false, _) => NEVER,
                (true, true) if lasts[k] <= window => lasts[k] as u8,
                (true, _) => *time,
            };
        }
        self.lay(at, home, window, times);
    }

    /// When each cell changes to the clip `offset`; past the `window` where it does not.
    fn fitted(&mut self, at: usize, offset: i32, window: usize, extra: &[i16]) -> Vec<u8> {
        let ask = Ask {
            at,
            offset,
            window,
            extra,
            life: 8,
            bound: Bound::NONE,
        };
        let free = Budget { step: 0, rounds: 0 };
        // What stands behind a matte is held together by what shows, not by the number
        // of borders.
        let weights = Weights {
            border: 1,
            ..Weights::default()
        };
        let f = self.c.features;
        fit(f, &self.playing, &ask, &weights, free, &mut self.room).remove(0)
    }

    fn lay(&mut self, at: usize, offset: i32, window: usize, times: Vec<u8>) {
        let switch: Vec<u8> = times
            .into_iter()
            .map(|s| if usize::from(s) > window { NEVER } else { s })
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

    const COLS: usize = 24;
    const ROWS: usize = 16;

    /// What is seen of a plate of so many frames that flickers, behind what covers a
    /// cell (`covers`: frame, column, row): how many cells of all frames show the
    /// cover, and how many end at home.
    fn filled(frames: usize, covers: impl Fn(usize, usize, usize) -> bool) -> (usize, usize) {
        filled_by(1, frames, covers)
    }

    /// The same with a seed.
    fn filled_by(
        seed: u64,
        frames: usize,
        covers: impl Fn(usize, usize, usize) -> bool,
    ) -> (usize, usize) {
        let mut matte = vec![false; COLS * ROWS * frames];
        let mut colour = vec![0f32; COLS * ROWS * frames * 3];
        for t in 0..frames {
            for y in 0..ROWS {
                for x in 0..COLS {
                    let k = (t * ROWS + y) * COLS + x;
                    matte[k] = covers(t, x, y);
                    let wave = ((t * 3 + x * 5 + y) % 7) as f32 / 40.0;
                    let value = if matte[k] { 0.9 } else { 0.3 + wave };
                    colour[k * 3..][..3].fill(value);
                }
            }
        }
        let features = Features::of(&colour, COLS, ROWS, frames, &|_| false);
        let covered = Covered {
            features: &features,
            matte: &matte,
            fps: 10.0,
            length: frames,
            home: 0,
        };
        let mut rng = Philox::new(seed, [0; 3]);
        let events = fill(&covered, &mut rng, Task::quiet()).unwrap();
        let mut offsets = Vec::new();
        let mut shown = 0;
        for t in 0..frames {
            // A later event of the list is laid over those before it.
            offsets = vec![0i32; COLS * ROWS];
            for e in events.iter().filter(|e| e.at as usize <= t) {
                for (o, &s) in offsets.iter_mut().zip(&e.switch) {
                    if s != NEVER && e.at as usize + usize::from(s) <= t {
                        *o = e.offset;
                    }
                }
            }
            for (k, o) in offsets.iter().enumerate() {
                let p = (t as i32 + o) as usize;
                shown += usize::from(p >= frames || matte[p * COLS * ROWS + k]);
            }
        }
        (shown, offsets.iter().filter(|o| **o == 0).count())
    }

    #[test]
    fn a_passing_subject_is_never_shown() {
        let block = |t, x, y| (6..10).contains(&y) && x + 8 >= t && x + 4 < t;
        let (shown, home) = filled(40, block);
        assert_eq!(shown, 0);
        assert!(home * 2 > COLS * ROWS);
    }

    /// Whatever the seed, also where what has come home must leave again at once.
    #[test]
    fn no_seed_shows_what_passes() {
        for seed in 0..20 {
            let small = |t: usize, x, y| (5..11).contains(&y) && (t..t + 5).contains(&(x + 6));
            assert_eq!(filled_by(seed, 40, small).0, 0, "seed {seed}");
            let two = |t: usize, x, y| small(t, x, y) || t >= 18 && small(t - 18, x, y);
            assert_eq!(filled_by(seed, 60, two).0, 0, "seed {seed}, two");
        }
    }

    /// What it covers is seen for a quarter of the time alone, so that the same frames
    /// must stand for it again and again.
    #[test]
    fn a_subject_that_stands_long_is_never_shown() {
        let place = |t: usize| {
            if t < 45 {
                9
            } else {
                (9 + 2 * (t - 45)).min(40)
            }
        };
        let block = |t, x, y| y > 4 && (place(t)..place(t) + 5).contains(&x);
        assert_eq!(filled(60, block).0, 0);
        // It sways, so that some places are seen for moments in between.
        let sways = |t: usize| {
            if t < 50 {
                9 + t / 3 % 4
            } else {
                9 + 3 * (t - 50)
            }
        };
        let block = |t, x, y| y > 4 && (sways(t)..sways(t) + 5).contains(&x);
        assert_eq!(filled(60, block).0, 0);
    }

    /// What is never left is told of what is covered, also of a plate of three frames.
    #[test]
    fn what_is_never_left_is_a_share_of_what_is_covered() {
        let share = |frames: usize, covers: &dyn Fn(usize, usize) -> bool| {
            let cells = (0..frames).flat_map(|t| (0..COLS * ROWS).map(move |k| (t, k % COLS)));
            let matte: Vec<bool> = cells.map(|(t, x)| covers(t, x)).collect();
            never_left(&matte, COLS, ROWS)
        };
        assert_eq!(share(3, &|_, _| false), 0.0);
        assert_eq!(share(3, &|t, x| t == 0 && x < 4), 1.0);
        assert_eq!(share(20, &|_, x| x < 4), 1.0);
        assert_eq!(share(20, &|t, x| t < 15 && x < 4), 0.0);
        // Nine columns for a while and, with what is drawn near, five of ten always.
        assert_eq!(share(20, &|t, x| x < 4 || t < 15 && x < 9), 0.5);
    }
}
