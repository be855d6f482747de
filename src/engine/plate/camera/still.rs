//! The plate on the grid of decisions as a camera at rest would have taken it.
//!
//! Frames are kept on a grid of half as large cells while the camera is followed,
//! and read from there once it is known where it looks in the mean. A proxy has the
//! same light in those cells, and so the same steadied plate.

use super::Pose;
use crate::engine::plate::cells;
use crate::frame::Picture;

/// The frames of a plate on a grid `finer` times as fine, each way, as the grid of
/// decisions.
pub(super) struct Frames {
    cols: usize,
    rows: usize,
    finer: usize,
    /// Width of the picture in heights.
    wide: f64,
    /// Frame by frame, row by row, three values a cell.
    colour: Vec<i16>,
    /// Frame by frame, row by row: whether the cell is matted.
    matte: Vec<bool>,
}

impl Frames {
    /// For a grid of decisions of `cols` by `rows` cells, `wide` heights across.
    pub(super) fn new(cols: usize, rows: usize, finer: usize, wide: f64) -> Self {
        Self {
            cols: cols * finer,
            rows: rows * finer,
            finer,
            wide,
            colour: Vec::new(),
            matte: Vec::new(),
        }
    }

    /// The next frame: its means on the finer grid.
    pub(super) fn take(&mut self, cells: &[i16]) {
        self.colour.extend_from_slice(cells);
    }

    /// The matte of that frame.
    pub(super) fn take_matte(&mut self, matte: &Picture) {
        let cells = cells::occupied(matte, self.cols, self.rows);
        self.matte.extend(cells);
    }

    /// Frame `i` on the grid of decisions, which was taken from `taken`, as a
    /// camera at rest would have taken it.
    pub(super) fn colour_at_rest(&self, i: usize, taken: &Pose) -> Vec<i16> {
        let size = self.cols * self.rows * 3;
        let Some(frame) = self.colour.get(i * size..(i + 1) * size) else {
            return Vec::new();
        };
        let n = self.finer;
        let shares = (n * n) as f32;
        let mut out = Vec::with_capacity(size / (n * n));
        for row in 0..self.rows / n {
            for col in 0..self.cols / n {
                let mut sum = [0.0f32; 3];
                for y in row * n..(row + 1) * n {
                    for x in col * n..(col + 1) * n {
                        let (x, y) = self.place(x, y, taken);
                        self.add(frame, x, y, &mut sum);
                    }
                }
                out.extend(sum.map(|s| (s / shares).round().clamp(-32_767.0, 32_767.0) as i16));
            }
        }
        out
    }

    /// The matte of frame `i`, likewise; empty where there is none.
    pub(super) fn matte_at_rest(&self, i: usize, taken: &Pose) -> Vec<bool> {
        let size = self.cols * self.rows;
        let Some(frame) = self.matte.get(i * size..(i + 1) * size) else {
            return Vec::new();
        };
        let n = self.finer;
        let matted = |x: usize, y: usize| {
            let (x, y) = self.place(x, y, taken);
            let (x, y) = (x.floor() as i64, y.floor() as i64);
            [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)]
                .into_iter()
                .any(|(x, y)| frame[mirrored(y, self.rows) * self.cols + mirrored(x, self.cols)])
        };
        let mut out = Vec::with_capacity(size / (n * n));
        for row in 0..self.rows / n {
            for col in 0..self.cols / n {
                let mut cells = (row * n..(row + 1) * n)
                    .flat_map(|y| (col * n..(col + 1) * n).map(move |x| (x, y)));
                out.push(cells.any(|(x, y)| matted(x, y)));
            }
        }
        out
    }

    /// Where cell `x`, `y` of the steadied frame lies in the frame, in cells.
    fn place(&self, x: usize, y: usize, taken: &Pose) -> (f64, f64) {
        let (cols, rows) = (self.cols as f64, self.rows as f64);
        let (x, y) = taken.apply(
            ((x as f64 + 0.5) / cols - 0.5) * self.wide,
            (y as f64 + 0.5) / rows - 0.5,
        );
        ((x / self.wide + 0.5) * cols - 0.5, (y + 0.5) * rows - 0.5)
    }

    /// Adds the colour between cells, by Keys' cubic (1981, Catmull-Rom).
    fn add(&self, frame: &[i16], x: f64, y: f64, sum: &mut [f32; 3]) {
        let (left, up) = (x.floor(), y.floor());
        let (across, down) = (taps((x - left) as f32), taps((y - up) as f32));
        let (left, up) = (left as i64 - 1, up as i64 - 1);
        for (j, v) in down.into_iter().enumerate() {
            let line = mirrored(up + j as i64, self.rows) * self.cols;
            for (i, h) in across.into_iter().enumerate() {
                let at = 3 * (line + mirrored(left + i as i64, self.cols));
                for k in 0..3 {
                    sum[k] += h * v * f32::from(frame[at + k]);
                }
            }
        }
    }
}

