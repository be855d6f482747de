//! The report on real footage that ships with the project. Needs ffmpeg.

use std::path::Path;
use std::sync::Arc;

use longtake::device::Task;
use longtake::engine::Sources;
use longtake::engine::plate::{Exposure, PlateEngine, Settings};
use longtake::frame::{
    FilePlate, FrameError, FrameRange, Picture, PlateInfo, PlateOptions, PlateReader, Window,
    to_display, to_linear,
};
use longtake::sequence::report::{Borders, Report, SourceMap, Subject, report};
use longtake::sequence::{Mode, Request, Take, key_of};

/// Frames in memory.
#[derive(Clone)]
struct Clip {
    info: PlateInfo,
    frames: Vec<Arc<Picture>>,
}

impl Clip {
    fn of(&self, frames: Vec<Arc<Picture>>) -> Self {
        let mut info = self.info.clone();
        info.range = FrameRange::new(1, frames.len() as i32).unwrap();
        Self { info, frames }
    }
}

impl PlateReader for Clip {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        Ok(self.frames[(frame - self.info.range.first) as usize].clone())
    }
}

/// The first 45 frames of the stream at half its width and height.
fn stream() -> Clip {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plates/stream-of-water.mp4");
    let mut plate = FilePlate::open(
        &path,
        &PlateOptions {
            range: FrameRange::new(1, 45),
            ..PlateOptions::default()
        },
    )
    .unwrap();
    let info = PlateReader::info(&plate).clone();
    let frames = info.range.iter().map(|f| plate.read(f).unwrap()).collect();
    half(&Clip { info, frames })
}

