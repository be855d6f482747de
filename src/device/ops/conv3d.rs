//! Convolution over time, height and width, one output frame at a time.
//!
//! The caller keeps the frames; the kernel's earlier frames are handed in beside
//! the newest, so nothing is ever joined to a volume. Features lie with the
//! channels of a position side by side: what a row of the kernel reads at one
//! position is one run of memory, and the whole is sums over such runs, done for
//! 48 outputs at 8 positions in registers ([`super::tile`]). A frame of zeros
//! before the first is not read at all.
//!
//! Where every position has an output of a 3 × 3 kernel, four of them share their
//! products ([`winograd`]).
//!
//! Every sum is one chain of multiply-adds in a fixed order: the result is the same
//! bits on any number of threads and whether the frames come at once or one by one.

use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

use super::feature_map::FeatureMap;
use super::tile::{LANES, MAX_LANES, POSITIONS, accumulate, panels};
use crate::device::isa::Isa;
use crate::device::{Cancel, Cancelled, install};
use winograd::{Scratch, Winograd};

/// Positions whose sums are kept at hand while all weights pass by.
const TILE: usize = 128;
/// Inputs after which the next positions take their turn: their weights then
/// come from the nearest cache.
const RUN: usize = 128;

/// How a convolution walks over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// An output at each position; as many zeros on each side as the kernel
    /// reaches out.
    Same,
    /// An output at every second position, the first window beginning at the
    /// first position; one row and column of zeros at the far sides. An odd size
    /// loses its last position, as in the reference.
    Halve,
    /// As if every position had been doubled in height and width (nearest) and
    /// the kernel moved over the result: four outputs a position, each from
    /// kernel weights summed beforehand where they meet the same input.
    Double,
}

mod winograd;

/// One convolution, its weights arranged for [`Conv3d::frame`].
pub struct Conv3d {
    inputs: usize,
    outputs: usize,
    frames: usize,
    walk: Walk,
    /// Positions that the kernel reaches out of the picture.
    reach: usize,
    bias: Vec<f32>,
    way: Way,
}

/// How the sums are made.
enum Way {
    /// Tap by tap: one part, or the four of [`Walk::Double`].
    Plain(Vec<Part>),
    /// Four outputs at once.
    Squares(Winograd),
}

/// A kernel with a place to read from and a place to write to.
struct Part {
    rows: usize,
    columns: usize,
    /// Where the window of the first position begins, in rows and columns from
    /// there, counted before the border: -1 is one into the border.
    origin: (isize, isize),
    /// Which of the doubled positions it makes.
    place: (usize, usize),
    /// `[panel][frame][row][column][input][output of the panel]`.
    weights: Vec<f32>,
}

impl Conv3d {
    /// From `weight`, `[outputs, inputs, frames, rows, columns]` or, for one
    /// frame, `[outputs, inputs, rows, columns]`, and `bias`, `[outputs]`.
    ///
    /// Rows and columns are alike, 1 or 3, and 3 unless `walk` is
    /// [`Walk::Same`]; anything else is an error.
    pub fn new(weight: &Tensor, bias: &Tensor, walk: Walk) -> Result<Self> {
        let weight = match weight.rank() {
            4 => weight.unsqueeze(2)?,
            _ => weight.clone(),
        };
        let (outputs, inputs, frames, rows, columns) = weight.dims5()?;
        if rows != columns || !matches!(rows, 1 | 3) || (walk != Walk::Same && rows != 3) {
            bail!("no convolution of {rows} × {columns} that walks as {walk:?}");
        }
        let bias = bias.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        if bias.len() != outputs {
            bail!("{} biases for {outputs} outputs", bias.len());
        }
        let weight = weight.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let kernel = Kernel {
            outputs,
            inputs,
            frames,
            rows,
            columns,
            weight,
        };
        let reach = (rows / 2) as isize;
        let way = match walk {
            Walk::Same if Winograd::pays(&kernel) => Way::Squares(Winograd::new(&kernel)),
            Walk::Same => Way::Plain(vec![kernel.part((-reach, -reach), (0, 0))]),
            Walk::Halve => Way::Plain(vec![kernel.part((0, 0), (0, 0))]),
            Walk::Double => {
                let part = |(y, x): (usize, usize)| {
                    let origin = (y as isize - 1, x as isize - 1);
                    kernel.doubled(y, x).part(origin, (y, x))
                };
                Way::Plain([(0, 0), (0, 1), (1, 0), (1, 1)].map(part).into())
            }
        };
        Ok(Self {
            inputs,
            outputs,
            frames,
            walk,
            reach: rows / 2,
            bias,
            way,
        })
    }

    /// Frames that an output is made from.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The border that its input needs at least.
    pub fn border(&self) -> usize {
        self.reach
    }

