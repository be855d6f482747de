//! What a person looks at: frames side by side, slices through time, and
//! curves, on one page.

use super::encoded::Encoded;
use super::raster::{Colour, LETTER, Raster, byte};
use super::{Curves, Report, Viewer};

/// Frames on the contact sheet: columns and rows.
const SHEET: (usize, usize) = (6, 4);
/// Width of a frame on the sheet, in pixels.
const THUMB: usize = 240;
/// Width of a slice through time at most, in pixels.
const SLICE: usize = 716;

const PAPER: Colour = [24, 24, 26];
const INK: Colour = [225, 225, 225];
const FAINT: Colour = [110, 110, 115];
const OURS: Colour = [90, 190, 255];
const PLATE: Colour = [255, 170, 70];
const BAD: Colour = [255, 90, 90];
const GOOD: Colour = [120, 220, 130];

/// A slice through time: the middle row of every frame, time downwards.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    width: usize,
    rgb: Vec<u8>,
}

impl Slice {
    /// The middle row of the next frame, a row of the slice.
    pub fn push(&mut self, frame: &Encoded) {
        self.width = frame.width.min(SLICE);
        let row = frame.height / 2 * frame.width * 3;
        for x in 0..self.width {
            let at = row + x * frame.width / self.width * 3;
            self.rgb
                .extend(frame.rgb[at..at + 3].iter().map(|v| byte(*v)));
        }
    }

    /// The slice as a picture; empty where no frame came.
    pub fn raster(&self) -> Raster {
        Raster {
            width: self.width,
            height: self.rgb.len() / (self.width * 3).max(1),
            rgb: self.rgb.clone(),
        }
    }
}

/// Gathers what the page shows while frames are measured. Holds the few
/// frames of the sheet, small, and a row of each frame.
#[derive(Clone, Debug)]
pub struct Album {
    wanted: Vec<usize>,
    thumbs: Vec<(i32, Raster)>,
    output: Slice,
    plate: Slice,
}

impl Album {
    /// For a sequence of `frames` frames.
    pub fn new(frames: usize) -> Self {
        let n = (SHEET.0 * SHEET.1).min(frames.max(1));
        Self {
            wanted: super::profile::evenly(0, frames.saturating_sub(1), n),
            thumbs: Vec::new(),
            output: Slice::default(),
            plate: Slice::default(),
        }
    }

    /// The frames side by side, evenly spaced over the sequence, each under
    /// its number.
    pub fn contact_sheet(&self) -> Raster {
        let (w, h) = self
            .thumbs
            .first()
            .map_or((1, 1), |t| (t.1.width, t.1.height));
        let cols = SHEET.0.min(self.thumbs.len()).max(1);
        let rows = self.thumbs.len().div_ceil(cols).max(1);
        let mut sheet = Raster::new(cols * (w + 4) - 4, rows * (h + 4) - 4, PAPER);
        for (i, (number, thumb)) in self.thumbs.iter().enumerate() {
            let (x, y) = ((i % cols * (w + 4)) as i32, (i / cols * (h + 4)) as i32);
            sheet.lay(thumb, x, y);
            sheet.label(x + 4, y + 4, &number.to_string());
        }
        sheet
    }

    /// The slices through time of the plate and of the sequence, side by side.
    pub fn slices(&self) -> Raster {
        let (plate, output) = (self.plate.raster(), self.output.raster());
        let gap = if plate.height == 0 { 0 } else { 8 };
        let head = LETTER + 6;
        let mut both = Raster::new(
            (plate.width + gap + output.width).max(1),
            head + plate.height.max(output.height).max(1),
            PAPER,
        );
        if plate.height > 0 {
            both.text(0, 2, "plate, middle row, time down", FAINT);
            both.lay(&plate, 0, head as i32);
        }
        let x = (plate.width + gap) as i32;
        both.text(x, 2, "sequence", FAINT);
        both.lay(&output, x, head as i32);
        both
    }

