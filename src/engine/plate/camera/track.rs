//! The motion of the camera, read from the plate: each frame is laid over a key
//! frame by the affine map under which what stands still in the scene agrees
//! best. What moves in it (water, people) disagrees and counts for
//! nothing.
//!
//! Inverse compositional alignment (Baker and Matthews 2004) on the strongest
//! points of small blocks, coarse to fine, with Tukey's biweight (Beaton and
//! Tukey 1974); a change of exposure is found along with it. In `f64` and in a
//! fixed order, so that machines agree.

use super::pose::Pose;
use super::raster::Raster;

/// Rasters from fine to coarse, each half the one before.
const LEVELS: usize = 3;
/// Side of a block that gives one point, in pixels of its raster.
const BLOCK: usize = 4;
/// Least difference across two pixels that makes a point.
const CONTRAST: f32 = 0.02;
/// How far a point may lie from where the pose puts it, across its edge, in
/// pixels of the finest raster, to count as standing still.
const HOLDS: f64 = 0.3;
/// Blocks of the picture, across and down, of which a part must stand still.
const AREAS: (usize, usize) = (8, 6);
/// Travel from a key frame, in heights, after which the next is taken.
const KEY: f64 = 0.08;
/// Share of the areas that must stand still for a frame to say anything.
pub(super) const SHARE: f64 = 0.25;
/// Share of what an area did before that a new frame replaces.
const FORGETS: f64 = 0.2;
/// Share from which a pose is beyond doubt.
const CERTAIN: f64 = 0.5;

/// Numbers that are found: a pose and a change of exposure.
const TERMS: usize = 7;

/// A place in a key frame with detail enough to be found again.
struct Point {
    x: f64,
    y: f64,
    value: f64,
    /// How the value there changes with the six numbers of a pose and with
    /// exposure.
    slope: [f64; TERMS],
    /// Change of the value from one pixel of the raster to the next.
    edge: f64,
    area: usize,
}

/// A frame at several sizes, fine to coarse.
pub(super) struct Pyramid(Vec<Raster>);

impl Pyramid {
    pub(super) fn new(raster: &Raster) -> Self {
        let mut levels = vec![raster.smooth()];
        let mut plain = raster.clone();
        while levels.len() < LEVELS && plain.rows >= 48 && plain.cols >= 48 {
            plain = plain.half();
            levels.push(plain.smooth());
        }
        Self(levels)
    }
}

/// What a frame says of the camera.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// From the first frame to this one.
    pub(super) pose: Pose,
    /// Share of the picture that stands still under it.
    pub(super) held: f64,
    /// Share that stands still if the camera did not move.
    pub(super) unmoved: f64,
}

/// Follows the camera from frame to frame.
pub(super) struct Tracker {
    /// Width of the picture in heights.
    wide: f64,
    key: Option<Key>,
    last: Option<(Pyramid, Pose)>,
    /// How often each area of the picture has stood still of late, 0..1.
    still: Vec<f64>,
}

struct Key {
    points: Vec<Vec<Point>>,
    pose: Pose,
}

impl Tracker {
    /// For pictures `wide` heights across.
    pub(super) fn new(wide: f64) -> Self {
        Self {
            wide,
            key: None,
            last: None,
            still: vec![1.0; AREAS.0 * AREAS.1],
        }
    }

    /// Where the camera looks in the next frame.
    pub(super) fn follow(&mut self, frame: Pyramid) -> Sight {
        let (Some(key), Some((before, last))) = (&self.key, &self.last) else {
            self.key = Some(self.key_of(&frame, Pose::REST));
            self.last = Some((frame, Pose::REST));
            return Sight {
                pose: Pose::REST,
                held: 1.0,
                unmoved: 1.0,
            };
        };
        let (mut way, mut areas) = self.found(key, &frame, last.after(&key.pose.inverse()));
        let mut held = share(&areas);
        let mut base = key.pose;
        let mut unmoved = share(&self.areas(key, &frame, &Pose::REST));
        let far = way.apart(&Pose::REST, self.wide) > KEY;
        if far || held < SHARE {
            let next = self.key_of(before, *last);
            let (shorter, theirs) = self.found(&next, &frame, Pose::REST);
            let holds = share(&theirs);
            if far || holds > held {
                (way, areas, held, base) = (shorter, theirs, holds, next.pose);
                unmoved = share(&self.areas(&next, &frame, &Pose::REST));
                self.key = Some(next);
            }
        }
        // A frame that says nothing leaves the camera where it was.
        let pose = if held < SHARE {
            *last
        } else {
            way.after(&base)
        };
        if held >= SHARE {
            for (still, stands) in self.still.iter_mut().zip(areas) {
                let now = stands.map_or(*still, |s| f64::from(u8::from(s)));
                *still += FORGETS * (now - *still);
            }
        }
        self.last = Some((frame, pose));
        Sight {
            pose,
            held,
            unmoved,
        }
    }

