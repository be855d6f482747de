//! What a user relies on when the camera of a plate moves or its exposure drifts:
//! what stands still in the scene does not jump, kept frames stay the plate's, and a
//! plate that does neither is left alone.

use std::sync::Arc;

use longtake::device::Task;
use longtake::engine::plate::{
    Analysis, EditList, Level, PlateEngine, Pose, Settings, Steady, Use, suitability,
};
use longtake::engine::{Engine, Sources, Timeline};
use longtake::frame::{
    FrameError, FrameRange, Picture, PlateInfo, PlateReader, Transfer, Window, to_display,
    to_linear,
};
use longtake::sequence::{Mode, Request};

const SIZE: (usize, usize) = (192, 144);
const FRAMES: i32 = 75;
const FPS: f64 = 25.0;

/// A wall with a pane of running water, seen by a hand-held camera or by one on
/// a stand. One channel.
struct Wall {
    info: PlateInfo,
    moves: bool,
    drifts: bool,
}

impl Wall {
    fn new(moves: bool) -> Self {
        Self {
            info: PlateInfo {
                range: FrameRange::new(1, FRAMES).unwrap(),
                width: SIZE.0,
                height: SIZE.1,
                full_size: SIZE,
                channels: vec!["Y".to_owned()],
                fps: FPS,
                transfer: Transfer::Display,
                pixel_aspect: 1.0,
                ids: Vec::new(),
            },
            moves,
            drifts: false,
        }
    }

    /// The light of a frame over that of the scene.
    fn exposure(&self, t: f64) -> f64 {
        match self.drifts {
            true => (0.2 * (0.07 * t).sin()).exp(),
            false => 1.0,
        }
    }

    fn pose(&self, t: f64) -> Pose {
        if !self.moves {
            return Pose::REST;
        }
        let sin = |f: f64, p: f64| (f * t + p).sin();
        Pose {
            x: 0.0006 * t + 0.006 * sin(0.21, 0.0) + 0.002 * sin(0.9, 1.0),
            y: 0.008 * sin(0.13, 2.0) + 0.002 * sin(1.1, 0.0),
            ..Pose::REST
        }
    }

    /// Whether a place of the scene belongs to the water.
    fn water(x: f64, y: f64) -> bool {
        x.abs() < 0.3 && y.abs() < 0.3
    }
}

fn scene(x: f64, y: f64, t: f64) -> f64 {
    if Wall::water(x, y) {
        let wave = |f: f64, g: f64, s: f64| (f * x + g * y + s * t).sin();
        0.4 + 0.1 * wave(20.0, 5.0, 0.9) + 0.1 * wave(-9.0, 24.0, 1.3) + 0.1 * wave(3.0, 11.0, 0.57)
    } else {
        let bricks = (31.0 * x + 4.0 * (7.0 * y).sin()).sin() * (37.0 * y).cos();
        0.5 + 0.15 * bricks + 0.1 * (67.0 * x + 41.0 * y).sin()
    }
}

impl PlateReader for Wall {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let t = f64::from(frame - 1);
        let back = self.pose(t).inverse();
        let (w, h) = SIZE;
        let data = (0..w * h).map(|i| {
            let x = ((i % w) as f64 + 0.5 - w as f64 / 2.0) / h as f64;
            let y = ((i / w) as f64 + 0.5 - h as f64 / 2.0) / h as f64;
            let (x, y) = back.apply(x, y);
            let v = scene(x, y, t) as f32;
            match self.drifts {
                true => to_display(to_linear(v) * self.exposure(t) as f32),
                false => v,
            }
        });
        Ok(Arc::new(
            Picture::from_data(w, h, 1, data.collect()).unwrap(),
        ))
    }
}

/// A take of the wall, and what it is made of.
struct Made {
    plate: Wall,
    timeline: Timeline,
    analysis: Analysis,
    edit: EditList,
    frames: Vec<Arc<Picture>>,
}

fn make(moves: bool, mode: Mode, count: i32, steady: Steady) -> Made {
    make_of(Wall::new(moves), mode, count, steady, Level::Auto)
}

