//! Repetition: pieces of the plate that come back together, and how simply the
//! sequence could be told as pieces of the plate.

use std::collections::HashMap;

use super::encoded::Encoded;
use super::profile::evenly;

/// Regions across and down between which pairings are looked at.
const REGIONS: (usize, usize) = (8, 6);
/// A pairing is back if it was last seen longer ago than this, in seconds …
const GONE: f64 = 1.0;
/// … and not longer than this.
const BACK: f64 = 10.0;
/// Pieces of the plate are told apart by this, in seconds.
const PIECE: f64 = 0.25;

/// Which pairings come back, in space and in time: see
/// [`Measures::pairings_back`](super::Measures::pairings_back) and
/// [`Measures::jumps_back`](super::Measures::jumps_back).
pub(super) struct Pairings {
    fps: f64,
    moving: Vec<bool>,
    /// For each pairing, when it was seen last, and whether it was back then.
    last: HashMap<(u16, u16, i32, i32), (usize, bool)>,
    back: usize,
    all: usize,
    /// What each region showed in the frame before.
    before: Vec<i32>,
    /// When each region last jumped from one piece to another.
    jumps: HashMap<(u16, i32, i32), usize>,
    jumps_back: usize,
    jumps_all: usize,
}

impl Pairings {
    /// Of a sequence at `fps` made of a plate of which `moving` marks the
    /// pixels of a picture `width` pixels across that move.
    pub(super) fn new(fps: f64, moving: &[bool], width: usize) -> Self {
        let (cols, rows) = REGIONS;
        let height = moving.len() / width.max(1);
        let region = |r: usize| {
            let xs = r % cols * width / cols..(r % cols + 1) * width / cols;
            let ys = r / cols * height / rows..(r / cols + 1) * height / rows;
            let all = xs.len() * ys.len();
            let moves = ys.flat_map(|y| xs.clone().map(move |x| y * width + x));
            10 * moves.filter(|&i| moving[i]).count() > all
        };
        Self {
            fps: fps.max(1.0),
            moving: (0..cols * rows).map(region).collect(),
            last: HashMap::new(),
            back: 0,
            all: 0,
            before: Vec::new(),
            jumps: HashMap::new(),
            jumps_back: 0,
            jumps_all: 0,
        }
    }

    /// Size of the map that [`push`](Self::push) takes.
    pub(super) const SIZE: (usize, usize) = REGIONS;

    /// The plate index in the middle of each region of the next made frame.
    pub(super) fn push(&mut self, time: usize, source: &[i32]) {
        let (cols, rows) = REGIONS;
        if source.len() != cols * rows {
            return;
        }
        let piece = (PIECE * self.fps).round().max(1.0) as i32;
        let [gone, back] = [GONE, BACK].map(|s| (s * self.fps) as usize);
        for (a, (&from, &to)) in self.before.iter().zip(source).enumerate() {
            if self.moving[a] && to != from + 1 {
                let key = (a as u16, from / piece, to / piece);
                let last = self.jumps.insert(key, time);
                self.jumps_all += 1;
                self.jumps_back += usize::from(last.is_some_and(|last| time - last <= back));
            }
        }
        self.before.clear();
        self.before.extend_from_slice(source);
        for a in 0..cols * rows {
            let right = (a % cols + 1 < cols).then_some(a + 1);
            let below = (a / cols + 1 < rows).then_some(a + cols);
            for b in right.into_iter().chain(below) {
                if !self.moving[a] || !self.moving[b] {
                    continue;
                }
                self.all += 1;
                let key = (a as u16, b as u16, source[a] / piece, source[b] / piece);
                let is_back = match self.last.get(&key) {
                    None => false,
                    // It is still there.
                    Some(&(last, was)) if time - last <= gone => was,
                    Some(&(last, _)) => time - last <= back,
                };
                self.last.insert(key, (time, is_back));
                self.back += usize::from(is_back);
            }
        }
        // What cannot be back any more is forgotten.
        if time.is_multiple_of(back.max(1)) {
            self.last.retain(|_, l| time - l.0 <= back);
            self.jumps.retain(|_, last| time - *last <= back);
        }
    }

