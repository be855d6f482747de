//! Makes the events of a stretch of output frames: several plans, each carried
//! out change by change on the grid, the best kept.

use rayon::prelude::*;

use super::asides::{agreement, field};
use super::edit_list::{Event, Kind, NEVER};
use super::features::{Features, NATURAL};
use super::jumps::Jumps;
use super::plan::{Change, Plan, Stretch, Taste, draw, plan};
use super::playing::Playing;
use super::score::{Marker, Marks, Own, load};
use super::settings::Settings;
use super::switch::{Ask, Budget, COST, FORBIDDEN, Room, Weights, fit};
use crate::device::{self, Cancelled, Task};
use crate::sampler::Philox;

/// A plate made ready for deciding.
pub(super) struct Ground {
    /// On the grid of the edit list.
    pub(super) fine: Features,
    /// On the grid of the plan.
    pub(super) coarse: Features,
    pub(super) jumps: Jumps,
    pub(super) own: Own,
    pub(super) fps: f64,
}

/// Events that make a stretch.
pub(super) struct Solution {
    /// Plate index that plays at the first frame.
    pub(super) start: usize,
    /// In order; `at` counts from the first frame of the stretch, offsets too.
    pub(super) events: Vec<Event>,
    pub(super) marks: Marks,
}

/// How one plan is made.
pub(super) struct Style {
    pub(super) taste: Taste,
    /// Seconds between asides; 0 for none.
    asides: f64,
    /// What an aside may tear.
    limit: f64,
}

impl Style {
    pub(super) fn new(settings: &Settings, jumps: &Jumps, plan: u32) -> Self {
        let novelty = settings.novelty.clamp(0.0, 1.0);
        // Novelty comes from changing clip more often first: asides tear more
        // for the same. They come in above the middle of the control.
        let half = plan / 3 % 2;
        let with = half == 1 && novelty > 0.5;
        let often = [0.6, 1.2][half as usize] * novelty;
        let eager = [0.4, 0.7, 0.95][plan as usize % 3] + 0.6 * (novelty - 0.5) + often;
        Self {
            taste: Taste {
                eager,
                shortest: (jumps.window * 45 / 100).max(3),
                heat: 0.07,
            },
            asides: if with { 0.2 / novelty } else { 0.0 },
            limit: 8.0 * novelty,
        }
    }
}

/// The best of the plans that the settings ask for. `place` sets streams of
/// random numbers apart.
pub(super) fn solve(
    ground: &Ground,
    stretch: &Stretch,
    settings: &Settings,
    place: u32,
    task: Task<'_>,
) -> Result<Solution, Cancelled> {
    let plans = settings.plans.max(1);
    let finished = std::sync::atomic::AtomicU32::new(0);
    let solutions: Vec<Solution> = device::install(|| {
        (0..plans)
            .into_par_iter()
            .map(|q| {
                let mut rng = Philox::new(settings.seed, [place, q, 0]);
                let style = Style::new(settings, &ground.jumps, q);
                let plan = plan(
                    stretch,
                    &ground.jumps,
                    &ground.coarse,
                    &style.taste,
                    &mut rng,
                    task,
                )?;
                let solution = Carrier::new(ground, stretch, &style, &mut rng).carry(plan, task);
                let done = finished.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                task.step("Deciding", done as usize, plans as usize)?;
                solution
            })
            .collect::<Result<_, Cancelled>>()
    })?;
    let mut best: Option<(f64, Solution)> = None;
    for s in solutions {
        let score = s.marks.score(&ground.own, settings.novelty);
        if best.as_ref().is_none_or(|b| score < b.0) {
            best = Some((score, s));
        }
    }
    best.map(|b| b.1).ok_or(Cancelled)
}

/// What an event wishes of each cell.
struct Wish<'a> {
    /// The price of not switching.
    stay: &'a [i32],
    /// When, from 0 to 255 of the window, the cell would rather switch.
    rather: &'a [u8],
    /// Whether a cell should have played its clip for a while.
    settle: bool,
}

/// Carries a plan out.
struct Carrier<'a> {
    g: &'a Ground,
    stretch: &'a Stretch,
    style: &'a Style,
    rng: &'a mut Philox,
    weights: Weights,
    /// What a natural jump costs, in [`COST`].
    natural: i32,
    /// Frames before which each cell should not switch again.
    settled: Vec<u32>,
    room: Room,
}

