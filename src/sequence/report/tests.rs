//! The measures on sequences whose answers are known.

use std::sync::Arc;

use super::*;
use crate::frame::{FrameRange, Transfer};
use crate::sampler::Philox;

const W: usize = 96;
const H: usize = 64;

struct Clip {
    info: PlateInfo,
    frames: Vec<Picture>,
}

impl Clip {
    fn new(frames: Vec<Picture>) -> Self {
        Self {
            info: PlateInfo {
                range: FrameRange::new(1, frames.len() as i32).unwrap(),
                width: frames[0].width(),
                height: frames[0].height(),
                full_size: (frames[0].width(), frames[0].height()),
                channels: ["R", "G", "B"].map(str::to_owned).to_vec(),
                fps: 12.0,
                transfer: Transfer::Display,
                pixel_aspect: 1.0,
            },
            frames,
        }
    }

    /// A texture of many waves that run on: no two times are alike, every
    /// place moves, and the step from frame to frame is nearly constant.
    fn waves(count: usize) -> Self {
        let mut rng = Philox::new(7, [0, 0, 0]);
        let waves: Vec<[f64; 5]> = (0..24)
            .map(|_| {
                [
                    rng.normal() * 0.35,
                    rng.normal() * 0.35,
                    0.25 + 0.5 * rng.uniform(),
                    rng.uniform() * std::f64::consts::TAU,
                    rng.uniform(),
                ]
            })
            .collect();
        let frames = (0..count)
            .map(|t| {
                let mut data = Vec::with_capacity(W * H * 3);
                for y in 0..H {
                    for x in 0..W {
                        let mut v = [0.5f64; 3];
                        for [kx, ky, speed, phase, hue] in &waves {
                            let a =
                                (kx * x as f64 + ky * y as f64 + speed * t as f64 + phase).sin();
                            v[0] += 0.04 * a;
                            v[1] += 0.04 * a * hue;
                            v[2] += 0.04 * a * (1.0 - hue);
                        }
                        data.extend(v.map(|v| v as f32));
                    }
                }
                Picture::from_data(W, H, 3, data).unwrap()
            })
            .collect();
        Self::new(frames)
    }

    /// Frame `index` of the output shows plate frame `source(index)`.
    fn retimed(&self, sources: &[usize]) -> Self {
        Self::new(sources.iter().map(|&s| self.frames[s].clone()).collect())
    }
}

impl PlateReader for Clip {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        Ok(Arc::new(self.frames[(frame - 1) as usize].clone()))
    }
}

fn measure(
    output: &mut Clip,
    plate: &mut Clip,
    keep: i32,
    closed: bool,
    source: Option<SourceMap<'_>>,
) -> Report {
    let task = Task::quiet();
    report(
        &mut Subject {
            output,
            plate: Some(plate),
            matte: None,
            kept: &|f| (f <= keep).then_some(f),
            closed,
            source,
            camera: None,
            borders: Borders::default(),
        },
        task,
    )
    .unwrap()
}

/// The whole frame shows one plate index, frame by frame.
fn whole(sources: &[usize]) -> impl Fn(i32, usize, usize) -> Vec<i32> + '_ {
    |frame, w, h| vec![sources[(frame - 1) as usize] as i32; w * h]
}

fn near(value: Option<f64>, expected: f64, tolerance: f64) {
    let value = value.expect("the measure applies");
    assert!(
        (value - expected).abs() <= tolerance,
        "{value} is not {expected} ± {tolerance}"
    );
}

