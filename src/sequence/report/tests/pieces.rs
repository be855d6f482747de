//! What is a piece of the plate, and how pieces come back.

use super::*;

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
