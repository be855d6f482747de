//! What each pixel of a window shows and what is done to it, and the doing.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;

use super::grid::{Axis, lerp};
use super::label::{CutRow, Mix, Run};
use super::low_band::{Grade, LowBand};
use super::moment::Moment;
use super::warp::{self, Pair};
use super::{BAND, Coarse, With, first_channel, matte, sample};
use crate::device::isa::vectorised;
use crate::device::{Task, install};
use crate::engine::EngineError;
use crate::engine::plate::camera;
use crate::engine::plate::edit_list::EditList;
use crate::frame::{Picture, PlateInfo, Window};

/// All that is known of a window before any pixel of the plate is read.
pub(super) struct Layout<'a> {
    pub(super) moment: &'a Moment<'a>,
    window: Window,
    pub(super) across: Axis,
    pub(super) down: Axis,
    pub(super) band: Option<LowBand>,
    pub(super) grade: Grade,
    /// Channels that are never mixed.
    ids: Vec<usize>,
    /// Row by row of the window.
    runs: Vec<Vec<Run>>,
    /// Flow by shown source times the number of sources, plus the other one;
    /// whether it is to be read backwards.
    pub(super) flows: Vec<Option<(Arc<Pair>, bool)>>,
}

/// How the grid lies under output index `t`, across and down.
pub(super) fn axes(edit: &EditList, info: &PlateInfo, t: i32) -> (Axis, Axis) {
    // The grid lies on the steadied picture, which this frame's camera sees from a
    // little aside. What it turns is far less than a cell.
    let aside = edit.camera.as_ref().map_or((0.0, 0.0), |c| {
        let back = c.out[t as usize].inverse();
        (back.x / camera::wide(info), back.y)
    });
    (
        Axis::aside(usize::from(edit.cols), info.width, aside.0),
        Axis::aside(usize::from(edit.rows), info.height, aside.1),
    )
}

impl<'a> Layout<'a> {
    pub(super) fn new(
        edit: &EditList,
        with: With<'_>,
        info: &PlateInfo,
        window: Window,
        moment: &'a Moment<'a>,
        matte: Option<&Picture>,
        task: Task<'_>,
    ) -> Result<Self, EngineError> {
        let (across, down) = axes(edit, info, moment.t);
        let plate = Coarse::of(with.analysis, edit);
        let band = if edit.low_band {
            LowBand::new(edit, plate, moment)
        } else {
            None
        };
        let labelled = |rows: std::ops::Range<usize>| -> Result<_, EngineError> {
            task.check()?;
            let mut cuts = CutRow::new(moment, &across);
            let mut pairs = BTreeSet::new();
            let mut runs = Vec::with_capacity(rows.len());
            for y in rows {
                let (mut from, mut to) = (window.x0 as usize, window.x1 as usize);
                if let Some(m) = matte.map(|m| first_channel(m, y)) {
                    let reach = matte::reach(&m);
                    (from, to) = (from.max(reach.0), to.min(reach.1));
                }
                if from >= to {
                    runs.push(Vec::new());
                    continue;
                }
                cuts.go(&down, y);
                let ends = down.ends(down.interval[y] as usize);
                runs.push(cuts.runs(from, to, edit.warp, band.as_ref(), ends, &mut pairs));
            }
            Ok((runs, pairs))
        };
        let (y0, y1) = (window.y0 as usize, window.y1 as usize);
        let bands = install(|| {
            (y0..y1)
                .into_par_iter()
                .step_by(BAND)
                .map(|y| labelled(y..(y + BAND).min(y1)))
                .collect::<Result<Vec<_>, EngineError>>()
        })?;
        let mut runs = Vec::with_capacity(y1 - y0);
        let mut pairs = BTreeSet::new();
        for (r, p) in bands {
            runs.extend(r);
            pairs.extend(p);
        }
        let n = moment.sources.len();
        let index = |source: usize| moment.sources[source].index;
        // Both ways of a pair are found at once.
        let undirected: BTreeSet<(i32, i32)> = pairs
            .iter()
            .map(|&(a, b)| (index(a).min(index(b)), index(a).max(index(b))))
            .collect();
        let found = Pair::all(plate, &undirected, with.choice, task)?;
        let mut flows = vec![None; n * n];
        for (a, b) in pairs {
            let (i, j) = (index(a), index(b));
            if let Some(pair) = found.get(&(i.min(j), i.max(j))) {
                flows[a * n + b] = Some((Arc::clone(pair), i > j));
            }
        }
        Ok(Self {
            moment,
            window,
            across,
            down,
            band,
            grade: Grade::of(info),
            ids: info.id_channels(),
            runs,
            flows,
        })
    }

