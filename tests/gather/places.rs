//! When each place changes, at full size and in a proxy.

use super::*;

/// Every pixel tells which plate frame it is of.
fn telling(index: usize, _x: f32, _y: f32) -> Vec<f32> {
    vec![index as f32; 3]
}

#[test]
fn places_change_once_and_without_speckle() {
    let mut plate = Painted::new((192, 108), 80, &["R", "G", "B"], telling);
    let analysis = analyse(&mut plate);
    let mut event = sweep(&analysis, 20, 30, 12);
    // Plateaus and noise, as the solver gives them.
    for (i, s) in event.switch.iter_mut().enumerate() {
        *s = (*s & !3).min(12) + ((i * 7919) % 13 == 0) as u8;
    }
    event.window = 13;
    let mut edit = list(&analysis, 50, vec![event]);
    edit.warp = false;
    edit.low_band = false;
    let mut gone = vec![false; 192 * 108];
    for t in 0..50 {
        let made = make(&analysis, &edit, t, &mut plate);
        let new: Vec<bool> = made
            .data()
            .chunks_exact(3)
            .map(|p| p[0] != t as f32)
            .collect();
        for (i, (&new, gone)) in new.iter().zip(&mut gone).enumerate() {
            assert!(new || !*gone, "pixel {i} went back at frame {t}");
            *gone = new;
        }
        if (20..36).contains(&t) {
            // From left to right: the boundary is a line, not a cloud of dots.
            let changes: usize = new
                .chunks_exact(192)
                .map(|row| row.windows(2).filter(|w| w[0] != w[1]).count())
                .sum();
            assert!(changes <= 2 * 108, "{changes} boundaries at frame {t}");
        }
    }
    assert!(gone.iter().all(|&g| g), "all have changed in the end");
}

#[test]
fn a_proxy_shows_the_same_motion() {
    let full = Painted::new((320, 180), 80, &["R", "G", "B"], telling);
    let mut half = Painted::new((320, 180), 80, &["R", "G", "B"], telling).at_scale(2);
    let mut full = full;
    let analysis = analyse(&mut full);
    let small = analyse(&mut half);
    assert_eq!((analysis.cols, analysis.rows), (small.cols, small.rows));
    let mut edit = list(
        &analysis,
        90,
        vec![sweep(&analysis, 20, 6, 12), patch(&analysis, 24, -9)],
    );
    edit.low_band = false;
    for t in [22, 25, 28] {
        let a = make(&analysis, &edit, t, &mut full);
        let b = make(&small, &edit, t, &mut half);
        let mut differ = 0;
        for y in 0..90 {
            for x in 0..160 {
                let four =
                    [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, j)| a.pixel(2 * x + i, 2 * y + j)[0]);
                differ += usize::from(!four.contains(&b.pixel(x, y)[0]));
            }
        }
        assert_eq!(differ, 0, "frame {t}");
    }
}
