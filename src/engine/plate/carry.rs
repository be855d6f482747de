//! Carries a plan out, change by change: when each cell changes clip, and to
//! which of the clips that would do.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::asides::field;
use super::edit_list::{Event, Kind, NEVER};
use super::features::{Features, NATURAL};
use super::ground::Ground;
use super::parts::{Mask, groups};
use super::plan::{Change, Plan, Stretch};
use super::playing::Playing;
use super::score::{Load, Marker, Own, load};
use super::solve::{Solution, Style};
use super::switch::{Ask, Bound, Budget, COST, FORBIDDEN, Rooms, Weights, fit};
use crate::device::{Cancelled, Task};
use crate::sampler::Philox;

/// A plate on a grid, and what it is like there.
pub(super) struct Level {
    pub(super) features: Features,
    pub(super) own: Own,
    /// Regions that change clip as one.
    pub(super) together: Vec<Mask>,
}

impl Level {
    pub(super) fn new(features: Features) -> Self {
        let own = Own::new(&features);
        Self {
            features,
            own,
            together: Vec::new(),
        }
    }
}

/// Clips that are tried for a change on the fine grid.
const FITTED: usize = 2;
/// The same while none is good, and while each steps too far: of a flag or of
/// cloth few clips do not.
const FITTED_BAD: usize = 3;
const FITTED_FAR: usize = 8;
/// How often a fit is mended to keep to what a frame may step. (On the coarse grid
/// too: a clip that can be mended is not passed over, so that fewer need be tried.)
const MENDS: usize = 3;
const MENDS_COARSE: usize = 2;
/// How much a change may load the eye, in all and by its steps, before more than a
/// few clips are tried.
const BAD: f64 = 8.0;
const FAR: f64 = 4.0;
/// Passes of the labellings on the coarse grid.
const QUICK: usize = 5;
/// How much a change may load the eye before other clips are tried.
const GOOD: f64 = 1.0;

/// The cell of a fine grid in the middle of cell `c` of a coarse one.
pub(super) fn nearest(fine: &Features, coarse: &Features, c: usize) -> usize {
    let (x, y) = (c % coarse.cols, c / coarse.cols);
    let (fx, fy) = (
        (2 * x + 1) * fine.cols / (2 * coarse.cols),
        (2 * y + 1) * fine.rows / (2 * coarse.rows),
    );
    fy * fine.cols + fx
}

/// What an event wishes of each cell.
pub(super) struct Wish<'a> {
    /// The price of not switching.
    pub(super) stay: &'a [i32],
    /// When, from 0 to 255 of the window, the cell would rather switch.
    pub(super) rather: &'a [u8],
    /// Whether a cell should have played its clip for a while.
    pub(super) settle: bool,
}

/// Carries a plan out.
pub(super) struct Carrier<'a> {
    pub(super) g: &'a Ground,
    pub(super) stretch: &'a Stretch,
    pub(super) style: &'a Style,
    /// Random numbers for each event.
    streams: &'a (dyn Fn(u32) -> Philox + Sync),
    /// Whether a take that will not score below a figure is worth going on with.
    worth: &'a (dyn Fn(f64) -> bool + Sync),
    pub(super) weights: Weights,
    /// What a natural jump costs, in [`COST`].
    pub(super) natural: i32,
    /// Frames before which each cell should not switch again.
    settled: Vec<u32>,
    pub(super) rooms: &'a Rooms,
    /// The plate index that plays at the first frame.
    pub(super) start: usize,
}

impl<'a> Carrier<'a> {
    pub(super) fn new(
        g: &'a Ground,
        stretch: &'a Stretch,
        style: &'a Style,
        streams: &'a (dyn Fn(u32) -> Philox + Sync),
        worth: &'a (dyn Fn(f64) -> bool + Sync),
        rooms: &'a Rooms,
        start: usize,
    ) -> Self {
        Self {
            g,
            stretch,
            style,
            streams,
            worth,
            weights: Weights::default(),
            natural: (libm::rint(g.jumps.natural) as i32 * COST / NATURAL).max(1),
            settled: vec![0; g.fine.features.cells()],
            rooms,
            start,
        }
    }

