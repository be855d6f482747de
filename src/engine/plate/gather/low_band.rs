//! The lowest frequencies belong to all clips near in space and time: steam,
//! cloud and exposure drift hide a change of clip only if they do not jump.
//!
//! For each source a correction is found on the coarse grid, in the perceptual
//! encoding: the soft-clipped differences to the other sources, weighed by how
//! much those are seen within two cells and [`REACH`] frames. (Burt and Adelson
//! 1983 blend every band; here only the lowest is, so grain and sharpness stay.)
//!
//! It is added to scene-linear pixels to first order: a step `d` in the
//! perceptual encoding is `d` times the light in one such step at that pixel's
//! own level. So a highlight is changed in proportion to itself, a shadow by
//! next to nothing, detail far finer than a cell keeps its contrast, and a
//! correction of 0 leaves the plate's bits. Nothing is carried across 0. Pixels
//! are taken as premultiplied: the level is that of the colour without alpha,
//! the change is multiplied by alpha, and alpha and further channels stay.

use longtake_kernels::gather::{POWER, slope};

use super::Coarse;
use super::grid::{Axis, blur, lerp};
use super::moment::Moment;
use crate::engine::plate::cells::UNIT;
use crate::engine::plate::edit_list::EditList;
use crate::frame::{PlateInfo, Transfer};

/// Frames on either side over which clips share the lowest band; no more than
/// the reach of a cut, which [`Moment`] looks ahead by.
const REACH: i32 = 4;
/// Cells over which they share it (deviation of a Gaussian).
const SPREAD: f32 = 2.0;
/// Cells that a source is smoothed by (deviation of a Gaussian).
const SMOOTH: f32 = 0.8;
/// Difference, in the perceptual encoding, that counts most; those far greater
/// are objects, not light.
const CLIP: f32 = 0.08;

/// Corrections of all sources at one moment.
pub(super) struct LowBand {
    cols: usize,
    /// Source by source: cell by cell three values, or none.
    fields: Vec<Option<Vec<[f32; 3]>>>,
}

impl LowBand {
    /// The corrections around `moment`, or `None` where there are none.
    pub(super) fn new(edit: &EditList, plate: Coarse<'_>, moment: &Moment<'_>) -> Option<Self> {
        let reach = reach(edit, moment.t);
        if reach < 1 || moment.cuts.is_empty() {
            return None;
        }
        let (cols, rows) = (moment.cols, moment.rows);
        let mut seen = vec![vec![0.0f32; cols * rows]; moment.sources.len()];
        for ahead in -reach..=reach {
            let then = moment.t + ahead;
            if !edit.closed && !(0..edit.out_frames as i32).contains(&then) {
                continue;
            }
            let share = 1.0 - ahead.abs() as f32 / (reach + 1) as f32;
            for (cell, source) in moment.cells(ahead).into_iter().enumerate() {
                seen[usize::from(source)][cell] += share;
            }
        }
        let shared: Vec<(usize, Vec<f32>, Vec<[f32; 3]>)> = moment
            .sources
            .iter()
            .enumerate()
            .filter(|(s, source)| source.live && seen[*s].iter().any(|&w| w > 0.0))
            .filter_map(|(s, source)| {
                let colour = smooth_colour(plate, source.index)?;
                Some((s, blur(&seen[s], cols, rows, SPREAD), colour))
            })
            .collect();
        if shared.len() < 2 {
            return None;
        }
        let mut fields = vec![None; moment.sources.len()];
        for (own, _, mine) in &shared {
            let mut field = vec![[0.0f32; 3]; cols * rows];
            for (cell, to) in field.iter_mut().enumerate() {
                let mut sum = 0.0;
                for (_, weight, _) in &shared {
                    sum += weight[cell];
                }
                for (other, weight, colour) in &shared {
                    let w = weight[cell];
                    if other == own || w <= 0.0 {
                        continue;
                    }
                    let e: [f32; 3] = std::array::from_fn(|c| colour[cell][c] - mine[cell][c]);
                    let most = e.iter().fold(0.0f32, |m, v| m.max(v.abs())) / CLIP;
                    let gain = w / sum / (1.0 + most * most);
                    for (t, e) in to.iter_mut().zip(e) {
                        *t += gain * e;
                    }
                }
            }
            fields[*own] = Some(field);
        }
        Some(Self { cols, fields })
    }

