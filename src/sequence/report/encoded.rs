//! Pictures as they are measured: three channels in the display encoding, at
//! a size that keeps memory and time within bounds.

use crate::frame::{Picture, PlateInfo};

/// A picture in the encoding in which the eye weighs it
/// ([`Transfer::perceptual`](crate::frame::Transfer::perceptual)), black at 0
/// and white at 1, three values a pixel, row 0 on top.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Red, green and blue of each pixel, row by row.
    pub rgb: Vec<f32>,
}

impl Encoded {
    /// `picture` reduced by the whole number `factor` (each pixel the mean of
    /// `factor` × `factor` samples, in the plate's own values, as a proxy would
    /// show it) and encoded. A picture of one or two channels is taken as
    /// grey. The second value counts samples that are not finite; they are
    /// taken as 0.
    pub fn of(picture: &Picture, info: &PlateInfo, factor: usize) -> (Self, usize) {
        let factor = factor.max(1);
        let (w, h, n) = (picture.width(), picture.height(), picture.channels());
        let (width, height) = (w.div_ceil(factor), h.div_ceil(factor));
        let channels = [("R", 0), ("G", 1), ("B", 2)]
            .map(|(name, place)| info.channel(name).unwrap_or(if n >= 3 { place } else { 0 }))
            .map(|c| c.min(n - 1));
        let mut rgb = vec![0.0f32; width * height * 3];
        let mut bad = 0;
        let mut clean = |v: f32| {
            if v.is_finite() {
                v
            } else {
                bad += 1;
                0.0
            }
        };
        for y in 0..height {
            let to = &mut rgb[y * width * 3..(y + 1) * width * 3];
            let rows = y * factor..((y + 1) * factor).min(h);
            for (x, to) in to.chunks_exact_mut(3).enumerate() {
                let cols = x * factor..((x + 1) * factor).min(w);
                let share = 1.0 / (rows.len() * cols.len()) as f32;
                for (to, &c) in to.iter_mut().zip(&channels) {
                    let mut sum = 0.0;
                    for y in rows.clone() {
                        let row = picture.row(y);
                        for x in cols.clone() {
                            sum += clean(row[x * n + c]);
                        }
                    }
                    let mean = if factor == 1 { sum } else { sum * share };
                    *to = info.transfer.perceptual(mean);
                }
            }
        }
        (Self { width, height, rgb }, bad)
    }

    /// The picture at most `width` pixels across: each pixel the mean of those
    /// that it covers.
    pub fn reduced(&self, width: usize) -> Self {
        let to = width.clamp(1, self.width.max(1));
        let (w, h) = (self.width.max(1), self.height.max(1));
        let rows = (h * to).div_ceil(w).max(1);
        let span = |i: usize, n: usize, of: usize| {
            let a = (i * of / n).min(of - 1);
            a..((i + 1) * of / n).clamp(a + 1, of)
        };
        let mut rgb = Vec::with_capacity(to * rows * 3);
        for y in 0..rows {
            let ys = span(y, rows, h);
            for x in 0..to {
                let xs = span(x, to, w);
                let mut sum = [0.0f32; 3];
                for y in ys.clone() {
                    let part = &self.rgb[(y * w + xs.start) * 3..(y * w + xs.end) * 3];
                    for p in part.chunks_exact(3) {
                        for (s, v) in sum.iter_mut().zip(p) {
                            *s += v;
                        }
                    }
                }
                let share = 1.0 / (xs.len() * ys.len()) as f32;
                rgb.extend(sum.map(|s| s * share));
            }
        }
        Self {
            width: to,
            height: rows,
            rgb,
        }
    }

    /// Mean of each channel.
    pub fn channel_means(&self) -> [f64; 3] {
        let mut sums = [0.0; 3];
        for p in self.rgb.chunks_exact(3) {
            for (s, v) in sums.iter_mut().zip(p) {
                *s += f64::from(*v);
            }
        }
        let n = (self.rgb.len() / 3).max(1) as f64;
        sums.map(|s| s / n)
    }

    /// The mean of the three channels of each pixel.
    pub fn luma(&self) -> Vec<f32> {
        self.rgb
            .chunks_exact(3)
            .map(|p| (p[0] + p[1] + p[2]) / 3.0)
            .collect()
    }

    /// Mean of all samples.
    pub fn mean(&self) -> f64 {
        self.rgb.iter().map(|&v| f64::from(v)).sum::<f64>() / self.rgb.len().max(1) as f64
    }

    /// Mean absolute difference of all samples.
    pub fn step(&self, other: &Self) -> f64 {
        let sum: f64 = self
            .rgb
            .iter()
            .zip(&other.rgb)
            .map(|(a, b)| f64::from((a - b).abs()))
            .sum();
        sum / self.rgb.len().max(1) as f64
    }

    /// Mean absolute difference of horizontal neighbours plus that of vertical
    /// neighbours, of the mean of the channels: how sharp the picture is.
    pub fn gradient(&self) -> f64 {
        let (w, h) = (self.width, self.height);
        let luma = self.luma();
        let (mut across, mut down) = (0.0f64, 0.0f64);
        for row in luma.chunks_exact(w) {
            across += row
                .windows(2)
                .map(|p| f64::from((p[1] - p[0]).abs()))
                .sum::<f64>();
        }
        for (a, b) in luma.iter().zip(&luma[w.min(luma.len())..]) {
            down += f64::from((b - a).abs());
        }
        across / ((w - 1) * h).max(1) as f64 + down / (w * (h - 1)).max(1) as f64
    }
}
