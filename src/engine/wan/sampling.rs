//! Latents of frames that the model makes at once, from what it is given of them.

use candle_core::{DType, Device, Result as TensorResult, Tensor};

use super::array::Array;
use super::conditions::{Given, Role, Told};
use super::error::WanError;
use super::loaded::Loaded;
use super::pipeline::{Condition, Held, Made, Run, Start, Subjects};
use super::settings::{Settings, Way};
use super::studio::{Kind, Studio};
use super::transformer::{Control, Regions};
use crate::device::{Task, stoppable};
use crate::sampler::SchedulerConfig;

/// A model that is loaded, with what it was told in words.
pub struct Sampling {
    experts: Loaded,
    scheduler: SchedulerConfig,
    /// The prompt's embeddings and, where it is asked, the negative prompt's.
    texts: Vec<Tensor>,
    of_subjects: Vec<Tensor>,
    kind: Kind,
}

/// Frames that are to be made at once.
pub struct Scene<'a> {
    /// What the model is given of the shot.
    pub given: &'a Given,
    /// What it is given of these latent frames.
    pub told: &'a Told,
    /// The latent frames of the shot that it makes.
    pub places: &'a [usize],
    /// Those of them that are known already.
    pub anchors: Option<&'a Anchors>,
    /// What it starts from, [1, z, references + places, rows, columns].
    pub noise: &'a Tensor,
}

/// Latent frames that are known, among others.
pub struct Anchors {
    /// [1, z, places, rows, columns]; what is not known is 0.
    pub latents: Tensor,
    /// For each place, whether it is.
    pub known: Vec<bool>,
}

impl Anchors {
    /// [1, 1, places, 1, 1]: 0 where latents are known and the plate does not give them
    /// anyway, else 1; those of references first.
    fn free(&self, scene: &Scene<'_>, way: Way) -> TensorResult<Tensor> {
        let shot = &scene.given.shot;
        let places = scene.places.iter().zip(&self.known);
        let free = places.map(|(place, known)| {
            let plate = way == Way::Frames && shot.is_given(*place);
            f32::from(!*known || plate)
        });
        let before = std::iter::repeat_n(1., scene.given.references.len());
        let free: Vec<f32> = before.chain(free).collect();
        let count = free.len();
        Tensor::from_vec(free, (1, 1, count, 1, 1), &Device::Cpu)
    }
}

/// `other` where `free` is 0, else `own`.
fn mixed(own: &Tensor, other: &Tensor, free: &Tensor) -> TensorResult<Tensor> {
    let other = other.broadcast_mul(&free.affine(-1., 1.)?)?;
    own.broadcast_mul(free)?.add(&other)
}

impl Sampling {
    /// Reads the words and loads the model, for evaluations of `latents` latent frames at
    /// most.
    ///
    /// # Errors
    /// Where a part of it cannot be run or read.
    pub fn open(
        studio: &Studio,
        settings: &Settings,
        latents: usize,
        task: Task<'_>,
    ) -> Result<Self, WanError> {
        let texts: &[&str] = match settings.guidance.is_used() {
            true => &[&settings.prompt, &settings.negative],
            false => &[&settings.prompt],
        };
        let main = texts.len();
        let subjects = settings.subjects.iter().map(|s| &s.prompt[..]);
        let texts: Vec<&str> = texts.iter().copied().chain(subjects).collect();
        let mut texts = studio.texts(&texts, task)?;
        let of_subjects = texts.split_off(main);
        Ok(Self {
            experts: stoppable(task.cancel, || studio.experts(settings.size, latents))?,
            scheduler: studio.scheduler(settings),
            texts,
            of_subjects,
            kind: studio.kind(),
        })
    }

