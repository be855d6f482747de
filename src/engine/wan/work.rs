//! How many operations a take comes to, counted from the model's settings before any
//! work.

use std::ops::{Add, AddAssign, Mul};

use super::config::TransformerConfig;
use super::engine::WanEngine;
use super::error::WanError;
use super::fit::Fit;
use super::length::{Part, Scheme, Sizes, around, stages};
use super::pipeline::TEXT_TOKENS;
use super::settings::Way;
use super::shot::Shot;
use super::studio::Kind;
use crate::engine::Timeline;
use crate::frame::PlateInfo;

/// Operations, a multiplication and an addition being two, by what does them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Of linear layers.
    pub linear: f64,
    /// Of attention.
    pub attention: f64,
    /// Of convolutions.
    pub convolution: f64,
}

/// What a take comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TakeWork {
    /// To read the words and to encode the plate.
    pub conditions: Work,
    /// To make latents.
    pub sampling: Work,
    /// To decode frames.
    pub decoding: Work,
    /// Bytes of the model that are read.
    pub read: u64,
    /// Whether a step cache may leave out steps.
    pub cached: bool,
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            linear: self.linear + other.linear,
            attention: self.attention + other.attention,
            convolution: self.convolution + other.convolution,
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<f64> for Work {
    type Output = Self;

    fn mul(self, by: f64) -> Self {
        Self {
            linear: self.linear * by,
            attention: self.attention * by,
            convolution: self.convolution * by,
        }
    }
}

impl Work {
    /// `tokens` through a matrix of `from` × `to`.
    pub fn layer(tokens: f64, from: usize, to: usize) -> Self {
        Self {
            linear: 2. * tokens * (from * to) as f64,
            ..Self::default()
        }
    }

    /// `tokens` that each attend to `others`, of `width` channels.
    pub fn attending(tokens: f64, others: f64, width: usize) -> Self {
        Self {
            attention: 4. * tokens * others * width as f64,
            ..Self::default()
        }
    }

    /// Products for an output that nine taps at every position come to: see
    /// [`conv3d`](crate::device::ops::conv3d).
    pub const NINE: usize = 4;

    /// A convolution of `taps` numbers of each of `from` channels to `to`, at `places`.
    pub fn convolving(places: f64, taps: usize, from: usize, to: usize) -> Self {
        Self {
            convolution: 2. * places * (taps * from * to) as f64,
            ..Self::default()
        }
    }
}

impl TransformerConfig {
    /// One evaluation of `tokens` tokens: of one text.
    fn work(&self, tokens: usize) -> Work {
        let (n, text, width) = (tokens as f64, TEXT_TOKENS as f64, self.dim());
        let image = if self.added_kv_proj_dim.is_some() {
            257.
        } else {
            0.
        };
        let block = Work::layer(6. * n + 2. * (text + image), width, width)
            + Work::attending(n, n + text + image, width)
            + Work::layer(n, width, 2 * self.ffn_dim);
        let vace = self.vace.as_ref();
        let more = vace.map_or(0, |v| v.layers.len());
        let hints = Work::layer(n * more as f64, width, width);
        let [t, h, w] = self.patch_size;
        let patch = t * h * w;
        let ends = Work::layer(n, patch * (self.in_channels + self.out_channels), width);
        block * (self.num_layers + more) as f64 + hints + ends
    }
}

