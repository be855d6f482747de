//! What is learned of the plate: a small copy of every frame, on the grid that
//! decisions are made on. A frame is read once, reduced and forgotten, so that
//! memory does not grow with the size of the frames.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::camera::{self, Pose, Watch};
use super::gather::Seen;
use super::settings::Steady;
use crate::device::{self, Task};
use crate::engine::{EngineError, Sources};
use crate::frame::{Picture, PlateInfo, PlateReader};

/// Rows of the grid for plates at least as tall.
const ROWS: usize = 60;
/// Most cells of a grid, for plates of odd shapes.
const MOST_CELLS: usize = 16_384;
/// Steps of the quantised perceptual encoding from black to white.
pub(super) const UNIT: f32 = 4096.0;
/// Largest mean difference of two frames, in 1/4096, at which the second may be
/// a copy of the first (footage of a lower rate in a container of a higher
/// one), and by how much it must be less than is usual for the plate.
const SAME: i64 = 4;
const UNUSUAL: i64 = 8;

/// What is learned of a plate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Analysis {
    /// The plate.
    pub info: PlateInfo,
    /// Columns of the grid.
    pub cols: usize,
    /// Rows of the grid.
    pub rows: usize,
    /// Frame by frame, row by row, three values a cell: the mean of the cell in
    /// the perceptual encoding, 4096 for white.
    pub colour: Vec<i16>,
    /// Frame by frame, one a cell: whether any of the cell is matted. Empty
    /// where there is no matte.
    pub matte: Vec<bool>,
    /// A hash of each frame's coarse picture: tells whether a frame fetched
    /// later is the one that was analysed. See [`fingerprint`].
    pub fingerprints: Vec<u64>,
    /// Indices of frames that are (nearly) copies of the frame before.
    pub duplicates: Vec<u32>,
    /// Indices of frames that hold values which are not finite; such values
    /// were left out of the means.
    pub not_finite: Vec<u32>,
    /// The plate with its camera's motion taken out, where the camera moves and
    /// can be followed.
    pub steadied: Option<Steadied>,
}

/// A plate as a camera at rest would have taken it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Steadied {
    /// Where the camera looks at each frame.
    pub poses: Vec<Pose>,
    /// The farthest that it goes, in heights of the picture.
    pub travel: f64,
    /// See [`Analysis::colour`].
    pub colour: Vec<i16>,
    /// See [`Analysis::matte`].
    pub matte: Vec<bool>,
}

impl Analysis {
    /// Number of cells of the grid.
    pub fn cells(&self) -> usize {
        self.cols * self.rows
    }

    /// The plate with its camera's motion taken out, if it is to be.
    pub(super) fn steadied(&self, steady: Steady) -> Option<&Steadied> {
        self.steadied.as_ref().filter(|s| match steady {
            Steady::Auto => camera::moves(s.travel),
            Steady::On => true,
            Steady::Off => false,
        })
    }

    /// Whether the plate is steadied under `steady`.
    pub fn is_steadied(&self, steady: Steady) -> bool {
        self.steadied(steady).is_some()
    }

    /// The cells as the plate has them, or steadied.
    pub(super) fn colour(&self, steady: bool) -> &[i16] {
        match &self.steadied {
            Some(s) if steady => &s.colour,
            _ => &self.colour,
        }
    }

    /// The matte as the plate has it, or steadied.
    pub(super) fn matte(&self, steady: bool) -> &[bool] {
        match &self.steadied {
            Some(s) if steady => &s.matte,
            _ => &self.matte,
        }
    }
}

/// Columns and rows of the grid that a plate is decided on: the same for a
/// proxy and the full size.
pub(super) fn grid(info: &PlateInfo) -> (usize, usize) {
    let (cols, rows) = grid_of(info, ROWS);
    (cols.min(MOST_CELLS / rows), rows)
}

/// Columns and rows of a grid of nearly square cells, at most `rows` rows.
fn grid_of(info: &PlateInfo, rows: usize) -> (usize, usize) {
    let (w, h) = (info.full_size.0.max(1), info.full_size.1.max(1));
    let rows = rows.min(h);
    (((w * rows + h / 2) / h).clamp(1, w), rows)
}

