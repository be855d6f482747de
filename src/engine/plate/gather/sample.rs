//! Reading a picture between its pixels.

use longtake_kernels::gather::{split, within};

#[cfg(target_arch = "x86_64")]
use super::eight::Eight;
use super::grid::cubic;
use super::quad::Quad;
use crate::device::isa::vectorised;
use crate::frame::Picture;

/// Displacement in pixels below which a pixel is copied.
pub(super) const STILL: f32 = 0.02;

#[inline(always)]
fn is_still(d: [f32; 2]) -> bool {
    d[0].abs() + d[1].abs() < STILL
}

vectorised! {
    /// The pixels of row `at.1` of `picture` from column `at.0` on, each read as far aside
    /// as `aside` says; into `out`, all channels.
    pub(super) fn row(picture: &Picture, at: (usize, usize), aside: &[[f32; 2]], out: &mut [f32]) {
        Portable: row_any(picture, at, aside, out),
        Avx2 row_avx2: row_in_twos(picture, at, aside, out),
    }
}

#[inline(always)]
fn row_any(picture: &Picture, (x, y): (usize, usize), aside: &[[f32; 2]], out: &mut [f32]) {
    let pixels = out.chunks_exact_mut(picture.channels());
    for ((x, &d), out) in (x..).zip(aside).zip(pixels) {
        if is_still(d) {
            out.copy_from_slice(picture.pixel(x, y));
        } else {
            catmull_rom(picture, x, y, d[0], d[1], out);
        }
    }
}

/// Of the pixels that [`row`] reads, gives `channels` the nearest one's samples.
pub(super) fn nearest(
    picture: &Picture,
    (x, y): (usize, usize),
    aside: &[[f32; 2]],
    channels: &[usize],
    out: &mut [f32],
) {
    let near = |i: usize, d: f32, n: usize| {
        let (i, part) = split(i, d, n);
        (i + i64::from(part >= 0.5)).clamp(0, n as i64 - 1) as usize
    };
    let pixels = out.chunks_exact_mut(picture.channels());
    for ((x, &d), out) in (x..).zip(aside).zip(pixels) {
        let (x, y) = match is_still(d) {
            true => (x, y),
            false => (
                near(x, d[0], picture.width()),
                near(y, d[1], picture.height()),
            ),
        };
        let from = picture.pixel(x, y);
        for &c in channels {
            out[c] = from[c];
        }
    }
}

/// The same, two pixels at once.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn row_in_twos(picture: &Picture, (x, y): (usize, usize), aside: &[[f32; 2]], out: &mut [f32]) {
    let c = picture.channels();
    for (i, (two, out)) in aside.chunks(2).zip(out.chunks_mut(2 * c)).enumerate() {
        let x = x + 2 * i;
        let done = match *two {
            [a, b] if !is_still(a) && !is_still(b) => {
                let places = [Place::of(picture, x, y, a), Place::of(picture, x + 1, y, b)];
                match c {
                    3 => read_two::<3, 13>(picture, &places, out),
                    4 => read_two::<4, 16>(picture, &places, out),
                    _ => false,
                }
            }
            _ => false,
        };
        if !done {
            row_any(picture, (x, y), two, out);
        }
    }
}

/// Where a pixel is read.
struct Place {
    /// The pixel before it.
    x: i64,
    y: i64,
    /// How far behind that it lies, of the way to the next.
    part: [f32; 2],
    wx: [f32; 4],
    wy: [f32; 4],
}

impl Place {
    #[inline(always)]
    fn of(picture: &Picture, x: usize, y: usize, [dx, dy]: [f32; 2]) -> Self {
        let (x, px) = split(x, dx, picture.width());
        let (y, py) = split(y, dy, picture.height());
        Self {
            x,
            y,
            part: [px, py],
            wx: cubic(px),
            wy: cubic(py),
        }
    }

    /// The column and row of the upper left one of the sixteen pixels, where all of them
    /// lie in the picture.
    #[inline(always)]
    fn corner(&self, picture: &Picture) -> Option<(usize, usize)> {
        let inside = |i: i64, n: usize| i >= 1 && i + 2 < n as i64;
        let is_in = inside(self.x, picture.width()) && inside(self.y, picture.height());
        is_in.then(|| (self.x as usize - 1, self.y as usize - 1))
    }
}

