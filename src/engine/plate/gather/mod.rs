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
//! runs, however long the plate and however many clips meet. Where the camera moves, the
//! frame as it is seen and one that lends to it come to that.

mod agree;
mod edges;
#[cfg(target_arch = "x86_64")]
mod eight;
mod feather;
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

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use longtake_kernels::flow::{Plane, flow};
use rayon::prelude::*;

use self::grid::Axis;
use self::label::CutRow;
use self::layout::Layout;
use self::moment::{Moment, Seam};
use self::view::Lending;
pub(super) use self::view::{Seen, Whole, at_rest};
use super::analysis::Analysis;
use super::camera::Pose;
use super::edit_list::{Area, EditList, Layer};
use super::exposure::{self, Exposure};
use super::parts::{Mattes, Sight};
use super::settings::Settings;
use crate::device::gpu::{self, Choice};
use crate::device::{Task, install};
use crate::engine::{EngineError, Sources};
use crate::frame::{FrameError, Picture, PlateInfo, PlateReader, Transfer, Window};

/// Samples below which a window is not worth a GPU's while.
const SMALL: usize = 1 << 20;
/// Rows that one thread works on between two looks at the task.
const BAND: usize = 16;

/// What frames are made with beside the edit list and the plate.
#[derive(Clone, Copy)]
pub(super) struct With<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) choice: Choice,
    /// What names the mattes.
    pub(super) settings: &'a Settings,
    pub(super) mattes: &'a Mattes,
}

/// The plate frames (by number) that any pixel of output frame `frame` shows,
/// both sides of a warped cut among them.
pub(super) fn frames_needed(analysis: &Analysis, edit: &EditList, frame: i32) -> Vec<i32> {
    if check(edit).is_err() {
        return Vec::new();
    }
    let t = index(edit, frame);
    let mut frames = BTreeSet::new();
    let (list, layers) = lists(edit, t);
    let numbers = |list: &EditList, shown: &[i32]| -> Vec<i32> {
        let indices = shown.iter().copied();
        let all = indices.chain(lenders(list, t, shown, &analysis.info));
        all.map(|index| list.first_plate + index).collect()
    };
    for list in [list].into_iter().chain(layers.iter().map(|l| &l.list)) {
        let seam = Seam::of(list);
        let moment = Moment::new(list, &seam, t);
        let sources = moment.sources.iter().zip(moment.shown());
        let shown = sources.filter_map(|(source, shown)| shown.then_some(source.index));
        frames.extend(numbers(list, &shown.collect::<Vec<_>>()));
    }
    if edit.matted {
        frames.insert(plate_beneath(edit, t));
    }
    if let Some(held) = held(edit, t) {
        frames.extend(numbers(edit, &[held - edit.first_plate]));
    }
    frames.into_iter().collect()
}

/// The plate indices that lend to those `shown` at output index `t` what lies beyond
/// their edges.
fn lenders(edit: &EditList, t: i32, shown: &[i32], info: &PlateInfo) -> Vec<i32> {
    let (poses, from) = cameras(edit, t);
    let Some(lending) = lending(edit) else {
        return Vec::new();
    };
    let whole = Whole {
        poses,
        withheld: lending.withheld,
        from: &from,
        info,
        asked: true,
    };
    let there = |index: &i32| usize::try_from(*index).ok().filter(|i| *i < poses.len());
    let own = shown.iter().filter_map(there);
    own.flat_map(|own| whole.lenders(own))
        .map(|i| i as i32)
        .collect()
}

/// Which frames of the plate lend to others what lies beyond their edges. Of a plate with
/// a matte none does: what is to go might come back from there.
fn lending(edit: &EditList) -> Option<Lending<'_>> {
    let camera = edit.camera.as_ref().filter(|_| !edit.matted)?;
    Some(Lending {
        withheld: &camera.withheld,
        exposure: edit.exposure.as_ref(),
    })
}