#[test]
fn the_plate_itself_is_perfect_and_all_copy() {
    let mut plate = Clip::waves(36);
    let sources: Vec<usize> = (0..36).collect();
    let mut output = plate.retimed(&sources);
    let map = whole(&sources);
    let r = measure(&mut output, &mut plate, 12, false, Some(&map));
    let m = &r.measures;
    for (value, tolerance) in [
        (m.frame_difference, 0.02),
        (m.sharpness, 0.01),
        (m.luma, 0.01),
        (m.join, 0.05),
        (m.copy, 0.0),
        (m.copy_worst, 0.0),
    ] {
        near(value, 1.0, tolerance);
    }
    near(m.spurious, 0.0, 0.0);
    near(m.ghosts_worst, 0.0, 0.0);
    near(m.kept, 0.0, 0.0);
    assert!(
        r.verdicts
            .iter()
            .all(|v| v.pass || v.measure == "deviation"),
        "{:?}",
        r.verdicts
    );
}

#[test]
fn what_hangs_together_as_the_plate_does_measures_one() {
    let mut plate = Clip::waves(60);
    let sources: Vec<usize> = (0..60).collect();
    let mut output = plate.retimed(&sources);
    let m = measure(&mut output, &mut plate, 0, false, None).measures;
    for value in [m.smoothness, m.warping_error, m.motion, m.grain] {
        near(value, 1.0, 1e-9);
    }
    let lags: Vec<usize> = m.steadiness.iter().map(|s| s.frames).collect();
    assert_eq!(lags, [1, 2, 5, 10, 20, 50]);
    for s in &m.steadiness {
        near(s.subject, 1.0, 1e-9);
        assert_eq!(s.background, None, "everything moves");
    }
    assert!(
        m.nnfdiv.unwrap() < 0.1,
        "a copy is told in few words: {:?}",
        m.nnfdiv
    );

    // Backwards it is as smooth, and steps of three frames are not.
    let back: Vec<usize> = (0..60).rev().collect();
    let r = measure(&mut plate.retimed(&back), &mut plate, 0, false, None);
    near(r.measures.smoothness, 1.0, 1e-6);
    let jerky: Vec<usize> = (0..60).map(|t| t / 3 * 3).collect();
    let r = measure(&mut plate.retimed(&jerky), &mut plate, 0, false, None);
    assert!(
        r.measures.smoothness.unwrap() > 2.0,
        "{:?}",
        r.measures.smoothness
    );
}

#[test]
fn pieces_that_come_back_together_are_counted() {
    let mut plate = Clip::waves(60);
    let straight: Vec<usize> = (0..60).collect();
    let map = whole(&straight);
    let once = measure(
        &mut plate.retimed(&straight),
        &mut plate,
        0,
        false,
        Some(&map),
    );
    near(once.measures.pairings_back, 0.0, 0.0);
    // Two seconds over and over: all of it is back from the third second on.
    let over: Vec<usize> = (0..60).map(|t| t % 24).collect();
    let map = whole(&over);
    let again = measure(&mut plate.retimed(&over), &mut plate, 0, false, Some(&map));
    near(again.measures.pairings_back, 36.0 / 60.0, 0.03);
    // The one jump in it was new once.
    near(again.measures.jumps_back, 0.5, 0.0);
    assert_eq!(once.measures.jumps_back, None, "it never jumps");

    // Each place at a time of its own is not told in few words.
    let mut rng = Philox::new(9, [0, 0, 0]);
    let mut shuffled = plate.retimed(&straight);
    for frame in &mut shuffled.frames {
        for y in (0..H).step_by(8) {
            for x in (0..W).step_by(8) {
                let from = &plate.frames[(rng.uniform() * 60.0) as usize];
                for row in y..y + 8 {
                    let at = x * 3..(x + 8) * 3;
                    frame.row_mut(row)[at.clone()].copy_from_slice(&from.row(row)[at]);
                }
            }
        }
    }
    let m = measure(&mut shuffled, &mut plate, 0, false, None).measures;
    assert!(m.nnfdiv > again.measures.nnfdiv, "{:?}", m.nnfdiv);
    assert!(m.warping_error.unwrap() > 2.0, "{:?}", m.warping_error);
}