/// Weights of the four cells about a place `t` after the second.
fn taps(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        0.5 * (-t + 2.0 * t2 - t3),
        0.5 * (2.0 - 5.0 * t2 + 3.0 * t3),
        0.5 * (t + 4.0 * t2 - 3.0 * t3),
        0.5 * (t3 - t2),
    ]
}

/// The cell of an axis of `n` that stands for cell `i`, mirrored at the ends.
fn mirrored(i: i64, n: usize) -> usize {
    let last = n as i64 - 1;
    let i = if i < 0 { -1 - i } else { i };
    let i = if i > last { 2 * last + 1 - i } else { i };
    i.clamp(0, last) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLS: usize = 12;
    const ROWS: usize = 9;

    fn frames(finer: usize, colour: impl Fn(f64, f64) -> f64) -> Frames {
        let wide = COLS as f64 / ROWS as f64;
        let mut frames = Frames::new(COLS, ROWS, finer, wide);
        let n = finer as f64;
        let cells: Vec<i16> = (0..COLS * ROWS * finer * finer)
            .flat_map(|i| {
                let (x, y) = (i % (COLS * finer), i / (COLS * finer));
                let v = colour((x as f64 + 0.5) / n, (y as f64 + 0.5) / n);
                [v as i16, (2.0 * v) as i16, (-v) as i16]
            })
            .collect();
        frames.take(&cells);
        frames
    }

    /// A camera that looks so many cells to the right and down.
    fn shifted(x: f64, y: f64) -> Pose {
        Pose {
            x: x / ROWS as f64,
            y: y / ROWS as f64,
            ..Pose::REST
        }
    }

    #[test]
    fn a_camera_at_rest_leaves_the_cells_and_one_that_moved_by_cells_moves_them() {
        let scene = |x: f64, y: f64| libm::floor(37.0 * x) * 7.0 % 900.0 + 100.0 * y;
        let frames = frames(1, scene);
        assert_eq!(frames.colour_at_rest(0, &Pose::REST), frames.colour);
        let got = frames.colour_at_rest(0, &shifted(2.0, -1.0));
        let cell = |cells: &[i16], x: usize, y: usize| cells[3 * (y * COLS + x)];
        for (x, y) in [(0, 1), (5, 4), (9, 8)] {
            assert_eq!(cell(&got, x, y), cell(&frames.colour, x + 2, y - 1));
        }
        // Beyond its edges the frame is mirrored.
        assert_eq!(cell(&got, 11, 4), cell(&frames.colour, 10, 3));
        assert_eq!(cell(&got, 3, 0), cell(&frames.colour, 5, 0));
    }

    #[test]
    fn a_slope_is_read_between_cells() {
        let frames = frames(2, |x, y| 100.0 * x + 60.0 * y);
        let got = frames.colour_at_rest(0, &shifted(0.3, -0.4));
        for (x, y) in [(3, 4), (8, 6)] {
            let want = 100.0 * (x as f64 + 0.8) + 60.0 * (y as f64 + 0.1);
            let cell = &got[3 * (y * COLS + x)..][..3];
            for (v, of) in cell.iter().zip([1.0, 2.0, -1.0]) {
                assert!((f64::from(*v) - of * want).abs() <= 2.0, "{cell:?} {want}");
            }
        }
    }

    #[test]
    fn the_matte_goes_with_the_plate() {
        let mut frames = frames(2, |_, _| 0.0);
        assert!(frames.matte_at_rest(0, &Pose::REST).is_empty());
        let mut matte = Picture::new(COLS * 2, ROWS * 2, 1);
        matte.row_mut(10)[14] = 0.2;
        frames.take_matte(&matte);
        let got = frames.matte_at_rest(0, &shifted(3.0, 0.0));
        assert!(got[5 * COLS + 4]);
        // Nothing more than its neighbours.
        assert!(got.iter().filter(|m| **m).count() <= 4);
    }
}
