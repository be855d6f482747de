//! Convolution over frames, height and width; the twin of `convolve.cu`.

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};
use crate::number::Number;

/// What a convolution reads and gives. Axes are frames, height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// Size of what is read, [frames, height, width, channels].
    pub size: [usize; 3],
    /// Channels of what is read.
    pub channels: usize,
    /// Channels of what is given.
    pub outputs: usize,
    /// Size of the kernel.
    pub kernel: [usize; 3],
    /// How far one window begins behind the one before.
    pub step: [usize; 3],
    /// Rows and columns of zeros on each side: in front and behind.
    pub zeros: [[usize; 2]; 2],
}

impl Convolution {
    /// One of 1 × 1 × 1 over `positions` positions: a product of matrices.
    pub fn product(positions: usize, channels: usize, outputs: usize) -> Self {
        Self {
            size: [1, 1, positions],
            channels,
            outputs,
            kernel: [1; 3],
            step: [1; 3],
            zeros: [[0; 2]; 2],
        }
    }

    /// Size of what is given; 0 where the kernel does not fit.
    pub fn made(&self) -> [usize; 3] {
        let along = |axis: usize| {
            let zeros = match axis {
                0 => 0,
                axis => self.zeros[axis - 1].iter().sum(),
            };
            let room = (self.size[axis] + zeros + 1).saturating_sub(self.kernel[axis]);
            room.div_ceil(self.step[axis].max(1))
        };
        [along(0), along(1), along(2)]
    }

    /// Numbers that are read, of the kernels, and that are given.
    pub fn lengths(&self) -> [usize; 3] {
        let count = |a: [usize; 3]| a.iter().product::<usize>();
        [
            count(self.size) * self.channels,
            count(self.kernel) * self.channels * self.outputs,
            count(self.made()) * self.outputs,
        ]
    }

    /// Operations, two for each product.
    pub fn operations(&self) -> f64 {
        let [_, weights, made] = self.lengths();
        2.0 * weights as f64 * (made / self.outputs.max(1)) as f64
    }
}

/// `y` of `x`, [frames, height, width, channels], and `weight`, [outputs, frames, rows,
/// columns, channels].
///
/// # Panics
/// Where the lengths do not go together.
pub fn convolve<T: Number, O: Number>(of: &Convolution, x: &[T], weight: &[T], y: &mut [O]) {
    assert_eq!(of.lengths(), [x.len(), weight.len(), y.len()]);
    let ([frames, height, width], [_, rows, columns]) = (of.size, of.made());
    let taps = of.kernel;
    for (p, y) in y.chunks_exact_mut(of.outputs).enumerate() {
        let at = [p / (rows * columns), p / columns % rows, p % columns];
        for (o, y) in y.iter_mut().enumerate() {
            let mut sum = 0.0f32;
            for place in 0..taps.iter().product() {
                let tap = [
                    place / (taps[1] * taps[2]),
                    place / taps[2] % taps[1],
                    place % taps[2],
                ];
                let f = at[0] * of.step[0] + tap[0];
                let r = (at[1] * of.step[1] + tap[1]).checked_sub(of.zeros[0][0]);
                let c = (at[2] * of.step[2] + tap[2]).checked_sub(of.zeros[1][0]);
                let (Some(r), Some(c)) = (r, c) else {
                    continue;
                };
                if f >= frames || r >= height || c >= width {
                    continue;
                }
                let x = &x[((f * height + r) * width + c) * of.channels..][..of.channels];
                let taps: usize = taps.iter().product();
                let w = &weight[(o * taps + place) * of.channels..][..of.channels];
                for (x, w) in x.iter().zip(w) {
                    sum = libm::fmaf(x.widen(), w.widen(), sum);
                }
            }
            *y = O::narrow(sum);
        }
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    x: u64,
    weight: u64,
    y: u64,
    channels: u32,
    outputs: u32,
    size: [u32; 3],
    kernel: [u32; 3],
    made: [u32; 3],
    step: [u32; 3],
    before: [u32; 2],
}

/// Queues [`convolve`] on a device. `O` is `T`, or f32.
pub fn launch<T: Number, O: Number>(
    stream: &Stream,
    of: &Convolution,
    x: Part<'_, T>,
    weight: Part<'_, T>,
    y: PartMut<'_, O>,
) -> Result<(), DeviceError> {
    const CALL: &str = "convolve";
    let missing = || DeviceError::missing(CALL);
    let [read, weights, made] = of.lengths();
    x.check(CALL, read)?;
    weight.check(CALL, weights)?;
    y.check(CALL, made)?;
    if made == 0 {
        return Ok(());
    }
    let name = match (T::NAME, O::NAME) {
        ("f32", "f32") => "convolve_f32",
        ("f16", "f16") => "convolve_f16",
        ("bf16", "bf16") => "convolve_bf16",
        ("f16", "f32") => "convolve_f16_wide",
        ("bf16", "f32") => "convolve_bf16_wide",
        _ => return Err(missing()),
    };
    let positions = made / of.outputs;
    if positions >= 1 << 31 || read >= 1 << 40 {
        return Err(missing());
    }
    let narrow = |a: [usize; 3]| a.map(|n| n as u32);
    let argument = Arguments {
        x: x.address(),
        weight: weight.address(),
        y: y.address(),
        channels: of.channels as u32,
        outputs: of.outputs as u32,
        size: narrow(of.size),
        kernel: narrow(of.kernel),
        made: narrow(of.made()),
        step: narrow(of.step),
        before: of.zeros.map(|[before, _]| before as u32),
    };
    let tiles = |n: usize| n.div_ceil(64) as u32;
    let grid = Grid {
        blocks: [tiles(positions), tiles(of.outputs), 1],
        threads: [128, 1, 1],
    };
    // SAFETY: tiles over all positions and outputs; lengths were checked.
    unsafe { stream.launch(CALL, name, grid, &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_step_over_frames_rows_and_columns() {
        let of = Convolution {
            size: [2, 1, 3],
            channels: 1,
            outputs: 1,
            kernel: [2, 1, 2],
            step: [1, 1, 1],
            zeros: [[0, 0], [1, 0]],
        };
        assert_eq!((of.made(), of.lengths()), ([1, 1, 3], [6, 4, 3]));
        let mut y = [0.0f32; 3];
        let x = [1.0f32, 2.0, 3.0, 10.0, 20.0, 30.0];
        convolve(&of, &x, &[1.0, 2.0, 100.0, 1000.0], &mut y);
        assert_eq!(y, [10_002.0, 21_005.0, 32_008.0]);
        let of = Convolution {
            step: [1, 1, 2],
            zeros: [[0, 0], [0, 1]],
            ..of
        };
        let mut y = [0.0f32; 2];
        convolve(&of, &x, &[1.0, 2.0, 100.0, 1000.0], &mut y);
        assert_eq!(y, [21_005.0, 3_003.0]);
        assert_eq!(Convolution::product(5, 3, 2).lengths(), [15, 6, 10]);
    }
}