    /// The pose from `key` to `frame` and which areas stand still under it: as aligned
    /// from `start`, or `start` itself where that holds better.
    fn found(&self, key: &Key, frame: &Pyramid, start: Pose) -> (Pose, Areas) {
        let way = self.align(key, frame, start);
        let areas = self.areas(key, frame, &way);
        let held = share(&areas);
        if held < CERTAIN {
            let stays = self.areas(key, frame, &start);
            if share(&stays) > held {
                return (start, stays);
            }
        }
        (way, areas)
    }

    fn key_of(&self, frame: &Pyramid, pose: Pose) -> Key {
        Key {
            points: frame.0.iter().map(|r| points(r, self.wide)).collect(),
            pose,
        }
    }

    /// The pose from `key` to `frame`, begun from `start`.
    fn align(&self, key: &Key, frame: &Pyramid, start: Pose) -> Pose {
        let mut pose = start;
        let mut exposure = 0.0;
        for (points, raster) in key.points.iter().zip(&frame.0).rev() {
            // Six numbers want more than six points.
            if points.len() < 24 {
                continue;
            }
            for _ in 0..12 {
                let Some(step) = self.step(points, raster, &pose, exposure) else {
                    break;
                };
                let back = Pose {
                    xx: 1.0 + step[0],
                    xy: step[1],
                    yx: step[2],
                    yy: 1.0 + step[3],
                    x: step[4],
                    y: step[5],
                };
                let next = pose.after(&back.inverse());
                // Away beyond all reason: the frames have nothing in common.
                if next.apart(&start, self.wide) > 0.5 {
                    return start;
                }
                let moved = next.apart(&pose, self.wide);
                pose = next;
                exposure += step[6];
                if moved < 1e-5 {
                    break;
                }
            }
        }
        pose
    }

    /// What remains at each point that lies in the frame.
    fn residuals<'p>(
        &self,
        points: &'p [Point],
        raster: &Raster,
        pose: &Pose,
        exposure: f64,
    ) -> Vec<(&'p Point, f64)> {
        let (cols, rows) = (raster.cols as f64, raster.rows as f64);
        points
            .iter()
            .filter_map(|p| {
                let (x, y) = pose.apply(p.x, p.y);
                let value =
                    raster.between((x / self.wide + 0.5) * cols - 0.5, (y + 0.5) * rows - 0.5)?;
                Some((p, f64::from(value) - p.value - exposure))
            })
            .collect()
    }

    /// One step of the alignment; `None` where the points do not say enough.
    fn step(
        &self,
        points: &[Point],
        raster: &Raster,
        pose: &Pose,
        exposure: f64,
    ) -> Option<[f64; TERMS]> {
        let residuals = self.residuals(points, raster, pose, exposure);
        if residuals.len() * 3 < points.len() || residuals.len() < 24 {
            return None;
        }
        let mut sizes: Vec<f64> = residuals.iter().map(|r| r.1.abs()).collect();
        // Less than half of a picture may stand still: the spread is that of its
        // quietest third.
        let third = sizes.len() * 3 / 10;
        let quiet = *sizes.select_nth_unstable_by(third, f64::total_cmp).1;
        let spread = (quiet / 0.385).clamp(0.002, 0.05);
        let limit = 4.685 * spread;
        let mut normal = [[0.0f64; TERMS + 1]; TERMS];
        for (p, e) in residuals {
            let r = e / limit;
            if r.abs() >= 1.0 {
                continue;
            }
            let biweight = (1.0 - r * r) * (1.0 - r * r);
            let weight = biweight * self.still[p.area] * self.still[p.area];
            for i in 0..TERMS {
                let s = weight * p.slope[i];
                for (n, q) in normal[i].iter_mut().zip(&p.slope).skip(i) {
                    *n += s * q;
                }
                normal[i][TERMS] += s * e;
            }
        }
        for i in 1..TERMS {
            for j in 0..i {
                normal[i][j] = normal[j][i];
            }
        }
        solve(normal)
    }

    /// Which areas stand still under `pose`.
    fn areas(&self, key: &Key, frame: &Pyramid, pose: &Pose) -> Areas {
        let mut areas = vec![(0u32, 0u32); AREAS.0 * AREAS.1];
        let (Some(points), Some(raster)) = (key.points.first(), frame.0.first()) else {
            return vec![None; areas.len()];
        };
        let residuals = self.residuals(points, raster, pose, 0.0);
        if residuals.len() < 24 {
            return vec![None; areas.len()];
        }
        // The exposure under which most points agree.
        let mut all: Vec<f64> = residuals.iter().map(|r| r.1).collect();
        let half = all.len() / 2;
        let exposure = *all.select_nth_unstable_by(half, f64::total_cmp).1;
        for (p, e) in residuals {
            let area = &mut areas[p.area];
            area.1 += 1;
            area.0 += u32::from((e - exposure).abs() < HOLDS * p.edge + 0.002);
        }
        areas
            .into_iter()
            .map(|(holds, of)| (of >= 4).then_some(holds * 5 >= of * 3))
            .collect()
    }
}