/// The list that lies beneath all that output index `t` is made of, and the layers
/// over it.
fn lists(edit: &EditList, t: i32) -> (&EditList, Vec<&Layer>) {
    let has = |l: &&Layer| (l.from as i32..l.to as i32).contains(&t);
    let mut list = edit;
    let mut over = Vec::new();
    for layer in edit.layers.iter().filter(has) {
        if layer.area == Area::All {
            list = &layer.list;
            over.clear();
        } else {
            over.push(layer);
        }
    }
    (list, over)
}

/// Number of the plate frame that is held out at output index `t`.
fn held(edit: &EditList, t: i32) -> Option<i32> {
    let last = (edit.plate_frames as i32 - 1).max(0);
    let offset = edit.held_at(t as u32).filter(|_| !edit.matted)?;
    Some(edit.first_plate + (t + offset).clamp(0, last))
}

/// The plate index (0 is the plate's first frame) whose pixel each pixel of
/// output frame `frame` shows, for a picture of `width` × `height`, row by row;
/// where a cut is warped, the frame that is warped. Empty where the edit list is
/// damaged.
pub(super) fn plate_indices(edit: &EditList, frame: i32, width: usize, height: usize) -> Vec<i32> {
    if check(edit).is_err() {
        return Vec::new();
    }
    let edit = edit.at(index(edit, frame) as u32);
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
    with: With<'_>,
    edit: &EditList,
    frame: i32,
    window: Window,
    sources: &mut Sources<'_>,
    task: Task<'_>,
) -> Result<Arc<Picture>, EngineError> {
    task.check()?;
    check(edit)?;
    let t = index(edit, frame);
    let (list, layers) = lists(edit, t);
    let mut made = gather(with, list, frame, window, sources, task)?;
    if layers.is_empty() && (with.settings.hold_out.is_none() || held(edit, t).is_none()) {
        return Ok(made);
    }
    let info = sources.plate.info().clone();
    let ids = info.id_channels();
    let window = window.intersection(&Window::whole(info.width, info.height));
    let at_rest = Sight {
        info: &info,
        first: edit.first_plate,
        poses: &[],
        from: Pose::REST,
    };
    for layer in layers {
        let over = gather(with, &layer.list, frame, window, sources, task)?;
        let matte = match &layer.area {
            Area::All => {
                made = over;
                continue;
            }
            Area::Cells(cells) => drawn(cells, &layer.list, &info, t),
            Area::Matte(number) => {
                let remake = with.settings.remakes.get(*number as usize);
                let path = remake.and_then(|r| r.matte.as_ref()).ok_or_else(damaged)?;
                with.mattes.read(path, edit.first_out + t, at_rest)?
            }
        };
        made = install(|| laid(over, &made, &matte, window, &ids, task))?;
    }
    if let (Some(path), Some(number)) = (&with.settings.hold_out, held(edit, t)) {
        let (poses, from) = cameras(edit, t);
        let sight = Sight {
            poses,
            from,
            ..at_rest
        };
        let matte = with.mattes.read(path, number, sight)?;
        let mut plate =
            Seen::new(&mut *sources.plate, edit.first_plate, poses, from).lending(lending(edit));
        let picture = sized(plate.read(number)?, number, &info)?;
        let over = Picture::crop(&relit(picture, edit, number, t, &info), window);
        made = install(|| laid(over, &made, &matte, window, &ids, task))?;
    }
    Ok(made)
}

/// Where the camera was at each plate frame, and where it is at output index `t`.
fn cameras(edit: &EditList, t: i32) -> (&[Pose], Pose) {
    edit.camera
        .as_ref()
        .map_or((&[][..], Pose::REST), |c| (&c.plate[..], c.out[t as usize]))
}

