//! Frames from latents, a run of them at a time.

use std::ops::Range;

use super::axis::Axis;
use super::making::{Decoded, Making, held, no_part};
use crate::device::Task;
use crate::engine::wan::decoder::Decoder;
use crate::engine::wan::error::WanError;
use crate::engine::wan::packed::{Laid, unpacked};
use crate::engine::wan::shot::{STEP, Shot};

/// Latents that are decoded around a tile and left out again: the decoder looks about so
/// far, beside its attention over all that it is given.
const AROUND: usize = 8;

impl Making<'_, '_> {
    /// The plate's part of output frame `frame` of shot `shot`: RGB of -1 to 1, row by
    /// row.
    ///
    /// # Errors
    /// As of [`part`](Self::part).
    pub fn frame(&self, shot: usize, frame: i32, task: Task<'_>) -> Result<Vec<f32>, WanError> {
        let (exposed, scheme) = self.of(shot)?;
        let index = frame - exposed.shot.frames.first;
        let index = usize::try_from(index).map_err(|_| no_part())?;
        let latent = index.div_ceil(STEP);
        let run = scheme.runs.parts_of(&(latent..latent + 1)).start;
        let key = self.frame_key(shot, run, index);
        let kept = || unpacked(&self.keep.get(&key)?, scheme.fit.content);
        if let Some(found) = kept() {
            return Ok(found);
        }
        let mut decoding = held(&self.bench.decoding, task)?;
        // Another may have come past it meanwhile.
        if let Some(found) = kept() {
            return Ok(found);
        }
        if decoding.run != Some(self.run_key(shot, run)) {
            self.decode(shot, run, &mut decoding, task)?;
        }
        let mut frames = decoding.frames.iter();
        let found = frames.find(|(at, _)| *at == index);
        let found = found.and_then(|(_, bytes)| unpacked(bytes, scheme.fit.content));
        found.ok_or_else(no_part)
    }

    /// Decodes run `run` into `decoded` and keeps its frames. Where the picture is refined it is decoded in the tiles of the refinement, each for
    /// itself, their overlaps laid over one another as the latents' are.
    pub(super) fn decode(
        &self,
        shot: usize,
        run: usize,
        decoded: &mut Decoded,
        task: Task<'_>,
    ) -> Result<(), WanError> {
        *decoded = Decoded::default();
        let (_, scheme) = self.of(shot)?;
        let range = scheme.decoded(run);
        let latents = self.latents(shot, range.clone(), task)?;
        // While frames are decoded the transformer leaves memory.
        *held(&self.bench.sampling, task)? = None;
        let decoder = Decoder::load(self.studio, task)?;
        let (_, _, _, rows, columns) = latents.dims5()?;
        let (rows, columns) = match &scheme.grid {
            Some(grid) => (grid.rows.clone(), grid.columns.clone()),
            None => (Axis::whole(rows), Axis::whole(columns)),
        };
        let factor = self.studio.vae().spatial_factor();
        let frames = self.frames_of(shot, run)?;
        let first = frames.first().copied().unwrap_or(0);
        let mut pictures: Vec<Laid> = frames.iter().map(|_| Laid::new(scheme.fit)).collect();
        for (i, down) in rows.parts.iter().enumerate() {
            for (j, across) in columns.parts.iter().enumerate() {
                let (y, down_weights) = around(&rows, i, down, factor);
                let (x, across_weights) = around(&columns, j, across, factor);
                let tile = latents
                    .narrow(3, y.start, y.len())?
                    .narrow(4, x.start, x.len())?;
                let weights = [down_weights, across_weights];
                let from = (range.start, first);
                decoder.decode_from(&tile, from, task, &mut |frame, pixels| {
                    let at = frames.binary_search(&frame);
                    if let Some(picture) = at.ok().and_then(|at| pictures.get_mut(at)) {
                        let place = [x.start * factor, y.start * factor];
                        picture.lay(&pixels, place, &weights);
                    }
                })?;
            }
        }
        for (frame, picture) in frames.iter().zip(pictures) {
            let bytes = picture.packed();
            self.keep.lend(&self.frame_key(shot, run, *frame), &bytes);
            decoded.frames.push((*frame, bytes));
        }
        decoded.run = Some(self.run_key(shot, run));
        Ok(())
    }

    /// The frames of the shot that run `run` is for, as the shot counts.
    pub(super) fn frames_of(&self, shot: usize, run: usize) -> Result<Vec<usize>, WanError> {
        let (exposed, scheme) = self.of(shot)?;
        let part = scheme.runs.parts.get(run).ok_or_else(no_part)?;
        let shot = &exposed.shot;
        let indices = part.clone().flat_map(Shot::of_latent);
        let there = indices.filter(|i| *i < shot.frames.count());
        Ok(there
            .filter(|i| shot.made.contains(shot.frame(*i)))
            .collect())
    }

    fn run_key(&self, shot: usize, run: usize) -> blake3::Hash {
        self.key("run", shot, run, &self.latents.shown)
    }

    pub(super) fn frame_key(&self, shot: usize, run: usize, frame: usize) -> blake3::Hash {
        let run = self.run_key(shot, run);
        self.key("frame", shot, frame, run.as_bytes())
    }
}

/// Part `part` of `axis` with what is decoded around it for its own sake, and how much
/// each pixel of that counts, `factor` to a latent.
pub(crate) fn around(
    axis: &Axis,
    part: usize,
    own: &Range<usize>,
    factor: usize,
) -> (Range<usize>, Vec<f32>) {
    let length = axis.parts.last().map_or(own.end, |p| p.end);
    let all = own.start.saturating_sub(AROUND)..(own.end + AROUND).min(length);
    let pixels = axis.clone().times(factor);
    let weights = (all.start * factor..all.end * factor).map(|at| pixels.weight(part, at));
    (all, weights.collect())
}
