//! Latents drawn anew at the size of the output, tile by tile.

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::enlarge::{enlarged, fused};
use super::making::{Making, no_part};
use crate::device::Task;
use crate::engine::wan::conditions::Given;
use crate::engine::wan::error::WanError;
use crate::engine::wan::sampling::Scene;
use crate::engine::wan::settings::Settings;
use crate::engine::wan::shot::{STEP, Shot};
use crate::engine::wan::studio::Kind;
use crate::engine::wan::track::Track;
use crate::sampler::{Place, noise};

/// Noise of a refinement is drawn from a seed so far from that of the first pass: at one
/// place the two have nothing in common.
const REFINED: u64 = 0x9e37_79b9_7f4a_7c15;

impl Making<'_> {
    /// Tile `tile` refined, [1, z, frames, rows, columns]: begun from the latents that
    /// were made first, enlarged, with the noise of a late step (as in SDEdit, Meng et
    /// al., 2022), and with what of these is coarse put back.
    pub(super) fn tile(
        &self,
        shot: usize,
        tile: usize,
        again: bool,
        task: Task<'_>,
    ) -> Result<Tensor, WanError> {
        let key = self.key("tile", shot, tile, &self.latents.name);
        if let Some(found) = self.kept(&key).filter(|_| !again) {
            return Ok(found.tensor()?);
        }
        let (exposed, scheme) = self.of(shot)?;
        let grid = scheme.grid.as_ref().ok_or_else(no_part)?;
        let [t, i, j] = grid.at(tile);
        let part = |parts: &[Range<usize>], at: usize| parts.get(at).cloned().ok_or_else(no_part);
        let times = part(&grid.times.parts, t)?;
        let rows = part(&grid.rows.parts, i)?;
        let columns = part(&grid.columns.parts, j)?;
        let before = self.unrefined(shot, times.clone(), task)?;
        let prior = enlarged(&before, grid.scales, rows.clone(), columns.clone())?;
        let shape = [prior.dim(1)?, times.len(), rows.len(), columns.len()];
        let place = Place {
            frame: exposed.place + times.start as i32,
            row: rows.start as i32,
            column: columns.start as i32,
        };
        let seed = self.settings.seed.wrapping_add(REFINED);
        let noise = noise(seed, place, shape, &Device::Cpu)?;
        let places: Vec<usize> = (0..times.len()).collect();
        let given = self.given_tile(shot, &exposed.shot, &prior)?;
        let scene = Scene {
            given: &given,
            places: &places,
            anchors: None,
            noise: &noise,
        };
        let settings = Settings {
            strength: self.settings.refine_strength,
            ..self.settings.unrefined()
        };
        let loaded = self.settings.unrefined();
        let made = self.sample(&loaded, task, |s| s.make(&scene, &settings, task))?;
        let made = fused(&made.latents, &prior, grid.reach)?;
        self.put(&key, &made)?;
        Ok(made)
    }

    /// What the model is given of a tile whose latents were `prior` before: these to
    /// start from and, where it knows nothing but frames that follow a given one, the
    /// first of them.
    fn given_tile(&self, shot: usize, whole: &Shot, prior: &Tensor) -> Result<Given, WanError> {
        let of_shot = self.given(shot)?;
        let (_, _, frames, rows, columns) = prior.dims5()?;
        let all = |count: usize| (0..count as u32).collect::<Vec<_>>();
        let channels = match (self.studio.kind(), &of_shot.channels) {
            (Kind::Channels, Some(own)) => {
                let mut there = vec![0.; frames];
                there[0] = 1.;
                let mask = Track::uniform(&there, [rows, columns])?;
                // Where nothing is given the model has what nothing comes to.
                let blank = (0..whole.latents()).find(|l| {
                    let mut frames = Shot::of_latent(*l);
                    frames.all(|i| whole.plate(i).is_none())
                });
                let blank = match blank {
                    Some(blank) => own.select(&[blank])?.narrow(1, STEP, prior.dim(1)?)?,
                    None => prior.narrow(2, 0, 1)?.zeros_like()?,
                };
                let blank = blank.mean_keepdim((3, 4))?;
                let first = prior.narrow(2, 0, 1)?;
                let blank = blank.broadcast_as(first.shape())?;
                let latents = Tensor::cat(&[&first, &blank.contiguous()?], 2)?;
                let at = (0..frames).map(|i| u32::from(i > 0)).collect();
                let latents = Track::new(&latents, at)?;
                Some(Track::joined(&[&mask, &mask, &mask, &mask, &latents])?)
            }
            _ => None,
        };
        Ok(Given {
            shot: whole.clone(),
            references: 0,
            channels,
            kept: None,
            control: None,
            control_references: None,
            start: Some(Track::new(prior, all(frames))?),
            clip: of_shot.clip.clone(),
            members: None,
        })
    }
}
