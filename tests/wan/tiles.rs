//! Where tiles meet in the frames of a refined take, and that the report looks there.

use std::sync::Arc;

use longtake::device::Task;
use longtake::engine::wan::{Axis, Settings, WanEngine};
use longtake::engine::{Engine, TileBorders};
use longtake::sequence::report::{Borders, Report, Subject, report};
use longtake::sequence::{Kept, Mode};
use longtake::store::MemoryVault;
use tempfile::TempDir;

use crate::take::{Frames, Order, folder, range, settings};

/// The size that the model works in, and that to which frames are refined.
const SIZE: [usize; 2] = [192, 192];
const LARGE: [usize; 2] = [384, 320];
/// Pixels of a latent.
const FACTOR: usize = 8;

fn order(folder: &TempDir, plate: [usize; 2], out: i32) -> Order {
    Order {
        mode: Mode::Generate,
        out: range(1, out),
        keep: None,
        plate: Frames::blank(plate[0], plate[1], 1),
        matte: None,
        guide: None,
        settings: Settings {
            refine: Some(LARGE),
            refine_strength: 0.5,
            steps: 2,
            ..settings(folder.path(), SIZE)
        },
    }
}

/// What the engine says of a take of `order`.
fn told(order: &Order, engine: &WanEngine) -> TileBorders {
    let stages = engine.pieces(&order.timeline(), &order.plate.info).unwrap();
    let mut all = TileBorders::default();
    for stage in &stages {
        assert_eq!(stage.tiles.is_empty(), stage.name != "refinement");
        all.join(&stage.tiles);
    }
    all
}

#[test]
fn borders_lie_where_the_weights_of_tiles_change_in_the_plate_s_picture() {
    let folder = folder("whole");
    // Of the model's own size, of one that is no multiple of its, cropped, and larger.
    for plate in [[384, 320], [397, 241], [1161, 967]] {
        let order = order(&folder, plate, 1);
        let take = order.take_on(&(), Task::quiet()).unwrap();
        let grid = take.decision().shots[0].scheme.grid.clone().unwrap();
        let told = told(&order, take.engine());
        for (i, (axis, told)) in [(&grid.columns, &told.columns), (&grid.rows, &told.rows)]
            .into_iter()
            .enumerate()
        {
            let axis: Axis = axis.clone().times(FACTOR);
            let content = grid.fit.content[i];
            let lines: Vec<f64> = told.iter().map(|part| part * content as f64).collect();
            assert!(lines.is_sorted() && lines.iter().all(|l| *l > 0. && *l < content as f64));
            let is_told = |line: usize| lines.iter().any(|l| (l - line as f64).abs() < 1e-6);
            for line in 1..content {
                let differ = |part: usize| {
                    let [before, behind] = [line - 1, line].map(|at| axis.weight(part, at) > 0.);
                    let own = axis.parts[part].start == line || axis.parts[part].end == line;
                    before != behind || own
                };
                if (0..axis.parts.len()).any(differ) {
                    assert!(is_told(line), "{plate:?}: {line} of {lines:?}");
                }
            }
            // No more than five to an overlap, all of them within one.
            let overlaps = axis.parts.windows(2);
            let overlaps: Vec<_> = overlaps.map(|p| p[1].start..=p[0].end).collect();
            assert!(!overlaps.is_empty() && lines.len() <= 5 * overlaps.len());
            for line in &lines {
                let line = line.round() as usize;
                assert!(overlaps.iter().any(|o| o.contains(&line)), "{line}");
            }
        }
    }
    // What is not refined is of one piece.
    let mut plain = order(&folder, SIZE, 1);
    plain.settings.refine = None;
    let engine = WanEngine::new(plain.settings.clone(), Arc::new(Kept(MemoryVault::new(0))));
    let stages = engine.pieces(&plain.timeline(), &plain.plate.info).unwrap();
    assert!(stages.iter().all(|stage| stage.tiles.is_empty()));
}

/// `frames` measured, of tiles that meet at `tiles`.
fn measured(order: &Order, frames: &Frames, tiles: &TileBorders) -> Report {
    let info = &order.plate.info;
    let mut borders = Borders::default();
    borders.add(tiles, [info.width, info.height]);
    let (mut output, mut plate) = (frames.clone(), order.plate.clone());
    let mut subject = Subject {
        borders,
        ..Subject::of(&mut output, Some(&mut plate))
    };
    report(&mut subject, Task::quiet()).unwrap()
}

/// `frames`, all that lies from `column` and from `row` on a little lighter.
fn with_step(frames: &Frames, [column, row]: [usize; 2]) -> Frames {
    let mut stepped = frames.clone();
    for picture in &mut stepped.pictures {
        let lighter = Arc::make_mut(picture);
        for y in row..lighter.height() {
            let from = column * lighter.channels();
            let pixels = &mut lighter.row_mut(y)[from..];
            pixels.iter_mut().for_each(|v| *v += STEP);
        }
    }
    stepped
}

/// What a tile that is laid without a blend has more: beside the pattern that random
/// weights leave at every latent, less would be lost.
const STEP: f32 = 0.08;

#[test]
fn the_report_passes_what_was_refined_and_tells_of_a_tile_that_stands_out() {
    let folder = folder("whole");
    // Larger than what is measured: pictures are halved for it, and tiles meet between
    // their pixels.
    let order = order(&folder, [1161, 967], 3);
    let take = order.take_on(&(), Task::quiet()).unwrap();
    let tiles = told(&order, take.engine());
    let mut frames = order.plate.clone();
    frames.info.range = order.out;
    frames.pictures = order.out.iter().map(|f| order.frame(&take, f)).collect();
    let judged = |frames: &Frames| {
        let report = measured(&order, frames, &tiles);
        assert_eq!(report.reduced_by, 2);
        let mut all = report.verdicts.iter();
        let pass = all.find(|v| v.measure == "seam_tile_worst").unwrap().pass;
        (pass, report.measures)
    };
    let (pass, clean) = judged(&frames);
    assert!(pass, "{:?}", clean.seam_tile_at);
    let ends = |lines: &[f64], length: usize| {
        let on = |part: &f64| (part * length as f64).round() as usize;
        [0, 2, 4].map(|i| on(&lines[i]))
    };
    let columns = ends(&tiles.columns, 1161).map(|at| ("column", at, [at, 0]));
    let rows = ends(&tiles.rows, 967).map(|at| ("row", at, [0, at]));
    for (name, at, from) in columns.into_iter().chain(rows) {
        let (pass, broken) = judged(&with_step(&frames, from));
        assert!(!pass, "{name} {at}");
        let said = broken.seam_tile_at.unwrap();
        let (kind, place) = said.split_once(' ').unwrap();
        let place: usize = place.parse().unwrap();
        assert!(kind == name && place.abs_diff(at) <= 2, "{said}, not {at}");
        assert!(broken.seam_tile > clean.seam_tile);
    }
    // Where no tiles meet a step is no tile's.
    let (first, second) = (tiles.columns[4], tiles.columns[5]);
    let between = (0.5 * (first + second) * 1161.) as usize;
    let (pass, _) = judged(&with_step(&frames, [between, 0]));
    assert!(pass);
}