    /// The source that the whole window copies, if it is one.
    pub(super) fn single(&self) -> Option<usize> {
        let first = self.runs.first()?.first()?;
        self.runs
            .iter()
            .all(|r| r.len() == 1 && r[0].is_copy() && r[0].source == first.source)
            .then_some(usize::from(first.source))
    }

    /// The channels that are never mixed.
    pub(super) fn ids(&self) -> &[usize] {
        &self.ids
    }

    pub(super) fn shows(&self, source: usize) -> bool {
        let shown = |r: &Run| usize::from(r.source) == source;
        self.runs.iter().any(|row| row.iter().any(shown))
    }

    /// Writes what `out` shows of `source`, which is `picture`.
    pub(super) fn draw(
        &self,
        out: &mut Picture,
        source: usize,
        picture: &Picture,
        task: Task<'_>,
    ) -> Result<(), EngineError> {
        let row = out.width() * out.channels();
        out.data_mut()
            .par_chunks_mut(row * BAND)
            .enumerate()
            .try_for_each(|(band, rows)| {
                task.check()?;
                let mut cuts = CutRow::new(self.moment, &self.across);
                for (i, out) in rows.chunks_exact_mut(row).enumerate() {
                    self.draw_row(out, band * BAND + i, source, picture, &mut cuts);
                }
                Ok(())
            })
    }

    vectorised! {
        /// Row `row` of the window.
        fn draw_row(
            &self,
            out: &mut [f32],
            row: usize,
            source: usize,
            picture: &Picture,
            cuts: &mut CutRow<'a>,
        ) {
            Portable: self.draw_row_any(out, row, source, picture, cuts),
            Avx2 draw_row_avx2: self.draw_row_any(out, row, source, picture, cuts),
        }
    }

    #[inline(always)]
    fn draw_row_any(
        &self,
        out: &mut [f32],
        row: usize,
        source: usize,
        picture: &Picture,
        cuts: &mut CutRow<'a>,
    ) {
        let y = self.window.y0 as usize + row;
        let c = picture.channels();
        let from = picture.row(y);
        let mut work: Option<RowWork> = None;
        for run in &self.runs[row] {
            if usize::from(run.source) != source {
                continue;
            }
            let (x0, x1) = (run.from as usize, run.to as usize);
            let left = self.window.x0 as usize;
            let out = &mut out[(x0 - left) * c..(x1 - left) * c];
            if run.is_copy() {
                out.copy_from_slice(&from[x0 * c..x1 * c]);
                continue;
            }
            let work = work.get_or_insert_with(|| {
                cuts.go(&self.down, y);
                RowWork::new(self, source, y)
            });
            let mut x = x0;
            while x < x1 {
                let k = self.across.interval[x] as usize;
                let end = x1.min(self.across.start[k + 1] as usize);
                let ends = self.across.ends(k);
                let out = &mut out[(x - x0) * c..(end - x0) * c];
                let parts = &self.across.part[x..end];
                if run.warped && work.moves(ends) {
                    cuts.mix(k, &mut work.mix);
                    work.displace(ends, parts);
                    sample::row(picture, (x, y), &work.moved, out);
                    if !self.ids.is_empty() {
                        sample::nearest(picture, (x, y), &work.moved, &self.ids, out);
                    }
                } else {
                    out.copy_from_slice(&from[x * c..end * c]);
                }
                if run.eased {
                    let steps = (work.steps[ends.0], work.steps[ends.1]);
                    self.grade.ease(out, c, steps, parts);
                }
                x = end;
            }
        }
    }
}

