//! How well each plate frame could follow each other; the twin of
//! `frame_distance.cu`.

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};

/// Frames that a block of the kernel looks at.
const FRAMES_OF_BLOCK: usize = 256;

/// For each frame `i` the cost of the jump between `i` and `i + d`: the mean over
/// cells of a fifth of the best moment of the window of `window + 1` frames and four
/// fifths of the window's mean. A moment costs a cell its squared jump, `cap` at most
/// (below 65,536). `along` is [cells, 6, `n` frames]. Compiled into its caller, who
/// chooses the vector instructions.
#[inline(always)]
pub fn frame_distance(along: &[i16], n: usize, d: usize, window: usize, cap: i32) -> Vec<u32> {
    let cells = along.len() / (6 * n.max(1));
    let m = n.saturating_sub(d);
    if m <= window {
        return Vec::new();
    }
    let starts = m - window;
    let mut least = vec![0u64; starts];
    let mut total = vec![0u64; m];
    let mut c = vec![0i32; m];
    let mut low = vec![0u16; m];
    for q in 0..cells {
        c.fill(0);
        for k in 0..6 {
            let line = &along[(q * 6 + k) * n..(q * 6 + k + 1) * n];
            let (a, b) = (&line[..m], &line[d..]);
            for ((c, a), b) in c.iter_mut().zip(a).zip(b) {
                let e = i32::from(*a) - i32::from(*b);
                *c += e * e;
            }
        }
        for ((low, total), c) in low.iter_mut().zip(&mut total).zip(&c) {
            let v = (*c).min(cap);
            *low = v as u16;
            *total += v as u64;
        }
        // The least of each window, by doubling.
        let (mut span, mut valid) = (1, m);
        while span < window + 1 {
            let hop = span.min(window + 1 - span);
            valid -= hop;
            for i in 0..valid {
                low[i] = low[i].min(low[i + hop]);
            }
            span += hop;
        }
        for (s, l) in least.iter_mut().zip(&low) {
            *s += u64::from(*l);
        }
    }
    let mut sum: u64 = total[..window + 1].iter().sum();
    let mut out = Vec::with_capacity(starts);
    for i in 0..starts {
        let mean = sum / (window as u64 + 1);
        out.push(((least[i] + 4 * mean) / (5 * cells.max(1) as u64)) as u32);
        if i + window + 1 < m {
            sum = sum + total[i + window + 1] - total[i];
        }
    }
    out
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    along: u64,
    out: u64,
    frames: u32,
    cells: u32,
    window: u32,
    cap: i32,
}

/// Whether a device can compare windows of `window + 1` of `n` frames: blocks lie along
/// y, windows within a block.
pub fn fits(n: usize, window: usize) -> bool {
    (2..=65_535).contains(&n) && window + 1 < FRAMES_OF_BLOCK
}

/// Queues [`frame_distance`] of all distances on a device: row `d - 1` of `out`,
/// [n - 1, n], begins with those of distance `d`; the rest is not written.
pub fn launch(
    stream: &Stream,
    along: Part<'_, i16>,
    n: usize,
    window: usize,
    cap: i32,
    out: PartMut<'_, u32>,
) -> Result<(), DeviceError> {
    const CALL: &str = "frame_distance";
    let cells = along.len() / (6 * n.max(1));
    if n < 2 || n <= window + 1 || cells == 0 {
        return Ok(());
    }
    along.check(CALL, cells * 6 * n)?;
    out.check(CALL, (n - 1) * n)?;
    if !fits(n, window) {
        return Err(DeviceError::missing(CALL));
    }
    let argument = Arguments {
        along: along.address(),
        out: out.address(),
        frames: n as u32,
        cells: cells as u32,
        window: window as u32,
        cap,
    };
    let tiles = n.div_ceil(FRAMES_OF_BLOCK - window) as u32;
    let grid = Grid {
        blocks: [tiles, (n - 1) as u32, 1],
        threads: [FRAMES_OF_BLOCK as u32, 1, 1],
    };
    // SAFETY: lengths were checked; a thread reads frames below n and writes pairs of
    // its own.
    unsafe { stream.launch(CALL, CALL, grid, &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Straight from the definition.
    fn plainly(along: &[i16], n: usize, d: usize, window: usize, cap: i32) -> Vec<u32> {
        let cells = along.len() / (6 * n);
        let jump = |q: usize, i: usize| -> u64 {
            let e = |k: usize| {
                let line = &along[(q * 6 + k) * n..];
                i64::from(line[i]) - i64::from(line[i + d])
            };
            (0..6).map(|k| e(k) * e(k)).sum::<i64>().min(i64::from(cap)) as u64
        };
        (0..(n - d).saturating_sub(window))
            .map(|i| {
                let (mut least, mut sum) = (0, 0);
                for q in 0..cells {
                    let moments: Vec<u64> = (0..=window).map(|w| jump(q, i + w)).collect();
                    least += moments.iter().min().unwrap();
                    sum += moments.iter().sum::<u64>();
                }
                ((least + 4 * (sum / (window as u64 + 1))) / (5 * cells as u64)) as u32
            })
            .collect()
    }

    #[test]
    fn doubling_finds_what_the_definition_says() {
        for (n, cells, window) in [(2, 1, 0), (9, 3, 4), (40, 5, 22), (30, 2, 31)] {
            let along: Vec<i16> = (0..cells * 6 * n)
                .map(|i| ((i * 7919) % 211) as i16 - 100)
                .collect();
            for d in 1..n {
                let found = frame_distance(&along, n, d, window, 20_000);
                assert_eq!(
                    found,
                    plainly(&along, n, d, window, 20_000),
                    "{n} {d} {window}"
                );
            }
        }
    }
}
