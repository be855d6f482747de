//! The edit list: what each place plays at each time. All that is needed,
//! beside the plate, to make any frame.

use serde::{Deserialize, Serialize};

use super::camera::Camera;
use super::exposure::Exposure;

/// A switch time that never comes: the cell does not take part in the event.
pub const NEVER: u8 = u8::MAX;

/// Frames that a change takes at most, so that switch times fit their bytes.
pub(super) const LONGEST: usize = 120;

/// What an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The whole picture changes clip, each cell at its own moment.
    Anchor,
    /// Some cells play another clip for a while.
    Aside,
    /// Some cells play another clip from the first frame on: nothing comes before,
    /// so that this is no cut.
    Standing,
}

/// A change of clip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Output index (0 is the first output frame) at which switches begin.
    pub at: u32,
    /// Plate index less output index of the clip that begins.
    pub offset: i32,
    /// Largest switch time in `switch`, [`NEVER`] apart.
    pub window: u8,
    /// For each cell, row by row, after how many frames from `at` it switches;
    /// [`NEVER`] where it does not.
    pub switch: Vec<u8>,
    /// What the event is for.
    pub kind: Kind,
}

/// What each cell of a coarse grid plays at each output frame. Indices count
/// from 0 at the first frame of the plate and of the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EditList {
    /// Columns of the grid.
    pub cols: u16,
    /// Rows of the grid.
    pub rows: u16,
    /// Frames of the plate.
    pub plate_frames: u32,
    /// Frames of the output.
    pub out_frames: u32,
    /// Number of the first output frame.
    pub first_out: i32,
    /// Number of the first plate frame.
    pub first_plate: i32,
    /// Plate index less output index before any event.
    pub offset: i32,
    /// The events in order of `at`. A later event is laid over an earlier one.
    pub events: Vec<Event>,
    /// Output indices `[from, to)` that must be the plate's frames exactly.
    pub kept: Vec<(u32, u32)>,
    /// Whether the pixels outside the matte are the plate's.
    pub matted: bool,
    /// Whether the first frame follows the last.
    pub closed: bool,
    /// Warp both sides of a switch toward each other.
    pub warp: bool,
    /// Share the lowest frequencies between clips.
    pub low_band: bool,
    /// Where the camera looks, if its motion is taken out and put back. The grid
    /// then lies on the steadied picture.
    pub camera: Option<Camera>,
    /// The exposure of frames, if its drift is taken out and put back.
    pub exposure: Option<Exposure>,
    /// What the hold-out plays: from which output index on, and the plate index less
    /// output index. In order; empty where nothing is held out.
    pub held: Vec<(u32, i32)>,
    /// Parts that were decided again, later ones over earlier ones.
    pub layers: Vec<Layer>,
}

/// A part of a take that was decided again. Outside of it the take is made from what
/// lies beneath.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Its output indices `[from, to)`.
    pub from: u32,
    /// See `from`.
    pub to: u32,
    /// Where in the picture it is.
    pub area: Area,
    /// What plays there, and beneath all else that there is; without layers.
    pub list: EditList,
}

/// Where in the picture a layer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Area {
    /// Everywhere.
    All,
    /// On these cells of the grid: how much, from 0 to 255, and smoothly between.
    Cells(Vec<u8>),
    /// Through the matte of the part that is made again, by its place in the settings.
    Matte(u32),
}

impl Event {
    /// Output index at which the last cell switches; that at which it begins where
    /// none does.
    pub(super) fn over(&self) -> usize {
        let last = self.switch.iter().filter(|s| **s != NEVER).max();
        self.at as usize + usize::from(last.copied().unwrap_or(0))
    }
}

impl EditList {
    /// The list that output index `t` is made from: the last layer's that has it, or
    /// this one.
    pub fn at(&self, t: u32) -> &Self {
        let has = |l: &&Layer| (l.from..l.to).contains(&t);
        let layer = self.layers.iter().rev().find(has);
        layer.map_or(self, |l| &l.list)
    }

    /// Plate index less output index of what is held out at output index `t`.
    pub fn held_at(&self, t: u32) -> Option<i32> {
        let begun = self.held.iter().rev().find(|h| h.0 <= t);
        begun.map(|h| h.1)
    }

    /// For output index `t`, which clip each cell plays: 0 before any event,
    /// `k + 1` after event `k`.
    pub fn labels(&self, t: u32) -> Vec<u16> {
        let mut labels = vec![0u16; usize::from(self.cols) * usize::from(self.rows)];
        for (k, event) in self.events.iter().enumerate() {
            if event.at > t {
                continue;
            }
            for (label, &s) in labels.iter_mut().zip(&event.switch) {
                if s != NEVER && t - event.at >= u32::from(s) {
                    *label = k as u16 + 1;
                }
            }
        }
        labels
    }

    /// Plate index less output index of clip `label`.
    pub fn offset_of(&self, label: u16) -> i32 {
        match label.checked_sub(1) {
            None => self.offset,
            Some(k) => self.events[usize::from(k)].offset,
        }
    }
}
