//! What decides for each pixel, laid out as one block of numbers that the twin and
//! the kernel read alike.

use std::sync::LazyLock;

use super::SOURCES;
use super::pixel::STILL;

/// Frames on either side of a cut over which both sides are warped toward each other.
pub const REACH: f32 = 5.0;

/// How the pixels of one axis lie between the centres of the cells; see
/// src/engine/plate/gather/grid.rs.
#[derive(Clone, Copy)]
pub struct Axis<'a> {
    /// Interval of each pixel: 0 before the first centre.
    pub interval: &'a [u32],
    /// How far into its interval each pixel lies, 0..1.
    pub part: &'a [f32],
}

/// A change of clip; tables are `cols` by `rows`, row by row.
#[derive(Clone, Copy)]
pub struct Cut<'a> {
    /// Frames since each cell switched, negative before.
    pub age: &'a [f32],
    /// How far each cell takes part, 0..1; none where all do.
    pub taken: Option<&'a [f32]>,
    /// The source that begins.
    pub to: usize,
    /// Frames since the last kept frame before the cut.
    pub lead: f32,
    /// Frames until the next kept frame after it.
    pub trail: f32,
}

/// Which channels the low band corrects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grade {
    /// Channels of red, green and blue; -1 where there is none.
    pub colour: [i32; 3],
    /// Channel of alpha; -1 where there is none.
    pub alpha: i32,
    /// Whether the values are display-referred rather than scene-linear.
    pub display: bool,
}

/// All that a frame is made by.
pub struct Scene<'a> {
    /// Columns and rows of the grid.
    pub grid: (usize, usize),
    /// Across.
    pub across: Axis<'a>,
    /// Down.
    pub down: Axis<'a>,
    /// Channels of the pictures.
    pub channels: usize,
    /// Cuts; a later one is laid over an earlier one.
    pub cuts: &'a [Cut<'a>],
    /// Source by source, at most [`SOURCES`]: the correction of the low band in each
    /// cell, if any.
    pub bands: &'a [Option<&'a [[f32; 3]]>],
    /// By shown source times the number of sources plus the other one: displacements
    /// toward the other, in cells.
    pub flows: &'a [Option<&'a [[f32; 2]]>],
    /// Whether cuts are warped.
    pub warps: bool,
    /// What the low band corrects.
    pub grade: Grade,
}

impl Scene<'_> {
    /// Pixels a cell, across and down.
    fn scale(&self) -> [f32; 2] {
        let (cols, rows) = self.grid;
        let (across, down) = (self.across.part.len(), self.down.part.len());
        [across as f32 / cols as f32, down as f32 / rows as f32]
    }
}

/// Where in the tables what lies, in numbers of four bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offsets {
    pub(super) places: u32,
    pub(super) cuts: u32,
    pub(super) list: u32,
    pub(super) flows: u32,
    pub(super) bands: u32,
    pub(super) power: u32,
    pub(super) across_interval: u32,
    pub(super) across_part: u32,
    pub(super) down_interval: u32,
    pub(super) down_part: u32,
    /// Tiles of [`TILE`] by [`TILE`] pixels of the picture, by number, row by row: those
    /// with pixels that are near a cut.
    pub(super) near: u32,
    /// And those with pixels where more than that matters.
    pub(super) rest: u32,
}

/// What is the same for all pixels.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) offsets: Offsets,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) channels: i32,
    pub(super) cols: i32,
    pub(super) rows: i32,
    pub(super) sources: i32,
    pub(super) grade: Grade,
    pub(super) warps: bool,
    pub(super) scale: [f32; 2],
}

/// One block of numbers and what they are.
pub struct Tables {
    head: Head,
    words: Vec<u32>,
    shown: Vec<bool>,
    /// Tiles with pixels near a cut, and those where more matters.
    tiles: [usize; 2],
}

/// Room for rounding where a bound is taken, in frames.
const MARGIN: f32 = 1e-3;

/// Sides of a tile of a picture, in pixels.
pub(super) const TILE: usize = 32;

/// What is to be done in an interval of the grid, as marks beside those of the sources.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Each pixel is shown in its own place.
    Still = 0,
    /// One cut in which all cells take part matters, and pixels move.
    Near = 1 << 31,
    /// More than that.
    Rest = 1 << 30,
}

