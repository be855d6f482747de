//! Our own engine, as a method of the table.

use std::time::Instant;

use longtake::device::Task;
use longtake::engine::Sources;
use longtake::engine::plate::{self, PlateEngine, Settings, Steady};
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
    let task = Task::quiet();
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
        guide: None,
        subjects: Default::default(),
    };
    let started = Instant::now();
    let engine = PlateEngine {
        settings,
        ..PlateEngine::default()
    };
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
        camera: take.decision().camera.clone(),
        seconds,
    })
}

/// `plate` as a camera at rest would have taken it; itself where its camera does
/// not move.
pub fn at_rest(plate: &Clip) -> Result<Clip, String> {
    let task = Task::quiet();
    let mut sources = Sources {
        plate: &mut plate.clone(),
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    let analysis = PlateEngine::default()
        .study(&mut sources, task)
        .map_err(|e| e.to_string())?;
    let steadied = analysis.steadied.as_ref();
    let Some(steadied) = steadied.filter(|_| analysis.is_steadied(Steady::Auto)) else {
        return Ok(plate.clone());
    };
    let pictures = plate.frames.iter().zip(&steadied.poses);
    let pictures = pictures.map(|(p, pose)| plate::at_rest(p, pose, &plate.info));
    Ok(Clip::new(pictures.collect(), plate.info.fps))
}

/// Fills `matte`; the largest difference of a sample outside of it, and the
/// share of the samples inside that are no longer the plate's.
pub fn fill(plate: &Clip, matte: &Clip, settings: Settings) -> Result<(f32, f64), String> {
    let task = Task::quiet();
    let timeline = Request {
        mode: Mode::Fill,
        plate: plate.info.range,
        out: plate.info.range,
        fps: plate.info.fps,
        keep: None,
    }
    .timeline()
    .map_err(|e| e.to_string())?;
    let (mut reader, mut matte_reader) = (plate.clone(), matte.clone());
    let mut sources = Sources {
        plate: &mut reader,
        matte: Some(&mut matte_reader),
        guide: None,
        subjects: Default::default(),
    };
    let key = key_of(&["a plate and a matte of the bench"]);
    let engine = PlateEngine {
        settings,
        ..PlateEngine::default()
    };
    let take = Take::prepare(engine, &key, timeline, &mut sources, &(), task)
        .map_err(|e| e.to_string())?;
    let window = Window::whole(plate.info.width, plate.info.height);
    let (mut outside, mut inside, mut changed) = (0.0f32, 0usize, 0usize);
    for (i, frame) in plate.info.range.iter().enumerate() {
        let made = take
            .make(frame, window, &mut sources, task)
            .map_err(|e| e.to_string())?;
        let pixels = made
            .data()
            .chunks_exact(3)
            .zip(plate.frames[i].data().chunks_exact(3));
        for ((ours, own), &m) in pixels.zip(matte.frames[i].data()) {
            for (a, b) in ours.iter().zip(own) {
                if m <= 0.0 {
                    outside = outside.max((a - b).abs());
                } else {
                    inside += 1;
                    changed += usize::from(a != b);
                }
            }
        }
    }
    Ok((outside, changed as f64 / inside.max(1) as f64))
}