    /// The latents of `scene`'s places, [1, z, places, rows, columns].
    ///
    /// # Errors
    /// Where what is given does not go together, or the work is to stop.
    pub fn make(
        &self,
        scene: &Scene<'_>,
        settings: &Settings,
        task: Task<'_>,
    ) -> Result<Made, WanError> {
        let (given, told, places) = (scene.given, scene.told, scene.places);
        let references = given.references.len();
        let (_, z, all, rows, columns) = scene.noise.dims5()?;
        let anchors = match scene.anchors {
            Some(anchors) => {
                let latents = anchors.latents.pad_with_zeros(2, references, 0)?;
                Some((latents, anchors.free(scene, settings.way)?))
            }
            None => None,
        };
        let mut channels = told.joined(&[Role::There, Role::Pictures])?;
        if let (Some(own), Some((latents, free))) = (&channels, &anchors) {
            let mask = own.dim(1)? - z;
            let one = Tensor::ones((1, mask, all, rows, columns), DType::F32, &Device::Cpu)?;
            channels = Some(mixed(own, &Tensor::cat(&[&one, latents], 1)?, free)?);
        }
        let known = told.get(Role::Pictures).zip(told.get(Role::Free));
        let mut kept = known.map(|(latents, free)| (latents.clone(), free.clone()));
        if let (Kind::Tokens, Some((latents, free))) = (self.kind, &anchors) {
            let ones = Tensor::ones((1, 1, all, rows, columns), DType::F32, &Device::Cpu)?;
            let (own, own_free) = match kept {
                Some(kept) => kept,
                None => (latents.zeros_like()?, ones),
            };
            kept = Some((mixed(&own, latents, free)?, own_free.broadcast_mul(free)?));
        }
        let mut control = told.joined(&[Role::Stays, Role::Changes, Role::Mask])?;
        if let (Some(own), Some(references)) = (&control, &given.control_references) {
            control = Some(Tensor::cat(&[&references.tensor()?, own], 2)?);
        }
        if let (Some(own), Some((latents, free))) = (&control, &anchors) {
            // Anchors stay, whole.
            let stays = mixed(&own.narrow(1, 0, z)?, latents, free)?;
            let changes = own.narrow(1, z, z)?;
            let mask = own.narrow(1, 2 * z, own.dim(1)? - 2 * z)?;
            let mask = mask.broadcast_mul(free)?;
            control = Some(Tensor::cat(&[stays, changes, mask], 1)?);
        }
        let start = match told.get(Role::Start) {
            Some(start) => Some(start.pad_with_zeros(2, references, 0)?),
            None => None,
        };
        let clip = given.clip.as_ref().map(Array::tensor).transpose()?;
        let regions = match told.get(Role::Members) {
            Some(members) => {
                let members = members.flatten_all()?.to_vec1::<f32>()?;
                let per = members.len() / places.len().max(1);
                let owners = given.references.iter();
                let before = owners.flat_map(|owner| std::iter::repeat_n(*owner, per));
                let all: Vec<u32> = before.chain(members.iter().map(|m| *m as u32)).collect();
                Some(Regions::new(&all, &Device::Cpu)?)
            }
            None => None,
        };
        let scales = [settings.control as f32];
        let run = Run {
            subjects: regions.as_ref().map(|regions| Subjects {
                regions,
                texts: &self.of_subjects,
            }),
            noise: scene.noise,
            prompt: self.prompt()?,
            negative: self.texts.get(1),
            image: clip.as_ref(),
            start: start.as_ref().map(|latents| Start {
                latents,
                strength: settings.strength,
            }),
            condition: match (&channels, &kept) {
                (Some(channels), _) => Condition::Channels(channels),
                (None, Some((latents, free))) => Condition::Given { latents, free },
                (None, None) => Condition::None,
            },
            held: match (&anchors, self.kind) {
                (None, _) | (_, Kind::Tokens) => None,
                (Some((latents, free)), _) => Some(Held { latents, free }),
            },
            control: control.as_ref().map(|latents| Control {
                latents,
                scales: &scales,
            }),
            scheduler: &self.scheduler,
            steps: settings.steps,
            guidance: settings.guidance,
            cache: settings.cache,
        };
        let made = self.experts.sample(&run, task)?;
        Ok(Made {
            latents: made.latents.narrow(2, references, places.len())?,
            cached: made.cached,
        })
    }

    fn prompt(&self) -> TensorResult<&Tensor> {
        match self.texts.first() {
            Some(prompt) => Ok(prompt),
            None => candle_core::bail!("there is no prompt"),
        }
    }
}
