//! What the model is given of the plate, the matte, the guide and the references, in
//! its own terms: all that is learned before a seed or a prompt is looked at.
//!
//! Of a shot that is longer than the model makes at once it is kept in the engine's
//! store, some latent frames at a time; what is not there any more is learned again.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::array::Array;
use super::clip::ImageEncoder;
use super::colour::DisplaySpace;
use super::control;
use super::encode::Encoder;
use super::error::WanError;
use super::fit::Fit;
use super::length::Layout;
use super::look::Look;
use super::reference;
use super::settings::{Settings, Way};
use super::shot::{STEP, Shot};
use super::studio::{Kind, Studio};
use super::subjects::{Mattes, bits};
use super::track::{Lost, Part, Slab, Track};
use crate::device::Task;
use crate::engine::{Keep, Sources};

/// What the model is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conditions {
    /// How the plate lies in the model's pictures.
    pub fit: Fit,
    /// Width and height of the plate, in square pixels.
    pub shape: [f64; 2],
    /// The way between the plate's values and the model's.
    pub space: DisplaySpace,
    /// The way between the guide's values and the model's.
    pub guide: DisplaySpace,
    /// For each shot.
    pub shots: Vec<Given>,
    /// A hash of all of it.
    pub name: [u8; 32],
}

impl Conditions {
    /// Latent frames of an evaluation, at most: a shot's, or as many of them as are made
    /// at once, and those of references.
    pub fn latents_at_once(&self, settings: &Settings) -> usize {
        let most = settings.latents_at_once().max(Layout::LEAST);
        let latents = |of: &Given| of.shot.latents().min(most) + of.references.len();
        self.shots.iter().map(latents).max().unwrap_or(1)
    }
}

/// What a part of a track is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Which frames are given: four channels, 1 or 0.
    There,
    /// Latents of given frames, z channels.
    Pictures,
    /// Where latents are to be made: one channel, 1 or 0.
    Free,
    /// Of the control branch: latents of what stays.
    Stays,
    /// Of what is to be changed.
    Changes,
    /// And where: pixels of the mask.
    Mask,
    /// Latents to start from, z channels.
    Start,
    /// For each token the sum of the bits of the subjects that it belongs to.
    Members,
}

/// What the model is given for one shot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Given {
    /// The frames.
    pub shot: Shot,
    /// For each reference picture, which stand before the first latent frame, the bits
    /// of the subject that it belongs to.
    pub references: Vec<u32>,
    /// What the parts of the track are.
    pub roles: Vec<Role>,
    /// Of each latent frame.
    pub track: Track,
    /// What the control branch reads of the references, [1, channels, references, rows,
    /// columns].
    pub control_references: Option<Array>,
    /// CLIP's states of the first frame, or of the first and the last.
    pub clip: Option<Array>,
}

/// What the model is given of some latent frames of a shot.
#[derive(Clone, Debug, Default)]
pub struct Told(pub Vec<(Role, Tensor)>);

impl Told {
    /// That part, [1, channels, places, rows, columns], if there is one.
    pub fn get(&self, role: Role) -> Option<&Tensor> {
        let found = self.0.iter().find(|(r, _)| *r == role);
        found.map(|(_, tensor)| tensor)
    }

    /// Parts that belong together, one behind the other.
    ///
    /// # Errors
    /// Where they are not of one size.
    pub fn joined(&self, roles: &[Role]) -> candle_core::Result<Option<Tensor>> {
        let parts: Option<Vec<&Tensor>> = roles.iter().map(|role| self.get(*role)).collect();
        parts.map(|parts| Tensor::cat(&parts, 1)).transpose()
    }
}

/// What conditions are learned from, and where what is learned is kept.
pub struct Lesson<'a, 's> {
    /// The model.
    pub studio: &'a Studio,
    /// What the artist chose.
    pub settings: &'a Settings,
    /// Where long tracks are kept.
    pub keep: &'a dyn Keep,
    /// What can be read, if anything can.
    pub sources: Option<&'a mut Sources<'s>>,
}

