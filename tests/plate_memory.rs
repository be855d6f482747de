//! How much memory it takes to learn a plate and to decide a take of it: as much as is told
//! beforehand.

mod counted;

use std::sync::Arc;

use counted::peak;
use longtake::device::Task;
use longtake::engine::plate::{Level, PlateEngine};
use longtake::engine::{Engine as _, Sources, Timeline};
use longtake::frame::{FrameError, FrameRange, Picture, PlateInfo, PlateReader, Transfer};
use longtake::sequence::{Mode, Request};

/// Bytes beside that, however long the plate.
const BESIDE: usize = 4 << 20;
const SIZE: (usize, usize) = (108, 60);

/// Waves on the grid of decisions.
struct Waves(PlateInfo);

impl Waves {
    fn new(frames: i32) -> Self {
        Self(PlateInfo {
            range: FrameRange::new(1, frames).unwrap(),
            width: SIZE.0,
            height: SIZE.1,
            full_size: SIZE,
            channels: ["R", "G", "B"].map(str::to_owned).to_vec(),
            fps: 12.0,
            transfer: Transfer::Display,
            pixel_aspect: 1.0,
            ids: Vec::new(),
        })
    }

    fn take(&self, length: i32) -> Timeline {
        let request = Request {
            mode: Mode::Extend,
            plate: self.0.range,
            out: FrameRange::new(1, self.0.range.last + length).unwrap(),
            fps: self.0.fps,
            keep: None,
        };
        request.timeline().unwrap()
    }
}

impl PlateReader for Waves {
    fn info(&self) -> &PlateInfo {
        &self.0
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let t = frame as f32;
        let wave = |n: usize, k: f32, s: f32| -> Vec<f32> {
            (0..n).map(|i| (k * i as f32 + s * t).sin()).collect()
        };
        let (across, down) = (wave(SIZE.0, 0.4, 0.31), wave(SIZE.1, 0.5, -0.7));
        let mut picture = Picture::new(SIZE.0, SIZE.1, 3);
        for (y, b) in down.iter().enumerate() {
            for (pixel, a) in picture.row_mut(y).chunks_exact_mut(3).zip(&across) {
                pixel.copy_from_slice(&[0.5 + 0.2 * a * b, 0.5 + 0.1 * a, 0.5 + 0.1 * b]);
            }
        }
        Ok(Arc::new(picture))
    }
}

/// Bytes that a take of a plate of `frames` frames, `length` longer, takes until it is
/// decided, and those told.
fn used_and_told(frames: i32, length: i32) -> (usize, usize) {
    let mut plate = Waves::new(frames);
    let timeline = plate.take(length);
    let mut engine = PlateEngine::default();
    engine.settings.plans = 1;
    engine.settings.level = Level::Off;
    let told = engine.deciding_bytes(&timeline, &plate.0, 2);
    let used = peak(|| {
        let mut sources = Sources {
            plate: &mut plate,
            matte: None,
            guide: None,
            subjects: Default::default(),
        };
        let analysis = engine.study(&mut sources, Task::quiet()).unwrap();
        engine.decide(&analysis, &timeline, Task::quiet()).unwrap();
    });
    (used, told as usize)
}

// One test: others beside it would be counted.
#[test]
fn what_a_long_plate_takes_is_told_beforehand() {
    // The first makes the worker threads.
    used_and_told(30, 30);
    for (frames, length) in [(60, 30), (240, 30)] {
        let (used, told) = used_and_told(frames, length);
        println!("{frames} frames, {length} more: {used} bytes, {told} told");
        assert!(
            used <= told + BESIDE,
            "{frames}, {length}: {used} of {told}"
        );
        assert!(
            used * 10 >= told * 8,
            "{frames}, {length}: {used} of {told}"
        );
    }
}
