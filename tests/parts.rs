//! What a user relies on who marks parts of a picture, on the footage that comes with
//! the project: what is held out is the plate's, a region is never cut, its own seed
//! changes it alone, and what is made again leaves all else as it was. Needs ffmpeg.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use longtake::device::Task;
use longtake::engine::plate::{Analysis, EditList, PlateEngine, Region, Remake, Settings, Steady};
use longtake::engine::{Engine, EngineError, Sources, Timeline};
use longtake::frame::{
    FilePlate, FrameError, FrameRange, Picture, PlateInfo, PlateOptions, PlateReader, ScaledPlate,
    Window,
};
use longtake::sequence::{Mode, Request};
use tempfile::TempDir;

const FRAMES: i32 = 75;
const SIZE: (usize, usize) = (240, 180);

/// The first frames of the stream at half its size, in memory.
#[derive(Clone)]
struct Stream {
    info: PlateInfo,
    frames: Vec<Arc<Picture>>,
}

impl PlateReader for Stream {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        Ok(self.frames[(frame - 1) as usize].clone())
    }
}

struct Known {
    stream: Stream,
    analysis: Analysis,
}

/// Read and studied once for all tests.
fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plates/stream-of-water.mp4");
        let options = PlateOptions {
            range: FrameRange::new(1, FRAMES),
            ..PlateOptions::default()
        };
        let mut file = ScaledPlate::new(FilePlate::open(&path, &options).unwrap(), 2);
        let frames = (1..=FRAMES).map(|f| file.read(f).unwrap()).collect();
        let info = PlateInfo {
            full_size: SIZE,
            ..file.info().clone()
        };
        let mut stream = Stream { info, frames };
        let mut sources = Sources {
            plate: &mut stream,
            matte: None,
            guide: None,
            subjects: Default::default(),
        };
        let engine = PlateEngine::default();
        let analysis = engine.study(&mut sources, Task::quiet()).unwrap();
        Known { stream, analysis }
    })
}

/// Whether a pixel, in heights of the picture from its middle, is of something.
type Shape = fn(x: f64, y: f64, t: f64) -> bool;

/// Two arms around a hole, which no row or column can be cut along.
fn horseshoe(x: f64, y: f64, _: f64) -> bool {
    let r = (x + 0.3).hypot(y);
    (0.1..0.2).contains(&r) && !((x + 0.3).abs() < 0.05 && y < 0.0)
}

/// A post.
fn post(x: f64, y: f64, _: f64) -> bool {
    (x - 0.35).abs() < 0.03 && y > -0.3
}

/// Somebody who walks from left to right in the course of the plate.
fn walker(x: f64, y: f64, t: f64) -> bool {
    ((x + 0.5 - t / f64::from(FRAMES)) / 0.6).hypot(y - 0.1) < 0.1
}

fn covers(shape: Shape, pixel: usize, frame: i32) -> bool {
    let (x, y) = (pixel % SIZE.0, pixel / SIZE.0);
    let place = |v: usize, n: usize| (v as f64 + 0.5 - n as f64 / 2.0) / SIZE.1 as f64;
    shape(place(x, SIZE.0), place(y, SIZE.1), f64::from(frame))
}

/// Writes `shape` as a matte of `frames` frames.
fn matte(
    folder: &TempDir,
    name: &str,
    shape: Shape,
    frames: std::ops::RangeInclusive<i32>,
) -> PathBuf {
    let still = frames.start() == frames.end();
    for frame in frames {
        let path = folder.path().join(format!("{name}.{frame:04}.png"));
        let file = std::fs::File::create(path).unwrap();
        let mut encoder = png::Encoder::new(file, SIZE.0 as u32, SIZE.1 as u32);
        encoder.set_color(png::ColorType::Grayscale);
        let data: Vec<u8> = (0..SIZE.0 * SIZE.1)
            .map(|i| if covers(shape, i, frame) { 255 } else { 0 })
            .collect();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&data).unwrap();
    }
    match still {
        true => folder.path().join(format!("{name}.0001.png")),
        false => folder.path().join(format!("{name}.####.png")),
    }
}

fn timeline(mode: Mode, first: i32, last: i32) -> Timeline {
    let known = known();
    Request {
        mode,
        plate: known.stream.info.range,
        out: FrameRange::new(first, last).unwrap(),
        fps: known.stream.info.fps,
        keep: None,
    }
    .timeline()
    .unwrap()
}

