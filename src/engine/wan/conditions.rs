//! What the model is given of the plate, the matte, the guide and the references, in
//! its own terms: all that is learned before a seed or a prompt is looked at.

use candle_core::{Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use super::array::Array;
use super::clip::ImageEncoder;
use super::colour::DisplaySpace;
use super::control;
use super::encode::Encoder;
use super::error::WanError;
use super::fit::Fit;
use super::look::Look;
use super::reference;
use super::settings::{Settings, Way};
use super::shot::{STEP, Shot};
use super::studio::{Kind, Studio};
use super::subjects;
use super::track::Track;
use crate::device::Task;
use crate::device::ops::FeatureMap;
use crate::engine::Sources;

/// What the model is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conditions {
    /// How the plate lies in the model's pictures.
    pub fit: Fit,
    /// Width and height of the plate, in square pixels.
    pub shape: [f64; 2],
    /// The way between the plate's values and the model's.
    pub space: DisplaySpace,
    /// For each shot.
    pub shots: Vec<Given>,
    /// A hash of all of it.
    pub name: [u8; 32],
}

/// What the model is given for one shot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Given {
    /// The frames.
    pub shot: Shot,
    /// Latent frames of reference pictures before the first.
    pub references: usize,
    /// Mask and given frames, 4 + z channels.
    pub channels: Option<Track>,
    /// Given latents, z channels, and where latents are to be made: one channel.
    pub kept: Option<(Track, Track)>,
    /// The control branch's.
    pub control: Option<Track>,
    /// What it reads of the references, [1, channels, references, rows, columns].
    pub control_references: Option<Array>,
    /// Latents to start from, z channels.
    pub start: Option<Track>,
    /// CLIP's states of the first frame, or of the first and the last.
    pub clip: Option<Array>,
    /// For each token the bits of the subjects that it belongs to, those of the
    /// references first; none where there are no subjects.
    pub members: Option<Vec<u32>>,
}

/// Learns what `shots` need.
///
/// # Errors
/// Where a frame cannot be had or a part of the model cannot be run.
pub fn learn(
    studio: &Studio,
    settings: &Settings,
    shots: Vec<Shot>,
    fit: Fit,
    sources: &mut Sources<'_>,
    task: Task<'_>,
) -> Result<Conditions, WanError> {
    let shape = Fit::shape(sources.plate.info());
    let mut look = Look::new(settings, fit, &shots, sources, task)?;
    let mut encoder = Encoder::new(studio, task);
    let references = if studio.kind() == Kind::Vace {
        let mut read = Vec::new();
        for (path, _) in settings.all_references() {
            read.push(reference::read(path, fit.canvas)?);
        }
        read
    } else {
        Vec::new()
    };
    let owners: Vec<usize> = settings.all_references().map(|(_, owner)| owner).collect();
    let mut given = Vec::new();
    for shot in shots {
        let mut one = one(&mut encoder, settings, shot, &mut look, &references, fit)?;
        if !settings.subjects.is_empty() {
            let (all, shot) = (&settings.subjects, &one.shot);
            one.members = Some(subjects::members(
                studio, all, &owners, shot, &mut look, fit, task,
            )?);
        }
        given.push(one);
    }
    let mut conditions = Conditions {
        fit,
        shape,
        space: look.space,
        shots: given,
        name: [0; 32],
    };
    let bytes = postcard::to_stdvec(&conditions).unwrap_or_default();
    conditions.name = *blake3::hash(&bytes).as_bytes();
    Ok(conditions)
}

fn one(
    encoder: &mut Encoder<'_>,
    settings: &Settings,
    shot: Shot,
    look: &mut Look<'_, '_>,
    references: &[FeatureMap],
    fit: Fit,
) -> Result<Given, WanError> {
    let studio = encoder.studio;
    let mut given = Given {
        references: references.len(),
        channels: None,
        kept: None,
        control: None,
        control_references: None,
        start: None,
        clip: None,
        members: None,
        shot,
    };
    let (shot, count) = (&given.shot, given.shot.count());
    let size = studio.latent_size(fit.canvas);
    if settings.way == Way::Restyle {
        let start = encoder.track(count, fit, &mut |i| Ok(look.at(shot, i)?.frame))?;
        given.start = Some(start);
    }
    match studio.kind() {
        Kind::Text => {}
        Kind::Channels => {
            let latents = encoder.track(count, fit, &mut |i| Ok(look.at(shot, i)?.frame))?;
            let there = (0..count).map(|i| f32::from(look.is_given(shot, i)));
            let mask = frame_mask(&there.collect::<Vec<_>>(), size)?;
            if let Some(path) = studio.image_path() {
                let looker = ImageEncoder::open(path)?;
                let ends = [0, count - 1];
                let wanted = if studio.needs_both_ends() { 2 } else { 1 };
                let mut states = Vec::new();
                for index in ends.into_iter().take(wanted) {
                    let Some(frame) = look.at(shot, index)?.frame else {
                        continue;
                    };
                    // What was put on to fill the model's size is not looked at.
                    let picture = frame.crop(0..fit.content[1], 0..fit.content[0]);
                    states.push(looker.encode(&picture, encoder.task)?);
                }
                given.clip = Some(Array::of(&Tensor::cat(&states, 0)?)?);
            }
            given.channels = Some(Track::joined(&[&mask, &latents])?);
        }
        Kind::Tokens => {
            // Whole latents of given frames from the first on.
            let before = shot.given_before();
            if before > 0 && settings.way == Way::Frames {
                let count = (before - 1) / STEP * STEP + 1;
                let known = encoder.track(count, fit, &mut |i| Ok(look.at(shot, i)?.frame))?;
                given.kept = Some(continued(&known, shot.latents(), size)?);
            }
        }
        Kind::Vace => {
            given.control = Some(control::track(encoder, settings.way, shot, look, fit)?);
            let read = control::of_references(encoder, references, fit)?;
            given.control_references = read.map(|r| Array::of(&r)).transpose()?;
        }
    }
    Ok(given)
}

/// `known` and nothing behind it up to `latents`; and where nothing is: 1, else 0.
fn continued(known: &Track, latents: usize, size: [usize; 2]) -> TensorResult<(Track, Track)> {
    let places: Vec<usize> = (0..known.len()).collect();
    let frames = known.select(&places)?.pad_with_zeros(2, 0, 1)?;
    let at = (0..latents).map(|i| i.min(known.len()) as u32).collect();
    let free: Vec<f32> = (0..latents).map(|i| f32::from(i >= known.len())).collect();
    Ok((Track::new(&frames, at)?, Track::uniform(&free, size)?))
}

/// Which frames are given, as image-to-video models have it: the first frame four
/// times, then each frame, in groups of four as channels, everywhere alike.
fn frame_mask(there: &[f32], size: [usize; 2]) -> TensorResult<Track> {
    let Some((first, rest)) = there.split_first() else {
        candle_core::bail!("there are no frames");
    };
    let mut values = vec![*first; STEP];
    values.extend_from_slice(rest);
    let channel = |c: usize| {
        let own: Vec<f32> = values.iter().skip(c).step_by(STEP).copied().collect();
        Track::uniform(&own, size)
    };
    let channels = (0..STEP).map(channel).collect::<TensorResult<Vec<_>>>()?;
    Track::joined(&channels.iter().collect::<Vec<_>>())
}
