//! One pixel, and the functions that it is made of.

use super::tables::{LEAST, REACH, Tables};
use super::{POWER, Pictures};

/// Displacement in pixels below which a pixel is copied.
pub(super) const STILL: f32 = 0.02;

/// The way from `a` to `b`.
#[inline]
pub fn lerp(a: f32, b: f32, part: f32) -> f32 {
    a + (b - a) * part
}

/// Weights of the four neighbours at `part` of the way from the second to the third:
/// the cubic convolution of Keys 1981, a = -1/2 (Catmull-Rom).
#[inline]
pub fn cubic(part: f32) -> [f32; 4] {
    let t = part;
    [
        ((2.0 - t) * t - 1.0) * t * 0.5,
        ((3.0 * t - 5.0) * t * t + 2.0) * 0.5,
        ((4.0 - 3.0 * t) * t + 1.0) * t * 0.5,
        (t - 1.0) * t * t * 0.5,
    ]
}

/// Share of the warp from the old side of a cut at `age` frames behind it: 0 well
/// before, 1 well after. Eases to its end exactly at kept frames, `lead` frames before
/// and `trail` after.
#[inline(always)]
pub fn progress(age: f32, lead: f32, trail: f32) -> f32 {
    let room = if age < 0.0 { lead - age } else { trail + age };
    let reach = if room < REACH { room } else { REACH };
    let w = (age + reach) / (2.0 * reach);
    let w = if w > 0.0 { w } else { 0.0 };
    let w = if w < 1.0 { w } else { 1.0 };
    let eased = w * w * (3.0 - 2.0 * w);
    let hard = if age < 0.0 { 0.0 } else { 1.0 };
    if reach > 0.0 { eased } else { hard }
}

/// Light in one step of the perceptual encoding at `value`, scene-linear or display.
#[inline]
pub fn slope(power: &[f32], display: bool, value: f32) -> f32 {
    let a = value.abs();
    if display {
        a.max(1.0)
    } else if a <= 0.003_130_8 {
        1.0 / 12.92
    } else if a < 1.0 {
        let bits = a.to_bits() - LEAST;
        let (i, part) = ((bits >> 15) as usize, (bits & 0x7fff) as f32 / 32768.0);
        lerp(power[i], power[i + 1], part)
    } else {
        2.4 / 1.055 * a
    }
}

/// Where a pixel lies on the grid.
struct At {
    kx: usize,
    ky: usize,
    px: f32,
    py: f32,
    /// Cells to the left and right above and to the left and right below.
    corners: [usize; 4],
}

impl At {
    fn new(t: &Tables, x: usize, y: usize) -> Self {
        let head = t.head();
        let (cols, rows) = (head.cols as usize, head.rows as usize);
        let kx = t.word(head.offsets.across_interval, x) as usize;
        let ky = t.word(head.offsets.down_interval, y) as usize;
        let (left, right) = (kx.saturating_sub(1), kx.min(cols - 1));
        let (up, down) = (ky.saturating_sub(1) * cols, ky.min(rows - 1) * cols);
        Self {
            kx,
            ky,
            px: t.float(head.offsets.across_part, x),
            py: t.float(head.offsets.down_part, y),
            corners: [up + left, up + right, down + left, down + right],
        }
    }

    /// Between the four cells around: first down, then across.
    fn between(&self, value: impl Fn(usize) -> f32, by: f32) -> f32 {
        let [a, b, c, d] = self.corners.map(value);
        lerp(lerp(a, c, self.py) * by, lerp(b, d, self.py) * by, self.px)
    }
}

/// Other sources that a pixel is drawn toward, and the share of the way.
type Pulls = Vec<(usize, f32)>;

/// Pixel (`x`, `y`) of the picture into `out`.
pub(super) fn gather_pixel(
    t: &Tables,
    pictures: &Pictures<&[f32]>,
    x: usize,
    y: usize,
    out: &mut [f32],
) {
    let head = t.head();
    let (width, channels) = (head.width as usize, head.channels as usize);
    let here = y * width + x;
    let under = |beneath: &[f32], c: usize| beneath[here * channels + c];
    let mut matte = 1.0;
    if let Some((m, n, beneath)) = &pictures.matte {
        matte = m[here * n];
        if matte.is_nan() || matte <= 0.0 {
            for (c, v) in out.iter_mut().enumerate() {
                *v = under(beneath, c);
            }
            return;
        }
    }
    let at = At::new(t, x, y);
    let place = 4 * (at.ky * (head.cols as usize + 1) + at.kx);
    let [base, first, count, eased] =
        [0, 1, 2, 3].map(|i| t.word(head.offsets.places, place + i) as usize);
    let cuts = (first..first + count).map(|i| match count {
        1 => i,
        _ => t.word(head.offsets.list, i) as usize,
    });
    let (source, pulls) = choose(t, &at, base, cuts);
    let mut d = [0.0; 2];
    if head.warps {
        d = displacement(t, &at, source, &pulls);
    }
    let Some(picture) = pictures.sources.get(source).copied().flatten() else {
        out.fill(0.0);
        return;
    };
    if d[0].abs() + d[1].abs() < STILL {
        out.copy_from_slice(&picture[here * channels..(here + 1) * channels]);
    } else {
        sample(t, picture, x, y, d, out);
    }
    if eased >> source & 1 != 0 {
        ease(t, &at, source, out);
    }
    if let Some((_, _, beneath)) = &pictures.matte
        && matte < 1.0
    {
        for (c, v) in out.iter_mut().enumerate() {
            let plate = under(beneath, c);
            if v.to_bits() != plate.to_bits() {
                *v = *v * matte + plate * (1.0 - matte);
            }
        }
    }
}

