//! Ghosts: places that show two times of the plate at once, as a dissolve
//! does.
//!
//! Each small block of an output frame is held against its best explanation
//! by one plate time at its own place: over all plate frames and small
//! displacements, the root mean square difference that is left once the plane
//! that fits the difference best is taken out. The displacement allows for a
//! warp, the plane for a shared lowest band; two pictures on top of each other
//! are explained by neither. What is left is measured in the plate's
//! own steps at that place, the same difference between neighbouring plate
//! frames, so that a fast plate is not called ghosted for its grain. Such a
//! block is *unexplained*.
//!
//! It is a *ghost* where in addition a mix of two plate times at its own place
//! leaves less than half of that: a block that was warped further than the
//! displacements reach, or resampled, is not explained by two times either.

use rayon::prelude::*;

use super::encoded::Encoded;
use crate::device;

/// Side of a block in pixels of the reduced picture.
const BLOCK: usize = 8;
/// Rows of the reduced picture, at most.
const ROWS: usize = 180;
/// Largest displacement, in pixels of the reduced picture.
const REACH: i32 = 2;
/// The places around one.
const AROUND: [(i32, i32); 8] = [
    (-1, -1),
    (0, -1),
    (1, -1),
    (-1, 0),
    (1, 0),
    (-1, 1),
    (0, 1),
    (1, 1),
];
/// Plate times looked at closely for a block, after a first look at all.
const CLOSE: usize = 6;
/// A block is unexplained when more than this share of the plate's own step is
/// left.
const LIMIT: f32 = 0.25;
/// A mix of two times must leave less than this share of what one leaves.
const MIXED: f32 = 0.5;
/// Plate times, the best alone, that are tried as the first of a mix.
const FIRST: usize = 16;
/// Least step that a block is credited with, 4096 for white: about what 8-bit
/// rounding and compression leave.
const FLOOR: f32 = 24.0;
/// Memory that the reduced plate may take, in bytes.
const BUDGET: usize = 64 << 20;

/// The plate as ghosts are looked for in it: reduced, one channel, 4096 for
/// white, at most 64 MB.
#[derive(Clone, Debug)]
pub struct GhostPlate {
    factor: usize,
    width: usize,
    height: usize,
    frames: Vec<Vec<i16>>,
    step: Vec<f32>,
    steps: usize,
}

/// What was found in a frame.
#[derive(Clone, Debug, Default)]
pub struct Ghosts {
    /// Share of the moving blocks that are ghosts.
    pub share: f64,
    /// Share of the moving blocks that no single plate time explains.
    pub unexplained: f64,
    /// Mean over moving blocks of what one plate time leaves unexplained, in
    /// the plate's own steps.
    pub residual: f64,
    /// For each block, row by row, what is left in the plate's own steps.
    pub blocks: Vec<f32>,
    /// For each block, the plate index that explains it best.
    pub source: Vec<usize>,
}

/// What a block shows.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    /// What is left under the best single time, in the plate's own steps.
    left: f32,
    /// The plate index of that.
    source: usize,
    ghost: bool,
}

impl GhostPlate {
    /// For a plate of `frames` frames of `width` × `height` pixels.
    pub fn new(width: usize, height: usize, frames: usize) -> Self {
        let mut factor = height.div_ceil(ROWS).max(1);
        while width.div_ceil(factor) * height.div_ceil(factor) * 2 * frames > BUDGET {
            factor += 1;
        }
        Self {
            factor,
            width: width.div_ceil(factor),
            height: height.div_ceil(factor),
            frames: Vec::with_capacity(frames),
            step: Vec::new(),
            steps: 0,
        }
    }

    /// Columns and rows of blocks.
    pub fn grid(&self) -> (usize, usize) {
        (
            self.width.div_ceil(BLOCK).max(1),
            self.height.div_ceil(BLOCK).max(1),
        )
    }

    /// The next frame of the plate.
    pub fn push(&mut self, frame: &Encoded) {
        let small = self.reduce(frame);
        let blocks = self.grid().0 * self.grid().1;
        self.step.resize(blocks, 0.0);
        if let Some(last) = self.frames.last() {
            for b in 0..blocks {
                let residual = self.residual(&small, last, b, 0, 0);
                self.step[b] += residual;
            }
            self.steps += 1;
        }
        self.frames.push(small);
    }

    /// The plate's own step in block `b`, 4096 for white.
    fn unit(&self, b: usize) -> f32 {
        (self.step[b] / self.steps.max(1) as f32).max(FLOOR)
    }

