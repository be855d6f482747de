//! What the artist chooses of the plate engine.

use serde::{Deserialize, Serialize};

use crate::engine::EngineError;
use crate::frame::{FrameList, FrameListError, FrameRange};

/// Settings of the plate engine. The defaults are those of the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Another seed, another take.
    pub seed: u64,
    /// From 0 (long clips, safest cuts) to 1 (short clips, most new).
    pub novelty: f64,
    /// How many plans are made; the best is kept. At least 1.
    pub plans: u32,
    /// Whether both sides of a switch are warped toward each other.
    pub warp: bool,
    /// Whether the lowest frequencies are shared between clips.
    pub low_band: bool,
    /// Whether the camera's motion is taken out of the plate before anything is
    /// decided, and put back on what is made.
    pub steady: Steady,
    /// Plate frames that are shown nowhere but in their own places, as an artist
    /// writes them (`1010-1014,1050`); none where empty.
    pub leave_out: String,
}

/// When a plate is steadied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Steady {
    /// Where its camera moves, and not so far that frames hardly overlap.
    #[default]
    Auto,
    /// Wherever its camera can be followed.
    On,
    /// Never.
    Off,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            novelty: 0.5,
            plans: 6,
            warp: true,
            low_band: true,
            steady: Steady::Auto,
            leave_out: String::new(),
        }
    }
}

impl Settings {
    /// For each frame of `plate` whether it is left out; empty where none is.
    ///
    /// # Errors
    /// Where the list is none.
    pub(super) fn left_out(&self, plate: FrameRange) -> Result<Vec<bool>, EngineError> {
        if self.leave_out.trim().is_empty() {
            return Ok(Vec::new());
        }
        let list: FrameList = self.leave_out.parse().map_err(|e: FrameListError| {
            EngineError::Request(format!("frames to leave out: {e}"))
        })?;
        Ok(plate.iter().map(|f| list.contains(f)).collect())
    }

    /// A text that differs where the settings do.
    pub fn key(&self) -> String {
        format!("{self:?}")
    }
}
