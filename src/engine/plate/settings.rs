//! What the artist chooses of the plate engine.

use serde::{Deserialize, Serialize};

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
        }
    }
}

impl Settings {
    /// A text that differs where the settings do.
    pub fn key(&self) -> String {
        format!("{self:?}")
    }
}
