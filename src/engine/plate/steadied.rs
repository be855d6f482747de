//! The plate on the grid of decisions as a camera at rest would have taken it.
//!
//! Frames are kept on a grid of half as large cells while the camera is followed,
//! and read from there once it is known where it looks in the mean. A proxy has the
//! same light in those cells, and so the same steadied plate.

use std::convert::Infallible;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::camera::Pose;
use super::cells::{self, Light};
use super::gather::{Whole, at_rest};
use crate::device;
use crate::frame::{Picture, PlateInfo};

/// A plate as a camera at rest would have taken it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Steadied {
    /// Where the camera looks at each frame.
    pub poses: Vec<Pose>,
    /// The farthest that it goes, in heights of the picture.
    pub travel: f64,
    /// The cells of [`Analysis::colour`](super::Analysis::colour), steadied.
    pub colour: Vec<i16>,
    /// The cells of [`Analysis::matte`](super::Analysis::matte), steadied.
    pub matte: Vec<bool>,
}

/// The frames of a plate, kept until it is known whether it is to be steadied.
pub(super) struct Kept {
    /// How many times finer, each way, than the grid of decisions.
    finer: usize,
    cols: usize,
    rows: usize,
    /// Frame by frame, row by row, three values a cell, encoded; none where it is the
    /// grid of decisions, whose cells the analysis has.
    colour: Vec<i16>,
    /// Frame by frame, row by row: whether the cell is matted. Likewise.
    matte: Vec<bool>,
}

/// How many times finer the kept grid is than that of decisions, where the finest is so
/// many times.
fn finer(finest: usize) -> usize {
    (finest / 2).max(1)
}

/// How many cells are kept for each of the grid of decisions, of a plate like `info`.
pub(super) fn kept_cells(info: &PlateInfo) -> usize {
    match finer(cells::finest(info)) {
        1 => 0,
        finer => finer * finer,
    }
}

impl Kept {
    /// For a plate like `info`, with a matte or without.
    pub(super) fn new(info: &PlateInfo, matted: bool) -> Self {
        let (cols, rows) = cells::grid(info);
        let finer = finer(cells::finest(info));
        let (cols, rows) = (cols * finer, rows * finer);
        // Grown as frames come it would be moved, and twice as large for that moment.
        let cells = match finer {
            1 => 0,
            _ => cols * rows * info.range.count(),
        };
        Self {
            finer,
            cols,
            rows,
            colour: Vec::with_capacity(3 * cells),
            matte: Vec::with_capacity(if matted { cells } else { 0 }),
        }
    }

    /// What is kept of a frame of a plate like `info`, given on its finest grid.
    pub(super) fn reduced(light: &Light, info: &PlateInfo) -> Vec<i16> {
        let finest = cells::finest(info);
        match finer(finest) {
            1 => Vec::new(),
            finer => light.pooled(finest / finer).encoded(info.transfer),
        }
    }

    /// Keeps the next frame, [`reduced`](Self::reduced).
    pub(super) fn take(&mut self, frame: &[i16]) {
        self.colour.extend_from_slice(frame);
    }

    /// Keeps the matte of that frame.
    pub(super) fn take_matte(&mut self, matte: &Picture) {
        if self.finer > 1 {
            let kept = cells::occupied(matte, self.cols, self.rows);
            self.matte.extend(kept);
        }
    }

    /// The plate, like `info`, whose frames were taken from `poses` and whose
    /// camera goes as far as `travel`, as a camera at rest would have taken it. `cells`
    /// are its colour and matte on the grid of decisions.
    pub(super) fn steadied(
        &self,
        cells: (&[i16], &[bool]),
        info: &PlateInfo,
        poses: Vec<Pose>,
        travel: f64,
    ) -> Steadied {
        let size = cells::grid(info).0 * cells::grid(info).1;
        let of = match self.finer {
            1 => cells,
            _ => (&self.colour[..], &self.matte[..]),
        };
        let mut colour = vec![0; 3 * size * poses.len()];
        let mut matte = vec![
            false;
            if of.1.is_empty() {
                0
            } else {
                size * poses.len()
            }
        ];
        device::install(|| {
            let frames = colour.par_chunks_exact_mut(3 * size).enumerate();
            frames.for_each(|(i, to)| to.copy_from_slice(&self.colour(of, info, i, &poses)));
            let frames = matte.par_chunks_exact_mut(size).zip(&poses).enumerate();
            frames.for_each(|(i, (to, p))| to.copy_from_slice(&self.matte(of.1, info, i, p)));
        });
        Steadied {
            poses,
            travel,
            colour,
            matte,
        }
    }

    /// Frame `i` of those taken from `poses` on the grid of decisions, with what other
    /// frames show beyond its edges, as frames are made. `all` is what there is of colour
    /// and matte on the kept grid.
    fn colour(
        &self,
        all: (&[i16], &[bool]),
        info: &PlateInfo,
        i: usize,
        poses: &[Pose],
    ) -> Vec<i16> {
        let size = self.cols * self.rows;
        let kept = |i: usize| {
            let cells = &all.0[3 * i * size..][..3 * size];
            self.picture(3, cells.iter().map(|c| f32::from(*c)))
        };
        let whole = Whole {
            poses,
            withheld: &[],
            from: &Pose::REST,
            info,
            // A row of cells at most; and another grid is another take, no better one.
            asked: false,
        };
        let seen = match all.1.is_empty() {
            true => whole.seen(&kept(i), i, |lender| Ok::<_, Infallible>(kept(lender))),
            // Others might show there what is to go.
            false => Ok(at_rest(&kept(i), &poses[i], info)),
        };
        let Ok(seen) = seen;
        let cells = self.pooled(&seen).into_iter();
        cells
            .map(|c| c.round().clamp(-32_767.0, 32_767.0) as i16)
            .collect()
    }