#[test]
fn softened_grain_shows_at_every_level() {
    let mut rng = Philox::new(3, [0, 0, 0]);
    let mut grainy = |count: usize| {
        let frames = (0..count)
            .map(|_| {
                let data = (0..W * H * 3)
                    .map(|i| {
                        let x = i / 3 % W;
                        let g = rng.normal() as f32;
                        // Twice the grain in the light half.
                        if x < W / 2 {
                            0.2 + 0.01 * g
                        } else {
                            0.8 + 0.02 * g
                        }
                    })
                    .collect();
                Picture::from_data(W, H, 3, data).unwrap()
            })
            .collect();
        Clip::new(frames)
    };
    let (mut plate, a, b) = (grainy(24), grainy(24), grainy(24));
    let same = measure(
        &mut a.retimed(&[0, 1, 2, 3, 4, 5]),
        &mut plate,
        0,
        false,
        None,
    );
    near(same.measures.grain, 1.0, 0.05);
    // The mean of two frames has half the energy.
    let mut soft = a;
    for (x, y) in soft.frames.iter_mut().zip(&b.frames) {
        for (x, y) in x.data_mut().iter_mut().zip(y.data()) {
            *x = 0.5 * *x + 0.5 * y;
        }
    }
    let m = measure(&mut soft, &mut plate, 0, false, None).measures;
    near(m.grain, 0.5, 0.03);
    assert_eq!(m.grain_levels.len(), 2, "{:?}", m.grain_levels);
    for level in &m.grain_levels {
        near(Some(level.energy), 0.5, 0.05);
    }
}

#[test]
fn a_colour_that_drifts_is_found_where_the_mean_stays() {
    let mut plate = Clip::waves(48);
    let mut output = plate.retimed(&(0..48).collect::<Vec<_>>());
    let still = measure(&mut output, &mut plate, 0, false, None).measures;
    for (t, frame) in output.frames.iter_mut().enumerate() {
        for p in frame.data_mut().chunks_exact_mut(3) {
            p[0] += 0.002 * t as f32;
            p[2] -= 0.002 * t as f32;
        }
    }
    let m = measure(&mut output, &mut plate, 0, false, None).measures;
    assert!(m.colour_drift.unwrap() > still.colour_drift.unwrap() + 0.1);
    near(m.drift, still.drift.unwrap(), 0.005);
}

#[test]
fn a_frozen_picture_has_no_steps_and_no_spread() {
    let mut plate = Clip::waves(24);
    let mut output = plate.retimed(&[3; 40]);
    let r = measure(&mut output, &mut plate, 0, false, None);
    near(r.measures.frame_difference, 0.0, 0.0);
    near(r.measures.smallest_step, 0.0, 0.0);
    near(r.measures.deviation, 0.0, 1e-6);
    near(r.measures.motion, 0.0, 1e-3);
    near(r.measures.smoothness, 0.0, 0.0);
    near(r.measures.steadiness[0].subject, 0.0, 0.0);
    for name in ["frame_difference", "smallest_step", "deviation"] {
        assert!(r.verdicts.iter().any(|v| v.measure == name && !v.pass));
    }
}

#[test]
fn a_hard_cut_is_the_worst_step_and_where_it_is() {
    let mut plate = Clip::waves(40);
    let sources: Vec<usize> = (0..20).chain(4..24).collect();
    let mut output = plate.retimed(&sources);
    let map = whole(&sources);
    let r = measure(&mut output, &mut plate, 0, false, Some(&map));
    let cut = plate.frames[19]
        .data()
        .iter()
        .zip(plate.frames[4].data())
        .map(|(a, b)| f64::from((a - b).abs()))
        .sum::<f64>()
        / (W * H * 3) as f64;
    let unit = r.plate_curves.as_ref().unwrap().steps.iter().sum::<f64>() / 39.0;
    near(r.measures.worst_step, cut / unit, 1e-6);
    let worst = (0..39).max_by(|&a, &b| r.curves.steps[a].total_cmp(&r.curves.steps[b]));
    assert_eq!(worst, Some(19));
    assert!(r.measures.jump.unwrap() > 1.5);
    assert!(
        r.verdicts
            .iter()
            .any(|v| v.measure == "worst_step" && !v.pass)
    );
    // Half a second is 6 frames: a window is a copy unless the cut is in it.
    assert!(r.measures.copy.unwrap() < 1.0);
    near(r.measures.copy_worst, 1.0, 0.0);
}

