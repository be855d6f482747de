//! A VAE's output as pixels, and pixels as its input; the twin of `pixels.cu`.

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

/// The channels, [frames, height / patch, width / patch, channels], of RGB, [frames,
/// height, width, 3]; zeros behind those that are pixels.
///
/// # Panics
/// Where the lengths do not go together.
pub fn channels<T: Number>(x: &[f32], of: &Patches, out: &mut [T]) {
    let count = of.pixels(out.len()).expect("whole frames");
    assert_eq!(x.len(), 3 * count);
    let (patch, wide, tall) = (of.patch, of.width / of.patch, of.height / of.patch);
    for (p, out) in out.chunks_exact_mut(of.channels).enumerate() {
        let (column, row, frame) = (p % wide, p / wide % tall, p / wide / tall);
        for (i, out) in out.iter_mut().enumerate() {
            let (c, across) = (i / (patch * patch), i / patch % patch);
            let line = frame * of.height + row * patch + i % patch;
            let at = (line * of.width + column * patch + across) * 3 + c;
            *out = T::narrow(if c < 3 { x[at] } else { 0.0 });
        }
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Turned {
    x: u64,
    out: u64,
    positions: u32,
    channels: u32,
    height: u32,
    width: u32,
    patch: u32,
}

/// Queues [`channels`] on a device.
pub fn launch_channels<T: Number>(
    stream: &Stream,
    x: Part<'_, f32>,
    of: &Patches,
    out: PartMut<'_, T>,
) -> Result<(), DeviceError> {
    let missing = || DeviceError::missing("channels");
    let count = of.pixels(out.len()).ok_or_else(missing)?;
    x.check("channels", 3 * count)?;
    if count == 0 {
        return Ok(());
    }
    let positions = out.len() / of.channels;
    let argument = Turned {
        x: x.address(),
        out: out.address(),
        positions: u32::try_from(positions).map_err(|_| missing())?,
        channels: of.channels as u32,
        height: of.height as u32,
        width: of.width as u32,
        patch: of.patch as u32,
    };
    let name = pick::<T>(["channels_f32", "channels_f16", "channels_bf16"]);
    // SAFETY: a thread for each position; lengths were checked.
    unsafe { stream.launch("pixels", name, Grid::over(positions, 256), &argument) }
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
        let mut back = [9.0; 13];
        channels(&out, &of, &mut back);
        assert_eq!((&back[..12], back[12]), (&x[..12], 0.0));
        pixels(&x, &of, &[-2.0; 12], &mut out);
        assert_eq!(out, [-1.0; 12]);
    }
}