    /// The correction of `source`, cell by cell, if it has one.
    pub(super) fn field(&self, source: usize) -> Option<&[[f32; 3]]> {
        self.fields[source].as_deref()
    }

    /// Whether the correction of `source` is anything but 0 between the given
    /// columns and rows of the grid.
    pub(super) fn differs(
        &self,
        source: usize,
        cols: (usize, usize),
        rows: (usize, usize),
    ) -> bool {
        self.fields[source].as_ref().is_some_and(|f| {
            [rows.0, rows.1].iter().any(|r| {
                [cols.0, cols.1]
                    .iter()
                    .any(|c| f[r * self.cols + c] != [0.0; 3])
            })
        })
    }

    /// The correction of `source` along pixel row `y`, for each column of the
    /// grid.
    pub(super) fn row(&self, source: usize, down: &Axis, y: usize) -> Vec<[f32; 3]> {
        let (r0, r1) = down.ends(down.interval[y] as usize);
        let part = down.part[y];
        match &self.fields[source] {
            None => vec![[0.0; 3]; self.cols],
            Some(f) => (0..self.cols)
                .map(|c| {
                    let (a, b) = (f[r0 * self.cols + c], f[r1 * self.cols + c]);
                    std::array::from_fn(|i| lerp(a[i], b[i], part))
                })
                .collect(),
        }
    }
}

/// Frames within which clips share their lowest band at output index `t`: fewer
/// near kept frames, none at them.
fn reach(edit: &EditList, t: i32) -> i32 {
    let length = edit.out_frames as i32;
    let shifts: &[i32] = if edit.closed { &[-1, 0, 1] } else { &[0] };
    let mut reach = REACH;
    for (&(from, to), shift) in edit
        .kept
        .iter()
        .flat_map(|k| shifts.iter().map(move |s| (k, s * length)))
    {
        let (from, to) = (from as i32 + shift, to as i32 + shift);
        reach = reach.min(if t >= to {
            t - to + 1
        } else if t < from {
            from - t
        } else {
            0
        });
    }
    reach
}

/// The colour of plate index `index` on the grid, smoothed by a cell, white 1. What a fill
/// takes away is no part of it: within the border of the matte stands what is around.
fn smooth_colour(plate: Coarse<'_>, index: i32) -> Option<Vec<[f32; 3]>> {
    let (cols, rows) = (plate.cols, plate.rows);
    let frame = plate.frame(index)?;
    let seen: Option<Vec<f32>> = plate
        .covered(index)
        .filter(|covered| covered.contains(&true))
        .map(|covered| covered.iter().map(|c| f32::from(u8::from(!c))).collect());
    let whole = seen.as_ref().map(|seen| blur(seen, cols, rows, SMOOTH));
    let planes: [Vec<f32>; 3] = std::array::from_fn(|c| {
        let values = frame.iter().skip(c).step_by(3);
        let plane: Vec<f32> = values.map(|&v| f32::from(v) / UNIT).collect();
        let mut smooth = blur(&plane, cols, rows, SMOOTH);
        if let (Some(seen), Some(whole)) = (&seen, &whole) {
            let bare: Vec<f32> = plane.iter().zip(seen).map(|(v, seen)| v * seen).collect();
            let bare = blur(&bare, cols, rows, SMOOTH);
            for ((to, v), whole) in smooth.iter_mut().zip(bare).zip(whole) {
                // Deep beneath the matte nothing around is known, nor shown.
                if *whole > 0.02 {
                    *to = v / whole;
                }
            }
        }
        smooth
    });
    Some(
        (0..cols * rows)
            .map(|i| [planes[0][i], planes[1][i], planes[2][i]])
            .collect(),
    )
}