    /// Looks for ghosts in an output frame of the plate's size.
    pub fn look(&self, frame: &Encoded) -> Ghosts {
        let small = self.reduce(frame);
        let blocks = self.grid().0 * self.grid().1;
        let best: Vec<Block> = device::install(|| {
            (0..blocks)
                .into_par_iter()
                .map(|b| self.explain(&small, b))
                .collect()
        });
        let (cols, rows) = self.grid();
        let moves = |b: usize| self.step[b] / self.steps.max(1) as f32 > FLOOR;
        let all = !(0..blocks).any(moves);
        // A seam is a line of unexplained blocks; an area of them is meant.
        let area = |b: usize, of: &dyn Fn(&Block) -> bool| {
            let (x, y) = (b % cols, b / cols);
            let (mut beside, mut with) = (0, 0);
            for y in y.saturating_sub(1)..(y + 2).min(rows) {
                for x in x.saturating_sub(1)..(x + 2).min(cols) {
                    beside += 1;
                    with += usize::from(of(&best[y * cols + x]));
                }
            }
            of(&best[b]) && 2 * with > beside
        };
        let left: Vec<f32> = best.iter().map(|r| r.left).collect();
        let (mut n, mut ghosts, mut unexplained, mut sum) = (0usize, 0usize, 0usize, 0.0f64);
        for b in (0..blocks).filter(|&b| all || moves(b)) {
            n += 1;
            sum += f64::from(left[b]);
            unexplained += usize::from(area(b, &|r| r.left > LIMIT));
            ghosts += usize::from(area(b, &|r| r.ghost));
        }
        Ghosts {
            share: ghosts as f64 / n.max(1) as f64,
            unexplained: unexplained as f64 / n.max(1) as f64,
            residual: sum / n.max(1) as f64,
            blocks: left,
            source: best.iter().map(|b| b.source).collect(),
        }
    }

    /// What block `b` shows.
    fn explain(&self, small: &[i16], b: usize) -> Block {
        // A first look at every time without displacement.
        let mut order: Vec<(f32, usize)> = self
            .frames
            .iter()
            .enumerate()
            .map(|(k, plate)| (self.residual(small, plate, b, 0, 0), k))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let Some(&(mut best)) = order.first() else {
            return Block::default();
        };
        let unit = self.unit(b);
        let alone = |best: (f32, usize)| Block {
            left: best.0 / unit,
            source: best.1,
            ghost: false,
        };
        if best.0 <= 0.1 * unit {
            return alone(best);
        }
        let mut place = (0, 0);
        for &(_, k) in order.iter().take(CLOSE) {
            for dy in -REACH..=REACH {
                for dx in -REACH..=REACH {
                    let r = self.residual(small, &self.frames[k], b, 2 * dx, 2 * dy);
                    if r < best.0 {
                        best = (r, k);
                        place = (2 * dx, 2 * dy);
                    }
                }
            }
        }
        let (k, (x, y)) = (best.1, place);
        for (dx, dy) in AROUND {
            let r = self.residual(small, &self.frames[k], b, x + dx, y + dy);
            best.0 = best.0.min(r);
        }
        Block {
            ghost: best.0 > LIMIT * unit && self.mixed(small, b, &order) < MIXED * best.0,
            ..alone(best)
        }
    }

    /// Root mean square difference of block `b` from the best mix of two plate
    /// times at its own place, the means taken out. `order` has the plate
    /// times, the best alone first.
    fn mixed(&self, small: &[i16], b: usize, order: &[(f32, usize)]) -> f32 {
        let block = |picture: &[i16]| -> [f32; BLOCK * BLOCK] {
            let (cols, _) = self.grid();
            let (x0, y0) = (b % cols * BLOCK, b / cols * BLOCK);
            let (w, h) = (BLOCK.min(self.width - x0), BLOCK.min(self.height - y0));
            let mut out = [0.0; BLOCK * BLOCK];
            let mut sum = 0.0;
            for y in 0..h {
                let row = &picture[(y0 + y) * self.width + x0..][..w];
                for (to, &v) in out[y * BLOCK..].iter_mut().zip(row) {
                    *to = f32::from(v);
                    sum += *to;
                }
            }
            let mean = sum / (w * h) as f32;
            for y in 0..h {
                for to in &mut out[y * BLOCK..y * BLOCK + w] {
                    *to -= mean;
                }
            }
            out
        };
        let ours = block(small);
        let mut least = f32::MAX;
        for (i, &(_, first)) in order.iter().take(FIRST).enumerate() {
            let a = block(&self.frames[first]);
            for &(_, second) in &order[i + 1..] {
                let c = block(&self.frames[second]);
                // ours = w a + (1 - w) c, by least squares.
                let (mut ee, mut ed, mut dd) = (0.0f32, 0.0f32, 0.0f32);
                for ((&o, &a), &c) in ours.iter().zip(&a).zip(&c) {
                    let (e, d) = (o - c, a - c);
                    ee += e * e;
                    ed += e * d;
                    dd += d * d;
                }
                let w = (ed / dd.max(1.0)).clamp(0.1, 0.9);
                least = least.min(ee - 2.0 * w * ed + w * w * dd);
            }
        }
        let (cols, _) = self.grid();
        let (x0, y0) = (b % cols * BLOCK, b / cols * BLOCK);
        let n = BLOCK.min(self.width - x0) * BLOCK.min(self.height - y0);
        (least.max(0.0) / n as f32).sqrt()
    }