/// [`read_four`] of two pixels at once.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn read_two<const N: usize, const SPAN: usize>(
    picture: &Picture,
    [a, b]: &[Place; 2],
    out: &mut [f32],
) -> bool {
    let stride = picture.width() * N;
    let (Some(corner_a), Some(corner_b)) = (a.corner(picture), b.corner(picture)) else {
        return false;
    };
    let from = |(x, y): (usize, usize)| y * stride + x * N;
    let data = picture.data();
    let (Some(from_a), Some(from_b)) = (
        data.get(from(corner_a)..from(corner_a) + 3 * stride + SPAN),
        data.get(from(corner_b)..from(corner_b) + 3 * stride + SPAN),
    ) else {
        return false;
    };
    let mut wx = [Eight::splat(0.0, 0.0); 4];
    for (w, (&a, &b)) in wx.iter_mut().zip(a.wx.iter().zip(&b.wx)) {
        *w = Eight::splat(a, b);
    }
    let mut sum = Eight::splat(0.0, 0.0);
    let mut low = Eight::splat(f32::MAX, f32::MAX);
    let mut high = Eight::splat(f32::MIN, f32::MIN);
    for j in 0..4 {
        let (Some(row_a), Some(row_b)) = (
            from_a[j * stride..].first_chunk::<SPAN>(),
            from_b[j * stride..].first_chunk::<SPAN>(),
        ) else {
            return false;
        };
        let mut line = Eight::splat(0.0, 0.0);
        for k in 0..4 {
            let (Some(a), Some(b)) = (
                row_a[k * N..].first_chunk::<4>(),
                row_b[k * N..].first_chunk::<4>(),
            ) else {
                return false;
            };
            let v = Eight::load(a, b);
            line = line.add(wx[k].mul(v));
            low = v.or_less(low);
            high = v.or_more(high);
        }
        sum = sum.add(Eight::splat(a.wy[j], b.wy[j]).mul(line));
    }
    if sum.any_not_finite() {
        return false;
    }
    let sum = low.or_more(sum).or_less(high).to_array();
    out[..N].copy_from_slice(&sum[..N]);
    out[N..].copy_from_slice(&sum[4..4 + N]);
    true
}

/// The value of `picture` at column `x + dx`, row `y + dy`, all channels, by
/// Catmull-Rom interpolation (Keys 1981) with the borders repeated.
///
/// The samples are scene-linear, so next to a highlight of 50 a cubic would dip
/// far below black; the result is kept within the least and the greatest of the
/// sixteen pixels it is made from, channel by channel. That leaves the grain and
/// the sharpness of ordinary ground alone (clamping to the nearest four does
/// not) and costs less than a trip through a compressive encoding. Where a
/// pixel among the sixteen is not finite the nearest pixel is taken, so that
/// one bad pixel stays one.
pub(super) fn catmull_rom(
    picture: &Picture,
    x: usize,
    y: usize,
    dx: f32,
    dy: f32,
    out: &mut [f32],
) {
    let place = Place::of(picture, x, y, [dx, dy]);
    if let Some(corner) = place.corner(picture) {
        let done = match out.len() {
            3 => read_four::<3, 13>(picture, corner, &place.wx, &place.wy, out),
            4 => read_four::<4, 16>(picture, corner, &place.wx, &place.wy, out),
            _ => false,
        };
        if done {
            return;
        }
    }
    let [px, py] = place.part;
    let taps = Taps {
        x: around(place.x, picture.width()),
        y: around(place.y, picture.height()),
        wx: place.wx,
        wy: place.wy,
        near: (usize::from(px >= 0.5) + 1, usize::from(py >= 0.5) + 1),
    };
    taps.read_all(picture, out);
}

fn around(i: i64, n: usize) -> [usize; 4] {
    [-1, 0, 1, 2].map(|d| (i + d).clamp(0, n as i64 - 1) as usize)
}

