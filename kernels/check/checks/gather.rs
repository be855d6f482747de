//! `gather`: bit for bit, on scenes of all kinds.

use libtest_mimic::Failed;
use longtake_kernels::driver::Transfer;
use longtake_kernels::gather::{Axis, Cut, Grade, Pictures, Scene, Tables, Window, gather, launch};

use super::Check;
use crate::lab::{Lab, UNSEEN, equal, same};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "gather",
    run,
    rate,
};

/// How pixels lie between cells; src/engine/plate/gather/grid.rs.
fn axis(cells: usize, pixels: usize) -> (Vec<u32>, Vec<f32>) {
    let (c, n) = (cells as i64, pixels as i64);
    (0..n)
        .map(|x| {
            let position = (2 * x + 1) * c - n;
            let part = position.rem_euclid(2 * n) as f64 / (2 * n) as f64;
            ((position.div_euclid(2 * n) + 1) as u32, part as f32)
        })
        .unzip()
}

/// One cut's tables.
struct OwnedCut {
    age: Vec<f32>,
    taken: Option<Vec<f32>>,
    to: usize,
    lead: f32,
    trail: f32,
}

/// A scene at random, and what it borrows from.
struct Random {
    grid: (usize, usize),
    size: (usize, usize),
    channels: usize,
    across: (Vec<u32>, Vec<f32>),
    down: (Vec<u32>, Vec<f32>),
    cuts: Vec<OwnedCut>,
    bands: Vec<Option<Vec<[f32; 3]>>>,
    flows: Vec<Option<Vec<[f32; 2]>>>,
    pictures: Vec<Vec<f32>>,
    matte: Option<(Vec<f32>, usize)>,
}

impl Random {
    fn new(lab: &mut Lab, size: (usize, usize), channels: usize, cuts: usize) -> Self {
        let grid = (1 + lab.below(9), 1 + lab.below(7));
        Self::on_grid(lab, grid, size, channels, cuts)
    }

    /// Mostly as frames of real takes are: large cells, one cut in which all cells take
    /// part, a flow that is often too small to move a pixel, no matte.
    fn as_in_a_take(lab: &mut Lab, size: (usize, usize), channels: usize) -> Self {
        let grid = (1 + lab.below(3), 1 + lab.below(3));
        let mut scene = Self::on_grid(lab, grid, size, channels, 1);
        let n = scene.bands.len();
        for cut in &mut scene.cuts {
            cut.taken = None;
            cut.to = n - 1;
            let level = [-9.0, -3.0, 0.0, 3.0, 9.0][lab.below(5)];
            let spread = [0.01, 1.0, 4.0][lab.below(3)];
            let ages = lab.numbers(cut.age.len());
            cut.age = ages.iter().map(|v| level + spread * v).collect();
        }
        for flow in scene.flows.iter_mut().flatten() {
            // In pixels; a pixel moves from 0.02 on.
            let by = [0.0, 0.01, 0.03, 0.1, 0.3, 10.0][lab.below(6)];
            let (x, y) = (
                by * grid.0 as f32 / size.0 as f32,
                by * grid.1 as f32 / size.1 as f32,
            );
            for v in flow.iter_mut() {
                *v = [x * v[0], y * v[1]];
            }
        }
        scene.matte = None;
        scene
    }

