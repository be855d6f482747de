//! The coarse grid under a picture: how its cells lie on the pixels, and the
//! smoothing of what they hold.

pub(super) use longtake_kernels::gather::{cubic, lerp};

/// Where the pixels of one axis lie between the centres of the cells.
///
/// Pixel `x` lies in interval `k` (0 before the first centre, `cells` after the
/// last), the fraction `part[x]` of the way from centre `k - 1` to centre `k`.
/// The positions are exact rationals, so a proxy and the full size see the same
/// grid.
pub(super) struct Axis {
    /// Cells along the axis.
    pub(super) cells: usize,
    /// Interval of each pixel.
    pub(super) interval: Vec<u32>,
    /// How far into its interval each pixel lies, 0..1.
    pub(super) part: Vec<f32>,
    /// First pixel of each interval, and past the last the number of pixels.
    pub(super) start: Vec<u32>,
}

impl Axis {
    pub(super) fn new(cells: usize, pixels: usize) -> Self {
        let (c, n) = (cells as i64, pixels as i64);
        let mut interval = Vec::with_capacity(pixels);
        let mut part = Vec::with_capacity(pixels);
        let mut start = Vec::with_capacity(cells + 2);
        for x in 0..n {
            let position = (2 * x + 1) * c - n;
            let k = position.div_euclid(2 * n) + 1;
            interval.push(k as u32);
            part.push((position.rem_euclid(2 * n) as f64 / (2 * n) as f64) as f32);
            while start.len() as i64 <= k {
                start.push(x as u32);
            }
        }
        start.resize(cells + 2, pixels as u32);
        Self {
            cells,
            interval,
            part,
            start,
        }
    }

    /// The axis where pixel positions are moved by `aside`, a share of its length,
    /// before they are looked up.
    pub(super) fn aside(cells: usize, pixels: usize, aside: f64) -> Self {
        if aside == 0.0 {
            return Self::new(cells, pixels);
        }
        let mut axis = Self {
            cells,
            interval: Vec::with_capacity(pixels),
            part: Vec::with_capacity(pixels),
            start: Vec::with_capacity(cells + 2),
        };
        for x in 0..pixels {
            let position = ((x as f64 + 0.5) / pixels as f64 + aside) * cells as f64 - 0.5;
            let position = position.clamp(-0.5, cells as f64 - 0.5);
            let whole = position.floor();
            let k = (whole + 1.0) as usize;
            axis.interval.push(k as u32);
            axis.part.push((position - whole) as f32);
            while axis.start.len() <= k {
                axis.start.push(x as u32);
            }
        }
        axis.start.resize(cells + 2, pixels as u32);
        axis
    }

    /// The cells on either side of interval `k`, repeated at the borders.
    pub(super) fn ends(&self, k: usize) -> (usize, usize) {
        (k.saturating_sub(1), k.min(self.cells - 1))
    }

    /// The four cells around interval `k`, repeated at the borders.
    pub(super) fn four(&self, k: usize) -> [usize; 4] {
        let last = self.cells - 1;
        [
            k.saturating_sub(2).min(last),
            k.saturating_sub(1),
            k.min(last),
            (k + 1).min(last),
        ]
    }
}

/// Gaussian blur of a plane of `cols` by `rows` values, borders repeated. The
/// kernel ends at three deviations: what is further away counts for exactly
/// nothing.
pub(super) fn blur(plane: &[f32], cols: usize, rows: usize, sigma: f32) -> Vec<f32> {
    let radius = libm::ceilf(3.0 * sigma) as i32;
    let mut kernel: Vec<f32> = (-radius..=radius)
        .map(|d| libm::expf(-((d * d) as f32) / (2.0 * sigma * sigma)))
        .collect();
    let sum: f32 = kernel.iter().sum();
    kernel.iter_mut().for_each(|k| *k /= sum);

    let mut across = vec![0.0f32; cols * rows];
    let reach = radius as usize;
    let mut padded = vec![0.0f32; cols + 2 * reach];
    for (row, out) in plane.chunks_exact(cols).zip(across.chunks_exact_mut(cols)) {
        padded[..reach].fill(row[0]);
        padded[reach..reach + cols].copy_from_slice(row);
        padded[reach + cols..].fill(row[cols - 1]);
        for (k, &weight) in kernel.iter().enumerate() {
            for (o, &v) in out.iter_mut().zip(&padded[k..]) {
                *o += weight * v;
            }
        }
    }
    let mut down = vec![0.0f32; cols * rows];
    for (y, out) in down.chunks_exact_mut(cols).enumerate() {
        for (k, &weight) in kernel.iter().enumerate() {
            let from = (y as i32 + k as i32 - radius).clamp(0, rows as i32 - 1) as usize;
            for (o, &v) in out.iter_mut().zip(&across[from * cols..]) {
                *o += weight * v;
            }
        }
    }
    down
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_sees_the_same_grid() {
        let (full, half) = (Axis::new(7, 64), Axis::new(7, 32));
        for x in 0..32 {
            // The middle of two full-size pixels is the centre of a proxy pixel.
            let at = |a: &Axis, x: usize| a.interval[x] as f32 + a.part[x];
            let middle = 0.5 * (at(&full, 2 * x) + at(&full, 2 * x + 1));
            assert!((middle - at(&half, x)).abs() < 1e-5);
        }
        assert_eq!(full.start[0], 0);
        assert_eq!(full.start[8], 64);
    }

    #[test]
    fn an_axis_seen_from_aside_is_the_axis_moved() {
        let (plain, moved) = (Axis::new(12, 96), Axis::aside(12, 96, 2.0 / 96.0));
        for x in 0..94 {
            assert_eq!(moved.interval[x], plain.interval[x + 2]);
            assert!((moved.part[x] - plain.part[x + 2]).abs() < 1e-5);
        }
        assert_eq!(moved.start.len(), plain.start.len());
        let far = Axis::aside(12, 96, 3.0);
        assert!(far.interval.iter().all(|k| *k == 12));
        assert_eq!((far.start[12], far.start[13]), (0, 96));
    }

    #[test]
    fn one_cell_and_one_pixel_are_enough() {
        let a = Axis::new(1, 1);
        assert_eq!((a.interval[0], a.part[0]), (1, 0.0));
        assert_eq!(a.ends(1), (0, 0));
        assert_eq!(a.four(0), [0; 4]);
        assert_eq!(blur(&[3.0], 1, 1, 2.0).len(), 1);
        let many = Axis::new(5, 1);
        assert_eq!(many.start, [0, 0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn blur_keeps_a_level_and_ends_at_three_deviations() {
        let flat = blur(&[2.0; 60], 10, 6, 1.0);
        assert!(flat.iter().all(|v| (v - 2.0).abs() < 1e-5));
        let mut dot = vec![0.0; 21];
        dot[10] = 1.0;
        let spread = blur(&dot, 21, 1, 1.0);
        assert!(spread[13] > 0.0 && spread[14] == 0.0 && spread[6] == 0.0);
    }
}
