//! What VACE's control branch reads (Jiang et al., 2025, section 3.2): latents of what
//! stays and of what is to be changed, then the mask, its squares of pixels as channels.

use candle_core::{Result as TensorResult, Tensor};

use super::array::stacked;
use super::encode::Encoder;
use super::error::WanError;
use super::fit::Fit;
use super::look::{Look, Seen};
use super::settings::Way;
use super::shot::Shot;
use super::track::Track;
use crate::device::ops::FeatureMap;

/// Of a whole shot: z channels of what stays, z of what is to be changed, and those of
/// the mask.
///
/// # Errors
/// Where a frame cannot be had or the VAE cannot be run.
pub fn track(
    encoder: &mut Encoder<'_>,
    way: Way,
    shot: &Shot,
    look: &mut Look<'_, '_>,
    fit: Fit,
) -> Result<Track, WanError> {
    let mut pictures = encoder.tracks(shot.count(), 2, fit, &mut |i| {
        let mut seen = look.at(shot, i)?;
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
        Ok(vec![mask.part(stays, false), mask.part(changes, true)])
    })?;
    let mask = masks(encoder, way, shot, look, fit)?;
    pictures.push(mask);
    Ok(Track::joined(&pictures.iter().collect::<Vec<_>>())?)
}

/// Of reference pictures, which stand before the first frame: they stay, and nothing
/// is to be changed. [1, channels, references, rows, columns], if there are any.
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

/// The pixels of the masks, `by` × `by` of them as channels: of each latent frame the
/// nearest frame's.
fn masks(
    encoder: &Encoder<'_>,
    way: Way,
    shot: &Shot,
    look: &mut Look<'_, '_>,
    fit: Fit,
) -> Result<Track, WanError> {
    let by = encoder.studio.vae().spatial_factor();
    let (count, latents) = (shot.count(), shot.latents());
    let [columns, rows] = fit.canvas;
    // Those that are everywhere alike are kept once each.
    let (mut distinct, mut at, mut alike) = (Vec::new(), Vec::new(), [None; 2]);
    for latent in 0..latents {
        let index = (2 * latent + 1) * count / (2 * latents);
        let number = distinct.len() as u32;
        at.push(match Mask::of(way, &look.at(shot, index)?) {
            Mask::Some(mask) => {
                distinct.push(squares(&mask, by)?);
                number
            }
            Mask::Everywhere(all) => match alike[usize::from(all)] {
                Some(known) => known,
                None => {
                    let value = f32::from(all);
                    let mask = FeatureMap::zeros(rows, columns, 1, 0).map(0, |_| value);
                    distinct.push(squares(&mask, by)?);
                    alike[usize::from(all)] = Some(number);
                    number
                }
            },
        });
    }
    Ok(Track::new(&Tensor::cat(&distinct, 2)?, at)?)
}

/// [1, by · by, 1, rows, columns]
fn squares(mask: &FeatureMap, by: usize) -> TensorResult<Tensor> {
    let pixels = stacked(std::slice::from_ref(mask))?;
    let (rows, columns) = (mask.height() / by, mask.width() / by);
    pixels
        .reshape((1, rows, by, columns, by))?
        .permute((2, 4, 0, 1, 3))?
        .reshape((1, by * by, 1, rows, columns))?
        .contiguous()
}
