//! The device's queue of work, with memory that one layer after the other works in.

use candle_core::{Result as TensorResult, Tensor};
use longtake_kernels::Number;
use longtake_kernels::convolutions::Convolutions;
use longtake_kernels::convolve::Convolution;
use longtake_kernels::driver::{Buffer, DeviceError, Part, PartMut, Plain, Stream};
use longtake_kernels::shortcut::{self, Shortcut};

use crate::engine::wan::vae::VaeError;

/// A queue and its memory. What is given back is used again by what is queued later.
pub struct Queue<T: Number> {
    /// What runs convolutions.
    pub convolutions: Convolutions,
    pool: Pool<T>,
    /// Numbers that are not rounded.
    pub wide: Pool<f32>,
}

/// Memory that nobody uses at the moment.
pub struct Pool<T: Plain>(Vec<Buffer<T>>);

impl<T: Plain> Pool<T> {
    /// Room for `len` numbers, which are anything at first.
    pub fn take(&mut self, stream: &Stream, len: usize) -> Result<Buffer<T>, DeviceError> {
        match self.0.iter().position(|b| b.len() == len) {
            Some(at) => Ok(self.0.swap_remove(at)),
            None => stream.room(len),
        }
    }

    /// Takes back what [`take`](Self::take) gave, once all that uses it is queued.
    pub fn give(&mut self, buffer: Buffer<T>) {
        self.0.push(buffer);
    }
}

/// Kernels of a convolution on the device.
pub struct Kernels<T: Number> {
    buffer: Buffer<T>,
    /// Channels that are read.
    pub channels: usize,
    /// Channels that are given.
    pub outputs: usize,
    /// Frames, rows and columns.
    pub size: [usize; 3],
}

/// How a convolution walks over frames.
#[derive(Clone, Copy)]
pub struct Way {
    /// From one window to the next: frames, rows, columns.
    step: [usize; 3],
    /// Rows of zeros in front and behind, and columns.
    zeros: [[usize; 2]; 2],
}

impl Way {
    /// A window at each second position, the first at the first.
    pub const HALVED: Self = Self {
        step: [1, 2, 2],
        zeros: [[0, 1]; 2],
    };
    /// A window at each second frame.
    pub const SLOWER: Self = Self {
        step: [2, 1, 1],
        zeros: [[0; 2]; 2],
    };

    /// Windows over pairs of columns that have a column of zeros before and behind.
    pub const PAIRED: Self = Self {
        step: [1; 3],
        zeros: [[1; 2], [0; 2]],
    };

    /// A window at each position, with `zeros` around a frame.
    pub fn around(zeros: usize) -> Self {
        Self {
            step: [1; 3],
            zeros: [[zeros; 2]; 2],
        }
    }
}

impl<T: Number> Queue<T> {
    /// On `stream`.
    pub fn new(stream: &Stream) -> Self {
        Self {
            convolutions: Convolutions::new(stream),
            pool: Pool(Vec::new()),
            wide: Pool(Vec::new()),
        }
    }

    /// The stream.
    pub fn stream(&self) -> &Stream {
        self.convolutions.stream()
    }

    /// Room for `len` numbers, which are anything at first.
    pub fn take(&mut self, len: usize) -> Result<Buffer<T>, DeviceError> {
        self.pool.take(self.convolutions.stream(), len)
    }

    /// The same in f32.
    pub fn take_wide(&mut self, len: usize) -> Result<Buffer<f32>, DeviceError> {
        self.wide.take(self.convolutions.stream(), len)
    }

    /// Takes back what [`take`](Self::take) gave.
    pub fn give(&mut self, buffer: Buffer<T>) {
        self.pool.give(buffer);
    }

    /// Gives memory back that nobody uses.
    pub fn shrink(&mut self) {
        self.pool.0.clear();
        self.wide.0.clear();
    }

    /// Numbers on the device.
    pub fn upload(&self, values: &[f32]) -> Result<Buffer<T>, DeviceError> {
        let values: Vec<T> = values.iter().map(|v| T::narrow(*v)).collect();
        self.stream().upload(&values)
    }

    /// The convolution of `x`, [frames, rows, columns] of `size`.
    pub fn convolve(
        &mut self,
        kernels: &Kernels<T>,
        size: [usize; 3],
        way: Way,
        x: Part<'_, T>,
    ) -> Result<Buffer<T>, DeviceError> {
        let of = kernels.over(size, way);
        let [_, _, made] = of.lengths();
        let mut y = self.take(made)?;
        let weight = kernels.buffer.part();
        self.convolutions.run(&of, x, weight, y.part_mut())?;
        Ok(y)
    }

    /// The same in f32, not rounded.
    pub fn convolve_wide(
        &mut self,
        kernels: &Kernels<T>,
        size: [usize; 3],
        way: Way,
        x: Part<'_, T>,
    ) -> Result<Buffer<f32>, DeviceError> {
        let of = kernels.over(size, way);
        let [_, _, made] = of.lengths();
        let mut y = self.take_wide(made)?;
        let weight = kernels.buffer.part();
        self.convolutions.run(&of, x, weight, y.part_mut())?;
        Ok(y)
    }

