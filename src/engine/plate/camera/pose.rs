//! Where the camera looks at one frame.

use serde::{Deserialize, Serialize};

/// An affine map that takes a place in the steadied picture to its place in a
/// frame. Beside shift, turn and scale it has the shear by which ground that
/// falls away from the camera is seen to move with its distance.
///
/// Places are measured from the centre of the picture in its heights, x to the
/// right (pixel aspect taken out), y down, so a proxy and the full size share
/// their poses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// To the right, of what lies to the right.
    pub xx: f64,
    /// To the right, of what lies down.
    pub xy: f64,
    /// Down, of what lies to the right.
    pub yx: f64,
    /// Down, of what lies down.
    pub yy: f64,
    /// Shift to the right.
    pub x: f64,
    /// Shift down.
    pub y: f64,
}

impl Pose {
    /// The pose of a camera that has not moved.
    pub const REST: Self = Self {
        xx: 1.0,
        xy: 0.0,
        yx: 0.0,
        yy: 1.0,
        x: 0.0,
        y: 0.0,
    };

    /// Where `(x, y)` of the steadied picture lies in the frame.
    pub fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.xx * x + self.xy * y + self.x,
            self.yx * x + self.yy * y + self.y,
        )
    }

    /// `first`, then `self`.
    pub fn after(&self, first: &Self) -> Self {
        let (x, y) = self.apply(first.x, first.y);
        Self {
            xx: self.xx * first.xx + self.xy * first.yx,
            xy: self.xx * first.xy + self.xy * first.yy,
            yx: self.yx * first.xx + self.yy * first.yx,
            yy: self.yx * first.xy + self.yy * first.yy,
            x,
            y,
        }
    }

    /// The way back. A pose that leaves no area has none and gives
    /// [`REST`](Self::REST).
    pub fn inverse(&self) -> Self {
        let d = self.xx * self.yy - self.xy * self.yx;
        if d.abs() < 1e-12 {
            return Self::REST;
        }
        let (xx, xy) = (self.yy / d, -self.xy / d);
        let (yx, yy) = (-self.yx / d, self.xx / d);
        Self {
            xx,
            xy,
            yx,
            yy,
            x: -(xx * self.x + xy * self.y),
            y: -(yx * self.x + yy * self.y),
        }
    }

    /// The farthest that this takes any corner of a picture from where `other`
    /// takes it, in heights. `wide` is the picture's width in heights.
    pub fn apart(&self, other: &Self, wide: f64) -> f64 {
        let (x, y) = (0.5 * wide, 0.5);
        [(x, y), (x, -y), (-x, y), (-x, -y)]
            .into_iter()
            .map(|(x, y)| {
                let (p, q) = (self.apply(x, y), other.apply(x, y));
                let (dx, dy) = (p.0 - q.0, p.1 - q.1);
                libm::sqrt(dx * dx + dy * dy)
            })
            .fold(0.0, f64::max)
    }

    /// Term by term: `f` of each of the six numbers and those of `other`.
    pub(super) fn with(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            xx: f(self.xx, other.xx),
            xy: f(self.xy, other.xy),
            yx: f(self.yx, other.yx),
            yy: f(self.yy, other.yy),
            x: f(self.x, other.x),
            y: f(self.y, other.y),
        }
    }

    /// Term by term `self + share * (other - self)`.
    pub(super) fn toward(&self, other: &Self, share: f64) -> Self {
        self.with(other, |p, q| p + share * (q - p))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_rest() {
        let p = Pose {
            xx: 1.02,
            xy: -0.03,
            yx: 0.05,
            yy: 0.97,
            x: -0.1,
            y: 0.07,
        };
        for back in [p.after(&p.inverse()), p.inverse().after(&p)] {
            assert!(back.apart(&Pose::REST, 1.8) < 1e-12, "{back:?}");
        }
    }

    #[test]
    fn one_after_the_other_is_both() {
        let p = Pose {
            xx: 0.9,
            xy: 0.2,
            yx: -0.1,
            yy: 1.1,
            x: 0.3,
            y: -0.1,
        };
        let q = Pose {
            xx: 1.1,
            xy: -0.1,
            yx: 0.3,
            yy: 0.8,
            x: -0.2,
            y: 0.4,
        };
        let (x, y) = p.apply(0.4, -0.3);
        let both = q.after(&p).apply(0.4, -0.3);
        let (x, y) = q.apply(x, y);
        assert!((both.0 - x).abs() < 1e-12 && (both.1 - y).abs() < 1e-12);
    }
}
