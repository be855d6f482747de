//! A small host, its footage, and a node in it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;
use crate::manifest::manifest;

/// A frame of some footage: blobs that wander, another pattern for each look.
pub(super) fn sample(look: u32, frame: i32, x: f32, y: f32, k: usize) -> f32 {
    let t = frame as f32 * 0.21 + look as f32 * 1.7;
    let wave = (5.0 * x + t).sin() * (4.0 * y - 0.7 * t).cos() + (9.0 * (x + y) - 1.3 * t).sin();
    (0.5 + 0.2 * wave) * [1.0, 0.8, 0.6, 0.0][k] + if k == 3 { 1.0 } else { 0.0 }
}

/// What a host does when a picture is asked for.
type Meanwhile<'a> = &'a (dyn Fn() + Sync);

pub(super) struct TestHost<'a> {
    pub(super) instance: u64,
    pub(super) look: u32,
    pub(super) size: (i32, i32),
    pub(super) scale: f64,
    /// Added to one sample of every picture, another each time.
    pub(super) flicker: Option<&'a AtomicUsize>,
    /// Every picture has a sample that is no number.
    pub(super) broken: bool,
    pub(super) meanwhile: Meanwhile<'a>,
    pub(super) stop_after: Option<usize>,
    pub(super) fetched: Vec<i32>,
    pub(super) stopped: Option<Instant>,
    pub(super) shown: String,
}

impl TestHost<'_> {
    pub(super) fn pixels(&self) -> (usize, usize) {
        let scaled = |n: i32| (f64::from(n) * self.scale).round() as usize;
        (scaled(self.size.0), scaled(self.size.1))
    }
}

pub(super) fn layout(w: usize, h: usize) -> Layout {
    Layout {
        row_bytes: (w * 16) as isize,
        bounds: Rect::from([0, 0, w as i32, h as i32]),
        region: Some(Rect::from([0, 0, w as i32, h as i32])),
        depth: Depth::Float,
        components: Components::Rgba,
        premultiplied: true,
    }
}

pub(super) fn picture(look: u32, frame: i32, (w, h): (usize, usize)) -> Vec<f32> {
    let mut data = Vec::with_capacity(w * h * 4);
    for y in 0..h {
        for x in 0..w {
            let at = |i: usize, n: usize| (i as f32 + 0.5) / n as f32;
            data.extend((0..4).map(|k| sample(look, frame, at(x, w), at(y, h), k)));
        }
    }
    data
}

impl Host for TestHost<'_> {
    fn instance(&self) -> u64 {
        self.instance
    }

    fn image(&mut self, input: Input, time: f64, see: &mut dyn FnMut(&Image<'_>)) -> bool {
        (self.meanwhile)();
        self.fetched.push(time as i32);
        if input == Input::Matte {
            return false;
        }
        let (w, h) = self.pixels();
        let mut data = picture(self.look, time as i32, (w, h));
        if let Some(n) = self.flicker {
            data[0] += n.fetch_add(1, Ordering::Relaxed) as f32 * 1e-6;
        }
        if self.broken {
            data[40] = f32::NAN;
        }
        // SAFETY: `data` holds the rows that the layout tells of.
        let image = unsafe { Image::new(data.as_mut_ptr().cast(), layout(w, h)) };
        see(&image.unwrap());
        true
    }

    fn region(&mut self, _: Input, _: f64) -> Option<[f64; 4]> {
        Some([0.0, 0.0, f64::from(self.size.0), f64::from(self.size.1)])
    }

    fn aborted(&mut self) -> bool {
        let stop = self.stop_after.is_some_and(|n| self.fetched.len() > n);
        if stop {
            self.stopped.get_or_insert_with(Instant::now);
        }
        stop
    }

    fn progress(&mut self, _: &str, _: f64) -> bool {
        true
    }

    fn enable(&mut self, _: &str, _: bool) {}

    fn show(&mut self, _: &str, text: &str) {
        text.clone_into(&mut self.shown);
    }
}

