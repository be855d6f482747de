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
mod layout;
mod low_band;
mod matte;
mod moment;
mod on_gpu;
mod quad;
mod resample;
mod sample;
mod view;
mod warp;

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;

use self::grid::Axis;
use self::label::CutRow;
use self::layout::Layout;
use self::moment::{Moment, Seam};
pub(super) use self::view::{Seen, at_rest};
use super::analysis::Analysis;
use super::camera::Pose;
use super::edit_list::EditList;
use crate::device::gpu::{self, Choice};
use crate::device::{Task, install};
use crate::engine::{EngineError, Sources};
use crate::frame::{FrameError, Picture, PlateInfo, PlateReader, Window};

/// Samples below which a window is not worth a GPU's while.
const SMALL: usize = 1 << 20;
/// Rows that one thread works on between two looks at the task.
const BAND: usize = 16;

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
        for run in cuts.runs(0, width, false, None, (0, 0), &mut BTreeSet::new()) {
            let index = moment.sources[usize::from(run.source)].index;
            indices.resize(indices.len() + (run.to - run.from) as usize, index);
        }
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
    choice: Choice,
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

    // The plate as the camera of this frame sees it.
    let (poses, from) = edit
        .camera
        .as_ref()
        .map_or((&[][..], Pose::REST), |c| (&c.plate[..], c.out[t as usize]));
    let mut plate = Seen::new(&mut *sources.plate, edit.first_plate, poses, from);
    let mut read = |number: i32| {
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
    let number = |source: usize| edit.first_plate + moment.sources[source].index;
    if let Some(source) = layout.single().filter(|_| matte.is_none()) {
        return Ok(Picture::crop(&read(number(source))?, window));
    }
    let mut out = Picture::new(window.width(), window.height(), channels);
    if (choice == Choice::Gpu || out.data().len() >= SMALL) && gpu::is_worth_asking(choice) {
        let mut shown = on_gpu::Shown {
            sources: vec![None; moment.sources.len()],
            matte: None,
        };
        for source in 0..moment.sources.len() {
            if layout.shows(source) {
                shown.sources[source] = Some(read(number(source))?);
            }
        }
        if let Some(matte) = &matte {
            shown.matte = Some((matte.clone(), read(plate_beneath(edit, t))?));
        }
        task.check()?;
        if let Some(tables) = on_gpu::tables(&layout, &info, edit.warp) {
            let draw = |gpu: &mut gpu::Gpu| on_gpu::draw(gpu, &tables, &shown, window, &mut out);
            if gpu::with(choice, draw)?.is_some() {
                return Ok(Arc::new(out));
            }
        }
    }
    for source in 0..moment.sources.len() {
        if layout.shows(source) {
            let picture = read(number(source))?;
            install(|| layout.draw(&mut out, source, &picture, task))?;
        }
    }
    if let Some(matte) = matte {
        let plate = read(plate_beneath(edit, t))?;
        install(|| composite(&mut out, &plate, &matte, window, task))?;
    }
    Ok(Arc::new(out))
}

/// See [`optical_flow`](super::optical_flow).
pub(super) fn optical_flow(a: &[f32], b: &[f32], cols: usize) -> Vec<[f32; 2]> {
    let plane = |data: &[f32]| flow::Plane {
        cols,
        rows: data.len() / cols.max(1),
        data: data.to_vec(),
    };
    if cols == 0 || a.len() != b.len() || !a.len().is_multiple_of(cols) {
        return vec![[0.0; 2]; a.len()];
    }
    let field = flow::flow(&plane(a), &plane(b));
    let pairs = field.u.data.iter().zip(&field.v.data);
    pairs.map(|(&u, &v)| [u, v]).collect()
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

/// What plate frames look like on the grid, steadied where the edit list is.
#[derive(Clone, Copy)]
struct Coarse<'a> {
    colour: &'a [i16],
    cols: usize,
    rows: usize,
}

impl<'a> Coarse<'a> {
    fn of(analysis: &'a Analysis, edit: &EditList) -> Self {
        Self {
            colour: analysis.colour(edit.camera.is_some()),
            cols: analysis.cols,
            rows: analysis.rows,
        }
    }

    /// The cells of plate index `index`, three values each; `None` where the
    /// analysis does not have them.
    fn frame(&self, index: i32) -> Option<&'a [i16]> {
        let i = usize::try_from(index).ok()?;
        let width = self.cols * self.rows * 3;
        self.colour.get(i * width..(i + 1) * width)
    }
}

fn check(edit: &EditList) -> Result<(), EngineError> {
    let cells = usize::from(edit.cols) * usize::from(edit.rows);
    let whole = cells > 0
        && edit.plate_frames > 0
        && edit.out_frames > 0
        && edit.camera.as_ref().is_none_or(|c| {
            c.plate.len() == edit.plate_frames as usize && c.out.len() == edit.out_frames as usize
        })
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
