//! The layers of a causal video VAE, each fed one frame after the other.
//!
//! A layer has weights, which are shared, and what it remembers of earlier
//! frames, which belongs to one video (and one tile of it).

use std::sync::Arc;

use candle_core::Result;
use candle_nn::VarBuilder;

use crate::device::ops::conv3d::{Conv3d, Walk};
use crate::device::ops::{FeatureMap, normalise, self_attention};
use crate::device::{Cancel, Cancelled};

type Step<T> = std::result::Result<T, Cancelled>;

/// The two frames before, older first; `None` where the video had not begun.
#[derive(Clone, Default)]
pub(super) struct Past([Option<Arc<FeatureMap>>; 2]);

impl Past {
    /// What a kernel of three frames reads when `newest` comes.
    fn with<'a>(&'a self, newest: &'a FeatureMap) -> [Option<&'a FeatureMap>; 3] {
        [self.0[0].as_deref(), self.0[1].as_deref(), Some(newest)]
    }

    fn push(&mut self, newest: Arc<FeatureMap>) {
        self.0 = [self.0[1].take(), Some(newest)];
    }
}

/// A convolution over this frame and, where its kernel is deep, the two before.
pub(super) struct Causal(Conv3d);

impl Causal {
    /// With a cubic kernel of `size`.
    pub(super) fn load(vb: &VarBuilder<'_>, from: usize, to: usize, size: usize) -> Result<Self> {
        Self::with(vb, from, to, &[size, size, size], Walk::Same)
    }

    fn with(
        vb: &VarBuilder<'_>,
        from: usize,
        to: usize,
        kernel: &[usize],
        walk: Walk,
    ) -> Result<Self> {
        let shape = [&[to, from], kernel].concat();
        let (weight, bias) = (vb.get(shape, "weight")?, vb.get(to, "bias")?);
        Conv3d::new(&weight, &bias, walk).map(Self)
    }

    /// The border that it wants around what it is fed.
    pub(super) fn border(&self) -> usize {
        self.0.border()
    }

    pub(super) fn step(
        &self,
        x: FeatureMap,
        past: &mut Past,
        add: Option<&FeatureMap>,
        cancel: &Cancel,
    ) -> Step<FeatureMap> {
        if self.0.frames() == 1 {
            return self.0.frame(&[Some(&x)], add, cancel);
        }
        let out = self.0.frame(&past.with(&x), add, cancel)?;
        past.push(Arc::new(x));
        Ok(out)
    }
}

/// Division by the length at each position, and a gain for each channel.
pub(super) struct Norm(Vec<f32>);

impl Norm {
    /// `rank` is how many axes the checkpoint's gain has beyond its channels.
    pub(super) fn load(vb: &VarBuilder<'_>, channels: usize, rank: usize) -> Result<Self> {
        let shape = [vec![channels], vec![1; rank]].concat();
        let gain = vb.get(shape, "gamma")?.flatten_all()?.to_vec1::<f32>()?;
        let scale = (channels as f32).sqrt();
        Ok(Self(gain.into_iter().map(|g| g * scale).collect()))
    }

    pub(super) fn silu(&self, x: &FeatureMap, border: usize) -> FeatureMap {
        normalise(x, &self.0, true, border)
    }
}

/// Two convolutions around which the input is handed on.
pub(super) struct Residual {
    norms: [Norm; 2],
    convs: [Causal; 2],
    shortcut: Option<Causal>,
}

impl Residual {
    pub(super) fn load(vb: &VarBuilder<'_>, from: usize, to: usize) -> Result<Self> {
        Ok(Self {
            norms: [
                Norm::load(&vb.pp("norm1"), from, 3)?,
                Norm::load(&vb.pp("norm2"), to, 3)?,
            ],
            convs: [
                Causal::load(&vb.pp("conv1"), from, to, 3)?,
                Causal::load(&vb.pp("conv2"), to, to, 3)?,
            ],
            shortcut: (from != to)
                .then(|| Causal::load(&vb.pp("conv_shortcut"), from, to, 1))
                .transpose()?,
        })
    }

    pub(super) fn step(
        &self,
        x: FeatureMap,
        past: &mut [Past; 2],
        cancel: &Cancel,
    ) -> Step<FeatureMap> {
        let [norm1, norm2] = &self.norms;
        let [conv1, conv2] = &self.convs;
        let [past1, past2] = past;
        let h = conv1.step(norm1.silu(&x, conv1.border()), past1, None, cancel)?;
        let h = norm2.silu(&h, conv2.border());
        let around = match &self.shortcut {
            Some(conv) => conv.step(x, &mut Past::default(), None, cancel)?,
            None => x,
        };
        conv2.step(h, past2, Some(&around), cancel)
    }
}

/// Attention among the positions of a frame, around which the input is handed on.
pub(super) struct Attention {
    norm: Norm,
    qkv: Conv3d,
    out: Conv3d,
}

impl Attention {
    pub(super) fn load(vb: &VarBuilder<'_>, channels: usize) -> Result<Self> {
        let conv = |vb: VarBuilder<'_>, to: usize| -> Result<Conv3d> {
            let weight = vb.get((to, channels, 1, 1), "weight")?;
            Conv3d::new(&weight, &vb.get(to, "bias")?, Walk::Same)
        };
        Ok(Self {
            norm: Norm::load(&vb.pp("norm"), channels, 2)?,
            qkv: conv(vb.pp("to_qkv"), 3 * channels)?,
            out: conv(vb.pp("proj"), channels)?,
        })
    }

    pub(super) fn step(&self, x: &FeatureMap, cancel: &Cancel) -> Step<FeatureMap> {
        let h = normalise(x, &self.norm.0, false, 0);
        let qkv = self.qkv.frame(&[Some(&h)], None, cancel)?;
        let h = self_attention(&qkv, cancel)?;
        self.out.frame(&[Some(&h)], Some(x), cancel)
    }
}