    /// The matte of frame `i`, of `all` on the kept grid, which was taken from `taken`, on
    /// the grid of decisions.
    fn matte(&self, all: &[bool], info: &PlateInfo, i: usize, taken: &Pose) -> Vec<bool> {
        let size = self.cols * self.rows;
        let cells = &all[i * size..(i + 1) * size];
        let kept = self.picture(1, cells.iter().map(|m| f32::from(u8::from(*m))));
        let cells = self.pooled(&at_rest(&kept, taken, info)).into_iter();
        // What reaches into a cell fills more than a twentieth of it.
        cells.map(|m| m > 0.05).collect()
    }

    /// Cells of the finer grid as a picture.
    fn picture(&self, channels: usize, cells: impl Iterator<Item = f32>) -> Arc<Picture> {
        let mut picture = Picture::new(self.cols, self.rows, channels);
        let samples = picture.data_mut().iter_mut();
        samples.zip(cells).for_each(|(v, c)| *v = c);
        Arc::new(picture)
    }

    /// The means of a picture of the finer grid on the grid of decisions.
    fn pooled(&self, picture: &Picture) -> Vec<f32> {
        let (n, channels) = (self.finer, picture.channels());
        let cols = self.cols / n;
        let mut out = vec![0.0; cols * (self.rows / n) * channels];
        for y in 0..self.rows {
            let to = &mut out[y / n * cols * channels..][..cols * channels];
            for (x, from) in picture.row(y).chunks_exact(channels).enumerate() {
                for (k, v) in from.iter().enumerate() {
                    to[x / n * channels + k] += v / (n * n) as f32;
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameRange, Transfer};

    /// A plate of one frame whose grid of decisions has 60 rows.
    fn info() -> PlateInfo {
        PlateInfo {
            range: FrameRange { first: 1, last: 1 },
            width: 320,
            height: 240,
            full_size: (320, 240),
            channels: ["R", "G", "B"].map(String::from).to_vec(),
            fps: 25.0,
            transfer: Transfer::Display,
            pixel_aspect: 1.0,
            ids: Vec::new(),
        }
    }

    fn kept(scene: impl Fn(f64, f64) -> f64) -> (Kept, Vec<i16>) {
        let info = info();
        let mut picture = Picture::new(320, 240, 3);
        for y in 0..240 {
            for (x, p) in picture.row_mut(y).chunks_exact_mut(3).enumerate() {
                let v = scene(x as f64 / 4.0, y as f64 / 4.0) as f32;
                p.copy_from_slice(&[v, 0.5 * v, 1.0 - v]);
            }
        }
        let light = Light::of(&picture, &info, 320, 240);
        let mut kept = Kept::new(&info, false);
        kept.take(&Kept::reduced(&light, &info));
        (kept, light.pooled(4).encoded(info.transfer))
    }

    /// A camera that looks so many cells to the right and down.
    fn shifted(x: f64, y: f64) -> Pose {
        Pose {
            x: x / 60.0,
            y: y / 60.0,
            ..Pose::REST
        }
    }

    fn near(got: &[i16], want: &[i16]) -> bool {
        got.iter().zip(want).all(|(g, w)| (g - w).abs() <= 12)
    }

    #[test]
    fn a_camera_that_moved_by_cells_moves_the_cells() {
        let scene = |x: f64, y: f64| 0.5 + 0.2 * libm::sin(1.3 * x + 0.4 * y) * libm::cos(0.9 * y);
        let (kept, cells) = kept(scene);
        let at = |x: usize, y: usize| 3 * (y * 80 + x);
        let still = kept.steadied((&[], &[]), &info(), vec![Pose::REST], 0.0);
        assert!(near(&still.colour, &cells));
        let moved = vec![shifted(2.0, -1.0)];
        let moved = kept.steadied((&[], &[]), &info(), moved, 0.0);
        for (x, y) in [(3, 4), (40, 30), (70, 55)] {
            let (got, want) = (&moved.colour[at(x, y)..], &cells[at(x + 2, y - 1)..]);
            assert!(near(&got[..3], &want[..3]), "{x} {y}");
        }
    }

    #[test]
    fn what_lies_between_cells_keeps_its_detail() {
        let detail = |x: f64, y: f64| 0.5 + 0.2 * libm::sin(2.2 * x) * libm::sin(1.9 * y);
        let (plain, _) = kept(detail);
        let (_, want) = kept(|x, y| detail(x + 0.3, y - 0.4));
        let got = plain
            .steadied((&[], &[]), &info(), vec![shifted(0.3, -0.4)], 0.0)
            .colour;
        for (y, row) in want.chunks_exact(240).enumerate().skip(4).take(52) {
            assert!(near(&got[y * 240 + 12..][..210], &row[12..222]), "row {y}");
        }
    }

    #[test]
    fn the_matte_goes_with_the_plate() {
        let (mut kept, _) = kept(|_, _| 0.5);
        let poses = || vec![shifted(3.0, 0.0)];
        let without = kept.steadied((&[], &[]), &info(), poses(), 0.0);
        assert!(without.matte.is_empty());
        let mut matte = Picture::new(320, 240, 1);
        matte.row_mut(41)[30] = 0.2;
        kept.take_matte(&matte);
        let got = kept.steadied((&[], &[]), &info(), poses(), 0.0).matte;
        assert!(got[10 * 80 + 4]);
        // Nothing more than its neighbours.
        assert!(got.iter().filter(|m| **m).count() <= 4);
    }
}
