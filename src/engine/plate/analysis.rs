//! What is learned of the plate: a small copy of every frame, on the grid that
//! decisions are made on.

use serde::{Deserialize, Serialize};

use crate::device::Task;
use crate::engine::{EngineError, Sources};
use crate::frame::{Picture, PlateInfo};

/// Rows of the grid for plates at least as tall.
const ROWS: usize = 60;
/// Steps of the quantised perceptual encoding from black to white.
pub(super) const UNIT: f32 = 4096.0;

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
}

pub(super) fn analyse(sources: &mut Sources<'_>, task: Task<'_>) -> Result<Analysis, EngineError> {
    let info = sources.plate.info().clone();
    let (full_w, full_h) = info.full_size;
    let rows = ROWS.min(full_h).max(1);
    let cols = ((full_w * rows + full_h / 2) / full_h).max(1);
    let n = info.range.count();
    let mut colour = Vec::with_capacity(n * rows * cols * 3);
    for (i, frame) in info.range.iter().enumerate() {
        task.step("Reading the plate", i, n)?;
        reduce(&*sources.plate.read(frame)?, &info, cols, rows, &mut colour);
    }
    Ok(Analysis {
        info,
        cols,
        rows,
        colour,
        matte: Vec::new(),
    })
}

/// Appends the mean of each cell, by nearest whole pixels.
fn reduce(picture: &Picture, info: &PlateInfo, cols: usize, rows: usize, out: &mut Vec<i16>) {
    let (w, h) = (picture.width(), picture.height());
    for r in 0..rows {
        let (y0, y1) = (
            r * h / rows,
            ((r + 1) * h / rows).max(r * h / rows + 1).min(h),
        );
        for c in 0..cols {
            let (x0, x1) = (
                c * w / cols,
                ((c + 1) * w / cols).max(c * w / cols + 1).min(w),
            );
            for k in 0..3 {
                let k = k.min(picture.channels() - 1);
                let mut sum = 0.0f64;
                for y in y0..y1 {
                    for x in x0..x1 {
                        sum += f64::from(picture.pixel(x, y)[k]);
                    }
                }
                let mean = (sum / ((y1 - y0) * (x1 - x0)).max(1) as f64) as f32;
                out.push((info.transfer.perceptual(mean) * UNIT) as i16);
            }
        }
    }
}
