//! What a VAE's `config.json` says.

use serde::Deserialize;

use super::VaeError;

/// The settings of a causal video VAE, as diffusers' `AutoencoderKLWan` writes
/// them. What a file leaves out has the value it has in Wan 2.1.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct VaeConfig {
    #[serde(rename = "_class_name")]
    class_name: Option<String>,
    /// Channels of the encoder's first layer.
    pub base_dim: usize,
    /// The same of the decoder's last; that of the encoder where not given.
    pub decoder_base_dim: Option<usize>,
    /// Channels of a latent.
    pub z_dim: usize,
    /// Channels of each level, in multiples of the first.
    pub dim_mult: Vec<usize>,
    /// Residual blocks of each level of the encoder; the decoder has one more.
    pub num_res_blocks: usize,
    /// Scales with attention of their own; no published VAE has any.
    pub attn_scales: Vec<f64>,
    /// Which halvings of the size halve the frame rate too.
    pub temperal_downsample: Vec<bool>,
    /// The mean of each latent channel.
    pub latents_mean: Vec<f32>,
    /// The spread of each latent channel.
    pub latents_std: Vec<f32>,
    /// Whether levels have shortcuts around them (Wan 2.2, 16 × 16 × 4).
    pub is_residual: bool,
    /// Channels that the encoder takes: RGB, times those of a patch.
    pub in_channels: usize,
    /// Channels that the decoder gives.
    pub out_channels: usize,
    /// Side of the square of pixels that becomes one position, before all else.
    pub patch_size: Option<usize>,
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            class_name: None,
            base_dim: 96,
            decoder_base_dim: None,
            z_dim: 16,
            dim_mult: vec![1, 2, 4, 4],
            num_res_blocks: 2,
            attn_scales: Vec::new(),
            temperal_downsample: vec![false, true, true],
            latents_mean: vec![
                -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134,
                -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
            ],
            latents_std: vec![
                2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526,
                2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
            ],
            is_residual: false,
            in_channels: 3,
            out_channels: 3,
            patch_size: None,
        }
    }
}

impl VaeConfig {
    /// As published with Wan 2.2 TI2V-5B.
    pub fn of_2_2() -> Self {
        Self {
            base_dim: 160,
            decoder_base_dim: Some(256),
            z_dim: 48,
            is_residual: true,
            in_channels: 12,
            out_channels: 12,
            patch_size: Some(2),
            latents_mean: vec![
                -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382,
                0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207,
                -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322, 0.1109,
                0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
                -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573,
                -0.0548, -0.1681, -0.0667,
            ],
            latents_std: vec![
                0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344,
                0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804,
                0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999,
                0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887,
                0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
            ],
            ..Self::default()
        }
    }

    /// Frames that the encoder remembers at most: what came earlier changes nothing.
    pub fn encoder_reach(&self) -> usize {
        let (levels, rate) = self.levels_reach();
        // The last of its latent's frames, and latents that are remembered behind the
        // levels.
        levels + Self::REMEMBERED * rate + rate
    }

    /// Latents that are remembered behind the encoder's levels: two for each of five
    /// convolutions, four of them in two residual blocks.
    pub const REMEMBERED: usize = 10;

    /// Frames that the encoder's levels remember at most, and frames to a latent.
    pub fn levels_reach(&self) -> (usize, usize) {
        // Kernels of three frames look back two, at the rate of their level: one before
        // all levels, two in each residual block, one where the rate is halved.
        let (mut reach, mut rate) = (2, 1);
        for level in 0..self.dim_mult.len() {
            reach += 4 * self.num_res_blocks * rate;
            if self.temperal_downsample.get(level) == Some(&true) {
                reach += 2 * rate;
                rate *= 2;
            }
        }
        (reach, rate)
    }

    /// Which frames the decoder's parts have to be fed so that frame `first` of what it
    /// gives, and those after it, come out as they do when all is decoded: the first
    /// latent frame, the first frame of each level, and that of the last convolution.
    /// Each counts at its own rate. The expensive levels look back least.
    pub fn decoder_starts(&self, first: usize) -> Vec<usize> {
        // Kernels of three frames look back two.
        let mut wanted = first.saturating_sub(2);
        let mut starts = vec![wanted];
        let convolutions = 2 * (self.num_res_blocks + 1);
        for level in (0..self.dim_mult.len()).rev() {
            let times = &self.temperal_downsample;
            let time = times.len().checked_sub(level + 1).map(|i| times[i]);
            if time == Some(true) {
                // Two of each frame but the first.
                wanted = wanted.div_ceil(2).saturating_sub(2);
            }
            wanted = wanted.saturating_sub(2 * convolutions);
            starts.insert(0, wanted);
        }
        // One convolution before all levels, and two residual blocks.
        starts.insert(0, wanted.saturating_sub(2 + 4 * 2));
        starts
    }