#[test]
fn a_cross_dissolve_is_a_ghost_and_a_hard_seam_is_none() {
    let mut plate = Clip::waves(40);
    let sources: Vec<usize> = (0..20).chain(4..24).collect();
    let mut dissolve = plate.retimed(&sources);
    for k in 0..6 {
        let w = (k as f32 + 0.5) / 6.0;
        let old = plate.frames[20 + k].clone();
        for (v, o) in dissolve.frames[20 + k]
            .data_mut()
            .iter_mut()
            .zip(old.data())
        {
            *v = w * *v + (1.0 - w) * o;
        }
    }
    let r = measure(&mut dissolve, &mut plate, 0, false, None);
    assert!(r.measures.ghosts_worst.unwrap() > 400.0, "{:?}", r.measures);
    assert!(
        r.verdicts
            .iter()
            .any(|v| v.measure == "ghosts_worst" && !v.pass)
    );

    // Half of the picture changes clip at once, the other half later.
    let mut seam = plate.retimed(&sources);
    for k in 0..6 {
        let old = plate.frames[20 + k].clone();
        for y in 0..H {
            let n = W / 2 * 3;
            seam.frames[20 + k].row_mut(y)[..n].copy_from_slice(&old.row(y)[..n]);
        }
    }
    let r = measure(&mut seam, &mut plate, 0, false, None);
    near(r.measures.ghosts_worst, 0.0, 0.0);
}

#[test]
fn a_seam_that_the_plate_does_not_have_is_spurious() {
    let mut plate = Clip::waves(30);
    let sources: Vec<usize> = (0..30).collect();
    let map = |frame: i32, w: usize, h: usize| -> Vec<i32> {
        let t = frame - 1;
        (0..w * h)
            .map(|i| if i % w < w / 2 { t } else { (t + 9).min(29) })
            .collect()
    };
    let mut output = plate.retimed(&sources);
    for t in 0..30 {
        let other = plate.frames[(t + 9).min(29)].clone();
        for y in 0..H {
            let n = W / 2 * 3;
            output.frames[t].row_mut(y)[n..].copy_from_slice(&other.row(y)[n..]);
        }
    }
    let r = measure(&mut output, &mut plate, 0, false, Some(&map));
    // Worked out by hand for one frame: the gradient across the seam less what
    // the two sources have there, over all horizontal gradient.
    let luma = |p: &Picture, x: usize, y: usize| p.pixel(x, y).iter().sum::<f32>() / 3.0;
    let t = 10;
    let (mut seam, mut own, mut all) = (0.0f32, 0.0f32, 0.0f32);
    for y in 0..H {
        for x in 0..W - 1 {
            let f = &output.frames[t];
            let d = (luma(f, x + 1, y) - luma(f, x, y)).abs();
            all += d;
            if x + 1 == W / 2 {
                seam += d;
                for p in [&plate.frames[t], &plate.frames[t + 9]] {
                    own += 0.5 * (luma(p, x + 1, y) - luma(p, x, y)).abs();
                }
            }
        }
    }
    let here = r.curves.spurious.iter().find(|s| s.0 == t).unwrap().1;
    near(Some(here), f64::from(1000.0 * (seam - own) / all), 0.01);
    assert!(here > 1.0, "{here}");
    assert!(r.measures.spurious.unwrap() > 1.0);
    // The left half plays the plate from end to end, the right half another
    // offset until it stalls.
    near(r.measures.copy, 0.5, 0.02);
}

