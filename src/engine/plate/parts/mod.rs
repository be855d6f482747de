//! Parts of the picture that are treated apart: what is held out, regions that change
//! clip as one piece, some with clips of their own, and what is made again.

mod fewest_cuts;
mod mattes;
mod overlay;
mod regions;
mod remake;

pub use self::mattes::Mattes;
pub(super) use self::mattes::Sight;
pub(super) use self::regions::{Mask, groups, grown};
pub(super) use self::remake::Again;

use self::fewest_cuts::{Pace, seldom};
use self::overlay::{Cells, Laid, Part, overlay};
use self::regions::GROW;
use super::analysis::Analysis;
use super::camera::Pose;
use super::edit_list::{Area, EditList, Event};
use super::ground::Ground;
use super::jumps::Jumps;
use super::plan::{Change, Plan, Stretch, plan};
use super::settings::Settings;
use super::solve::Style;
use crate::device::{Cancelled, Task};
use crate::engine::{EngineError, Timeline};
use crate::sampler::Philox;

/// Cells around a part in which the solver may lay its seam.
pub(super) const RING: usize = 4;
/// The same as [`GROW`] on the grid of the plan.
const GROW_COARSE: usize = 2;
/// Frames of a window by which the cuts of what is held out are judged: it changes
/// at once, not place by place.
const ABRUPT: usize = 3;
/// Cells around those that a layer may change which it covers too, since switch times
/// are drawn smoothly, and over how many it goes over into what lies beneath; both
/// show the same there, but for the warps and low bands of seams nearby.
const AROUND: usize = 3;
const EDGE: usize = 1;

/// A stretch of output frames that are made, and what plays there.
#[derive(Clone)]
pub(super) struct Free {
    /// Output index of its first frame.
    pub(super) from: usize,
    /// What it must keep to.
    pub(super) stretch: Stretch,
    /// Plate index that plays at its first frame.
    pub(super) start: usize,
    /// Its events; times and offsets count from its first frame.
    pub(super) events: Vec<Event>,
}

impl Free {
    /// Output index past its last frame.
    pub(super) fn to(&self) -> usize {
        self.from + self.stretch.length
    }

    /// Whether it ends at output index `t` and may end there as it likes.
    pub(super) fn is_open_at(&self, t: usize) -> bool {
        t == self.to() && self.stretch.end.is_none() && !self.stretch.closed
    }
}

/// Where a part is, on both grids.
struct Place {
    fine: Mask,
    coarse: Mask,
}

/// A plate made ready for deciding, and the parts of it that are treated apart.
pub(super) struct Ready {
    pub(super) ground: Ground,
    pub(super) parts: Parts,
    pub(super) left_out: Vec<bool>,
}

/// The parts of a take.
pub(super) struct Parts {
    hold: Option<Place>,
    /// Regions with clips of their own.
    seeded: Vec<(u64, Place)>,
}

impl Parts {
    /// Reads the mattes that `settings` name and tells `ground` which cells belong
    /// together. `poses` tell where the camera was, where the plate is steadied.
    ///
    /// # Errors
    /// Where a matte cannot be read or covers nothing.
    pub(super) fn read(
        (settings, mattes): (&Settings, &Mattes),
        (analysis, poses): (&Analysis, &[Pose]),
        timeline: &Timeline,
        ground: &mut Ground,
        task: Task<'_>,
    ) -> Result<Self, EngineError> {
        let size = |l: &super::carry::Level| (l.features.cols, l.features.rows);
        let (fine, coarse) = (size(&ground.fine), size(&ground.coarse));
        let place = |matte: &std::path::Path| -> Result<Place, EngineError> {
            let plate = timeline.plate;
            let grids = [fine, coarse];
            let masks = regions::read((matte, mattes), (analysis, poses), plate, &grids, task)?;
            let [small, large] = [&masks[0], &masks[1]];
            Ok(Place {
                fine: small.grown(fine.0, fine.1, GROW),
                coarse: large.grown(coarse.0, coarse.1, GROW_COARSE),
            })
        };
        let hold = settings.hold_out.as_deref().map(&place).transpose()?;
        let mut seeded = Vec::new();
        for region in &settings.regions {
            let at = place(&region.matte)?;
            ground.fine.together.push(at.fine.clone());
            ground.coarse.together.push(at.coarse.clone());
            if let Some(seed) = region.seed {
                seeded.push((seed, at));
            }
        }
        Ok(Self { hold, seeded })
    }

    /// Whether anything is held out.
    pub(super) fn holds(&self) -> bool {
        self.hold.is_some()
    }

    /// Whether any region has clips of its own.
    pub(super) fn is_seeded(&self) -> bool {
        !self.seeded.is_empty()
    }

    /// The cells at and around what is held out, wherever in the plate it is; none
    /// where nothing is.
    pub(super) fn held_cells(&self, ground: &Ground) -> Vec<bool> {
        let f = &ground.fine.features;
        match &self.hold {
            Some(place) => grown(&place.fine.ever(), f.cols, f.rows, RING),
            None => vec![false; f.cells()],
        }
    }

