//! Our own engine, as a method of the table.

use std::time::Instant;

use longtake::device::{Cancel, Silent, Task};
use longtake::engine::Sources;
use longtake::engine::plate::{PlateEngine, Settings};
use longtake::frame::{FrameRange, Window};
use longtake::sequence::{Mode, Request, Take, key_of};

use crate::footage::Clip;
use crate::method::Made;

/// Makes `frames` frames out of `plate`, the first `keep` of them the plate's.
pub fn make(
    plate: &Clip,
    mode: Mode,
    frames: usize,
    keep: usize,
    settings: Settings,
) -> Result<Made, String> {
    let cancel = Cancel::default();
    let task = Task {
        cancel: &cancel,
        progress: &Silent,
    };
    let out = FrameRange::new(1, frames as i32).ok_or("no frames were asked for")?;
    let timeline = Request {
        mode,
        plate: plate.info.range,
        out,
        fps: plate.info.fps,
        keep: Some(keep as u32),
    }
    .timeline()
    .map_err(|e| e.to_string())?;
    let mut reader = plate.clone();
    let mut sources = Sources {
        plate: &mut reader,
        matte: None,
    };
    let started = Instant::now();
    let engine = PlateEngine { settings };
    let take = Take::prepare(
        engine,
        &key_of(&["a plate of the bench"]),
        timeline.clone(),
        &mut sources,
        &(),
        task,
    )
    .map_err(|e| e.to_string())?;
    let window = Window::whole(plate.info.width, plate.info.height);
    let mut pictures = Vec::with_capacity(frames);
    for frame in out.iter() {
        pictures.push(
            take.make(frame, window, &mut sources, task)
                .map_err(|e| e.to_string())?,
        );
    }
    let seconds = started.elapsed().as_secs_f64();
    let (w, h) = (plate.info.width, plate.info.height);
    let source = out
        .iter()
        .map(|f| take.decision().plate_indices(f, w, h))
        .collect();
    Ok(Made {
        clip: Clip::new(pictures, plate.info.fps),
        source: Some(source),
        kept: out.iter().filter(|&f| timeline.kept(f).is_some()).count(),
        closed: timeline.closed,
        seconds,
    })
}