#[test]
fn a_loop_is_judged_by_its_closing_step_too() {
    let mut plate = Clip::waves(30);
    let sources: Vec<usize> = (0..24).collect();
    let mut output = plate.retimed(&sources);
    let open = measure(&mut output, &mut plate, 0, false, None).measures;
    let closed = measure(&mut output, &mut plate, 0, true, None).measures;
    assert_eq!(open.join, None);
    assert!(closed.join.unwrap() > 1.5);
    assert_eq!(closed.worst_step, closed.join);
    assert!(open.worst_step.unwrap() < 1.2);
}

#[test]
fn kept_frames_are_compared_to_the_bit() {
    let mut plate = Clip::waves(20);
    let sources: Vec<usize> = (0..20).collect();
    let mut output = plate.retimed(&sources);
    let v = &mut output.frames[4].data_mut()[1000];
    *v = f32::from_bits(v.to_bits() ^ 1);
    let m = measure(&mut output, &mut plate, 8, false, None).measures;
    assert!(m.kept.unwrap() > 0.0 && m.kept.unwrap() < 1e-6);
    let m = measure(&mut output, &mut plate, 4, false, None).measures;
    assert_eq!(m.kept, Some(0.0));
}

#[test]
fn light_and_display_values_measure_alike() {
    let mut plate = Clip::waves(20);
    let sources: Vec<usize> = (0..15).chain(2..12).collect();
    let mut output = plate.retimed(&sources);
    let display = measure(&mut output, &mut plate, 0, false, None).measures;
    let to_light = |clip: &mut Clip| {
        clip.info.transfer = Transfer::Linear;
        for v in clip.frames.iter_mut().flat_map(|f| f.data_mut()) {
            *v = ((*v + 0.055) / 1.055).powf(2.4);
        }
    };
    to_light(&mut plate);
    to_light(&mut output);
    let light = measure(&mut output, &mut plate, 0, false, None).measures;
    for (a, b) in [
        (display.frame_difference, light.frame_difference),
        (display.worst_step, light.worst_step),
        (display.sharpness, light.sharpness),
        (display.deviation, light.deviation),
    ] {
        near(a, b.unwrap(), 1e-4);
    }
}

/// As [`measure`], of pieces that meet at `borders`.
fn measure_pieces(output: &mut Clip, plate: &mut Clip, borders: Borders) -> Report {
    let mut subject = Subject {
        output,
        plate: Some(plate),
        matte: None,
        kept: &|_| None,
        closed: false,
        source: None,
        camera: None,
        borders,
    };
    report(&mut subject, Task::quiet()).unwrap()
}

fn passes(report: &Report, measure: &str) -> bool {
    let verdict = report.verdicts.iter().find(|v| v.measure == measure);
    verdict.expect("it is judged").pass
}

#[test]
fn a_seam_between_tiles_or_blocks_is_found_and_none_where_none_is() {
    let mut plate = Clip::waves(60);
    let borders = Borders {
        frames: vec![1, 13, 25, 37],
        columns: vec![40],
        rows: vec![24],
    };
    // Another time of the plate, cut once where blocks do not meet.
    let sources: Vec<usize> = (12..42).chain(3..21).collect();
    let clean = plate.retimed(&sources);
    let r = measure_pieces(&mut plate.retimed(&sources), &mut plate, borders.clone());
    let m = &r.measures;
    assert!(
        passes(&r, "seam_line") && passes(&r, "seam_block_worst"),
        "{m:?}"
    );
    near(m.seam_tile, 1.0, 0.05);
    near(m.seam_block, 1.0, 0.1);
    assert_eq!(r.curves.borders.len(), 3, "the first frame begins no step");

    // Tiles to the right of a column, and below a row, a little lighter.
    for (place, at) in [("column 40", [40, 0]), ("row 24", [0, 24])] {
        let mut seamed = Clip::new(clean.frames.clone());
        for frame in &mut seamed.frames {
            for y in at[1]..H {
                for v in &mut frame.row_mut(y)[at[0] * 3..] {
                    *v += 0.02;
                }
            }
        }
        let r = measure_pieces(&mut seamed, &mut plate, borders.clone());
        assert!(!passes(&r, "seam_line"), "{:?}", r.measures.seam_line);
        assert_eq!(r.measures.seam_line_at.as_deref(), Some(place));
        assert!(r.measures.seam_tile.unwrap() > 1.05);
        assert!(passes(&r, "seam_block_worst"));
    }

    // A block of frames a little lighter: by no more than two steps of the picture.
    let mut seamed = Clip::new(clean.frames.clone());
    let step = r.curves.steps[20];
    for frame in &mut seamed.frames[24..] {
        frame
            .data_mut()
            .iter_mut()
            .for_each(|v| *v += 2.0 * step as f32);
    }
    let r = measure_pieces(&mut seamed, &mut plate, borders);
    assert!(!passes(&r, "seam_block_worst"), "{:?}", r.curves.borders);
    let worst = r.curves.borders.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    assert_eq!(worst.unwrap().0, 24, "the block that begins with frame 25");
    assert!(passes(&r, "seam_line"));
}