/// Which channels of a pixel are corrected, and how.
pub(super) struct Grade {
    /// Channel, and which of the three values of a correction is its own.
    colour: Vec<(usize, usize)>,
    alpha: Option<usize>,
    slope: Slope,
    /// Whether a pixel begins with red, green and blue, without alpha.
    is_plain: bool,
}

impl Grade {
    pub(super) fn of(info: &PlateInfo) -> Self {
        let named = ["R", "G", "B"]
            .iter()
            .enumerate()
            .filter_map(|(i, name)| Some((info.channel(name)?, i)))
            .collect::<Vec<_>>();
        let colour = if named.is_empty() {
            info.channel("Y").map(|c| (c, 0)).into_iter().collect()
        } else {
            named
        };
        // Names of things have no level.
        let ids = info.id_channels();
        let colour: Vec<_> = colour.into_iter().filter(|c| !ids.contains(&c.0)).collect();
        let alpha = info.channel("A");
        Self {
            is_plain: alpha.is_none() && colour == [(0, 0), (1, 1), (2, 2)],
            colour,
            alpha,
            slope: Slope::of(info.transfer),
        }
    }

    /// The same as the kernel has it.
    pub(super) fn for_kernel(&self) -> longtake_kernels::gather::Grade {
        let mut colour = [-1; 3];
        for &(channel, which) in &self.colour {
            colour[which] = channel as i32;
        }
        longtake_kernels::gather::Grade {
            colour,
            alpha: self.alpha.map_or(-1, |a| a as i32),
            display: matches!(self.slope, Slope::Display),
        }
    }

    /// Adds to pixels of `channels` the perceptual step at each of `parts` of the way
    /// between two `steps`.
    #[inline(always)]
    pub(super) fn ease(
        &self,
        pixels: &mut [f32],
        channels: usize,
        steps: ([f32; 3], [f32; 3]),
        parts: &[f32],
    ) {
        let (l, r) = steps;
        let step = |part: f32| std::array::from_fn(|i| lerp(l[i], r[i], part));
        if channels == 3 && self.is_plain {
            let pixels = pixels.as_chunks_mut::<3>().0;
            for (pixel, &part) in pixels.iter_mut().zip(parts) {
                self.add_plain(pixel, step(part));
            }
            return;
        }
        for (pixel, &part) in pixels.chunks_exact_mut(channels).zip(parts) {
            self.add(pixel, step(part));
        }
    }

    /// [`add`](Self::add) for red, green and blue in that order and nothing else.
    #[inline(always)]
    fn add_plain(&self, pixel: &mut [f32; 3], step: [f32; 3]) {
        if step == [0.0; 3] {
            return;
        }
        for (v, step) in pixel.iter_mut().zip(step) {
            *v = eased(*v, *v + step * self.slope.at(*v));
        }
    }

    /// Adds the perceptual step `step` to `pixel`.
    #[inline(always)]
    pub(super) fn add(&self, pixel: &mut [f32], step: [f32; 3]) {
        if step == [0.0; 3] {
            return;
        }
        let alpha = self.alpha.map_or(1.0, |a| pixel[a]);
        // Neither light without cover nor a broken alpha tells a level.
        if alpha.is_nan() || alpha <= 0.0 {
            return;
        }
        for &(c, i) in &self.colour {
            let v = pixel[c];
            let changed = if alpha < 1.0 {
                v + alpha * step[i] * self.slope.at(v / alpha)
            } else {
                v + step[i] * self.slope.at(v)
            };
            pixel[c] = eased(v, changed);
        }
    }
}

