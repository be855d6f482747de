//! How much memory the VAE works in, counted from its settings: weights, what layers
//! remember of two frames each, and the maps that are worked on at once.

use super::{Tiling, VaeConfig};

/// Bytes of a number.
const NUMBER: u64 = 4;
/// Maps of a level's channels that are there at once beside what is remembered: what
/// comes in, what is handed around, what is normalised and what comes out.
const AT_WORK: u64 = 4;
/// Latents of a tile's side, at least: in a smaller one most of the work is for what lies
/// around it.
const SMALLEST: usize = 8;

/// A count under way.
#[derive(Default)]
struct Count {
    weights: u64,
    remembered: u64,
    at_work: u64,
}

impl Count {
    /// A convolution of `taps` places over three frames, of so many `places`.
    fn causal(&mut self, places: u64, taps: u64, from: usize, to: usize) {
        // Those of 3 × 3 are held as the 16 points of their products.
        let held = if taps == 9 { 16 } else { taps };
        self.weights += 3 * held * (from * to) as u64;
        self.remembered += 2 * places * from as u64;
    }

    fn residual(&mut self, places: u64, from: usize, to: usize) {
        self.causal(places, 9, from, to);
        self.causal(places, 9, to, to);
        self.weights += (from * to) as u64;
        self.works(places * AT_WORK * from.max(to) as u64);
    }

    /// Two residual blocks with attention between them.
    fn middle(&mut self, places: u64, channels: usize) {
        self.residual(places, channels, channels);
        self.residual(places, channels, channels);
        self.weights += 4 * (channels * channels) as u64;
        self.works(places * (AT_WORK + 3) * channels as u64);
    }

    fn works(&mut self, numbers: u64) {
        self.at_work = self.at_work.max(numbers);
    }

    fn bytes(&self) -> u64 {
        (self.weights + self.remembered + self.at_work) * NUMBER
    }
}

impl VaeConfig {
    /// Bytes of memory in which latents of `rows` × `columns` are decoded at once, of
    /// any number of frames.
    pub fn decoder_bytes(&self, [rows, columns]: [usize; 2]) -> u64 {
        let mut count = Count::default();
        let base = self.decoder_dim();
        let dims: Vec<usize> = self.dim_mult.iter().rev().map(|m| m * base).collect();
        let mut from = dims.first().copied().unwrap_or(base);
        let mut places = (rows * columns) as u64;
        count.causal(places, 9, self.z_dim, from);
        count.middle(places, from);
        for (i, &to) in dims.iter().enumerate() {
            for block in 0..=self.num_res_blocks {
                count.residual(places, if block == 0 { from } else { to }, to);
            }
            let times = &self.temperal_downsample;
            let Some(time) = times.len().checked_sub(i + 1).map(|i| times[i]) else {
                from = to;
                continue;
            };
            from = if self.is_residual { to } else { to / 2 };
            let mut frames = 1;
            if time {
                count.causal(places, 2, to, to);
                frames = 2;
            }
            // Doubled, four kernels of four places.
            count.weights += 16 * (to * from) as u64;
            places *= 4;
            // They wait while those before them go on to the end.
            count.remembered += frames * places * from as u64;
        }
        count.causal(places, 9, from, self.out_channels);
        count.bytes()
    }

    /// In which tiles frames of `width` × `height` are encoded, `streams` of them side by
    /// side, in no more than `most` bytes if that can be; and the bytes that this takes.
    pub fn encoding(
        &self,
        [width, height]: [usize; 2],
        streams: usize,
        most: u64,
    ) -> (Tiling, u64) {
        let factor = self.spatial_factor();
        let whole = streams as u64 * self.encoder_bytes([width, height]);
        if whole <= most {
            return (Tiling::Whole, whole);
        }
        // A tile has as much around it as the levels look at.
        let (mut around, mut pixel) = (self.patch(), self.patch());
        for (i, _) in self.dim_mult.iter().enumerate() {
            around += (2 * self.num_res_blocks + 1) * pixel;
            if i < self.temperal_downsample.len() {
                pixel *= 2;
            }
        }
        let side = |length: usize, tile: usize| (tile * factor + 2 * around).min(length);
        let longest = width.max(height) / factor;
        let mut parts = 1;
        loop {
            parts += 1;
            let tile = longest.div_ceil(parts).max(SMALLEST);
            let size = [side(width, tile), side(height, tile)];
            let bytes = streams as u64 * self.encoder_bytes(size);
            if bytes <= most || tile == SMALLEST {
                return (Tiling::Latents(tile), bytes);
            }
        }
    }

    /// Bytes of memory in which frames of `width` × `height` are encoded, of any number.
    pub fn encoder_bytes(&self, [width, height]: [usize; 2]) -> u64 {
        let mut count = Count::default();
        let patch = self.patch();
        let mut places = (width / patch * (height / patch)) as u64;
        count.causal(places, 9, self.in_channels, self.base_dim);
        // The frame, in squares too, and with a border.
        count.remembered += 2 * places * self.in_channels as u64;
        let mut from = self.base_dim;
        for (i, mult) in self.dim_mult.iter().enumerate() {
            let to = mult * self.base_dim;
            let time = self.temperal_downsample.get(i);
            if self.is_residual {
                // The shortcut: what it comes to, and a frame that waits for the next.
                let waits = 1 + u64::from(time == Some(&true));
                count.remembered += waits * places * from as u64;
            }
            for block in 0..self.num_res_blocks {
                count.residual(places, if block == 0 { from } else { to }, to);
            }
            from = to;
            if let Some(time) = time {
                count.weights += 9 * (to * to) as u64;
                places /= 4;
                if *time {
                    count.causal(places, 1, to, to);
                }
            }
        }
        count.middle(places, from);
        count.causal(places, 9, from, 2 * self.z_dim);
        count.bytes()
    }
}
