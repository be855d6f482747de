//! A VAE's output as pixels; the twin of `pixels.cu`.

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};
use crate::number::{Number, pick};

/// How pixels lie in what a VAE's last convolution gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patches {
    /// Rows of pixels of a frame.
    pub height: usize,
    /// Columns of pixels of a frame.
    pub width: usize,
    /// Side of the square of pixels that a position's channels hold.
    pub patch: usize,
    /// Channels of a position, of which the first 3 · patch² are pixels.
    pub channels: usize,
}

impl Patches {
    /// Whether `numbers` of what is read, and the rest, go together; how many pixels.
    fn pixels(&self, numbers: usize) -> Option<usize> {
        let Self {
            height,
            width,
            patch,
            channels,
        } = *self;
        let whole = patch > 0 && height % patch == 0 && width % patch == 0;
        let positions = numbers.checked_div(channels)?;
        let pixels = positions * patch * patch;
        let frames = height * width > 0 && pixels.is_multiple_of(height * width);
        let fits = numbers.is_multiple_of(channels) && channels >= 3 * patch * patch;
        (whole && frames && fits).then_some(pixels)
    }
}

/// RGB, [frames, height, width, 3], of `x`, [frames, height / patch, width / patch,
/// channels], with `bias` of 3 · patch² numbers, held to -1 to 1.
///
/// # Panics
/// Where the lengths do not go together.
pub fn pixels<T: Number>(x: &[T], of: &Patches, bias: &[f32], out: &mut [f32]) {
    let count = of.pixels(x.len()).expect("whole frames");
    assert_eq!(out.len(), 3 * count);
    let Patches {
        height,
        width,
        patch,
        channels,
    } = *of;
    for (p, out) in out.chunks_exact_mut(3).enumerate() {
        let (column, row, frame) = (p % width, p / width % height, p / width / height);
        let line = frame * (height / patch) + row / patch;
        let cell = line * (width / patch) + column / patch;
        for (c, out) in out.iter_mut().enumerate() {
            let at = (c * patch + column % patch) * patch + row % patch;
            let v = x[cell * channels + at].widen() + bias[at];
            *out = v.clamp(-1.0, 1.0);
        }
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    x: u64,
    bias: u64,
    out: u64,
    pixels: u32,
    channels: u32,
    height: u32,
    width: u32,
    patch: u32,
}

/// Queues [`pixels`] on a device.
pub fn launch<T: Number>(
    stream: &Stream,
    x: Part<'_, T>,
    of: &Patches,
    bias: Part<'_, f32>,
    out: PartMut<'_, f32>,
) -> Result<(), DeviceError> {
    const CALL: &str = "pixels";
    let missing = || DeviceError::missing(CALL);
    let count = of.pixels(x.len()).ok_or_else(missing)?;
    out.check(CALL, 3 * count)?;
    bias.check(CALL, 3 * of.patch * of.patch)?;
    if count == 0 {
        return Ok(());
    }
    let argument = Arguments {
        x: x.address(),
        bias: bias.address(),
        out: out.address(),
        pixels: u32::try_from(count).map_err(|_| missing())?,
        channels: of.channels as u32,
        height: of.height as u32,
        width: of.width as u32,
        patch: of.patch as u32,
    };
    let name = pick::<T>(["pixels_f32", "pixels_f16", "pixels_bf16"]);
    // SAFETY: a thread for each pixel; lengths were checked.
    unsafe { stream.launch(CALL, name, Grid::over(count, 256), &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_laid_out_and_numbers_held() {
        let of = Patches {
            height: 2,
            width: 2,
            patch: 2,
            channels: 13,
        };
        let x: Vec<f32> = (0..13).map(|i| i as f32 / 16.0).collect();
        let mut out = [0.0; 12];
        pixels(&x, &of, &[0.0; 12], &mut out);
        // Of channel c, column x and row y number (2 c + x) · 2 + y.
        let expected = [0, 4, 8, 2, 6, 10, 1, 5, 9, 3, 7, 11].map(|i| i as f32 / 16.0);
        assert_eq!(out, expected);
        pixels(&x, &of, &[-2.0; 12], &mut out);
        assert_eq!(out, [-1.0; 12]);
    }
}