/// A plate of its own for each test: tests share the process, and with it what
/// the process knows.
pub(super) struct Shot {
    pub(super) node: Node,
    pub(super) scene: Scene,
    pub(super) size: (i32, i32),
    pub(super) _store: tempfile::TempDir,
}

impl Shot {
    pub(super) fn new(size: (i32, i32), out: [f64; 2]) -> Self {
        let store = tempfile::tempdir().unwrap();
        let mut shot = Self {
            node: Node::new(),
            scene: Scene {
                source: ClipFacts {
                    connected: true,
                    range: Some((1.0, 30.0)),
                    fps: Some(24.0),
                    pixel_aspect: 1.0,
                    ..ClipFacts::default()
                },
                params: vec![RawValue::default(); manifest().unwrap().params.len()],
                temporal_access: true,
                ..Scene::default()
            },
            size,
            _store: store,
        };
        let folder = shot._store.path().to_str().unwrap().to_owned();
        shot.set("store", &folder, 0.0, 0.0);
        shot.set("frames", "", out[0], out[1]);
        shot.set("plans", "", 1.0, 0.0);
        shot
    }

    pub(super) fn set(&mut self, name: &str, text: &str, number: f64, second: f64) {
        let params = &manifest().unwrap().params;
        let at = params.iter().position(|p| p.name == name).unwrap();
        self.scene.params[at] = RawValue {
            known: true,
            text: text.to_owned(),
            number,
            second,
        };
    }

    pub(super) fn host(&self) -> TestHost<'static> {
        TestHost {
            instance: self.node.id(),
            look: 0,
            size: self.size,
            scale: 1.0,
            flicker: None,
            broken: false,
            meanwhile: &|| (),
            stop_after: None,
            fetched: Vec::new(),
            stopped: None,
            shown: String::new(),
        }
    }

    pub(super) fn render(&self, frame: i32, host: &mut TestHost<'_>) -> (Report, Vec<f32>) {
        let (w, h) = host.pixels();
        let mut data = vec![-1.0f32; w * h * 4];
        let args = RenderArgs {
            time: f64::from(frame),
            window: layout(w, h).bounds,
            scale: [host.scale; 2],
            fielded: false,
        };
        // SAFETY: `data` holds the rows that the layout tells of.
        let output = unsafe { Image::new(data.as_mut_ptr().cast(), layout(w, h)) }.unwrap();
        let report = self.node.render(&self.scene, &args, output, host);
        (report, data)
    }

    pub(super) fn good(&self, frame: i32, host: &mut TestHost<'_>) -> Vec<f32> {
        let (report, data) = self.render(frame, host);
        assert_eq!((report.status, &*report.message), (Status::Done, ""));
        data
    }
}

/// Whether all pixels are of the plate `look`, at their places.
pub(super) fn is_of(look: u32, data: &[f32], size: (usize, usize)) -> bool {
    let frames: Vec<_> = (1..=30).map(|f| picture(look, f, size)).collect();
    let pixels = data.chunks(4).enumerate();
    let own = pixels.filter(|(i, p)| {
        let near = |f: &Vec<f32>| (f[i * 4] - p[0]).abs() < 0.02;
        frames.iter().any(near)
    });
    own.count() * 100 > data.len() / 4 * 98
}

/// Whether `full` shows the times that `half`, of half its `size`, shows.
pub(super) fn same_motion(half: &[f32], full: &[f32], (w, h): (usize, usize)) -> bool {
    let far = (0..w * h).filter(|i| {
        let (x, y) = (i % w, i / w);
        let at = |dx: usize, dy: usize| full[((2 * y + dy) * 2 * w + 2 * x + dx) * 4];
        let mean = (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4.0;
        (half[i * 4] - mean).abs() > 0.05
    });
    far.count() * 50 < w * h
}
