//! Makes a part of a take again by another seed: a range of frames, what a matte
//! covers, or both. The labels outside are what they were and hard constraints on
//! those inside; the frames and pixels outside are made from the list before, so
//! that they stay as they were to the bit.

use super::mattes::{Mattes, Sight};
use super::overlay::{Cells, Part, overlay};
use super::regions::{Mask, groups, grown};
use super::{Free, RING, Ready};
use crate::device::{Cancelled, Task};
use crate::engine::EngineError;
use crate::engine::plate::analysis::Analysis;
use crate::engine::plate::asides::field;
use crate::engine::plate::camera::Pose;
use crate::engine::plate::cells::occupied;
use crate::engine::plate::edit_list::{Area, EditList, Event, Kind, Layer, NEVER};
use crate::engine::plate::jumps::Jumps;
use crate::engine::plate::plan::{Stretch, plan};
use crate::engine::plate::playing::Playing;
use crate::engine::plate::settings::{Remake, Settings};
use crate::engine::plate::solve::{Style, solve};
use crate::engine::plate::switch::{Ask, Bound, Budget, COST, FORBIDDEN, Room, Weights, fit};
use crate::frame::FrameRange;
use crate::sampler::Philox;

/// Frames at either end of a range in which nothing changes, so that no warp and no
/// low band of what is new reaches beyond it.
const MARGIN: usize = 6;
/// Rows and columns that a matte's cells are drawn in by, so that seams lie inside.
const WITHIN: usize = 2;
/// Sets the random numbers of what is made again apart from those of the take.
const PLACE: u32 = 1 << 16;

/// What is made again, and of what.
pub(in crate::engine::plate) struct Again<'a> {
    pub(in crate::engine::plate) ready: &'a Ready,
    pub(in crate::engine::plate) frees: &'a [Free],
    pub(in crate::engine::plate) settings: &'a Settings,
    pub(in crate::engine::plate) mattes: &'a Mattes,
    pub(in crate::engine::plate) analysis: &'a Analysis,
    pub(in crate::engine::plate) task: Task<'a>,
}

/// Output indices `[from, to)` of what may change in a stretch.
type Inner = (usize, usize);