    /// One page: the contact sheet, the measures against their limits, curves
    /// over time and the slices.
    pub fn page(&self, report: &Report) -> Raster {
        let sheet = self.contact_sheet();
        let slices = self.slices();
        let margin = 16;
        let width = sheet.width.max(slices.width).max(900) + 2 * margin;
        let table = report.verdicts.len().max(1) * 12 + 30;
        let curves = curves(report, width - 2 * margin);
        let height = sheet.height + slices.height + table + curves.height + 5 * margin + 12;
        let mut page = Raster::new(width, height, PAPER);
        let x = margin as i32;
        let mut y = margin as i32;
        let o = &report.output;
        page.text(
            x,
            y,
            &format!(
                "frames {}-{}, {} x {}, {} fps",
                o.first, o.last, o.width, o.height, o.fps
            ),
            INK,
        );
        y += 12 + margin as i32 / 2;
        page.lay(&sheet, x, y);
        y += (sheet.height + margin) as i32;
        verdicts(&mut page, x, y, report);
        y += (table + margin / 2) as i32;
        page.lay(&curves, x, y);
        y += (curves.height + margin) as i32;
        page.lay(&slices, x, y);
        page
    }
}

impl Viewer for Album {
    fn plate(&mut self, _frame: i32, _index: usize, picture: &Encoded) {
        self.plate.push(picture);
    }

    fn output(&mut self, frame: i32, index: usize, picture: &Encoded) {
        self.output.push(picture);
        if self.wanted.contains(&index) {
            self.thumbs.push((frame, Raster::of(picture, THUMB)));
        }
    }
}

/// The measures that have limits, a line each.
fn verdicts(page: &mut Raster, x: i32, y: i32, report: &Report) {
    if report.verdicts.is_empty() {
        page.text(x, y, "no plate was given to measure against", FAINT);
        return;
    }
    page.text(
        x,
        y,
        "measure              value   at least   at most   plate's own",
        FAINT,
    );
    for (i, v) in report.verdicts.iter().enumerate() {
        let limit = |l: Option<f64>| l.map_or("-".to_owned(), |l| format!("{l:.3}"));
        let line = format!(
            "{:<18}{:>8.3}{:>11}{:>10}{:>14}   {}",
            v.measure,
            v.value,
            limit(v.at_least),
            limit(v.at_most),
            limit(report.referred(v)),
            if v.pass { "" } else { v.meaning }
        );
        let colour = if v.pass { GOOD } else { BAD };
        page.text(x, y + 14 + 12 * i as i32, &line, colour);
    }
}

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

/// Curves over time: steps and mean, of the sequence and of the plate, and
/// ghosts, seams and copies where they were looked at.
fn curves(report: &Report, width: usize) -> Raster {
    let panels = panels(report);
    let shown: Vec<_> = panels.iter().filter(|p| !p.ours.is_empty()).collect();
    let (tall, gap) = (70, 18);
    let mut out = Raster::new(width, shown.len().max(1) * (tall + gap), PAPER);
    for (i, panel) in shown.iter().enumerate() {
        let top = (i * (tall + gap) + gap - 4) as i32;
        let all = panel.ours.iter().chain(panel.plates.iter().flatten());
        let all = all.map(|p| p.1);
        let (low, high) = all.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let low = if low > 0.0 && low < 0.6 * high {
            0.0
        } else {
            low
        };
        let span = (high - low).max(1e-9);
        out.text(0, top - 11, panel.name, FAINT);
        let range = format!("{low:.4} to {high:.4}");
        out.text(
            width as i32 - (range.len() * LETTER) as i32,
            top - 11,
            &range,
            FAINT,
        );
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
    }
    let key = "blue: sequence   orange: plate";
    out.text((width / 2) as i32 - 120, 3, key, FAINT);
    out
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
    let both = |name, pick: fn(&Curves) -> &Vec<f64>| Panel {
        name,
        ours: all(pick(c)),
        plates: plate.map(|p| all(pick(p))),
        ..Panel::default()
    };
    let one = |name, ours| Panel {
        name,
        ours,
        ..Panel::default()
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
            plates: plate.map(|p| root(&p.spectrum)),
            ..one(
                "spectrum of the mean: 0 to half the frame rate, root of its share of the variance",
                root(&c.spectrum),
            )
        },
    ]
}