/// Learns what `shots` need.
///
/// # Errors
/// Where a frame cannot be had or a part of the model cannot be run.
pub fn learn(
    lesson: &mut Lesson<'_, '_>,
    shots: Vec<Shot>,
    fit: Fit,
    task: Task<'_>,
) -> Result<Conditions, WanError> {
    let (studio, settings, keep) = (lesson.studio, lesson.settings, lesson.keep);
    let sources = lesson.sources.as_deref_mut().ok_or_else(gone)?;
    let shape = Fit::shape(sources.plate.info());
    let mut look = Look::new(settings, fit, &shots, sources, task)?;
    let mut encoder = Encoder::new(studio, task);
    let mut references = Vec::new();
    if studio.kind() == Kind::Vace {
        for (path, _) in settings.all_references() {
            references.push(reference::read(path, fit.canvas)?);
        }
    }
    let read = control::of_references(&mut encoder, &references, fit)?;
    let read = read.map(|r| Array::of(&r)).transpose()?;
    let owners = settings.all_references().map(|(_, owner)| bits(owner));
    let owners: Vec<u32> = owners.take(references.len()).collect();
    let mut given = Vec::new();
    for shot in shots {
        let (roles, sides) = roles(studio, settings, &shot, fit).into_iter().unzip();
        let held = settings.makes_at_once(&shot);
        let mut recorder = Track::record(sides, (!held).then_some(keep));
        let all = 0..shot.latents();
        tell(
            &mut encoder,
            settings,
            &shot,
            all,
            &mut look,
            fit,
            &mut |p| recorder.push(p),
        )?;
        given.push(Given {
            references: owners.clone(),
            roles,
            track: recorder.finish(),
            control_references: read.clone(),
            clip: clip(studio, &shot, &mut look, fit, task)?,
            shot,
        });
    }
    let mut conditions = Conditions {
        fit,
        shape,
        space: look.space,
        guide: look.guide,
        shots: given,
        name: [0; 32],
    };
    let bytes = postcard::to_stdvec(&conditions).unwrap_or_default();
    conditions.name = *blake3::hash(&bytes).as_bytes();
    Ok(conditions)
}

impl Conditions {
    /// What the model is given of the latent frames `places` of shot `shot`.
    ///
    /// # Errors
    /// Where there are none such, or what was kept is lost and cannot be learned again.
    pub fn told(
        &self,
        shot: usize,
        places: &[usize],
        lesson: &mut Lesson<'_, '_>,
        task: Task<'_>,
    ) -> Result<Told, WanError> {
        let given = self.shots.get(shot).ok_or_else(|| {
            WanError::Request(format!(
                "there is no shot {shot}: ask for one that there is"
            ))
        })?;
        let keep = lesson.keep;
        let mut again = |lost: Lost| {
            let slab = self.learned_again(given, lost, lesson, task)?;
            given.track.put_back(lost, &slab, keep);
            Ok::<_, WanError>(slab)
        };
        let parts = given.track.select(places, keep, &mut again)?;
        Ok(Told(given.roles.iter().copied().zip(parts).collect()))
    }

    fn learned_again(
        &self,
        given: &Given,
        lost: Lost,
        lesson: &mut Lesson<'_, '_>,
        task: Task<'_>,
    ) -> Result<Slab, WanError> {
        let (studio, settings) = (lesson.studio, lesson.settings);
        let sources = lesson.sources.as_deref_mut().ok_or_else(gone)?;
        let info = sources.plate.info();
        if (info.width, info.height) != info.full_size {
            // A smaller plate would not come to the same.
            return Err(gone());
        }
        let spaces = [self.space, self.guide];
        let mut look = Look::again(settings, self.fit, spaces, sources, task);
        let mut encoder = Encoder::new(studio, task);
        let mut frames = Vec::new();
        let range = lost.first..lost.first + lost.count;
        let take = &mut |parts| frames.push(parts);
        tell(
            &mut encoder,
            settings,
            &given.shot,
            range,
            &mut look,
            self.fit,
            take,
        )?;
        Ok(Slab::of(&frames))
    }
}

/// Said where what was learned is kept no longer and there is nothing to learn it from.
fn gone() -> WanError {
    WanError::Request(
        "what was learned of the plate is not in the store any more: make the take again at full size, with a larger 'storeSize'"
            .to_owned(),
    )
}

/// The parts of each latent frame of `shot`, with channels, rows and columns.
fn roles(studio: &Studio, settings: &Settings, shot: &Shot, fit: Fit) -> Vec<(Role, [usize; 3])> {
    let z = studio.vae().z_dim;
    let square = studio.vae().spatial_factor().pow(2);
    let [rows, columns] = studio.latent_size(fit.canvas);
    let mut roles = match studio.kind() {
        Kind::Text => vec![],
        Kind::Channels => vec![(Role::There, STEP), (Role::Pictures, z)],
        Kind::Tokens if known(settings, shot) > 0 => {
            vec![(Role::Pictures, z), (Role::Free, 1)]
        }
        Kind::Tokens => vec![],
        Kind::Vace => vec![(Role::Stays, z), (Role::Changes, z), (Role::Mask, square)],
    };
    if settings.way == Way::Restyle {
        roles.push((Role::Start, z));
    }
    let sized = |(role, channels)| (role, [channels, rows, columns]);
    let mut roles: Vec<_> = roles.into_iter().map(sized).collect();
    if !settings.subjects.is_empty() {
        let [across, down] = studio.step();
        let tokens = [1, fit.canvas[1] / down, fit.canvas[0] / across];
        roles.push((Role::Members, tokens));
    }
    roles
}

