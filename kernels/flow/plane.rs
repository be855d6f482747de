//! Pictures of one channel, and displacements.

/// One channel on a grid.
#[derive(Clone, Debug)]
pub struct Plane {
    /// Columns, at least 1.
    pub cols: usize,
    /// Rows, at least 1.
    pub rows: usize,
    /// Values, row by row.
    pub data: Vec<f32>,
}

impl Plane {
    /// Bilinear value, borders repeated.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        let x = x.clamp(0.0, (self.cols - 1) as f32);
        let y = y.clamp(0.0, (self.rows - 1) as f32);
        let (i, j) = (x as usize, y as usize);
        let (a, b) = (x - i as f32, y - j as f32);
        let (i1, j1) = ((i + 1).min(self.cols - 1), (j + 1).min(self.rows - 1));
        let (up, down) = (&self.data[j * self.cols..], &self.data[j1 * self.cols..]);
        (1.0 - b) * ((1.0 - a) * up[i] + a * up[i1]) + b * ((1.0 - a) * down[i] + a * down[i1])
    }

    /// Half as many columns and rows: the mean of four cells each.
    pub(super) fn half(&self) -> Self {
        let (cols, rows) = (self.cols / 2, self.rows / 2);
        let mut data = Vec::with_capacity(cols * rows);
        for y in 0..rows {
            for x in 0..cols {
                let i = 2 * y * self.cols + 2 * x;
                let d = &self.data;
                data.push(0.25 * (d[i] + d[i + 1] + d[i + self.cols] + d[i + self.cols + 1]));
            }
        }
        Self { cols, rows, data }
    }

    /// Central differences across and down.
    pub(super) fn gradients(&self) -> (Vec<f32>, Vec<f32>) {
        let (w, h) = (self.cols, self.rows);
        let mut gx = vec![0.0; w * h];
        let mut gy = vec![0.0; w * h];
        for y in 0..h {
            let (up, down) = (y.saturating_sub(1) * w, (y + 1).min(h - 1) * w);
            for x in 0..w {
                let (l, r) = (x.saturating_sub(1), (x + 1).min(w - 1));
                gx[y * w + x] = 0.5 * (self.data[y * w + r] - self.data[y * w + l]);
                gy[y * w + x] = 0.5 * (self.data[down + x] - self.data[up + x]);
            }
        }
        (gx, gy)
    }
}

/// A displacement for every cell: what is at `x` in the one picture is at
/// `x + d(x)` in the other.
#[derive(Clone, Debug)]
pub struct Field {
    /// Across, in cells.
    pub u: Plane,
    /// Down, in cells.
    pub v: Plane,
}

impl Field {
    pub(super) fn still(cols: usize, rows: usize) -> Self {
        let zero = Plane {
            cols,
            rows,
            data: vec![0.0; cols * rows],
        };
        Self {
            u: zero.clone(),
            v: zero,
        }
    }

    /// The same on a grid of about twice as many cells each way.
    pub(super) fn doubled(&self, cols: usize, rows: usize) -> Self {
        let (sx, sy) = (
            self.u.cols as f32 / cols as f32,
            self.u.rows as f32 / rows as f32,
        );
        let mut out = Self::still(cols, rows);
        for y in 0..rows {
            for x in 0..cols {
                let (px, py) = ((x as f32 + 0.5) * sx - 0.5, (y as f32 + 0.5) * sy - 0.5);
                out.u.data[y * cols + x] = self.u.at(px, py) / sx;
                out.v.data[y * cols + x] = self.v.at(px, py) / sy;
            }
        }
        out
    }
}