    /// Lays what is held out over what plays in `free`, as one piece with the fewest
    /// cuts, and tells what it plays, in output indices.
    pub(super) fn hold(
        &self,
        ground: &Ground,
        free: &mut Free,
        left_out: &[bool],
        rng: &mut Philox,
        task: Task<'_>,
    ) -> Result<Vec<(u32, i32)>, Cancelled> {
        let Some(place) = &self.hold else {
            return Ok(Vec::new());
        };
        let jumps = place.jumps(ground, ABRUPT, left_out, task)?;
        let pace = Pace {
            // No more than a short plate, or one of a high rate, has room for.
            shortest: (libm::rint(0.5 * ground.fps) as usize).clamp(3, (jumps.frames / 3).max(3)),
            window: window(ground),
        };
        let plan = seldom(&free.stretch, &jumps, pace, task)?;
        let laid = place.lay(ground, free, &plan, rng, task)?;
        free.events = laid.events;
        let from = free.from as u32;
        Ok(laid
            .plays
            .into_iter()
            .map(|(at, offset)| (at + from, offset - from as i32))
            .collect())
    }

    /// Lays the clips of its own of each region that has some over what plays in
    /// `frees`, region by region: what each changes, and where.
    pub(super) fn seeded(
        &self,
        ground: &Ground,
        frees: &mut [Free],
        (settings, left_out): (&Settings, &[bool]),
        task: Task<'_>,
        mut each: impl FnMut(Area, &[Free]),
    ) -> Result<(), Cancelled> {
        for (k, (seed, place)) in self.seeded.iter().enumerate() {
            let window = ground.jumps.window;
            let jumps = place.jumps(ground, window, left_out, task)?;
            let style = Style::new(settings, &jumps, ground, 1);
            for (i, free) in frees.iter_mut().enumerate() {
                let streams = |n: u32| Philox::new(*seed, [i as u32, k as u32, n]);
                let look = &ground.coarse.features;
                let (stretch, rng) = (&free.stretch, &mut streams(100));
                let mut plan = plan(stretch, &jumps, look, &style.taste, rng, task)?;
                arrive(&mut plan, stretch, window);
                let laid = place.lay(ground, free, &plan, &mut streams(101), task)?;
                free.events = laid.events;
            }
            let f = &ground.fine.features;
            let ever = grown(&place.fine.ever(), f.cols, f.rows, RING);
            each(soft(&ever, f.cols, f.rows), frees);
        }
        Ok(())
    }
}

impl Place {
    /// Its cells in the clips at `offsets`: where it is in its own, and where it would
    /// be seen again in those that play around it.
    fn cells(&self, ground: &Ground, from: usize, to: usize, offsets: &[i32]) -> Cells {
        let f = &ground.fine.features;
        let mut must = vec![false; f.cells()];
        for &offset in offsets {
            let there = self.fine.over(from, to, offset, f.cells());
            must.iter_mut().zip(there).for_each(|(m, t)| *m |= t);
        }
        let may = grown(&must, f.cols, f.rows, RING);
        Cells { must, may }
    }

    /// How well frames follow one another where the part is.
    fn jumps(
        &self,
        ground: &Ground,
        window: usize,
        left_out: &[bool],
        task: Task<'_>,
    ) -> Result<Jumps, Cancelled> {
        let look = &ground.coarse.features;
        let ever = self.coarse.ever();
        let window = window.min((look.frames / 3).max(1));
        let (fps, choice) = (ground.fps, ground.choice);
        Jumps::new(look, window, fps, left_out, Some(&ever), choice, task)
    }

    fn lay(
        &self,
        ground: &Ground,
        free: &Free,
        plan: &Plan,
        rng: &mut Philox,
        task: Task<'_>,
    ) -> Result<Laid, Cancelled> {
        let part = Part {
            cells: &|from, to, offsets| self.cells(ground, from, to, offsets),
            span: (0, free.stretch.length),
            start: plan.start as i32,
            changes: &plan.changes,
            standing: free.stretch.start.is_none() && plan.start != free.start,
            closed: free.stretch.closed,
            home: false,
            whole: true,
            eager: 0,
            window: window(ground),
        };
        let below = (free.start as i32, &free.events[..]);
        overlay(&ground.fine, below, &part, rng, task)
    }
}

/// Frames that a change of a part takes, at most.
fn window(ground: &Ground) -> usize {
    let quick = libm::rint(0.25 * ground.fps) as usize;
    quick.clamp(2, ground.jumps.window.max(2))
}

/// Sees to it that a plan of a stretch with a given end gets there.
fn arrive(plan: &mut Plan, s: &Stretch, window: usize) {
    let last = plan.changes.last().map_or(plan.start as i32, |c| c.offset);
    if let Some(offset) = s.arrival(plan.start).filter(|o| *o != last) {
        let at = s
            .length
            .saturating_sub(window + 1)
            .max((-offset).max(0) as usize);
        plan.changes.retain(|c| c.at < at);
        plan.changes.push(Change { at, offset });
    }
}

/// The cells `set` in full, and less and less around them.
fn soft(set: &[bool], cols: usize, rows: usize) -> Area {
    let wide = grown(set, cols, rows, AROUND);
    let reach = EDGE as i64;
    let part = |x: usize, y: usize| {
        let (mut sum, mut n) = (0u32, 0u32);
        for dy in -reach..=reach {
            for dx in -reach..=reach {
                let at =
                    |v: usize, d: i64, n: usize| (v as i64 + d).clamp(0, n as i64 - 1) as usize;
                sum += u32::from(wide[at(y, dy, rows) * cols + at(x, dx, cols)]);
                n += 1;
            }
        }
        (sum * 255 / n) as u8
    };
    Area::Cells((0..cols * rows).map(|c| part(c % cols, c / cols)).collect())
}

/// Puts the events of `frees` into `edit`.
pub(super) fn put(edit: &mut EditList, frees: &[Free]) {
    edit.events.clear();
    for free in frees {
        let shift = free.from as i32;
        edit.events.extend(free.events.iter().map(|e| Event {
            at: e.at + free.from as u32,
            offset: e.offset - shift,
            ..e.clone()
        }));
    }
}
