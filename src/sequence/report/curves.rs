//! The page's curves: measures over time, and over the picture's columns and rows.

use super::album::{FAINT, PAPER};
use super::raster::{Colour, LETTER, LINE, Raster, lines_of, width_of};
use super::table::number;
use super::{Curves, Report};

const OURS: Colour = [90, 190, 255];
const PLATE: Colour = [255, 170, 70];
/// What the colours stand for.
const KEY: &str = "blue: sequence; orange: plate";

/// Points along a panel: from its left edge at 0 to its right one at 1, and the value.
type Points = Vec<(f64, f64)>;

/// A curve of the page, or two.
#[derive(Default)]
struct Panel {
    name: &'static str,
    ours: Points,
    plates: Option<Points>,
    /// Places that are marked.
    marks: Vec<f64>,
}

impl Panel {
    /// Of lines of the picture: `values` one for each, tiles meeting at `tiles`, of a
    /// picture `reduced` by so much.
    fn of_lines(name: [&'static str; 2], values: &[f64], tiles: &[f64], reduced: usize) -> Self {
        let last = values.len().saturating_sub(1).max(1) as f64;
        let points = values.iter().enumerate();
        // The first line lies before the second column.
        let line = |at: &f64| at / reduced.max(1) as f64 - 1.0;
        Self {
            name: name[usize::from(!tiles.is_empty())],
            ours: points.map(|(i, v)| (i as f64 / last, *v)).collect(),
            plates: None,
            marks: tiles.iter().map(|at| line(at) / last).collect(),
        }
    }
}

/// What is written over a panel.
struct Head {
    /// Its name, in lines that leave room for the range.
    name: Vec<String>,
    low: f64,
    high: f64,
    /// From `low` to `high`.
    range: String,
}

impl Head {
    fn of(panel: &Panel, width: usize) -> Self {
        let all = panel.ours.iter().chain(panel.plates.iter().flatten());
        let all = all.map(|p| p.1);
        let (low, high) = all.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let low = if low > 0.0 && low < 0.6 * high {
            0.0
        } else {
            low
        };
        let range = format!("{} to {}", number(low, 4), number(high, 4));
        let room = width.saturating_sub(width_of(&range) + 2 * LETTER);
        Self {
            name: lines_of(panel.name, room),
            low,
            high,
            range,
        }
    }

    fn height(&self) -> usize {
        self.name.len().max(1) * LINE as usize + 2
    }
}

/// Curves over time, on a picture `width` pixels wide: steps and mean, of the sequence
/// and of the plate, and ghosts, seams and copies where they were looked at.
pub(super) fn of(report: &Report, width: usize) -> Raster {
    let panels = panels(report);
    let shown: Vec<_> = panels.iter().filter(|p| !p.ours.is_empty()).collect();
    let tall = 70;
    let heads: Vec<Head> = shown.iter().map(|p| Head::of(p, width)).collect();
    let height: usize = heads.iter().map(|h| h.height() + tall).sum();
    let key = lines_of(&key(report), width);
    let mut top = key.len() as i32 * LINE;
    let mut out = Raster::new(width, top as usize + height.max(tall), PAPER);
    out.lines(0, 0, &key, FAINT);
    for (panel, head) in shown.iter().zip(&heads) {
        out.lines(0, top + 3, &head.name, FAINT);
        let right = width.saturating_sub(width_of(&head.range));
        out.text(right as i32, top + 3, &head.range, FAINT);
        top += head.height() as i32;
        let (low, high) = (head.low, head.high);
        let span = (high - low).max(1e-9);
        out.fill(0, top + tall as i32 - 1, width as i32, 1, FAINT);
        let across = |part: f64| (part * (width - 1) as f64) as i32;
        for mark in &panel.marks {
            out.fill(across(*mark), top, 1, tall as i32, FAINT);
        }
        let place = |p: &(f64, f64)| {
            let y = (1.0 - (p.1 - low) / span) * (tall - 2) as f64;
            (across(p.0), top + y as i32)
        };
        for (points, colour) in [(panel.plates.as_ref(), PLATE), (Some(&panel.ours), OURS)] {
            for pair in points.into_iter().flat_map(|p| p.windows(2)) {
                out.line(place(&pair[0]), place(&pair[1]), colour);
            }
        }
        top += tall as i32;
    }
    out
}

/// What there is to say of all panels.
fn key(report: &Report) -> String {
    let o = &report.output;
    let time = format!(
        "{KEY}; time from left to right, frames {}-{}",
        o.first, o.last
    );
    match marks(report).is_empty() {
        true => time,
        false => time + "; bars: from kept to made or back",
    }
}

/// Where made frames begin after kept ones and the other way about, along a panel.
fn marks(report: &Report) -> Vec<f64> {
    let (first, last) = (report.output.first, report.output.last);
    let span = (f64::from(last) - f64::from(first)).max(1.0);
    let made = report.made.iter().flatten();
    let ends = made.flat_map(|m| [(m.first > first, m.first), (m.last < last, m.last)]);
    let inner = ends.filter(|end| end.0);
    inner
        .map(|end| (f64::from(end.1) - f64::from(first)) / span)
        .collect()
}

fn panels(report: &Report) -> [Panel; 11] {
    let c = &report.curves;
    let last = c.luma.len().max(2) as f64 - 1.0;
    let plate = report.plate_curves.as_ref();
    let at = |v: &[(usize, f64)], by: f64| -> Points {
        v.iter().map(|p| (p.0 as f64 / last, by * p.1)).collect()
    };
    let all = |v: &[f64]| -> Points {
        let points = v.iter().enumerate();
        points.map(|(i, v)| (i as f64 / last, *v)).collect()
    };
    let one = |name, ours| Panel {
        name,
        ours,
        plates: None,
        marks: marks(report),
    };
    let both = |name, pick: fn(&Curves) -> &Vec<f64>| Panel {
        plates: plate.map(|p| all(pick(p))),
        ..one(name, all(pick(c)))
    };
    let half = 0.5 * report.output.fps.max(1e-9);
    let root =
        |v: &[(f64, f64)]| -> Points { v.iter().map(|p| (p.0 / half, p.1.sqrt())).collect() };
    let reduced = report.reduced_by;
    [
        both("step from frame to frame", |c| &c.steps),
        both("mean", |c| &c.luma),
        both("gradient (sharpness)", |c| &c.gradients),
        one("ghosts, per mille of moving blocks", at(&c.ghosts, 1000.0)),
        one("spurious gradient, per mille", at(&c.spurious, 1.0)),
        one(
            "gradient across switches, over the plate's there",
            at(&c.switches, 1.0),
        ),
        one(
            "step across borders between blocks of frames, over those around",
            at(&c.borders, 1.0),
        ),
        Panel::of_lines(
            [
                "gradient across each column, over the plate's, against those beside it",
                "gradient across each column, over the plate's, against those beside it; bars: tiles meet",
            ],
            &c.columns,
            &c.tile_columns,
            reduced,
        ),
        Panel::of_lines(
            [
                "gradient across each row, over the plate's, against those beside it",
                "gradient across each row, over the plate's, against those beside it; bars: tiles meet",
            ],
            &c.rows,
            &c.tile_rows,
            reduced,
        ),
        one("share on one offset for half a second", at(&c.copies, 1.0)),
        Panel {
            name: "spectrum of the mean: 0 to half the frame rate, root of its share of the variance",
            ours: root(&c.spectrum),
            plates: plate.map(|p| root(&p.spectrum)),
            marks: Vec::new(),
        },
    ]
}
