//! Normal noise for a block of latents; the twin of `noise.cu`.

use crate::driver::{DeviceError, Grid, PartMut, Stream};
use crate::philox::{normal, philox4x32};

/// Where a block lies in its sequence: its first latent frame, row and column.
pub type Place = [i32; 3];

/// The noise of mean 0 and deviation 1 at one place of a sequence, of channels
/// 2 `pair` and 2 `pair` + 1.
#[inline]
fn two(seed: u64, [frame, row, column]: [u32; 3], pair: u32) -> [f32; 2] {
    let key = [seed as u32, (seed >> 32) as u32];
    let [a, b, c, d] = philox4x32([pair, frame, row, column], key);
    [normal(a, b) as f32, normal(c, d) as f32]
}

/// The noise of mean 0 and deviation 1 at one place of a sequence, of one channel.
pub fn at(seed: u64, place: [u32; 3], channel: u32) -> f32 {
    two(seed, place, channel / 2)[(channel % 2) as usize]
}

/// Fills `out`, [channels, frames, rows, columns] = `shape`, with the noise of the
/// block at `place`. A value depends on the seed, its frame, row, column and channel
/// alone.
///
/// # Panics
/// Where `out` is not as large as `shape`.
pub fn noise(out: &mut [f32], seed: u64, place: Place, shape: [usize; 4]) {
    let [channels, frames, rows, columns] = shape;
    let plane = frames * rows * columns;
    assert_eq!(out.len(), channels * plane, "noise of {shape:?}");
    let along = |first: i32, i: usize| first.wrapping_add(i as i32) as u32;
    for t in 0..frames {
        for y in 0..rows {
            for x in 0..columns {
                let at_place = [along(place[0], t), along(place[1], y), along(place[2], x)];
                let first = (t * rows + y) * columns + x;
                for pair in 0..channels.div_ceil(2) {
                    let numbers = two(seed, at_place, pair as u32);
                    for (c, v) in (2 * pair..channels).zip(numbers) {
                        out[c * plane + first] = v;
                    }
                }
            }
        }
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    out: u64,
    seed: u64,
    place: Place,
    shape: [u32; 4],
}

/// Queues [`noise`] on a device.
pub fn launch(
    stream: &Stream,
    out: PartMut<'_, f32>,
    seed: u64,
    place: Place,
    shape: [usize; 4],
) -> Result<(), DeviceError> {
    let [channels, frames, rows, columns] = shape;
    let plane = frames * rows * columns;
    out.check("noise", channels * plane)?;
    if channels * plane == 0 {
        return Ok(());
    }
    let argument = Arguments {
        out: out.address(),
        seed,
        place,
        shape: shape.map(|n| n as u32),
    };
    let mut grid = Grid::over(plane, 128);
    grid.blocks[1] = channels.div_ceil(2) as u32;
    // SAFETY: the length was checked, the grid covers every place and pair of channels.
    unsafe { stream.launch("noise", "noise", grid, &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_channels_share_a_block_of_words_and_differ() {
        let mut out = vec![0.0; 5 * 2 * 3 * 4];
        noise(&mut out, 7, [-1, 2, 3], [5, 2, 3, 4]);
        // Frame 0 is row 1, column 2 of the block at (-1, 2, 3): channel by channel.
        for c in 0..5u32 {
            let word = |i: u32| philox4x32([c / 2, u32::MAX, 3, 5], [7, 0])[i as usize];
            let (u, v) = (word(2 * (c % 2)), word(2 * (c % 2) + 1));
            let radius = (-2.0 * (1.0 - f64::from(u) / 2f64.powi(32)).ln()).sqrt();
            let exact = radius * (std::f64::consts::TAU * f64::from(v) / 2f64.powi(32)).cos();
            let found = f64::from(out[c as usize * 24 + 6]);
            assert!((found - exact).abs() < 1e-6, "{found} {exact}");
        }
    }
}