fn settings() -> Settings {
    Settings {
        plans: 1,
        steady: Steady::Off,
        ..Settings::default()
    }
}

/// A take of the stream.
struct Take {
    engine: PlateEngine,
    timeline: Timeline,
    edit: EditList,
}

fn decide(timeline: &Timeline, settings: Settings) -> Result<Take, EngineError> {
    let engine = PlateEngine {
        settings,
        ..PlateEngine::default()
    };
    let edit = engine.decide(&known().analysis, timeline, Task::quiet())?;
    Ok(Take {
        engine,
        timeline: timeline.clone(),
        edit,
    })
}

impl Take {
    fn of(timeline: &Timeline, settings: Settings) -> Self {
        decide(timeline, settings).unwrap()
    }

    fn frames(&self) -> impl Iterator<Item = i32> {
        self.timeline.out.iter()
    }

    fn made(&self, frame: i32) -> bool {
        self.timeline.kept(frame).is_none()
    }

    /// The plate frame that each pixel of `frame` shows.
    fn shows(&self, frame: i32) -> Vec<i32> {
        let all = self.edit.plate_indices(frame, SIZE.0, SIZE.1);
        all.into_iter().map(|i| i + 1).collect()
    }

    fn picture(&self, frame: i32) -> Arc<Picture> {
        let mut stream = known().stream.clone();
        let mut sources = Sources {
            plate: &mut stream,
            matte: None,
            guide: None,
            subjects: Default::default(),
        };
        let window = Window::whole(SIZE.0, SIZE.1);
        let task = Task::quiet();
        self.engine
            .make(
                &known().analysis,
                &self.edit,
                frame,
                window,
                &mut sources,
                task,
            )
            .unwrap()
    }
}

/// The one plate frame that `shape` is seen in, in output frame `frame`: all of it,
/// and nothing of it anywhere else.
fn piece(take: &Take, shape: Shape, frame: i32) -> i32 {
    let shown = take.shows(frame);
    let seen: BTreeSet<i32> = (0..shown.len())
        .filter(|i| covers(shape, *i, shown[*i]))
        .map(|i| shown[i])
        .collect();
    assert_eq!(
        seen.len(),
        1,
        "frame {frame} shows it in plate frames {seen:?}"
    );
    let source = *seen.first().unwrap();
    for (i, s) in shown.iter().enumerate() {
        assert!(
            !covers(shape, i, source) || *s == source,
            "frame {frame}: plate frame {s} cuts into that of plate frame {source}"
        );
    }
    source
}

fn modes() -> [Timeline; 3] {
    [
        timeline(Mode::Extend, 1, 220),
        timeline(Mode::Loop, 1, 120),
        timeline(Mode::Extend, -90, 75),
    ]
}

#[test]
fn regions_are_never_cut() {
    let folder = tempfile::tempdir().unwrap();
    let still = matte(&folder, "horseshoe", horseshoe, 1..=1);
    let post_matte = matte(&folder, "post", post, 1..=1);
    let moving = matte(&folder, "walker", walker, 1..=FRAMES);
    let region = |matte: &PathBuf| Region {
        matte: matte.clone(),
        seed: None,
    };
    let mut cut = 0;
    for (timeline, novelty) in modes().iter().zip([0.5, 0.5, 1.0]) {
        let with = Settings {
            regions: vec![region(&still), region(&post_matte), region(&moving)],
            novelty,
            ..settings()
        };
        let take = Take::of(timeline, with);
        let without = Take::of(
            timeline,
            Settings {
                novelty,
                ..settings()
            },
        );
        for frame in take.frames() {
            for shape in [horseshoe, post, walker] {
                piece(&take, shape, frame);
            }
            let shown = without.shows(frame);
            let pieces: BTreeSet<i32> = (0..shown.len())
                .filter(|i| covers(horseshoe, *i, frame))
                .map(|i| shown[i])
                .collect();
            cut += usize::from(pieces.len() > 1);
        }
    }
    assert!(cut > 15, "without the mattes it is cut in {cut} frames");
}