struct Taps {
    x: [usize; 4],
    y: [usize; 4],
    wx: [f32; 4],
    wy: [f32; 4],
    near: (usize, usize),
}

impl Taps {
    /// All channels, anywhere.
    #[inline(never)]
    fn read_all(&self, picture: &Picture, out: &mut [f32]) {
        let mut c = 0;
        while c < out.len() {
            match out.len() - c {
                1 => self.read::<1>(picture, c, &mut out[c..]),
                2 => self.read::<2>(picture, c, &mut out[c..]),
                3 => self.read::<3>(picture, c, &mut out[c..]),
                _ => self.read::<4>(picture, c, &mut out[c..]),
            }
            c += 4;
        }
    }

    /// `N` channels from channel `c` on.
    #[inline(always)]
    fn read<const N: usize>(&self, picture: &Picture, c: usize, out: &mut [f32]) {
        let channels = picture.channels();
        let pixel = |row: &[f32], x: usize| -> [f32; N] {
            let from = x * channels + c;
            let mut v = [0.0; N];
            v.copy_from_slice(&row[from..from + N]);
            v
        };
        let mut sum = [0.0f32; N];
        let (mut low, mut high) = ([f32::MAX; N], [f32::MIN; N]);
        for (&y, &wy) in self.y.iter().zip(&self.wy) {
            let row = picture.row(y);
            let mut line = [0.0f32; N];
            for (&x, &wx) in self.x.iter().zip(&self.wx) {
                let v = pixel(row, x);
                for i in 0..N {
                    line[i] += wx * v[i];
                    low[i] = if v[i] < low[i] { v[i] } else { low[i] };
                    high[i] = if v[i] > high[i] { v[i] } else { high[i] };
                }
            }
            for i in 0..N {
                sum[i] += wy * line[i];
            }
        }
        let nearest = pixel(picture.row(self.y[self.near.1]), self.x[self.near.0]);
        for i in 0..N {
            out[i] = within(sum[i], low[i], high[i], nearest[i]);
        }
    }
}

