//! A shot's frames at the model's size, read one after the other.

use std::sync::Arc;

use super::colour::DisplaySpace;
use super::error::WanError;
use super::fit::Fit;
use super::settings::{Settings, Way};
use super::shot::Shot;
use crate::device::Task;
use crate::device::ops::FeatureMap;
use crate::engine::Sources;
use crate::frame::{Conversion, Picture, PlateInfo, Transfer};

/// What is seen of one frame: as far as it is given, in display space.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The frame of the plate, or of the guide where one is followed.
    pub frame: Option<FeatureMap>,
    /// The plate behind a guide, where a matte says where it shows.
    pub behind: Option<FeatureMap>,
    /// 1 where the matte covers, else 0.
    pub covered: Option<FeatureMap>,
}

/// Reads what shots need, a frame at a time.
pub struct Look<'a, 's> {
    settings: &'a Settings,
    fit: Fit,
    sources: &'a mut Sources<'s>,
    task: Task<'a>,
    /// The way between the plate's values and the model's.
    pub space: DisplaySpace,
    /// The same of the guide.
    pub guide: DisplaySpace,
    /// What was seen last: its frame, and that.
    last: Option<(i32, Seen)>,
}

impl<'a, 's> Look<'a, 's> {
    /// Looks through `shots` once for their highest values, which say how highlights
    /// are bent.
    ///
    /// # Errors
    /// Where a frame cannot be had.
    pub fn new(
        settings: &'a Settings,
        fit: Fit,
        shots: &[Shot],
        sources: &'a mut Sources<'s>,
        task: Task<'a>,
    ) -> Result<Self, WanError> {
        if settings.way == Way::Follow && sources.guide.is_none() {
            return Err(WanError::Request(
                "there is no guide to follow: connect one, or name its file".to_owned(),
            ));
        }
        // Nothing bends yet, and what is read is in its own values.
        let space = DisplaySpace::new(Transfer::Display, 1.);
        let mut look = Self::again(settings, fit, [space; 2], sources, task);
        let (mut of_plate, mut of_guide) = (1f32, 1f32);
        let follows = settings.way == Way::Follow;
        for shot in shots {
            for index in 0..shot.frames.count() {
                task.step("Reading the plate", index, shot.frames.count())?;
                let seen = look.read(shot, index)?;
                let frame = if follows {
                    &mut of_guide
                } else {
                    &mut of_plate
                };
                *frame = frame.max(peak(&seen.frame));
                of_plate = of_plate.max(peak(&seen.behind));
            }
        }
        let transfer = match &settings.colour {
            Some(_) => Transfer::Linear,
            None => look.sources.plate.info().transfer,
        };
        look.space = DisplaySpace::new(transfer, of_plate);
        look.guide = match &look.sources.guide {
            Some(guide) if follows => {
                let transfer = match &settings.guide_colour {
                    Some(_) => Transfer::Linear,
                    None => guide.info().transfer,
                };
                DisplaySpace::new(transfer, of_guide)
            }
            _ => look.space,
        };
        Ok(look)
    }

    /// As [`new`](Self::new) where it is known how the highlights of the plate and of
    /// the guide are bent.
    pub fn again(
        settings: &'a Settings,
        fit: Fit,
        [space, guide]: [DisplaySpace; 2],
        sources: &'a mut Sources<'s>,
        task: Task<'a>,
    ) -> Self {
        Self {
            settings,
            fit,
            sources,
            task,
            space,
            guide,
            last: None,
        }
    }

    /// Whether frame `index` of `shot` has a plate or a guide to be read.
    pub fn is_given(&self, shot: &Shot, index: usize) -> bool {
        self.settings.way != Way::Frames || shot.plate(index).is_some()
    }

    /// Frame `index` of `shot` in display space. What is wanting at the end repeats the
    /// last frame.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn at(&mut self, shot: &Shot, index: usize) -> Result<Seen, WanError> {
        let frame = shot.frame(index);
        if let Some((last, seen)) = &self.last
            && *last == frame
        {
            return Ok(seen.clone());
        }
        let seen = self.read(shot, index)?;
        let (guide, space) = (self.guide, self.space);
        let seen = Seen {
            frame: seen.frame.map(|f| f.map(0, |v| guide.to_model(v))),
            behind: seen.behind.map(|f| f.map(0, |v| space.to_model(v))),
            covered: seen.covered,
        };
        // Frames that are not given are cheap to say again.
        if self.is_given(shot, index) {
            self.last = Some((frame, seen.clone()));
        }
        Ok(seen)
    }

    /// Frame `index` of `shot` in the values of where it comes from.
    fn read(&mut self, shot: &Shot, index: usize) -> Result<Seen, WanError> {
        self.task.check()?;
        let way = self.settings.way;
        let frame = shot.frame(index);
        let behind = frame.saturating_add(shot.over.unwrap_or(0));
        let mut seen = Seen::default();
        let matted = way != Way::Frames && self.sources.matte.is_some();
        match way {
            Way::Frames => {
                if let Some(plate) = shot.plate(index) {
                    seen.frame = Some(self.plate(plate)?);
                }
            }
            Way::Fill | Way::Restyle => seen.frame = Some(self.plate(behind)?),
            Way::Follow => {
                if matted {
                    seen.behind = Some(self.plate(behind)?);
                }
                if let Some(guide) = &mut self.sources.guide {
                    let picture = guide.read(frame)?;
                    let there = self.settings.guide_colour.as_ref();
                    let picture = known(picture, guide.info(), there)?;
                    seen.frame = Some(self.fit.take(&picture));
                }
            }
        }
        if matted {
            seen.covered = self.covered(shot, index)?;
        }
        Ok(seen)
    }

    /// Where the matte covers frame `index` of `shot`: 1, else 0; none where there is no
    /// matte.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn covered(&mut self, shot: &Shot, index: usize) -> Result<Option<FeatureMap>, WanError> {
        let behind = shot.frame(index).saturating_add(shot.over.unwrap_or(0));
        Ok(match &mut self.sources.matte {
            Some(matte) => Some(self.fit.covered(&*matte.read(behind)?)),
            None => None,
        })
    }

    /// Where the matte of subject `clip` covers plate frame `frame`: 1, else 0.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn subject(&mut self, clip: usize, frame: i32) -> Result<FeatureMap, WanError> {
        let reader = self.sources.subjects.get_mut(clip);
        let Some(Some(reader)) = reader else {
            return Err(WanError::Request(format!(
                "the matte of subject {} is not connected: connect it, or name its file",
                clip + 1
            )));
        };
        Ok(self.fit.covered(&*reader.read(frame)?))
    }

    fn plate(&mut self, frame: i32) -> Result<FeatureMap, WanError> {
        let picture = self.sources.plate.read(frame)?;
        let there = self.settings.colour.as_ref().map(|c| &c.there);
        let picture = known(picture, self.sources.plate.info(), there)?;
        Ok(self.fit.take(&picture))
    }
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

/// The highest value there is, 1 at least.
fn peak(frame: &Option<FeatureMap>) -> f32 {
    let values = frame.iter().flat_map(FeatureMap::rows).flatten();
    values.copied().filter(|v| v.is_finite()).fold(1., f32::max)
}