    fn on_grid(
        lab: &mut Lab,
        grid: (usize, usize),
        size: (usize, usize),
        channels: usize,
        cuts: usize,
    ) -> Self {
        let cells = grid.0 * grid.1;
        let n = 1 + lab.below(5);
        let cuts = (0..cuts)
            .map(|_| {
                let level = 12.0 * (lab.below(1000) as f32 / 1000.0 - 0.5);
                OwnedCut {
                    age: lab.numbers(cells).iter().map(|v| level + 2.5 * v).collect(),
                    taken: (lab.below(2) == 0)
                        .then(|| lab.numbers(cells).iter().map(|v| 0.5 + 0.4 * v).collect()),
                    to: lab.below(n),
                    lead: [f32::MAX, 0.5, 2.5, 7.5][lab.below(4)],
                    trail: [f32::MAX, -0.5, 1.5, 6.5][lab.below(4)],
                }
            })
            .collect();
        let maybe = |lab: &mut Lab| lab.below(4) > 0;
        let bands = (0..n)
            .map(|_| {
                maybe(lab).then(|| {
                    let v = lab.numbers(3 * cells);
                    let still = lab.below(cells + 1);
                    let cell = |(i, c): (usize, &[f32])| match i < still {
                        true => [0.0; 3],
                        false => [0.02 * c[0], 0.02 * c[1], 0.02 * c[2]],
                    };
                    v.chunks_exact(3).enumerate().map(cell).collect()
                })
            })
            .collect();
        let flows = (0..n * n)
            .map(|_| {
                maybe(lab).then(|| {
                    let v = lab.numbers(2 * cells);
                    v.chunks_exact(2)
                        .map(|c| [0.7 * c[0], 0.7 * c[1]])
                        .collect()
                })
            })
            .collect();
        let samples = size.0 * size.1 * channels;
        let pictures = (0..=n).map(|_| picture(lab, samples)).collect();
        let matte = (lab.below(3) == 0).then(|| {
            let n = 1 + lab.below(3);
            let pixels = size.0 * size.1 * n;
            let choice = [0.0, 1.0, 0.25, 0.9, f32::NAN, -2.0, 3.0];
            ((0..pixels).map(|_| choice[lab.below(7)]).collect(), n)
        });
        Self {
            grid,
            size,
            channels,
            across: axis(grid.0, size.0),
            down: axis(grid.1, size.1),
            cuts,
            bands,
            flows,
            pictures,
            matte,
        }
    }

    fn tables(&self, lab: &mut Lab) -> Result<Tables, Failed> {
        let cuts: Vec<Cut<'_>> = (self.cuts.iter())
            .map(|c| Cut {
                age: &c.age,
                taken: c.taken.as_deref(),
                to: c.to,
                lead: c.lead,
                trail: c.trail,
            })
            .collect();
        let bands: Vec<Option<&[[f32; 3]]>> = self.bands.iter().map(Option::as_deref).collect();
        let flows: Vec<Option<&[[f32; 2]]>> = self.flows.iter().map(Option::as_deref).collect();
        let channel = |i: usize| if i < self.channels { i as i32 } else { -1 };
        let scene = Scene {
            grid: self.grid,
            across: Axis {
                interval: &self.across.0,
                part: &self.across.1,
            },
            down: Axis {
                interval: &self.down.0,
                part: &self.down.1,
            },
            channels: self.channels,
            cuts: &cuts,
            bands: &bands,
            flows: &flows,
            warps: lab.below(5) > 0,
            grade: Grade {
                colour: [channel(0), channel(1), channel(2)],
                alpha: channel(3),
                display: lab.below(3) == 0,
            },
        };
        Tables::new(&scene).ok_or_else(|| "the scene was refused".into())
    }
}

/// Grain about a level, with highlights, values below 0, and some that are broken.
fn picture(lab: &mut Lab, samples: usize) -> Vec<f32> {
    let mut v: Vec<f32> = lab.numbers(samples).iter().map(|v| 0.4 + 0.3 * v).collect();
    for _ in 0..samples / 9 {
        let odd = [
            50.0,
            1e6,
            0.0,
            -0.0,
            1.0,
            0.5,
            f32::NAN,
            f32::INFINITY,
            f32::MAX,
        ];
        let i = lab.below(samples);
        v[i] = odd[lab.below(odd.len())];
    }
    v
}

