//! A picture of a plan: time runs right, what is made are bars.

use super::Plan;
use crate::engine::Span;
use crate::engine::plate::{EditList, NEVER};
use crate::frame::{FrameList, FrameRange};
use crate::sequence::report::{Colour, LETTER, Raster};

/// Width of the time axis in pixels at most; longer takes have several frames a
/// pixel.
const AXIS: usize = 1440;
/// Left of it, for names.
const NAMES: usize = 150;
const MARGIN: usize = 12;
const LANE: usize = 14;
const GAP: usize = 4;
/// Regions across and down whose clips are shown.
const REGIONS: (usize, usize) = (4, 3);

const PAPER: Colour = [24, 24, 26];
const INK: Colour = [225, 225, 225];
const FAINT: Colour = [110, 110, 115];
const KEPT: Colour = [120, 220, 130];
const MADE: Colour = [90, 190, 255];
const MATTED: Colour = [255, 170, 70];

/// Draws `plan`: which frames are kept and which made, and for each level its
/// blocks. Where the edit list is known already, also which clip of the plate
/// the middle of each of twelve regions of the picture plays: a colour is a
/// clip, and what is seen again in one colour goes on where it left off.
pub fn chart(plan: &Plan, edit: Option<&EditList>) -> Raster {
    let out = plan.timeline.out;
    let axis = Axis {
        first: out.first,
        count: out.count(),
        width: out.count().clamp(240, AXIS),
    };
    let regions = edit.map_or(0, |_| REGIONS.0 * REGIONS.1);
    let lanes = 1 + regions + plan.levels.len();
    let height = 2 * MARGIN + 3 * (LETTER + 6) + lanes * (LANE + GAP) + 3 * GAP;
    let mut page = Raster::new(NAMES + axis.width + 2 * MARGIN, height, PAPER);
    let x = MARGIN as i32;
    let mut y = MARGIN as i32;
    let title = format!(
        "{}: {} frames {out} of a plate of {} frames {}",
        plan.engine,
        out.count(),
        plan.timeline.plate.count(),
        plan.timeline.plate
    );
    page.text(x, y, &title, INK);
    y += LETTER as i32 + 8;
    axis.ticks(&mut page, y);
    y += LETTER as i32 + 6;

    page.text(x, y + 3, "kept, made", FAINT);
    for span in &plan.timeline.spans {
        let colour = match span {
            Span::Kept { .. } => KEPT,
            Span::Free { .. } => MADE,
            Span::Matted { .. } => MATTED,
        };
        axis.bar(&mut page, y, span.out(), colour);
    }
    y += (LANE + GAP) as i32;
    if let Some(edit) = edit {
        y += GAP as i32;
        for region in 0..regions {
            let (col, row) = (region % REGIONS.0, region / REGIONS.0);
            page.text(x, y + 3, &format!("region {},{}", row + 1, col + 1), FAINT);
            clips(&mut page, y, &axis, edit, col, row);
            y += (LANE + GAP) as i32;
        }
        y += GAP as i32;
    }
    for level in &plan.levels {
        let name = format!("{} ({})", level.name, level.blocks.len());
        page.text(x, y + 3, &name, FAINT);
        let (mut light, mut before) = (false, None);
        for block in &level.blocks {
            // Blocks of the same frames, as tiles are, are one bar.
            light ^= before != Some(&block.frames);
            before = Some(&block.frames);
            let shade = if light { MADE } else { [60, 130, 190] };
            match &block.frames {
                None => axis.bar(&mut page, y, out, FAINT),
                Some(frames) => blocks(&mut page, y, &axis, frames, shade),
            }
        }
        y += (LANE + GAP) as i32;
    }
    page.text(
        x,
        y,
        "green: kept   blue: made   orange: inside the matte",
        FAINT,
    );
    page
}

/// A block's frames: one bar, or one for each frame where they lie apart.
fn blocks(page: &mut Raster, y: i32, axis: &Axis, frames: &FrameList, colour: Colour) {
    match frames.as_range() {
        Some(range) => axis.bar(page, y, range, colour),
        None => frames
            .iter()
            .filter_map(|f| FrameRange::new(f, f))
            .for_each(|one| axis.bar(page, y, one, colour)),
    }
}

/// What the middle of a region plays, a colour for each clip.
fn clips(page: &mut Raster, y: i32, axis: &Axis, edit: &EditList, col: usize, row: usize) {
    let (cols, rows) = (usize::from(edit.cols), usize::from(edit.rows));
    let place = |i: usize, of: usize, cells: usize| {
        ((2 * i + 1) * cells / (2 * of)).min(cells.saturating_sub(1))
    };
    let cell = place(row, REGIONS.1, rows) * cols + place(col, REGIONS.0, cols);
    for px in 0..axis.width {
        let t = px * axis.count / axis.width;
        let edit = edit.at(t as u32);
        let mut offset = edit.offset;
        for event in &edit.events {
            let switch = event.switch.get(cell).copied().unwrap_or(NEVER);
            if switch != NEVER && t >= event.at as usize + usize::from(switch) {
                offset = event.offset;
            }
        }
        page.fill(axis.x(px), y, 1, LANE as i32, hue(offset));
    }
}

