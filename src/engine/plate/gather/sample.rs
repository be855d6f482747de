//! Reading a picture between its pixels.

use longtake_kernels::gather::{split, within};

use super::grid::cubic;
use super::quad::Quad;
use crate::frame::Picture;

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
    let (ix, px) = split(x, dx, picture.width());
    let (iy, py) = split(y, dy, picture.height());
    let (wx, wy) = (cubic(px), cubic(py));
    let inside = |i: i64, n: usize| i >= 1 && i + 2 < n as i64;
    if inside(ix, picture.width()) && inside(iy, picture.height()) {
        let corner = (ix as usize - 1, iy as usize - 1);
        let done = match out.len() {
            3 => read_four::<3, 13>(picture, corner, &wx, &wy, out),
            4 => read_four::<4, 16>(picture, corner, &wx, &wy, out),
            _ => false,
        };
        if done {
            return;
        }
    }
    let taps = Taps {
        x: around(ix, picture.width()),
        y: around(iy, picture.height()),
        wx,
        wy,
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
