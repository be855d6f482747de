//! What a take needs of a machine, counted from the model's settings and the headers of
//! files, before any work.

use super::encode::WORKING;
use super::engine::WanEngine;
use super::error::WanError;
use super::fit::Fit;
use super::length::Sizes;
use super::settings::Way;
use super::studio::Kind;
use super::track::CHUNK;
use crate::engine::Timeline;
use crate::frame::PlateInfo;

/// Bytes of a number.
const NUMBER: u64 = 4;
/// Bytes of a pixel of a frame that is kept.
const KEPT: u64 = 6;

/// What a take needs of a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Bytes of memory at most: of the stage that needs most, beside what the program
    /// itself and its cache of results take.
    pub memory: u64,
    /// Bytes of a GPU's memory at most, where that does what it can.
    pub on_gpu: u64,
    /// Bytes of a GPU's memory that will do: the matrices of blocks stay in this machine's
    /// memory and are brought over one by one.
    pub least_on_gpu: u64,
    /// Bytes that the store has to hold so that nothing is made twice, at most.
    pub store: u64,
}

impl WanEngine {
    /// What a take of `timeline` of a plate as `plate` tells needs.
    ///
    /// # Errors
    /// Where the model's files cannot be used.
    pub fn needs(&self, timeline: &Timeline, plate: &PlateInfo) -> Result<Needs, WanError> {
        let schemes = self.schemes(timeline, Fit::shape(plate))?;
        if schemes.is_empty() {
            return Ok(Needs::default());
        }
        let (studio, settings) = (self.studio()?, &self.settings);
        let sizes = Sizes::new(&studio, settings, Fit::shape(plate));
        let (vae, canvas) = (studio.vae(), sizes.fit.canvas);
        let z = vae.z_dim as u64;
        let places = |fit: Fit| {
            let [rows, columns] = studio.latent_size(fit.canvas);
            (rows * columns) as u64
        };
        let references = settings.all_references().count();
        let mut needs = Needs::default();
        let (mut sampling, mut decoding, mut frames) = (0u64, 0u64, 0u64);
        let (mut held, mut kept) = (0u64, 0u64);
        for (shot, scheme) in &schemes {
            let latents = shot.latents();
            let at_once = latents.min(settings.latents_at_once());
            let needed = studio.sampling(canvas, at_once + references);
            sampling = sampling.max(needed.weights + needed.working);
            needs.on_gpu = needs.on_gpu.max(needed.on_gpu);
            needs.least_on_gpu = needs.least_on_gpu.max(needed.least_on_gpu);
            // Where nothing is given but the ends, little differs between them.
            let differ = match settings.way {
                Way::Frames => latents.min(vae.encoder_reach()) as u64,
                _ => latents as u64,
            };
            let channels = match studio.kind() {
                Kind::Text => 0,
                Kind::Tokens => z,
                Kind::Channels => z + 4,
                Kind::Vace => 2 * z + vae.spatial_factor().pow(2) as u64,
            } + if settings.way == Way::Restyle { z } else { 0 };
            let one = channels * places(sizes.fit) * NUMBER;
            needs.store += differ * one;
            if settings.makes_at_once(shot) {
                // Once as they are used and once as they are held.
                held += 2 * differ * one;
            } else {
                // As they are used, and a chunk as it is read and as it lies in its file.
                kept = kept.max((at_once + 3 * CHUNK) as u64 * one);
            }
            let pixels = (scheme.fit.content[0] * scheme.fit.content[1]) as u64;
            needs.store += latents as u64 * z * places(sizes.fit) * NUMBER;
            // Frames give way once they were shown.
            let runs = scheme.runs.parts.iter().map(|run| 4 * run.len() as u64);
            frames = frames.max(runs.max().unwrap_or(0) * pixels * KEPT);
            let decoder = vae.decoder_bytes(studio.latent_size(canvas));
            if scheme.is_decided() {
                decoding = decoding.max(decoder + z * latents as u64 * places(sizes.fit) * NUMBER);
                continue;
            }
            if let Some(grid) = &scheme.grid {
                // Tiles overlap by a third of them at most, on either axis.
                needs.store += 9 * latents as u64 * z * places(grid.fit) * NUMBER / 4;
            }
            for run in 0..scheme.runs.parts.len() {
                let read = scheme.decoded(run).len() as u64 * z * places(scheme.fit) * NUMBER;
                let frames = 4 * scheme.runs.parts[run].len() as u64;
                // A tile has as much around it again, at most.
                let tile = if scheme.grid.is_some() { 2 } else { 1 };
                let laid = frames * pixels * 3 * NUMBER;
                decoding = decoding.max(tile * decoder + 2 * read + laid);
            }
        }
        let encoding = match (studio.kind(), settings.way) {
            (Kind::Text, Way::Frames) => 0,
            (Kind::Vace, _) => vae.encoding(canvas, 2, WORKING).1,
            _ => vae.encoding(canvas, 1, WORKING).1,
        };
        needs.store += frames;
        needs.memory = held + kept + sampling.max(decoding).max(encoding);
        // The decoder takes no more of it there than here.
        needs.on_gpu = needs.on_gpu.max(decoding);
        needs.least_on_gpu = needs.least_on_gpu.max(decoding);
        Ok(needs)
    }
}
