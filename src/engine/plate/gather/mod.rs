//! Makes a frame from the edit list and the few plate frames that it shows.
//!
//! A pixel is a plate pixel from the same place at another time, chosen hard:
//! most of a frame is copied bit for bit. Near a cut both sides are warped
//! toward each other; around it the clips share their lowest frequencies.
//!
//! First the rows are labelled (which source, copied or worked on), then the
//! sources are read one after the other, each written to where it shows and
//! forgotten. So the memory held is the window that is made, one plate frame
//! (two and the matte where a matte is used) and some megabytes of grids and
//! runs, however long the plate and however many clips meet.

mod flow;
mod grid;
mod label;
mod low_band;
mod matte;
mod moment;
mod sample;
mod warp;

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;

use self::grid::{Axis, lerp};
use self::label::{CutRow, Run};
use self::low_band::{Grade, LowBand};
use self::moment::{Moment, Seam};
use self::warp::Pair;
use super::analysis::Analysis;
use super::edit_list::EditList;
use crate::device::{Task, install};
use crate::engine::{EngineError, Sources};
use crate::frame::{FrameError, Picture, PlateInfo, PlateReader, Window};

/// Rows that one thread works on between two looks at the task.
const BAND: usize = 16;
/// Displacement in pixels below which a pixel is copied.
const STILL: f32 = 0.02;

/// The plate frames (by number) that any pixel of output frame `frame` shows,
/// both sides of a warped cut among them.
pub(super) fn frames_needed(_analysis: &Analysis, edit: &EditList, frame: i32) -> Vec<i32> {
    if check(edit).is_err() {
        return Vec::new();
    }
    let t = index(edit, frame);
    let seam = Seam::of(edit);
    let moment = Moment::new(edit, &seam, t);
    let mut frames: BTreeSet<i32> = moment
        .sources
        .iter()
        .zip(moment.shown())
        .filter_map(|(source, shown)| shown.then_some(edit.first_plate + source.index))
        .collect();
    if edit.matted {
        frames.insert(plate_beneath(edit, t));
    }
    frames.into_iter().collect()
}

/// The plate index (0 is the plate's first frame) whose pixel each pixel of
/// output frame `frame` shows, for a picture of `width` × `height`, row by row;
/// where a cut is warped, the frame that is warped. Empty where the edit list is
/// damaged.
pub(super) fn plate_indices(edit: &EditList, frame: i32, width: usize, height: usize) -> Vec<i32> {
    if check(edit).is_err() {
        return Vec::new();
    }
    let seam = Seam::of(edit);
    let moment = Moment::new(edit, &seam, index(edit, frame));
    let across = Axis::new(moment.cols, width);
    let down = Axis::new(moment.rows, height);
    let mut cuts = CutRow::new(&moment, &across);
    let mut indices = Vec::with_capacity(width * height);
    for y in 0..height {
        cuts.go(&down, y);
        indices.extend((0..width).map(|x| moment.sources[cuts.choose(x).source].index));
    }
    indices
}

