//! Makes a frame from the edit list and the few plate frames that it shows.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::analysis::Analysis;
use super::edit_list::EditList;
use crate::device::Task;
use crate::engine::{EngineError, Sources};
use crate::frame::{Picture, Window};

/// Plate frame number that clip `label` shows at output index `t`.
fn plate_frame(edit: &EditList, label: u16, t: u32) -> i32 {
    let index = t as i32 + edit.offset_of(label);
    edit.first_plate + index.clamp(0, edit.plate_frames as i32 - 1)
}

pub(super) fn frames_needed(_analysis: &Analysis, edit: &EditList, frame: i32) -> Vec<i32> {
    let t = (frame - edit.first_out).clamp(0, edit.out_frames as i32 - 1) as u32;
    edit.labels(t)
        .into_iter()
        .map(|label| plate_frame(edit, label, t))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

pub(super) fn make(
    _analysis: &Analysis,
    edit: &EditList,
    frame: i32,
    window: Window,
    sources: &mut Sources<'_>,
    task: Task<'_>,
) -> Result<Arc<Picture>, EngineError> {
    task.check()?;
    let info = sources.plate.info().clone();
    let window = window.intersection(&Window::whole(info.width, info.height));
    let t = (frame - edit.first_out).clamp(0, edit.out_frames as i32 - 1) as u32;
    let labels = edit.labels(t);
    let mut pictures = std::collections::BTreeMap::new();
    for f in frames_needed(_analysis, edit, frame) {
        pictures.insert(f, sources.plate.read(f)?);
    }
    let channels = info.channels.len();
    let mut out = Picture::new(window.width(), window.height(), channels);
    let (cols, rows) = (usize::from(edit.cols), usize::from(edit.rows));
    for y in 0..window.height() {
        let cy = (y + window.y0 as usize) * rows / info.height;
        for x in 0..window.width() {
            let cx = (x + window.x0 as usize) * cols / info.width;
            let source = plate_frame(edit, labels[cy * cols + cx], t);
            if let Some(p) = pictures.get(&source) {
                let from = p.pixel(x + window.x0 as usize, y + window.y0 as usize);
                out.row_mut(y)[x * channels..(x + 1) * channels].copy_from_slice(from);
            }
        }
    }
    Ok(Arc::new(out))
}