/// Holds `shape` out of `timeline` and returns the plate frame that it shows in each
/// made frame.
fn held(timeline: &Timeline, matte: PathBuf, shape: Shape) -> Vec<i32> {
    let take = Take::of(
        timeline,
        Settings {
            hold_out: Some(matte),
            ..settings()
        },
    );
    let mut played = Vec::new();
    let mut other = 0;
    for frame in take.frames().filter(|f| take.made(*f)) {
        let source = piece(&take, shape, frame);
        played.push(source);
        let shown = take.shows(frame);
        other += shown.iter().filter(|s| **s != source).count();
        if frame % 7 == 0 {
            let (made, plate) = (
                take.picture(frame),
                &known().stream.frames[source as usize - 1],
            );
            for i in (0..shown.len()).filter(|i| covers(shape, *i, source)) {
                let (x, y) = (i % SIZE.0, i / SIZE.0);
                assert_eq!(
                    made.pixel(x, y),
                    plate.pixel(x, y),
                    "frame {frame}: {x}, {y}"
                );
            }
        }
    }
    let share = other as f64 / (played.len() * SIZE.0 * SIZE.1) as f64;
    assert!(share > 0.2, "the rest is re-timed: {share} of it is");
    played
}

fn cuts(played: &[i32]) -> usize {
    played.windows(2).filter(|p| p[1] != p[0] + 1).count()
}

#[test]
fn what_is_held_out_plays_the_plate_in_order_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let still = matte(&folder, "horseshoe", horseshoe, 1..=1);
    let moving = matte(&folder, "walker", walker, 1..=FRAMES);
    let [tail, closed, head] = &modes();
    let played = held(tail, still.clone(), horseshoe);
    // It begins where the kept frames end. 147 frames are to be made after the 22 or
    // so that are left of the plate: two cuts at the least.
    assert_eq!(played[0], 221 - played.len() as i32);
    assert!((2..=3).contains(&cuts(&played)), "{played:?}");
    let played = held(closed, still.clone(), horseshoe);
    // Round the loop at least two, one of which may lie between its ends.
    assert!((1..=3).contains(&cuts(&played)), "{played:?}");
    assert_eq!(played[119] + 1, played[0]);
    let played = held(head, moving.clone(), walker);
    assert!((1..=3).contains(&cuts(&played)), "{played:?}");
    let played = held(tail, moving, walker);
    assert!((2..=3).contains(&cuts(&played)), "{played:?}");
    // As long as the plate: never cut.
    let vary = timeline(Mode::Vary, 1, FRAMES);
    let played = held(&vary, still, horseshoe);
    assert_eq!(cuts(&played), 0, "{played:?}");
}

/// Pixels of `a` and `b` that differ, and the least distance of one to `shape` in
/// heights.
fn difference(a: &Picture, b: &Picture, shape: Shape) -> (usize, f64) {
    let (w, h) = SIZE;
    let inside: Vec<(f64, f64)> = (0..w * h)
        .filter(|i| covers(shape, *i, 1))
        .map(|i| ((i % w) as f64, (i / w) as f64))
        .collect();
    let mut count = 0;
    let mut far = 0f64;
    for i in (0..w * h).filter(|i| a.pixel(i % w, i / w) != b.pixel(i % w, i / w)) {
        count += 1;
        let (x, y) = ((i % w) as f64, (i / w) as f64);
        let near = inside
            .iter()
            .map(|p| (p.0 - x).abs().max((p.1 - y).abs()))
            .fold(f64::MAX, f64::min);
        far = far.max(near / h as f64);
    }
    (count, far)
}

#[test]
fn a_region_s_own_seed_changes_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let still = matte(&folder, "post", post, 1..=1);
    for timeline in &modes()[..2] {
        let take = |seed: Option<u64>| {
            let region = Region {
                matte: still.clone(),
                seed,
            };
            Take::of(
                timeline,
                Settings {
                    regions: vec![region],
                    ..settings()
                },
            )
        };
        let (plain, one, two) = (take(None), take(Some(1)), take(Some(2)));
        let (mut apart, mut others) = (0, 0);
        for frame in plain.frames().filter(|f| plain.made(*f)) {
            let (a, b) = (piece(&one, post, frame), piece(&two, post, frame));
            apart += usize::from(a != b);
            others += usize::from(a != piece(&plain, post, frame));
            if frame % 5 == 0 {
                let (count, far) = difference(&plain.picture(frame), &one.picture(frame), post);
                assert!(far < 0.25, "frame {frame}: {count} pixels, {far} away");
            }
        }
        assert!(apart > 30, "{apart} frames differ by the seed");
        assert!(others > 30, "{others} frames differ from the picture's");
    }
}

fn again(text: &str) -> Settings {
    Settings {
        remakes: Remake::list(text).unwrap(),
        ..settings()
    }
}

