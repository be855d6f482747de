//! From frames to the moments of their latents.

use candle_core::{Result, bail};
use candle_nn::VarBuilder;

use super::VaeConfig;
use super::layers::{Causal, Middle, Norm, Past, Residual, Shrink};
use super::level::{Average, Down, DownPast, residuals};
use crate::device::ops::FeatureMap;
use crate::device::{Cancel, Cancelled};

type Step<T> = std::result::Result<T, Cancelled>;

/// The encoder's weights.
pub(super) struct Encoder {
    first: Causal,
    pub(super) levels: Vec<Down>,
    pub(super) middle: Middle,
    norm: Norm,
    last: Causal,
    moments: Causal,
}

/// What the encoder remembers of earlier frames.
#[derive(Default)]
pub(super) struct EncoderPast {
    first: Past,
    levels: Vec<DownPast>,
    middle: [[Past; 2]; 2],
    last: Past,
}

impl Encoder {
    pub(super) fn load(vb: &VarBuilder<'_>, config: &VaeConfig) -> Result<Self> {
        let root = vb;
        let vb = vb.pp("encoder");
        let dims: Vec<usize> = config
            .dim_mult
            .iter()
            .map(|m| m * config.base_dim)
            .collect();
        let mut levels = Vec::new();
        // Without shortcuts the layers of all levels are counted through.
        let (mut from, mut layer) = (config.base_dim, 0);
        for (i, &to) in dims.iter().enumerate() {
            let time = config.temperal_downsample.get(i).copied();
            if config.is_residual {
                let vb = vb.pp("down_blocks").pp(i);
                let (frames, pixels) = match time {
                    Some(time) => (1 + usize::from(time), 2),
                    None => (1, 1),
                };
                if from * frames * pixels * pixels % to != 0 {
                    bail!("{from} channels of a level cannot be averaged to {to}");
                }
                levels.push(Down::new(
                    residuals(&vb, config.num_res_blocks, from, to)?,
                    time.map(|t| Shrink::load(&vb.pp("downsampler"), to, t))
                        .transpose()?,
                    Some(Average {
                        outputs: to,
                        frames,
                        pixels,
                    }),
                ));
                from = to;
            } else {
                let mut next = || {
                    layer += 1;
                    vb.pp("down_blocks").pp(layer - 1)
                };
                let mut blocks = Vec::new();
                for _ in 0..config.num_res_blocks {
                    blocks.push(Residual::load(&next(), from, to)?);
                    from = to;
                }
                let shrink = time.map(|t| Shrink::load(&next(), from, t)).transpose()?;
                levels.push(Down::new(blocks, shrink, None));
            }
        }
        let moments = 2 * config.z_dim;
        Ok(Self {
            first: Causal::load(&vb.pp("conv_in"), config.in_channels, config.base_dim, 3)?,
            levels,
            middle: Middle::load(&vb.pp("mid_block"), from)?,
            norm: Norm::load(&vb.pp("norm_out"), from, 3)?,
            last: Causal::load(&vb.pp("conv_out"), from, moments, 3)?,
            moments: Causal::load(&root.pp("quant_conv"), moments, moments, 1)?,
        })
    }

    /// The moments of a latent (mean, then the logarithm of the variance), or
    /// none yet: the first frame gives one, then every fourth.
    pub(super) fn step(
        &self,
        x: &FeatureMap,
        past: &mut EncoderPast,
        cancel: &Cancel,
    ) -> Step<Option<FeatureMap>> {
        past.levels.resize_with(self.levels.len(), Default::default);
        let x = x.with_border(self.first.border());
        let mut x = self.first.step(x, &mut past.first, None, cancel)?;
        for (level, past) in self.levels.iter().zip(&mut past.levels) {
            match level.step(x, past, cancel)? {
                Some(out) => x = out,
                None => return Ok(None),
            }
        }
        let x = self.middle.step(x, &mut past.middle, cancel)?;
        let x = self.norm.silu(&x, self.last.border());
        let x = self.last.step(x, &mut past.last, None, cancel)?;
        let moments = &self.moments;
        moments
            .step(x, &mut Past::default(), None, cancel)
            .map(Some)
    }
}
