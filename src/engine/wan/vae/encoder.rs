//! From frames to the moments of their latents.
//!
//! The levels, which work at the size of the picture, look at a neighbourhood alone: they
//! can be run tile by tile, each with as much around it as is looked at, to the same bits.
//! What follows works at the size of the latents and looks at all of the picture.

use candle_core::{Result, bail};
use candle_nn::VarBuilder;

use super::VaeConfig;
use super::area::Area;
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
    levels: LevelsPast,
    rest: RestPast,
}

/// What the levels remember of earlier frames, of one tile.
#[derive(Default)]
pub(super) struct LevelsPast {
    first: Past,
    levels: Vec<DownPast>,
}

/// What is remembered behind the levels.
#[derive(Default)]
pub(super) struct RestPast {
    middle: [[Past; 2]; 2],
    last: Past,
}

/// The areas that a tile of latents needs: the input of the first convolution, that of
/// each level, and the tile.
pub(super) struct TilePlan(Vec<Area>);

impl TilePlan {
    /// Of the picture, in positions of its patches.
    pub(super) fn input(&self) -> &Area {
        &self.0[0]
    }
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
        match self.levels(x, None, &mut past.levels, cancel)? {
            Some(x) => self.rest(x, &mut past.rest, cancel).map(Some),
            None => Ok(None),
        }
    }

    /// What is needed for the latents `tile` of a picture of `height` × `width` of them.
    pub(super) fn plan(&self, tile: &Area, (height, width): (usize, usize)) -> TilePlan {
        let mut size = (height, width);
        let mut areas = vec![tile.clone()];
        for level in self.levels.iter().rev() {
            let mut area = areas[0].clone();
            if level.shrinks() {
                size = (size.0 * 2, size.1 * 2);
                // A position is made of two and the next; pairs stay together.
                area = area.each(|r| 2 * r.start..2 * r.end + 2);
            }
            let reach = level.reach();
            // What is halved has to begin at an even position.
            let by = reach + reach % 2;
            areas.insert(0, area.widened(by, size));
        }
        let input = areas[0].widened(self.first.border(), size);
        areas.insert(0, input);
        TilePlan(areas)
    }

    /// The levels: what they come to of frame `x`, or none yet. Of a tile, `x` is the
    /// part of the frame that its plan asks for, and what comes out is the tile's.
    pub(super) fn levels(
        &self,
        x: &FeatureMap,
        plan: Option<&TilePlan>,
        past: &mut LevelsPast,
        cancel: &Cancel,
    ) -> Step<Option<FeatureMap>> {
        past.levels.resize_with(self.levels.len(), Default::default);
        let x = x.with_border(self.first.border());
        let mut x = self.first.step(x, &mut past.first, None, cancel)?;
        if let Some(TilePlan(areas)) = plan {
            x = areas[0].crop(x, &areas[1]);
        }
        for (i, (level, past)) in self.levels.iter().zip(&mut past.levels).enumerate() {
            match level.step(x, past, cancel)? {
                Some(out) => x = out,
                None => return Ok(None),
            }
            if let Some(TilePlan(areas)) = plan {
                let made = match level.shrinks() {
                    true => areas[i + 1].each(|r| r.start / 2..r.end / 2),
                    false => areas[i + 1].clone(),
                };
                x = made.crop(x, &areas[i + 2]);
            }
        }
        Ok(Some(x))
    }

    /// What follows the levels.
    pub(super) fn rest(
        &self,
        x: FeatureMap,
        past: &mut RestPast,
        cancel: &Cancel,
    ) -> Step<FeatureMap> {
        let x = self.middle.step(x, &mut past.middle, cancel)?;
        let x = self.norm.silu(&x, self.last.border());
        let x = self.last.step(x, &mut past.last, None, cancel)?;
        let moments = &self.moments;
        moments.step(x, &mut Past::default(), None, cancel)
    }
}
