//! What the model is given of the plate, the matte, the guide and the references, in
//! its own terms: all that is learned before a seed or a prompt is looked at.

use std::sync::Arc;

use candle_core::{DType, Device, Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use super::array::{Array, stacked};
use super::clip::ImageEncoder;
use super::colour::DisplaySpace;
use super::error::WanError;
use super::fit::Fit;
use super::reference;
use super::settings::{Settings, Way};
use super::shot::{STEP, Shot};
use super::studio::{Kind, Studio};
use super::subjects;
use super::vae::{self, VaeEncoder};
use crate::device::Task;
use crate::device::ops::FeatureMap;
use crate::engine::Sources;
use crate::frame::{Conversion, Picture, PlateInfo, Transfer};

/// What the model is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conditions {
    /// How the plate lies in the model's pictures.
    pub fit: Fit,
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
    /// Mask and given frames, [1, 4 + z, frames, rows, columns].
    pub channels: Option<Array>,
    /// Given latents, [1, z, frames, rows, columns], and where latents are to be made,
    /// [1, 1, frames, rows, columns].
    pub kept: Option<(Array, Array)>,
    /// The control branch's, [1, channels, frames, rows, columns].
    pub control: Option<Array>,
    /// Latents to start from, [1, z, frames, rows, columns].
    pub start: Option<Array>,
    /// CLIP's states of the first frame, or of the first and the last.
    pub clip: Option<Array>,
    /// For each token the bits of the subjects that it belongs to; none where there
    /// are no subjects.
    pub members: Option<Vec<u32>>,
}

/// A shot's frames at the model's size, in the values of where they come from, as far
/// as they are given, and where the matte covers.
struct Seen {
    frames: Vec<Option<FeatureMap>>,
    /// The plate behind a guide, where a matte says where it shows.
    behind: Vec<Option<FeatureMap>>,
    covered: Vec<Option<FeatureMap>>,
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
    let mut seen = Vec::new();
    for shot in &shots {
        seen.push(see(settings, shot, fit, sources, task)?);
    }
    let transfer = match &settings.colour {
        Some(_) => Transfer::Linear,
        None => sources.plate.info().transfer,
    };
    let follows = settings.way == Way::Follow;
    let of_plate = seen
        .iter()
        .flat_map(|s| if follows { &s.behind } else { &s.frames });
    let space = DisplaySpace::new(transfer, peak(of_plate));
    let guide = match &sources.guide {
        Some(guide) if follows => {
            let frames = seen.iter().flat_map(|s| &s.frames);
            let transfer = match &settings.guide_colour {
                Some(_) => Transfer::Linear,
                None => guide.info().transfer,
            };
            DisplaySpace::new(transfer, peak(frames))
        }
        _ => space,
    };
    let mut encoder = Encoder {
        studio,
        loaded: None,
        task,
    };
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
    for (shot, seen) in shots.into_iter().zip(seen) {
        let seen = Seen {
            frames: displayed(seen.frames, &guide),
            behind: displayed(seen.behind, &space),
            covered: seen.covered,
        };
        let mut one = one(&mut encoder, settings, shot, &seen, &references, fit)?;
        if !settings.subjects.is_empty() {
            let (all, shot) = (&settings.subjects, &one.shot);
            one.members = Some(subjects::members(studio, all, &owners, shot, fit, task)?);
        }
        given.push(one);
    }
    let mut conditions = Conditions {
        fit,
        space,
        shots: given,
        name: [0; 32],
    };
    let bytes = postcard::to_stdvec(&conditions).unwrap_or_default();
    conditions.name = *blake3::hash(&bytes).as_bytes();
    Ok(conditions)
}

/// `picture` of a plate as `info` tells, by `way` in the colours that models know.
fn known(
    picture: Arc<Picture>,
    info: &PlateInfo,
    way: Option<&Conversion>,
) -> Result<Arc<Picture>, WanError> {
    let at = |name| info.channel(name);
    let (Some(way), Some(r), Some(g), Some(b)) = (way, at("R"), at("G"), at("B")) else {
        return Ok(picture);
    };
    let made = way.apply(&picture, [r, g, b], None);
    made.map(Arc::new).ok_or_else(|| {
        WanError::Request(
            "OpenColorIO failed at the plate's colours: choose another colour space".to_owned(),
        )
    })
}