/// Makes the part `window` of output frame `frame`. See
/// [`Engine::make`](crate::engine::Engine::make).
pub(super) fn make(
    analysis: &Analysis,
    edit: &EditList,
    frame: i32,
    window: Window,
    sources: &mut Sources<'_>,
    task: Task<'_>,
) -> Result<Arc<Picture>, EngineError> {
    task.check()?;
    check(edit)?;
    let info = sources.plate.info().clone();
    let window = window.intersection(&Window::whole(info.width, info.height));
    let channels = info.channels.len().max(1);
    if window.width() == 0 || window.height() == 0 {
        return Ok(Arc::new(Picture::new(0, 0, channels)));
    }
    let t = index(edit, frame);
    let matte = match (edit.matted, sources.matte.as_deref_mut()) {
        (false, _) => None,
        (true, Some(matte)) => {
            let picture = matte.read(edit.first_out + t)?;
            Some(sized(picture, edit.first_out + t, &info)?)
        }
        (true, None) => {
            return Err(EngineError::Request(
                "filling needs a matte that shows what is to go: connect one".to_owned(),
            ));
        }
    };
    let seam = Seam::of(edit);
    let moment = Moment::new(edit, &seam, t);
    let layout = Layout::new(
        edit,
        analysis,
        &info,
        window,
        &moment,
        matte.as_deref(),
        task,
    )?;

    let read = |plate: &mut dyn PlateReader, source: usize| {
        let number = edit.first_plate + moment.sources[source].index;
        let picture = sized(plate.read(number)?, number, &info)?;
        if picture.channels() == channels {
            Ok(picture)
        } else {
            Err(EngineError::Request(format!(
                "frame {number} of the plate has {} channels where the plate has {channels}: \
                 all frames of a plate must have the same channels",
                picture.channels()
            )))
        }
    };
    if let Some(source) = layout.single().filter(|_| matte.is_none()) {
        return Ok(Picture::crop(&read(&mut *sources.plate, source)?, window));
    }
    let mut out = Picture::new(window.width(), window.height(), channels);
    for source in 0..moment.sources.len() {
        if layout.shows(source) {
            let picture = read(&mut *sources.plate, source)?;
            install(|| layout.draw(&mut out, source, &picture, task))?;
        }
    }
    if let Some(matte) = matte {
        let number = plate_beneath(edit, t);
        let plate = sized(sources.plate.read(number)?, number, &info)?;
        install(|| composite(&mut out, &plate, &matte, window, task))?;
    }
    Ok(Arc::new(out))
}

/// Output index of output frame `frame`.
fn index(edit: &EditList, frame: i32) -> i32 {
    let last = (edit.out_frames as i32 - 1).max(0);
    frame.saturating_sub(edit.first_out).clamp(0, last)
}

/// Number of the plate frame that stands outside the matte.
fn plate_beneath(edit: &EditList, t: i32) -> i32 {
    let last = (edit.plate_frames as i32 - 1).max(0);
    edit.first_plate + (t + edit.offset).clamp(0, last)
}

/// The cells of plate index `index` on the grid, three values each; `None`
/// where the analysis does not have them.
fn coarse(analysis: &Analysis, index: i32, cells: usize) -> Option<&[i16]> {
    let i = usize::try_from(index).ok()?;
    (analysis.cols * analysis.rows == cells)
        .then(|| analysis.colour.get(i * cells * 3..(i + 1) * cells * 3))
        .flatten()
}

fn check(edit: &EditList) -> Result<(), EngineError> {
    let cells = usize::from(edit.cols) * usize::from(edit.rows);
    let whole = cells > 0
        && edit.plate_frames > 0
        && edit.out_frames > 0
        && edit.events.iter().all(|e| e.switch.len() == cells);
    if whole {
        Ok(())
    } else {
        Err(EngineError::Request(
            "the edit list kept for this sequence is damaged: clear the store and try again"
                .to_owned(),
        ))
    }
}

/// `picture`, where it is of the plate's size.
fn sized(picture: Arc<Picture>, frame: i32, info: &PlateInfo) -> Result<Arc<Picture>, EngineError> {
    let (found, expected) = (
        (picture.width(), picture.height()),
        (info.width, info.height),
    );
    if found == expected {
        Ok(picture)
    } else {
        Err(FrameError::Size {
            frame,
            found,
            expected,
        }
        .into())
    }
}

/// All that is known of a window before any pixel of the plate is read.
struct Layout<'a> {
    moment: &'a Moment<'a>,
    window: Window,
    across: Axis,
    down: Axis,
    band: Option<LowBand>,
    grade: Grade,
    /// Row by row of the window.
    runs: Vec<Vec<Run>>,
    /// Flow by shown source times the number of sources, plus the other one;
    /// whether it is to be read backwards.
    flows: Vec<Option<(Arc<Pair>, bool)>>,
}

