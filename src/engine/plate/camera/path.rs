//! How the camera goes on where the plate does not say.
//!
//! From the last frame that is kept the camera swings on and comes to rest as a
//! damped spring does, without a kink and not beyond where the plate's own camera
//! has been, since no pixels exist there. Laid over it is the plate's own shake:
//! short stretches of it, drawn by the seed and joined at constant power, so that
//! a hand stays a hand and has no beat. Before a kept frame the same is done
//! backwards in time.

use super::pose::Pose;
use crate::sampler::Philox;

/// Time in which the spring comes to rest, in seconds.
const REST: f64 = 0.4;
/// What is faster than this is shake and slower is drift, in seconds (deviation
/// of a Gaussian).
const SLOW: f64 = 0.35;
/// Length of a stretch of shake, in seconds.
const STRETCH: f64 = 1.2;

/// What is known of the output: for each frame the plate index that it shows,
/// where it is a frame of the plate.
pub(super) struct Course<'a> {
    /// The plate's poses.
    pub(super) plate: &'a [Pose],
    /// Output frame by output frame.
    pub(super) kept: Vec<Option<usize>>,
    /// Whether the first frame follows the last.
    pub(super) closed: bool,
    /// Frames in a second.
    pub(super) fps: f64,
    /// Another seed, another hand.
    pub(super) seed: u64,
}