    /// What `x` becomes on the way around a level.
    pub fn around(&mut self, of: &Shortcut, x: Part<'_, T>) -> Result<Buffer<T>, DeviceError> {
        let missing = || DeviceError::Refused {
            call: "shortcut",
            code: format!("{of:?}"),
        };
        let [_, made] = of.lengths().ok_or_else(missing)?;
        let mut out = self.take(made)?;
        shortcut::launch(self.stream(), of, x, out.part_mut())?;
        Ok(out)
    }

    /// `y = a · bᵀ` of matrices that lie row by row, `width` numbers a row.
    pub fn product<O: Number>(
        &mut self,
        a: Part<'_, T>,
        b: Part<'_, T>,
        width: usize,
        y: PartMut<'_, O>,
    ) -> Result<(), DeviceError> {
        let rows = |part: &Part<'_, T>| part.len() / width.max(1);
        let of = Convolution::product(rows(&a), width, rows(&b));
        self.convolutions.run(&of, a, b, y)
    }
}

impl<T: Number> Kernels<T> {
    /// Of `weight`, [outputs, channels, (frames,) rows, columns].
    pub fn new(queue: &Queue<T>, weight: &Tensor) -> Result<Self, VaeError> {
        let weight = five(weight)?;
        let (outputs, channels, frames, rows, columns) = weight.dims5()?;
        let weight = weight.permute((0, 2, 3, 4, 1))?;
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        let size = [frames, rows, columns];
        Self::of_values(queue, &values, [outputs, channels], size)
    }

    /// Of a convolution of 3 × 3 over what was doubled in height and width (nearest): as
    /// one of 2 × 2 over what was not, with the four children of a position as
    /// [2, 2, outputs]. Where a window meets a position twice its weights are summed.
    pub fn doubling(queue: &Queue<T>, weight: &Tensor) -> Result<Self, VaeError> {
        let weight = five(weight)?;
        let (outputs, channels, _, rows, columns) = weight.dims5()?;
        if (rows, columns) != (3, 3) {
            return Err(VaeError::Config(format!(
                "has kernels of {rows} × {columns} after a doubling; 3 × 3 are known"
            )));
        }
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        // Which of three rows meet the first and the second of two.
        let met = |child: usize, tap: usize| match (child, tap) {
            (0, 0) => 0..1,
            (0, _) => 1..3,
            (_, 0) => 0..2,
            _ => 2..3,
        };
        let mut summed = vec![0f32; 16 * outputs * channels];
        let each = summed.chunks_exact_mut(channels.max(1)).enumerate();
        for (i, to) in each {
            let (tap, output) = (i % 4, i / 4);
            let (child, output) = (output / outputs, output % outputs);
            for (c, to) in to.iter_mut().enumerate() {
                for y in met(child / 2, tap / 2) {
                    for x in met(child % 2, tap % 2) {
                        *to += values[((output * channels + c) * 3 + y) * 3 + x];
                    }
                }
            }
        }
        Self::of_values(queue, &summed, [4 * outputs, channels], [1, 2, 2])
    }

    /// Of a convolution of 3 columns: as one of two pairs of columns, of which the first
    /// begins a column earlier, that gives a pair. A quarter of its weights are zeros.
    pub fn paired(queue: &Queue<T>, weight: &Tensor) -> Result<Self, VaeError> {
        let weight = five(weight)?;
        let (outputs, channels, frames, rows, columns) = weight.dims5()?;
        if columns != 3 {
            return Err(VaeError::Config(format!(
                "has kernels of {columns} columns; 3 are known"
            )));
        }
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        let places = frames * rows;
        let mut paired = vec![0f32; 2 * outputs * places * 2 * 2 * channels];
        let each = paired.chunks_exact_mut(channels.max(1)).enumerate();
        for (i, to) in each {
            // [2, outputs, frames, rows, pairs, 2], and channels.
            let (read, rest) = (i % 4, i / 4);
            let (place, rest) = (rest % places, rest / places);
            let (output, made) = (rest % outputs, rest / outputs);
            let Some(column) = read.checked_sub(made).filter(|column| *column < 3) else {
                continue;
            };
            for (c, to) in to.iter_mut().enumerate() {
                *to = values[((output * channels + c) * places + place) * 3 + column];
            }
        }
        let both = [2 * outputs, 2 * channels];
        Self::of_values(queue, &paired, both, [frames, rows, 2])
    }

    /// Of numbers that lie [outputs, frames, rows, columns, channels].
    pub fn of_values(
        queue: &Queue<T>,
        values: &[f32],
        [outputs, channels]: [usize; 2],
        size: [usize; 3],
    ) -> Result<Self, VaeError> {
        Ok(Self {
            buffer: queue.upload(values)?,
            channels,
            outputs,
            size,
        })
    }

    /// The numbers, for a product in which they are what is read.
    pub fn part(&self) -> Part<'_, T> {
        self.buffer.part()
    }

    fn over(&self, size: [usize; 3], Way { step, zeros }: Way) -> Convolution {
        Convolution {
            size,
            channels: self.channels,
            outputs: self.outputs,
            kernel: self.size,
            step,
            zeros,
        }
    }
}

/// With an axis for frames.
fn five(weight: &Tensor) -> TensorResult<Tensor> {
    match weight.rank() {
        4 => weight.unsqueeze(2),
        _ => Ok(weight.clone()),
    }
}
