//! A whole picture read through an affine map, in two passes (Catmull and Smith
//! 1980): along the rows, then down the columns. Each has eight taps of a sinc
//! under a sinc (Lanczos), since a plate seen through it must keep its grain and
//! its sharpness.
//!
//! The samples are scene-linear: beside a highlight of 50 a sinc would dip far
//! below black. So a pass may leave the range of its four nearest taps by a quarter
//! of it, which grain needs, but downward by no more than a quarter of the least
//! of them. Alpha, depth and whatever else is no colour may not leave it. Where a tap is
//! not finite the nearest pixel is taken, and always of channels whose samples name
//! things. Beyond its edges the picture is mirrored.

use std::ops::Range;

use once_cell::sync::Lazy;
use rayon::prelude::*;

use super::edges::{Lacking, Map, at};
use crate::frame::{Picture, PlateInfo};

/// Taps of a pass.
const TAPS: usize = 8;
/// Steps from one pixel to the next at which the taps are known: half a step is
/// two thousandths of a pixel.
const PHASES: usize = 256;
/// How far a result may leave the range of the pixels about it.
const STRAY: f32 = 0.25;
/// Rows that one thread works on at a time.
const ROWS: usize = 64;

/// Weights of the taps by phase; each sums to one.
static WEIGHTS: Lazy<Vec<[f32; TAPS]>> = Lazy::new(|| {
    let reach = (TAPS / 2) as f64;
    let sinc = |x: f64| {
        let x = std::f64::consts::PI * x;
        if x.abs() < 1e-9 {
            1.0
        } else {
            libm::sin(x) / x
        }
    };
    (0..=PHASES)
        .map(|phase| {
            let part = phase as f64 / PHASES as f64;
            let w: [f64; TAPS] = std::array::from_fn(|k| {
                let x = k as f64 - (reach - 1.0) - part;
                if phase % PHASES == 0 {
                    // A pixel is itself, to the bit.
                    f64::from(u8::from(x == 0.0))
                } else if x.abs() < reach {
                    sinc(x) * sinc(x / reach)
                } else {
                    0.0
                }
            });
            let sum: f64 = w.iter().sum();
            w.map(|v| (v / sum) as f32)
        })
        .collect()
});

/// A position on an axis: the pixel before it, and the taps.
struct Place {
    first: i64,
    weights: &'static [f32; TAPS],
    near: usize,
}

impl Place {
    fn of(at: f64, table: &'static [[f32; TAPS]]) -> Self {
        let whole = at.floor();
        let phase = ((at - whole) * PHASES as f64).round() as usize;
        Self {
            first: whole as i64 - (TAPS as i64 / 2 - 1),
            weights: &table[phase.min(PHASES)],
            near: TAPS / 2 - 1 + usize::from(phase * 2 >= PHASES),
        }
    }
}

/// The pixel of an axis of `n` that stands for pixel `i`, mirrored at the ends.
fn mirrored(i: i64, n: usize) -> usize {
    let last = n as i64 - 1;
    let i = if i < 0 { -i } else { i };
    let i = if i > last { 2 * last - i } else { i };
    i.clamp(0, last) as usize
}

/// How the channels of a picture are read between its pixels.
pub(super) struct Manner {
    /// How far each may leave the range of the pixels about it: colour by [`STRAY`];
    /// alpha and what is no colour stay within, since more than all coverage, or a depth
    /// that nothing has, is worse than a softer edge. Those that are not told are no
    /// colour.
    strays: Vec<f32>,
    /// Those that are never mixed.
    ids: Vec<usize>,
}

impl Manner {
    /// Of a plate like `info`.
    pub(super) fn of(info: &PlateInfo) -> Self {
        let stray = |name: &String| match matches!(name.as_str(), "R" | "G" | "B" | "Y") {
            true => STRAY,
            false => 0.0,
        };
        Self {
            strays: info.channels.iter().map(stray).collect(),
            ids: info.id_channels(),
        }
    }

    /// For pictures of `channels`.
    fn for_each(&self, channels: usize) -> Self {
        let stray = |c: usize| self.strays.get(c).copied().unwrap_or(0.0);
        let there = self.ids.iter().copied().filter(|c| *c < channels);
        Self {
            strays: (0..channels).map(stray).collect(),
            ids: there.collect(),
        }
    }
}

/// Sum of the taps, kept within `stray` of the range of the four nearest.
#[inline(always)]
fn blend(taps: impl Fn(usize) -> f32, place: &Place, stray: f32) -> f32 {
    let mut sum = 0.0;
    for (k, w) in place.weights.iter().enumerate() {
        sum += w * taps(k);
    }
    if !sum.is_finite() {
        return taps(place.near);
    }
    let middle = [taps(2), taps(3), taps(4), taps(5)];
    let low = middle.iter().copied().fold(f32::MAX, f32::min);
    let high = middle.iter().copied().fold(f32::MIN, f32::max);
    let range = high - low;
    let least = low - stray * range.min(low.abs());
    sum.clamp(least, high + stray * range)
}

