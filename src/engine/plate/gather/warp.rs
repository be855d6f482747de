//! How far the flow between two plate frames is to be trusted, and a bounded
//! cache of what was found.
//!
//! Flow is found on the grid of the analysis, in its perceptual encoding. So it
//! depends on the analysis alone: a proxy warps as the full size does, no plate
//! frame is read for it, and equal keys mean equal fields.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use longtake_kernels::flow::{Field, Plane, flow};
use once_cell::sync::Lazy;
use parking_lot::Mutex;
use rayon::prelude::*;

use super::grid::{Axis, blur, lerp};
use super::{Coarse, on_gpu};
use crate::device::gpu::{self, Choice};
use crate::device::{Cancelled, Task, install};
use crate::engine::plate::cells::UNIT;

/// Longest displacement, as a share of the picture's height.
const LONGEST: f32 = 0.15;
/// Bytes that the fields of all plates may take in this process.
const CACHE_BYTES: usize = 32 << 20;

/// Displacements between two frames, either way, faded where they are not to be
/// trusted; cell by cell, across and down, in cells.
pub(super) struct Pair {
    /// From the frame with the lower index to the other.
    pub(super) forth: Vec<[f32; 2]>,
    /// From the frame with the higher index to the other.
    pub(super) back: Vec<[f32; 2]>,
}

/// What a pair is found from.
struct Sought {
    key: [u8; 32],
    /// Luma of the two frames, of the one with the lower index first.
    frames: [Plane; 2],
}

/// What is known of a pair at first.
enum Known {
    Remembered(Arc<Pair>),
    Missing(Sought),
}

/// Flow both ways, as found.
pub(super) type Ways = [Field; 2];