impl Course<'_> {
    /// The pose of every output frame.
    pub(super) fn poses(&self) -> Vec<Pose> {
        let n = self.kept.len();
        let at = |i: usize| self.kept[i].and_then(|k| self.plate.get(k).copied());
        let mut out: Vec<Pose> = (0..n).map(|i| at(i).unwrap_or(Pose::REST)).collect();
        let shake = self.shake(n);
        // Of a closed sequence the free frames may lie across its end.
        let turn = if self.closed {
            self.kept.iter().position(Option::is_some).unwrap_or(0)
        } else {
            0
        };
        let mut i = 0;
        while i < n {
            if self.kept[(turn + i) % n].is_some() {
                i += 1;
                continue;
            }
            let free = (i..n)
                .take_while(|&j| self.kept[(turn + j) % n].is_none())
                .count();
            let neighbour = |j: Option<usize>| {
                let j = match j {
                    Some(j) if j < n => j,
                    Some(j) if self.closed => j - n,
                    None if self.closed => n - 1,
                    _ => return None,
                };
                self.kept[(turn + j) % n]
            };
            let before = neighbour(i.checked_sub(1)).map(|k| self.leave(k, -1));
            let after = neighbour(Some(i + free)).map(|k| self.leave(k, 1));
            for k in 0..free {
                let t = (turn + i + k) % n;
                out[t] = self.between(&before, &after, k + 1, free + 1, &shake[t]);
            }
            i += free;
        }
        out
    }

    /// The spring that swings on from plate index `k`, away from the side that
    /// lies `toward`.
    fn leave(&self, k: usize, toward: i64) -> Spring {
        let last = self.plate.len() as i64 - 1;
        let here = self.plate[(k as i64).clamp(0, last) as usize];
        let other = (k as i64 + 4 * toward).clamp(0, last);
        let frames = (other - k as i64).abs();
        let speed = if frames == 0 {
            here.with(&here, |_, _| 0.0)
        } else {
            let there = self.plate[other as usize];
            here.with(&there, |p, q| (p - q) / frames as f64)
        };
        let time = (REST * self.fps).max(1.0);
        let (least, most) = self.hull();
        let on = here.with(&speed, |p, v| p + v * time);
        let aim = on.with(&least, f64::max).with(&most, f64::min);
        let away = here.with(&aim, |p, q| p - q);
        Spring {
            aim,
            away,
            rush: speed.with(&away, |v, a| v + a / time),
            time,
        }
    }

    fn hull(&self) -> (Pose, Pose) {
        let first = self.plate.first().copied().unwrap_or(Pose::REST);
        self.plate.iter().fold((first, first), |(least, most), p| {
            (least.with(p, f64::min), most.with(p, f64::max))
        })
    }

    /// The pose `k` frames after what is before, of `count` to what is after.
    fn between(
        &self,
        before: &Option<Spring>,
        after: &Option<Spring>,
        k: usize,
        count: usize,
        shake: &Pose,
    ) -> Pose {
        let back = count - k;
        let (drift, room) = match (before, after) {
            (Some(b), Some(a)) => {
                let w = k as f64 / count as f64;
                let w = w * w * (3.0 - 2.0 * w);
                (b.at(k).toward(&a.at(back), w), k.min(back))
            }
            (Some(b), None) => (b.at(k), k),
            (None, Some(a)) => (a.at(back), back),
            (None, None) => (Pose::REST, usize::MAX),
        };
        let share = (room as f64 / (0.5 * self.fps).max(1.0)).min(1.0);
        drift.with(shake, |d, s| d + share * s)
    }

    /// The plate's own shake, drawn anew for `n` frames; zero where it is too
    /// short to have one.
    fn shake(&self, n: usize) -> Vec<Pose> {
        let still = Pose::REST.with(&Pose::REST, |_, _| 0.0);
        let frames = self.plate.len();
        let mut out = vec![still; n];
        let length = (STRETCH * self.fps).round().max(4.0) as usize;
        if frames < length.max(8) || n == 0 {
            return out;
        }
        let slow = smooth(self.plate, SLOW * self.fps);
        let fast: Vec<Pose> = self
            .plate
            .iter()
            .zip(&slow)
            .map(|(p, s)| p.with(s, |p, s| p - s))
            .collect();
        // Two stretches lie over each frame; of a closed sequence the last lies
        // over the first frames.
        let count = (2 * n).div_ceil(length).max(2);
        let hop = n as f64 / count as f64;
        let mut rng = Philox::new(self.seed, [0, 0, 2]);
        let stretches = if self.closed { 0..count } else { 0..count + 1 };
        for j in stretches {
            let from = rng.below((frames - length + 1) as u32) as usize;
            let backwards = rng.below(2) == 1;
            let middle = j as f64 * hop;
            let reach = hop.ceil() as i64;
            for d in -reach..=reach {
                let t = middle.floor() as i64 + d;
                let apart = (t as f64 - middle) / hop;
                if apart.abs() >= 1.0 {
                    continue;
                }
                let slot = if self.closed {
                    t.rem_euclid(n as i64)
                } else if (0..n as i64).contains(&t) {
                    t
                } else {
                    continue;
                };
                let within = (d + reach) as usize % length;
                let within = if backwards {
                    length - 1 - within
                } else {
                    within
                };
                // The squares of the two weights over a frame sum to one.
                let weight = libm::cos(0.5 * std::f64::consts::PI * apart);
                let o = &mut out[slot as usize];
                *o = o.with(&fast[from + within], |o, f| o + weight * f);
            }
        }
        out
    }
}

/// A critically damped spring, per term of a pose.
struct Spring {
    aim: Pose,
    away: Pose,
    rush: Pose,
    time: f64,
}

impl Spring {
    fn at(&self, k: usize) -> Pose {
        let k = k as f64;
        let left = libm::exp(-k / self.time);
        let swing = self.away.with(&self.rush, |a, r| (a + r * k) * left);
        self.aim.with(&swing, |p, s| p + s)
    }
}