/// For each area of the picture whether it stands still, where it has detail enough to
/// tell.
type Areas = Vec<Option<bool>>;

/// Share of the areas that stand still, of those with detail enough to tell.
fn share(areas: &[Option<bool>]) -> f64 {
    let told = areas.iter().flatten().count();
    let held = areas.iter().flatten().filter(|h| **h).count();
    match told {
        0..=3 => 0.0,
        n => held as f64 / n as f64,
    }
}

/// The strongest point of each block of a raster.
fn points(raster: &Raster, wide: f64) -> Vec<Point> {
    let (cols, rows) = (raster.cols, raster.rows);
    let mut points = Vec::new();
    if cols < 3 || rows < 3 {
        return points;
    }
    let slope = |x: usize, y: usize| {
        let across = raster.at(x + 1, y) - raster.at(x - 1, y);
        let down = raster.at(x, y + 1) - raster.at(x, y - 1);
        (across, down)
    };
    for by in (1..rows - 1).step_by(BLOCK) {
        for bx in (1..cols - 1).step_by(BLOCK) {
            let mut best = (CONTRAST * CONTRAST, None);
            for y in by..(by + BLOCK).min(rows - 1) {
                for x in bx..(bx + BLOCK).min(cols - 1) {
                    let (across, down) = slope(x, y);
                    let strength = across * across + down * down;
                    if strength > best.0 {
                        best = (strength, Some((x, y, across, down)));
                    }
                }
            }
            let Some((px, py, across, down)) = best.1 else {
                continue;
            };
            let x = ((px as f64 + 0.5) / cols as f64 - 0.5) * wide;
            let y = (py as f64 + 0.5) / rows as f64 - 0.5;
            // In values a height.
            let gx = 0.5 * f64::from(across) * cols as f64 / wide;
            let gy = 0.5 * f64::from(down) * rows as f64;
            points.push(Point {
                x,
                y,
                value: f64::from(raster.at(px, py)),
                slope: [gx * x, gx * y, gy * x, gy * y, gx, gy, 1.0],
                edge: 0.5 * libm::sqrt(f64::from(best.0)),
                area: py * AREAS.1 / rows * AREAS.0 + px * AREAS.0 / cols,
            });
        }
    }
    points
}