/// All `N` channels, at most four, from the sixteen pixels whose upper left one
/// is `corner`: the same sums as [`Taps::read`], in four lanes, of which those
/// past `N` hold the next pixel and are dropped. `SPAN` is `3 * N + 4`, the
/// samples of a row that takes. Tells whether it could: at the very end of a
/// picture there is no next pixel, and what is not finite is left to `read`.
#[inline(always)]
fn read_four<const N: usize, const SPAN: usize>(
    picture: &Picture,
    corner: (usize, usize),
    wx: &[f32; 4],
    wy: &[f32; 4],
    out: &mut [f32],
) -> bool {
    let stride = picture.width() * N;
    let from = corner.1 * stride + corner.0 * N;
    let Some(data) = picture.data().get(from..from + 3 * stride + SPAN) else {
        return false;
    };
    let wx = wx.map(Quad::splat);
    let mut sum = Quad::splat(0.0);
    let (mut low, mut high) = (Quad::splat(f32::MAX), Quad::splat(f32::MIN));
    for (j, &wy) in wy.iter().enumerate() {
        let Some(row) = data[j * stride..].first_chunk::<SPAN>() else {
            return false;
        };
        let mut line = Quad::splat(0.0);
        for (k, &wx) in wx.iter().enumerate() {
            let Some(v) = row[k * N..].first_chunk::<4>().map(Quad::load) else {
                return false;
            };
            line = line.add(wx.mul(v));
            low = v.or_less(low);
            high = v.or_more(high);
        }
        sum = sum.add(Quad::splat(wy).mul(line));
    }
    if sum.any_not_finite() {
        return false;
    }
    let sum = low.or_more(sum).or_less(high);
    out.copy_from_slice(&sum.to_array()[..N]);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(f: impl Fn(usize, usize) -> [f32; 5]) -> Picture {
        let mut p = Picture::new(12, 9, 5);
        for y in 0..9 {
            for x in 0..12 {
                p.row_mut(y)[x * 5..(x + 1) * 5].copy_from_slice(&f(x, y));
            }
        }
        p
    }

    #[test]
    fn a_ramp_is_read_exactly_and_whole_steps_are_copies() {
        let p = picture(|x, y| [x as f32, y as f32, -(x as f32), 1.0, (x + 10 * y) as f32]);
        let mut out = [0.0; 5];
        catmull_rom(&p, 5, 4, 0.25, -0.5, &mut out);
        for (v, want) in out.iter().zip([5.25, 3.5, -5.25, 1.0, 40.25]) {
            assert!((v - want).abs() < 1e-5, "{v} {want}");
        }
        catmull_rom(&p, 5, 4, 3.0, -2.0, &mut out);
        assert_eq!(out, p.pixel(8, 2));
        catmull_rom(&p, 5, 4, -300.0, 300.0, &mut out);
        assert_eq!(out, p.pixel(0, 8));
    }

    #[test]
    fn the_fast_way_inside_agrees_to_the_bit() {
        let mut five = picture(|x, y| {
            let v = libm::sinf((x * 7 + y * 3) as f32);
            [v, v * v, 3.0 * v, 1.0 / (v + 2.0), v]
        });
        five.row_mut(4)[3 * 5] = f32::NAN;
        let mut four = Picture::new(12, 9, 4);
        for (to, from) in four
            .data_mut()
            .chunks_exact_mut(4)
            .zip(five.data().chunks_exact(5))
        {
            to.copy_from_slice(&from[..4]);
        }
        for y in 0..9 {
            for x in 0..12 {
                let (dx, dy) = (0.37 - 0.2 * x as f32, 0.3 * y as f32 - 1.41);
                let (mut slow, mut fast) = ([0.0; 5], [0.0; 4]);
                catmull_rom(&five, x, y, dx, dy, &mut slow);
                catmull_rom(&four, x, y, dx, dy, &mut fast);
                for c in 0..4 {
                    assert_eq!(slow[c].to_bits(), fast[c].to_bits());
                }
            }
        }
    }

    #[test]
    fn a_row_is_read_to_the_bit_as_its_pixels_are() {
        for channels in 1..=5 {
            let mut p = Picture::new(23, 9, channels);
            for (i, v) in p.data_mut().iter_mut().enumerate() {
                *v = libm::sinf((i * 7 % 97) as f32) - 0.2;
            }
            p.row_mut(4)[9 * channels] = f32::NAN;
            // Some lie still, some reach over the edges, some in pairs, some alone.
            let aside: Vec<[f32; 2]> = (0..23)
                .map(|i| match i % 7 {
                    2 | 3 => [0.0, 0.01],
                    k => [0.31 * k as f32 - 1.2, 0.9 - 0.37 * k as f32],
                })
                .collect();
            for y in 0..9 {
                for (from, to) in [(0, 23), (3, 20), (5, 6), (8, 8)] {
                    let mut got = vec![0.0; (to - from) * channels];
                    let mut want = got.clone();
                    row(&p, (from, y), &aside[from..to], &mut got);
                    row_any(&p, (from, y), &aside[from..to], &mut want);
                    assert!(
                        got.iter()
                            .zip(&want)
                            .all(|(g, w)| g.to_bits() == w.to_bits())
                    );
                }
            }
        }
    }

    #[test]
    fn highlights_do_not_ring_below_black_and_a_bad_pixel_stays_one() {
        let p = picture(|x, y| [if (x, y) == (6, 4) { 500.0 } else { 0.1 }; 5]);
        let mut out = [0.0; 5];
        for (dx, dy) in [(-1.5, 0.0), (1.5, 0.5), (0.5, -1.5), (0.0, 0.5)] {
            catmull_rom(&p, 6, 4, dx, dy, &mut out);
            assert!(out.iter().all(|&v| (0.1..=500.0).contains(&v)), "{out:?}");
        }
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let p = picture(|x, y| [if (x, y) == (6, 4) { bad } else { 0.5 }; 5]);
            let mut spoilt = 0;
            for y in 0..9 {
                for x in 0..12 {
                    catmull_rom(&p, x, y, 0.3, 0.3, &mut out);
                    spoilt += usize::from(out[0] != 0.5);
                }
            }
            assert_eq!(spoilt, 1);
        }
    }
}