/// `poses` blurred over time by a Gaussian of deviation `sigma` frames, the ends
/// continued by turning about them.
fn smooth(poses: &[Pose], sigma: f64) -> Vec<Pose> {
    let reach = (3.0 * sigma).ceil().max(1.0) as i64;
    let last = poses.len() as i64 - 1;
    let at = |i: i64| {
        // An odd reflection: a steady drift stays one.
        let (inside, end) = match i {
            i if i < 0 => (-i, 0),
            i if i > last => (2 * last - i, last),
            i => return poses[i as usize],
        };
        let (p, e) = (poses[inside.clamp(0, last) as usize], poses[end as usize]);
        e.with(&p, |e, p| 2.0 * e - p)
    };
    let weights: Vec<f64> = (-reach..=reach)
        .map(|d| libm::exp(-((d * d) as f64) / (2.0 * sigma * sigma).max(1e-9)))
        .collect();
    let sum: f64 = weights.iter().sum();
    (0..=last)
        .map(|t| {
            let mut mean = Pose::REST.with(&Pose::REST, |_, _| 0.0);
            for (d, w) in (-reach..=reach).zip(&weights) {
                mean = mean.with(&at(t + d), |m, p| m + w / sum * p);
            }
            mean
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hand that drifts to the right and trembles.
    fn hand(frames: usize) -> Vec<Pose> {
        (0..frames)
            .map(|t| {
                let t = t as f64;
                Pose {
                    x: 0.0004 * t + 0.001 * libm::sin(0.9 * t),
                    y: 0.001 * libm::sin(1.3 * t + 1.0) + 0.004 * libm::sin(0.05 * t),
                    ..Pose::REST
                }
            })
            .collect()
    }

    fn course(plate: &[Pose], kept: Vec<Option<usize>>, closed: bool) -> Vec<Pose> {
        Course {
            plate,
            kept,
            closed,
            fps: 25.0,
            seed: 3,
        }
        .poses()
    }

    fn steps(path: &[Pose]) -> Vec<f64> {
        path.windows(2).map(|p| p[0].apart(&p[1], 1.5)).collect()
    }

    fn most(v: &[f64]) -> f64 {
        v.iter().copied().fold(0.0, f64::max)
    }

    #[test]
    fn kept_frames_have_the_plates_own_pose_and_what_follows_goes_on_smoothly() {
        let plate = hand(90);
        let kept = (0..300).map(|t| (t < 66).then_some(t)).collect();
        let path = course(&plate, kept, false);
        assert_eq!(path[..66], plate[..66]);
        // No step is longer than the plate's own.
        assert!(most(&steps(&path)) < 1.05 * most(&steps(&plate)));
        // It stays where the plate has pixels, shake apart.
        for p in &path {
            assert!((-0.003..0.0395).contains(&p.x), "{p:?}");
        }
        // The hand still trembles, and does not repeat.
        let late = steps(&path[200..]);
        let mean = late.iter().sum::<f64>() / late.len() as f64;
        let own = steps(&plate);
        let own = own.iter().sum::<f64>() / own.len() as f64;
        assert!((0.5..1.3).contains(&(mean / own)), "{}", mean / own);
    }

    #[test]
    fn a_loop_closes_and_both_ends_are_met() {
        let plate = hand(90);
        let free_loop = course(&plate, vec![None; 120], true);
        let limit = 1.2 * most(&steps(&plate));
        assert!(free_loop[119].apart(&free_loop[0], 1.5) < limit);
        assert!(most(&steps(&free_loop)) < limit);
        let kept = (0..200)
            .map(|t| match t {
                10..=50 => Some(t),
                _ => None,
            })
            .collect::<Vec<_>>();
        let part = course(&plate, kept.clone(), true);
        assert!(part[199].apart(&part[0], 1.5) < limit);
        assert!(most(&steps(&part)) < limit);
        let open = course(&plate, kept, false);
        assert_eq!(open[10..=50], plate[10..=50]);
        assert!(most(&steps(&open)) < limit);
    }

    #[test]
    fn a_camera_at_rest_stays_there() {
        let path = course(&[Pose::REST; 50], vec![None; 80], false);
        assert!(path.iter().all(|p| p.apart(&Pose::REST, 2.0) < 1e-12));
    }
}