    /// Goes from event to event, from what is `playing`, or from the one clip that the
    /// plan starts with. Nothing where it was given up on the way, as not worth it.
    pub(super) fn carry(
        mut self,
        plan: Plan,
        playing: Option<&Playing>,
        task: Task<'_>,
    ) -> Result<Option<Solution>, Cancelled> {
        let Plan { start, mut changes } = plan;
        self.arrive(&mut changes, start);
        let g = self.g;
        let (f, own) = (&g.fine.features, &g.fine.own);
        let length = self.stretch.length;
        let clip = || Playing::new(f.cells(), start as i32);
        let mut playing = playing.cloned().unwrap_or_else(clip);
        let mut marker = Marker::new(f, g.fps, self.before());
        let mut events: Vec<Event> = Vec::new();
        let mut asides = self.aside_times(&changes, &mut (self.streams)(1));
        asides.reverse();
        let (mut done, mut next, mut number) = (0, 0, 2);
        loop {
            task.check()?;
            let aside = asides.last().copied();
            let at = match (changes.get(next), aside) {
                (None, None) => break,
                (Some(c), Some(a)) if a < c.at => a,
                (Some(c), _) => c.at,
                (None, Some(a)) => a,
            };
            let is_change = changes.get(next).is_some_and(|c| c.at == at);
            let shift = if is_change { self.shift() } else { 0 };
            playing.retire(&mut done, at.saturating_sub(1 + shift), |t, o| {
                marker.add(f, own, t, o);
            });
            if !(self.worth)(marker.so_far(length).score(own, self.style.novelty)) {
                return Ok(None);
            }
            let mut rng = (self.streams)(number);
            number += 1;
            let event = if is_change {
                let before = match next {
                    0 => start as i32,
                    i => changes[i - 1].offset,
                };
                // Events stay in order.
                let first = events.last().map_or(0, |e| e.at as usize + 2);
                let last = asides.last().map_or(length, |a| a.saturating_sub(1));
                let tries = self.candidates(&changes, next, before, first..=last.max(at));
                let event = self.change(&playing, at, tries, &rng, task)?;
                changes[next].at = event.at as usize;
                changes[next].offset = event.offset;
                next += 1;
                Some(event)
            } else {
                asides.pop();
                self.aside(&playing, at, &changes[next..], &mut rng, task)?
            };
            if let Some(e) = event {
                for (settled, &s) in self.settled.iter_mut().zip(&e.switch) {
                    if s != NEVER {
                        *settled = e.at + u32::from(s) + (0.25 * g.fps) as u32;
                    }
                }
                playing.lay(e.at as usize, e.offset, usize::from(e.window), &e.switch);
                events.push(e);
            }
        }
        playing.retire(&mut done, length, |t, o| marker.add(f, own, t, o));
        Ok(Some(Solution {
            start,
            events,
            marks: marker.marks(own),
        }))
    }

    /// The plate index that is shown before the stretch.
    fn before(&self) -> Option<usize> {
        self.stretch.start.and_then(|s| s.checked_sub(1))
    }

    /// What a frame may step: as far as the plate's own worst.
    fn budget(&self, level: &Level, rounds: usize) -> Budget {
        let own = &level.own;
        let worst = own.most * own.step * level.features.cells() as f64;
        Budget {
            step: libm::rint(worst * 0.95) as i64,
            rounds,
        }
    }

    /// Largest switch time of a change that begins at `at`.
    fn window(&self, at: usize) -> usize {
        let l = self.g.jumps.window;
        if self.stretch.end.is_some() || self.stretch.closed {
            l.min(self.stretch.length.saturating_sub(at + 1))
        } else {
            l
        }
    }

    /// Sees to it that a stretch with a given end gets there.
    fn arrive(&self, changes: &mut Vec<Change>, start: usize) {
        let last = changes.last().map_or(start as i32, |c| c.offset);
        if let Some(offset) = self.stretch.arrival(start).filter(|o| *o != last) {
            let at = self.stretch.length.saturating_sub(self.g.jumps.window + 1);
            changes.retain(|c| c.at < at);
            changes.push(Change { at, offset });
        }
    }