/// A colour for a number; neighbours get colours far apart.
fn hue(number: i32) -> Colour {
    // Steps of the golden ratio spread evenly round the circle.
    let turn = (f64::from(number) * 0.618_033_988_749_895).rem_euclid(1.0) * 6.0;
    let ramp = |at: f64| {
        let d = (turn - at).rem_euclid(6.0);
        let near = d.min(6.0 - d);
        (70.0 + 160.0 * (2.0 - near).clamp(0.0, 1.0)) as u8
    };
    [ramp(0.0), ramp(2.0), ramp(4.0)]
}

struct Axis {
    first: i32,
    count: usize,
    width: usize,
}

impl Axis {
    fn x(&self, px: usize) -> i32 {
        (MARGIN + NAMES + px) as i32
    }

    /// Where frame index `i` begins, in pixels of the axis.
    fn at(&self, i: usize) -> usize {
        i * self.width / self.count
    }

    fn bar(&self, page: &mut Raster, y: i32, frames: FrameRange, colour: Colour) {
        let index = |f: i32| (i64::from(f) - i64::from(self.first)).max(0) as usize;
        let from = self.at(index(frames.first).min(self.count));
        let to = self.at((index(frames.last) + 1).min(self.count));
        // A line between neighbours, where there is room for one.
        let room = to.saturating_sub(from);
        let width = if room > 3 { room - 1 } else { room };
        page.fill(self.x(from), y, width as i32, LANE as i32, colour);
    }

    /// Frame numbers at round distances.
    fn ticks(&self, page: &mut Raster, y: i32) {
        let steps = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2500];
        let step = steps
            .into_iter()
            .find(|s| self.at(s * 16) >= 16 * 70 || s * 12 >= self.count)
            .unwrap_or(self.count.div_ceil(12).max(1));
        for i in (0..self.count).step_by(step) {
            let x = self.x(self.at(i));
            page.text(x, y, &(i64::from(self.first) + i as i64).to_string(), FAINT);
            page.fill(x, y + LETTER as i32 + 1, 1, 4, FAINT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plate::{Event, Kind, PlateEngine};
    use crate::sequence::{Mode, Names, Request, plan};

    #[test]
    fn time_runs_right_and_clips_change_colour_where_they_change() {
        let request = Request {
            mode: Mode::Extend,
            plate: FrameRange::new(1, 90).unwrap(),
            out: FrameRange::new(1, 480).unwrap(),
            fps: 24.0,
            keep: None,
        };
        let timeline = request.timeline().unwrap();
        let engine = PlateEngine::default();
        let names = Names::of(&engine, &blake3::hash(b"p"), &timeline);
        let stages = ["analysis", "edit list"];
        let plan = plan::lay(&engine, stages, &[], &names, &timeline, 48, "");
        let mut edit = EditList {
            camera: None,
            exposure: None,
            held: Vec::new(),
            layers: Vec::new(),
            cols: 80,
            rows: 60,
            plate_frames: 90,
            out_frames: 480,
            first_out: 1,
            first_plate: 1,
            offset: 0,
            events: vec![Event {
                at: 200,
                offset: -150,
                window: 10,
                switch: vec![10; 80 * 60],
                kind: Kind::Anchor,
            }],
            kept: Vec::new(),
            matted: false,
            closed: false,
            warp: true,
            low_band: true,
        };
        // The region in the lower right never changes.
        for row in 40..60 {
            edit.events[0].switch[row * 80 + 60..(row + 1) * 80].fill(NEVER);
        }
        let without = chart(&plan, None);
        let page = chart(&plan, Some(&edit));
        assert_eq!(page.width, without.width);
        assert_eq!(page.height - without.height, 12 * (LANE + GAP));
        let pixel = |x: usize, y: usize| {
            let i = (y * page.width + x) * 3;
            [page.rgb[i], page.rgb[i + 1], page.rgb[i + 2]]
        };
        let (left, top) = (MARGIN + NAMES, MARGIN + 2 * LETTER + 14);
        assert_eq!(pixel(left + 10, top + 5), KEPT);
        assert_eq!(pixel(left + 470, top + 5), MADE);
        let lane = |k: usize| top + (k + 1) * (LANE + GAP) + GAP + 5;
        assert_ne!(pixel(left + 209, lane(0)), pixel(left + 210, lane(0)));
        assert_eq!(pixel(left + 209, lane(11)), pixel(left + 210, lane(11)));
        // Ten blocks of 48 frames in two shades.
        let frames = top + 15 * (LANE + GAP) + 2 * GAP + 5;
        let shades: Vec<_> = (0..10).map(|b| pixel(left + 48 * b + 20, frames)).collect();
        assert!(shades.windows(2).all(|w| w[0] != w[1]), "{shades:?}");
    }
}