/// Solves the equations by elimination with pivots; `None` where they do not
/// say enough.
fn solve(mut m: [[f64; TERMS + 1]; TERMS]) -> Option<[f64; TERMS]> {
    for i in 0..TERMS {
        let pivot = (i..TERMS).max_by(|&p, &q| m[p][i].abs().total_cmp(&m[q][i].abs()))?;
        m.swap(i, pivot);
        if m[i][i].abs() < 1e-9 {
            return None;
        }
        let row = m[i];
        for other in m.iter_mut().skip(i + 1) {
            let f = other[i] / row[i];
            for (o, r) in other.iter_mut().zip(&row).skip(i) {
                *o -= f * r;
            }
        }
    }
    let mut out = [0.0; TERMS];
    for i in (0..TERMS).rev() {
        let known: f64 = (i + 1..TERMS).map(|j| m[i][j] * out[j]).sum();
        out[i] = (m[i][TERMS] - known) / m[i][i];
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: f64 = 4.0 / 3.0;

    /// A scene of fixed detail, seen under `pose`, the part where `moves` drawn
    /// at `t` instead.
    fn seen(pose: &Pose, t: f64, moves: impl Fn(f64, f64) -> bool) -> Raster {
        let (cols, rows) = (320usize, 240usize);
        let back = pose.inverse();
        let detail = |x: f64, y: f64| {
            let mut v = 0.5;
            for (i, f) in [9.0, 23.0, 41.0].into_iter().enumerate() {
                let i = i as f64;
                v += 0.1
                    * libm::sin(f * x + 3.0 * libm::sin(0.3 * f * y + i))
                    * libm::cos(f * y - 2.0 * libm::sin(0.4 * f * x));
            }
            v
        };
        let data = (0..cols * rows)
            .map(|i| {
                let x = (((i % cols) as f64 + 0.5) / cols as f64 - 0.5) * WIDE;
                let y = ((i / cols) as f64 + 0.5) / rows as f64 - 0.5;
                let (x, y) = back.apply(x, y);
                let v = if moves(x, y) {
                    let across = 0.3 * libm::sin(1.7 * t + 6.0 * x);
                    let down = 0.3 * libm::cos(2.1 * t + 5.0 * y);
                    detail(x + across, y + down)
                } else {
                    detail(x, y)
                };
                v as f32
            })
            .collect();
        Raster { cols, rows, data }
    }

    fn path(t: usize) -> Pose {
        let t = t as f64;
        Pose {
            xx: 1.0 + 0.0005 * t,
            xy: 0.002 * libm::sin(0.4 * t),
            yx: 0.001 * libm::sin(0.5 * t),
            yy: 1.0 + 0.0003 * t,
            x: 0.004 * t + 0.003 * libm::sin(1.1 * t),
            y: 0.006 * libm::sin(0.3 * t),
        }
    }

    #[test]
    fn a_hand_held_camera_is_followed_before_moving_water() {
        let mut tracker = Tracker::new(WIDE);
        // Water fills six tenths of the picture.
        let water = |_: f64, y: f64| y > -0.1;
        for t in 0..30 {
            let sight = tracker.follow(Pyramid::new(&seen(&path(t), t as f64, water)));
            let want = path(t).after(&path(0).inverse());
            // Where there is something that stands still.
            for (x, y) in [(-0.6, -0.45), (0.6, -0.45), (-0.6, -0.15), (0.6, -0.15)] {
                let (got, want) = (sight.pose.apply(x, y), want.apply(x, y));
                let off = 240.0 * f64::max((got.0 - want.0).abs(), (got.1 - want.1).abs());
                assert!(sight.held >= SHARE && off < 0.2, "frame {t}: {off} pixels");
            }
        }
    }

    #[test]
    fn a_change_of_exposure_is_no_motion() {
        let mut tracker = Tracker::new(WIDE);
        for t in 0..6 {
            let mut frame = seen(&Pose::REST, 0.0, |_, _| false);
            frame.data.iter_mut().for_each(|v| *v += 0.03 * t as f32);
            let sight = tracker.follow(Pyramid::new(&frame));
            assert!(sight.held >= SHARE && sight.pose.apart(&Pose::REST, WIDE) < 2e-4);
        }
    }

    #[test]
    fn a_picture_in_which_all_moves_says_nothing() {
        let mut tracker = Tracker::new(WIDE);
        let sure: Vec<bool> = (0..8)
            .map(|t| {
                let t = f64::from(t);
                let swirl = seen(&Pose::REST, 3.0 * t * t, |_, _| true);
                tracker.follow(Pyramid::new(&swirl)).held >= SHARE
            })
            .collect();
        assert!(sure.iter().filter(|s| **s).count() <= 2, "{sure:?}");
        let mut flat = Tracker::new(WIDE);
        let grey = Raster {
            cols: 320,
            rows: 240,
            data: vec![0.5; 320 * 240],
        };
        flat.follow(Pyramid::new(&grey));
        assert!(flat.follow(Pyramid::new(&grey)).held < SHARE);
    }
}
