//! Frames too large to be encoded at once: the levels tile by tile, each over some time,
//! then what follows of all tiles together. To the same bits as the whole.

use super::area::{Area, tiles};
use super::encoder::{LevelsPast, RestPast, TilePlan};
use super::{Tiling, VaeEncoder, VaeError, patched};
use crate::device::Task;
use crate::device::ops::FeatureMap;

/// A part of the picture, with what has to be read around it.
pub struct EncoderTile {
    area: Area,
    plan: TilePlan,
}

impl VaeEncoder {
    /// Tiles that make up frames of `height` × `width` pixels, whole multiples of those of
    /// a latent.
    pub fn tiles(&self, tiling: Tiling, [height, width]: [usize; 2]) -> Vec<EncoderTile> {
        let by = self.config.spatial_factor();
        let size = (height / by, width / by);
        let areas = tiles(tiling, size.0, size.1).into_iter();
        let tile = |area: Area| EncoderTile {
            plan: self.weights.plan(&area, size),
            area,
        };
        areas.map(tile).collect()
    }

    /// Begins with a video's part `tile`.
    pub fn begin_tile<'a>(&'a self, tile: &'a EncoderTile) -> TileEncoding<'a> {
        TileEncoding {
            encoder: self,
            tile,
            past: LevelsPast::default(),
        }
    }

    /// Begins with what follows when all tiles are there.
    pub fn begin_joined(&self) -> JoinedEncoding<'_> {
        JoinedEncoding {
            encoder: self,
            past: RestPast::default(),
        }
    }

    /// Where tiles of a picture of `height` × `width` pixels are laid, all zero.
    pub fn canvas(&self, [height, width]: [usize; 2]) -> FeatureMap {
        let by = self.config.spatial_factor();
        let channels = self.config.dim_mult.last().copied().unwrap_or(1) * self.config.base_dim;
        FeatureMap::zeros(height / by, width / by, channels, 0)
    }
}

impl EncoderTile {
    /// Lays `features`, which a [`TileEncoding`] of this tile gave, onto `canvas`.
    pub fn lay(&self, features: &FeatureMap, canvas: &mut FeatureMap) {
        let channels = canvas.channels();
        for y in 0..features.height().min(self.area.rows.len()) {
            let row = &mut canvas.row_mut(self.area.rows.start + y);
            let to = &mut row[self.area.columns.start * channels..];
            let from = features.row(y);
            to[..from.len()].copy_from_slice(from);
        }
    }
}

/// A part of a video on its way into latents.
pub struct TileEncoding<'a> {
    encoder: &'a VaeEncoder,
    tile: &'a EncoderTile,
    past: LevelsPast,
}

impl TileEncoding<'_> {
    /// Takes the next frame, whole, as [`push`](super::Encoding::push) does; gives what
    /// the levels come to in the tile for the first frame and then for every fourth.
    ///
    /// # Errors
    /// Where the frame has a size that cannot be encoded, or the work is to stop.
    pub fn push(
        &mut self,
        frame: &FeatureMap,
        task: Task<'_>,
    ) -> Result<Option<FeatureMap>, VaeError> {
        self.encoder.check(frame)?;
        let patch = self.encoder.config.patch();
        let input = self.tile.plan.input();
        let pixels = input.each(|r| r.start * patch..r.end * patch);
        if pixels.rows.end > frame.height() || pixels.columns.end > frame.width() {
            return Err(VaeError::Size(format!(
                "a frame of {} × {} is smaller than the video's: give frames of one size",
                frame.width(),
                frame.height()
            )));
        }
        let part = frame.crop(pixels.rows, pixels.columns);
        let part = patched(&part, patch);
        let weights = &self.encoder.weights;
        let plan = Some(&self.tile.plan);
        Ok(weights.levels(&part, plan, &mut self.past, task.cancel)?)
    }
}

/// A video whose tiles are laid, on its way into latents.
pub struct JoinedEncoding<'a> {
    encoder: &'a VaeEncoder,
    past: RestPast,
}

impl JoinedEncoding<'_> {
    /// Takes what all tiles came to; gives the latent, normalised as the transformer
    /// knows it.
    ///
    /// # Errors
    /// Where the work is to stop.
    pub fn push(&mut self, features: FeatureMap, task: Task<'_>) -> Result<FeatureMap, VaeError> {
        let weights = &self.encoder.weights;
        let moments = weights.rest(features, &mut self.past, task.cancel)?;
        Ok(self.encoder.latent(&moments))
    }
}
