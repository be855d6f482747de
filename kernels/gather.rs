//! A window of a frame of the plate engine; the twin of `gather.cu`.
//!
//! The engine's own CPU path (src/engine/plate/gather) goes by runs of pixels that are
//! alike, source after source, and makes the same bits; this goes pixel by pixel.

mod pixel;
mod tables;

pub use pixel::{cubic, lerp, progress, slope, split, within};
pub use tables::{Axis, Cut, Grade, POWER, REACH, Scene, Tables};

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};

/// Sources that a frame may have at most; there are seldom more than four.
pub const SOURCES: usize = 16;

/// The part of a picture that is made, in pixels: left, top, and past the right and
/// the bottom one. Within the picture.
pub type Window = [usize; 4];

/// The pictures that a frame is made from, as `A`: whole pictures of f32, row by row.
#[derive(Clone, Debug)]
pub struct Pictures<A> {
    /// Source by source; those that no pixel shows may be missing. A pixel of one that
    /// is missing is 0.
    pub sources: Vec<Option<A>>,
    /// The matte, its number of channels (the first counts), and the plate that stands
    /// outside it.
    pub matte: Option<(A, usize, A)>,
}

/// Makes rows `first` and on of `window` into `out`, which holds whole rows.
///
/// # Panics
/// Where pictures are smaller than the scene.
pub fn gather(
    tables: &Tables,
    window: Window,
    pictures: &Pictures<&[f32]>,
    first: usize,
    out: &mut [f32],
) {
    let channels = tables.head().channels as usize;
    let row = (window[2] - window[0]) * channels;
    for (i, out) in out.chunks_exact_mut(row).enumerate() {
        let y = window[1] + first + i;
        for (x, out) in (window[0]..window[2]).zip(out.chunks_exact_mut(channels)) {
            pixel::gather_pixel(tables, pictures, x, y, out);
        }
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    out: u64,
    tables: u64,
    matte: u64,
    beneath: u64,
    pictures: [u64; SOURCES],
    offsets: tables::Offsets,
    width: i32,
    height: i32,
    channels: i32,
    matte_channels: i32,
    window: [i32; 4],
    cols: i32,
    rows: i32,
    sources: i32,
    colour: [i32; 3],
    alpha: i32,
    warps: i32,
    display: i32,
    scale: [f32; 2],
}

/// Queues [`gather`] of the whole window on a device; `words` are
/// [`Tables::words`] there. All arrays begin at multiples of 16 bytes.
pub fn launch(
    stream: &Stream,
    tables: &Tables,
    words: Part<'_, u32>,
    window: Window,
    pictures: &Pictures<Part<'_, f32>>,
    out: PartMut<'_, f32>,
) -> Result<(), DeviceError> {
    const CALL: &str = "gather";
    let head = tables.head();
    let [left, top, right, bottom] = window;
    let (width, height) = (head.width as usize, head.height as usize);
    if left >= right || top >= bottom {
        return Ok(());
    }
    if right > width || bottom > height || pictures.sources.len() > SOURCES {
        return Err(DeviceError::missing(CALL));
    }
    let channels = head.channels as usize;
    let whole = width * height * channels;
    out.check(CALL, (right - left) * (bottom - top) * channels)?;
    words.check(CALL, tables.words().len())?;
    let mut addresses = [0; SOURCES];
    for (address, picture) in addresses.iter_mut().zip(&pictures.sources) {
        if let Some(picture) = picture {
            picture.check(CALL, whole)?;
            *address = picture.address();
        }
    }
    let (matte, matte_channels, beneath) = match &pictures.matte {
        None => (0, 0, 0),
        Some((matte, n, beneath)) => {
            matte.check(CALL, width * height * n)?;
            beneath.check(CALL, whole)?;
            (matte.address(), *n, beneath.address())
        }
    };
    let mut argument = Arguments {
        out: out.address(),
        tables: words.address(),
        matte,
        beneath,
        pictures: addresses,
        offsets: head.offsets,
        width: head.width,
        height: head.height,
        channels: head.channels,
        matte_channels: matte_channels as i32,
        window: window.map(|n| n as i32),
        cols: head.cols,
        rows: head.rows,
        sources: head.sources,
        colour: head.grade.colour,
        alpha: head.grade.alpha,
        warps: i32::from(head.warps),
        display: i32::from(head.grade.display),
        scale: head.scale,
    };
    let queue = |name: &'static str, grid: Grid, argument: &Arguments| {
        // SAFETY: the window lies in the pictures, whose lengths were checked; the tables
        // hold what their offsets say; a picture that is missing is null and not read.
        unsafe { stream.launch(CALL, name, grid, argument) }
    };
    let threads = [32, 8];
    let [still, near, rest] = match channels {
        3 => ["gather_still_3", "gather_near_3", "gather_rest_3"],
        4 => ["gather_still_4", "gather_near_4", "gather_rest_4"],
        _ => {
            let all = Grid::tiles(right - left, bottom - top, threads);
            return queue("gather_any", all, &argument);
        }
    };
    let tiled = |tiles: usize| Grid {
        blocks: [tiles as u32, 1, 1],
        threads: [threads[0], threads[1], 1],
    };
    let grade = head.grade;
    let in_order = grade.colour == [0, 1, 2] && [-1, 3].contains(&grade.alpha);
    if matte != 0 || !in_order {
        argument.offsets.rest = 0;
        let all = width.div_ceil(tables::TILE) * height.div_ceil(tables::TILE);
        return queue(rest, tiled(all), &argument);
    }
    // A thread makes ROWS_OF_THREAD rows.
    let strips = Grid::tiles(right - left, (bottom - top).div_ceil(4), threads);
    queue(still, strips, &argument)?;
    for (name, tiles) in [near, rest].into_iter().zip(tables.tiles()) {
        if tiles > 0 {
            queue(name, tiled(tiles), &argument)?;
        }
    }
    Ok(())
}