impl<'a> Carrier<'a> {
    fn new(g: &'a Ground, stretch: &'a Stretch, style: &'a Style, rng: &'a mut Philox) -> Self {
        Self {
            g,
            stretch,
            style,
            rng,
            weights: Weights::default(),
            natural: (libm::rint(g.jumps.natural) as i32 * COST / NATURAL).max(1),
            settled: vec![0; g.fine.cells()],
            room: Room::default(),
        }
    }

    fn carry(mut self, plan: Plan, task: Task<'_>) -> Result<Solution, Cancelled> {
        let (g, f) = (self.g, &self.g.fine);
        let length = self.stretch.length;
        let mut playing = Playing::new(f.cells(), plan.start as i32);
        let mut marker = Marker::new(f, g.fps);
        let mut events: Vec<Event> = Vec::new();
        let mut changes = plan.changes;
        self.arrive(&mut changes, plan.start);
        let mut asides = self.aside_times(&changes);
        asides.reverse();
        let (mut done, mut next) = (0, 0);
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
            playing.retire(&mut done, at.saturating_sub(1), |t, o| {
                marker.add(f, &g.own, t, o);
            });
            let event = if is_change {
                next += 1;
                Some(self.change(&playing, &mut changes, next - 1, plan.start, task)?)
            } else {
                asides.pop();
                self.aside(&playing, at, &changes[next..], task)?
            };
            if let Some(e) = event {
                for (settled, &s) in self.settled.iter_mut().zip(&e.switch) {
                    if s != NEVER {
                        *settled = e.at + u32::from(s) + (0.25 * g.fps) as u32;
                    }
                }
                playing.lay(at, e.offset, usize::from(e.window), &e.switch);
                events.push(e);
            }
        }
        playing.retire(&mut done, length, |t, o| marker.add(f, &g.own, t, o));
        Ok(Solution {
            start: plan.start,
            events,
            marks: marker.marks(&g.own),
        })
    }

    /// What a frame may step: as far as the plate's own worst.
    fn budget(&self) -> Budget {
        let own = &self.g.own;
        let worst = own.most * own.step * self.g.fine.cells() as f64;
        Budget {
            step: libm::rint(worst * 0.95) as i64,
            rounds: 4,
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
        let end = if self.stretch.closed {
            Some(start)
        } else {
            self.stretch.end
        };
        let Some(end) = end else { return };
        let last = changes.last().map_or(start as i32, |c| c.offset);
        let wanted = end as i32 - self.stretch.length as i32;
        if last != wanted {
            let at = self.stretch.length.saturating_sub(self.g.jumps.window + 1);
            changes.retain(|c| c.at < at);
            changes.push(Change { at, offset: wanted });
        }
    }

    fn aside_times(&mut self, changes: &[Change]) -> Vec<usize> {
        let mut times = Vec::new();
        let gap = self.style.asides * self.g.fps;
        if gap <= 0.0 {
            return times;
        }
        let closed_end = self.stretch.end.is_some() || self.stretch.closed;
        let end = match (closed_end, changes.last()) {
            (true, Some(c)) => c.at.saturating_sub(2),
            (true, None) => 0,
            _ => self.stretch.length.saturating_sub(self.g.jumps.window / 2),
        };
        let mut t = self.rng.uniform() * gap;
        while (t as usize) < end {
            times.push(t as usize);
            t += (gap * (0.6 + 0.8 * self.rng.uniform())).max(1.0);
        }
        times
    }

    /// The part of the costs that does not depend on the pictures: when each
    /// cell would rather go, stalls, and clips that have run out.
    fn extra(
        &self,
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
        let f = &self.g.fine;
        let cells = f.cells();
        let near = libm::rint(0.15 * self.g.fps) as i32;
        let mut extra = vec![0i16; (window + 2) * cells];
        let mut dead = vec![false; cells];
        for u in 0..=window {
            let old = playing.at(at + u);
            let when = (u * 256 / window.max(1)) as i32;
            for c in 0..cells {
                let e = &mut extra[u * cells + c];
                if dead[c] {
                    *e = FORBIDDEN;
                    continue;
                }
                let rather = 26 + i32::from(rather[c]) * 205 / 256;
                let mut cost = (when - rather).abs() * self.natural * 15 / 25_600;
                let apart = (old[c] - offset).abs();
                if apart > 0 && apart <= near {
                    cost += 3 * self.natural;
                }
                if settle && ((at + u) as u32) < self.settled[c] {
                    cost += 3 * self.natural;
                }
                *e = cost.min(i32::from(FORBIDDEN)) as i16;
                if (at + u) as i32 + old[c] >= f.frames as i32 {
                    dead[c] = true;
                }
            }
        }
        for c in 0..cells {
            extra[(window + 1) * cells + c] = if dead[c] {
                FORBIDDEN
            } else {
                stay[c].min(i32::from(FORBIDDEN)) as i16
            };
        }
        extra
    }

    fn switches(times: &[u8], window: usize) -> Vec<u8> {
        times
            .iter()
            .map(|&s| if usize::from(s) > window { NEVER } else { s })
            .collect()
    }

    /// How bad the frames around an event look with it laid over what plays.
    fn load_with(
        &self,
        playing: &Playing,
        frames: std::ops::Range<usize>,
        event: Option<(usize, i32, usize, &[u8])>,
    ) -> f64 {
        match event {
            None => load(&self.g.fine, &self.g.own, frames, |t| playing.at(t)),
            Some((at, offset, window, switch)) => {
                let mut with = playing.clone();
                with.lay(at, offset, window, switch);
                load(&self.g.fine, &self.g.own, frames, |t| with.at(t))
            }
        }
    }

    /// A change of clip for every cell. Other clips that would do are tried,
    /// and the change is replaced by the best.
    fn change(
        &mut self,
        playing: &Playing,
        changes: &mut [Change],
        index: usize,
        start: usize,
        task: Task<'_>,
    ) -> Result<Event, Cancelled> {
        let f = &self.g.fine;
        let Change { at, offset } = changes[index];
        let window = self.window(at);
        let before = match index {
            0 => start as i32,
            i => changes[i - 1].offset,
        };
        let offsets = self.landings(changes, index, before);
        let rather = field(f.cols, f.rows, 0.35 * f.rows as f64, self.rng);
        let stay = vec![i32::from(FORBIDDEN); f.cells()];
        let wish = Wish {
            stay: &stay,
            rather: &rather,
            settle: true,
        };
        let frames = at.saturating_sub(1)..(at + window + 2).min(self.stretch.length);
        let mut best: Option<(f64, i32, Vec<u8>)> = None;
        for offset in offsets {
            task.check()?;
            let extra = self.extra(playing, at, offset, window, &wish);
            let ask = Ask {
                at,
                offset,
                window,
                extra: &extra,
                life: 8,
            };
            for mut switch in fit(
                f,
                playing,
                &ask,
                &self.weights,
                self.budget(),
                &mut self.room,
            ) {
                for s in &mut switch {
                    // Every cell goes, at the latest with the last.
                    *s = (*s).min(window as u8);
                }
                let laid = Some((at, offset, window, &switch[..]));
                let q = self.load_with(playing, frames.clone(), laid);
                if best.as_ref().is_none_or(|b| q < b.0) {
                    best = Some((q, offset, switch));
                }
            }
            if best.as_ref().is_some_and(|b| b.0 < 1.0) {
                break;
            }
        }
        let (_, offset, switch) = best.unwrap_or_else(|| (0.0, offset, vec![0; f.cells()]));
        changes[index].offset = offset;
        Ok(Event {
            at: at as u32,
            offset,
            window: window as u8,
            switch,
            kind: Kind::Anchor,
        })
    }

    /// Offsets that would do for a change, the planned one first.
    fn landings(&self, changes: &[Change], index: usize, before: i32) -> Vec<i32> {
        let n = self.g.fine.frames as i32;
        let jumps = &self.g.jumps;
        let Change { at, offset } = changes[index];
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
            if to + need >= n {
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
            if out.len() >= 5 {
                break;
            }
            if out.iter().all(|have| (have - o).abs() >= 3) {
                out.push(o);
            }
        }
        out
    }

    /// A region that plays another clip until the next change, if one is found
    /// that does not tear.
    fn aside(
        &mut self,
        playing: &Playing,
        at: usize,
        changes: &[Change],
        task: Task<'_>,
    ) -> Result<Option<Event>, Cancelled> {
        let (f, look) = (&self.g.fine, &self.g.coarse);
        let length = self.stretch.length;
        let l = self.g.jumps.window;
        let window = (l * 6 / 10).max(4);
        let until = changes.first().map_or(length, |c| c.at);
        let need = (until + l).min(length).saturating_sub(at);
        let rather = field(f.cols, f.rows, 0.35 * f.rows as f64, self.rng);
        let region = field(f.cols, f.rows, 0.42 * f.rows as f64, self.rng);
        if f.frames < need + 3 || at + window + 2 >= length {
            return Ok(None);
        }
        let landings = f.frames - 1 - need;
        let inside: Vec<bool> = (0..f.cells())
            .map(|c| region[c] < 128 && f.moving[c])
            .collect();
        let count = inside.iter().filter(|i| **i).count();
        if count * 200 < f.cells() || landings < 2 {
            return Ok(None);
        }
        // The region and what it plays, on the grid of the plan.
        let nearest = |c: usize| {
            let (x, y) = (c % look.cols, c / look.cols);
            let (fx, fy) = (
                (2 * x + 1) * f.cols / (2 * look.cols),
                (2 * y + 1) * f.rows / (2 * look.rows),
            );
            fy * f.cols + fx
        };
        let weight: Vec<u32> = (0..look.cells())
            .map(|c| u32::from(inside[nearest(c)]))
            .collect();
        let last = f.frames as i32 - 1;
        let sources: Vec<Vec<usize>> = (0..=window)
            .step_by(2)
            .map(|u| {
                let old = playing.at(at + u);
                (0..look.cells())
                    .map(|c| ((at + u) as i32 + old[nearest(c)]).clamp(0, last) as usize)
                    .collect()
            })
            .collect();
        task.check()?;
        let mut costs = agreement(look, &sources, &weight, landings);
        let scale = self.g.jumps.scale();
        let close = 0.3 * self.g.fps;
        for u in [0, window / 2, window] {
            let old = playing.at(at + u);
            let mut shares: Vec<(i32, usize)> = Vec::new();
            for c in (0..f.cells()).filter(|c| inside[*c]) {
                let frame = at as i32 + old[c];
                match shares.iter_mut().find(|s| s.0 == frame) {
                    Some(s) => s.1 += 1,
                    None => shares.push((frame, 1)),
                }
            }
            for (frame, n) in shares {
                for (j, cost) in costs.iter_mut().enumerate() {
                    if f64::from((j as i32 - frame).abs()) < close {
                        *cost += libm::rint(50.0 * scale * n as f64 / count as f64) as i64;
                    }
                }
            }
        }
        let j = draw(&costs, 2.0 * self.style.taste.heat * scale, self.rng);
        let offset = j as i32 - at as i32;
        let stay: Vec<i32> = (0..f.cells())
            .map(|c| {
                if inside[c] {
                    self.natural * 13 / 10
                } else {
                    COST / 50
                }
            })
            .collect();
        let wish = Wish {
            stay: &stay,
            rather: &rather,
            settle: false,
        };
        let extra = self.extra(playing, at, offset, window, &wish);
        let end = (until + l).min(length);
        let ask = Ask {
            at,
            offset,
            window,
            extra: &extra,
            life: (end.saturating_sub(at + window + l / 2)).max(8),
        };
        let none = Budget { step: 0, rounds: 0 };
        let times = fit(f, playing, &ask, &self.weights, none, &mut self.room).remove(0);
        let switch = Self::switches(&times, window);
        let took = (0..f.cells())
            .filter(|&c| f.moving[c] && switch[c] != NEVER)
            .count();
        let moving = f.moving.iter().filter(|m| **m).count();
        if took * 100 <= moving * 6 {
            return Ok(None);
        }
        let frames = at.saturating_sub(1)..end;
        let without = self.load_with(playing, frames.clone(), None);
        let with = self.load_with(playing, frames, Some((at, offset, window, &switch)));
        if with - without > self.style.limit {
            return Ok(None);
        }
        Ok(Some(Event {
            at: at as u32,
            offset,
            window: window as u8,
            switch,
            kind: Kind::Aside,
        }))
    }
}