impl Tables {
    /// The tables of `scene`; none where it has more sources than a kernel takes, or
    /// parts that do not fit together.
    pub fn new(scene: &Scene<'_>) -> Option<Self> {
        let (cols, rows) = scene.grid;
        let (n, cells) = (scene.bands.len(), cols * rows);
        let fits = n > 0
            && n <= SOURCES
            && cells > 0
            && scene.flows.len() == n * n
            && scene.across.interval.len() == scene.across.part.len()
            && scene.down.interval.len() == scene.down.part.len()
            && scene.across.interval.iter().all(|k| *k as usize <= cols)
            && scene.down.interval.iter().all(|k| *k as usize <= rows)
            && scene.bands.iter().flatten().all(|b| b.len() == cells)
            && scene.flows.iter().flatten().all(|f| f.len() == cells)
            && scene.cuts.iter().all(|c| {
                c.to < n && c.age.len() == cells && c.taken.is_none_or(|t| t.len() == cells)
            });
        if !fits {
            return None;
        }
        // Offset 0 means that there is nothing, hence some words in front.
        let mut words = Words(vec![0; 4]);
        let mut offsets = Offsets::default();
        let mut cuts = Vec::new();
        for cut in scene.cuts {
            let age = words.floats(cut.age.iter().copied());
            let taken = cut.taken.map_or(0, |t| words.floats(t.iter().copied()));
            let (lead, trail) = (cut.lead.to_bits(), cut.trail.to_bits());
            cuts.extend([age, taken, cut.to as u32, lead, trail, 0, 0, 0]);
        }
        offsets.cuts = words.put(cuts);
        let flows: Vec<u32> = (scene.flows.iter())
            .map(|f| f.map_or(0, |f| words.floats(f.iter().copied().flatten())))
            .collect();
        offsets.flows = words.put(flows);
        let bands: Vec<u32> = (scene.bands.iter())
            .map(|b| {
                b.map_or(0, |b| {
                    words.floats(b.iter().flat_map(|[r, g, b]| [*r, *g, *b, 0.0]))
                })
            })
            .collect();
        offsets.bands = words.put(bands);
        // Each with the rise to the next, so that both come in one read.
        offsets.power = words.floats(POWER.windows(2).flat_map(|v| [v[0], v[1] - v[0]]));
        offsets.across_interval = words.put(scene.across.interval.iter().copied());
        offsets.across_part = words.floats(scene.across.part.iter().copied());
        offsets.down_interval = words.put(scene.down.interval.iter().copied());
        offsets.down_part = words.floats(scene.down.part.iter().copied());
        let (mut places, mut list) = (Vec::new(), Vec::new());
        let mut shown = vec![false; n];
        let mut kinds = Vec::with_capacity((cols + 1) * (rows + 1));
        for ky in 0..=rows {
            for kx in 0..=cols {
                let place = Place::new(scene, kx, ky);
                shown[place.base] = true;
                place
                    .cuts
                    .iter()
                    .for_each(|&c| shown[scene.cuts[c].to] = true);
                let count = place.cuts.len() as u32;
                // One cut, as there mostly is, needs no list.
                let first = match place.cuts[..] {
                    [cut] => cut,
                    _ => list.len(),
                } as u32;
                if count > 1 {
                    list.extend(place.cuts.iter().map(|c| *c as u32));
                }
                let kind = place.kind(scene, kx, ky);
                kinds.push(kind);
                let marks = place.eased | kind as u32;
                places.extend([place.base as u32, first, count, marks]);
            }
        }
        offsets.places = words.put(places);
        offsets.list = words.put(list);
        let [near, rest] = [Kind::Near, Kind::Rest]
            .map(|kind| tiles(scene, |kx, ky| kinds[ky * (cols + 1) + kx] == kind));
        let tiles = [near.len(), rest.len()];
        offsets.near = words.put(near);
        offsets.rest = words.put(rest);
        let (width, height) = (scene.across.part.len(), scene.down.part.len());
        Some(Self {
            head: Head {
                offsets,
                width: width as i32,
                height: height as i32,
                channels: scene.channels as i32,
                cols: cols as i32,
                rows: rows as i32,
                sources: n as i32,
                grade: scene.grade,
                warps: scene.warps,
                scale: scene.scale(),
            },
            words: words.0,
            shown,
            tiles,
        })
    }

