//! What each frame is like, and how one leads to the next.

use super::*;

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
fn a_join_may_step_as_far_as_the_plate_itself_steps_there() {
    // From frame 12 on the light is another.
    let lit = |sources: &[usize]| {
        let waves = Clip::waves(30);
        let mut clip = waves.retimed(sources);
        for (frame, source) in clip.frames.iter_mut().zip(sources) {
            if *source >= 12 {
                frame.data_mut().iter_mut().for_each(|v| *v *= 1.5);
            }
        }
        clip
    };
    let all: Vec<usize> = (0..30).collect();
    let join = |kept: i32, sources: &[usize]| {
        let r = measure(&mut lit(sources), &mut lit(&all), kept, false, None);
        let verdict = r.verdicts.into_iter().find(|v| v.measure == "join");
        (verdict.unwrap(), r.measures.plate_join.unwrap())
    };
    // The plate simply goes on where the light changes.
    let (on, own) = join(12, &all);
    assert!(on.value > 2.0 && on.pass, "{on:?}");
    near(Some(own), on.value, 1e-9);
    // It goes on as it does, a frame earlier it would not have.
    let early: Vec<usize> = (0..11).chain(12..30).collect();
    let (jump, own) = join(11, &early);
    assert!(
        jump.value > 2.0 && !jump.pass && own < 1.5,
        "{jump:?} {own}"
    );
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

#[test]
fn of_a_fill_only_what_holds_within_a_matte_is_judged() {
    let judged = |measures: &Measures| -> Vec<&str> {
        let verdicts = measures.verdicts();
        verdicts.into_iter().map(|v| v.measure).collect()
    };
    let mut measures = Measures {
        frame_difference: Some(0.3),
        spurious: Some(0.1),
        ..Measures::default()
    };
    assert_eq!(judged(&measures), ["frame_difference", "spurious"]);
    measures.outside = Some(0.0);
    measures.within = true;
    assert_eq!(judged(&measures), ["spurious", "outside"]);
}

#[test]
fn what_a_supervisor_would_send_back_is_told_by_its_name() {
    let mut plate = Clip::waves(60);
    let sources: Vec<usize> = (6..54).collect();
    let weak = |spoil: &dyn Fn(usize, &mut [f32])| {
        let mut clip = Clip::waves(60).retimed(&sources);
        for (t, frame) in clip.frames.iter_mut().enumerate() {
            spoil(t, frame.data_mut());
        }
        let report = measure(&mut clip, &mut Clip::waves(60), 0, false, None);
        let weak = report.verdicts.iter().filter(|v| !v.pass);
        weak.map(|v| v.measure).collect::<Vec<_>>()
    };
    // Waves are tones, which beat; but for that it is a good take.
    let good = weak(&|_, _| ());
    assert!(good.iter().all(|name| *name == "rhythm"), "{good:?}");
    let mut rng = Philox::new(3, [0, 0, 0]);
    let light: Vec<f32> = (0..48).map(|_| 1.0 + 0.01 * rng.normal() as f32).collect();
    let flickers = weak(&|t, data| data.iter_mut().for_each(|v| *v *= light[t]));
    assert!(flickers.contains(&"flicker"), "{flickers:?}");
    // Red goes up and blue down: the mean stays.
    let warms = weak(&|t, data| {
        for pixel in data.chunks_exact_mut(3) {
            pixel[0] += 0.001 * t as f32;
            pixel[2] -= 0.001 * t as f32;
        }
    });
    assert!(warms.contains(&"colour_drift"), "{warms:?}");
    assert!(
        weak(&|t, data| if t == 9 {
            data[5] = f32::NAN
        })
        .contains(&"not_finite")
    );
    // Two frames are too few to say that the rest of the plate is missed.
    let r = measure(&mut plate.retimed(&[20, 21]), &mut plate, 0, false, None);
    assert!(r.verdicts.iter().all(|v| v.pass), "{:?}", r.verdicts);
}