fn run(lab: &mut Lab) -> Result<(), Failed> {
    let sizes = [
        (1, 1),
        (2, 1),
        (1, 5),
        (3, 3),
        (33, 9),
        (40, 27),
        (64, 8),
        (31, 50),
    ];
    for round in 0..60 {
        let channels = [4, 3, 1, 2, 5, 7, 4, 8][lab.below(8)];
        let scene = Random::new(lab, sizes[round % sizes.len()], channels, round % 5);
        check(lab, &scene)?;
    }
    let sizes = [(33, 9), (40, 27), (64, 8), (31, 50), (50, 62)];
    for round in 0..200 {
        let channels = 3 + round / 5 % 2;
        let scene = Random::as_in_a_take(lab, sizes[round % sizes.len()], channels);
        check(lab, &scene)?;
    }
    Ok(())
}

fn check(lab: &mut Lab, scene: &Random) -> Result<(), Failed> {
    let (width, height) = scene.size;
    let tables = scene.tables(lab)?;
    let [left, top] = [lab.below(width), lab.below(height)];
    let (right, bottom) = (
        left + 1 + lab.below(width - left),
        top + 1 + lab.below(height - top),
    );
    let window: Window = match lab.below(2) {
        0 => [0, 0, width, height],
        _ => [left, top, right, bottom],
    };
    let samples = (window[2] - window[0]) * (window[3] - window[1]) * scene.channels;
    let shown: Vec<usize> = tables.shown().collect();
    let n = scene.bands.len();
    let missing = lab.below(8);
    let has = |s: usize| shown.contains(&s) && s != missing;
    let beneath = &scene.pictures[n];
    let mut twin = vec![0.0; samples];
    let pictures = Pictures {
        sources: (0..n)
            .map(|s| has(s).then(|| &scene.pictures[s][..]))
            .collect(),
        matte: scene
            .matte
            .as_ref()
            .map(|(m, n)| (&m[..], *n, &beneath[..])),
    };
    gather(&tables, window, &pictures, 0, &mut twin);

    let put = |lab: &Lab, v: &[f32]| lab.guarded(v, f32::NAN);
    let words = lab.guarded(tables.words(), u32::MAX)?;
    let sources = (0..n)
        .map(|s| has(s).then(|| put(lab, &scene.pictures[s])).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    let matte = scene.matte.as_ref().map(|(m, _)| put(lab, m)).transpose()?;
    let beneath = put(lab, beneath)?;
    let mut out = lab.room(samples, UNSEEN)?;
    let pictures = Pictures {
        sources: sources
            .iter()
            .map(|s| s.as_ref().map(|s| s.part()))
            .collect(),
        matte: (matte.as_ref().zip(scene.matte.as_ref()))
            .map(|(m, (_, n))| (m.part(), *n, beneath.part())),
    };
    launch(
        &lab.stream,
        &tables,
        words.part(),
        window,
        &pictures,
        out.part_mut(),
    )?;
    let what = format!(
        "{width} x {height}, {} channels, grid {:?}, {} cuts, window {window:?}",
        scene.channels,
        scene.grid,
        scene.cuts.len()
    );
    let found = lab.read(&out)?;
    same(&what, &found, &twin)?;
    // Of zeros the sign, too.
    let signs = |v: &[f32]| -> Vec<bool> {
        let numbers = v.iter().filter(|v| !v.is_nan());
        numbers.map(|v| v.is_sign_negative()).collect()
    };
    equal(&what, &signs(&found), &signs(&twin))
}

/// A kind of frame whose rate is measured; parts of the grid in parts of a whole.
struct Kind {
    what: &'static str,
    channels: usize,
    /// Columns of cells that are near the cut.
    near: f32,
    /// Rows of cells that the low band eases.
    eased: f32,
    /// Rows of cells whose flow moves pixels that are near the cut.
    moving: f32,
    /// Whether a frame's way into host memory is measured, too.
    to_host: bool,
}

impl Kind {
    const fn new(what: &'static str, channels: usize, parts: [f32; 3]) -> Self {
        let [near, eased, moving] = parts;
        Self {
            what,
            channels,
            near,
            eased,
            moving,
            to_host: false,
        }
    }
}

const KINDS: [Kind; 6] = [
    Kind::new("4K, far from any cut", 4, [0.0, 0.0, 1.0]),
    Kind::new("4K, a quarter near a cut", 4, [0.25, 0.0, 1.0]),
    Kind::new("4K, all near a cut", 4, [1.0, 0.0, 1.0]),
    Kind {
        to_host: true,
        ..Kind::new("4K, all near a cut, with the low band", 4, [1.0, 1.0, 1.0])
    },
    Kind::new("4K, three channels, far from any cut", 3, [0.0, 0.0, 1.0]),
    Kind::new("4K, three channels, as in a real take", 3, [0.8, 0.7, 0.31]),
];

/// Whole 4K frames, far from any cut and in the midst of one.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let mut rates = Vec::new();
    for kind in &KINDS {
        rate_of(lab, kind, &mut rates)?;
    }
    Ok(rates)
}

