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

#[test]
fn a_frame_of_one_clip_is_the_plate_bit_for_bit() {
    let mut plate = Painted::new((97, 71), 30, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let edit = list(&analysis, 60, vec![sweep(&analysis, 20, -18, 8)]);
    for (t, index) in [(0, 0), (10, 10), (35, 17), (40, 22), (47, 29), (58, 29)] {
        let made = make(&analysis, &edit, t, &mut plate);
        assert_eq!(bits(&made), bits(&plate.frame(index)), "frame {t}");
    }
}

#[test]
fn kept_frames_are_exact_and_effects_shrink_toward_them() {
    let mut plate = Painted::new((97, 71), 40, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let mut edit = list(&analysis, 60, vec![sweep(&analysis, 12, 5, 4)]);
    edit.kept = vec![(0, 12), (17, 22)];
    for t in [0, 9, 10, 11, 17, 18, 21] {
        let index = if t < 12 { t } else { t + 5 };
        let made = make(&analysis, &edit, t, &mut plate);
        assert_eq!(bits(&made), bits(&plate.frame(index as usize)), "frame {t}");
    }
    // Without kept frames the same frames are touched by the cut.
    edit.kept.clear();
    let free = make(&analysis, &edit, 11, &mut plate);
    assert_ne!(bits(&free), bits(&plate.frame(11)));
}

#[test]
fn windows_fit_together_to_the_bit() {
    let mut plate = Painted::new((203, 117), 60, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let edit = list(
        &analysis,
        90,
        vec![sweep(&analysis, 20, 6, 12), patch(&analysis, 24, -9)],
    );
    for t in [18, 24, 27, 31] {
        let whole = make(&analysis, &edit, t, &mut plate);
        for (x0, y0, x1, y1) in [
            (0, 0, 1, 1),
            (50, 31, 131, 90),
            (-9, 100, 300, 300),
            (3, 0, 4, 117),
        ] {
            let window = Window { x0, y0, x1, y1 };
            let mut sources = Sources {
                plate: &mut plate,
                matte: None,
                guide: None,
                subjects: Default::default(),
            };
            let part = try_make(&analysis, &edit, 1001 + t, window, &mut sources).unwrap();
            assert_eq!(
                bits(&part),
                bits(&Picture::crop(&whole, window)),
                "{t} {window:?}"
            );
        }
    }
}

/// Made frames of every kind, as one hash.
fn hash_of_everything() -> String {
    let mut plate = Painted::new((160, 90), 60, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let mut edit = list(
        &analysis,
        80,
        vec![
            sweep(&analysis, 20, 6, 12),
            patch(&analysis, 24, -9),
            sweep(&analysis, 70, -70, 9),
        ],
    );
    let mut hasher = blake3::Hasher::new();
    for closed in [false, true] {
        edit.closed = closed;
        for t in [0, 2, 19, 26, 31, 79] {
            for v in bits(&make(&analysis, &edit, t, &mut plate)) {
                hasher.update(&v.to_le_bytes());
            }
        }
    }
    hasher.finalize().to_string()
}

#[test]
fn threads_do_not_matter() {
    const ASK: &str = "LONGTAKE_TEST_HASH";
    if std::env::var_os(ASK).is_some() {
        println!("hash {}", hash_of_everything());
        return;
    }
    let hash = |threads: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "threads_do_not_matter", "--nocapture"])
            .env(ASK, "1")
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let at = text.find("hash ").expect("the child tells its hash");
        text[at..at + 69].to_owned()
    };
    let one = hash("1");
    assert_eq!(one, hash("4"));
    assert_eq!(one, format!("hash {}", hash_of_everything()));
}

#[test]
fn all_channels_come_along_and_values_outside_0_to_1_survive() {
    let mut plate = Painted::new((160, 90), 60, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let edit = list(&analysis, 90, vec![sweep(&analysis, 20, 6, 10)]);
    let (mut hot, mut negative) = (0.0f32, 0.0f32);
    for t in 15..36 {
        let made = make(&analysis, &edit, t, &mut plate);
        for p in made.data().chunks_exact(5) {
            assert!((0.6..=1.0).contains(&p[3]), "alpha {}", p[3]);
            assert!((0.0..=100.0).contains(&p[4]), "depth {}", p[4]);
            hot = hot.max(p[0]);
            negative = negative.min(p[2]);
        }
    }
    assert!(hot > 15.0 && negative < -0.2, "{hot} {negative}");
}

#[test]
fn a_bad_pixel_stays_one() {
    fn spoilt(index: usize, x: f32, y: f32) -> Vec<f32> {
        let mut v = moving(index, x, y);
        if (x * 160.0) as usize == 80 && (y * 90.0) as usize == 45 {
            v[..3].copy_from_slice(&[f32::NAN, f32::INFINITY, f32::NAN]);
        }
        v
    }
    let mut plate = Painted::new((160, 90), 60, &RGBAZ, spoilt);
    let analysis = analyse(&mut plate);
    let edit = list(&analysis, 90, vec![sweep(&analysis, 20, 6, 10)]);
    for t in [19, 24, 25, 26] {
        let made = make(&analysis, &edit, t, &mut plate);
        let bad = made.data().chunks_exact(5).filter(|p| !p[0].is_finite());
        assert!(bad.count() <= 4, "frame {t}");
    }
}

#[test]
fn any_size_works() {
    for size in [(1, 1), (1, 9), (9, 1), (2, 3), (17, 5), (61, 61), (301, 2)] {
        let mut plate = Painted::new(size, 30, &["R", "G", "B"], |i, x, y| {
            moving(i, x, y)[..3].to_vec()
        });
        let analysis = analyse(&mut plate);
        let edit = list(
            &analysis,
            40,
            vec![sweep(&analysis, 10, 3, 5), patch(&analysis, 12, -4)],
        );
        for t in 0..40 {
            let made = make(&analysis, &edit, t, &mut plate);
            assert_eq!((made.width(), made.height()), size);
            assert!(made.data().iter().all(|v| v.is_finite()));
        }
    }
}

/// Every pixel tells which plate frame it is of.
fn telling(index: usize, _x: f32, _y: f32) -> Vec<f32> {
    vec![index as f32; 3]
}

#[test]
fn places_change_once_and_without_speckle() {
    let mut plate = Painted::new((192, 108), 80, &["R", "G", "B"], telling);
    let analysis = analyse(&mut plate);
    let mut event = sweep(&analysis, 20, 30, 12);
    // Plateaus and noise, as the solver gives them.
    for (i, s) in event.switch.iter_mut().enumerate() {
        *s = (*s & !3).min(12) + ((i * 7919) % 13 == 0) as u8;
    }
    event.window = 13;
    let mut edit = list(&analysis, 50, vec![event]);
    edit.warp = false;
    edit.low_band = false;
    let mut gone = vec![false; 192 * 108];
    for t in 0..50 {
        let made = make(&analysis, &edit, t, &mut plate);
        let new: Vec<bool> = made
            .data()
            .chunks_exact(3)
            .map(|p| p[0] != t as f32)
            .collect();
        for (i, (&new, gone)) in new.iter().zip(&mut gone).enumerate() {
            assert!(new || !*gone, "pixel {i} went back at frame {t}");
            *gone = new;
        }
        if (20..36).contains(&t) {
            // From left to right: the boundary is a line, not a cloud of dots.
            let changes: usize = new
                .chunks_exact(192)
                .map(|row| row.windows(2).filter(|w| w[0] != w[1]).count())
                .sum();
            assert!(changes <= 2 * 108, "{changes} boundaries at frame {t}");
        }
    }
    assert!(gone.iter().all(|&g| g), "all have changed in the end");
}

#[test]
fn a_proxy_shows_the_same_motion() {
    let full = Painted::new((320, 180), 80, &["R", "G", "B"], telling);
    let mut half = Painted::new((320, 180), 80, &["R", "G", "B"], telling).at_scale(2);
    let mut full = full;
    let analysis = analyse(&mut full);
    let small = analyse(&mut half);
    assert_eq!((analysis.cols, analysis.rows), (small.cols, small.rows));
    let mut edit = list(
        &analysis,
        90,
        vec![sweep(&analysis, 20, 6, 12), patch(&analysis, 24, -9)],
    );
    edit.low_band = false;
    for t in [22, 25, 28] {
        let a = make(&analysis, &edit, t, &mut full);
        let b = make(&small, &edit, t, &mut half);
        let mut differ = 0;
        for y in 0..90 {
            for x in 0..160 {
                let four =
                    [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, j)| a.pixel(2 * x + i, 2 * y + j)[0]);
                differ += usize::from(!four.contains(&b.pixel(x, y)[0]));
            }
        }
        assert_eq!(differ, 0, "frame {t}");
    }
}

/// Mean absolute difference of the first channel between two pictures.
fn step(a: &Picture, b: &Picture) -> f32 {
    let c = a.channels();
    let n = a.data().len() / c;
    let d = a.data().iter().zip(b.data()).step_by(c);
    d.map(|(a, b)| (a - b).abs()).sum::<f32>() / n as f32
}

/// The worst step from frame to frame over the plate's own worst.
fn worst_step(analysis: &Analysis, edit: &EditList, plate: &mut Painted, frames: i32) -> f32 {
    let made: Vec<_> = (0..frames)
        .map(|t| make(analysis, edit, t, plate))
        .collect();
    let own = (1..plate.info.range.count())
        .map(|i| step(&plate.frame(i - 1), &plate.frame(i)))
        .fold(0.0, f32::max);
    made.windows(2)
        .map(|w| step(&w[0], &w[1]))
        .fold(0.0, f32::max)
        / own
}

#[test]
fn a_warp_hides_a_jump_of_what_moves() {
    fn sliding(index: usize, x: f32, y: f32) -> Vec<f32> {
        vec![0.3 + 0.1 * noise(x - 0.006 * index as f32, y); 3]
    }
    let mut plate = Painted::new((192, 108), 60, &["R", "G", "B"], sliding);
    let analysis = analyse(&mut plate);
    // Everything jumps seven frames ahead at once.
    let mut cut = sweep(&analysis, 20, 7, 0);
    cut.switch.fill(0);
    let mut edit = list(&analysis, 40, vec![cut]);
    edit.low_band = false;
    let warped = worst_step(&analysis, &edit, &mut plate, 40);
    edit.warp = false;
    let plain = worst_step(&analysis, &edit, &mut plate, 40);
    assert!(plain > 3.0, "the jump is there: {plain}");
    assert!(warped < 0.6 * plain, "{warped} of {plain}");
}

#[test]
fn the_low_band_hides_a_drift_of_exposure() {
    fn drifting(index: usize, x: f32, y: f32) -> Vec<f32> {
        let light = (0.25 + 0.05 * noise(x, y)) * (1.0 + 0.002 * index as f32);
        vec![light, 20.0 * light, light * 0.5, 1.0]
    }
    let mut plate = Painted::new((192, 108), 60, &["R", "G", "B", "A"], drifting);
    let analysis = analyse(&mut plate);
    let mut edit = list(&analysis, 60, vec![sweep(&analysis, 35, -32, 8)]);
    edit.warp = false;
    // The worst jump of any column from one frame to the next.
    let jump = |edit: &EditList, plate: &mut Painted| {
        let made: Vec<_> = (30..50).map(|t| make(&analysis, edit, t, plate)).collect();
        let mut worst = [0.0f32; 2];
        for w in made.windows(2) {
            for x in 0..192 {
                for (c, worst) in worst.iter_mut().enumerate() {
                    let d: f32 = (0..108)
                        .map(|y| w[1].pixel(x, y)[c] / w[0].pixel(x, y)[c] - 1.0)
                        .sum();
                    *worst = worst.max((d / 108.0).abs());
                }
            }
        }
        worst
    };
    let eased = jump(&edit, &mut plate);
    edit.low_band = false;
    let plain = jump(&edit, &mut plate);
    for c in 0..2 {
        assert!(plain[c] > 0.05, "the jump is there: {plain:?}");
        assert!(eased[c] < 0.4 * plain[c], "{eased:?} of {plain:?}");
    }
}

#[test]
fn a_loop_closes_as_smoothly_as_it_runs() {
    fn sliding(index: usize, x: f32, y: f32) -> Vec<f32> {
        let light = 0.3 + 0.1 * noise(x - 0.006 * index as f32, y);
        vec![light * (1.0 + 0.003 * index as f32); 3]
    }
    let mut plate = Painted::new((192, 108), 60, &["R", "G", "B"], sliding);
    let analysis = analyse(&mut plate);
    // Fifty frames from plate index 8 on; the last clip ends where the first
    // begins, and its cut is over one frame before the seam.
    let mut edit = list(&analysis, 50, vec![sweep(&analysis, 44, -42, 5)]);
    edit.offset = 8;
    edit.closed = true;
    let frame = |t: i32, plate: &mut Painted| make(&analysis, &edit, t, plate);
    let (before, last) = (frame(48, &mut plate), frame(49, &mut plate));
    let (first, after) = (frame(0, &mut plate), frame(1, &mut plate));
    // The warp and the low band of the cut before the seam go on behind it.
    assert_ne!(bits(&first), bits(&plate.frame(8)));
    let closing = step(&last, &first);
    let around = step(&before, &last).max(step(&first, &after));
    assert!(closing < 1.3 * around, "{closing} against {around}");
    let mut open = edit.clone();
    open.closed = false;
    let untouched = make(&analysis, &open, 0, &mut plate);
    assert_eq!(bits(&untouched), bits(&plate.frame(8)));
}

#[test]
fn what_is_read_is_what_was_said_and_one_frame_at_a_time() {
    let mut plate = Painted::new((160, 90), 80, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let edit = list(
        &analysis,
        100,
        vec![
            sweep(&analysis, 20, 6, 12),
            patch(&analysis, 24, -9),
            sweep(&analysis, 60, -40, 12),
        ],
    );
    for t in 0..100 {
        plate.read.clear();
        plate.held.store(0, Ordering::Relaxed);
        make(&analysis, &edit, t, &mut plate);
        let needed = PlateEngine::default().frames_needed(&analysis, &edit, 1001 + t);
        let needed: BTreeSet<i32> = needed.into_iter().collect();
        assert!(
            plate.read.is_subset(&needed),
            "frame {t}: {:?} of {needed:?}",
            plate.read
        );
        assert!(
            needed.len() <= plate.read.len() + 1,
            "frame {t}: {needed:?}"
        );
        assert!(plate.held.load(Ordering::Relaxed) <= 1, "frame {t}");
    }
}

#[test]
fn a_fill_leaves_the_plate_alone_outside_the_matte() {
    fn ball(_index: usize, x: f32, y: f32) -> Vec<f32> {
        let r = ((x - 0.5) * (x - 0.5) + (y - 0.5) * (y - 0.5)).sqrt();
        vec![((0.25 - r) * 12.0).clamp(0.0, 1.0)]
    }
    let mut plate = Painted::new((160, 90), 60, &RGBAZ, moving);
    let mut matte = Painted::new((160, 90), 60, &["A"], ball);
    let analysis = analyse(&mut plate);
    let mut edit = list(
        &analysis,
        60,
        vec![patch(&analysis, 10, 20), sweep(&analysis, 40, 0, 6)],
    );
    edit.matted = true;
    let window = Window::whole(160, 90);
    for t in [0, 11, 20, 42, 59] {
        let original = plate.frame(t as usize);
        let mask = matte.frame(t as usize);
        let mut sources = Sources {
            plate: &mut plate,
            matte: Some(&mut matte),
            guide: None,
            subjects: Default::default(),
        };
        let made = try_make(&analysis, &edit, 1001 + t, window, &mut sources).unwrap();
        edit.matted = false;
        let gathered = make(&analysis, &edit, t, &mut plate);
        edit.matted = true;
        let mut changed = 0;
        for y in 0..90 {
            for x in 0..160 {
                let (m, p) = (made.pixel(x, y), original.pixel(x, y));
                let g = gathered.pixel(x, y);
                match mask.pixel(x, y)[0] {
                    0.0 => assert_eq!(m.map_bits(), p.map_bits(), "outside at {x},{y}"),
                    1.0 => assert_eq!(m.map_bits(), g.map_bits(), "inside at {x},{y}"),
                    k => {
                        for c in 0..5 {
                            let want = g[c] * k + p[c] * (1.0 - k);
                            assert!((m[c] - want).abs() <= 1e-5 * (1.0 + want.abs()));
                        }
                    }
                }
                changed += usize::from(m != p);
            }
        }
        assert_eq!(
            changed > 500,
            t == 20 || t == 11 || t == 42,
            "frame {t}: {changed}"
        );
    }
    let mut sources = Sources {
        plate: &mut plate,
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    let refused = try_make(&analysis, &edit, 1001, window, &mut sources);
    assert!(matches!(refused, Err(EngineError::Request(_))));
}

trait Bits {
    fn map_bits(&self) -> Vec<u32>;
}

impl Bits for [f32] {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|v| v.to_bits()).collect()
    }
}

#[test]
fn a_cancelled_frame_stops() {
    let mut plate = Painted::new((160, 90), 60, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let edit = list(&analysis, 90, vec![sweep(&analysis, 20, 6, 10)]);
    let cancel = Cancel::default();
    cancel.cancel();
    let made = PlateEngine::default().make(
        &analysis,
        &edit,
        1025,
        Window::whole(160, 90),
        &mut Sources {
            plate: &mut plate,
            matte: None,
            guide: None,
            subjects: Default::default(),
        },
        task(&cancel),
    );
    assert!(matches!(made, Err(EngineError::Cancelled(_))));
}
