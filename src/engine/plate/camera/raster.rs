//! Small grey pictures that the camera's motion is read from.

/// A grey picture, perceptually encoded, white 1.
#[derive(Clone, Debug)]
pub(super) struct Raster {
    pub(super) cols: usize,
    pub(super) rows: usize,
    pub(super) data: Vec<f32>,
}

impl Raster {
    #[inline]
    pub(super) fn at(&self, x: usize, y: usize) -> f32 {
        self.data[y * self.cols + x]
    }

    /// The value between pixels, or `None` outside of their centres.
    #[inline]
    pub(super) fn between(&self, x: f64, y: f64) -> Option<f32> {
        let (last_x, last_y) = ((self.cols - 1) as f64, (self.rows - 1) as f64);
        if !(0.0..=last_x).contains(&x) || !(0.0..=last_y).contains(&y) {
            return None;
        }
        let (ix, iy) = (
            (x as usize).min(self.cols.saturating_sub(2)),
            (y as usize).min(self.rows.saturating_sub(2)),
        );
        let (px, py) = ((x - ix as f64) as f32, (y - iy as f64) as f32);
        let line = |y: usize| {
            let (a, b) = (self.at(ix, y), self.at(ix + 1, y));
            a + px * (b - a)
        };
        let (a, b) = (line(iy), line(iy + 1));
        Some(a + py * (b - a))
    }

    /// Blurred by the binomial kernel of three, borders repeated: what lies
    /// between pixels is then near to what a line through them says.
    pub(super) fn smooth(&self) -> Self {
        let (cols, rows) = (self.cols, self.rows);
        let mut across = vec![0.0f32; cols * rows];
        for (from, to) in self
            .data
            .chunks_exact(cols)
            .zip(across.chunks_exact_mut(cols))
        {
            for x in 0..cols {
                let (l, r) = (from[x.saturating_sub(1)], from[(x + 1).min(cols - 1)]);
                to[x] = 0.25 * (l + r) + 0.5 * from[x];
            }
        }
        let mut data = vec![0.0f32; cols * rows];
        for y in 0..rows {
            let (u, d) = (y.saturating_sub(1), (y + 1).min(rows - 1));
            for x in 0..cols {
                let (u, d) = (across[u * cols + x], across[d * cols + x]);
                data[y * cols + x] = 0.25 * (u + d) + 0.5 * across[y * cols + x];
            }
        }
        Self { cols, rows, data }
    }

    /// Half the size, each pixel the mean of four; a last odd row or column is
    /// left out.
    pub(super) fn half(&self) -> Self {
        let (cols, rows) = ((self.cols / 2).max(1), (self.rows / 2).max(1));
        let mut data = Vec::with_capacity(cols * rows);
        for y in 0..rows {
            for x in 0..cols {
                let (x1, y1) = (
                    (2 * x + 1).min(self.cols - 1),
                    (2 * y + 1).min(self.rows - 1),
                );
                let sum = (self.at(2 * x, 2 * y) + self.at(x1, 2 * y))
                    + (self.at(2 * x, y1) + self.at(x1, y1));
                data.push(0.25 * sum);
            }
        }
        Self { cols, rows, data }
    }
}