/// Latent frames that are given whole, from the first on, to a model that is told so by
/// their tokens' time.
fn known(settings: &Settings, shot: &Shot) -> usize {
    match (settings.way, shot.given_before()) {
        (Way::Frames, before) if before > 0 => (before - 1) / STEP + 1,
        _ => 0,
    }
}

/// Hands `take` the parts of the latent frames `range` of `shot`, in the order of
/// [`roles`].
fn tell(
    encoder: &mut Encoder<'_>,
    settings: &Settings,
    shot: &Shot,
    range: Range<usize>,
    look: &mut Look<'_, '_>,
    fit: Fit,
    take: &mut dyn FnMut(Vec<Part>),
) -> Result<(), WanError> {
    let (studio, task, way) = (encoder.studio, encoder.task, settings.way);
    let kind = studio.kind();
    let roles = roles(studio, settings, shot, fit);
    let mut mattes = Mattes::open(studio, &settings.subjects)?;
    // Which stream of latents a part is, if it is one.
    let stream = |role: Role| match (role, kind, way) {
        (Role::Pictures, ..) => Some(0),
        (Role::Stays, ..) => Some(0),
        // Where a VACE model restyles it is shown nothing at all.
        (Role::Changes, _, Way::Restyle) => Some(0),
        (Role::Changes, ..) => Some(1),
        (Role::Start, Kind::Vace, _) => Some(1),
        (Role::Start, ..) => Some(0),
        _ => None,
    };
    let streams = roles.iter().filter_map(|(role, _)| stream(*role));
    let streams = streams.max().map_or(0, |last| last + 1);
    // What comes behind what is known whole is not looked at.
    let shown = match kind {
        Kind::Tokens if way == Way::Frames => known(settings, shot),
        _ => shot.latents(),
    };
    let by = studio.vae().spatial_factor();
    let mut tell = |latent: usize, made: &[Part], look: &mut Look<'_, '_>| {
        let part = |&(role, [channels, rows, columns]): &(Role, [usize; 3])| {
            let size = rows * columns;
            let all = |value: f32| Part::from(vec![value; channels * size]);
            Ok(match (role, stream(role)) {
                (_, Some(stream)) => match made.get(stream) {
                    Some(part) => Arc::clone(part),
                    None => all(0.),
                },
                (Role::There, None) => {
                    let there = |c: usize| (latent * STEP + c).saturating_sub(STEP - 1);
                    let there = (0..channels).map(|c| f32::from(look.is_given(shot, there(c))));
                    let values = there.flat_map(|value| std::iter::repeat_n(value, size));
                    values.collect()
                }
                (Role::Mask, None) => control::mask(way, shot, latent, by, look, fit)?,
                (Role::Members, None) => mattes.members(latent, shot, look, fit)?,
                (_, None) => all(f32::from(latent >= shown)),
            })
        };
        roles.iter().map(part).collect::<Result<Vec<_>, WanError>>()
    };
    if roles.is_empty() {
        return Ok(());
    }
    if streams > 0 {
        let look = std::cell::RefCell::new(&mut *look);
        let mut frames = |index: usize| {
            let mut look = look.borrow_mut();
            let look = &mut **look;
            Ok(match (kind, way) {
                (Kind::Vace, Way::Restyle) => vec![None, look.at(shot, index)?.frame],
                (Kind::Vace, _) => Vec::from(control::pictures(way, shot, index, look)?),
                _ => vec![look.at(shot, index)?.frame],
            })
        };
        let range = range.start..range.end.min(shown);
        encoder.run(range, streams, fit, &mut frames, &mut |latent, made| {
            take(tell(latent, &made, &mut look.borrow_mut())?);
            Ok(())
        })?;
    }
    let rest = if streams > 0 { shown } else { 0 };
    for latent in range.start.max(rest)..range.end {
        task.step("Reading the mattes", latent, shot.latents())?;
        take(tell(latent, &[], look)?);
    }
    Ok(())
}

/// What CLIP sees of the first frame of `shot`, or of the first and the last, where the
/// model asks for it.
fn clip(
    studio: &Studio,
    shot: &Shot,
    look: &mut Look<'_, '_>,
    fit: Fit,
    task: Task<'_>,
) -> Result<Option<Array>, WanError> {
    let (Kind::Channels, Some(path)) = (studio.kind(), studio.image_path()) else {
        return Ok(None);
    };
    let looker = ImageEncoder::open(path)?;
    let ends = [0, shot.count() - 1];
    let wanted = if studio.needs_both_ends() { 2 } else { 1 };
    let mut states = Vec::new();
    for index in ends.into_iter().take(wanted) {
        let Some(frame) = look.at(shot, index)?.frame else {
            continue;
        };
        // What was put on to fill the model's size is not looked at.
        let picture = frame.crop(0..fit.content[1], 0..fit.content[0]);
        states.push(looker.encode(&picture, task)?);
    }
    Ok(Some(Array::of(&Tensor::cat(&states, 0)?)?))
}