impl<'a> Layout<'a> {
    fn new(
        edit: &EditList,
        analysis: &Analysis,
        info: &PlateInfo,
        window: Window,
        moment: &'a Moment<'a>,
        matte: Option<&Picture>,
        task: Task<'_>,
    ) -> Result<Self, EngineError> {
        let across = Axis::new(moment.cols, info.width);
        let down = Axis::new(moment.rows, info.height);
        let band = if edit.low_band {
            LowBand::new(edit, analysis, moment)
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
        let found = install(|| {
            undirected
                .into_par_iter()
                .map(|(a, b)| {
                    task.check()?;
                    Ok(((a, b), Pair::between(analysis, a, b)))
                })
                .collect::<Result<std::collections::BTreeMap<_, _>, EngineError>>()
        })?;
        let mut flows = vec![None; n * n];
        for (a, b) in pairs {
            let (i, j) = (index(a), index(b));
            if let Some(Some(pair)) = found.get(&(i.min(j), i.max(j))) {
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
            runs,
            flows,
        })
    }

    /// The source that the whole window copies, if it is one.
    fn single(&self) -> Option<usize> {
        let first = self.runs.first()?.first()?;
        self.runs
            .iter()
            .all(|r| r.len() == 1 && r[0].is_copy() && r[0].source == first.source)
            .then_some(usize::from(first.source))
    }

    fn shows(&self, source: usize) -> bool {
        let shown = |r: &Run| usize::from(r.source) == source;
        self.runs.iter().any(|row| row.iter().any(shown))
    }

    /// Writes what `out` shows of `source`, which is `picture`.
    fn draw(
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

    /// Row `row` of the window.
    fn draw_row(
        &self,
        out: &mut [f32],
        row: usize,
        source: usize,
        picture: &Picture,
        cuts: &mut CutRow<'_>,
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
            for (x, out) in (x0..x1).zip(out.chunks_exact_mut(c)) {
                let d = if run.warped {
                    work.displacement(cuts, x)
                } else {
                    [0.0; 2]
                };
                if d[0].abs() + d[1].abs() < STILL {
                    out.copy_from_slice(&from[x * c..(x + 1) * c]);
                } else {
                    sample::catmull_rom(picture, x, y, d[0], d[1], out);
                }
                if run.eased {
                    self.grade.add(out, work.step(x));
                }
            }
        }
    }
}

/// What one source is given along one row of pixels.
struct RowWork<'a> {
    layout: &'a Layout<'a>,
    source: usize,
    /// For each other source: the flow toward it in pixels, column by column.
    flows: Vec<Option<Vec<[f32; 2]>>>,
    steps: Vec<[f32; 3]>,
}

impl<'a> RowWork<'a> {
    fn new(layout: &'a Layout<'a>, source: usize, y: usize) -> Self {
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
            layout,
            source,
            flows,
            steps,
        }
    }

    /// Where pixel `x` is read from, relative to its own place, in pixels.
    fn displacement(&self, cuts: &CutRow<'_>, x: usize) -> [f32; 2] {
        let choice = cuts.choose(x);
        debug_assert_eq!(choice.source, self.source);
        let mut d = [0.0f32; 2];
        for &(other, share) in choice.pulls() {
            if let Some(flow) = &self.flows[other] {
                let toward = self.between(flow, x);
                d[0] -= share * toward[0];
                d[1] -= share * toward[1];
            }
        }
        d
    }

    /// The low band's correction at pixel `x`.
    fn step(&self, x: usize) -> [f32; 3] {
        self.between(&self.steps, x)
    }

    fn between<const N: usize>(&self, columns: &[[f32; N]], x: usize) -> [f32; N] {
        let across = &self.layout.across;
        let (l, r) = across.ends(across.interval[x] as usize);
        std::array::from_fn(|i| lerp(columns[l][i], columns[r][i], across.part[x]))
    }
}

fn first_channel(picture: &Picture, y: usize) -> Vec<f32> {
    picture
        .row(y)
        .iter()
        .step_by(picture.channels())
        .copied()
        .collect()
}

fn composite(
    out: &mut Picture,
    plate: &Picture,
    matte: &Picture,
    window: Window,
    task: Task<'_>,
) -> Result<(), EngineError> {
    let c = out.channels();
    let row = out.width() * c;
    let (x0, x1) = (window.x0 as usize, window.x1 as usize);
    out.data_mut()
        .par_chunks_mut(row * BAND)
        .enumerate()
        .try_for_each(|(band, rows)| {
            task.check()?;
            for (i, out) in rows.chunks_exact_mut(row).enumerate() {
                let y = window.y0 as usize + band * BAND + i;
                let under = &plate.row(y)[x0 * c..x1 * c];
                matte::composite(out, under, &first_channel(matte, y)[x0..x1], c);
            }
            Ok(())
        })
}