    /// Root mean square difference of block `b` from the plate displaced by
    /// (`dx`, `dy`) half pixels, the plane that fits the difference best taken
    /// out.
    fn residual(&self, small: &[i16], plate: &[i16], b: usize, dx: i32, dy: i32) -> f32 {
        let (cols, _) = self.grid();
        let (x0, y0) = (b % cols * BLOCK, b / cols * BLOCK);
        let (w, h) = (BLOCK.min(self.width - x0), BLOCK.min(self.height - y0));
        // Twice the distance from the middle of the block, so that all sums
        // are whole numbers. Differences are held to ±8191 (twice white), so
        // that 64 of their squares fit 32 bits unsigned.
        let (mut sum, mut across, mut down, mut squares) = (0i32, 0i32, 0i32, 0u32);
        let mut row = [0i32; BLOCK];
        for y in 0..h {
            let here = &small[(y0 + y) * self.width + x0..][..w];
            self.displaced(plate, x0, y0 + y, dx, dy, &mut row[..w]);
            let mut row_sum = 0i32;
            for (x, (&a, &b)) in here.iter().zip(&row[..w]).enumerate() {
                let d = (i32::from(a) - b).clamp(-8191, 8191);
                row_sum += d;
                across += d * (2 * x as i32 + 1 - w as i32);
                squares += (d * d) as u32;
            }
            sum += row_sum;
            down += row_sum * (2 * y as i32 + 1 - h as i32);
        }
        let (w, h) = (w as f64, h as f64);
        let n = w * h;
        // Sums of the squares of those doubled distances.
        let (xx, yy) = (n * (w * w - 1.0) / 3.0, n * (h * h - 1.0) / 3.0);
        let square = |v: i32, by: f64| f64::from(v) * f64::from(v) / by.max(1.0);
        let left = f64::from(squares) - square(sum, n) - square(across, xx) - square(down, yy);
        (left.max(0.0) / n).sqrt() as f32
    }

    /// A row of the plate from (`x0`, `y`) on, displaced by half pixels
    /// (between two pixels: their mean), edges repeated.
    fn displaced(&self, plate: &[i16], x0: usize, y: usize, dx: i32, dy: i32, row: &mut [i32]) {
        let line = |dy: i32| {
            let y = (y as i32 + dy).clamp(0, self.height as i32 - 1) as usize;
            &plate[y * self.width..(y + 1) * self.width]
        };
        if dx == 0 && dy == 0 {
            for (to, &v) in row.iter_mut().zip(&line(0)[x0..]) {
                *to = i32::from(v);
            }
            return;
        }
        let (above, below) = (line(dy.div_euclid(2)), line((dy + 1).div_euclid(2)));
        let last = self.width as i32 - 1;
        for (i, to) in row.iter_mut().enumerate() {
            let x = (x0 + i) as i32;
            let left = (x + dx.div_euclid(2)).clamp(0, last) as usize;
            let right = (x + (dx + 1).div_euclid(2)).clamp(0, last) as usize;
            *to = (i32::from(above[left])
                + i32::from(above[right])
                + i32::from(below[left])
                + i32::from(below[right])
                + 2)
                >> 2;
        }
    }

    /// `frame` reduced by the whole number `factor` to one channel.
    fn reduce(&self, frame: &Encoded) -> Vec<i16> {
        let luma = frame.luma();
        let f = self.factor;
        let mut small = Vec::with_capacity(self.width * self.height);
        for y in 0..self.height {
            let rows = y * f..((y + 1) * f).min(frame.height);
            for x in 0..self.width {
                let cols = x * f..((x + 1) * f).min(frame.width);
                let n = (rows.len() * cols.len()).max(1) as f32;
                let sum: f32 = rows
                    .clone()
                    .map(|y| {
                        luma[y * frame.width + cols.start..y * frame.width + cols.end]
                            .iter()
                            .sum::<f32>()
                    })
                    .sum();
                small.push((sum / n * 4096.0).clamp(-32_767.0, 32_767.0) as i16);
            }
        }
        small
    }
}