impl Pair {
    /// The displacements between each two of `pairs`, plate indices of `plate` of which
    /// the first is the lower: remembered, or found, all that are missing at once where
    /// `choice` has a GPU. Those are left out that the analysis lacks a frame of.
    pub(super) fn all(
        plate: Coarse<'_>,
        pairs: &BTreeSet<(i32, i32)>,
        choice: Choice,
        task: Task<'_>,
    ) -> Result<BTreeMap<(i32, i32), Arc<Self>>, Cancelled> {
        let pairs: Vec<(i32, i32)> = pairs.iter().copied().collect();
        let sought = install(|| {
            let each = pairs.par_iter().map(|&(a, b)| {
                task.check()?;
                Ok(Self::look_up(plate, a, b))
            });
            each.collect::<Result<Vec<_>, Cancelled>>()
        })?;
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        for (indices, known) in pairs.into_iter().zip(sought) {
            match known {
                Some(Known::Remembered(pair)) => {
                    found.insert(indices, pair);
                }
                Some(Known::Missing(sought)) => missing.push((indices, sought)),
                None => {}
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let ways = Self::on_gpu(choice, &missing);
        let made: Vec<Arc<Self>> = install(|| {
            (missing.par_iter().enumerate())
                .map(|(i, (_, sought))| {
                    task.check()?;
                    let [a, b] = &sought.frames;
                    let pair = match ways.as_ref().and_then(|ways| ways.get(i)) {
                        Some([forth, back]) => Self::of(a, b, forth, back),
                        None => {
                            let (forth, back) = rayon::join(|| flow(a, b), || flow(b, a));
                            Self::of(a, b, &forth, &back)
                        }
                    };
                    let pair = Arc::new(pair);
                    CACHE.lock().put(sought.key, &pair);
                    Ok(pair)
                })
                .collect::<Result<_, Cancelled>>()
        })?;
        found.extend(missing.iter().map(|(indices, _)| *indices).zip(made));
        Ok(found)
    }

    /// The pair as it is remembered, or what it is found from; `None` where the analysis
    /// lacks a frame.
    fn look_up(plate: Coarse<'_>, a: i32, b: i32) -> Option<Known> {
        let frames = [plate.frame(a)?, plate.frame(b)?];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(plate.cols as u64).to_le_bytes());
        for frame in &frames {
            for chunk in frame.chunks(512) {
                let mut bytes = [0u8; 1024];
                for (to, v) in bytes.chunks_exact_mut(2).zip(chunk) {
                    to.copy_from_slice(&v.to_le_bytes());
                }
                hasher.update(&bytes[..2 * chunk.len()]);
            }
        }
        let key = *hasher.finalize().as_bytes();
        if let Some(pair) = CACHE.lock().get(&key) {
            return Some(Known::Remembered(pair));
        }
        let frames = frames.map(|f| luma(&f, plate.cols, plate.rows));
        Some(Known::Missing(Sought { key, frames }))
    }

    /// The flow of all that are missing on a GPU, where one is chosen and can be had. A
    /// GPU that the artist wants and that fails the frame will tell of: flow is the same.
    fn on_gpu(choice: Choice, missing: &[((i32, i32), Sought)]) -> Option<Vec<Ways>> {
        let frames: Vec<&[Plane; 2]> = missing.iter().map(|(_, s)| &s.frames).collect();
        gpu::with(choice, |gpu| on_gpu::flows(gpu, &frames))
            .ok()
            .flatten()
    }

    fn of(a: &Plane, b: &Plane, forth: &Field, back: &Field) -> Self {
        let (forth, back) =
            rayon::join(|| trusted(a, b, forth, back), || trusted(b, a, back, forth));
        Self { forth, back }
    }

    fn bytes(&self) -> usize {
        (self.forth.len() + self.back.len()) * size_of::<[f32; 2]>()
    }
}

/// One way of a [`Pair`] along a row of pixels: for each column of the grid.
pub(super) fn row(field: &[[f32; 2]], across: &Axis, down: &Axis, y: usize) -> Vec<[f32; 2]> {
    let cols = across.cells;
    let (r0, r1) = down.ends(down.interval[y] as usize);
    (0..cols)
        .map(|c| {
            let (a, b) = (field[r0 * cols + c], field[r1 * cols + c]);
            [
                lerp(a[0], b[0], down.part[y]),
                lerp(a[1], b[1], down.part[y]),
            ]
        })
        .collect()
}

/// Rec. 601 luma of encoded values, white 1.
fn luma(frame: &[i16], cols: usize, rows: usize) -> Plane {
    let data = frame
        .chunks_exact(3)
        .map(|c| {
            (0.299 * f32::from(c[0]) + 0.587 * f32::from(c[1]) + 0.114 * f32::from(c[2])) / UNIT
        })
        .collect();
    Plane { cols, rows, data }
}

/// The flow `way` from `a` to `b`, smoothed, times how far it is trusted: there
/// and back must end where it began, it must explain the difference that was
/// there, and it must not be too long to be hidden.
fn trusted(a: &Plane, b: &Plane, way: &Field, back: &Field) -> Vec<[f32; 2]> {
    let (cols, rows) = (a.cols, a.rows);
    let limit = LONGEST * rows as f32;
    let mut before = vec![0.0f32; cols * rows];
    let mut after = before.clone();
    let mut trust = before.clone();
    for y in 0..rows {
        for x in 0..cols {
            let p = y * cols + x;
            let (u, v) = (way.u.data[p], way.v.data[p]);
            let (mx, my) = (x as f32 + u, y as f32 + v);
            let (ru, rv) = (u + back.u.at(mx, my), v + back.v.at(mx, my));
            let astray = (ru * ru + rv * rv).sqrt();
            let length = (u * u + v * v).sqrt();
            // A cell is about two of the pixels that these numbers were found on.
            let ratio = astray / (0.8 + 0.15 * length);
            before[p] = (a.data[p] - b.data[p]).abs();
            after[p] = (a.data[p] - b.at(mx, my)).abs();
            trust[p] =
                libm::expf(-ratio * ratio) * (2.0 * limit / length.max(1e-3) - 1.0).clamp(0.0, 1.0);
        }
    }
    let (before, after) = (
        blur(&before, cols, rows, 1.6),
        blur(&after, cols, rows, 1.6),
    );
    for p in 0..cols * rows {
        if after[p] >= 0.7 * before[p] {
            trust[p] = 0.0;
        }
    }
    let trust = blur(&trust, cols, rows, 1.3);
    let (u, v) = (
        blur(&way.u.data, cols, rows, 0.8),
        blur(&way.v.data, cols, rows, 0.8),
    );
    (0..cols * rows)
        .map(|p| [u[p] * trust[p], v[p] * trust[p]])
        .collect()
}

/// Fields of this process, the least recently used forgotten first.
static CACHE: Lazy<Mutex<Cache>> = Lazy::new(Mutex::default);

#[derive(Default)]
struct Cache {
    kept: HashMap<[u8; 32], (Arc<Pair>, u64)>,
    bytes: usize,
    clock: u64,
}

impl Cache {
    fn get(&mut self, key: &[u8; 32]) -> Option<Arc<Pair>> {
        self.clock += 1;
        let (pair, used) = self.kept.get_mut(key)?;
        *used = self.clock;
        Some(Arc::clone(pair))
    }

    fn put(&mut self, key: [u8; 32], pair: &Arc<Pair>) {
        if pair.bytes() > CACHE_BYTES {
            return;
        }
        self.clock += 1;
        if let Some((old, _)) = self.kept.insert(key, (Arc::clone(pair), self.clock)) {
            self.bytes -= old.bytes();
        }
        self.bytes += pair.bytes();
        while self.bytes > CACHE_BYTES {
            let oldest = self.kept.iter().min_by_key(|(_, (_, used))| *used);
            let Some(key) = oldest.map(|(k, _)| *k) else {
                return;
            };
            if let Some((old, _)) = self.kept.remove(&key) {
                self.bytes -= old.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_forgets_the_oldest() {
        let mut cache = Cache::default();
        let pair = Arc::new(Pair {
            forth: vec![[0.0; 2]; CACHE_BYTES / 80],
            back: Vec::new(),
        });
        for i in 0..15u8 {
            cache.put([i; 32], &pair);
            assert!(cache.get(&[0; 32]).is_some(), "just used");
        }
        assert!(cache.bytes <= CACHE_BYTES);
        assert!(cache.get(&[1; 32]).is_none());
        assert!(cache.get(&[14; 32]).is_some());
    }
}
