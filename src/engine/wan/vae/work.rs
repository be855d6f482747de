//! How many operations the VAE comes to, counted from its settings.

use super::VaeConfig;
use crate::engine::wan::work::Work;

/// A residual block's at `places`.
fn residual(places: f64, from: usize, to: usize) -> Work {
    let shortcut = if from == to { 0 } else { 1 };
    Work::convolving(places, 3 * Work::NINE, from, to)
        + Work::convolving(places, 3 * Work::NINE, to, to)
        + Work::convolving(places, shortcut, from, to)
}

/// Two residual blocks with attention between them.
fn middle(places: f64, channels: usize) -> Work {
    residual(places, channels, channels) * 2.
        + Work::convolving(places, 4, channels, channels)
        + Work::attending(places, places, channels)
}

impl VaeConfig {
    /// To decode the frames from `first` on of the first `latents` latent frames of
    /// `rows` × `columns`, with what has to be decoded before them.
    pub fn decoder_work(&self, [rows, columns]: [usize; 2], latents: usize, first: usize) -> Work {
        let base = self.decoder_dim();
        let dims: Vec<usize> = self.dim_mult.iter().rev().map(|m| m * base).collect();
        let mut from = dims.first().copied().unwrap_or(base);
        let mut places = (rows * columns) as f64;
        let starts = self.decoder_starts(first);
        // Frames of each level, less those that it is not fed.
        let mut frames = latents;
        let fed = |frames: usize, part: usize| {
            let start = starts.get(part).copied().unwrap_or(0);
            frames.saturating_sub(start) as f64
        };
        let mut work = (Work::convolving(places, 3 * Work::NINE, self.z_dim, from)
            + middle(places, from))
            * fed(frames, 0);
        for (i, &to) in dims.iter().enumerate() {
            let mut level = Work::default();
            for block in 0..=self.num_res_blocks {
                level += residual(places, if block == 0 { from } else { to }, to);
            }
            work += level * fed(frames, i + 1);
            let times = &self.temperal_downsample;
            let Some(time) = times.len().checked_sub(i + 1).map(|i| times[i]) else {
                from = to;
                continue;
            };
            from = if self.is_residual { to } else { to / 2 };
            let mut made = fed(frames, i + 1);
            if time {
                work += Work::convolving(places, 3, to, 2 * to) * made;
                made *= 2.;
                frames = (2 * frames).saturating_sub(1);
            }
            places *= 4.;
            // Doubled, of its nine places four are different.
            work += Work::convolving(places, 4, to, from) * made;
        }
        work + Work::convolving(places, 3 * Work::NINE, from, self.out_channels)
            * fed(frames, dims.len() + 1)
    }

    /// To encode `frames` frames of `width` × `height`.
    pub fn encoder_work(&self, [width, height]: [usize; 2], frames: usize) -> Work {
        let patch = self.patch();
        let mut places = (width / patch * (height / patch)) as f64;
        let mut count = frames as f64;
        let mut from = self.base_dim;
        let mut work = Work::convolving(places, 3 * Work::NINE, self.in_channels, from) * count;
        for (i, mult) in self.dim_mult.iter().enumerate() {
            let to = mult * self.base_dim;
            for block in 0..self.num_res_blocks {
                work += residual(places, if block == 0 { from } else { to }, to) * count;
            }
            from = to;
            if let Some(time) = self.temperal_downsample.get(i) {
                places /= 4.;
                work += Work::convolving(places, 9, to, to) * count;
                if *time {
                    count /= 2.;
                    work += Work::convolving(places, 3, to, to) * count;
                }
            }
        }
        work += middle(places, from) * count;
        work + Work::convolving(places, 3 * Work::NINE, from, 2 * self.z_dim) * count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_larger_and_later_is_more() {
        let config = VaeConfig::default();
        let all = |size, latents, first| config.decoder_work(size, latents, first).convolution;
        // By hand: the last level's six convolutions of 96 channels are 3.0 million
        // operations a pixel, of which four of nine are done, and the level before is as
        // many.
        let pixel = all([60, 104], 21, 0) / (81. * 832. * 480.);
        assert!((2.7e6..5.4e6).contains(&pixel), "{pixel:e}");
        let frames = |latents: usize| all([60, 104], latents, 0);
        assert!((frames(42) / frames(21) - 2.).abs() < 0.05);
        // The end alone takes what is before it, but not all of that.
        let (whole, end) = (frames(100), all([60, 104], 100, 4 * 99 - 15));
        let own = frames(100) / 25.;
        assert!(
            end > 1.5 * own && end < 4. * own && end < whole,
            "{}",
            end / own
        );
        let encoded = config.encoder_work([832, 480], 81).convolution;
        assert!(encoded > 0.2 * frames(21) && encoded < frames(21));
    }
}
