//! What a person looks at: frames side by side, slices through time, and
//! curves, on one page.

use super::encoded::Encoded;
use super::raster::{Colour, LETTER, LINE, Raster, byte, lines_of, width_of};
use super::{Report, Viewer, curves, table};

/// Frames on the contact sheet: columns and rows.
const SHEET: (usize, usize) = (6, 4);
/// Width of a frame on the sheet, in pixels.
const THUMB: usize = 240;
/// Width of a slice through time at most, in pixels.
const SLICE: usize = 716;

pub(super) const PAPER: Colour = [24, 24, 26];
pub(super) const FAINT: Colour = [110, 110, 115];
const INK: Colour = [225, 225, 225];
/// Over the slices.
const PLATE_TITLE: &str = "plate, middle row, time down";
const OUTPUT_TITLE: &str = "sequence";

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
    /// its number; those that `report` knows to be the plate's own are marked.
    pub fn contact_sheet(&self, report: &Report) -> Raster {
        let (w, h) = self
            .thumbs
            .first()
            .map_or((1, 1), |t| (t.1.width, t.1.height));
        let cols = SHEET.0.min(self.thumbs.len()).max(1);
        let rows = self.thumbs.len().div_ceil(cols).max(1);
        // The number of a small frame wants the room.
        let called = |frame: i32| match report.is_kept(frame) {
            true => format!("{frame} kept"),
            false => frame.to_string(),
        };
        let number = |t: &(i32, Raster)| width_of(&called(t.0)) + 8;
        let w = self.thumbs.iter().map(number).fold(w, usize::max);
        let h = h.max(LETTER + 8);
        let mut sheet = Raster::new(cols * (w + 4) - 4, rows * (h + 4) - 4, PAPER);
        for (i, (frame, thumb)) in self.thumbs.iter().enumerate() {
            let (x, y) = ((i % cols * (w + 4)) as i32, (i / cols * (h + 4)) as i32);
            sheet.lay(thumb, x, y);
            sheet.label(x + 4, y + 4, &called(*frame));
        }
        sheet
    }

    /// The slices through time of the plate and of the sequence, side by side; their
    /// titles in one line where that is wide enough, else one above the other.
    pub fn slices(&self) -> Raster {
        let (plate, output) = (self.plate.raster(), self.output.raster());
        let is_there = plate.height > 0;
        let x = if is_there { plate.width + 8 } else { 0 };
        let stacked = is_there && width_of(PLATE_TITLE) + LETTER > x;
        let second = if stacked { 2 + LINE } else { 2 };
        let head = second as usize + LETTER + 4;
        let mut width = x + output.width.max(width_of(OUTPUT_TITLE));
        if is_there {
            width = width.max(width_of(PLATE_TITLE));
        }
        let height = head + plate.height.max(output.height).max(1);
        let mut both = Raster::new(width, height, PAPER);
        if is_there {
            both.text(0, 2, PLATE_TITLE, FAINT);
            both.lay(&plate, 0, head as i32);
        }
        both.text(x as i32, second, OUTPUT_TITLE, FAINT);
        both.lay(&output, x as i32, head as i32);
        both
    }

    /// One page: what is shown, the contact sheet, the measures against their limits, curves
    /// over time and the slices.
    pub fn page(&self, report: &Report) -> Raster {
        let sheet = self.contact_sheet(report);
        let slices = self.slices();
        let margin = 16;
        let width = sheet.width.max(slices.width).max(1100) + 2 * margin;
        let table = table::of(report, width - 2 * margin);
        let curves = curves::of(report, width - 2 * margin);
        let parts = [&sheet, &table, &curves, &slices];
        let heading = lines_of(&report.heading(&report.titles.sequence), width - 2 * margin);
        let details = report.details();
        let details = details.iter().flat_map(|l| lines_of(l, width - 2 * margin));
        let details: Vec<String> = details.collect();
        let head = (heading.len() + details.len()) * LINE as usize + margin / 2;
        let height = parts.iter().map(|p| p.height + margin).sum::<usize>() + margin + head;
        let mut page = Raster::new(width, height, PAPER);
        let x = margin as i32;
        let mut y = margin as i32;
        page.lines(x, y, &heading, INK);
        page.lines(x, y + heading.len() as i32 * LINE, &details, FAINT);
        y += head as i32;
        for part in parts {
            page.lay(part, x, y);
            y += (part.height + margin) as i32;
        }
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