/// Reads what a shot needs.
fn see(
    settings: &Settings,
    shot: &Shot,
    fit: Fit,
    sources: &mut Sources<'_>,
    task: Task<'_>,
) -> Result<Seen, WanError> {
    let way = settings.way;
    let count = shot.count();
    let mut seen = Seen {
        frames: vec![None; count],
        behind: vec![None; count],
        covered: vec![None; count],
    };
    if way == Way::Follow && sources.guide.is_none() {
        return Err(WanError::Request(
            "there is no guide to follow: connect one, or name its file".to_owned(),
        ));
    }
    let matted = way != Way::Frames && sources.matte.is_some();
    for index in 0..shot.frames.count() {
        task.step("Reading the plate", index, shot.frames.count())?;
        let frame = shot.frame(index);
        let plate = frame + shot.over.unwrap_or(0);
        let mut read = |frame: i32| -> Result<FeatureMap, WanError> {
            let picture = sources.plate.read(frame)?;
            let there = settings.colour.as_ref().map(|c| &c.there);
            let picture = known(picture, sources.plate.info(), there)?;
            Ok(fit.take(&picture))
        };
        match way {
            Way::Frames => {
                if let Some(plate) = shot.plate(index) {
                    seen.frames[index] = Some(read(plate)?);
                }
            }
            Way::Fill | Way::Restyle => seen.frames[index] = Some(read(plate)?),
            Way::Follow => {
                if matted {
                    seen.behind[index] = Some(read(plate)?);
                }
                if let Some(guide) = &mut sources.guide {
                    let picture = guide.read(frame)?;
                    let there = settings.guide_colour.as_ref();
                    let picture = known(picture, guide.info(), there)?;
                    seen.frames[index] = Some(fit.take(&picture));
                }
            }
        }
        if let Some(matte) = sources.matte.as_mut().filter(|_| matted) {
            seen.covered[index] = Some(fit.covered(&*matte.read(plate)?));
        }
    }
    // What is wanting at the end repeats the last frame.
    let last = shot.frames.count() - 1;
    for index in last + 1..count {
        seen.frames[index] = seen.frames[last].clone();
        seen.behind[index] = seen.behind[last].clone();
        seen.covered[index] = seen.covered[last].clone();
    }
    Ok(seen)
}

/// The highest value there is.
fn peak<'a>(frames: impl Iterator<Item = &'a Option<FeatureMap>>) -> f32 {
    let values = frames.flatten().flat_map(FeatureMap::rows).flatten();
    values.copied().filter(|v| v.is_finite()).fold(1., f32::max)
}

fn displayed(frames: Vec<Option<FeatureMap>>, space: &DisplaySpace) -> Vec<Option<FeatureMap>> {
    let one = |frame: FeatureMap| frame.map(0, |v| space.to_model(v));
    frames.into_iter().map(|f| f.map(one)).collect()
}

/// The VAE's encoder, loaded when it is first needed.
struct Encoder<'a> {
    studio: &'a Studio,
    loaded: Option<VaeEncoder>,
    task: Task<'a>,
}

impl Encoder<'_> {
    /// [1, z, frames, rows, columns] of frames in display space.
    fn encode(&mut self, frames: impl Iterator<Item = FeatureMap>) -> Result<Tensor, WanError> {
        let encoder = match self.loaded.take() {
            Some(encoder) => encoder,
            None => {
                let (config, vb) = vae::open(self.studio.vae_path())?;
                VaeEncoder::load(&config, &vb)?
            }
        };
        let encoder = self.loaded.insert(encoder);
        let mut encoding = encoder.begin();
        let mut latents = Vec::new();
        let total = frames.size_hint().1.unwrap_or(1);
        for (i, frame) in frames.enumerate() {
            self.task.step("Encoding frames", i, total)?;
            latents.extend(encoding.push(&frame, self.task)?);
        }
        Ok(stacked(&latents)?)
    }
}

fn one(
    encoder: &mut Encoder<'_>,
    settings: &Settings,
    shot: Shot,
    seen: &Seen,
    references: &[FeatureMap],
    fit: Fit,
) -> Result<Given, WanError> {
    let studio = encoder.studio;
    let mut given = Given {
        references: references.len(),
        channels: None,
        kept: None,
        control: None,
        start: None,
        clip: None,
        members: None,
        shot,
    };
    let blank = || FeatureMap::zeros(fit.canvas[1], fit.canvas[0], 3, 0);
    let filled = |frame: &Option<FeatureMap>| frame.clone().unwrap_or_else(blank);
    if settings.way == Way::Restyle {
        let latents = encoder.encode(seen.frames.iter().map(filled))?;
        given.start = Some(Array::of(&latents)?);
    }
    match studio.kind() {
        Kind::Text => {}
        Kind::Channels => {
            let latents = encoder.encode(seen.frames.iter().map(filled))?;
            let there = seen.frames.iter().map(|f| f32::from(f.is_some()));
            let mask = frame_mask(&there.collect::<Vec<_>>(), &latents)?;
            given.channels = Some(Array::of(&Tensor::cat(&[&mask, &latents], 1)?)?);
            if let Some(path) = studio.image_path() {
                let looker = ImageEncoder::open(path)?;
                let ends = [seen.frames.first(), seen.frames.last()];
                let wanted = if studio.needs_both_ends() { 2 } else { 1 };
                let mut states = Vec::new();
                for frame in ends.into_iter().take(wanted).flatten().flatten() {
                    // What was put on to fill the model's size is not looked at.
                    let picture = frame.crop(0..fit.content[1], 0..fit.content[0]);
                    states.push(looker.encode(&picture, encoder.task)?);
                }
                given.clip = Some(Array::of(&Tensor::cat(&states, 0)?)?);
            }
        }
        Kind::Tokens => {
            // Whole latents of given frames from the first on.
            let before = given.shot.given_before();
            if before > 0 && settings.way == Way::Frames {
                let count = (before - 1) / STEP * STEP + 1;
                let latents = encoder.encode(seen.frames.iter().take(count).map(filled))?;
                let (_, _, known, rows, columns) = latents.dims5()?;
                let all = given.shot.latents();
                let latents = latents.pad_with_zeros(2, 0, all - known)?;
                let free =
                    Tensor::ones((1, 1, all - known, rows, columns), DType::F32, &Device::Cpu)?;
                let free = free.pad_with_zeros(2, known, 0)?;
                given.kept = Some((Array::of(&latents)?, Array::of(&free)?));
            }
        }
        Kind::Vace => {
            let control = control(encoder, settings.way, seen, references, fit)?;
            given.control = Some(Array::of(&control)?);
        }
    }
    Ok(given)
}