#[test]
fn a_seam_at_a_switch_is_told_against_the_plate() {
    let mut plate = Clip::waves(60);
    // The left half plays another time than the right.
    let map = |apart: i32| {
        move |frame: i32, w: usize, h: usize| -> Vec<i32> {
            let of = |x: usize| frame - 1 + if x < w / 2 { 0 } else { apart };
            (0..w * h).map(|i| of(i % w)).collect()
        }
    };
    let mut seen = Vec::new();
    for apart in [1, 9] {
        let frames = (1..=40).map(|frame| {
            let source = map(apart)(frame, W, H);
            let mut picture = Picture::new(W, H, 3);
            for (i, pixel) in picture.data_mut().chunks_exact_mut(3).enumerate() {
                pixel.copy_from_slice(plate.frames[source[i] as usize].pixel(i % W, i / W));
            }
            picture
        });
        let mut output = Clip::new(frames.collect());
        let r = measure(&mut output, &mut plate, 0, false, Some(&map(apart)));
        seen.push(r.measures.seam_switch.unwrap());
        assert!(r.measures.seam_switch_worst >= r.measures.seam_switch);
        assert!(!r.curves.switches.is_empty());
    }
    assert!(seen[1] > 1.5 && seen[1] > seen[0], "{seen:?}");
    // Where nothing switches there is nothing to tell.
    let straight: Vec<usize> = (0..40).collect();
    let map = whole(&straight);
    let r = measure(
        &mut plate.retimed(&straight),
        &mut plate,
        0,
        false,
        Some(&map),
    );
    assert_eq!(r.measures.seam_switch, None);
}

#[test]
fn a_plate_tells_what_footage_measures_against_itself() {
    let mut plate = Clip::waves(60);
    let mut again = Clip::new(plate.frames.clone());
    let own = reference(&mut plate, &mut again, None, Task::quiet());
    let own = own.unwrap().expect("sixty frames are enough");
    for value in [
        own.frame_difference,
        own.sharpness,
        own.warping_error,
        own.grain,
    ] {
        near(value, 1.0, 0.15);
    }
    assert_eq!(
        own.spurious, None,
        "nobody knows where its pixels come from"
    );
    // It is the second half that is measured, of footage that changes.
    for frame in &mut plate.frames[30..] {
        frame.data_mut().iter_mut().for_each(|v| *v *= 1.2);
    }
    let mut again = Clip::new(plate.frames.clone());
    let own = reference(&mut plate, &mut again, None, Task::quiet());
    near(own.unwrap().unwrap().luma, 1.2, 0.02);
    let (mut short, mut again) = (Clip::waves(40), Clip::waves(40));
    let own = reference(&mut short, &mut again, None, Task::quiet());
    assert_eq!(own.unwrap(), None);
}