#[test]
fn what_is_made_again_leaves_all_else_to_the_bit() {
    let extend = timeline(Mode::Extend, 1, 220);
    let base = Take::of(&extend, settings());
    let once = Take::of(&extend, again("100-160=7"));
    let other = Take::of(&extend, again("100-160=8"));
    let twice = Take::of(&extend, again("100-160=7;130-190=9"));
    let (mut new, mut seeds, mut second) = (0, 0, 0);
    for frame in base.frames() {
        let pictures = [&base, &once, &other, &twice].map(|t| t.picture(frame));
        let [base, once, other, twice] = &pictures;
        if !(100..=160).contains(&frame) {
            assert_eq!(base, once, "frame {frame}");
            assert_eq!(base, other, "frame {frame}");
        }
        if !(130..=190).contains(&frame) {
            assert_eq!(once, twice, "frame {frame}");
        }
        new += usize::from(base != once);
        seeds += usize::from(other != once);
        second += usize::from(twice != once);
    }
    assert!(
        new > 20 && seeds > 20 && second > 10,
        "{new}, {seeds}, {second}"
    );
    // It joins: at the borders of the range each pixel goes on in its clip as often
    // as in the take before.
    for edge in [100, 161] {
        let goes_on = |t: &Take| {
            let (a, b) = (t.shows(edge - 1), t.shows(edge));
            a.iter().zip(&b).filter(|(a, b)| **b == **a + 1).count()
        };
        assert!(goes_on(&once) + 400 >= goes_on(&base), "at {edge}");
    }
    // The same on any machine.
    let same = Take::of(&extend, again("100-160=7;130-190=9"));
    assert_eq!(same.edit, twice.edit);
}

#[test]
fn what_a_matte_marks_is_made_again_alone() {
    let folder = tempfile::tempdir().unwrap();
    let shape: Shape = |x, y, _| x.hypot(y) < 0.3;
    let path = matte(&folder, "mark", shape, 1..=1);
    let moving = matte(&folder, "walker", walker, 1..=FRAMES);
    for timeline in &modes()[..2] {
        let base = Take::of(timeline, settings());
        let text = format!("40-120@{}=5", path.display());
        let take = Take::of(timeline, again(&text));
        // With what is held out, which stays as it is.
        let held = Settings {
            hold_out: Some(moving.clone()),
            ..settings()
        };
        let held_again = Settings {
            hold_out: Some(moving.clone()),
            ..again("40-120=5")
        };
        let (held, held_again) = (Take::of(timeline, held), Take::of(timeline, held_again));
        let (mut new, mut beside) = (0, 0);
        for frame in base.frames() {
            let (a, b) = (base.picture(frame), take.picture(frame));
            let within = (40..=120).contains(&frame);
            assert!(within || a == b, "frame {frame}");
            for i in 0..SIZE.0 * SIZE.1 {
                let (x, y) = (i % SIZE.0, i / SIZE.0);
                let same = a.pixel(x, y) == b.pixel(x, y);
                assert!(same || covers(shape, i, 1), "frame {frame}: {x}, {y}");
                new += usize::from(!same);
            }
            if frame % 3 == 0 && held.made(frame) {
                assert_eq!(
                    piece(&held, walker, frame),
                    piece(&held_again, walker, frame)
                );
                beside += usize::from(held.picture(frame) != held_again.picture(frame));
            }
        }
        assert!(new > 20 * 1000, "{new} pixels are new");
        assert!(
            beside > 8,
            "{beside} frames are new beside what is held out"
        );
    }
}

#[test]
fn what_cannot_be_done_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let empty = matte(&folder, "empty", |_, _, _| false, 1..=1);
    let extend = timeline(Mode::Extend, 1, 150);
    let says = |settings: Settings, word: &str| {
        let error = decide(&extend, settings).err().expect(word).to_string();
        assert!(error.contains(word), "{error}");
    };
    says(again("10-20=1"), "mark more frames");
    says(again("300-400=1"), "frames of it");
    let missing = folder.path().join("missing.####.png");
    for matte in [empty, missing] {
        let word = if matte.ends_with("empty.0001.png") {
            "covers nothing"
        } else {
            "missing"
        };
        let hold = Settings {
            hold_out: Some(matte.clone()),
            ..settings()
        };
        says(hold, word);
        let region = Region { matte, seed: None };
        let with = Settings {
            regions: vec![region],
            ..settings()
        };
        says(with, word);
    }
}
