//! How fast a machine runs a model, measured once in about a second and kept.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::device::Cancel;
use crate::device::ops::conv3d::{Conv3d, Walk};
use crate::device::ops::{Activation, FeatureMap, Linear, attention, plainly};
use crate::engine::EngineError;
use crate::engine::wan::Work;

/// How fast this machine is, in operations a second on all threads, a multiplication and
/// an addition being two.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Speed {
    linear: f64,
    attention: f64,
    convolution: f64,
}

/// Seconds that each kind is run for, after once to warm up.
const RUN: f64 = 0.25;
/// Tokens, channels and heads of what is measured: those of a small model.
const TOKENS: usize = 1024;
const WIDTH: usize = 1536;
const HEADS: usize = 12;
/// Channels and side of a frame that is convolved: the VAE's last level, a part of it.
const CHANNELS: usize = 96;
const SIDE: usize = 128;

impl Speed {
    /// Runs the three kinds of operations that a model's time goes into and looks at the
    /// clock.
    ///
    /// # Errors
    /// Where there is not the memory.
    pub(super) fn measure() -> Result<Self, EngineError> {
        let failed = |e| EngineError::Request(format!("to calibrate: {}", plainly(&e)));
        Self::measured().map_err(failed)
    }

    fn measured() -> candle_core::Result<Self> {
        let numbers = |count: usize| -> Vec<f32> {
            let number = |i: usize| ((i * 7919) % 1013) as f32 / 1013. - 0.5;
            (0..count).map(number).collect()
        };
        let tensor = |shape: &[usize]| {
            let values = numbers(shape.iter().product());
            Tensor::from_vec(values, shape, &Device::Cpu)
        };
        let weights = [
            ("weight".to_owned(), tensor(&[WIDTH, WIDTH])?),
            ("bias".to_owned(), tensor(&[WIDTH])?),
        ];
        let vb = VarBuilder::from_tensors(weights.into(), DType::F32, &Device::Cpu);
        let layer = Linear::load(WIDTH, WIDTH, Activation::None, &vb)?;
        let x = tensor(&[1, TOKENS, WIDTH])?;
        let linear = rate(Work::layer(TOKENS as f64, WIDTH, WIDTH).linear, || {
            layer.forward(&x).map(drop)
        })?;
        let attending = Work::attending(TOKENS as f64, TOKENS as f64, WIDTH).attention;
        let attention = rate(attending, || attention(&x, &x, &x, HEADS).map(drop))?;
        let weight = tensor(&[CHANNELS, CHANNELS, 3, 3, 3])?;
        let conv = Conv3d::new(&weight, &tensor(&[CHANNELS])?, Walk::Same)?;
        let frame = FeatureMap::from_rows(SIDE, SIDE, CHANNELS, numbers(SIDE * SIDE * CHANNELS));
        let frame = frame.with_border(conv.border());
        let never = Cancel::default();
        let places = (SIDE * SIDE) as f64;
        let convolved = Work::convolving(places, 3 * Work::NINE, CHANNELS, CHANNELS).convolution;
        let convolution = rate(convolved, || {
            let frames = [Some(&frame); 3];
            let made = conv.frame(&frames, None, &never);
            made.map(drop).map_err(candle_core::Error::wrap)
        })?;
        Ok(Self {
            linear,
            attention,
            convolution,
        })
    }

    /// Seconds that `work` takes, at what was measured.
    pub(super) fn seconds(&self, work: Work) -> f64 {
        work.linear / self.linear
            + work.attention / self.attention
            + work.convolution / self.convolution
    }
}

/// Operations a second: of `run`, which does `work` of them.
fn rate(work: f64, mut run: impl FnMut() -> candle_core::Result<()>) -> candle_core::Result<f64> {
    run()?;
    let begun = Instant::now();
    let mut runs = 0.;
    while runs < 1. || begun.elapsed().as_secs_f64() < RUN {
        run()?;
        runs += 1.;
    }
    Ok(work * runs / begun.elapsed().as_secs_f64().max(1e-9))
}
