//! Latents drawn anew at the size of the output, tile by tile.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use super::enlarge::{enlarged, fused};
use super::making::{Making, no_part};
use crate::device::Task;
use crate::engine::wan::conditions::{Given, Role, Told};
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

impl Making<'_, '_> {
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
        let (given, told) = self.given_tile(shot, &exposed.shot, &prior, task)?;
        let scene = Scene {
            given: &given,
            told: &told,
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
    fn given_tile(
        &self,
        shot: usize,
        whole: &Shot,
        prior: &Tensor,
        task: Task<'_>,
    ) -> Result<(Given, Told), WanError> {
        let (_, z, frames, rows, columns) = prior.dims5()?;
        let mut told = Told(vec![(Role::Start, prior.clone())]);
        if self.studio.kind() == Kind::Channels {
            let side = |value: f64, count: usize| -> candle_core::Result<Tensor> {
                let shape = (1, STEP, count, rows, columns);
                Tensor::ones(shape, DType::F32, &Device::Cpu)?.affine(value, 0.)
            };
            let first = prior.narrow(2, 0, 1)?;
            let (mut there, mut pictures) = (vec![side(1., 1)?], vec![first.clone()]);
            if frames > 1 {
                // Where nothing is given the model has what nothing comes to.
                let blank = (0..whole.latents()).find(|l| {
                    let mut frames = Shot::of_latent(*l);
                    frames.all(|i| whole.plate(i).is_none())
                });
                let blank = match blank {
                    Some(blank) => self.told(shot, &[blank], task)?,
                    None => Told::default(),
                };
                let blank = match blank.get(Role::Pictures) {
                    Some(blank) => blank.mean_keepdim((3, 4))?,
                    None => first.narrow(3, 0, 1)?.narrow(4, 0, 1)?.zeros_like()?,
                };
                let shape = (1, z, frames - 1, rows, columns);
                there.push(side(0., frames - 1)?);
                pictures.push(blank.broadcast_as(shape)?.contiguous()?);
            }
            told.0.push((Role::There, Tensor::cat(&there, 2)?));
            told.0.push((Role::Pictures, Tensor::cat(&pictures, 2)?));
        }
        let given = Given {
            shot: whole.clone(),
            references: Vec::new(),
            roles: Vec::new(),
            track: Track::default(),
            control_references: None,
            clip: self.given(shot)?.clip.clone(),
        };
        Ok((given, told))
    }
}
