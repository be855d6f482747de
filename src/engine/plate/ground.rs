//! A plate made ready for deciding: on two grids, with what a jump between any two
//! frames costs.

use std::borrow::Cow;

use super::analysis::Analysis;
use super::carry::Level;
use super::edit_list::LONGEST;
use super::features::{Features, coarser_cols};
use super::jumps::Jumps;
use super::score::calmest;
use crate::device::gpu::Choice;
use crate::device::{self, Cancelled, Task};
use crate::engine::Timeline;

/// Rows of the grid that plans are made on.
const PLAN_ROWS: usize = 24;

/// Cells of the grid that plans are made on, where that of decisions has `cols` by `rows`.
pub(super) fn plan_cells(cols: usize, rows: usize) -> usize {
    let fewer = PLAN_ROWS.min(rows);
    fewer * coarser_cols(cols, rows, fewer)
}

/// A plate made ready for deciding.
pub(super) struct Ground {
    /// On the grid of the edit list.
    pub(super) fine: Level,
    /// On the grid of the plan.
    pub(super) coarse: Level,
    pub(super) jumps: Jumps,
    pub(super) fps: f64,
    /// How much calmer than usual the plate's calmest stretch is, see
    /// [`calmest`](super::score::calmest).
    pub(super) calmest: f64,
    /// Where costs are counted.
    pub(super) choice: Choice,
}

impl Ground {
    /// Compares the frames of `analysis` that the timeline's plate has, `left_out` being
    /// those that no clip shows.
    ///
    /// # Errors
    /// Where the work was asked to stop.
    pub(super) fn new(
        analysis: Cow<'_, Analysis>,
        timeline: &Timeline,
        steady: bool,
        left_out: &[bool],
        choice: Choice,
        task: Task<'_>,
    ) -> Result<Self, Cancelled> {
        let fps = analysis.info.fps.clamp(1.0, 1000.0);
        let frames = timeline.plate.count() as i32;
        // A change happens between frames that are not left out.
        let frames = match longest_run(left_out) {
            0 => frames,
            run => frames.min(run as i32),
        };
        // One frame less than the handle of a request (.9 s, at most a third of the
        // plate), so that a change may begin at the first frame that is made.
        let handle = (libm::round(0.9 * fps) as i32)
            .clamp(4, (frames / 3).max(4))
            .min((frames - 1) / 2);
        let window = ((handle - 1).max(1) as usize).min(LONGEST);
        let plate = timeline.plate;
        let (mut fine, mut coarse) = device::install(|| {
            rayon::join(
                || Level::new(Features::new(&analysis, plate, steady)),
                || Level::new(Features::coarser(&analysis, plate, PLAN_ROWS, steady)),
            )
        });
        // Of a plate that was levelled for this, not held beside the tables of plans.
        drop(analysis);
        task.check()?;
        // From one grid to the next finer a frame that steps too far does so by
        // less; from the finer to full size it is taken to do so again.
        let (a, b) = (coarse.own.most - 1.0, fine.own.most - 1.0);
        let trust = (b / a.max(1e-3)).clamp(0.25, 1.0);
        coarse.own.trust = trust;
        fine.own.trust = trust;
        let jumps = Jumps::new(&coarse.features, window, fps, left_out, None, choice, task)?;
        Ok(Self {
            calmest: calmest(&coarse.features, window),
            fine,
            coarse,
            jumps,
            fps,
            choice,
        })
    }
}

/// The longest run of frames that are not `left_out`; 0 where nothing is.
fn longest_run(left_out: &[bool]) -> usize {
    let runs = left_out.chunk_by(|a, b| a == b);
    match left_out.contains(&true) {
        true => runs.filter(|r| !r[0]).map(<[bool]>::len).max().unwrap_or(0),
        false => 0,
    }
}
