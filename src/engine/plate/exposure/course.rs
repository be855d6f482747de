//! How the exposure goes on where the plate does not say.

use crate::engine::{Span, Timeline};

/// Time in which a drift that goes on comes to rest, as a damped spring does, in
/// seconds.
const REST: f64 = 0.7;
/// Time over which it leaves the plate's own course, in seconds: the frames next to
/// a kept one are the plate's, too, as a rule.
const LEAVES: f64 = 0.5;
/// Time in which the exposure then comes back to the plate's mean, in seconds
/// (deviation of a Gaussian): a long take is as bright as its plate.
const HOME: f64 = 2.0;

/// The logarithm of each output frame's exposure: the plate's own where a frame of it
/// shows; from there on the drift comes to rest, about within what the plate has; between
/// two such the one leads over to the other; where nothing is given it is the mean.
pub(super) fn course(plate: &[f64], timeline: &Timeline, fps: f64) -> Vec<f64> {
    let most = plate.iter().copied().fold(f64::MIN, f64::max);
    let least = plate.iter().copied().fold(f64::MAX, f64::min);
    let rest = (REST * fps).max(1.0);
    let last = plate.len() as i32 - 1;
    let at = |i: i32| plate[i.clamp(0, last) as usize];
    let index = |frame: i32, offset: i32| frame + offset - timeline.plate.first;
    // From plate index `i` on for `k` frames, away from the side that lies `toward`.
    let on = |i: i32, toward: i32, k: usize| {
        let speed = (at(i) - at(i + 4 * toward)) / 4.0;
        let aim = (at(i) + speed * rest).clamp(least, most);
        let away = at(i) - aim;
        let own = i - toward * k as i32;
        let (k, home) = (k as f64, k as f64 / (HOME * fps));
        let runs_on = aim + (away + (speed + away / rest) * k) * libm::exp(-k / rest);
        let runs_on = runs_on * libm::exp(-0.5 * home * home);
        if !(0..=last).contains(&own) {
            return runs_on;
        }
        let u = (k / (LEAVES * fps)).min(1.0);
        at(own) + (runs_on - at(own)) * u * u * (3.0 - 2.0 * u)
    };
    let shown = |span: Option<&Span>, end: bool| match span {
        Some(Span::Kept { out, offset } | Span::Matted { out, offset }) => {
            Some(index(if end { out.last } else { out.first }, *offset))
        }
        _ => None,
    };
    let mut logs = Vec::with_capacity(timeline.out.count());
    for (s, span) in timeline.spans.iter().enumerate() {
        match *span {
            Span::Kept { out, offset } | Span::Matted { out, offset } => {
                logs.extend(out.iter().map(|f| at(index(f, offset))));
            }
            Span::Free { out } => {
                let before = s.checked_sub(1).and_then(|s| timeline.spans.get(s));
                let before = shown(before, true);
                let after = shown(timeline.spans.get(s + 1), false);
                let n = out.count();
                logs.extend((1..=n).map(|k| {
                    let from = before.map(|i| on(i, -1, k));
                    let to = after.map(|i| on(i, 1, n + 1 - k));
                    match (from, to) {
                        (Some(a), Some(b)) => {
                            let u = k as f64 / (n + 1) as f64;
                            let w = u * u * (3.0 - 2.0 * u);
                            a * (1.0 - w) + b * w
                        }
                        (Some(a), None) | (None, Some(a)) => a,
                        (None, None) => 0.0,
                    }
                }));
            }
        }
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameRange;

    #[test]
    fn a_drift_goes_on_smoothly_from_what_is_kept_and_leads_to_it() {
        let plate: Vec<f64> = (0..60).map(|t| 0.004 * (t as f64 - 29.5)).collect();
        let range = |first, last| FrameRange { first, last };
        let kept = |first, last| Span::Kept {
            out: range(first, last),
            offset: 0,
        };
        let timeline = |spans: Vec<Span>| Timeline {
            plate: range(1, 60),
            out: range(spans[0].out().first, spans[spans.len() - 1].out().last),
            spans,
            closed: false,
        };
        let free = |first, last| Span::Free {
            out: range(first, last),
        };
        for spans in [
            vec![kept(1, 40), free(41, 200)],
            vec![free(-160, 0), kept(1, 60)],
            vec![kept(1, 10), free(11, 50), kept(51, 60)],
        ] {
            let t = timeline(spans);
            let out = course(&plate, &t, 25.0);
            assert_eq!(out.len(), t.out.count());
            for (f, log) in t.out.iter().zip(&out) {
                if let Some(k) = t.kept(f) {
                    assert_eq!(*log, plate[k as usize - 1]);
                }
            }
            let steps: Vec<f64> = out.windows(2).map(|p| p[1] - p[0]).collect();
            assert!(steps.iter().all(|s| s.abs() < 0.009), "{steps:?}");
            assert!(
                steps.windows(2).all(|p| (p[1] - p[0]).abs() < 0.002),
                "{steps:?}"
            );
            // A hundred frames on it is that of the plate in the mean.
            let far = t
                .out
                .iter()
                .zip(&out)
                .filter(|(f, _)| !(-100..=140).contains(f));
            assert!(far.into_iter().all(|(_, log)| log.abs() < 0.02), "{out:?}");
        }
        let closed = timeline(vec![free(1, 30)]);
        assert!(course(&plate, &closed, 25.0).iter().all(|l| *l == 0.0));
    }
}
