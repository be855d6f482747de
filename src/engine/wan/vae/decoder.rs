//! From latents to frames.
//!
//! The first part, at the size of the latents and with attention over the whole
//! picture, is always made whole. What follows only looks at a neighbourhood, so
//! it can be made in tiles that take in as much around them as they look at,
//! and shed of it what the next level does not need: tiles give the same bits as
//! the whole.

use candle_core::{Result, bail};
use candle_nn::VarBuilder;

use super::VaeConfig;
use super::area::Area;
use super::layers::{Causal, Grow, Middle, Norm, Past};
use super::level::{Repeat, Up, UpPast, residuals};
use crate::device::ops::FeatureMap;
use crate::device::{Cancel, Cancelled};

type Step<T> = std::result::Result<T, Cancelled>;

/// The decoder's weights.
pub(super) struct Decoder {
    latents: Causal,
    first: Causal,
    pub(super) middle: Middle,
    pub(super) levels: Vec<Up>,
    norm: Norm,
    last: Causal,
}

/// What the first part remembers of earlier frames.
#[derive(Default)]
pub(super) struct HeadPast {
    first: Past,
    middle: [[Past; 2]; 2],
}

/// What the levels remember of earlier frames of one tile.
#[derive(Default)]
pub(super) struct TailPast {
    levels: Vec<UpPast>,
    /// Whether each has been fed.
    begun: Vec<bool>,
    last: Past,
}

/// What is needed for a tile.
pub(super) struct Plan {
    /// The areas that it needs: the input of each level, of the last convolution, and
    /// the tile itself in positions of the output.
    areas: Vec<Area>,
    /// The first frame that each level, and the last convolution, has to be fed.
    starts: Vec<usize>,
}

impl Decoder {
    pub(super) fn load(vb: &VarBuilder<'_>, config: &VaeConfig) -> Result<Self> {
        let latents = Causal::load(&vb.pp("post_quant_conv"), config.z_dim, config.z_dim, 1)?;
        let vb = vb.pp("decoder");
        let base = config.decoder_dim();
        let dims: Vec<usize> = config.dim_mult.iter().rev().map(|m| m * base).collect();
        let mut levels = Vec::new();
        let mut from = dims[0];
        for (i, &to) in dims.iter().enumerate() {
            let vb = vb.pp("up_blocks").pp(i);
            let blocks = residuals(&vb, config.num_res_blocks + 1, from, to)?;
            let times = &config.temperal_downsample;
            // The decoder walks the encoder's steps backwards.
            let time = times.len().checked_sub(i + 1).map(|i| times[i]);
            let level = match time {
                None => {
                    from = to;
                    Up::new(blocks, None, None)
                }
                Some(time) if config.is_residual => {
                    let frames = 1 + usize::from(time);
                    if to * frames * 4 % from != 0 || to * frames * 4 < from {
                        bail!("{from} channels of a level cannot be spread over {to}");
                    }
                    from = to;
                    let grow = Grow::load(&vb.pp("upsampler"), to, to, time)?;
                    Up::new(blocks, Some(grow), Some(Repeat { frames }))
                }
                Some(time) => {
                    from = to / 2;
                    let grow = Grow::load(&vb.pp("upsamplers").pp(0), to, from, time)?;
                    Up::new(blocks, Some(grow), None)
                }
            };
            levels.push(level);
        }
        Ok(Self {
            latents,
            first: Causal::load(&vb.pp("conv_in"), config.z_dim, dims[0], 3)?,
            middle: Middle::load(&vb.pp("mid_block"), dims[0])?,
            levels,
            norm: Norm::load(&vb.pp("norm_out"), from, 3)?,
            last: Causal::load(&vb.pp("conv_out"), from, config.out_channels, 3)?,
        })
    }

    /// The first part, for a whole latent frame.
    pub(super) fn head(
        &self,
        latent: FeatureMap,
        past: &mut HeadPast,
        cancel: &Cancel,
    ) -> Step<FeatureMap> {
        let x = self
            .latents
            .step(latent, &mut Past::default(), None, cancel)?;
        let x = x.with_border(self.first.border());
        let x = self.first.step(x, &mut past.first, None, cancel)?;
        self.middle.step(x, &mut past.middle, cancel)
    }