    /// The numbers themselves.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// The sources that some pixel of the picture may show.
    pub fn shown(&self) -> impl Iterator<Item = usize> {
        (0..self.shown.len()).filter(|s| self.shown[*s])
    }

    /// How many tiles have pixels near a cut, and how many some where more matters.
    pub(super) fn tiles(&self) -> [usize; 2] {
        self.tiles
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    #[inline]
    pub(super) fn word(&self, at: u32, i: usize) -> u32 {
        self.words[at as usize + i]
    }

    #[inline]
    pub(super) fn float(&self, at: u32, i: usize) -> f32 {
        f32::from_bits(self.word(at, i))
    }
}

/// The numbers of the tiles that have pixels in intervals of the grid that are `wanted`.
fn tiles(scene: &Scene<'_>, wanted: impl Fn(usize, usize) -> bool) -> Vec<u32> {
    let bounds = |intervals: &[u32]| -> Vec<[usize; 2]> {
        let bounds = |tile: &[u32]| {
            let first = tile.iter().min().copied().unwrap_or(0);
            let last = tile.iter().max().copied().unwrap_or(0);
            [first as usize, last as usize]
        };
        intervals.chunks(TILE).map(bounds).collect()
    };
    let (across, down) = (bounds(scene.across.interval), bounds(scene.down.interval));
    let mut found = Vec::new();
    for (ty, [top, bottom]) in down.iter().enumerate() {
        for (tx, [left, right]) in across.iter().enumerate() {
            if (*top..=*bottom).any(|ky| (*left..=*right).any(|kx| wanted(kx, ky))) {
                found.push((ty * across.len() + tx) as u32);
            }
        }
    }
    found
}

struct Words(Vec<u32>);

impl Words {
    /// Puts `values` behind the rest, at a multiple of sixteen bytes; gives where.
    fn put(&mut self, values: impl IntoIterator<Item = u32>) -> u32 {
        let at = self.0.len().next_multiple_of(4);
        self.0.resize(at, 0);
        self.0.extend(values);
        at as u32
    }

    fn floats(&mut self, values: impl IntoIterator<Item = f32>) -> u32 {
        self.put(values.into_iter().map(f32::to_bits))
    }
}

/// What matters between four cells of the grid.
struct Place {
    base: usize,
    cuts: Vec<usize>,
    eased: u32,
}

impl Place {
    fn new(scene: &Scene<'_>, kx: usize, ky: usize) -> Self {
        let (cols, rows) = scene.grid;
        let around =
            |k: usize, n: usize| [0, 1, 2, 3].map(|i| (k + i).saturating_sub(2).min(n - 1));
        let corners = |table: &dyn Fn(usize) -> f32| {
            let (mut lo, mut hi) = (f32::MAX, f32::MIN);
            for y in ends(ky, rows) {
                for x in ends(kx, cols) {
                    let v = table(y * cols + x);
                    (lo, hi) = (lo.min(v), hi.max(v));
                }
            }
            (lo, hi)
        };
        let mut place = Self {
            base: 0,
            cuts: Vec::new(),
            eased: 0,
        };
        for (i, cut) in scene.cuts.iter().enumerate() {
            let (lo, hi) = corners(&|c| cut.age[c]);
            if hi <= -REACH - MARGIN || (place.cuts.is_empty() && place.base == cut.to) {
                continue;
            }
            let mut all = lo >= REACH + MARGIN;
            if let Some(taken) = cut.taken {
                let (mut lo, mut hi) = (f32::MAX, f32::MIN);
                for y in around(ky, rows) {
                    for x in around(kx, cols) {
                        let v = taken[y * cols + x];
                        (lo, hi) = (lo.min(v), hi.max(v));
                    }
                }
                // A cubic strays at most this far from what it joins.
                let stray = 0.3 * (hi - lo);
                if hi + stray <= 0.5 {
                    continue;
                }
                all &= lo - stray > 0.5;
            }
            if all {
                place.base = cut.to;
                place.cuts.clear();
            } else {
                place.cuts.push(i);
            }
        }
        for (source, band) in scene.bands.iter().enumerate() {
            if let Some(band) = band {
                let differs = (0..3).any(|i| corners(&|c| band[c][i]) != (0.0, 0.0));
                place.eased |= u32::from(differs) << source;
            }
        }
        place
    }

