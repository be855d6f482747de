//! Which of the model's tokens each subject's matte touches.

use std::path::Path;

use super::error::WanError;
use super::fit::Fit;
use super::look::Look;
use super::settings::{Subject, SubjectMatte};
use super::shot::{STEP, Shot};
use super::studio::Studio;
use crate::device::Task;
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

/// For each token of `shot`, latent frames of references first, the bits of the
/// subjects that it belongs to: those whose mattes are above 0 anywhere in its pixels
/// and frames. A reference's tokens belong to the subject in `owners` (0 for none, 1 for
/// the first).
///
/// # Errors
/// Where a matte cannot be read.
pub fn members(
    studio: &Studio,
    subjects: &[Subject],
    owners: &[usize],
    shot: &Shot,
    look: &mut Look<'_, '_>,
    fit: Fit,
    task: Task<'_>,
) -> Result<Vec<u32>, WanError> {
    let [across, down] = studio.step();
    let (columns, rows) = (fit.canvas[0] / across, fit.canvas[1] / down);
    let frames = shot.latents();
    let per = rows * columns;
    let mut made = vec![0u32; frames * per];
    for (i, subject) in subjects.iter().enumerate() {
        let mut file = match &subject.matte {
            SubjectMatte::File(path) => Some(Matte::open(path)?),
            SubjectMatte::Clip(_) => None,
        };
        for index in 0..shot.frames.count() {
            task.step("Reading the mattes", index, shot.frames.count())?;
            let frame = shot.frame(index).saturating_add(shot.over.unwrap_or(0));
            let covered = match (&mut file, &subject.matte) {
                (Some(file), _) => file.covered(frame, fit)?,
                (None, SubjectMatte::Clip(clip)) => look.subject(*clip, frame)?,
                (None, SubjectMatte::File(_)) => continue,
            };
            let tokens = &mut made[index.div_ceil(STEP) * per..][..per];
            for y in 0..fit.canvas[1] {
                for (x, value) in covered.row(y).iter().enumerate() {
                    if *value > 0. {
                        tokens[y / down * columns + x / across] |= 1 << i;
                    }
                }
            }
        }
    }
    let owned = owners.iter().flat_map(|owner| {
        let bits = if *owner == 0 { 0 } else { 1 << (owner - 1) };
        std::iter::repeat_n(bits, per)
    });
    Ok(owned.chain(made).collect())
}