/// What becomes of `value` that was to be `changed`: nothing is carried across 0.
#[inline(always)]
fn eased(value: f32, changed: f32) -> f32 {
    if !changed.is_finite() {
        value
    } else if value >= 0.0 {
        changed.max(0.0)
    } else {
        changed.min(0.0)
    }
}

/// Light in one step of the perceptual encoding: the inverse of the derivative
/// of [`Transfer::perceptual`].
enum Slope {
    /// Of display values.
    Display,
    /// Of scene-linear values, with [`POWER`] at hand.
    Linear(&'static [f32]),
}

impl Slope {
    fn of(transfer: Transfer) -> Self {
        match transfer {
            Transfer::Display => Self::Display,
            Transfer::Linear => Self::Linear(&POWER),
        }
    }

    /// At `value`.
    #[inline]
    fn at(&self, value: f32) -> f32 {
        match self {
            Self::Display => slope(&[], true, value),
            Self::Linear(power) => slope(power, false, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_in_a_step_is_the_derivative_of_the_encoding() {
        for transfer in [Transfer::Linear, Transfer::Display] {
            for i in 0..4000 {
                let v = libm::exp2(f64::from(i) / 4000.0 * 22.0 - 12.0) as f32;
                let h = v * 1e-2;
                if transfer == Transfer::Linear && (v - 0.003_130_8).abs() < 2.0 * h
                    || (v - 1.0).abs() < 2.0 * h
                {
                    continue;
                }
                let slope =
                    (transfer.perceptual(v + h) - transfer.perceptual(v - h)) / ((v + h) - (v - h));
                let light = Slope::of(transfer);
                let got = light.at(v) * slope;
                assert!((got - 1.0).abs() < 2e-3, "{transfer:?} {v}: {got}");
                assert_eq!(light.at(-v), light.at(v));
            }
        }
    }

    fn grade(channels: &[&str]) -> Grade {
        Grade::of(&PlateInfo {
            range: crate::frame::FrameRange { first: 1, last: 1 },
            width: 1,
            height: 1,
            full_size: (1, 1),
            channels: channels.iter().map(|&c| c.to_owned()).collect(),
            fps: 25.0,
            transfer: Transfer::Linear,
            pixel_aspect: 1.0,
            ids: Vec::new(),
        })
    }

    #[test]
    fn a_correction_respects_alpha_black_and_bad_values() {
        let g = grade(&["R", "G", "B", "A", "Z"]);
        let step = [0.04, -0.04, 0.04];
        let mut whole = [0.2, 0.2, 50.0, 1.0, 7.0];
        g.add(&mut whole, step);
        let mut half = [0.1, 0.1, 25.0, 0.5, 7.0];
        g.add(&mut half, step);
        for c in 0..3 {
            assert!(
                (half[c] - 0.5 * whole[c]).abs() < 1e-5 * whole[c],
                "as if unpremultiplied"
            );
        }
        assert!(whole[0] > 0.2 && whole[1] < 0.2 && whole[2] > 50.0 && whole[2] < 56.0);
        assert_eq!((whole[3], whole[4], half[3], half[4]), (1.0, 7.0, 0.5, 7.0));
        let mut dark = [0.0, 1e-4, -0.5, 1.0, 0.0];
        g.add(&mut dark, step);
        assert!(dark[1] == 0.0 && dark[0] > 0.0 && dark[2] < 0.0);
        let mut glow = [3.0, 3.0, 3.0, 0.0, 0.0];
        g.add(&mut glow, step);
        assert_eq!(glow, [3.0, 3.0, 3.0, 0.0, 0.0]);
        let mut bad = [f32::INFINITY, f32::NAN, f32::NEG_INFINITY, 1.0, f32::NAN];
        let before = bad.map(f32::to_bits);
        g.add(&mut bad, step);
        assert_eq!(bad.map(f32::to_bits), before);
        let mut alone = [0.5];
        grade(&["A"]).add(&mut alone, step);
        assert_eq!(alone, [0.5], "alpha alone is no colour");
    }
}