/// `picture`, each pixel read from where `map` takes it: column `x`, row `y` shows
/// column `map[0] x + map[1] y + map[2]`, row `map[3] x + map[4] y + map[5]`. Maps
/// that turn a picture by more than some degrees lose detail.
pub(super) fn affine(picture: &Picture, map: Map, manner: &Manner) -> Picture {
    let (w, h, c) = (picture.width(), picture.height(), picture.channels());
    let mut out = Picture::new(w, h, c);
    let manner = &manner.for_each(c);
    if is_flat(picture, &map) {
        return out;
    }
    let bands = out.data_mut().par_chunks_mut(w * c * ROWS).enumerate();
    bands.for_each(|(band, rows)| patch(picture, &map, manner, (0..w, band * ROWS), rows));
    out
}

/// Writes into `out`, of the size of `picture`, those of its pixels that are in `part`,
/// to the bit as [`affine`] reads them where `weight` of column and row is 1; else mixed
/// with what `out` has, unless either is not finite; samples that name things are taken
/// from that which has the larger share.
pub(super) fn affine_onto(
    out: &mut Picture,
    picture: &Picture,
    (map, manner): (Map, &Manner),
    part: &Lacking,
    weight: impl Fn(usize, usize) -> f32 + Sync,
) {
    let (w, h, c) = (picture.width(), picture.height(), picture.channels());
    let manner = &manner.for_each(c);
    if is_flat(picture, &map) || (out.width(), out.height(), out.channels()) != (w, h, c) {
        return;
    }
    let bands = out.data_mut().par_chunks_mut(w * c * ROWS).enumerate();
    bands.for_each(|(band, rows)| {
        let ys = band * ROWS..band * ROWS + rows.len() / (w * c);
        for columns in part.columns(ys.clone()) {
            let mut pixels = vec![0.0; columns.len() * c * ys.len()];
            let place = (columns.clone(), ys.start);
            patch(picture, &map, manner, place, &mut pixels);
            let lines = pixels.chunks_exact(columns.len() * c);
            for ((y, row), line) in ys.clone().zip(rows.chunks_exact_mut(w * c)).zip(lines) {
                let runs = part.row(y).iter();
                for run in runs.filter(|r| columns.start <= r.start && r.end <= columns.end) {
                    let from = line[(run.start - columns.start) * c..].chunks_exact(c);
                    let to = row[run.start * c..run.end * c].chunks_exact_mut(c);
                    for ((x, to), from) in run.clone().zip(to).zip(from) {
                        mix(to, from, weight(x, y), &manner.ids);
                    }
                }
            }
        }
    });
}

/// A pixel, mixed with another at a share of `weight`; of channels `ids` one is taken.
fn mix(to: &mut [f32], from: &[f32], weight: f32, ids: &[usize]) {
    if weight >= 1.0 {
        return to.copy_from_slice(from);
    }
    for (c, (to, from)) in to.iter_mut().zip(from).enumerate() {
        if ids.contains(&c) {
            if weight >= 0.5 {
                *to = *from;
            }
            continue;
        }
        let mixed = *to + weight * (from - *to);
        if mixed.is_finite() {
            *to = mixed;
        }
    }
}

/// Whether there is nothing to read, or `map` leaves no height.
fn is_flat(picture: &Picture, map: &Map) -> bool {
    picture.data().is_empty() || map[4].abs() < 0.1
}

/// Columns `columns` of the rows from `y0` on, as many as `rows` has, each of as many
/// samples as the columns have.
fn patch(
    picture: &Picture,
    map: &Map,
    manner: &Manner,
    (columns, y0): (Range<usize>, usize),
    rows: &mut [f32],
) {
    let table: &'static [[f32; TAPS]] = &WEIGHTS;
    let strays = &manner.strays[..];
    let (w, h, c) = (picture.width(), picture.height(), picture.channels());
    let [a, b, left, d, e, up] = *map;
    let width = columns.len() * c;
    let y1 = y0 + rows.len() / width;
    let (x0, x1) = (columns.start, columns.end);
    // The rows of the picture that these are made from.
    let ends = [(x0, y0), (x1 - 1, y0), (x0, y1 - 1), (x1 - 1, y1 - 1)]
        .map(|(x, y)| d * x as f64 + e * y as f64 + up);
    let reach = TAPS as i64 / 2;
    let top = ends.iter().copied().fold(f64::MAX, f64::min).floor() as i64 - reach;
    let bottom = ends.iter().copied().fold(f64::MIN, f64::max).floor() as i64 + reach + 1;
    let mut across = vec![0.0f32; (bottom - top + 1) as usize * width];
    for (v, line) in (top..=bottom).zip(across.chunks_exact_mut(width)) {
        let row = picture.row(mirrored(v, h));
        for (x, to) in columns.clone().zip(line.chunks_exact_mut(c)) {
            let y = (v as f64 - d * x as f64 - up) / e;
            along(row, a * x as f64 + b * y + left, w, (to, strays), table);
        }
    }
    for (i, row) in rows.chunks_exact_mut(width).enumerate() {
        let y = (y0 + i) as f64;
        for (x, to) in columns.clone().zip(row.chunks_exact_mut(c)) {
            let place = Place::of(d * x as f64 + e * y + up, table);
            let base = (place.first - top) as usize * width + (x - x0) * c;
            for (k, (to, stray)) in to.iter_mut().zip(strays).enumerate() {
                *to = blend(|tap| across[base + tap * width + k], &place, *stray);
            }
            if !manner.ids.is_empty() {
                let (u, v) = at(map, x as f64, y);
                let near = |at: f64, n: usize| mirrored((at + 0.5).floor() as i64, n);
                let from = picture.pixel(near(u, w), near(v, h));
                for &k in &manner.ids {
                    to[k] = from[k];
                }
            }
        }
    }
}