/// What one source is given along one row of pixels.
struct RowWork<'a> {
    source: usize,
    /// What plays in the interval at hand.
    mix: Mix<'a>,
    /// For each other source: the flow toward it in pixels, column by column.
    flows: Vec<Option<Vec<[f32; 2]>>>,
    steps: Vec<[f32; 3]>,
    /// For each pixel of the interval: the share of a flow, and where it is
    /// read from.
    shares: Vec<f32>,
    moved: Vec<[f32; 2]>,
}

impl<'a> RowWork<'a> {
    fn new(layout: &Layout<'a>, source: usize, y: usize) -> Self {
        let n = layout.moment.sources.len();
        let (sx, sy) = (
            layout.across.part.len() as f32 / layout.moment.cols as f32,
            layout.down.part.len() as f32 / layout.moment.rows as f32,
        );
        let flows = layout.flows[source * n..(source + 1) * n]
            .iter()
            .map(|flow| {
                let (pair, reversed) = flow.as_ref()?;
                let field = if *reversed { &pair.back } else { &pair.forth };
                let mut row = warp::row(field, &layout.across, &layout.down, y);
                row.iter_mut().for_each(|d| *d = [d[0] * sx, d[1] * sy]);
                Some(row)
            })
            .collect();
        let steps = layout
            .band
            .as_ref()
            .map_or_else(Vec::new, |b| b.row(source, &layout.down, y));
        Self {
            source,
            mix: Mix::default(),
            flows,
            steps,
            shares: Vec::new(),
            moved: Vec::new(),
        }
    }

    /// Whether any flow at all leads away from between two columns.
    fn moves(&self, ends: (usize, usize)) -> bool {
        let length = |d: [f32; 2]| d[0].abs() + d[1].abs();
        let most: f32 = self
            .flows
            .iter()
            .flatten()
            .map(|f| length(f[ends.0]).max(length(f[ends.1])))
            .sum();
        most >= sample::STILL
    }

    /// Finds where the pixels at `parts` of the interval are read from, relative
    /// to their own places, in pixels.
    #[inline(always)]
    fn displace(&mut self, ends: (usize, usize), parts: &[f32]) {
        self.moved.clear();
        self.moved.resize(parts.len(), [0.0; 2]);
        self.shares.resize(parts.len(), 0.0);
        if let Some(other) = self.mix.toward(self.source, parts, &mut self.shares) {
            let Some(flow) = &self.flows[other] else {
                return;
            };
            let (l, r) = (flow[ends.0], flow[ends.1]);
            for ((d, &part), &share) in self.moved.iter_mut().zip(parts).zip(&self.shares) {
                *d = [
                    -share * lerp(l[0], r[0], part),
                    -share * lerp(l[1], r[1], part),
                ];
            }
            return;
        }
        for (d, &part) in self.moved.iter_mut().zip(parts) {
            let choice = self.mix.choose(part);
            for &(other, share) in choice.pulls() {
                if let Some(flow) = &self.flows[other] {
                    let toward = between(flow, ends, part);
                    d[0] -= share * toward[0];
                    d[1] -= share * toward[1];
                }
            }
        }
    }
}

/// The value of `columns` at `part` of the way between two of them.
#[inline(always)]
fn between<const N: usize>(columns: &[[f32; N]], ends: (usize, usize), part: f32) -> [f32; N] {
    let (l, r) = (columns[ends.0], columns[ends.1]);
    std::array::from_fn(|i| lerp(l[i], r[i], part))
}
