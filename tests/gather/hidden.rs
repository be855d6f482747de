//! Cuts that do not show.

use super::*;

/// Mean absolute difference of the first channel between two pictures.
fn step(a: &Picture, b: &Picture) -> f32 {
    let c = a.channels();
    let n = a.data().len() / c;
    let d = a.data().iter().zip(b.data()).step_by(c);
    d.map(|(a, b)| (a - b).abs()).sum::<f32>() / n as f32
}

/// The worst step from frame to frame over the plate's own worst.
fn worst_step(analysis: &Analysis, edit: &EditList, plate: &mut Painted, frames: i32) -> f32 {
    let made: Vec<_> = (0..frames)
        .map(|t| make(analysis, edit, t, plate))
        .collect();
    let own = (1..plate.info.range.count())
        .map(|i| step(&plate.frame(i - 1), &plate.frame(i)))
        .fold(0.0, f32::max);
    made.windows(2)
        .map(|w| step(&w[0], &w[1]))
        .fold(0.0, f32::max)
        / own
}

#[test]
fn a_warp_hides_a_jump_of_what_moves() {
    fn sliding(index: usize, x: f32, y: f32) -> Vec<f32> {
        vec![0.3 + 0.1 * noise(x - 0.006 * index as f32, y); 3]
    }
    let mut plate = Painted::new((192, 108), 60, &["R", "G", "B"], sliding);
    let analysis = analyse(&mut plate);
    // Everything jumps seven frames ahead at once.
    let mut cut = sweep(&analysis, 20, 7, 0);
    cut.switch.fill(0);
    let mut edit = list(&analysis, 40, vec![cut]);
    edit.low_band = false;
    let warped = worst_step(&analysis, &edit, &mut plate, 40);
    edit.warp = false;
    let plain = worst_step(&analysis, &edit, &mut plate, 40);
    assert!(plain > 3.0, "the jump is there: {plain}");
    assert!(warped < 0.6 * plain, "{warped} of {plain}");
}

#[test]
fn the_low_band_hides_a_drift_of_exposure() {
    fn drifting(index: usize, x: f32, y: f32) -> Vec<f32> {
        let light = (0.25 + 0.05 * noise(x, y)) * (1.0 + 0.002 * index as f32);
        vec![light, 20.0 * light, light * 0.5, 1.0]
    }
    let mut plate = Painted::new((192, 108), 60, &["R", "G", "B", "A"], drifting);
    let analysis = analyse(&mut plate);
    let mut edit = list(&analysis, 60, vec![sweep(&analysis, 35, -32, 8)]);
    edit.warp = false;
    // The worst jump of any column from one frame to the next.
    let jump = |edit: &EditList, plate: &mut Painted| {
        let made: Vec<_> = (30..50).map(|t| make(&analysis, edit, t, plate)).collect();
        let mut worst = [0.0f32; 2];
        for w in made.windows(2) {
            for x in 0..192 {
                for (c, worst) in worst.iter_mut().enumerate() {
                    let d: f32 = (0..108)
                        .map(|y| w[1].pixel(x, y)[c] / w[0].pixel(x, y)[c] - 1.0)
                        .sum();
                    *worst = worst.max((d / 108.0).abs());
                }
            }
        }
        worst
    };
    let eased = jump(&edit, &mut plate);
    edit.low_band = false;
    let plain = jump(&edit, &mut plate);
    for c in 0..2 {
        assert!(plain[c] > 0.05, "the jump is there: {plain:?}");
        assert!(eased[c] < 0.4 * plain[c], "{eased:?} of {plain:?}");
    }
}

#[test]
fn a_loop_closes_as_smoothly_as_it_runs() {
    fn sliding(index: usize, x: f32, y: f32) -> Vec<f32> {
        let light = 0.3 + 0.1 * noise(x - 0.006 * index as f32, y);
        vec![light * (1.0 + 0.003 * index as f32); 3]
    }
    let mut plate = Painted::new((192, 108), 60, &["R", "G", "B"], sliding);
    let analysis = analyse(&mut plate);
    // Fifty frames from plate index 8 on; the last clip ends where the first
    // begins, and its cut is over one frame before the seam.
    let mut edit = list(&analysis, 50, vec![sweep(&analysis, 44, -42, 5)]);
    edit.offset = 8;
    edit.closed = true;
    let frame = |t: i32, plate: &mut Painted| make(&analysis, &edit, t, plate);
    let (before, last) = (frame(48, &mut plate), frame(49, &mut plate));
    let (first, after) = (frame(0, &mut plate), frame(1, &mut plate));
    // The warp and the low band of the cut before the seam go on behind it.
    assert_ne!(bits(&first), bits(&plate.frame(8)));
    let closing = step(&last, &first);
    let around = step(&before, &last).max(step(&first, &after));
    assert!(closing < 1.3 * around, "{closing} against {around}");
    let mut open = edit.clone();
    open.closed = false;
    let untouched = make(&analysis, &open, 0, &mut plate);
    assert_eq!(bits(&untouched), bits(&plate.frame(8)));
}