/// Residual, attention, residual.
pub(super) struct Middle {
    residuals: [Residual; 2],
    attention: Attention,
}

impl Middle {
    pub(super) fn load(vb: &VarBuilder<'_>, channels: usize) -> Result<Self> {
        let residual = |i| Residual::load(&vb.pp("resnets").pp(i), channels, channels);
        Ok(Self {
            residuals: [residual(0)?, residual(1)?],
            attention: Attention::load(&vb.pp("attentions").pp(0), channels)?,
        })
    }

    pub(super) fn step(
        &self,
        x: FeatureMap,
        past: &mut [[Past; 2]; 2],
        cancel: &Cancel,
    ) -> Step<FeatureMap> {
        let x = self.residuals[0].step(x, &mut past[0], cancel)?;
        let x = self.attention.step(&x, cancel)?;
        self.residuals[1].step(x, &mut past[1], cancel)
    }
}

/// Halves height and width, and the frame rate where `time` is there.
pub(super) struct Shrink {
    space: Causal,
    time: Option<Causal>,
}

/// What [`Shrink`] remembers.
#[derive(Default)]
pub(super) struct ShrinkPast {
    /// The last frame that went out and, every other time, one after it.
    frames: Vec<FeatureMap>,
}

impl Shrink {
    pub(super) fn load(vb: &VarBuilder<'_>, channels: usize, with_time: bool) -> Result<Self> {
        let resample = vb.pp("resample").pp(1);
        Ok(Self {
            space: Causal::with(&resample, channels, channels, &[3, 3], Walk::Halve)?,
            time: with_time
                .then(|| {
                    let vb = vb.pp("time_conv");
                    Causal::with(&vb, channels, channels, &[3, 1, 1], Walk::Same)
                })
                .transpose()?,
        })
    }

    /// A frame, or none yet: after the first, every second gives one.
    pub(super) fn step(
        &self,
        x: &FeatureMap,
        past: &mut ShrinkPast,
        cancel: &Cancel,
    ) -> Step<Option<FeatureMap>> {
        let x = x.with_border(self.space.border());
        let x = self.space.step(x, &mut Past::default(), None, cancel)?;
        let Some(time) = &self.time else {
            return Ok(Some(x));
        };
        match &past.frames[..] {
            [] => {
                past.frames.push(x.clone());
                Ok(Some(x))
            }
            [last, between] => {
                let frames = [Some(last), Some(between), Some(&x)];
                let out = time.0.frame(&frames, None, cancel)?;
                past.frames = vec![x];
                Ok(Some(out))
            }
            _ => {
                past.frames.push(x);
                Ok(None)
            }
        }
    }
}

/// Doubles height and width, and the frame rate where `time` is there.
pub(super) struct Grow {
    space: Causal,
    /// One for each of the two frames.
    time: Option<[Conv3d; 2]>,
}

/// What [`Grow`] remembers.
#[derive(Default)]
pub(super) struct GrowPast {
    begun: bool,
    frames: Past,
}

impl Grow {
    pub(super) fn load(vb: &VarBuilder<'_>, from: usize, to: usize, time: bool) -> Result<Self> {
        let resample = vb.pp("resample").pp(1);
        Ok(Self {
            space: Causal::with(&resample, from, to, &[3, 3], Walk::Double)?,
            time: time
                .then(|| -> Result<_> {
                    let vb = vb.pp("time_conv");
                    let weight = vb.get((2 * from, from, 3, 1, 1), "weight")?;
                    let bias = vb.get(2 * from, "bias")?;
                    let half = |i: usize| -> Result<_> {
                        let weight = weight.narrow(0, i * from, from)?;
                        let bias = bias.narrow(0, i * from, from)?;
                        Conv3d::new(&weight, &bias, Walk::Same)
                    };
                    Ok([half(0)?, half(1)?])
                })
                .transpose()?,
        })
    }

    /// Whether frames become two.
    pub(super) fn doubles_rate(&self) -> bool {
        self.time.is_some()
    }

    /// The frames that `x` becomes: two where the frame rate is doubled, but one
    /// of the first, which later ones do not look back to.
    pub(super) fn step(
        &self,
        x: FeatureMap,
        past: &mut GrowPast,
        cancel: &Cancel,
    ) -> Step<Vec<FeatureMap>> {
        let frames = match &self.time {
            Some(time) if past.begun => {
                let frames = past.frames.with(&x);
                let [one, two] = time;
                let out = vec![
                    one.frame(&frames, None, cancel)?,
                    two.frame(&frames, None, cancel)?,
                ];
                past.frames.push(Arc::new(x));
                out
            }
            _ => vec![x],
        };
        past.begun = true;
        let mut out = Vec::with_capacity(frames.len());
        for frame in frames {
            let frame = frame.with_border(self.space.border());
            out.push(self.space.step(frame, &mut Past::default(), None, cancel)?);
        }
        Ok(out)
    }
}
