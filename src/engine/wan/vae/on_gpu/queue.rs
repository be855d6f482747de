//! The device's queue of work, with memory that one layer after the other works in.

use candle_core::{Result as TensorResult, Tensor};
use longtake_kernels::Number;
use longtake_kernels::convolutions::Convolutions;
use longtake_kernels::convolve::Convolution;
use longtake_kernels::driver::{Buffer, DeviceError, Part, PartMut, Plain, Stream};

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

    /// The convolution of `x`, [frames, rows, columns] of `size`, with `zeros` around each
    /// frame: rows in front and behind, and columns.
    pub fn convolve(
        &mut self,
        kernels: &Kernels<T>,
        size: [usize; 3],
        zeros: [[usize; 2]; 2],
        x: Part<'_, T>,
    ) -> Result<Buffer<T>, DeviceError> {
        let of = kernels.over(size, zeros);
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
        zeros: [[usize; 2]; 2],
        x: Part<'_, T>,
    ) -> Result<Buffer<f32>, DeviceError> {
        let of = kernels.over(size, zeros);
        let [_, _, made] = of.lengths();
        let mut y = self.take_wide(made)?;
        let weight = kernels.buffer.part();
        self.convolutions.run(&of, x, weight, y.part_mut())?;
        Ok(y)
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

    fn over(&self, size: [usize; 3], zeros: [[usize; 2]; 2]) -> Convolution {
        Convolution {
            size,
            channels: self.channels,
            outputs: self.outputs,
            kernel: self.size,
            step: [1; 3],
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