fn make_of(plate: Wall, mode: Mode, count: i32, steady: Steady, level: Level) -> Made {
    let timeline = Request {
        mode,
        plate: plate.info.range,
        out: FrameRange::new(1, count).unwrap(),
        fps: FPS,
        keep: None,
    }
    .timeline()
    .unwrap();
    let engine = PlateEngine {
        settings: Settings {
            steady,
            level,
            plans: 2,
            ..Settings::default()
        },
        ..PlateEngine::default()
    };
    let task = Task::quiet();
    let mut reader = Wall {
        drifts: plate.drifts,
        ..Wall::new(plate.moves)
    };
    let mut sources = Sources {
        plate: &mut reader,
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    let analysis = engine.study(&mut sources, task).unwrap();
    let edit = engine.decide(&analysis, &timeline, task).unwrap();
    let window = Window::whole(SIZE.0, SIZE.1);
    let frames = (1..=count)
        .map(|f| {
            engine
                .make(&analysis, &edit, f, window, &mut sources, task)
                .unwrap()
        })
        .collect();
    Made {
        plate,
        timeline,
        analysis,
        edit,
        frames,
    }
}

impl Made {
    /// The mean absolute step from each frame to the next where the wall is,
    /// well away from the water and the edges.
    fn steps(frames: &[Arc<Picture>], closed: bool) -> Vec<f64> {
        let (w, h) = SIZE;
        let on_wall = |i: usize| {
            let (x, y) = (i % w, i / w);
            let across = (x as f64 - w as f64 / 2.0) / h as f64;
            across.abs() > 0.38 && (8..w - 8).contains(&x) && (8..h - 8).contains(&y)
        };
        let n = frames.len();
        (0..if closed { n } else { n - 1 })
            .map(|t| {
                let (a, b) = (frames[t].data(), frames[(t + 1) % n].data());
                let wall: Vec<f64> = (0..w * h)
                    .filter(|i| on_wall(*i))
                    .map(|i| f64::from((a[i] - b[i]).abs()))
                    .collect();
                wall.iter().sum::<f64>() / wall.len() as f64
            })
            .collect()
    }

    /// How far the wall of a picture is, in the mean, from what a camera at
    /// `pose` would have seen.
    fn astray(&self, picture: &Picture, pose: &Pose) -> f64 {
        // From the steadied picture to the scene, by way of a plate frame whose
        // true pose is known.
        let camera = self.edit.camera.as_ref().unwrap();
        let middle = camera.plate.len() / 2;
        let home = self
            .plate
            .pose(middle as f64)
            .inverse()
            .after(&camera.plate[middle]);
        let way = home.after(&pose.inverse());
        let (w, h) = SIZE;
        let (mut sum, mut n) = (0.0, 0.0);
        for y in 10..h - 10 {
            for x in 10..w - 10 {
                let at = way.apply(
                    (x as f64 + 0.5 - w as f64 / 2.0) / h as f64,
                    (y as f64 + 0.5) / h as f64 - 0.5,
                );
                if at.0.abs() > 0.36 || at.1.abs() > 0.36 {
                    sum += (f64::from(picture.pixel(x, y)[0]) - scene(at.0, at.1, 0.0)).abs();
                    n += 1.0;
                }
            }
        }
        sum / n
    }

    fn plate_frames(&self) -> Vec<Arc<Picture>> {
        let mut plate = Wall {
            drifts: self.plate.drifts,
            ..Wall::new(self.plate.moves)
        };
        (1..=FRAMES).map(|f| plate.read(f).unwrap()).collect()
    }
}

fn most(steps: &[f64]) -> f64 {
    steps.iter().copied().fold(0.0, f64::max)
}

#[test]
fn what_stands_still_does_not_jump_when_a_hand_held_plate_is_extended() {
    let made = make(true, Mode::Extend, 160, Steady::Auto);
    assert!(made.edit.camera.is_some());
    let plate = made.plate_frames();
    let own = most(&Made::steps(&plate, false));
    let got = most(&Made::steps(&made.frames, false));
    assert!(got < 1.1 * own, "{got} for {own}");
    // All of the wall is where one camera would have seen it, in every frame.
    let camera = made.edit.camera.as_ref().unwrap();
    let (mut astray, mut unmoved) = (0.0f64, 0.0f64);
    for (t, picture) in made.frames.iter().enumerate() {
        astray = astray.max(made.astray(picture, &camera.out[t]));
        unmoved = unmoved.max(made.astray(picture, &Pose::REST));
    }
    assert!(astray < 0.02, "{astray}");
    assert!(unmoved > 4.0 * astray, "{unmoved}: the test shows nothing");
    // Kept frames are the plate's, to the bit.
    let mut kept = 0;
    for (frame, picture) in (1..).zip(&made.frames) {
        if let Some(number) = made.timeline.kept(frame) {
            assert!(
                picture.data() == plate[number as usize - 1].data(),
                "{frame}"
            );
            kept += 1;
        }
    }
    assert!(kept > 30);
    // The camera goes on: it does not freeze on a stand.
    let late = Made::steps(&made.frames[90..], false);
    let mean = |s: &[f64]| s.iter().sum::<f64>() / s.len() as f64;
    assert!(mean(&late) > 0.25 * mean(&Made::steps(&plate, false)));
}

/// A wall that notes which of its frames are read.
struct Noted(Wall, Vec<i32>);

impl PlateReader for Noted {
    fn info(&self) -> &PlateInfo {
        self.0.info()
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        self.1.push(frame);
        self.0.read(frame)
    }
}

#[test]
fn what_lies_beyond_a_frames_edges_is_what_other_frames_show_there() {
    let made = make(true, Mode::Extend, 160, Steady::Auto);
    let engine = PlateEngine::default();
    let camera = made.edit.camera.as_ref().unwrap();
    let mut alone = made.edit.clone();
    alone.camera.as_mut().unwrap().withheld = vec![true; FRAMES as usize];
    let (w, h) = SIZE;
    let middle = camera.plate.len() / 2;
    let own = made.plate.pose(middle as f64).inverse();
    let home = own.after(&camera.plate[middle]);
    let place = |i: usize| {
        let x = ((i % w) as f64 + 0.5 - w as f64 / 2.0) / h as f64;
        (x, ((i / w) as f64 + 0.5) / h as f64 - 0.5)
    };
    let (mut lent, mut mirrored) = (0.0f64, 0.0f64);
    for frame in (80..160).step_by(6) {
        let from = camera.out[frame as usize - 1].inverse();
        let way = home.after(&from);
        // The outermost pixels of the wall, where any frame of the plate shows it.
        let margin: Vec<usize> = (0..w * h)
            .filter(|i| {
                let (x, y) = place(*i);
                let edge = x.abs() > 0.5 * w as f64 / h as f64 - 0.03 || y.abs() > 0.47;
                edge && camera.plate.iter().any(|p| {
                    let (u, v) = p.after(&from).apply(x, y);
                    u.abs() < 0.5 * w as f64 / h as f64 - 0.01 && v.abs() < 0.49
                })
            })
            .collect();
        assert!(margin.len() > 500);
        let astray = |edit: &EditList| {
            let mut plate = Noted(Wall::new(true), Vec::new());
            let mut sources = Sources {
                plate: &mut plate,
                matte: None,
                guide: None,
                subjects: Default::default(),
            };
            let (analysis, window) = (&made.analysis, Window::whole(w, h));
            let task = Task::quiet();
            let picture = engine
                .make(analysis, edit, frame, window, &mut sources, task)
                .unwrap();
            let needed = engine.frames_needed(analysis, edit, frame);
            assert!(plate.1.iter().all(|f| needed.contains(f)), "{frame}");
            let off = margin.iter().map(|&i| {
                let (x, y) = place(i);
                let (x, y) = way.apply(x, y);
                (f64::from(picture.data()[i]) - scene(x, y, 0.0)).abs()
            });
            off.sum::<f64>() / margin.len() as f64
        };
        lent = lent.max(astray(&made.edit));
        mirrored = mirrored.max(astray(&alone));
    }
    assert!(lent < 0.02, "{lent}");
    assert!(
        mirrored > 2.0 * lent,
        "{mirrored}: the test shows nothing, {lent}"
    );
}

#[test]
fn a_loop_of_a_hand_held_plate_closes() {
    let made = make(true, Mode::Loop, 100, Steady::Auto);
    let own = most(&Made::steps(&made.plate_frames(), false));
    let got = most(&Made::steps(&made.frames, true));
    assert!(got < 1.1 * own, "{got} for {own}");
}

#[test]
fn a_plate_on_a_stand_is_left_alone() {
    let made = make(false, Mode::Extend, 120, Steady::On);
    assert!(made.analysis.steadied.is_none());
    assert!(made.edit.camera.is_none());
    assert_eq!(most(&Made::steps(&made.frames, false)), 0.0);
}

fn drifting(moves: bool, mode: Mode, level: Level) -> Made {
    let plate = Wall {
        drifts: true,
        ..Wall::new(moves)
    };
    make_of(plate, mode, 160, Steady::Auto, level)
}

#[test]
fn light_does_not_jump_when_a_plate_whose_exposure_drifts_is_extended() {
    for moves in [false, true] {
        let made = drifting(moves, Mode::Extend, Level::Auto);
        assert!(made.edit.exposure.is_some());
        let plate = made.plate_frames();
        let own = most(&Made::steps(&plate, false));
        let got = most(&Made::steps(&made.frames, false));
        assert!(got < 1.1 * own, "{got} for {own}");
        for (frame, picture) in (1..).zip(&made.frames) {
            if let Some(number) = made.timeline.kept(frame) {
                let plate = &plate[number as usize - 1];
                assert!(picture.data() == plate.data(), "frame {frame}");
            }
        }
        if !moves {
            let off = drifting(moves, Mode::Extend, Level::Off);
            assert!(off.edit.exposure.is_none());
            let judged = |m: &Made| {
                let (range, purpose) = (m.timeline.plate, Use::of(&m.edit));
                suitability(&m.analysis, range, purpose, Task::quiet()).unwrap()
            };
            // Twice .2 of a natural logarithm, all but a little at either end.
            assert!((0.4..0.5).contains(&judged(&made).levelled));
            assert_eq!(judged(&off).levelled, 0.0);
            let late = |m: &Made| most(&Made::steps(&m.frames[100..], false));
            let (on, off) = (late(&made), late(&off));
            assert!(on < 0.25 * off, "{on} for {off}");
        }
    }
}

#[test]
fn a_loop_of_a_plate_whose_exposure_drifts_closes() {
    let made = drifting(false, Mode::Loop, Level::Auto);
    let steps = Made::steps(&made.frames, true);
    let (got, own) = (
        most(&steps),
        most(&Made::steps(&made.plate_frames(), false)),
    );
    assert!(got < 0.25 * own, "the wall is lit evenly: {got} for {own}");
}

#[test]
fn the_light_of_a_plate_that_is_even_is_left_alone() {
    let on = make_of(Wall::new(false), Mode::Extend, 120, Steady::Auto, Level::On);
    assert!(on.edit.exposure.is_none());
    let moving = make(true, Mode::Extend, 120, Steady::Auto);
    assert!(moving.edit.exposure.is_none());
}

/// A wall in colour, whose white balance drifts while its exposure does not.
struct Tinted(Wall);

impl Tinted {
    fn new() -> Self {
        let mut wall = Wall::new(false);
        wall.info.channels = ["R", "G", "B"].map(str::to_owned).to_vec();
        Self(wall)
    }
}

impl PlateReader for Tinted {
    fn info(&self) -> &PlateInfo {
        self.0.info()
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let grey = self.0.read(frame)?;
        let warm = (0.15 * (0.07 * f64::from(frame - 1)).sin()).exp() as f32;
        let pixels = grey.data().iter().flat_map(|v| {
            let light = to_linear(*v);
            [light * warm, light, light / warm].map(to_display)
        });
        let (w, h) = SIZE;
        Ok(Arc::new(
            Picture::from_data(w, h, 3, pixels.collect()).unwrap(),
        ))
    }
}

#[test]
fn colour_does_not_jump_when_the_white_balance_drifts() {
    let timeline = Request {
        mode: Mode::Extend,
        plate: Tinted::new().0.info.range,
        out: FrameRange::new(1, 150).unwrap(),
        fps: FPS,
        keep: None,
    }
    .timeline()
    .unwrap();
    let (w, h) = SIZE;
    // Red over blue where the wall is, in every frame.
    let warmth = |picture: &Picture| {
        let wall = (0..w * h).filter(|i| (i % w) as f64 > 0.9 * w as f64);
        let (red, blue) = wall.fold((0.0, 0.0), |(r, b), i| {
            let p = &picture.data()[3 * i..];
            (r + f64::from(p[0]), b + f64::from(p[2]))
        });
        red / blue
    };
    let largest = |level: Level| {
        let engine = PlateEngine {
            settings: Settings {
                level,
                plans: 2,
                ..Settings::default()
            },
            ..PlateEngine::default()
        };
        let task = Task::quiet();
        let mut plate = Tinted::new();
        let mut sources = Sources {
            plate: &mut plate,
            matte: None,
            guide: None,
            subjects: Default::default(),
        };
        let analysis = engine.study(&mut sources, task).unwrap();
        let edit = engine.decide(&analysis, &timeline, task).unwrap();
        assert_eq!(edit.exposure.is_some(), level == Level::Auto);
        let window = Window::whole(w, h);
        let all: Vec<f64> = (1..=150)
            .map(|f| {
                let made = engine.make(&analysis, &edit, f, window, &mut sources, task);
                warmth(&made.unwrap())
            })
            .collect();
        most(
            &all.windows(2)
                .map(|p| (p[1] - p[0]).abs())
                .collect::<Vec<_>>(),
        )
    };
    let plate: Vec<f64> = (1..=FRAMES)
        .map(|f| warmth(&Tinted::new().read(f).unwrap()))
        .collect();
    let own = most(
        &plate
            .windows(2)
            .map(|p| (p[1] - p[0]).abs())
            .collect::<Vec<_>>(),
    );
    let (on, off) = (largest(Level::Auto), largest(Level::Off));
    assert!(on < 1.5 * own, "{on} for {own}");
    assert!(off > 2.0 * on, "{off}: the test shows nothing, {on}");
}
