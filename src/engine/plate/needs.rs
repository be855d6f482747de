//! What a take needs of a machine beside its pictures, told from its shapes before any
//! work.

use super::exposure::Level;
use super::settings::Settings;
use super::{PlateEngine, cells, features, ground, jumps, plan, steadied};
use crate::engine::{Span, Timeline};
use crate::frame::PlateInfo;

/// Bytes of a cell's three values as they are learned.
const COLOUR: u64 = size_of::<[i16; 3]>() as u64;

impl PlateEngine {
    /// Bytes that are kept of what is learned of a plate like `plate` and decided for
    /// `timeline`, at most.
    pub fn kept_bytes(&self, timeline: &Timeline, plate: &PlateInfo) -> u64 {
        let (cols, rows) = cells::grid(plate);
        let cells = (cols * rows) as u64;
        // A cell's three values of three bytes and its matte, as the plate has them and
        // steadied, and a few words a frame.
        let learned = plate.range.count() as u64 * (2 * cells * 10 + 128);
        learned + events(timeline, cells)
    }

    /// Bytes of memory that learning of a plate like `plate` and deciding `timeline` on
    /// `threads` threads take at most, the pictures that are read not counted. Both grow
    /// with the length of the plate; with that of the take only the tables that plans are
    /// made by.
    pub fn deciding_bytes(&self, timeline: &Timeline, plate: &PlateInfo, threads: usize) -> u64 {
        let take = Take::of(&self.settings, timeline, plate);
        take.learning().max(take.deciding(threads))
    }

    /// Bytes that are held of it while frames are made.
    pub fn making_bytes(&self, timeline: &Timeline, plate: &PlateInfo) -> u64 {
        let take = Take::of(&self.settings, timeline, plate);
        take.learned() + events(timeline, take.cells)
    }
}

/// Bytes of what is decided, at most: an event has a byte a cell, and fewer than one begins
/// every four frames.
fn events(timeline: &Timeline, cells: u64) -> u64 {
    cells * (timeline.out.count() as u64 / 4 + 8)
}

/// The shapes that memory goes by.
struct Take<'a> {
    settings: &'a Settings,
    timeline: &'a Timeline,
    plate: &'a PlateInfo,
    /// Frames of the plate.
    frames: u64,
    /// Cells of the grid of decisions, and of that of plans.
    cells: u64,
    coarse: u64,
    /// Bytes learned of a cell in a frame.
    cell: u64,
}

impl<'a> Take<'a> {
    fn of(settings: &'a Settings, timeline: &'a Timeline, plate: &'a PlateInfo) -> Self {
        let (cols, rows) = cells::grid(plate);
        let mut spans = timeline.spans.iter();
        let matted = spans.any(|s| matches!(s, Span::Matted { .. }));
        Self {
            settings,
            timeline,
            plate,
            frames: plate.range.count() as u64,
            cells: (cols * rows) as u64,
            coarse: ground::plan_cells(cols, rows) as u64,
            cell: COLOUR + u64::from(matted),
        }
    }

    /// What is known once the plate was read: as it is and, where its camera turns out to
    /// move, steadied.
    fn learned(&self) -> u64 {
        2 * self.frames * self.cells * self.cell
    }

    /// While it is read: the finer cells beside that.
    fn learning(&self) -> u64 {
        let finer = steadied::kept_cells(self.plate) as u64;
        self.learned() + finer * self.frames * self.cells * self.cell
    }

    fn deciding(&self, threads: usize) -> u64 {
        let features = self.frames * (self.cells + self.coarse) * features::CELL;
        let levelled = match self.settings.level {
            Level::Off => 0,
            _ => self.frames * self.cells * self.cell,
        };
        let made_from = levelled + self.frames * self.coarse * features::COARSER;
        let free = self.timeline.spans.iter().filter_map(|s| match s {
            Span::Free { out } => Some(out.count()),
            _ => None,
        });
        let tables = free.max().map_or(0, |length| {
            let frames = self.frames as usize;
            let at_once = threads.min(self.settings.plans as usize) as u64;
            jumps::bytes(frames) + at_once * plan::bytes(length, frames)
        });
        self.learned() + features + made_from.max(tables)
    }
}
