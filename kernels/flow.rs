//! Dense optical flow between two small pictures; the twin of `flow.cu`.
//!
//! Fast inverse search over a pyramid (Kroeger, Timofte, Dai, Van Gool: "Fast optical
//! flow using dense inverse search", ECCV 2016), each level refined by a robust
//! variational step (Brox, Bruhn, Papenberg, Weickert, ECCV 2004).
//!
//! One thread, a fixed order of sums and no fused operations: the same field on every
//! machine.

mod plane;
mod refine;
mod search;

pub use plane::{Field, Plane};

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};
use refine::refine;
use search::search;

/// Width and height of a patch.
const PATCH: usize = 8;
/// Cells that a picture on a GPU has at most.
const MOST: usize = 1 << 24;

/// Flow from `a` to `b`, of one size, with values of any scale. Still where the
/// pictures are smaller than a patch.
pub fn flow(a: &Plane, b: &Plane) -> Field {
    if a.cols < PATCH || a.rows < PATCH {
        return Field::still(a.cols, a.rows);
    }
    let scale = 1.0 / spread(a, b).max(1e-4);
    let scaled = |p: &Plane| Plane {
        data: p.data.iter().map(|v| v * scale).collect(),
        ..*p
    };
    let mut levels = vec![(scaled(a), scaled(b))];
    while let Some((a, b)) = levels.last().filter(|(a, _)| is_halved(a.cols, a.rows)) {
        levels.push((a.half(), b.half()));
    }
    let mut field: Option<Field> = None;
    for (a, b) in levels.iter().rev() {
        let start = field.map_or_else(
            || Field::still(a.cols, a.rows),
            |f| f.doubled(a.cols, a.rows),
        );
        let found = search(a, b, &start);
        field = Some(refine(a, b, found));
    }
    field.unwrap_or_else(|| Field::still(a.cols, a.rows))
}

/// Mean distance of both pictures' values from their common mean.
fn spread(a: &Plane, b: &Plane) -> f32 {
    let all = || a.data.iter().chain(&b.data);
    let n = (a.data.len() + b.data.len()) as f32;
    let mean = all().sum::<f32>() / n;
    all().map(|v| (v - mean).abs()).sum::<f32>() / n
}

/// Whether a level of `cols` by `rows` has a coarser one.
fn is_halved(cols: usize, rows: usize) -> bool {
    cols.min(rows) / 2 >= PATCH + 2
}

/// Planes of a picture's size that the kernel works in; `flow.cu` has the same.
const PLANES: usize = 9;
/// Threads of a block.
const THREADS: u32 = 512;

/// Values that [`launch`] needs to work in for each way between pictures of `cols` by
/// `rows`.
pub fn scratch(cols: usize, rows: usize) -> usize {
    if cols < PATCH || rows < PATCH {
        return 0;
    }
    let (mut pyramid, mut level) = (cols * rows, (cols, rows));
    while is_halved(level.0, level.1) {
        level = (level.0 / 2, level.1 / 2);
        pyramid += level.0 * level.1;
    }
    // Of each patch its displacement and the weights of its cells.
    let patches = search::count(cols) * search::count(rows);
    2 * pyramid + PLANES * cols * rows + (2 + PATCH * PATCH) * patches
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    pictures: u64,
    ways: u64,
    scratch: u64,
    out: u64,
    room: u64,
    cols: i32,
    rows: i32,
}

