//! A run and what it makes as bytes: for a model in another shared object, to which no
//! tensor can be handed. The bytes are those of a safetensors file, with the settings as
//! JSON among its metadata.

use std::collections::HashMap;

use candle_core::{Device, Error, Result, Tensor};
use safetensors::tensor::SafeTensors;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Condition, Held, Made, Run, Start, Subjects};
use crate::engine::wan::transformer::message::{Parts, needed, part, values_to_bytes};
use crate::engine::wan::transformer::{Control, Regions};
use crate::sampler::{Guidance, SchedulerConfig};

/// The name that settings have among the metadata.
const SETTINGS: &str = "settings";

/// What a run is told beside tensors.
#[derive(Serialize, Deserialize)]
struct Settings {
    scheduler: SchedulerConfig,
    steps: usize,
    guidance: Guidance,
    cache: Option<f64>,
    /// Of what it starts from.
    strength: Option<f64>,
}

/// What a run tells beside latents: see [`Made::cached`].
#[derive(Serialize, Deserialize)]
struct Outcome {
    cached: Option<(usize, f64)>,
}

fn metadata(settings: &impl Serialize) -> Result<Option<HashMap<String, String>>> {
    let text = serde_json::to_string(settings).map_err(Error::wrap)?;
    Ok(Some(HashMap::from([(SETTINGS.to_owned(), text)])))
}

fn settings<S: DeserializeOwned>(bytes: &[u8]) -> Result<S> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(Error::wrap)?;
    let told = metadata.metadata().as_ref().and_then(|m| m.get(SETTINGS));
    match told {
        Some(text) => serde_json::from_str(text).map_err(Error::wrap),
        None => candle_core::bail!("a message has no settings"),
    }
}

impl Run<'_> {
    /// The run as bytes.
    ///
    /// # Errors
    /// Where a tensor cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut parts = Parts::default();
        parts.put("noise", self.noise)?;
        parts.put("prompt", self.prompt)?;
        parts.put_some("negative", self.negative)?;
        parts.put_some("image", self.image)?;
        parts.put_some("start", self.start.map(|s| s.latents))?;
        match self.condition {
            Condition::None => {}
            Condition::Channels(channels) => parts.put("channels", channels)?,
            Condition::Given { latents, free } => {
                parts.put("given", latents)?;
                parts.put("given_free", free)?;
            }
        }
        if let Some(held) = self.held {
            parts.put("held", held.latents)?;
            parts.put("held_free", held.free)?;
        }
        parts.put_control(self.control)?;
        if let Some(subjects) = self.subjects {
            parts.put_subjects(Some(subjects.regions), subjects.texts)?;
        }
        let told = Settings {
            scheduler: self.scheduler.clone(),
            steps: self.steps,
            guidance: self.guidance,
            cache: self.cache,
            strength: self.start.map(|s| s.strength),
        };
        parts.into_bytes(metadata(&told)?)
    }
}

/// A run that [`Run::to_bytes`] wrote.
pub struct OwnedRun {
    noise: Tensor,
    prompt: Tensor,
    negative: Option<Tensor>,
    image: Option<Tensor>,
    start: Option<(Tensor, f64)>,
    channels: Option<Tensor>,
    given: Option<(Tensor, Tensor)>,
    held: Option<(Tensor, Tensor)>,
    control: Option<(Tensor, Vec<f32>)>,
    regions: Option<Regions>,
    subjects: Vec<Tensor>,
    settings: Settings,
}

impl OwnedRun {
    /// Reads `bytes`; tensors come to lie on `device`.
    ///
    /// # Errors
    /// Where something is missing.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self> {
        let parts = SafeTensors::deserialize(bytes).map_err(Error::wrap)?;
        let settings: Settings = settings(bytes)?;
        let some = |name: &str| part(&parts, name, device);
        let both = |name: &str, free: &str| Ok::<_, Error>(some(name)?.zip(some(free)?));
        let (control, regions, subjects) = Parts::conditions(&parts, device)?;
        Ok(Self {
            noise: needed(&parts, "noise", device)?,
            prompt: needed(&parts, "prompt", device)?,
            negative: some("negative")?,
            image: some("image")?,
            start: some("start")?.zip(settings.strength),
            channels: some("channels")?,
            given: both("given", "given_free")?,
            held: both("held", "held_free")?,
            control,
            regions,
            subjects,
            settings,
        })
    }

    /// As experts take it.
    pub fn run(&self) -> Run<'_> {
        let condition = match (&self.channels, &self.given) {
            (Some(channels), _) => Condition::Channels(channels),
            (None, Some((latents, free))) => Condition::Given { latents, free },
            (None, None) => Condition::None,
        };
        let control = self.control.as_ref();
        let held = self.held.as_ref();
        let start = self.start.as_ref();
        Run {
            noise: &self.noise,
            prompt: &self.prompt,
            negative: self.negative.as_ref(),
            image: self.image.as_ref(),
            start: start.map(|(latents, strength)| Start {
                latents,
                strength: *strength,
            }),
            condition,
            held: held.map(|(latents, free)| Held { latents, free }),
            control: control.map(|(latents, scales)| Control { latents, scales }),
            subjects: self.regions.as_ref().map(|regions| Subjects {
                regions,
                texts: &self.subjects,
            }),
            scheduler: &self.settings.scheduler,
            steps: self.settings.steps,
            guidance: self.settings.guidance,
            cache: self.settings.cache,
        }
    }
}

impl Made {
    /// What was made as bytes: `latents` are its values and dimensions.
    ///
    /// # Errors
    /// Where they do not go together.
    pub fn to_bytes(latents: (&[f32], &[usize]), cached: Option<(usize, f64)>) -> Result<Vec<u8>> {
        values_to_bytes("latents", latents, metadata(&Outcome { cached })?)
    }

    /// What [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// Where something is missing.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let parts = SafeTensors::deserialize(bytes).map_err(Error::wrap)?;
        Ok(Self {
            latents: needed(&parts, "latents", &Device::Cpu)?,
            cached: settings::<Outcome>(bytes)?.cached,
        })
    }
}
