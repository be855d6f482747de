//! What is learned of the plate: a small copy of every frame, on the grid that
//! decisions are made on. A frame is read once, reduced and forgotten, so that
//! memory does not grow with the size of the frames.

use serde::{Deserialize, Serialize};

use super::camera::{self, View, Watch};
use super::cells::{Light, UNIT, finest, grid, hash, occupied};
use super::settings::Steady;
use super::steadied::{Kept, Steadied};
use crate::device::{self, Task};
use crate::engine::{EngineError, Sources};
use crate::frame::{Picture, PlateInfo};

/// Largest mean difference of two frames, in 1/4096, at which the second may be
/// a copy of the first (footage of a lower rate in a container of a higher
/// one), and by how much it must be less than is usual for the plate.
const SAME: i64 = 4;
const UNUSUAL: i64 = 8;

/// What is learned of a plate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Analysis {
    /// The plate.
    pub info: PlateInfo,
    /// Columns of the grid.
    pub cols: usize,
    /// Rows of the grid.
    pub rows: usize,
    /// Frame by frame, row by row, three values a cell: the mean of the cell in
    /// the perceptual encoding, 4096 for white.
    pub colour: Vec<i16>,
    /// Frame by frame, one a cell: whether any of the cell is matted. Empty
    /// where there is no matte.
    pub matte: Vec<bool>,
    /// A hash of each frame's coarse picture: tells whether a frame fetched
    /// later is the one that was analysed. See
    /// [`fingerprint`](super::fingerprint).
    pub fingerprints: Vec<u64>,
    /// Indices of frames that are (nearly) copies of the frame before.
    pub duplicates: Vec<u32>,
    /// Indices of frames that hold values which are not finite; such values
    /// were left out of the means.
    pub not_finite: Vec<u32>,
    /// The plate with its camera's motion taken out, where the camera moves and
    /// can be followed.
    pub steadied: Option<Steadied>,
}

impl Analysis {
    /// Number of cells of the grid.
    pub fn cells(&self) -> usize {
        self.cols * self.rows
    }

    /// The plate with its camera's motion taken out, if it is to be.
    pub(super) fn steadied(&self, steady: Steady) -> Option<&Steadied> {
        self.steadied.as_ref().filter(|s| match steady {
            Steady::Auto => camera::moves(s.travel),
            Steady::On => true,
            Steady::Off => false,
        })
    }

    /// Whether the plate is steadied under `steady`.
    pub fn is_steadied(&self, steady: Steady) -> bool {
        self.steadied(steady).is_some()
    }

    /// The cells as the plate has them, or steadied.
    pub(super) fn colour(&self, steady: bool) -> &[i16] {
        match &self.steadied {
            Some(s) if steady => &s.colour,
            _ => &self.colour,
        }
    }

    /// The matte as the plate has it, or steadied.
    pub(super) fn matte(&self, steady: bool) -> &[bool] {
        match &self.steadied {
            Some(s) if steady => &s.matte,
            _ => &self.matte,
        }
    }
}

/// What is learned of a frame by itself.
struct Frame {
    view: View,
    /// See [`Kept::take`].
    kept: Vec<i16>,
    /// On the grid of decisions.
    cells: Vec<i16>,
    finite: bool,
}

impl Frame {
    fn of(picture: &Picture, info: &PlateInfo) -> Self {
        let (cols, rows) = grid(info);
        let fine = finest(info);
        let light = Light::of(picture, info, cols * fine, rows * fine);
        Self {
            view: View::new(&light.encoded(info.transfer), cols * fine, UNIT),
            kept: Kept::reduced(&light, info),
            cells: light.pooled(fine).encoded(info.transfer),
            finite: light.finite,
        }
    }
}

pub(super) fn analyse(sources: &mut Sources<'_>, task: Task<'_>) -> Result<Analysis, EngineError> {
    let info = sources.plate.info().clone();
    let (cols, rows) = grid(&info);
    let n = info.range.count();
    let width = cols * rows * 3;
    let mut colour: Vec<i16> = Vec::with_capacity(n * width);
    let mut matte = Vec::new();
    let mut fingerprints = Vec::with_capacity(n);
    let (mut steps, mut not_finite) = (Vec::new(), Vec::new());
    let mut watch = Watch::new(&info);
    let mut kept = Kept::new(&info, sources.matte.is_some());
    let mut before = None;
    for (i, frame) in info.range.iter().enumerate() {
        task.step("Reading the plate", i, n)?;
        let picture = sources.plate.read(frame)?;
        // The camera is followed from frame to frame; beside that the next is reduced.
        let (learned, ()) = device::install(|| {
            rayon::join(
                || Frame::of(&picture, &info),
                || before.take().into_iter().for_each(|view| watch.take(view)),
            )
        });
        let Frame {
            view,
            kept: finer,
            cells,
            finite,
        } = learned;
        before = Some(view);
        kept.take(&finer);
        if !finite {
            not_finite.push(i as u32);
        }
        if i > 0 {
            let before = &colour[(i - 1) * width..];
            let sum: i64 = cells
                .iter()
                .zip(before)
                .map(|(a, b)| i64::from((i32::from(*a) - i32::from(*b)).abs()))
                .sum();
            steps.push(sum);
        }
        fingerprints.push(hash(&cells));
        colour.extend_from_slice(&cells);
        if let Some(reader) = sources.matte.as_deref_mut() {
            let picture = reader.read(frame)?;
            matte.extend(occupied(&picture, cols, rows));
            kept.take_matte(&picture);
        }
    }
    before.into_iter().for_each(|view| watch.take(view));
    task.check()?;
    let steadied = watch
        .poses()
        .map(|(poses, travel)| kept.steadied((&colour, &matte), &info, poses, travel));
    Ok(Analysis {
        cols,
        rows,
        colour,
        matte,
        fingerprints,
        duplicates: copies(&steps, width as i64),
        not_finite,
        steadied,
        info,
    })
}

/// Indices of the frames whose step from the frame before, summed over `width`
/// values, is next to nothing and unusual for the plate.
fn copies(steps: &[i64], width: i64) -> Vec<u32> {
    let mut sorted = steps.to_vec();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let most = (SAME * width).min(usual / UNUSUAL);
    (1..)
        .zip(steps)
        .filter(|(_, s)| **s <= most)
        .map(|(i, _)| i)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fifth_frame_repeated_is_found_and_a_quiet_plate_is_not_taken_for_it() {
        let steps: Vec<i64> = (1..30)
            .map(|i| if i % 5 == 0 { 20 } else { 9000 })
            .collect();
        assert_eq!(copies(&steps, 300), [5, 10, 15, 20, 25]);
        assert!(copies(&[200, 260, 180, 240], 300).is_empty());
        assert_eq!(copies(&[0, 0, 0], 300), [1, 2, 3]);
    }
}