/// Queues [`flow`] many times on a device. `pictures` is [pictures, `rows`, `cols`];
/// `ways` has two for each flow, the picture that it leads from and the one that it leads
/// to; `out` is [ways, 2, `rows`, `cols`], across and down, in cells; `room` has
/// [`scratch`] values for each way.
pub fn launch(
    stream: &Stream,
    pictures: Part<'_, f32>,
    (cols, rows): (usize, usize),
    ways: Part<'_, u32>,
    room: PartMut<'_, f32>,
    out: PartMut<'_, f32>,
) -> Result<(), DeviceError> {
    const CALL: &str = "flow";
    let (count, cells) = (ways.len() / 2, cols * rows);
    if count == 0 || cells == 0 {
        return Ok(());
    }
    if cells > MOST || pictures.is_empty() {
        return Err(DeviceError::missing(CALL));
    }
    let each = scratch(cols, rows);
    pictures.check(CALL, pictures.len() / cells * cells)?;
    ways.check(CALL, 2 * count)?;
    room.check(CALL, count * each)?;
    out.check(CALL, 2 * count * cells)?;
    let argument = Arguments {
        pictures: pictures.address(),
        ways: ways.address(),
        scratch: room.address(),
        out: out.address(),
        room: each as u64,
        cols: cols as i32,
        rows: rows as i32,
    };
    let grid = Grid {
        blocks: [count as u32, 1, 1],
        threads: [THREADS, 1, 1],
    };
    // SAFETY: lengths were checked; the caller's ways are between pictures that are
    // there; a block writes room and results of its own.
    unsafe { stream.launch(CALL, CALL, grid, &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::{philox4x32, uniform};

    /// Smooth noise of several sizes, moved by (`dx`, `dy`).
    fn noise(cols: usize, rows: usize, dx: f32, dy: f32) -> Plane {
        let knot = |size: u32, i: i32, j: i32| {
            uniform(philox4x32([0, size, i as u32, j as u32], [1, 0])[0]) as f32 - 0.5
        };
        let value = |x: f32, y: f32, size: u32| {
            let (x, y) = (x / size as f32, y / size as f32);
            let (i, j) = (x.floor(), y.floor());
            let ease = |t: f32| t * t * (3.0 - 2.0 * t);
            let (a, b) = (ease(x - i), ease(y - j));
            let k = |p: i32, q: i32| knot(size, i as i32 + p, j as i32 + q);
            let up = k(0, 0) + (k(1, 0) - k(0, 0)) * a;
            up + (k(0, 1) + (k(1, 1) - k(0, 1)) * a - up) * b
        };
        let mut data = Vec::new();
        for y in 0..rows {
            for x in 0..cols {
                let (x, y) = (x as f32 - dx, y as f32 - dy);
                data.push(value(x, y, 20) + 0.6 * value(x, y, 9) + 0.3 * value(x, y, 4));
            }
        }
        Plane { cols, rows, data }
    }

    #[test]
    fn finds_a_translation() {
        for (dx, dy) in [(0.0, 0.0), (0.4, -0.7), (3.3, 1.2), (-5.0, 4.0)] {
            let f = flow(&noise(80, 60, 0.0, 0.0), &noise(80, 60, dx, dy));
            let mut worst = 0.0f32;
            for y in 10..50 {
                for x in 10..70 {
                    let p = y * 80 + x;
                    worst = worst.max((f.u.data[p] - dx).abs().max((f.v.data[p] - dy).abs()));
                }
            }
            assert!(worst < 0.25, "({dx}, {dy}): off by {worst} cells");
        }
    }

    #[test]
    fn scale_and_level_do_not_matter_and_flat_or_tiny_pictures_are_still() {
        let (a, mut b) = (noise(40, 30, 0.0, 0.0), noise(40, 30, 1.0, 0.5));
        let f = flow(&a, &b);
        b.data.iter_mut().for_each(|v| *v *= 0.01);
        let mut dim = a.clone();
        dim.data.iter_mut().for_each(|v| *v *= 0.01);
        let g = flow(&dim, &b);
        for (u, v) in f.u.data.iter().zip(&g.u.data) {
            assert!((u - v).abs() < 0.05, "{u} {v}");
        }
        for (cols, rows) in [(1, 1), (7, 40), (40, 30)] {
            let flat = Plane {
                cols,
                rows,
                data: vec![0.3; cols * rows],
            };
            assert!(flow(&flat, &flat).u.data.iter().all(|&v| v == 0.0));
        }
    }

    #[test]
    fn finds_the_bits_that_it_always_found() {
        // Made of operations that are exact or rounded alike everywhere.
        let picture = |cols: usize, rows: usize, shift: f32| {
            let bump = |at: f32, period: f32| {
                let t = at / period - (at / period).floor();
                t * (1.0 - t)
            };
            let value = |p: usize| {
                let (x, y) = ((p % cols) as f32 - shift, (p / cols) as f32);
                bump(x + 0.5 * y, 16.0) + bump(y - 0.25 * x, 8.0)
            };
            let data = (0..cols * rows).map(value).collect();
            Plane { cols, rows, data }
        };
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for (cols, rows, shift) in [(57, 40, 1.5), (24, 31, -2.25), (107, 60, 3.0)] {
            let field = flow(&picture(cols, rows, 0.0), &picture(cols, rows, shift));
            for v in field.u.data.iter().chain(&field.v.data) {
                hash = (hash ^ u64::from(v.to_bits())).wrapping_mul(0x100_0000_01b3);
            }
        }
        // Kept frames of earlier versions were made with these.
        assert_eq!(hash, 0x4cde_e6cd_b24f_34a4);
    }
}