    /// One output frame, without a border, from as many input frames as the
    /// kernel has, the newest last; `None` is a frame of zeros. `add` is added
    /// to the result.
    ///
    /// # Panics
    /// Where frames are missing, differ in size, or lack the border.
    pub fn frame(
        &self,
        frames: &[Option<&FeatureMap>],
        add: Option<&FeatureMap>,
        cancel: &Cancel,
    ) -> std::result::Result<FeatureMap, Cancelled> {
        assert_eq!(frames.len(), self.frames);
        let newest = frames[self.frames - 1].expect("the newest frame is there");
        for f in frames.iter().flatten() {
            assert_eq!(f.channels(), self.inputs);
            assert!(f.border() >= self.reach);
            assert_eq!(
                (f.height(), f.width(), f.border()),
                (newest.height(), newest.width(), newest.border())
            );
        }
        let (step, scale) = self.steps();
        let (height, width) = (newest.height() / step, newest.width() / step);
        let mut out = FeatureMap::zeros(height * scale, width * scale, self.outputs, 0);
        if let Some(add) = add {
            assert_eq!(
                (add.height(), add.width(), add.channels()),
                (out.height(), out.width(), out.channels())
            );
        }
        if height * width == 0 {
            return Ok(out);
        }
        let memory = out.rows_mut().2;
        let size = (height, width);
        match &self.way {
            Way::Plain(parts) => self.plainly(parts, frames, size, add, memory, cancel),
            Way::Squares(kernel) => self.in_squares(kernel, frames, width, add, memory, cancel),
        }
        if cancel.is_cancelled() {
            return Err(Cancelled);
        }
        Ok(out)
    }

    /// Writes `out`, all rows, tap by tap, for `height` × `width` places of the walk.
    fn plainly(
        &self,
        parts: &[Part],
        frames: &[Option<&FeatureMap>],
        (height, width): (usize, usize),
        add: Option<&FeatureMap>,
        out: &mut [f32],
        cancel: &Cancel,
    ) {
        let (step, scale) = self.steps();
        // Whole rows to a thread; where rows are short, as many as fill a tile.
        let rows = (TILE / width).clamp(1, height);
        let pitch = width * scale * self.outputs;
        let isa = Isa::best();
        let chunk = |(chunk, out): (usize, &mut [f32])| {
            let first = chunk * rows;
            let count = out.len() / (pitch * scale) * width;
            for part in parts {
                let mut done = 0;
                while done < count && !cancel.is_cancelled() {
                    let tiles = (count - done).div_ceil(TILE);
                    let size = (count - done).div_ceil(tiles);
                    let tile = Tile {
                        first: done + first * width,
                        count: size,
                        width,
                        step,
                        scale,
                    };
                    let to = Target {
                        out,
                        first_row: first * scale,
                        add,
                    };
                    self.tile(isa, part, &tile, frames, to);
                    done += size;
                }
            }
        };
        install(|| {
            let chunks = out.par_chunks_mut(rows * scale * pitch);
            chunks.enumerate().for_each(chunk);
        });
    }

    /// Writes `out`, all rows of `width` columns, four outputs at once.
    fn in_squares(
        &self,
        kernel: &Winograd,
        frames: &[Option<&FeatureMap>],
        width: usize,
        add: Option<&FeatureMap>,
        out: &mut [f32],
        cancel: &Cancel,
    ) {
        let rows = kernel.rows(width);
        let chunk = |scratch: &mut Scratch, (chunk, out): (usize, &mut [f32])| {
            let mut to = Target {
                out,
                first_row: chunk * rows,
                add,
            };
            let stop = || cancel.is_cancelled();
            kernel.make(frames, &self.bias, &mut to, width, scratch, stop);
        };
        install(|| {
            let chunks = out.par_chunks_mut(rows * width * self.outputs);
            chunks.enumerate().for_each_init(Scratch::default, chunk);
        });
    }

    /// Input positions from one place to the next, and outputs of each.
    fn steps(&self) -> (usize, usize) {
        match self.walk {
            Walk::Same => (1, 1),
            Walk::Halve => (2, 1),
            Walk::Double => (1, 2),
        }
    }