/// The pixel at column `at` of a row of `w` pixels.
#[inline(always)]
fn along(
    row: &[f32],
    at: f64,
    w: usize,
    (to, strays): (&mut [f32], &[f32]),
    table: &'static [[f32; TAPS]],
) {
    let c = to.len();
    let place = Place::of(at, table);
    if place.first >= 0 && place.first as usize + TAPS <= w {
        let taps = &row[place.first as usize * c..][..TAPS * c];
        for (k, (to, stray)) in to.iter_mut().zip(strays).enumerate() {
            *to = blend(|tap| taps[tap * c + k], &place, *stray);
        }
    } else {
        let columns: [usize; TAPS] =
            std::array::from_fn(|tap| mirrored(place.first + tap as i64, w) * c);
        for (k, (to, stray)) in to.iter_mut().zip(strays).enumerate() {
            *to = blend(|tap| row[columns[tap] + k], &place, *stray);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(w: usize, h: usize, look: impl Fn(f64, f64) -> f64) -> Picture {
        let mut p = Picture::new(w, h, 3);
        for y in 0..h {
            for x in 0..w {
                let v = look(x as f64, y as f64) as f32;
                p.row_mut(y)[3 * x..3 * x + 3].copy_from_slice(&[v, 2.0 * v, 50.0 - v]);
            }
        }
        p
    }

    fn colour() -> Manner {
        Manner {
            strays: vec![STRAY; 3],
            ids: Vec::new(),
        }
    }

    fn info(channels: &[&str], ids: &[&str]) -> PlateInfo {
        let owned = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        PlateInfo {
            range: crate::frame::FrameRange { first: 1, last: 1 },
            width: 60,
            height: 40,
            full_size: (60, 40),
            channels: owned(channels),
            ids: owned(ids),
            fps: 25.0,
            transfer: crate::frame::Transfer::Linear,
            pixel_aspect: 1.0,
        }
    }

    const MAP: [f64; 6] = [1.004, -0.006, 1.3, 0.005, 0.997, -2.45];

    #[test]
    fn fine_waves_come_out_where_the_map_says_and_as_high() {
        // A wave of four and a half pixels.
        let wave = |x: f64, y: f64| 2.0 + libm::sin(1.4 * x) * libm::cos(0.9 * y);
        let got = affine(&picture(140, 150, wave), MAP, &colour());
        for y in 12..136 {
            for x in 12..126 {
                let (fx, fy) = (x as f64, y as f64);
                let want = wave(
                    MAP[0] * fx + MAP[1] * fy + MAP[2],
                    MAP[3] * fx + MAP[4] * fy + MAP[5],
                );
                let p = got.pixel(x, y);
                assert!((f64::from(p[0]) - want).abs() < 0.06, "{x} {y}");
                assert!((f64::from(p[2]) - 50.0 + want).abs() < 0.06, "{x} {y}");
            }
        }
    }

    #[test]
    fn a_part_is_read_to_the_bit_as_the_whole() {
        let p = picture(150, 140, |x, y| libm::sin(0.31 * x + 0.7 * y) + 0.01 * x);
        let whole = affine(&p, MAP, &colour());
        let own = [1.0, 0.02, 9.0, -0.03, 1.0, -6.0];
        let mut lacking = Lacking::of(150, 140, &own);
        let part = lacking.take(150, &MAP);
        let mut out = Picture::new(150, 140, 3);
        affine_onto(&mut out, &p, (MAP, &colour()), &part, |_, _| 1.0);
        let mut written = 0;
        for y in 0..140 {
            for x in 0..150 {
                let is_in = part.row(y).iter().any(|r| r.contains(&x));
                let due: &[f32] = if is_in { whole.pixel(x, y) } else { &[0.0; 3] };
                assert_eq!(out.pixel(x, y), due, "{x} {y}");
                written += usize::from(is_in);
            }
        }
        assert!(written > 500);
    }

    #[test]
    fn edges_are_mirrored_and_whole_steps_give_the_pixels() {
        let p = picture(40, 30, |x, y| 10.0 * x + y);
        let got = affine(&p, [1.0, 0.0, -3.0, 0.0, 1.0, 2.0], &colour());
        assert_eq!(got.pixel(10, 5), p.pixel(7, 7));
        assert_eq!(got.pixel(1, 5), p.pixel(2, 7));
        assert_eq!(got.pixel(10, 29), p.pixel(7, 27));
        assert!(affine(&p, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], &colour()).data() == p.data());
    }

    #[test]
    fn a_highlight_does_not_ring_and_a_bad_pixel_stays_small() {
        let mut p = picture(40, 40, |_, _| 0.1);
        p.row_mut(20)[3 * 20] = 60.0;
        let got = affine(&p, [1.0, 0.0, 0.4, 0.0, 1.0, 0.3], &colour());
        let least = got
            .data()
            .iter()
            .step_by(3)
            .copied()
            .fold(f32::MAX, f32::min);
        assert!(least >= 0.05, "{least}");
        p.row_mut(20)[3 * 20] = f32::NAN;
        let bad = affine(&p, [1.0, 0.0, 0.4, 0.0, 1.0, 0.3], &colour());
        let nans = bad.data().iter().filter(|v| v.is_nan()).count();
        assert!((1..=4).contains(&nans), "{nans}");
        let tiny = picture(1, 1, |_, _| 3.0);
        assert_eq!(affine(&tiny, MAP, &colour()).pixel(0, 0), tiny.pixel(0, 0));
    }

    #[test]
    fn alpha_stays_coverage_where_colour_may_ring() {
        let manner = Manner::of(&info(&["R", "G", "A"], &[]));
        let hard = picture(60, 40, |x, _| f64::from(u8::from(x > 28.5)));
        let got = affine(&hard, [1.0, 0.0, 0.45, 0.0, 1.0, 0.45], &manner);
        let most = |c: usize| {
            got.data()[c..]
                .iter()
                .step_by(3)
                .copied()
                .fold(0.0, f32::max)
        };
        assert!(most(0) > 1.02, "{}", most(0));
        assert_eq!(most(2), 50.0);
    }

    #[test]
    fn names_of_things_are_those_that_the_picture_has() {
        // Bits of whole numbers: most are no ordinary floats.
        let names = [7u32, 4_000_000_001, 0x7fc0_0001, 0x3f12_3456];
        let mut p = picture(60, 50, |x, y| 0.1 * x + libm::sin(y));
        for y in 0..50 {
            for x in 0..60 {
                p.row_mut(y)[3 * x + 1] = f32::from_bits(names[(x / 5 + y / 7) % 4]);
            }
        }
        let named = Manner::of(&info(&["R", "id", "Z"], &["id"]));
        let got = affine(&p, MAP, &named);
        let mut other = p.clone();
        other
            .data_mut()
            .iter_mut()
            .skip(1)
            .step_by(3)
            .for_each(|v| *v = 0.0);
        let without = affine(&other, MAP, &named);
        let mut moved = 0;
        for y in 0..50 {
            for x in 0..60 {
                let (u, v) = at(&MAP, x as f64, y as f64);
                let near = |at: f64, n| mirrored(at.round() as i64, n);
                let due = p.pixel(near(u, 60), near(v, 50))[1].to_bits();
                let (is, beside) = (got.pixel(x, y), without.pixel(x, y));
                assert_eq!(is[1].to_bits(), due, "{x} {y}");
                assert_eq!((is[0], is[2]), (beside[0], beside[2]), "{x} {y}");
                moved += usize::from(due != p.pixel(x, y)[1].to_bits());
            }
        }
        assert!(moved > 500, "{moved}");
        // Over a band the one or the other, and never a mean.
        let mut lacking = Lacking::of(60, 50, &[1.0, 0.0, 45.0, 0.0, 1.0, 0.0]);
        let part = lacking.take(60, &MAP);
        let mut out = p.clone();
        affine_onto(&mut out, &p, (MAP, &named), &part, |x, _| x as f32 / 60.0);
        for (x, y) in (0..50).flat_map(|y| (0..60).map(move |x| (x, y))) {
            let one = if x < 30 { &p } else { &got };
            if part.row(y).iter().any(|r| r.contains(&x)) {
                let (is, due) = (out.pixel(x, y)[1], one.pixel(x, y)[1]);
                assert_eq!(is.to_bits(), due.to_bits(), "{x} {y}");
            }
        }
    }
}