fn rate_of(lab: &mut Lab, kind: &Kind, rates: &mut Vec<Rate>) -> Result<(), Failed> {
    let channels = kind.channels;
    let (width, height) = lab.size((3840, 2160), (96, 54));
    let grid = (107, 60);
    let cells = grid.0 * grid.1;
    let (across, down) = (axis(grid.0, width), axis(grid.1, height));
    let samples = width * height * channels;
    // Values of a picture: the low band costs more between black and white.
    let picture = lab.stream.upload(&vec![0.3f32; samples])?;
    let other = lab.stream.upload(&vec![0.4f32; samples])?;
    let sources = [&picture, &other];
    let mut out = lab.stream.room::<f32>(samples)?;
    let part = |part: f32, n: usize| (part * n as f32).round() as usize;
    let (near, eased, moving) = (
        part(kind.near, grid.0),
        part(kind.eased, grid.1),
        part(kind.moving, grid.1),
    );
    let within = |c: usize, rows: usize| f32::from(u8::from(c / grid.0 < rows));
    let ages: Vec<f32> = (0..cells)
        .map(|c| match c % grid.0 {
            column if column < near => column as f32 * 0.04 - 2.0,
            _ => -20.0,
        })
        .collect();
    let band: Vec<[f32; 3]> = (0..cells).map(|c| [0.01 * within(c, eased); 3]).collect();
    let flow: Vec<[f32; 2]> = (0..cells)
        .map(|c| [0.3, -0.2].map(|v| v * within(c, moving)))
        .collect();
    let cut = Cut {
        age: &ages,
        taken: None,
        to: 1,
        lead: f32::MAX,
        trail: f32::MAX,
    };
    let shared = (eased > 0).then_some(&band[..]);
    let scene = Scene {
        grid,
        across: Axis {
            interval: &across.0,
            part: &across.1,
        },
        down: Axis {
            interval: &down.0,
            part: &down.1,
        },
        channels,
        cuts: &[cut],
        bands: &[shared, shared],
        flows: &[None, Some(&flow[..]), Some(&flow[..]), None],
        warps: true,
        grade: Grade {
            colour: [0, 1, 2],
            alpha: if channels > 3 { 3 } else { -1 },
            display: false,
        },
    };
    let Some(tables) = Tables::new(&scene) else {
        return Err("the scene was refused".into());
    };
    let words = lab.stream.upload(tables.words())?;
    let pictures = Pictures {
        sources: sources.iter().map(|s| Some(s.part())).collect(),
        matte: None,
    };
    let window = [0, 0, width, height];
    let seconds = lab.time(|lab| {
        let out = out.part_mut();
        launch(&lab.stream, &tables, words.part(), window, &pictures, out)
    })?;
    rates.push(Rate::memory(kind.what, 8 * samples, seconds));
    if kind.to_host {
        // From plates in device memory to a frame in ordinary host memory.
        let mut frame = vec![0.0f32; samples];
        let mut transfer = Transfer::new(&lab.stream)?;
        let seconds = lab.clock(|lab| {
            let made = out.part_mut();
            launch(&lab.stream, &tables, words.part(), window, &pictures, made)?;
            transfer.download(&out, &mut frame)
        })?;
        rates.push(Rate::to_host(
            "4K frame into host memory",
            4 * samples,
            seconds,
        ));
    }
    Ok(())
}