impl WanEngine {
    /// What the frames `wanted` of a take of `timeline` of a plate as `plate` tells come
    /// to; of what is learned and decided already nothing.
    ///
    /// # Errors
    /// Where the model's files cannot be used.
    pub fn work(
        &self,
        timeline: &Timeline,
        plate: &PlateInfo,
        wanted: &[i32],
        (learned, decided): (bool, bool),
    ) -> Result<TakeWork, WanError> {
        let schemes = self.schemes(timeline, Fit::shape(plate))?;
        let mut work = TakeWork::default();
        let wanted = |shot: &Shot, frames: &[i32]| {
            let mut all = wanted.iter();
            all.any(|f| shot.made.contains(*f) && (frames.is_empty() || frames.contains(f)))
        };
        if !schemes.iter().any(|(shot, _)| wanted(shot, &[])) {
            return Ok(work);
        }
        let (studio, settings) = (self.studio()?, &self.settings);
        let sizes = Sizes::new(&studio, settings, Fit::shape(plate));
        let (vae, config) = (studio.vae(), &studio.model().parts[0].config);
        let references = settings.all_references().count();
        let taken = |strength: f64| {
            let taken = (strength.clamp(0., 1.) * settings.steps as f64) as usize;
            let steps = settings.steps - taken.min(settings.steps)..settings.steps;
            let guided = steps.clone().filter(|s| {
                let guidance = &settings.guidance;
                guidance.at(*s, settings.steps, false).is_some()
            });
            steps.len() + guided.count()
        };
        let sampled = |latents: usize, size: [usize; 2], strength: f64| {
            let [t, h, w] = config.patch_size;
            let tokens = latents.div_ceil(t) * (size[0] / h) * (size[1] / w);
            config.work(tokens) * taken(strength) as f64
        };
        let strength = match settings.way {
            Way::Restyle => settings.strength,
            _ => 1.,
        };
        let size = studio.latent_size(sizes.fit.canvas);
        let (mut sampling, mut evaluations) = (0, 0);
        for (shot, scheme) in schemes.iter().filter(|(shot, _)| wanted(shot, &[])) {
            if !learned {
                let encoded = match (studio.kind(), settings.way) {
                    (Kind::Text, Way::Frames) => 0,
                    (Kind::Tokens, Way::Frames) => shot.given_before(),
                    // What nothing is given for is not encoded for long.
                    (_, Way::Frames) => shot.count().min(2 * vae.encoder_reach()),
                    _ => shot.count(),
                };
                let streams = if studio.kind() == Kind::Vace { 2. } else { 1. };
                work.conditions += vae.encoder_work(sizes.fit.canvas, encoded) * streams;
            }
            if scheme.is_decided() {
                if !decided {
                    sampling += 1;
                    evaluations += taken(strength);
                    work.sampling += sampled(shot.latents() + references, size, strength);
                }
                work.decoding += studio.decoder_work(size, 0..shot.latents(), 0);
            }
        }
        let catalogue = stages(&schemes);
        let mut needed: Vec<Vec<bool>> = catalogue
            .stages
            .iter()
            .map(|stage| vec![false; stage.pieces.len()])
            .collect();
        for (at, stage) in catalogue.stages.iter().enumerate().rev() {
            for (number, piece) in stage.pieces.iter().enumerate() {
                let Some((shot, part)) = catalogue.parts.get(at).and_then(|p| p.get(number)) else {
                    continue;
                };
                let Some((shot, scheme)) = schemes.get(*shot) else {
                    continue;
                };
                if stage.with_frames && wanted(shot, &piece.frames) {
                    needed[at][number] = true;
                }
                if !needed[at][number] {
                    continue;
                }
                for (stage, number) in &piece.needs {
                    needed[*stage][*number] = true;
                }
                match part {
                    Part::Group(group) => {
                        let group = &scheme.layout.groups[*group];
                        if !group.free().is_empty() {
                            sampling += 1;
                            evaluations += taken(strength);
                            let latents = group.places.len() + references;
                            work.sampling += sampled(latents, size, strength);
                        }
                    }
                    Part::Tile(tile) => {
                        let Some(grid) = &scheme.grid else { continue };
                        let [t, i, j] = grid.at(*tile);
                        let tile = [grid.rows.parts[i].len(), grid.columns.parts[j].len()];
                        let latents = grid.times.parts[t].len();
                        sampling += 1;
                        evaluations += taken(settings.refine_strength);
                        work.sampling += sampled(latents, tile, settings.refine_strength);
                    }
                    Part::Run(run) => work.decoding += self.run_work(&studio, scheme, *run),
                }
            }
        }
        if sampling > 0 {
            let mut texts = vec![&settings.prompt];
            texts.extend(settings.guidance.is_used().then_some(&settings.negative));
            texts.extend(settings.subjects.iter().map(|s| &s.prompt));
            for text in texts {
                work.conditions += studio.text_work(text)?;
            }
            work.read = studio.read_bytes(evaluations);
        }
        work.cached = settings.cache.is_some();
        Ok(work)
    }

    fn run_work(&self, studio: &super::studio::Studio, scheme: &Scheme, run: usize) -> Work {
        let range = scheme.decoded(run);
        let Some(part) = scheme.runs.parts.get(run) else {
            return Work::default();
        };
        let first = *Shot::of_latent(part.start).start();
        let mut work = Work::default();
        let mut add = |size| work += studio.decoder_work(size, range.clone(), first);
        match &scheme.grid {
            Some(grid) => {
                for (i, down) in grid.rows.parts.iter().enumerate() {
                    for (j, across) in grid.columns.parts.iter().enumerate() {
                        let (y, _) = around(&grid.rows, i, down, 1);
                        let (x, _) = around(&grid.columns, j, across, 1);
                        add([y.len(), x.len()]);
                    }
                }
            }
            None => add(studio.latent_size(scheme.fit.canvas)),
        }
        work
    }
}