/// `over` laid over `made`, both the part `window` of a frame, by `matte` of the
/// whole frame. `ids` are the channels that are never mixed.
fn laid(
    over: Arc<Picture>,
    made: &Picture,
    matte: &Picture,
    window: Window,
    ids: &[usize],
    task: Task<'_>,
) -> Result<Arc<Picture>, EngineError> {
    let mut over = Arc::unwrap_or_clone(over);
    if over.channels() != made.channels() || over.data().len() != made.data().len() {
        return Err(EngineError::Request(
            "the frames of the plate differ in their channels: all must have the same".to_owned(),
        ));
    }
    over_plate(&mut over, (made, (0, 0)), matte, window, ids, task)?;
    Ok(Arc::new(over))
}

/// What the cells of a layer's area come to at the size of the plate.
fn drawn(cells: &[u8], list: &EditList, info: &PlateInfo, t: i32) -> Arc<Picture> {
    let (cols, rows) = (usize::from(list.cols), usize::from(list.rows));
    let (across, down) = layout::axes(list, info, t);
    let mut matte = Picture::new(info.width, info.height, 1);
    let value = |x: usize, y: usize| f32::from(cells.get(y * cols + x).copied().unwrap_or(0));
    for y in 0..info.height {
        let (r0, r1) = down.ends(down.interval[y] as usize);
        let column: Vec<f32> = (0..cols)
            .map(|x| grid::lerp(value(x, r0), value(x, r1.min(rows - 1)), down.part[y]) / 255.0)
            .collect();
        for (x, v) in matte.row_mut(y).iter_mut().enumerate() {
            let (c0, c1) = across.ends(across.interval[x] as usize);
            *v = grid::lerp(column[c0], column[c1], across.part[x]);
        }
    }
    Arc::new(matte)
}

