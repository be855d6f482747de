//! A level of the encoder or decoder: residual blocks, a change of size, and in
//! Wan 2.2 a shortcut around both.

use candle_core::Result;
use candle_nn::VarBuilder;

use super::layers::{Grow, GrowPast, Past, Residual, Shrink, ShrinkPast};
use crate::device::ops::FeatureMap;
use crate::device::{Cancel, Cancelled};

type Step<T> = std::result::Result<T, Cancelled>;

/// A level of the encoder.
pub(super) struct Down {
    residuals: Vec<Residual>,
    shrink: Option<Shrink>,
    shortcut: Option<Average>,
}

/// What [`Down`] remembers.
#[derive(Default)]
pub(super) struct DownPast {
    residuals: Vec<[Past; 2]>,
    shrink: ShrinkPast,
    shortcut: Option<FeatureMap>,
    begun: bool,
}

impl Down {
    pub(super) fn new(
        residuals: Vec<Residual>,
        shrink: Option<Shrink>,
        shortcut: Option<Average>,
    ) -> Self {
        Self {
            residuals,
            shrink,
            shortcut,
        }
    }

    /// Whether it halves height and width.
    pub(super) fn shrinks(&self) -> bool {
        self.shrink.is_some()
    }

    /// Positions that its residual blocks look beyond a position.
    pub(super) fn reach(&self) -> usize {
        2 * self.residuals.len()
    }

    /// A frame, or none yet.
    pub(super) fn step(
        &self,
        x: FeatureMap,
        past: &mut DownPast,
        cancel: &Cancel,
    ) -> Step<Option<FeatureMap>> {
        past.residuals
            .resize_with(self.residuals.len(), Default::default);
        let around = match &self.shortcut {
            Some(shortcut) => shortcut.step(&x, past),
            None => None,
        };
        let mut x = x;
        for (residual, past) in self.residuals.iter().zip(&mut past.residuals) {
            x = residual.step(x, past, cancel)?;
        }
        let out = match &self.shrink {
            Some(shrink) => shrink.step(&x, &mut past.shrink, cancel)?,
            None => Some(x),
        };
        Ok(out.map(|mut out| {
            if let Some(around) = &around {
                out.add(around);
            }
            out
        }))
    }
}

/// A shortcut downwards: cells of pixels (and pairs of frames) become channels,
/// and neighbouring channels their mean.
pub(super) struct Average {
    pub(super) outputs: usize,
    /// Frames to one: 1 or 2.
    pub(super) frames: usize,
    /// Pixels to one, in each direction.
    pub(super) pixels: usize,
}

impl Average {
    fn step(&self, x: &FeatureMap, past: &mut DownPast) -> Option<FeatureMap> {
        if self.frames == 1 {
            return Some(self.cell(&[Some(x)]));
        }
        if !past.begun {
            // The first frame has one of zeros before it.
            past.begun = true;
            return Some(self.cell(&[None, Some(x)]));
        }
        match past.shortcut.take() {
            Some(before) => Some(self.cell(&[Some(&before), Some(x)])),
            None => {
                past.shortcut = Some(x.clone());
                None
            }
        }
    }

    fn cell(&self, frames: &[Option<&FeatureMap>]) -> FeatureMap {
        let side = self.pixels;
        let cells = self.frames * side * side;
        let Some(one) = frames.iter().flatten().next() else {
            return FeatureMap::zeros(0, 0, self.outputs, 0);
        };
        let group = one.channels() * cells / self.outputs;
        let (height, width) = (one.height() / side, one.width() / side);
        let mut out = FeatureMap::zeros(height, width, self.outputs, 0);
        for y in 0..height {
            let row = out.row_mut(y);
            for (x, out) in row.chunks_exact_mut(self.outputs).enumerate() {
                for c in 0..one.channels() {
                    for cell in 0..cells {
                        let Some(frame) = frames[cell / (side * side)] else {
                            continue;
                        };
                        let (dy, dx) = (cell / side % side, cell % side);
                        let value = frame.at(y * side + dy, x * side + dx)[c];
                        out[(c * cells + cell) / group] += value;
                    }
                }
                for out in out {
                    *out /= group as f32;
                }
            }
        }
        out
    }
}

/// A level of the decoder.
pub(super) struct Up {
    residuals: Vec<Residual>,
    grow: Option<Grow>,
    shortcut: Option<Repeat>,
}

/// What [`Up`] remembers.
#[derive(Default)]
pub(super) struct UpPast {
    residuals: Vec<[Past; 2]>,
    grow: GrowPast,
    begun: bool,
}

impl Up {
    pub(super) fn new(
        residuals: Vec<Residual>,
        grow: Option<Grow>,
        shortcut: Option<Repeat>,
    ) -> Self {
        Self {
            residuals,
            grow,
            shortcut,
        }
    }

    /// Whether it doubles height and width.
    pub(super) fn grows(&self) -> bool {
        self.grow.is_some()
    }

    /// Whether it doubles the frame rate.
    pub(super) fn doubles_rate(&self) -> bool {
        self.grow.as_ref().is_some_and(Grow::doubles_rate)
    }

    /// Positions that its residual blocks look beyond a position.
    pub(super) fn reach(&self) -> usize {
        2 * self.residuals.len()
    }

    /// The frames that `x` becomes.
    pub(super) fn step(
        &self,
        x: FeatureMap,
        past: &mut UpPast,
        cancel: &Cancel,
    ) -> Step<Vec<FeatureMap>> {
        past.residuals
            .resize_with(self.residuals.len(), Default::default);
        let around = self.shortcut.as_ref().map(|_| x.clone());
        let mut x = x;
        for (residual, past) in self.residuals.iter().zip(&mut past.residuals) {
            x = residual.step(x, past, cancel)?;
        }
        let mut out = match &self.grow {
            Some(grow) => grow.step(x, &mut past.grow, cancel)?,
            None => vec![x],
        };
        if let (Some(shortcut), Some(around)) = (&self.shortcut, &around) {
            // The first frame is the last of those that it would become.
            let skip = if past.begun { 0 } else { shortcut.frames - 1 };
            for (i, out) in out.iter_mut().enumerate() {
                shortcut.add(around, i + skip, out);
            }
        }
        past.begun = true;
        Ok(out)
    }
}

/// A shortcut upwards: channels become cells of pixels (and pairs of frames),
/// each channel several of them where there are too few.
pub(super) struct Repeat {
    /// Frames that one becomes: 1 or 2.
    pub(super) frames: usize,
}

impl Repeat {
    /// Adds frame `frame` of what `x` becomes to `out`.
    fn add(&self, x: &FeatureMap, frame: usize, out: &mut FeatureMap) {
        let outputs = out.channels();
        let repeats = outputs * self.frames * 4 / x.channels();
        for y in 0..out.height() {
            for (px, out) in out.row_mut(y).chunks_exact_mut(outputs).enumerate() {
                let pixel = x.at(y / 2, px / 2);
                let cell = (frame * 2 + y % 2) * 2 + px % 2;
                for (o, out) in out.iter_mut().enumerate() {
                    *out += pixel[(o * self.frames * 4 + cell) / repeats];
                }
            }
        }
    }
}

/// Reads the residual blocks `resnets.N` of a level.
pub(super) fn residuals(
    vb: &VarBuilder<'_>,
    count: usize,
    from: usize,
    to: usize,
) -> Result<Vec<Residual>> {
    (0..count)
        .map(|i| {
            let from = if i == 0 { from } else { to };
            Residual::load(&vb.pp("resnets").pp(i), from, to)
        })
        .collect()
}