    /// The share of pairings that are back, and of jumps.
    pub(super) fn finish(&self) -> (Option<f64>, Option<f64>) {
        let share = |n: usize, all: usize| (all > 0).then(|| n as f64 / all as f64);
        (
            share(self.back, self.all),
            share(self.jumps_back, self.jumps_all),
        )
    }
}

/// Width of the pictures between which nearest neighbours are found.
const WIDTH: usize = 32;
/// Frames of the sequence that are looked at.
const FRAMES: usize = 16;
/// Frames of the plate at most.
const PLATE: usize = 120;
/// Half the side of a patch.
const HALF: i32 = 2;

/// The diversity of a sequence's nearest-neighbour field: see
/// [`Measures::nnfdiv`](super::Measures::nnfdiv).
pub(super) struct Diversity {
    step: usize,
    plate: Vec<(i32, Vec<f32>)>,
    wanted: Vec<usize>,
    counted: usize,
    field: Vec<[u8; 4]>,
}

impl Diversity {
    /// For a plate of `plate` frames and a sequence with `frames` frames that
    /// count.
    pub(super) fn new(plate: usize, frames: usize) -> Self {
        Self {
            step: plate.div_ceil(PLATE).max(1),
            plate: Vec::new(),
            wanted: evenly(0, frames.saturating_sub(1), FRAMES.min(frames)),
            counted: 0,
            field: Vec::new(),
        }
    }

    /// Frame `index` of the plate.
    pub(super) fn plate(&mut self, index: usize, frame: &Encoded) {
        if index.is_multiple_of(self.step) {
            let small = frame.reduced(WIDTH);
            self.plate.push((index as i32, small.luma()));
        }
    }

    /// The next frame of the sequence that counts, its index from the first.
    pub(super) fn output(&mut self, index: usize, frame: &Encoded) {
        let k = self.counted;
        self.counted += 1;
        if !self.wanted.contains(&k) {
            return;
        }
        let small = frame.reduced(WIDTH);
        let (w, h) = (small.width as i32, small.height as i32);
        let luma = small.luma();
        let same = |p: &&(i32, Vec<f32>)| p.1.len() == luma.len();
        let at =
            |v: &[f32], x: i32, y: i32| v[(y.clamp(0, h - 1) * w + x.clamp(0, w - 1)) as usize];
        for y in 0..h {
            for x in 0..w {
                let mut best = (f32::MAX, 0, 0, 0);
                for (t, plate) in self.plate.iter().filter(same) {
                    for (dx, dy) in [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)] {
                        let mut d = 0.0;
                        for py in -HALF..=HALF {
                            for px in -HALF..=HALF {
                                let e =
                                    at(&luma, x + px, y + py) - at(plate, x + px + dx, y + py + dy);
                                d += e * e;
                            }
                            if d >= best.0 {
                                break;
                            }
                        }
                        if d < best.0 {
                            best = (d, *t, dx, dy);
                        }
                    }
                }
                let shift = (best.1 - index as i32) as i16;
                let [a, b] = shift.to_le_bytes();
                self.field
                    .push([a, b, best.2 as i8 as u8, best.3 as i8 as u8]);
            }
        }
    }

    /// Compressed over plain size of the field.
    pub(super) fn finish(&self) -> Option<f64> {
        // Each component by itself: that is how they are alike.
        let plain: Vec<u8> = (0..4)
            .flat_map(|c| self.field.iter().map(move |f| f[c]))
            .collect();
        if plain.is_empty() {
            return None;
        }
        let level = libdeflater::CompressionLvl::best();
        let mut packer = libdeflater::Compressor::new(level);
        let mut packed = vec![0; packer.zlib_compress_bound(plain.len())];
        let length = packer.zlib_compress(&plain, &mut packed).ok()?;
        Some(length as f64 / plain.len() as f64)
    }
}
