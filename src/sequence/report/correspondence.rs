//! What is measured where it is known which plate frame every output pixel
//! shows: spurious gradient, jumps in time, and how much is a plain copy.

use std::collections::HashMap;
use std::sync::Arc;

use super::encoded::Encoded;
use super::profile::{evenly, mean};

/// Frames at which seams are looked at.
const SEAM_FRAMES: usize = 60;

/// A frame of the plate by its index, encoded.
pub type PlateFrame<'a, E> = &'a mut dyn FnMut(usize) -> Result<Arc<Encoded>, E>;

/// What was found; see [`Measures`](super::Measures) for the definitions.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Spurious gradient, per mille of all gradient.
    pub spurious: f64,
    /// Jumps in time over the plate's own steps at the same places.
    pub jump: f64,
    /// Mean share of moving pixels on one offset through half a second.
    pub copy: f64,
    /// The largest such share.
    pub copy_worst: f64,
    /// For each window of half a second, its first frame and its share.
    pub copies: Vec<(usize, f64)>,
    /// For each frame looked at, its index and its own spurious gradient, per
    /// mille of its gradient.
    pub spurious_at: Vec<(usize, f64)>,
    /// For each frame looked at that has switches, its index and the gradient across
    /// them over the plate's at the same places.
    pub switches_at: Vec<(usize, f64)>,
    /// The same over all those frames.
    pub switches: Option<f64>,
}

/// Takes output frames in order, with the plate index of each pixel.
pub struct Correspondence {
    start: usize,
    end: usize,
    plate_frames: usize,
    seam_at: Vec<usize>,
    window: usize,
    stride: usize,
    moving: Vec<bool>,
    moving_count: usize,
    last: Option<(Arc<Encoded>, Vec<i32>)>,
    index: usize,
    offset: Vec<i32>,
    since: Vec<u32>,
    // Sums over correspondence edges in space and elsewhere, and in time.
    seam_out: f64,
    seam_plate: f64,
    elsewhere: f64,
    jump_out: f64,
    jump_plate: f64,
    found: Found,
}

impl Correspondence {
    /// For output frames `made` at `fps`, made from a plate of `plate_frames`
    /// frames of which the pixels marked `moving` move. Frames before and
    /// after `made` are the plate's own and not looked at.
    pub fn new(
        made: std::ops::Range<usize>,
        fps: f64,
        plate_frames: usize,
        moving: Vec<bool>,
    ) -> Self {
        let counted = made.len();
        let window = (0.5 * fps).round_ties_even().max(2.0) as usize;
        Self {
            start: made.start,
            end: made.end,
            plate_frames,
            seam_at: if counted > 2 {
                evenly(1, counted - 2, SEAM_FRAMES.min(counted - 2))
            } else {
                Vec::new()
            },
            window,
            stride: (window / 3).max(1),
            moving_count: moving.iter().filter(|&&m| m).count(),
            moving,
            last: None,
            index: 0,
            offset: Vec::new(),
            since: Vec::new(),
            seam_out: 0.0,
            seam_plate: 0.0,
            elsewhere: 0.0,
            jump_out: 0.0,
            jump_plate: 0.0,
            found: Found::default(),
        }
    }

    /// The next output frame. `source` holds the plate index of every pixel,
    /// row by row.
    pub fn push<E>(
        &mut self,
        frame: &Arc<Encoded>,
        source: Vec<i32>,
        plate: PlateFrame<'_, E>,
    ) -> Result<(), E> {
        let i = self.index;
        if let Some((before, from)) = self.last.take()
            && i > self.start
            && let t = i - 1 - self.start
            && let times = self.seam_at.iter().filter(|&&s| s == t).count()
            && times > 0
        {
            self.seams(i - 1, times as f64, &before, &from, frame, &source, plate)?;
        }
        self.runs(i, &source);
        self.last = Some((frame.clone(), source));
        self.index += 1;
        Ok(())
    }