/// Makes the part `window` of output frame `frame` from one list.
fn gather(
    with: With<'_>,
    edit: &EditList,
    frame: i32,
    window: Window,
    sources: &mut Sources<'_>,
    task: Task<'_>,
) -> Result<Arc<Picture>, EngineError> {
    let info = sources.plate.info().clone();
    let window = window.intersection(&Window::whole(info.width, info.height));
    let channels = info.channels.len().max(1);
    if window.width() == 0 || window.height() == 0 {
        return Ok(Arc::new(Picture::new(0, 0, channels)));
    }
    let small = window.width() * window.height() * channels < SMALL;
    let choice = match with.choice {
        Choice::Auto if small => Choice::Cpu,
        choice => choice,
    };
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
        With { choice, ..with },
        &info,
        window,
        &moment,
        matte.as_deref(),
        task,
    )?;

    // The plate as the camera of this frame sees it.
    let (poses, from) = cameras(edit, t);
    let mut plate =
        Seen::new(&mut *sources.plate, edit.first_plate, poses, from).lending(lending(edit));
    let mut read = |number: i32| {
        let picture = sized(plate.read(number)?, number, &info)?;
        if picture.channels() == channels {
            Ok(relit(picture, edit, number, t, &info))
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
    // There all channels are alike, and samples that name things would be mixed.
    if gpu::is_worth_asking(choice) && layout.ids().is_empty() {
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
        let at = (window.x0 as usize, window.y0 as usize);
        install(|| over_plate(&mut out, (&plate, at), &matte, window, layout.ids(), task))?;
    }
    Ok(Arc::new(out))
}

/// See [`optical_flow`](super::optical_flow).
pub(super) fn optical_flow(a: &[f32], b: &[f32], cols: usize) -> Vec<[f32; 2]> {
    let plane = |data: &[f32]| Plane {
        cols,
        rows: data.len() / cols.max(1),
        data: data.to_vec(),
    };
    if cols == 0 || a.len() != b.len() || !a.len().is_multiple_of(cols) {
        return vec![[0.0; 2]; a.len()];
    }
    let field = flow(&plane(a), &plane(b));
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

/// What plate frames look like on the grid, steadied and levelled where the edit list
/// is.
#[derive(Clone, Copy)]
struct Coarse<'a> {
    colour: &'a [i16],
    /// Of a fill, cell by cell of each frame: whether the matte covers any of it.
    matte: &'a [bool],
    level: Option<(&'a Exposure, Transfer)>,
    cols: usize,
    rows: usize,
}

impl<'a> Coarse<'a> {
    fn of(analysis: &'a Analysis, edit: &'a EditList) -> Self {
        Self {
            colour: analysis.colour(edit.camera.is_some()),
            matte: match edit.matted {
                true => analysis.matte(edit.camera.is_some()),
                false => &[],
            },
            level: edit.exposure.as_ref().map(|e| (e, analysis.info.transfer)),
            cols: analysis.cols,
            rows: analysis.rows,
        }
    }

    /// The cells of plate index `index`, three values each; `None` where the
    /// analysis does not have them.
    fn frame(&self, index: i32) -> Option<Cow<'a, [i16]>> {
        let i = usize::try_from(index).ok()?;
        let width = self.cols * self.rows * 3;
        let cells = self.colour.get(i * width..(i + 1) * width)?;
        Some(match self.level {
            Some((exposure, transfer)) => exposure.level(cells, index, transfer).into(),
            None => cells.into(),
        })
    }

    /// Where the matte of a fill covers the cells of plate index `index`; `None` where
    /// nothing is filled.
    fn covered(&self, index: i32) -> Option<&'a [bool]> {
        let (i, cells) = (usize::try_from(index).ok()?, self.cols * self.rows);
        self.matte.get(i * cells..(i + 1) * cells)
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
        && edit.exposure.as_ref().is_none_or(|e| {
            e.plate.len() == edit.plate_frames as usize && e.out.len() == edit.out_frames as usize
        })
        && edit.events.iter().all(|e| e.switch.len() == cells)
        && edit.layers.iter().all(|l| {
            let list = &l.list;
            list.layers.is_empty()
                && (list.cols, list.rows) == (edit.cols, edit.rows)
                && (list.out_frames, list.first_out) == (edit.out_frames, edit.first_out)
                && (list.plate_frames, list.first_plate) == (edit.plate_frames, edit.first_plate)
                && check(list).is_ok()
        });
    if whole { Ok(()) } else { Err(damaged()) }
}

fn damaged() -> EngineError {
    EngineError::Request(
        "the edit list kept for this sequence is damaged: clear the store and try again".to_owned(),
    )
}

/// `picture`, plate frame `number`, in the exposure of output index `t`.
fn relit(
    picture: Arc<Picture>,
    edit: &EditList,
    number: i32,
    t: i32,
    info: &PlateInfo,
) -> Arc<Picture> {
    match &edit.exposure {
        Some(e) => exposure::lit(picture, e.gain(number - edit.first_plate, t), info),
        None => picture,
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

/// Lays `out`, the part `window` of a frame, over `plate`, in which that part begins
/// at column and row `at`, by `matte` of the whole frame. `ids` are the channels that are
/// never mixed.
fn over_plate(
    out: &mut Picture,
    (plate, at): (&Picture, (usize, usize)),
    matte: &Picture,
    window: Window,
    ids: &[usize],
    task: Task<'_>,
) -> Result<(), EngineError> {
    let c = out.channels();
    let row = out.width() * c;
    if row == 0 {
        return Ok(());
    }
    let (x0, x1) = (window.x0 as usize, window.x1 as usize);
    let left = at.0 * c;
    out.data_mut()
        .par_chunks_mut(row * BAND)
        .enumerate()
        .try_for_each(|(band, rows)| {
            task.check()?;
            for (i, out) in rows.chunks_exact_mut(row).enumerate() {
                let y = band * BAND + i;
                let under = &plate.row(at.1 + y)[left..left + row];
                let y = window.y0 as usize + y;
                matte::composite(out, under, &first_channel(matte, y)[x0..x1], c, ids);
            }
            Ok(())
        })
}