    /// The part of the costs that does not depend on the pictures: when each
    /// cell would rather go, stalls, and clips that have run out.
    pub(super) fn extra(
        &self,
        f: &Features,
        playing: &Playing,
        at: usize,
        offset: i32,
        window: usize,
        wish: &Wish<'_>,
    ) -> Vec<i16> {
        let Wish {
            stay,
            rather,
            settle,
        } = *wish;
        let cells = f.cells();
        let near = libm::rint(0.15 * self.g.fps) as i32;
        let forbidden = i32::from(FORBIDDEN);
        let frames = f.frames as i32;
        // With nothing to settle it was long ago.
        let long_ago = vec![0u32; if settle { 0 } else { cells }];
        let settled = if settle { &self.settled } else { &long_ago };
        let mut extra = vec![0i16; (window + 2) * cells];
        let mut dead = vec![false; cells];
        for (u, extra) in extra.chunks_exact_mut(cells).take(window + 1).enumerate() {
            let t = at + u;
            let when = (u * 256 / window.max(1)) as i32;
            let cells = extra.iter_mut().zip(&mut dead);
            let cells = cells.zip(playing.at(t)).zip(rather).zip(settled);
            for ((((e, dead), &old), &rather), &settled) in cells {
                let rather = 26 + i32::from(rather) * 205 / 256;
                let apart = (old - offset).abs();
                let stalls = i32::from(apart > 0 && apart <= near);
                let unsettled = i32::from((t as u32) < settled);
                let cost = (when - rather).abs() * self.natural * 15 / 25_600
                    + 3 * self.natural * (stalls + unsettled);
                *e = if *dead {
                    forbidden
                } else {
                    cost.min(forbidden)
                } as i16;
                *dead |= t as i32 + old >= frames;
            }
        }
        for ((e, dead), stay) in extra[(window + 1) * cells..].iter_mut().zip(dead).zip(stay) {
            *e = if dead {
                forbidden
            } else {
                (*stay).min(forbidden)
            } as i16;
        }
        extra
    }

    /// How bad the frames around an event look with it laid over what plays: when it
    /// begins, its offset, and when each cell switches.
    pub(super) fn load_with(
        &self,
        level: &Level,
        playing: &Playing,
        frames: std::ops::Range<usize>,
        event: Option<((usize, i32), &[u8])>,
    ) -> Load {
        let before = match frames.start {
            0 => self.before(),
            _ => None,
        };
        let (f, own) = (&level.features, &level.own);
        load(f, own, before, frames, |t, to| match event {
            None => to.copy_from_slice(playing.at(t)),
            Some((change, switch)) => playing.with(t, change, switch, to),
        })
    }

    /// A change of clip for every cell, at about `at`, by the best of `tries`
    /// (when it begins, and the offset): all are tried on the coarse grid,
    /// those that look best there on the fine.
    fn change(
        &self,
        playing: &Playing,
        at: usize,
        mut tries: Vec<(usize, i32)>,
        rng: &Philox,
        task: Task<'_>,
    ) -> Result<Event, Cancelled> {
        let (fine, coarse) = (&self.g.fine, &self.g.coarse);
        let shift = self.shift();
        let end = at + shift + self.g.jumps.window + 2;
        let frames = at.saturating_sub(shift + 1)..end.min(self.stretch.length);
        let rather = |level: &Level| {
            let (cols, rows) = (level.features.cols, level.features.rows);
            // The same numbers on either grid.
            field(cols, rows, 0.35 * rows as f64, &mut rng.clone())
        };
        if tries.len() > 1 {
            let rather = rather(coarse);
            let reduced = self.reduce(playing, frames.start, end + 6);
            let quick = Weights {
                passes: QUICK,
                ..self.weights
            };
            let budget = self.budget(coarse, MENDS_COARSE);
            let rank = |&change: &(usize, i32)| {
                task.check()?;
                let look = (coarse, &reduced, frames.clone());
                let (load, _) = self.fitted(look, change, &quick, budget, &rather);
                Ok((load.total(), change))
            };
            // Threads that have no plan left take part.
            let ranked = tries.par_iter().map(rank);
            let mut ranked = ranked.collect::<Result<Vec<_>, Cancelled>>()?;
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
            tries = ranked.into_iter().map(|r| r.1).collect();
        }
        let rather = rather(fine);
        let attempt = |change: (usize, i32)| {
            let budget = self.budget(fine, MENDS);
            let look = (fine, playing, frames.clone());
            self.fitted(look, change, &self.weights, budget, &rather)
        };
        let mut best: Option<(Load, (usize, i32), Vec<u8>)> = None;
        let mut tried = 0;
        while tried < tries.len().min(self.enough(best.as_ref().map(|b| &b.0))) {
            task.check()?;
            let first = OnceLock::new();
            // A thread that has no plan left tries the next clip before it is known
            // whether that is called for.
            let ahead = || {
                let next = tries.get(tried + 1)?;
                let called_for = first.get().is_none_or(|(load, _): &(Load, _)| {
                    let loads = best.iter().map(|b| &b.0).chain([load]);
                    let least = loads.min_by(|a, b| a.total().total_cmp(&b.total()));
                    tried + 1 < self.enough(least)
                });
                called_for.then(|| attempt(*next))
            };
            let (_, second) = rayon::join(|| first.set(attempt(tries[tried])), ahead);
            for (load, switch) in first.into_inner().into_iter().chain(second) {
                if tried >= self.enough(best.as_ref().map(|b| &b.0)) {
                    break;
                }
                if best.as_ref().is_none_or(|b| load.total() < b.0.total()) {
                    best = Some((load, tries[tried], switch));
                }
                tried += 1;
            }
        }
        let ((at, offset), switch) = best.map_or_else(
            || {
                let first = tries.first().copied().unwrap_or((at, 0));
                (first, vec![0; fine.features.cells()])
            },
            |(_, change, switch)| (change, switch),
        );
        Ok(Event {
            at: at as u32,
            offset,
            window: self.window(at) as u8,
            switch,
            kind: Kind::Anchor,
        })
    }

