//! Which of the model's tokens each subject's matte touches.

use std::path::Path;

use super::error::WanError;
use super::fit::Fit;
use super::look::Look;
use super::settings::{Subject, SubjectMatte};
use super::shot::Shot;
use super::studio::Studio;
use super::track::Part;
use crate::device::ops::FeatureMap;
use crate::frame::{FilePlate, Picture, PlateOptions, PlateReader};

/// A matte in files. One of a single frame serves for all.
struct Matte {
    file: FilePlate,
    channel: usize,
}

impl Matte {
    fn open(path: &Path) -> Result<Self, WanError> {
        let file = FilePlate::open(path, &PlateOptions::default())?;
        let info = file.info();
        let channel = info.channel("A").or(info.channel("R")).unwrap_or(0);
        Ok(Self { file, channel })
    }

    fn covered(&mut self, frame: i32, fit: Fit) -> Result<FeatureMap, WanError> {
        let range = self.file.info().range;
        let frame = if range.count() == 1 {
            range.first
        } else {
            frame
        };
        let picture = self.file.read(frame)?;
        let mut matte = Picture::new(picture.width(), picture.height(), 1);
        let pixels = picture.data().chunks_exact(picture.channels());
        for (value, pixel) in matte.data_mut().iter_mut().zip(pixels) {
            *value = pixel[self.channel];
        }
        Ok(fit.covered(&matte))
    }
}

/// The mattes of all subjects.
pub struct Mattes<'a> {
    all: Vec<(&'a Subject, Option<Matte>)>,
    /// Pixels of a token across and down.
    step: [usize; 2],
}

impl<'a> Mattes<'a> {
    /// Opens those that are files.
    ///
    /// # Errors
    /// Where one cannot be opened.
    pub fn open(studio: &Studio, subjects: &'a [Subject]) -> Result<Self, WanError> {
        let open = |subject: &'a Subject| {
            let file = match &subject.matte {
                SubjectMatte::File(path) => Some(Matte::open(path)?),
                SubjectMatte::Clip(_) => None,
            };
            Ok((subject, file))
        };
        Ok(Self {
            all: subjects.iter().map(open).collect::<Result<_, WanError>>()?,
            step: studio.step(),
        })
    }

    /// For each token of latent frame `latent` of `shot` the subjects that it belongs
    /// to, as the sum of 1, 2, 4, …: those whose mattes are above 0 anywhere in its
    /// pixels and frames.
    ///
    /// # Errors
    /// Where a matte cannot be read.
    pub fn members(
        &mut self,
        latent: usize,
        shot: &Shot,
        look: &mut Look<'_, '_>,
        fit: Fit,
    ) -> Result<Part, WanError> {
        let [across, down] = self.step;
        let (columns, rows) = (fit.canvas[0] / across, fit.canvas[1] / down);
        let mut tokens = vec![0u32; rows * columns];
        for (i, (subject, file)) in self.all.iter_mut().enumerate() {
            for index in Shot::of_latent(latent).filter(|i| *i < shot.frames.count()) {
                let frame = shot.frame(index).saturating_add(shot.over.unwrap_or(0));
                let covered = match (&mut *file, &subject.matte) {
                    (Some(file), _) => file.covered(frame, fit)?,
                    (None, SubjectMatte::Clip(clip)) => look.subject(*clip, frame)?,
                    (None, SubjectMatte::File(_)) => continue,
                };
                for y in 0..fit.canvas[1] {
                    for (x, value) in covered.row(y).iter().enumerate() {
                        if *value > 0. {
                            tokens[y / down * columns + x / across] |= 1 << i;
                        }
                    }
                }
            }
        }
        Ok(tokens.into_iter().map(|bits| bits as f32).collect())
    }
}

/// The subject that a reference of `owner` (0 for none, 1 for the first) belongs to, as
/// [`Mattes::members`] tells it.
pub fn bits(owner: usize) -> u32 {
    match owner {
        0 => 0,
        owner => 1 << (owner - 1),
    }
}