impl Again<'_> {
    /// Makes `remake`, the number-th, of what `list` plays.
    ///
    /// # Errors
    /// Where its frames are not of the take, nothing can change in them, or a matte
    /// cannot be read.
    pub(in crate::engine::plate) fn layer(
        &self,
        list: &EditList,
        remake: &Remake,
        number: u32,
    ) -> Result<Layer, EngineError> {
        let out = FrameRange {
            first: list.first_out,
            last: list.first_out + list.out_frames as i32 - 1,
        };
        let frames = remake.frames.unwrap_or(out);
        let frames = frames.intersection(&out).ok_or_else(|| {
            EngineError::Request(format!(
                "frames {frames} are to be made again and the take has {out}: mark frames of it"
            ))
        })?;
        let index = |f: i32| (f - list.first_out) as usize;
        let (from, to) = (index(frames.first), index(frames.last) + 1);
        let mut new = list.clone();
        for free in self.frees {
            let end = free.to();
            let (a, b) = (from.max(free.from), to.min(end));
            // A loop goes on across its ends.
            let ends = !free.stretch.closed;
            let first = ends && a == free.from;
            let last = ends && b == end;
            let inner = (
                if first { a } else { a + MARGIN },
                b.saturating_sub(if last { 0 } else { MARGIN }),
            );
            if inner.0 + 2 > inner.1 {
                continue;
            }
            let parts = &self.ready.parts;
            new.events = match &remake.matte {
                None if !parts.holds() && !parts.is_seeded() => {
                    self.stretch(&new, free, inner, remake.seed, number)?
                }
                matte => {
                    let may = self.may(&new, inner, matte.as_deref())?;
                    self.part(&new, free, inner, &may, remake.seed, number)?
                }
            };
        }
        if new.events == list.events {
            return Err(EngineError::Request(format!(
                "nothing can be made again in frames {frames}: no change of clip fits in, so mark \
                 more frames, or a larger matte"
            )));
        }
        Ok(Layer {
            from: from as u32,
            to: to as u32,
            area: match remake.matte {
                Some(_) => Area::Matte(number),
                None => Area::All,
            },
            list: new,
        })
    }

    /// The events if what changes clip inside is planned again; where there is no
    /// room for a plan, if what changes clip there does so otherwise.
    fn stretch(
        &self,
        list: &EditList,
        free: &Free,
        inner: Inner,
        seed: u64,
        number: u32,
    ) -> Result<Vec<Event>, EngineError> {
        let ground = &self.ready.ground;
        let old = &list.events;
        let first = old.partition_point(|e| (e.at as usize) < inner.0);
        let late = old[first..]
            .iter()
            .position(|e| e.over() >= inner.1)
            .map_or(old.len(), |i| first + i);
        let clip = |events: &[Event]| {
            let last = events.iter().rev().find(|e| e.kind == Kind::Anchor);
            last.map_or(list.offset, |e| e.offset)
        };
        let (leave, back) = (clip(&old[..first]), clip(&old[..late]));
        // Changes that reach into the range keep to their clips.
        let reach = |i: usize| i < first || i >= late;
        let events = self.otherwise(list, inner, (seed, number), reach)?;
        let until = events
            .get(late)
            .map_or(inner.1, |e| (e.at as usize).min(inner.1));
        let open = late == events.len() && free.is_open_at(inner.1);
        let frames = list.plate_frames as i32;
        let place = |t: usize, offset: i32| (t as i32 + offset).clamp(0, frames) as usize;
        let stretch = Stretch {
            length: until.saturating_sub(inner.0),
            start: Some(place(inner.0, leave)),
            end: (!open).then(|| place(until, back)),
            closed: false,
        };
        let window = ground.jumps.window;
        if stretch.length > window + 2 {
            let before = EditList {
                events: events[..first].to_vec(),
                ..list.clone()
            };
            let known = (0..2 * window + 2).map(|t| {
                let labels = before.labels((inner.0 + t) as u32);
                let offset = |l: u16| before.offset_of(l) + inner.0 as i32;
                labels.into_iter().map(offset).collect()
            });
            let playing = Playing::of(0, known);
            let settings = Settings {
                seed,
                ..self.settings.clone()
            };
            let found = solve(
                ground,
                &stretch,
                Some(&playing),
                &settings,
                PLACE + number,
                self.task,
            )?;
            if !found.events.is_empty() {
                let new = found.events.into_iter().map(|e| Event {
                    at: e.at + inner.0 as u32,
                    offset: e.offset - inner.0 as i32,
                    ..e
                });
                let mut all = events[..first].to_vec();
                all.extend(new);
                all.extend_from_slice(&events[late..]);
                return Ok(all);
            }
        }
        Ok(self.otherwise(list, inner, (seed, number), |_| true)?)
    }

    /// The same changes of clip, but of those that `which` names, by their places in the
    /// list, cells that switch inside may do so at any other time there; cells that
    /// switch outside keep their time.
    fn otherwise(
        &self,
        list: &EditList,
        inner: Inner,
        (seed, number): (u64, u32),
        which: impl Fn(usize) -> bool,
    ) -> Result<Vec<Event>, Cancelled> {
        let level = &self.ready.ground.fine;
        let f = &level.features;
        let cells = f.cells();
        let mut rng = Philox::new(seed, [PLACE + number, 0, 1]);
        let rather = field(f.cols, f.rows, 0.35 * f.rows as f64, &mut rng);
        let mut playing = Playing::new(cells, list.offset);
        let (mut done, mut room) = (0, Room::default());
        let mut events = list.events.clone();
        for (i, e) in events.iter_mut().enumerate() {
            self.task.check()?;
            let (at, window) = (e.at as usize, usize::from(e.window));
            playing.retire(&mut done, at.saturating_sub(1), |_, _| {});
            let free = |s: u8| s != NEVER && (inner.0..inner.1).contains(&(at + usize::from(s)));
            if which(i) && e.kind == Kind::Anchor && e.switch.iter().any(|s| free(*s)) {
                let never = window + 1;
                let mut extra = vec![0i16; (window + 2) * cells];
                let mut pins = Vec::new();
                for c in 0..cells {
                    if !free(e.switch[c]) {
                        pins.push((c as u32, e.switch[c].min(never as u8)));
                    }
                    for u in 0..=window {
                        let when = (u * 256 / window.max(1)) as i32;
                        let wish = (when - i32::from(rather[c])).abs() * COST / 256;
                        let runs = u == 0
                            || (at + u - 1) as i32 + playing.at(at + u - 1)[c] < f.frames as i32;
                        extra[u * cells + c] = match runs && (inner.0..inner.1).contains(&(at + u))
                        {
                            true => wish as i16,
                            false => FORBIDDEN,
                        };
                    }
                    extra[never * cells + c] = FORBIDDEN;
                }
                let mut together = groups(&level.together, &playing, at, e.offset, window);
                together.retain(|g| g.iter().all(|c| free(e.switch[*c as usize])));
                let bound = Bound {
                    groups: together,
                    pins,
                };
                let ask = Ask {
                    at,
                    offset: e.offset,
                    window,
                    extra: &extra,
                    life: 8,
                    bound: &bound,
                };
                let none = Budget { step: 0, rounds: 0 };
                let weights = Weights::default();
                let times = fit(f, &playing, &ask, &weights, none, &mut room);
                if let Some(times) = times.last() {
                    for (s, &new) in e.switch.iter_mut().zip(times) {
                        if free(*s) && free(new) && usize::from(new) <= window {
                            *s = new;
                        }
                    }
                }
            }
            playing.lay(at, e.offset, window, &e.switch);
        }
        Ok(events)
    }

    /// Where the take may change: what `matte` covers all along, or everything, but
    /// for what is held out.
    fn may(
        &self,
        list: &EditList,
        inner: Inner,
        matte: Option<&std::path::Path>,
    ) -> Result<Mask, EngineError> {
        let ground = &self.ready.ground;
        let f = &ground.fine.features;
        let poses = list.camera.as_ref().map_or(&[][..], |c| &c.out[..]);
        let sight = Sight {
            info: &self.analysis.info,
            first: list.first_out,
            poses,
            from: Pose::REST,
        };
        let still = match matte {
            Some(path) => self.mattes.is_still(path)? && poses.is_empty(),
            None => true,
        };
        let mut frames = Vec::new();
        for t in inner.0..inner.1 {
            self.task
                .step("Reading the mattes", t - inner.0, inner.1 - inner.0)?;
            let mut set = vec![true; f.cells()];
            if let Some(path) = matte {
                let picture = self.mattes.read(path, list.first_out + t as i32, sight)?;
                let outside: Vec<bool> = occupied(&picture, f.cols, f.rows)
                    .into_iter()
                    .map(|c| !c)
                    .collect();
                let outside = grown(&outside, f.cols, f.rows, WITHIN);
                set.iter_mut().zip(outside).for_each(|(s, o)| *s = !o);
            }
            frames.push(set);
            if still {
                break;
            }
        }
        if self.ready.parts.holds() {
            // What plays around it is fitted to it, and another clip would show it again
            // where it is at another time.
            let keep = self.ready.parts.held_cells(ground);
            for set in &mut frames {
                set.iter_mut().zip(&keep).for_each(|(s, k)| *s &= !k);
            }
        }
        Ok(Mask::of(frames))
    }

    /// The events if the cells of `may`, frame by frame from the first inside on,
    /// play clips of their own inside.
    fn part(
        &self,
        list: &EditList,
        free: &Free,
        inner: Inner,
        may: &Mask,
        seed: u64,
        number: u32,
    ) -> Result<Vec<Event>, EngineError> {
        let ground = &self.ready.ground;
        let (f, look) = (&ground.fine.features, &ground.coarse.features);
        let ever = may.ever();
        let coarse: Vec<bool> = (0..look.cells())
            .map(|c| ever[crate::engine::plate::carry::nearest(f, look, c)])
            .collect();
        if !coarse.contains(&true) {
            return Ok(list.events.clone());
        }
        let window = ground.jumps.window.min((look.frames / 3).max(1));
        let jumps = Jumps::new(
            look,
            window,
            ground.fps,
            &self.ready.left_out,
            Some(&coarse),
            ground.choice,
            self.task,
        )?;
        let before = list.events.iter().rev();
        let last = before
            .filter(|e| e.kind == Kind::Anchor)
            .find(|e| (e.at as usize) < inner.0);
        let start = last.map_or(list.offset, |e| e.offset);
        let length = inner.1 - inner.0;
        let index = (inner.0 as i32 + start).clamp(0, list.plate_frames as i32 - 1) as usize;
        let stretch = Stretch {
            length,
            start: Some(index),
            end: None,
            closed: false,
        };
        let style = Style::new(self.settings, &jumps, ground, 1);
        let streams = |n: u32| Philox::new(seed, [PLACE + number, 2, n]);
        let mut plan = plan(
            &stretch,
            &jumps,
            look,
            &style.taste,
            &mut streams(0),
            self.task,
        )?;
        let open = free.is_open_at(inner.1);
        let quick = (libm::rint(0.4 * ground.fps) as usize).clamp(2, window.max(2));
        if !open {
            plan.changes.retain(|c| c.at + 2 * quick < length);
        }
        let changes: Vec<_> = plan
            .changes
            .iter()
            .map(|c| crate::engine::plate::plan::Change {
                at: c.at + inner.0,
                offset: c.offset - inner.0 as i32,
            })
            .collect();
        if changes.is_empty() {
            return Ok(list.events.clone());
        }
        let cells = |from: usize, to: usize, _: &[i32]| {
            // Those that may all the while.
            let mut set = vec![true; f.cells()];
            for t in from..=to.min(inner.1.saturating_sub(1)).max(from) {
                let frame = may.at(t as i32 - inner.0 as i32);
                let frame = frame.or_else(|| may.at(0));
                if let Some(frame) = frame {
                    set.iter_mut().zip(frame).for_each(|(s, f)| *s &= f);
                }
                if may.is_still() {
                    break;
                }
            }
            // Well inside, it must.
            let outside: Vec<bool> = set.iter().map(|s| !s).collect();
            let near = grown(&outside, f.cols, f.rows, RING);
            let mut must: Vec<bool> = near.iter().map(|n| !n).collect();
            if !must.contains(&true) {
                must.clone_from(&set);
            }
            Cells { must, may: set }
        };
        let natural = libm::rint(ground.jumps.natural) as i32 * COST
            / crate::engine::plate::features::NATURAL;
        let part = Part {
            cells: &cells,
            span: inner,
            start,
            changes: &changes,
            standing: false,
            closed: false,
            home: !open,
            whole: false,
            eager: natural.max(1) * 13 / 10,
            window: quick,
        };
        let below = (list.offset, &list.events[..]);
        Ok(overlay(&ground.fine, below, &part, &mut streams(1), self.task)?.events)
    }
}