    /// What `part` makes of the positions of `tile`.
    fn tile(
        &self,
        isa: Isa,
        part: &Part,
        tile: &Tile,
        frames: &[Option<&FeatureMap>],
        to: Target<'_>,
    ) {
        let Some(newest) = frames[frames.len() - 1] else {
            return;
        };
        let (border, pitch) = (newest.border() as isize, newest.pitch());
        let (oy, ox) = (border + part.origin.0, border + part.origin.1);
        // Of positions beyond the last, the last is read once more.
        let mut starts = [0; TILE];
        for (i, start) in starts.iter_mut().enumerate() {
            let (y, x) = tile.position(i.min(tile.count - 1));
            let (y, x) = (y * tile.step, x * tile.step);
            *start = (y + oy as usize) * pitch + (x + ox as usize) * self.inputs;
        }
        let run = part.columns * self.inputs;
        let groups = tile.count.div_ceil(POSITIONS);
        let mut sums = [0.; TILE * MAX_LANES * LANES];
        let (mut weights, mut output) = (&part.weights[..], 0);
        for lanes in panels(self.outputs) {
            let width = lanes * LANES;
            let outputs = (self.outputs - output).min(width);
            for sums in sums[..groups * POSITIONS * width].chunks_exact_mut(width) {
                sums[..outputs].copy_from_slice(&self.bias[output..output + outputs]);
                sums[outputs..].fill(0.);
            }
            for frame in frames {
                let (now, rest) = weights.split_at(part.rows * run * width);
                weights = rest;
                let Some(frame) = frame else { continue };
                let data = frame.data();
                for (row, weights) in now.chunks_exact(run * width).enumerate() {
                    for (piece, weights) in weights.chunks(RUN * width).enumerate() {
                        let (at, count) = (row * pitch + piece * RUN, weights.len() / width);
                        let groups = starts.chunks_exact(POSITIONS).take(groups);
                        let sums = sums.chunks_exact_mut(POSITIONS * width);
                        for (starts, sums) in groups.zip(sums) {
                            let inputs =
                                std::array::from_fn(|p| data[starts[p] + at..][..count].as_ptr());
                            // SAFETY: each input is a slice of `count` numbers.
                            unsafe { accumulate(isa, lanes, count, weights, &inputs, sums) };
                        }
                    }
                }
            }
            for (i, sums) in sums.chunks_exact(width).take(tile.count).enumerate() {
                let (y, x) = tile.position(i);
                let y = y * tile.scale + part.place.0;
                let x = x * tile.scale + part.place.1;
                let pitch = tile.width * tile.scale * self.outputs;
                let at = (y - to.first_row) * pitch + x * self.outputs + output;
                let out = &mut to.out[at..at + outputs];
                out.copy_from_slice(&sums[..outputs]);
                if let Some(add) = to.add {
                    for (out, add) in out.iter_mut().zip(&add.at(y, x)[output..]) {
                        *out += add;
                    }
                }
            }
            output += outputs;
        }
    }
}

/// Neighbouring positions, in the order of rows.
struct Tile {
    first: usize,
    count: usize,
    /// Positions in a row.
    width: usize,
    /// Input positions from one to the next.
    step: usize,
    /// Output positions for each.
    scale: usize,
}

impl Tile {
    /// Row and column of position `i`.
    fn position(&self, i: usize) -> (usize, usize) {
        ((self.first + i) / self.width, (self.first + i) % self.width)
    }
}

/// Where a tile is written.
struct Target<'a> {
    /// Output rows from `first_row` on.
    out: &'a mut [f32],
    first_row: usize,
    add: Option<&'a FeatureMap>,
}

/// A kernel as checkpoints hold it.
struct Kernel {
    outputs: usize,
    inputs: usize,
    frames: usize,
    rows: usize,
    columns: usize,
    /// `[output][input][frame][row][column]`.
    weight: Vec<f32>,
}

impl Kernel {
    fn get(&self, o: usize, i: usize, t: usize, y: usize, x: usize) -> f32 {
        let at = (((o * self.inputs + i) * self.frames + t) * self.rows + y) * self.columns + x;
        self.weight[at]
    }

    /// Arranged for the inner loop.
    fn part(&self, origin: (isize, isize), place: (usize, usize)) -> Part {
        let mut weights = Vec::new();
        let mut first = 0;
        for lanes in panels(self.outputs) {
            for t in 0..self.frames {
                for y in 0..self.rows {
                    for x in 0..self.columns {
                        for i in 0..self.inputs {
                            weights.extend((first..first + lanes * LANES).map(|o| {
                                if o < self.outputs {
                                    self.get(o, i, t, y, x)
                                } else {
                                    0.
                                }
                            }));
                        }
                    }
                }
            }
            first += lanes * LANES;
        }
        Part {
            rows: self.rows,
            columns: self.columns,
            origin,
            place,
            weights,
        }
    }

    /// The 2 × 2 kernel over the input that a 3 × 3 kernel over the doubled
    /// input comes to, at the doubled position `(py, px)` of each four.
    fn doubled(&self, py: usize, px: usize) -> Self {
        // Doubled rows -1, 0, 1 around row `py` lie in these input rows.
        let rows = |p: usize| [[0, 1, 1], [0, 0, 1]][p];
        let mut weight = Vec::with_capacity(self.weight.len() / 9 * 4);
        for o in 0..self.outputs {
            for i in 0..self.inputs {
                for t in 0..self.frames {
                    let mut sums = [[0.; 2]; 2];
                    for (y, &to_y) in rows(py).iter().enumerate() {
                        for (x, &to_x) in rows(px).iter().enumerate() {
                            sums[to_y][to_x] += self.get(o, i, t, y, x);
                        }
                    }
                    weight.extend(sums.as_flattened());
                }
            }
        }
        Self {
            rows: 2,
            columns: 2,
            weight,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests;