/// Which frames are given, as image-to-video models have it: the first frame four
/// times, then each frame, in groups of four as channels, everywhere alike:
/// [1, 4, frames, rows, columns].
fn frame_mask(there: &[f32], latents: &Tensor) -> TensorResult<Tensor> {
    let (_, _, frames, rows, columns) = latents.dims5()?;
    let Some((first, rest)) = there.split_first() else {
        candle_core::bail!("there are no frames");
    };
    let mut values = vec![*first; STEP];
    values.extend_from_slice(rest);
    Tensor::from_vec(values, (1, frames, STEP, 1, 1), &Device::Cpu)?
        .transpose(1, 2)?
        .broadcast_as((1, STEP, frames, rows, columns))?
        .contiguous()
}

/// What VACE's control branch reads (Jiang et al., 2025, section 3.2): latents of what
/// stays and of what is to be changed, then the mask, its squares of pixels as channels.
/// References stand before the first frame.
fn control(
    encoder: &mut Encoder<'_>,
    way: Way,
    seen: &Seen,
    references: &[FeatureMap],
    fit: Fit,
) -> Result<Tensor, WanError> {
    let [columns, rows] = fit.canvas;
    let blank = FeatureMap::zeros(rows, columns, 3, 0);
    // 1 where frames are to be made.
    let masks: Vec<FeatureMap> = seen
        .frames
        .iter()
        .zip(&seen.covered)
        .map(|(frame, covered)| match (way, frame, covered) {
            (Way::Frames, Some(_), _) => FeatureMap::zeros(rows, columns, 1, 0),
            (Way::Fill | Way::Follow, _, Some(covered)) => covered.clone(),
            _ => FeatureMap::zeros(rows, columns, 1, 0).map(0, |_| 1.),
        })
        .collect();
    let masked = |frame: Option<&FeatureMap>, mask: &FeatureMap, inside: bool| {
        let mut out = frame.unwrap_or(&blank).clone();
        for y in 0..rows {
            let pixels = out.row_mut(y).chunks_exact_mut(3);
            for (pixel, m) in pixels.zip(mask.row(y)) {
                let shows = (*m > 0.) == inside;
                if !shows {
                    pixel.fill(0.);
                }
            }
        }
        out
    };
    let count = masks.len();
    let stays = (0..count).map(|i| {
        let frame = match way {
            Way::Follow => seen.behind[i].as_ref(),
            Way::Restyle => None,
            Way::Frames | Way::Fill => seen.frames[i].as_ref(),
        };
        masked(frame, &masks[i], false)
    });
    let changes = (0..count).map(|i| {
        // What a fill is to replace is hidden: it would come through.
        let frame = match way {
            Way::Follow => seen.frames[i].as_ref(),
            Way::Frames | Way::Fill | Way::Restyle => None,
        };
        masked(frame, &masks[i], true)
    });
    let stays = encoder.encode(stays)?;
    let changes = encoder.encode(changes)?;
    let mut latents = Tensor::cat(&[stays, changes], 1)?;
    let frames = latents.dim(2)?;
    let mut mask = mask_channels(&masks, frames, encoder.studio.vae().spatial_factor())?;
    for reference in references.iter().rev() {
        let latent = encoder.encode(std::iter::once(reference.clone()))?;
        let latent = Tensor::cat(&[&latent, &latent.zeros_like()?], 1)?;
        latents = Tensor::cat(&[latent, latents], 2)?;
        mask = mask.pad_with_zeros(2, 1, 0)?;
    }
    Ok(Tensor::cat(&[latents, mask], 1)?)
}

/// The pixels of masks, `by` × `by` of them as channels, of as many frames as there are
/// latents: the nearest of each. [1, by · by, frames, rows, columns]
fn mask_channels(masks: &[FeatureMap], frames: usize, by: usize) -> TensorResult<Tensor> {
    let chosen: Vec<FeatureMap> = (0..frames)
        .filter_map(|t| masks.get((2 * t + 1) * masks.len() / (2 * frames)).cloned())
        .collect();
    let pixels = stacked(&chosen)?;
    let (_, _, t, height, width) = pixels.dims5()?;
    let (rows, columns) = (height / by, width / by);
    pixels
        .reshape((t, rows, by, columns, by))?
        .permute((2, 4, 0, 1, 3))?
        .reshape((1, by * by, t, rows, columns))?
        .contiguous()
}
