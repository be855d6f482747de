//! What a user relies on when a frame is made from an edit list: plate pixels
//! are sacred, windows and threads and proxies agree, cuts do not show.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use longtake::device::{Cancel, Silent, Task};
use longtake::engine::plate::{Analysis, EditList, Event, Kind, NEVER, PlateEngine};
use longtake::engine::{Engine, EngineError, Sources};
use longtake::frame::{FrameError, FrameRange, Picture, PlateInfo, PlateReader, Transfer, Window};

mod exact;
mod hidden;
mod ids;
mod places;
mod read;

/// A plate computed pixel by pixel: `paint(frame index, x, y)` with `x` and `y`
/// in 0..1 of width and height.
struct Painted {
    info: PlateInfo,
    paint: fn(usize, f32, f32) -> Vec<f32>,
    read: BTreeSet<i32>,
    /// The most pictures that were held at once.
    held: Arc<AtomicUsize>,
    given: Vec<std::sync::Weak<Picture>>,
    painted: RefCell<HashMap<usize, Picture>>,
}

impl Painted {
    fn new(
        (width, height): (usize, usize),
        frames: usize,
        channels: &[&str],
        paint: fn(usize, f32, f32) -> Vec<f32>,
    ) -> Self {
        Self {
            info: PlateInfo {
                range: FrameRange::new(1001, 1000 + frames as i32).unwrap(),
                width,
                height,
                full_size: (width, height),
                channels: channels.iter().map(|&c| c.to_owned()).collect(),
                fps: 25.0,
                transfer: Transfer::Linear,
                pixel_aspect: 1.0,
                ids: Vec::new(),
            },
            paint,
            read: BTreeSet::new(),
            held: Arc::default(),
            given: Vec::new(),
            painted: RefCell::default(),
        }
    }

    fn at_scale(mut self, divisor: usize) -> Self {
        self.info.width /= divisor;
        self.info.height /= divisor;
        self
    }

    fn frame(&self, index: usize) -> Picture {
        let mut painted = self.painted.borrow_mut();
        painted
            .entry(index)
            .or_insert_with(|| self.paint(index))
            .clone()
    }

    fn paint(&self, index: usize) -> Picture {
        let (w, h) = (self.info.width, self.info.height);
        let mut data = Vec::new();
        for y in 0..h {
            for x in 0..w {
                data.extend((self.paint)(
                    index,
                    (x as f32 + 0.5) / w as f32,
                    (y as f32 + 0.5) / h as f32,
                ));
            }
        }
        Picture::from_data(w, h, self.info.channels.len(), data).unwrap()
    }
}

impl PlateReader for Painted {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        assert!(self.info.range.contains(frame), "asked for frame {frame}");
        self.read.insert(frame);
        let picture = Arc::new(self.frame((frame - self.info.range.first) as usize));
        self.given.retain(|p| p.strong_count() > 0);
        self.given.push(Arc::downgrade(&picture));
        self.held.fetch_max(self.given.len(), Ordering::Relaxed);
        Ok(picture)
    }
}

fn task<'a>(cancel: &'a Cancel) -> Task<'a> {
    Task {
        cancel,
        progress: &Silent,
    }
}

fn analyse(plate: &mut Painted) -> Analysis {
    PlateEngine::default()
        .study(
            &mut Sources {
                plate,
                matte: None,
                guide: None,
                subjects: Default::default(),
            },
            task(&Cancel::default()),
        )
        .unwrap()
}

fn list(analysis: &Analysis, out_frames: u32, events: Vec<Event>) -> EditList {
    EditList {
        camera: None,
        exposure: None,
        held: Vec::new(),
        layers: Vec::new(),
        cols: analysis.cols as u16,
        rows: analysis.rows as u16,
        plate_frames: analysis.info.range.count() as u32,
        out_frames,
        first_out: 1001,
        first_plate: 1001,
        offset: 0,
        events,
        kept: Vec::new(),
        matted: false,
        closed: false,
        warp: true,
        low_band: true,
    }
}

/// A cut that sweeps over the picture from the left, begun at output index
/// `at`, taking `window` frames.
fn sweep(analysis: &Analysis, at: u32, offset: i32, window: u8) -> Event {
    let cols = analysis.cols;
    Event {
        at,
        offset,
        window,
        switch: (0..cols * analysis.rows)
            .map(|i| ((i % cols) * usize::from(window) / cols.max(2).saturating_sub(1)) as u8)
            .map(|s| s.min(window))
            .collect(),
        kind: Kind::Anchor,
    }
}

/// An aside in the middle of the picture.
fn patch(analysis: &Analysis, at: u32, offset: i32) -> Event {
    let (cols, rows) = (analysis.cols, analysis.rows);
    Event {
        at,
        offset,
        window: 3,
        switch: (0..cols * rows)
            .map(|i| {
                let (x, y) = (i % cols, i / cols);
                let inside = x > cols / 3 && x < 2 * cols / 3 && y > rows / 3 && y < 2 * rows / 3;
                if inside { (x % 4) as u8 } else { NEVER }
            })
            .collect(),
        kind: Kind::Aside,
    }
}

fn try_make(
    analysis: &Analysis,
    edit: &EditList,
    frame: i32,
    window: Window,
    sources: &mut Sources<'_>,
) -> Result<Arc<Picture>, EngineError> {
    let cancel = Cancel::default();
    PlateEngine::default().make(analysis, edit, frame, window, sources, task(&cancel))
}

fn make(analysis: &Analysis, edit: &EditList, t: i32, plate: &mut Painted) -> Arc<Picture> {
    let window = Window::whole(plate.info.width, plate.info.height);
    let mut sources = Sources {
        plate,
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    try_make(analysis, edit, 1001 + t, window, &mut sources).unwrap()
}

fn bits(picture: &Picture) -> Vec<u32> {
    picture.data().iter().map(|v| v.to_bits()).collect()
}

/// Smooth noise that does not repeat within the picture.
fn noise(x: f32, y: f32) -> f32 {
    let s = |v: f32| libm::sinf(v);
    s(7.0 * x + 3.0 * y)
        + s(17.0 * x - 11.0 * y + 1.0)
        + 0.7 * s(5.0 * x + 29.0 * y)
        + 0.5 * s(41.0 * x + 31.0 * y + 2.0)
        + 0.3 * s(67.0 * x - 53.0 * y)
}

/// Noise that moves to the right and swings, with highlights, negative values,
/// alpha and a further channel.
fn moving(index: usize, x: f32, y: f32) -> Vec<f32> {
    let n = noise(
        x - 0.012 * index as f32,
        y + 0.02 * libm::sinf(index as f32),
    );
    let light = 0.25 + 0.12 * n;
    let hot = if n > 1.6 { 40.0 } else { 1.0 };
    vec![
        light * hot,
        light * 0.8,
        light - 0.1,
        1.0 - 0.4 * y,
        100.0 * x,
    ]
}

const RGBAZ: [&str; 5] = ["R", "G", "B", "A", "Z"];