#[test]
fn another_size_is_refused_with_advice() {
    let mut plate = Clip::waves(10);
    let mut output = Clip::new(vec![Picture::new(8, 8, 3); 4]);
    let task = Task::quiet();
    let refused = report(&mut Subject::of(&mut output, Some(&mut plate)), task);
    assert!(matches!(refused, Err(ReportError::Size { .. })));
}

#[test]
fn odd_sequences_do_not_break_the_report() {
    let single = Clip::new(vec![Picture::new(1, 1, 3)]);
    let mut dark = Clip::new(vec![Picture::new(5, 3, 3); 3]);
    dark.frames[1].data_mut()[4] = f32::NAN;
    let mut same = Clip::new(dark.frames.clone());
    let r = measure(&mut dark, &mut same, 1, false, None);
    assert_eq!(r.output.not_finite, 1);
    assert!(serde_json::from_str::<serde_json::Value>(&r.json()).is_ok());
    let mut output = Clip::new(single.frames.clone());
    let mut plate = Clip::new(single.frames);
    let r = measure(
        &mut output,
        &mut plate,
        0,
        true,
        Some(&|_, w, h| vec![0; w * h]),
    );
    assert_eq!(r.measures.frame_difference, None);
}

#[test]
fn the_page_shows_frames_measures_and_slices() {
    let mut plate = Clip::waves(20);
    let sources: Vec<usize> = (0..15).chain(2..20).collect();
    let mut output = plate.retimed(&sources);
    let mut album = Album::new(sources.len());
    let task = Task::quiet();
    let report = report_to(
        &mut Subject::of(&mut output, Some(&mut plate)),
        &mut album,
        task,
    )
    .unwrap();
    let sheet = album.contact_sheet();
    assert_eq!((sheet.width, sheet.height), (6 * 100 - 4, 4 * 68 - 4));
    // The first thumbnail is the first frame, the last the last (below the
    // numbers).
    for (x, y, frame) in [(0, 40, 0), (5 * 100, 3 * 68 + 40, 32)] {
        let at = (y * sheet.width + x) * 3;
        let expected = plate.frames[sources[frame]].pixel(0, 40);
        for (shown, v) in sheet.rgb[at..at + 3].iter().zip(expected) {
            assert!((f32::from(*shown) - v * 255.0).abs() <= 0.51);
        }
    }
    // Row 20 of the sequence's slice is the middle row of its frame 20.
    let slices = album.slices();
    let at = ((14 + 20) * slices.width + W + 8 + 5) * 3;
    let expected = plate.frames[sources[20]].pixel(5, H / 2);
    for (shown, v) in slices.rgb[at..at + 3].iter().zip(expected) {
        assert!((f32::from(*shown) - v * 255.0).abs() <= 0.51);
    }
    let page = album.page(&report);
    let bytes = page.png().unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let mut back = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut back).unwrap();
    assert_eq!(back, page.rgb);
}

#[test]
fn a_preview_plays_without_ffmpeg_too() {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::waves(5);
    let mut movie = Movie::new(&folder.path().join("preview.png"), 5, 12.0);
    for f in &clip.frames {
        movie.push(&Encoded::of(f, &clip.info, 1).0).unwrap();
    }
    let path = movie.finish().unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let control = reader.info().animation_control().copied().unwrap();
    assert_eq!((control.num_frames, control.num_plays), (5, 0));
    let mut last = vec![0; reader.output_buffer_size().unwrap()];
    for _ in 0..5 {
        reader.next_frame(&mut last).unwrap();
    }
    for (shown, v) in last.iter().zip(clip.frames[4].data()) {
        assert!((f32::from(*shown) - v * 255.0).abs() <= 0.51);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_preview_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::waves(2);
    let mut movie = Movie::new(&folder.path().join("preview.png"), 5, 12.0);
    movie
        .push(&Encoded::of(&clip.frames[0], &clip.info, 1).0)
        .unwrap();
    drop(movie);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
