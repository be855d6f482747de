//! Makes the events of a stretch of output frames: several plans, each carried
//! out, the best kept.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use rayon::prelude::*;

use super::carry::Carrier;
use super::edit_list::Event;
use super::ground::Ground;
use super::jumps::Jumps;
use super::plan::{Stretch, Taste, plan};
use super::playing::Playing;
use super::score::Marks;
use super::settings::Settings;
use super::switch::Rooms;
use crate::device::{self, Cancelled, Task};
use crate::sampler::Philox;

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
    pub(super) asides: f64,
    /// What an aside may tear.
    pub(super) limit: f64,
    /// How many times as many clips are tried for a change as usual.
    pub(super) care: usize,
    /// From 0 to 1, as the artist chose it.
    pub(super) novelty: f64,
}

impl Style {
    pub(super) fn new(settings: &Settings, jumps: &Jumps, ground: &Ground, plan: u32) -> Self {
        let novelty = settings.novelty.clamp(0.0, 1.0);
        // Novelty comes from changing clip more often first: asides tear more
        // for the same. They come in above the middle of the control.
        let half = plan / 3 % 2;
        let with = half == 1 && novelty > 0.5;
        let eager = [0.6, 1.0, 1.6][plan as usize % 3] * (0.25 + 2.75 * novelty);
        let least = [1.0, 0.75][half as usize] * (0.9 - 0.4 * novelty);
        Self {
            taste: Taste {
                eager,
                shortest: libm::rint(jumps.window as f64 * least).max(3.0) as usize,
                copied: 0.72 - 0.37 * novelty,
                half: 0.5 * ground.fps,
                vary: 0.8,
                // A jump that does not come back costs seams and steps: only above
                // the middle of the control.
                back: 3.0 * (2.0 * novelty - 1.0).max(0.0),
                // Of a plate that is calm for a while and wild for another, plans that
                // change often keep to where it is calm: half of them are kept from it,
                // the more so the calmer it gets there.
                cover: if half == 1 && novelty >= 0.25 {
                    2.0 + 4.0 * ((0.9 - ground.calmest) / 0.035).clamp(0.0, 1.0)
                } else {
                    0.4
                },
                heat: [0.08, 0.16][half as usize],
            },
            asides: if with { 0.2 / novelty } else { 0.0 },
            limit: 8.0 * novelty,
            // Where the safest cuts are asked for there are few: each may cost more.
            care: if novelty < 0.25 { 2 } else { 1 },
            novelty,
        }
    }
}

/// The best of the plans that the settings ask for. `place` sets streams of
/// random numbers apart. `playing` is what plays at first, where not one clip does
/// everywhere.
pub(super) fn solve(
    ground: &Ground,
    stretch: &Stretch,
    playing: Option<&Playing>,
    settings: &Settings,
    place: u32,
    task: Task<'_>,
) -> Result<Solution, Cancelled> {
    let plans = settings.plans.max(1);
    let finished = AtomicU32::new(0);
    // The best score so far. A plan is given up once it cannot come below: the best
    // of all never is, so which are given up changes nothing.
    let score = |s: &Solution| s.marks.score(&ground.fine.own, settings.novelty);
    let best = Mutex::new(f64::INFINITY);
    let rooms = Rooms::default();
    let worth = |least: f64| least <= *best.lock();
    let solutions: Vec<Option<Solution>> = device::install(|| {
        (0..plans)
            .into_par_iter()
            .map(|q| {
                let streams = |k: u32| Philox::new(settings.seed, [place, q, k]);
                let style = Style::new(settings, &ground.jumps, ground, q);
                let plan = plan(
                    stretch,
                    &ground.jumps,
                    &ground.coarse.features,
                    &style.taste,
                    &mut streams(0),
                    task,
                )?;
                let carrier = Carrier::new(
                    ground, stretch, &style, &streams, &worth, &rooms, plan.start,
                );
                let solution = carrier.carry(plan, playing, task)?;
                if let Some(s) = &solution {
                    let mut best = best.lock();
                    *best = best.min(score(s));
                }
                let done = finished.fetch_add(1, Ordering::Relaxed) + 1;
                task.step("Deciding", done as usize, plans as usize)?;
                Ok(solution)
            })
            .collect::<Result<_, Cancelled>>()
    })?;
    solutions
        .into_iter()
        .flatten()
        .min_by(|a, b| score(a).total_cmp(&score(b)))
        .ok_or(Cancelled)
}