    /// Seams between neighbours in frame `before`, and jumps from it to
    /// `after`.
    #[allow(clippy::too_many_arguments)]
    fn seams<E>(
        &mut self,
        index: usize,
        weight: f64,
        before: &Encoded,
        from: &[i32],
        after: &Encoded,
        to: &[i32],
        plate: PlateFrame<'_, E>,
    ) -> Result<(), E> {
        let last = self.plate_frames.saturating_sub(1) as i32;
        let inside = |p: i32| p.clamp(0, last) as usize;
        let w = before.width;
        let luma = before.luma();
        let mut frames: HashMap<usize, (Arc<Encoded>, Vec<f32>)> = HashMap::new();
        let (mut seam_out, mut seam_plate, mut elsewhere) = (0.0f64, 0.0f64, 0.0f64);
        // The frames needed are few: each is fetched once and its pixels then
        // looked up in a table by index.
        let mut need: Vec<bool> = vec![false; last as usize + 1];
        for (row, next) in from.chunks_exact(w).zip(to.chunks_exact(w)) {
            for p in row.windows(2).filter(|p| p[0] != p[1]) {
                need[inside(p[0])] = true;
                need[inside(p[1])] = true;
            }
            for (&a, &b) in row.iter().zip(next).filter(|&(&a, &b)| b - a != 1) {
                for p in [a + 1, a.min(last - 1), b.max(1), b.max(1) - 1] {
                    need[inside(p)] = true;
                }
            }
        }
        for (k, _) in need.iter().enumerate().filter(|(_, n)| **n) {
            let frame = plate(k)?;
            let luma = frame.luma();
            frames.insert(k, (frame, luma));
        }
        let table: Vec<Option<&(Arc<Encoded>, Vec<f32>)>> =
            (0..need.len()).map(|k| frames.get(&k)).collect();
        let luma_at = |p: i32, i: usize| table[inside(p)].map_or(0.0, |f| f.1[i]);
        let change = |p: i32, q: i32, i: usize| -> f64 {
            match (table[inside(p)], table[inside(q)]) {
                (Some(a), Some(b)) => difference(&a.0, &b.0, i),
                _ => 0.0,
            }
        };
        for y in 0..before.height {
            for x in 0..w.saturating_sub(1) {
                let i = y * w + x;
                let d = f64::from((luma[i + 1] - luma[i]).abs());
                let (a, b) = (from[i], from[i + 1]);
                if a == b {
                    elsewhere += d;
                } else {
                    seam_out += d;
                    let in_a = (luma_at(a, i + 1) - luma_at(a, i)).abs();
                    let in_b = (luma_at(b, i + 1) - luma_at(b, i)).abs();
                    seam_plate += f64::from(0.5 * in_a + 0.5 * in_b);
                }
            }
        }
        if seam_plate > 0.0 {
            self.found.switches_at.push((index, seam_out / seam_plate));
        }
        for (i, (&a, &b)) in from.iter().zip(to).enumerate() {
            if b - a != 1 {
                self.jump_out += weight * difference(before, after, i);
                let b = b.max(1);
                self.jump_plate +=
                    weight * 0.5 * (change(a + 1, a.min(last - 1), i) + change(b, b - 1, i));
            }
        }
        self.seam_out += weight * seam_out;
        self.seam_plate += weight * seam_plate;
        self.elsewhere += weight * elsewhere;
        self.found.spurious_at.push((
            index,
            1000.0 * (seam_out - seam_plate) / (seam_out + elsewhere).max(1e-9),
        ));
        Ok(())
    }

    /// Keeps since when each pixel plays its clip, and closes the half-second
    /// window that ends with frame `i`.
    fn runs(&mut self, i: usize, source: &[i32]) {
        if self.offset.is_empty() {
            self.offset = vec![i32::MIN; source.len()];
            self.since = vec![0; source.len()];
        }
        for ((&p, offset), since) in source.iter().zip(&mut self.offset).zip(&mut self.since) {
            let o = p - i as i32;
            if o != *offset {
                *offset = o;
                *since = i as u32;
            }
        }
        let Some(first) = (i + 1).checked_sub(self.window) else {
            return;
        };
        // The window that ends with the last frame is left out, as the
        // definition has it.
        if first < self.start
            || !(first - self.start).is_multiple_of(self.stride)
            || first + self.window >= self.end
        {
            return;
        }
        let mut counts: HashMap<i32, usize> = HashMap::new();
        for ((&offset, &since), &moving) in self.offset.iter().zip(&self.since).zip(&self.moving) {
            if moving && since as usize <= first {
                *counts.entry(offset).or_default() += 1;
            }
        }
        let most = counts.values().copied().max().unwrap_or(0);
        let share = most as f64 / self.moving_count.max(1) as f64;
        self.found.copies.push((first, share));
    }

    /// What was found.
    pub fn finish(self) -> Found {
        let mut found = self.found;
        found.spurious =
            1000.0 * (self.seam_out - self.seam_plate) / (self.elsewhere + self.seam_out).max(1e-9);
        found.switches = (self.seam_plate > 0.0).then(|| self.seam_out / self.seam_plate);
        found.jump = self.jump_out / self.jump_plate.max(1e-9);
        found.copy = mean(found.copies.iter().map(|c| c.1));
        found.copy_worst = found.copies.iter().fold(0.0, |m, c| c.1.max(m));
        found
    }
}

/// Mean absolute difference of the three channels at pixel `i`.
fn difference(a: &Encoded, b: &Encoded, i: usize) -> f64 {
    let (a, b) = (&a.rgb[i * 3..i * 3 + 3], &b.rgb[i * 3..i * 3 + 3]);
    f64::from((a[0] - b[0]).abs() + (a[1] - b[1]).abs() + (a[2] - b[2]).abs()) / 3.0
}