    /// What is to be done in interval (`kx`, `ky`): still is also where a flow is so small
    /// all around that no pixel moves as far as is told apart.
    fn kind(&self, scene: &Scene<'_>, kx: usize, ky: usize) -> Kind {
        let cut = match self.cuts[..] {
            [] => return Kind::Still,
            [cut] => &scene.cuts[cut],
            _ => return Kind::Rest,
        };
        if cut.taken.is_some() {
            return Kind::Rest;
        }
        let (cols, rows) = scene.grid;
        let scale = scene.scale();
        let n = scene.bands.len();
        let moves = |one: usize, other: usize| {
            let Some(flow) = scene.flows[one * n + other] else {
                return false;
            };
            // As bits, which are in the order of sizes: what is no number is past them all.
            let mut most = [0u32; 2];
            for y in ends(ky, rows) {
                for x in ends(kx, cols) {
                    for (most, way) in most.iter_mut().zip(flow[y * cols + x]) {
                        *most = (*most).max(way.abs().to_bits());
                    }
                }
            }
            let [across, down] = [0, 1].map(|i| f32::from_bits(most[i]) * scale[i]);
            // With room for rounding.
            let stays = across + down < STILL - 1e-4;
            !stays
        };
        match scene.warps && (moves(self.base, cut.to) || moves(cut.to, self.base)) {
            true => Kind::Near,
            false => Kind::Still,
        }
    }
}

/// The cells at both ends of interval `k` of an axis of `n`.
fn ends(k: usize, n: usize) -> [usize; 2] {
    [k.saturating_sub(1), k.min(n - 1)]
}

/// Bits of 2⁻⁹, below the end of the sRGB curve's straight part.
pub(super) const LEAST: u32 = 0x3b00_0000;

/// The derivative of the inverse of the sRGB curve's curved part, at every 2⁻⁸ of each
/// octave from 2⁻⁹ up to 1: a power for each sample of a frame would cost more than
/// all else.
pub static POWER: LazyLock<Vec<f32>> = LazyLock::new(|| {
    (0..=(0x3f80_0000 - LEAST) >> 15)
        .map(|i| {
            let v = f64::from(f32::from_bits(LEAST + (i << 15)));
            (2.4 / 1.055 * libm::pow(v, 1.0 - 1.0 / 2.4)) as f32
        })
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_still_where_no_pixel_can_move() {
        let (interval, part) = ([0, 0, 1, 1, 1, 1, 2, 2], [0.5; 8]);
        let axis = Axis {
            interval: &interval,
            part: &part,
        };
        let kind = |flow: [[f32; 2]; 4], warps: bool| {
            let scene = Scene {
                grid: (2, 2),
                across: axis,
                down: axis,
                channels: 3,
                cuts: &[Cut {
                    age: &[-1.0, 1.0, 2.0, 0.0],
                    taken: None,
                    to: 1,
                    lead: f32::MAX,
                    trail: f32::MAX,
                }],
                bands: &[None, None],
                flows: &[None, Some(&flow), None, None],
                warps,
                grade: Grade {
                    colour: [0, 1, 2],
                    alpha: -1,
                    display: false,
                },
            };
            Tables::new(&scene).unwrap().tiles()
        };
        // A cell is of four pixels.
        let [still, far, none] = [0.002, 0.006, f32::NAN];
        let all = |v| [[v, 0.0]; 4];
        assert_eq!(kind(all(still), true), [0, 0]);
        assert_eq!(kind(all(far), true), [1, 0]);
        assert_eq!(kind(all(far), false), [0, 0]);
        for at in 0..4 {
            let mut flow = all(still);
            flow[at] = [0.0, none];
            assert_eq!(kind(flow, true), [1, 0], "no number in cell {at}");
        }
    }
}