    /// How many clips are tried on the fine grid for a change, where the best so far
    /// loads the eye so.
    fn enough(&self, best: Option<&Load>) -> usize {
        match best {
            None => 1,
            Some(l) if l.total() < GOOD => 0,
            Some(l) if l.steps >= FAR => FITTED_FAR,
            Some(l) if l.total() >= BAD => FITTED_BAD * self.style.care,
            Some(_) => FITTED * self.style.care,
        }
    }

    /// The best way of changing every cell to one clip, and how it loads the
    /// eye.
    fn fitted(
        &self,
        (level, playing, frames): (&Level, &Playing, std::ops::Range<usize>),
        (at, offset): (usize, i32),
        weights: &Weights,
        budget: Budget,
        rather: &[u8],
    ) -> (Load, Vec<u8>) {
        let f = &level.features;
        let window = self.window(at);
        let stay = vec![i32::from(FORBIDDEN); f.cells()];
        let wish = Wish {
            stay: &stay,
            rather,
            // Kept for the fine grid alone.
            settle: f.cells() == self.settled.len(),
        };
        let extra = self.extra(f, playing, at, offset, window, &wish);
        let bound = Bound {
            groups: groups(&level.together, playing, at, offset, window),
            pins: Vec::new(),
        };
        let ask = Ask {
            at,
            offset,
            window,
            extra: &extra,
            life: 8,
            bound: &bound,
        };
        let mut best: Option<(Load, Vec<u8>)> = None;
        let fits = self
            .rooms
            .with(|room| fit(f, playing, &ask, weights, budget, room));
        for mut switch in fits {
            for s in &mut switch {
                // Every cell goes, at the latest with the last.
                *s = (*s).min(window as u8);
            }
            let laid = Some(((at, offset), &switch[..]));
            let load = self.load_with(level, playing, frames.clone(), laid);
            if best.as_ref().is_none_or(|b| load.total() < b.0.total()) {
                best = Some((load, switch));
            }
        }
        best.unwrap_or_else(|| {
            let load = self.load_with(level, playing, frames, None);
            (load, vec![0; f.cells()])
        })
    }

    /// What plays in frames `[first, end)`, on the coarse grid.
    fn reduce(&self, playing: &Playing, first: usize, end: usize) -> Playing {
        let (f, look) = (&self.g.fine.features, &self.g.coarse.features);
        let nearest: Vec<usize> = (0..look.cells()).map(|c| nearest(f, look, c)).collect();
        let pick = |t: usize| -> Vec<i32> {
            let all = playing.at(t);
            nearest.iter().map(|&c| all[c]).collect()
        };
        Playing::of(first, (first..end).map(pick))
    }
}
