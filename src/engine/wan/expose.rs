//! Latents of shots that are made at once, and how others are made.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::array::Array;
use super::conditions::{Conditions, Given, Lesson};
use super::develop::{Exposed, Latents};
use super::engine::WanEngine;
use super::error::WanError;
use super::fit::Fit;
use super::length::{Scheme, Sizes};
use super::naming::{VERSION, names};
use super::sampling::{Sampling, Scene};
use super::settings::Settings;
use super::shot::{STEP, Shot};
use super::studio::Studio;
use crate::device::Task;
use crate::device::gpu::Choice;
use crate::device::ops::plainly;
use crate::engine::Timeline;
use crate::sampler::{Place, noise};

impl WanEngine {
    /// The latents of all shots that are made at once, and of others how they are made.
    pub(super) fn expose(
        &self,
        conditions: &Conditions,
        timeline: &Timeline,
        task: Task<'_>,
    ) -> Result<Latents, WanError> {
        let settings = &self.settings;
        let studio = self.studio()?;
        let sizes = Sizes::new(&studio, settings, conditions.shape);
        let vae = names([studio.vae_path()].into_iter());
        let made_from = |settings: &Settings| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(VERSION.as_bytes());
            hasher.update(&conditions.name);
            hasher.update(self.key_of(settings).as_bytes());
            hasher.update(vae.as_bytes());
            hasher.finalize()
        };
        let mut exposing = Exposing {
            engine: self,
            studio: &studio,
            conditions,
            task,
            sampling: None,
            cached: None,
        };
        let mut shots = Vec::new();
        for given in &conditions.shots {
            let scheme = Scheme::new(&given.shot, settings, &sizes, studio.vae());
            let number = shots.len();
            let place = place(&given.shot, timeline);
            let latents = match scheme.is_decided() {
                true => {
                    let mut hasher = blake3::Hasher::new();
                    hasher.update(b"wan exposed 1 ");
                    hasher.update(made_from(settings).as_bytes());
                    hasher.update(&(number as u64).to_le_bytes());
                    Some(exposing.expose(hasher.finalize(), number, place)?)
                }
                false => None,
            };
            shots.push(Exposed {
                shot: given.shot.clone(),
                place,
                scheme,
                latents,
            });
        }
        let mut hasher = blake3::Hasher::new();
        for shot in &shots {
            match &shot.latents {
                Some(made) => {
                    for value in &made.values {
                        hasher.update(&value.to_le_bytes());
                    }
                }
                None => {
                    hasher.update(made_from(settings).as_bytes());
                    hasher.update(&shot.place.to_le_bytes());
                }
            }
        }
        hasher.update(vae.as_bytes());
        let mut unrefined = blake3::Hasher::new();
        unrefined.update(made_from(&settings.unrefined()).as_bytes());
        for shot in &shots {
            unrefined.update(&shot.place.to_le_bytes());
        }
        let name = hasher.finalize();
        let shown = match studio.tiny_path() {
            Some(path) => {
                let decoder = names([path].into_iter());
                blake3::keyed_hash(name.as_bytes(), decoder.as_bytes())
            }
            // A GPU decodes to other bits than the CPU.
            None if self.device == Choice::Gpu => blake3::keyed_hash(name.as_bytes(), b"GPU"),
            None => name,
        };
        Ok(Latents {
            cached: exposing.cached,
            shots,
            name: *name.as_bytes(),
            shown: *shown.as_bytes(),
            unrefined: *unrefined.finalize().as_bytes(),
        })
    }
}

/// Where shots are made at once, one after the other.
struct Exposing<'a> {
    engine: &'a WanEngine,
    studio: &'a Studio,
    conditions: &'a Conditions,
    task: Task<'a>,
    /// Opened for the first that is not known yet.
    sampling: Option<Sampling>,
    /// What a step cache spared, of evaluations.
    cached: Option<(usize, f64)>,
}

impl Exposing<'_> {
    /// The latents of shot `number`, whose noise is drawn at `place`: those that are kept
    /// as `key`, else made now.
    fn expose(&mut self, key: blake3::Hash, number: usize, place: i32) -> Result<Array, WanError> {
        let (settings, keep) = (&self.engine.settings, &*self.engine.keep);
        let given = &self.conditions.shots[number];
        let shape = shape(self.studio, self.conditions.fit, given);
        let noise = match &settings.noise {
            Some(path) => read_noise(path, shape)?,
            None => {
                let place = Place {
                    frame: place - given.references.len() as i32,
                    ..Place::default()
                };
                noise(settings.seed, place, shape, &Device::Cpu)?
            }
        };
        let known = keep.get(&key);
        let known = known.and_then(|b| postcard::from_bytes::<Array>(&b).ok());
        // What decodes them may be another now.
        if let Some(known) = known.filter(|k| k.shape[2..] == noise.dims()[2..]) {
            return Ok(known);
        }
        let sampling = match &mut self.sampling {
            Some(sampling) => sampling,
            none => {
                let latents = self.conditions.latents_at_once(settings);
                none.insert(Sampling::open(self.studio, settings, latents, self.task)?)
            }
        };
        let places: Vec<usize> = (0..given.shot.latents()).collect();
        let mut lesson = Lesson {
            studio: self.studio,
            settings,
            keep,
            sources: None,
        };
        let told = self
            .conditions
            .told(number, &places, &mut lesson, self.task)?;
        let scene = Scene {
            given,
            told: &told,
            places: &places,
            anchors: None,
            noise: &noise,
        };
        let made = sampling.make(&scene, settings, self.task)?;
        self.cached = made.cached.or(self.cached);
        let made = Array::of(&made.latents)?;
        if let Ok(bytes) = postcard::to_stdvec(&made) {
            keep.put(&key, &bytes);
        }
        Ok(made)
    }
}

/// Channels, frames, rows and columns of a shot's latents.
fn shape(studio: &Studio, fit: Fit, given: &Given) -> [usize; 4] {
    let [rows, columns] = studio.latent_size(fit.canvas);
    let frames = given.shot.latents() + given.references.len();
    [studio.vae().z_dim, frames, rows, columns]
}

/// Where a shot's noise is drawn: by its place in the take, in latent frames, so that
/// shots do not repeat one another.
fn place(shot: &Shot, timeline: &Timeline) -> i32 {
    let after = i64::from(shot.frames.first) - i64::from(timeline.out.first);
    after.div_euclid(STEP as i64) as i32
}

/// The tensor `latents` of the file at `path`, which must be [1, channels, frames, rows,
/// columns].
pub(super) fn read_noise(path: &Path, shape: [usize; 4]) -> Result<Tensor, WanError> {
    let refuse = |why: String| {
        WanError::Model(format!(
            "{} cannot be read as latents: {why}",
            path.display()
        ))
    };
    let bytes = std::fs::read(path).map_err(|e| refuse(e.to_string()))?;
    let found = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
    let mut found = found.map_err(|e| refuse(plainly(&e)))?;
    let latents = found.remove("latents");
    let latents = latents.ok_or_else(|| refuse("it has no tensor 'latents'".to_owned()))?;
    let [c, t, h, w] = shape;
    if latents.dims() != [1, c, t, h, w] {
        return Err(WanError::Request(format!(
            "the latents in {} are {:?}, where [1, {c}, {t}, {h}, {w}] goes with this size",
            path.display(),
            latents.dims()
        )));
    }
    Ok(latents.to_dtype(DType::F32)?)
}