/// The source of a pixel and what it is drawn toward.
fn choose(t: &Tables, at: &At, base: usize, cuts: impl Iterator<Item = usize>) -> (usize, Pulls) {
    let head = t.head();
    let (cols, rows) = (head.cols as usize, head.rows as usize);
    let mut source = base;
    let mut pulls = Pulls::new();
    for cut in cuts {
        let cut = 8 * cut;
        let [ages, taken, to] = [0, 1, 2].map(|i| t.word(head.offsets.cuts, cut + i));
        let [lead, trail] = [3, 4].map(|i| t.float(head.offsets.cuts, cut + i));
        let age = at.between(|c| t.float(ages, c), 1.0);
        if age <= -REACH {
            continue;
        }
        if taken != 0 {
            let (wx, wy) = (cubic(at.px), cubic(at.py));
            let cell = |k: usize, i: usize, n: usize| (k + i).saturating_sub(2).min(n - 1);
            let column = |c: usize| {
                let mut sum = 0.0;
                for (r, weight) in wy.iter().enumerate() {
                    let i = cell(at.ky, r, rows) * cols + cell(at.kx, c, cols);
                    sum += weight * t.float(taken, i);
                }
                sum
            };
            let v = [0, 1, 2, 3].map(column);
            let takes = wx[0] * v[0] + wx[1] * v[1] + wx[2] * v[2] + wx[3] * v[3];
            if takes.is_nan() || takes <= 0.5 {
                continue;
            }
        }
        let to = to as usize;
        let pull = |other: usize, share: f32, pulls: &mut Pulls| {
            if share > 0.0 && pulls.len() < 3 {
                pulls.push((other, share));
            }
        };
        if age >= REACH {
            source = to;
            pulls.clear();
        } else if to != source {
            let share = progress(age, lead, trail);
            if age >= 0.0 {
                pulls.clear();
                pull(source, 1.0 - share, &mut pulls);
                source = to;
            } else {
                pull(to, share, &mut pulls);
            }
        }
    }
    (source, pulls)
}

fn displacement(t: &Tables, at: &At, source: usize, pulls: &Pulls) -> [f32; 2] {
    let head = t.head();
    let mut d = [0.0f32; 2];
    for &(other, share) in pulls {
        let flow = t.word(head.offsets.flows, source * head.sources as usize + other);
        if flow == 0 {
            continue;
        }
        for (i, d) in d.iter_mut().enumerate() {
            *d -= share * at.between(|c| t.float(flow, 2 * c + i), head.scale[i]);
        }
    }
    d
}

/// Pixel and fraction of position `x + d` on an axis of `n` pixels. Kept apart so that
/// the fraction is as exact at the right edge of an 8K picture as at the left.
#[inline(always)]
pub fn split(x: usize, d: f32, n: usize) -> (i64, f32) {
    // Not f32::floor: without SSE 4.1 that is a call.
    let mut whole = d as i32;
    whole -= i32::from(d < whole as f32);
    let at = (x as i64 + i64::from(whole)).clamp(-2, n as i64 + 1);
    (at, d - whole as f32)
}

/// A picture between its pixels, kept within the sixteen that it is made from.
fn sample(t: &Tables, picture: &[f32], x: usize, y: usize, d: [f32; 2], out: &mut [f32]) {
    let head = t.head();
    let (width, height) = (head.width as usize, head.height as usize);
    let ((ix, px), (iy, py)) = (split(x, d[0], width), split(y, d[1], height));
    let (wx, wy) = (cubic(px), cubic(py));
    let inside = |i: i64, n: usize| i.clamp(0, n as i64 - 1) as usize;
    let channels = out.len();
    let value = |x: i64, y: i64, c: usize| {
        picture[(inside(y, height) * width + inside(x, width)) * channels + c]
    };
    for (c, out) in out.iter_mut().enumerate() {
        let mut sum = 0.0f32;
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        for (j, wy) in (-1..).zip(wy) {
            let mut line = 0.0f32;
            for (k, wx) in (-1..).zip(wx) {
                let v = value(ix + k, iy + j, c);
                line += wx * v;
                low = if v < low { v } else { low };
                high = if v > high { v } else { high };
            }
            sum += wy * line;
        }
        let nearest = value(ix + i64::from(px >= 0.5), iy + i64::from(py >= 0.5), c);
        *out = within(sum, low, high, nearest);
    }
}

/// `sum` between `low` and `high`, or `nearest` where it is not finite.
#[inline(always)]
pub fn within(sum: f32, low: f32, high: f32, nearest: f32) -> f32 {
    if !sum.is_finite() {
        nearest
    } else if sum < low {
        low
    } else if sum > high {
        high
    } else {
        sum
    }
}

/// Adds the perceptual step of the shared low band.
fn ease(t: &Tables, at: &At, source: usize, pixel: &mut [f32]) {
    let head = t.head();
    let band = t.word(head.offsets.bands, source);
    if band == 0 {
        return;
    }
    let step = [0, 1, 2].map(|i| at.between(|c| t.float(band, 4 * c + i), 1.0));
    let alpha = usize::try_from(head.grade.alpha).map_or(1.0, |a| pixel[a]);
    if step == [0.0; 3] || alpha.is_nan() || alpha <= 0.0 {
        return;
    }
    for (c, step) in head.grade.colour.iter().zip(step) {
        let Ok(c) = usize::try_from(*c) else { continue };
        let v = pixel[c];
        let light = |v: f32| slope(&POWER, head.grade.display, v);
        let changed = if alpha < 1.0 {
            v + alpha * step * light(v / alpha)
        } else {
            v + step * light(v)
        };
        if changed.is_finite() {
            pixel[c] = if v >= 0.0 {
                changed.max(0.0)
            } else {
                changed.min(0.0)
            };
        }
    }
}
