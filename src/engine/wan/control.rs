//! What VACE's control branch reads (Jiang et al., 2025, section 3.2): latents of what
//! stays and of what is to be changed, then the mask, its squares of pixels as channels.

use std::sync::Arc;

use candle_core::Tensor;

use super::encode::Encoder;
use super::error::WanError;
use super::fit::Fit;
use super::look::{Look, Seen};
use super::settings::Way;
use super::shot::Shot;
use super::track::Part;
use crate::device::ops::FeatureMap;

/// What stays of frame `index` of `shot` and what of it is to be changed.
///
/// # Errors
/// Where the frame cannot be had.
pub fn pictures(
    way: Way,
    shot: &Shot,
    index: usize,
    look: &mut Look<'_, '_>,
) -> Result<[Option<FeatureMap>; 2], WanError> {
    let mut seen = look.at(shot, index)?;
    let mask = Mask::of(way, &seen);
    let stays = match way {
        Way::Follow => seen.behind.take(),
        Way::Restyle => None,
        Way::Frames | Way::Fill => seen.frame.take(),
    };
    // What a fill is to replace is hidden: it would come through.
    let changes = match way {
        Way::Follow => seen.frame.take(),
        Way::Frames | Way::Fill | Way::Restyle => None,
    };
    Ok([mask.part(stays, false), mask.part(changes, true)])
}

/// Of reference pictures, which stand before the first frame: they stay, and nothing
/// is to be changed. [1, channels, references, rows, columns], if there are any, in the
/// order in which they were given: as by VACE's authors. diffusers puts each before the
/// last, and so has several the other way round.
///
/// # Errors
/// Where the VAE cannot be run.
pub fn of_references(
    encoder: &mut Encoder<'_>,
    references: &[FeatureMap],
    fit: Fit,
) -> Result<Option<Tensor>, WanError> {
    let square = encoder.studio.vae().spatial_factor().pow(2);
    let mut all = Vec::new();
    for reference in references {
        let latent = encoder.still(reference, fit)?;
        let z = latent.dim(1)?;
        all.push(latent.pad_with_zeros(1, 0, z + square)?);
    }
    match all.is_empty() {
        true => Ok(None),
        false => Ok(Some(Tensor::cat(&all, 2)?)),
    }
}

/// The pixels of the mask of latent frame `latent`, `by` × `by` of them as channels: of
/// the nearest frame.
///
/// # Errors
/// Where the matte cannot be had.
pub fn mask(
    way: Way,
    shot: &Shot,
    latent: usize,
    by: usize,
    look: &mut Look<'_, '_>,
    fit: Fit,
) -> Result<Part, WanError> {
    let (count, latents) = (shot.count(), shot.latents());
    let index = (2 * latent + 1) * count / (2 * latents);
    let [columns, rows] = fit.canvas;
    Ok(match Mask::at(way, shot, index, look)? {
        Mask::Some(mask) => squares(&mask, by),
        Mask::Everywhere(all) => Arc::from(vec![f32::from(all); rows * columns]),
    })
}

/// 1 where a frame is to be made.
enum Mask {
    Everywhere(bool),
    Some(FeatureMap),
}

impl Mask {
    fn of(way: Way, seen: &Seen) -> Self {
        match (way, &seen.frame, &seen.covered) {
            (Way::Frames, Some(_), _) => Self::Everywhere(false),
            (Way::Fill | Way::Follow, _, Some(covered)) => Self::Some(covered.clone()),
            _ => Self::Everywhere(true),
        }
    }

    /// The same of frame `index` of `shot`, reading nothing but its matte.
    fn at(way: Way, shot: &Shot, index: usize, look: &mut Look<'_, '_>) -> Result<Self, WanError> {
        let covered = match way {
            Way::Fill | Way::Follow => look.covered(shot, index)?,
            Way::Frames | Way::Restyle => None,
        };
        Ok(match (way, covered) {
            (Way::Frames, _) => Self::Everywhere(shot.plate(index).is_none()),
            (_, Some(covered)) => Self::Some(covered),
            (_, None) => Self::Everywhere(true),
        })
    }

    /// What shows of `frame` inside the mask, or outside it; the rest is 0.
    fn part(&self, frame: Option<FeatureMap>, inside: bool) -> Option<FeatureMap> {
        match self {
            Self::Everywhere(all) => frame.filter(|_| *all == inside),
            Self::Some(mask) => frame.map(|mut frame| {
                for y in 0..frame.height() {
                    let pixels = frame.row_mut(y).chunks_exact_mut(3);
                    for (pixel, m) in pixels.zip(mask.row(y)) {
                        if (*m > 0.) != inside {
                            pixel.fill(0.);
                        }
                    }
                }
                frame
            }),
        }
    }
}

/// [by · by, rows, columns]
fn squares(mask: &FeatureMap, by: usize) -> Part {
    let (rows, columns) = (mask.height() / by, mask.width() / by);
    let mut out = Vec::with_capacity(rows * columns * by * by);
    for cell in 0..by * by {
        for y in 0..rows {
            let row = mask.row(y * by + cell / by);
            out.extend((0..columns).map(|x| row[x * by + cell % by]));
        }
    }
    Arc::from(out)
}