    /// Reads the text of a `config.json`; refuses what cannot be built, in a
    /// sentence.
    pub fn parse(text: &str) -> Result<Self, VaeError> {
        let config: Self = serde_json::from_str(text).map_err(|e| {
            VaeError::Config(format!("is not what a VAE's settings look like: {e}"))
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), VaeError> {
        let refuse = |text: String| Err(VaeError::Config(text));
        match self.class_name.as_deref() {
            None | Some("AutoencoderKLWan") => {}
            Some(other) => {
                return refuse(format!(
                    "is of the class {other}; only AutoencoderKLWan can be read"
                ));
            }
        }
        let levels = self.dim_mult.len();
        if !(1..=8).contains(&levels) || self.temperal_downsample.len() + 1 != levels {
            return refuse(format!(
                "has {levels} levels (dim_mult) and {} ways between them (temperal_downsample); \
                 there should be one less of these, and no more than 8 levels",
                self.temperal_downsample.len()
            ));
        }
        if !self.attn_scales.is_empty() {
            return refuse("has attn_scales, which no published Wan VAE has".into());
        }
        for (name, value) in [
            ("base_dim", self.base_dim),
            ("decoder_base_dim", self.decoder_dim()),
            ("z_dim", self.z_dim),
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("patch_size", self.patch()),
            ("dim_mult", self.dim_mult.iter().copied().min().unwrap_or(0)),
            ("dim_mult", self.dim_mult.iter().copied().max().unwrap_or(0)),
        ] {
            if !(1..=4096).contains(&value) {
                return refuse(format!("says {name} {value}; 1 to 4096 can be read"));
            }
        }
        if self.num_res_blocks > 64 {
            return refuse(format!("says num_res_blocks {}", self.num_res_blocks));
        }
        let pixels = 3 * self.patch() * self.patch();
        if self.in_channels != pixels || self.out_channels != pixels {
            return refuse(format!(
                "takes {} channels and gives {}; with patches of {} there should be {pixels}",
                self.in_channels,
                self.out_channels,
                self.patch()
            ));
        }
        for (name, values) in [
            ("latents_mean", &self.latents_mean),
            ("latents_std", &self.latents_std),
        ] {
            if values.len() != self.z_dim || values.iter().any(|v| !v.is_finite()) {
                return refuse(format!(
                    "has {} numbers for {name}; there should be one for each of {} channels",
                    values.len(),
                    self.z_dim
                ));
            }
        }
        if self.latents_std.iter().any(|v| *v <= 0.) {
            return refuse("has a latents_std that is not above 0".into());
        }
        if self.temporal_factor() != 4 {
            return refuse(format!(
                "takes {} frames to a latent; only 4 can be read",
                self.temporal_factor()
            ));
        }
        Ok(())
    }

    /// Side of a patch in pixels, 1 for none.
    pub fn patch(&self) -> usize {
        self.patch_size.unwrap_or(1)
    }

    /// Channels of the decoder's last level, over its `dim_mult`.
    pub fn decoder_dim(&self) -> usize {
        self.decoder_base_dim.unwrap_or(self.base_dim)
    }

    /// Pixels to a latent, in height and in width.
    pub fn spatial_factor(&self) -> usize {
        self.patch() << (self.dim_mult.len() - 1)
    }

    /// Frames to a latent, after the first, which has one of its own.
    pub fn temporal_factor(&self) -> usize {
        1 << self.temperal_downsample.iter().filter(|t| **t).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_built_is_refused_in_a_sentence() {
        for (text, word) in [
            ("{", "settings look like"),
            (r#"{"_class_name": "AutoencoderKL"}"#, "AutoencoderKL"),
            (r#"{"dim_mult": []}"#, "0 levels"),
            (r#"{"dim_mult": [1, 2]}"#, "2 levels"),
            (r#"{"z_dim": 48}"#, "latents_mean"),
            (r#"{"base_dim": 99999999999}"#, "base_dim"),
            (r#"{"patch_size": 2}"#, "there should be 12"),
            (r#"{"attn_scales": [0.5]}"#, "attn_scales"),
            (r#"{"temperal_downsample": [true, true, true]}"#, "8 frames"),
        ] {
            let error = VaeConfig::parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(VaeConfig::parse("{}").is_ok());
        assert!(VaeConfig::of_2_2().check().is_ok());
    }
}