    /// What is needed for the latents `tile` of a picture of `height` × `width`
    /// latents; `starts` are the first frames that the levels and the last convolution
    /// have to be fed.
    pub(super) fn plan(
        &self,
        tile: &Area,
        (height, width): (usize, usize),
        starts: &[usize],
    ) -> Plan {
        let grown = self.levels.iter().filter(|l| l.grows()).count();
        let mut sizes = (height << grown, width << grown);
        let tile = tile.each(|r| r.start << grown..r.end << grown);
        let mut areas = vec![tile.widened(self.last.border(), sizes), tile];
        for level in self.levels.iter().rev() {
            let mut area = areas[0].clone();
            if level.grows() {
                sizes = (sizes.0 / 2, sizes.1 / 2);
                // A doubled position and its neighbours lie in these.
                area = area.each(|r| r.start.saturating_sub(1) / 2..r.end / 2 + 1);
            }
            areas.insert(0, area.widened(level.reach(), sizes));
        }
        Plan {
            areas,
            starts: starts.to_vec(),
        }
    }

    /// The levels and the last convolution, for one tile of what [`head`]
    /// (Self::head) gave of latent frame `latent`; `emit` is handed each frame that
    /// comes out and its number, not yet held to its range.
    pub(super) fn tail(
        &self,
        (latent, head): (usize, &FeatureMap),
        plan: &Plan,
        past: &mut TailPast,
        cancel: &Cancel,
        emit: &mut dyn FnMut(usize, FeatureMap),
    ) -> Step<()> {
        past.levels.resize_with(self.levels.len(), Default::default);
        past.begun.resize(self.levels.len(), false);
        let whole = Area {
            rows: 0..head.height(),
            columns: 0..head.width(),
        };
        let first = &plan.areas[0];
        if latent < plan.starts[0] {
            return Ok(());
        }
        let x = if whole == *first {
            head.clone()
        } else {
            head.crop(first.rows.clone(), first.columns.clone())
        };
        self.level(0, (latent, x), plan, past, cancel, emit)
    }

    /// The last convolution.
    pub(super) fn last(&self, x: FeatureMap, past: &mut Past, cancel: &Cancel) -> Step<FeatureMap> {
        let x = self.norm.silu(&x, self.last.border());
        self.last.step(x, past, None, cancel)
    }

    /// From level `i` on, one frame to the end before the next begins: the frame of
    /// that number, unless it is of no use to what is wanted.
    fn level(
        &self,
        i: usize,
        (number, x): (usize, FeatureMap),
        plan: &Plan,
        past: &mut TailPast,
        cancel: &Cancel,
        emit: &mut dyn FnMut(usize, FeatureMap),
    ) -> Step<()> {
        if plan.starts.get(i).is_some_and(|start| number < *start) {
            return Ok(());
        }
        let (Some(level), Some(begun)) = (self.levels.get(i), past.begun.get_mut(i)) else {
            let x = self.last(x, &mut past.last, cancel)?;
            emit(number, plan.areas[i].crop(x, &plan.areas[i + 1]));
            return Ok(());
        };
        let first = !std::mem::replace(begun, true);
        let out = level.step(x, &mut past.levels[i], cancel)?;
        let made = if level.grows() {
            plan.areas[i].each(|r| r.start * 2..r.end * 2)
        } else {
            plan.areas[i].clone()
        };
        // Where the rate is doubled the first frame becomes the last of its two alone.
        let number = match (level.doubles_rate(), first) {
            (false, _) => number,
            (true, true) => 2 * number,
            (true, false) => 2 * number - 1,
        };
        for (k, x) in out.into_iter().enumerate() {
            let x = made.crop(x, &plan.areas[i + 1]);
            self.level(i + 1, (number + k, x), plan, past, cancel, emit)?;
        }
        Ok(())
    }
}