pub(super) fn analyse(sources: &mut Sources<'_>, task: Task<'_>) -> Result<Analysis, EngineError> {
    let info = sources.plate.info().clone();
    let (cols, rows) = grid(&info);
    let n = info.range.count();
    let width = cols * rows * 3;
    let mut colour: Vec<i16> = Vec::with_capacity(n * width);
    let mut matte = Vec::new();
    let mut fingerprints = Vec::with_capacity(n);
    let (mut steps, mut not_finite) = (Vec::new(), Vec::new());
    let samples = colour_channels(&info);
    let (fine_cols, fine_rows) = grid_of(&info, camera::ROWS);
    let mut watch = Watch::new(&info);
    for (i, frame) in info.range.iter().enumerate() {
        task.step("Reading the plate", i, n)?;
        let picture = sources.plate.read(frame)?;
        let (cells, finite) = reduce(&picture, &info, samples, cols, rows);
        let (fine, _) = reduce(&picture, &info, samples, fine_cols, fine_rows);
        watch.take(&fine, fine_cols, UNIT);
        if !finite {
            not_finite.push(i as u32);
        }
        if i > 0 {
            let before = &colour[(i - 1) * width..];
            let sum: i64 = cells
                .iter()
                .zip(before)
                .map(|(a, b)| i64::from((i32::from(*a) - i32::from(*b)).abs()))
                .sum();
            steps.push(sum);
        }
        fingerprints.push(hash(&cells));
        colour.extend_from_slice(&cells);
        if let Some(reader) = sources.matte.as_deref_mut() {
            matte.extend(occupied(&*reader.read(frame)?, cols, rows));
        }
    }
    let steadied = match watch.poses() {
        Some(poses) => Some(steadied(sources, &info, poses, task)?),
        None => None,
    };
    Ok(Analysis {
        info,
        cols,
        rows,
        colour,
        matte,
        fingerprints,
        duplicates: copies(&steps, width as i64),
        not_finite,
        steadied,
    })
}

/// The plate, read once more, as a camera at rest would have taken it.
fn steadied(
    sources: &mut Sources<'_>,
    info: &PlateInfo,
    poses: Vec<Pose>,
    task: Task<'_>,
) -> Result<Steadied, EngineError> {
    let (cols, rows) = grid(info);
    let samples = colour_channels(info);
    let first = info.range.first;
    let mut colour = Vec::with_capacity(poses.len() * cols * rows * 3);
    let mut matte = Vec::new();
    let mut plate = Seen::new(&mut *sources.plate, first, &poses, Pose::REST);
    for (i, frame) in info.range.iter().enumerate() {
        task.step("Steadying the plate", i, poses.len())?;
        colour.extend(reduce(&*plate.read(frame)?, info, samples, cols, rows).0);
    }
    if let Some(reader) = sources.matte.as_deref_mut() {
        let mut reader = Seen::new(reader, first, &poses, Pose::REST);
        for frame in info.range.iter() {
            task.check()?;
            matte.extend(occupied(&*reader.read(frame)?, cols, rows));
        }
    }
    Ok(Steadied {
        travel: camera::travel(&poses, camera::wide(info)),
        poses,
        colour,
        matte,
    })
}

/// Indices of the frames whose step from the frame before, summed over `width`
/// values, is next to nothing and unusual for the plate.
fn copies(steps: &[i64], width: i64) -> Vec<u32> {
    let mut sorted = steps.to_vec();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let most = (SAME * width).min(usual / UNUSUAL);
    (1..)
        .zip(steps)
        .filter(|(_, s)| **s <= most)
        .map(|(i, _)| i)
        .collect()
}

/// A hash of the coarse picture of a plate frame, as kept in
/// [`Analysis::fingerprints`]: equal where the frame is the one that was
/// analysed, at the same render scale.
pub fn fingerprint(picture: &Picture, info: &PlateInfo) -> u64 {
    let (cols, rows) = grid(info);
    hash(&reduce(picture, info, colour_channels(info), cols, rows).0)
}

