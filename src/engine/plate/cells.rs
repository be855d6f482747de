//! What is kept of a plate frame: the mean light of the cells of a coarse grid.
//! The cells are the same parts of the picture for a proxy and the full size.

use rayon::prelude::*;

use crate::device;
use crate::device::isa::vectorised;
use crate::frame::{Picture, PlateInfo, Transfer};

/// Rows of the grid of decisions, for plates at least as tall.
const ROWS: usize = 60;
/// Most cells of that grid, for plates of odd shapes.
const MOST_CELLS: usize = 16_384;
/// How many cells of a fine grid there are along each side of a cell of the grid
/// of decisions, for plates at least as tall.
pub(super) const FINE: usize = 4;
/// Steps of the quantised perceptual encoding from black to white.
pub(super) const UNIT: f32 = 4096.0;

/// Columns and rows of the grid that a plate is decided on.
pub(super) fn grid(info: &PlateInfo) -> (usize, usize) {
    let (w, h) = (info.full_size.0.max(1), info.full_size.1.max(1));
    let rows = ROWS.min(h);
    let cols = ((w * rows + h / 2) / h).clamp(1, w);
    (cols.min(MOST_CELLS / rows), rows)
}

/// How many times finer, [`FINE`] or a half or quarter of it, the finest grid is
/// that a plate has the pixels for at full size.
pub(super) fn finest(info: &PlateInfo) -> usize {
    let (cols, rows) = grid(info);
    let holds = |n: usize| cols * n <= info.full_size.0 && rows * n <= info.full_size.1;
    [FINE, FINE / 2]
        .into_iter()
        .find(|n| holds(*n))
        .unwrap_or(1)
}

/// A hash of the coarse picture of a plate frame: equal where the frame is the one
/// that was analysed, at the same render scale.
pub fn fingerprint(picture: &Picture, info: &PlateInfo) -> u64 {
    let (cols, rows) = grid(info);
    let fine = finest(info);
    let light = Light::of(picture, info, cols * fine, rows * fine);
    hash(&light.pooled(fine).encoded(info.transfer))
}

/// A hash of encoded cells.
pub(super) fn hash(cells: &[i16]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for c in cells {
        hasher.update(&c.to_le_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// The light of a frame on a grid, summed and not yet divided, so that cells can be
/// put together.
pub(super) struct Light {
    cols: usize,
    /// Cell by cell, row by row: red, green, blue and the number of pixels that
    /// they are of.
    sums: Vec<[f64; 4]>,
    /// Whether all values were finite; those that were not are left out.
    pub(super) finite: bool,
}

impl Light {
    /// `picture`, of a plate like `info`, on `cols` by `rows` equal cells.
    pub(super) fn of(picture: &Picture, info: &PlateInfo, cols: usize, rows: usize) -> Self {
        let samples = colour_channels(info);
        let across = cover(picture.width(), cols);
        let down = cover(picture.height(), rows);
        let mut sums = vec![[0.0f64; 4]; cols * rows];
        let finite = device::install(|| {
            sums.par_chunks_mut(cols)
                .zip(down.par_iter())
                .map(|(sums, &(first, last, head, tail))| {
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
                                sums,
                            );
                        }
                    }
                    finite
                })
                .reduce(|| true, |a, b| a && b)
        });
        Self { cols, sums, finite }
    }

    /// On a grid `n` times coarser, of which this one's sides are multiples.
    pub(super) fn pooled(&self, n: usize) -> Self {
        let cols = self.cols / n;
        let rows = self.sums.len() / self.cols.max(1) / n;
        let mut sums = vec![[0.0f64; 4]; cols * rows];
        for (y, line) in self.sums.chunks_exact(self.cols).enumerate() {
            for (x, from) in line.iter().enumerate() {
                for (to, from) in sums[y / n * cols + x / n].iter_mut().zip(from) {
                    *to += from;
                }
            }
        }
        Self {
            cols,
            sums,
            finite: self.finite,
        }
    }

    vectorised! {
        /// The mean of each cell in the perceptual encoding, three values a cell,
        /// [`UNIT`] for white. (With vectors rounding is no call.)
        pub(super) fn encoded(&self, transfer: Transfer) -> Vec<i16> {
            Portable: self.encoded_any(transfer),
            Avx2 encoded_avx2: self.encoded_any(transfer),
        }
    }

    #[inline(always)]
    fn encoded_any(&self, transfer: Transfer) -> Vec<i16> {
        let mut out = vec![0; 3 * self.sums.len()];
        for (out, sum) in out.chunks_exact_mut(3).zip(&self.sums) {
            for (out, light) in out.iter_mut().zip(sum) {
                let mean = if sum[3] > 0.0 { light / sum[3] } else { 0.0 };
                let e = transfer.perceptual(mean as f32) * UNIT;
                *out = e.round().clamp(-32_767.0, 32_767.0) as i16;
            }
        }
        out
    }
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
pub(super) fn occupied(matte: &Picture, cols: usize, rows: usize) -> Vec<bool> {
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
    use crate::frame::FrameRange;

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
            ids: Vec::new(),
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
        Light::of(p, info, cols, rows).encoded(info.transfer)
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
    fn cells_put_together_are_the_cells_of_the_coarser_grid() {
        let i = info(203, 121, (203, 121), &["R", "G", "B"]);
        let p = picture(203, 121);
        let (cols, rows) = grid(&i);
        assert_eq!(finest(&i), 2);
        let fine = Light::of(&p, &i, cols * 2, rows * 2).pooled(2);
        let put: Vec<i16> = fine.encoded(i.transfer);
        let whole = coarse(&p, &i);
        assert!(put.iter().zip(&whole).all(|(a, b)| (a - b).abs() <= 1));
    }

    #[test]
    fn values_that_are_not_finite_are_left_out_and_told() {
        let rgb = ["R", "G", "B"];
        let i = info(120, 120, (120, 120), &rgb);
        let clean = Picture::from_data(120, 120, 3, vec![0.5; 120 * 120 * 3]).unwrap();
        let mut bad = clean.clone();
        bad.data_mut()[1000] = f32::NAN;
        bad.data_mut()[5000] = f32::INFINITY;
        let light = Light::of(&bad, &i, 60, 60);
        assert!(!light.finite);
        assert_eq!(light.encoded(i.transfer), coarse(&clean, &i));
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
