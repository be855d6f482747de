//! Position-locked attention over a plate's times; the twin of `agreement.cu`.

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};

/// For each of `landings` frames that a region could play from, how badly it agrees
/// with what plays there in the cells of weight above 0: a fifth of each cell's best
/// moment and four fifths of the mean of its squared jumps, `cap` each at most.
///
/// `motion` is [frames, cells], `sources` [moments, cells] the plate frames that play
/// there, two frames between moments, `weight` [cells]. Frames behind the last stand
/// for it.
pub fn agreement(
    motion: &[[i16; 8]],
    sources: &[u32],
    weight: &[u32],
    landings: usize,
    cap: i32,
) -> Vec<i64> {
    let cells = weight.len().max(1);
    let (frames, moments) = (motion.len() / cells, sources.len() / cells);
    let inside: Vec<usize> = (0..weight.len()).filter(|c| weight[*c] > 0).collect();
    let total: i64 = weight.iter().map(|w| i64::from(*w)).sum();
    let jump = |c: usize, a: usize, b: usize| -> i32 {
        let pairs = motion[a * cells + c].iter().zip(&motion[b * cells + c]);
        let squares = pairs.map(|(a, b)| {
            let d = i32::from(*a) - i32::from(*b);
            d * d
        });
        squares.sum()
    };
    (0..landings)
        .map(|j| {
            let mut sum = 0i64;
            for &c in &inside {
                let (mut least, mut all) = (i32::MAX, 0i64);
                for i in 0..moments {
                    let frame = (j + 2 * i).min(frames - 1);
                    let e = jump(c, sources[i * cells + c] as usize, frame).min(cap);
                    least = least.min(e);
                    all += i64::from(e);
                }
                let mean = all / moments.max(1) as i64;
                sum += i64::from(weight[c]) * (i64::from(least) + 4 * mean) / 5;
            }
            sum / total.max(1)
        })
        .collect()
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    motion: u64,
    sources: u64,
    weight: u64,
    out: u64,
    frames: u32,
    cells: u32,
    moments: u32,
    cap: i32,
    total: i64,
}

/// Queues [`agreement`] on a device; `motion` is [frames, cells, 8] and begins at a
/// multiple of 16 bytes, `total` is the sum of the weights, `out` has the landings.
#[allow(clippy::too_many_arguments)]
pub fn launch(
    stream: &Stream,
    motion: Part<'_, i16>,
    sources: Part<'_, u32>,
    weight: Part<'_, u32>,
    total: i64,
    cap: i32,
    out: PartMut<'_, i64>,
) -> Result<(), DeviceError> {
    const CALL: &str = "agreement";
    let cells = weight.len();
    if out.is_empty() {
        return Ok(());
    }
    if cells == 0 || motion.is_empty() {
        return Err(DeviceError::missing(CALL));
    }
    let (frames, moments) = (motion.len() / (8 * cells), sources.len() / cells);
    motion.check(CALL, frames * cells * 8)?;
    sources.check(CALL, moments * cells)?;
    let argument = Arguments {
        motion: motion.address(),
        sources: sources.address(),
        weight: weight.address(),
        out: out.address(),
        frames: frames as u32,
        cells: cells as u32,
        moments: moments as u32,
        cap,
        total: total.max(1),
    };
    let grid = Grid {
        blocks: [out.len() as u32, 1, 1],
        threads: [128, 1, 1],
    };
    // SAFETY: lengths were checked; the caller's sources are frames of the plate.
    unsafe { stream.launch(CALL, CALL, grid, &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_plays_already_agrees_best() {
        // 9 frames of 2 cells; cell 1 does not count.
        let frame = |t: i16| [[10 * t; 8], [7 - t; 8]];
        let motion: Vec<[i16; 8]> = (0..9).flat_map(frame).collect();
        let sources = [3, 0, 5, 0];
        let found = agreement(&motion, &sources, &[2, 0], 6, 1_000_000);
        // A frame's distance is 10 in 8 features at both moments: (800 + 4 * 800) / 5.
        assert_eq!(found[3], 0);
        assert_eq!((found[2], found[4]), (800, 800));
        let far = agreement(&motion, &sources, &[2, 0], 1, 100);
        assert_eq!(far, [100], "capped");
    }
}