fn hash(cells: &[i16]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for c in cells {
        hasher.update(&c.to_le_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// Positions in a pixel of red, green and blue; one channel stands for all
/// three where there is no colour.
fn colour_channels(info: &PlateInfo) -> [usize; 3] {
    match (info.channel("R"), info.channel("G"), info.channel("B")) {
        (Some(r), Some(g), Some(b)) => [r, g, b],
        (r, g, b) => [r.or(g).or(b).unwrap_or(0); 3],
    }
}

/// The stretches of `n` pixels that `cells` equal cells cover: first pixel, one
/// past the last, and how much of the first and of the last pixel is covered.
/// One fractional border is shared, so that a proxy averages the same light.
fn cover(n: usize, cells: usize) -> Vec<(usize, usize, f64, f64)> {
    (0..cells)
        .map(|c| {
            let (a, b) = (c * n, (c + 1) * n);
            let (first, last) = (a / cells, b.div_ceil(cells).max(a / cells + 1));
            let k = cells as f64;
            if last - first == 1 {
                return (first, last, (b - a) as f64 / k, 0.0);
            }
            let head = ((first + 1) * cells - a) as f64 / k;
            let tail = (b - (last - 1) * cells) as f64 / k;
            (first, last, head, tail)
        })
        .collect()
}

/// The mean of each cell in the perceptual encoding, three values a cell, and
/// whether all values were finite.
fn reduce(
    picture: &Picture,
    info: &PlateInfo,
    samples: [usize; 3],
    cols: usize,
    rows: usize,
) -> (Vec<i16>, bool) {
    let across = cover(picture.width(), cols);
    let down = cover(picture.height(), rows);
    let one = samples[0] == samples[1] && samples[1] == samples[2];
    let mut cells = vec![0i16; cols * rows * 3];
    let finite = device::install(|| {
        cells
            .par_chunks_mut(cols * 3)
            .zip(down.par_iter())
            .map(|(row, &(first, last, head, tail))| {
                let mut sums = vec![[0.0f64; 4]; cols];
                let mut finite = true;
                for y in first..last {
                    let share = match y {
                        _ if y == first => head,
                        _ if y + 1 == last => tail,
                        _ => 1.0,
                    };
                    if share > 0.0 {
                        finite &= add_row(
                            picture.row(y),
                            picture.channels(),
                            samples,
                            &across,
                            share,
                            &mut sums,
                        );
                    }
                }
                for (cell, sum) in row.chunks_exact_mut(3).zip(&sums) {
                    for k in 0..3 {
                        let k = if one { 0 } else { k };
                        let mean = if sum[3] > 0.0 { sum[k] / sum[3] } else { 0.0 };
                        let e = info.transfer.perceptual(mean as f32) * UNIT;
                        cell[k] = e.round().clamp(-32_767.0, 32_767.0) as i16;
                    }
                    if one {
                        cell[1] = cell[0];
                        cell[2] = cell[0];
                    }
                }
                finite
            })
            .reduce(|| true, |a, b| a && b)
    });
    (cells, finite)
}

/// Adds a row of pixels to the sums of the cells that it crosses: three
/// colours and the weight.
fn add_row(
    row: &[f32],
    channels: usize,
    samples: [usize; 3],
    across: &[(usize, usize, f64, f64)],
    share: f64,
    sums: &mut [[f64; 4]],
) -> bool {
    let mut finite = true;
    for (sum, &(first, last, head, tail)) in sums.iter_mut().zip(across) {
        let mut own = [0.0f64; 3];
        let mut weight = 0.0;
        let mut add = |x: usize, w: f64| {
            let p = &row[x * channels..(x + 1) * channels];
            let v = samples.map(|s| f64::from(p[s.min(channels - 1)]));
            let total = v[0] + v[1] + v[2];
            if total.is_finite() {
                for k in 0..3 {
                    own[k] += w * v[k];
                }
                weight += w;
            } else {
                finite = false;
            }
        };
        add(first, head);
        for x in first + 1..last.max(first + 1) - usize::from(last > first + 1) {
            add(x, 1.0);
        }
        if last > first + 1 && tail > 0.0 {
            add(last - 1, tail);
        }
        for k in 0..3 {
            sum[k] += share * own[k];
        }
        sum[3] += share * weight;
    }
    finite
}

/// For each cell whether the matte covers any of it.
fn occupied(matte: &Picture, cols: usize, rows: usize) -> Vec<bool> {
    let across = cover(matte.width(), cols);
    cover(matte.height(), rows)
        .into_iter()
        .flat_map(|(y0, y1, _, _)| {
            across
                .iter()
                .map(|&(x0, x1, _, _)| {
                    (y0..y1).any(|y| (x0..x1).any(|x| matte.pixel(x, y)[0] > 0.0))
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameRange, Transfer};

    fn info(width: usize, height: usize, full: (usize, usize), channels: &[&str]) -> PlateInfo {
        PlateInfo {
            range: FrameRange { first: 1, last: 1 },
            width,
            height,
            full_size: full,
            channels: channels.iter().map(|c| c.to_string()).collect(),
            fps: 25.0,
            transfer: Transfer::Linear,
            pixel_aspect: 1.0,
        }
    }

    fn picture(width: usize, height: usize) -> Picture {
        let data = (0..width * height * 3)
            .map(|i| ((i * 7919) % 1013) as f32 / 300.0)
            .collect();
        Picture::from_data(width, height, 3, data).unwrap()
    }

    fn coarse(p: &Picture, info: &PlateInfo) -> Vec<i16> {
        let (cols, rows) = grid(info);
        reduce(p, info, colour_channels(info), cols, rows).0
    }

    /// A picture of the given size that looks alike at any size.
    fn scene(width: usize, height: usize) -> Picture {
        let mut p = Picture::new(width, height, 3);
        for y in 0..height {
            for x in 0..width {
                let (u, v) = (
                    (x as f32 + 0.5) / width as f32,
                    (y as f32 + 0.5) / height as f32,
                );
                let value = [u * 9.0 + v, 2.0 * u * v, (u - v) * 0.5];
                p.row_mut(y)[x * 3..x * 3 + 3].copy_from_slice(&value);
            }
        }
        p
    }

    #[test]
    fn proxies_give_the_cells_of_the_full_size_up_to_rounding() {
        let rgb = ["R", "G", "B"];
        // Neither size is a multiple of the grid.
        let full = coarse(&scene(708, 290), &info(708, 290, (708, 290), &rgb));
        for n in [2, 4] {
            let size = (708 / n, 290 / n);
            let proxy = coarse(
                &scene(size.0, size.1),
                &info(size.0, size.1, (708, 290), &rgb),
            );
            assert_eq!(proxy.len(), full.len());
            let worst = full.iter().zip(&proxy).map(|(a, b)| (a - b).abs()).max();
            assert!(worst <= Some(60), "1/{n}: {worst:?} of 4096");
        }
    }

    #[test]
    fn where_cells_are_whole_proxy_pixels_the_proxy_gives_the_same_cells() {
        let full = picture(480, 240);
        let mut half = Picture::new(240, 120, 3);
        for y in 0..120 {
            for x in 0..240 {
                for k in 0..3 {
                    let sum: f32 = [(0, 0), (1, 0), (0, 1), (1, 1)]
                        .iter()
                        .map(|(i, j)| full.pixel(2 * x + i, 2 * y + j)[k])
                        .sum();
                    half.row_mut(y)[x * 3 + k] = sum / 4.0;
                }
            }
        }
        let rgb = ["R", "G", "B"];
        let a = coarse(&full, &info(480, 240, (480, 240), &rgb));
        let b = coarse(&half, &info(240, 120, (480, 240), &rgb));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1));
    }

    #[test]
    fn values_that_are_not_finite_are_left_out_and_told() {
        let rgb = ["R", "G", "B"];
        let i = info(120, 120, (120, 120), &rgb);
        let clean = Picture::from_data(120, 120, 3, vec![0.5; 120 * 120 * 3]).unwrap();
        let mut bad = clean.clone();
        bad.data_mut()[1000] = f32::NAN;
        bad.data_mut()[5000] = f32::INFINITY;
        let (cells, finite) = reduce(&bad, &i, colour_channels(&i), 60, 60);
        assert!(!finite);
        assert_eq!(cells, coarse(&clean, &i));
    }

    #[test]
    fn every_fifth_frame_repeated_is_found_and_a_quiet_plate_is_not_taken_for_it() {
        let steps: Vec<i64> = (1..30)
            .map(|i| if i % 5 == 0 { 20 } else { 9000 })
            .collect();
        assert_eq!(copies(&steps, 300), [5, 10, 15, 20, 25]);
        assert!(copies(&[200, 260, 180, 240], 300).is_empty());
        assert_eq!(copies(&[0, 0, 0], 300), [1, 2, 3]);
    }

    #[test]
    fn one_pixel_and_one_channel_are_a_plate_too() {
        let i = info(1, 1, (1, 1), &["A"]);
        let p = Picture::from_data(1, 1, 1, vec![1.0]).unwrap();
        assert_eq!(coarse(&p, &i), [4096; 3]);
    }

    #[test]
    fn highlights_and_negative_light_survive_the_reduction() {
        let i = info(60, 60, (60, 60), &["R", "G", "B"]);
        let at = |v: f32| {
            coarse(
                &Picture::from_data(60, 60, 3, vec![v; 60 * 60 * 3]).unwrap(),
                &i,
            )[0]
        };
        assert!(at(40.0) > at(4.0) && at(4.0) > at(1.0) && at(-0.1) < 0);
    }
}