/// `clip` at half its width and height.
fn half(clip: &Clip) -> Clip {
    let (w, h) = (clip.info.width / 2, clip.info.height / 2);
    let n = clip.info.channels.len();
    let shrink = |whole: &Arc<Picture>| {
        let mut data = Vec::with_capacity(w * h * n);
        for y in 0..h {
            for x in 0..w {
                for c in 0..n {
                    let at = |dx: usize, dy: usize| whole.pixel(2 * x + dx, 2 * y + dy)[c];
                    data.push((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4.0);
                }
            }
        }
        Arc::new(Picture::from_data(w, h, n, data).unwrap())
    };
    let info = PlateInfo {
        width: w,
        height: h,
        full_size: (w, h),
        ..clip.info.clone()
    };
    Clip {
        info,
        frames: Vec::new(),
    }
    .of(clip.frames.iter().map(shrink).collect())
}

fn measure(
    output: &mut Clip,
    plate: &mut Clip,
    kept: &dyn Fn(i32) -> Option<i32>,
    source: Option<SourceMap<'_>>,
    exposure: Option<&Exposure>,
) -> Report {
    let task = Task::quiet();
    report(
        &mut Subject {
            output,
            plate: Some(plate),
            matte: None,
            stored: None,
            kept,
            closed: false,
            source,
            camera: None,
            exposure,
            borders: Borders::default(),
            missing: Vec::new(),
        },
        task,
    )
    .unwrap()
}

fn passes(report: &Report, measure: &str) -> bool {
    report
        .verdicts
        .iter()
        .any(|v| v.measure == measure && v.pass)
}

/// A take of `plate`, 72 frames of which the first 15 are kept, and its frames.
fn take_of(plate: &Clip) -> (Take<PlateEngine>, Vec<Arc<Picture>>) {
    let task = Task::quiet();
    let timeline = Request {
        mode: Mode::Extend,
        plate: plate.info.range,
        out: FrameRange::new(1, 72).unwrap(),
        fps: plate.info.fps,
        keep: Some(15),
    }
    .timeline()
    .unwrap();
    let mut reader = plate.clone();
    let mut sources = Sources {
        plate: &mut reader,
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    let engine = PlateEngine {
        settings: Settings {
            plans: 2,
            novelty: 0.0,
            ..Settings::default()
        },
        ..PlateEngine::default()
    };
    let key = key_of(&["a stream"]);
    let take = Take::prepare(engine, &key, timeline, &mut sources, &(), task).unwrap();
    let window = Window::whole(plate.info.width, plate.info.height);
    let frames = (1..=72)
        .map(|f| take.make(f, window, &mut sources, task).unwrap())
        .collect();
    (take, frames)
}

#[test]
fn a_take_of_real_water_keeps_its_limits_where_a_dissolve_does_not() {
    let mut plate = stream();
    let (take, frames) = take_of(&plate);
    let mut made = plate.of(frames);
    let map = |f: i32, w: usize, h: usize| take.decision().plate_indices(f, w, h);
    let kept = |f: i32| take.timeline().kept(f);
    let good = measure(&mut made, &mut plate, &kept, Some(&map), None);
    assert_eq!(good.measures.kept, Some(0.0));
    for name in [
        "ghosts_worst",
        "kept",
        "join",
        "luma",
        "sharpness",
        "frame_difference",
    ] {
        assert!(passes(&good, name), "{name}: {:?}", good.measures);
    }
    assert!(good.measures.copy.unwrap() < 1.0);

    // What compositors do today: the plate, and again, over twelve frames.
    let n = plate.frames.len() - 12;
    let frames = (0..72)
        .map(|t| {
            let (place, again) = (t % n, t >= n);
            if !again || place >= 12 {
                return plate.frames[place].clone();
            }
            let w = (place as f32 + 0.5) / 12.0;
            let mut mixed = Picture::clone(&plate.frames[place]);
            for (v, old) in mixed
                .data_mut()
                .iter_mut()
                .zip(plate.frames[n + place].data())
            {
                *v = w * *v + (1.0 - w) * old;
            }
            Arc::new(mixed)
        })
        .collect();
    let mut dissolve = plate.of(frames);
    let poor = measure(&mut dissolve, &mut plate, &|_| None, None, None);
    assert!(!passes(&poor, "ghosts_worst"), "{:?}", poor.measures);
    assert!(poor.measures.ghosts_worst.unwrap() > 200.0);
}

#[test]
fn a_take_that_was_levelled_has_no_ghosts_and_dissolved_it_has() {
    let mut plate = half(&stream());
    // The sun comes and goes.
    for (t, frame) in plate.frames.iter_mut().enumerate() {
        let gain = (0.35 * (0.09 * t as f32).sin()).exp();
        for v in Arc::make_mut(frame).data_mut() {
            *v = to_display(to_linear(*v) * gain);
        }
    }
    let (take, frames) = take_of(&plate);
    let kept = |f: i32| take.timeline().kept(f);
    let map = |f: i32, w: usize, h: usize| take.decision().plate_indices(f, w, h);
    let exposure = take.decision().exposure.as_ref();
    assert!(exposure.is_some_and(|e| e.span() > 0.3), "it was levelled");
    let mut made = plate.of(frames.clone());
    let good = measure(&mut made, &mut plate, &kept, Some(&map), exposure);
    for name in ["ghosts_worst", "luma", "spurious", "join", "seam_line"] {
        assert!(passes(&good, name), "{name}: {:?}", good.measures);
    }
    // In whatever light the plate's frames are, they are held against it in one.
    let blind = measure(&mut made, &mut plate, &kept, Some(&map), None);
    assert!(!passes(&blind, "luma"));
    // Each frame and the one a third of a second on, both half there.
    let mut dissolved = made.clone();
    for (frame, later) in dissolved.frames[20..50].iter_mut().zip(&frames[30..60]) {
        for (v, later) in Arc::make_mut(frame).data_mut().iter_mut().zip(later.data()) {
            *v = 0.5 * (*v + later);
        }
    }
    let poor = measure(&mut dissolved, &mut plate, &kept, Some(&map), exposure);
    assert!(!passes(&poor, "ghosts_worst"), "{:?}", poor.measures);
    assert!(poor.measures.ghosts_worst.unwrap() > 100.0);
}
