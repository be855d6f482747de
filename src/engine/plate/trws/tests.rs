//! Labellings whose answers are known.

use super::lanes::LANES;
use super::*;
use crate::sampler::Philox;

fn random(cols: usize, rows: usize, labels: usize, seed: u64) -> Problem {
    let mut rng = Philox::new(seed, [0; 3]);
    let mut p = Problem::new(cols, rows, labels);
    for y in 0..rows {
        for x in 0..cols {
            for k in 0..labels {
                p.set_unary(x, y, k, rng.below(400) as i32);
                if k + 1 < labels {
                    if x + 1 < cols {
                        p.set_pair(Pair::Right, x, y, k, rng.below(200) as i32);
                    }
                    if y + 1 < rows {
                        p.set_pair(Pair::Down, x, y, k, rng.below(200) as i32);
                    }
                }
            }
        }
    }
    p
}

/// The least energy, by trying all labellings.
fn least(p: &Problem) -> i64 {
    let n = p.cols * p.rows;
    let mut labels = vec![0u8; n];
    let mut best = i64::MAX;
    loop {
        best = best.min(p.energy(&labels));
        let mut i = 0;
        while i < n {
            labels[i] += 1;
            if usize::from(labels[i]) < p.labels {
                break;
            }
            labels[i] = 0;
            i += 1;
        }
        if i == n {
            return best;
        }
    }
}

#[test]
fn a_chain_is_solved_exactly_in_either_direction() {
    for seed in 0..20 {
        for (cols, rows) in [(7, 1), (1, 7)] {
            let p = random(cols, rows, 4, seed);
            assert_eq!(
                p.energy(&p.solve(8, &mut Messages::default())),
                least(&p),
                "{cols}x{rows} {seed}"
            );
        }
    }
}

#[test]
fn a_small_grid_is_solved_to_within_a_few_per_cent() {
    let (mut got, mut best) = (0, 0);
    for seed in 0..20 {
        let p = random(3, 3, 3, seed);
        got += p.energy(&p.solve(12, &mut Messages::default()));
        best += least(&p);
    }
    assert!(got as f64 <= best as f64 * 1.03, "{got} for {best}");
}

#[test]
fn as_many_nodes_at_once_as_the_processor_can_change_nothing() {
    for (cols, rows, labels) in [(45, 37, 6), (70, 64, 5), (3, 33, 4), (1, 1, 3), (40, 1, 2)] {
        let p = random(cols, rows, labels, 3);
        let mut chosen = Messages::default();
        chosen.reset(&p);
        let [mut few, mut many] = [chosen.clone(), chosen.clone()];
        for forward in [true, false, true, false] {
            chosen.sweep(&p, forward);
            few.sweep_any::<LANES>(&p, forward);
            many.sweep_any::<WIDE>(&p, forward);
        }
        let labels = chosen.decode(&p);
        assert_eq!(labels, few.decode_any::<LANES>(&p), "{cols}x{rows}");
        assert_eq!(labels, many.decode_any::<WIDE>(&p), "{cols}x{rows}");
    }
}

#[test]
fn whole_planes_are_set_as_cell_by_cell() {
    for (cols, rows) in [(5, 3), (3, 5), (1, 4), (4, 1), (1, 1)] {
        let plane: Vec<i32> = (0..cols * rows).map(|c| 3 + 7 * c as i32).collect();
        let [mut a, mut b] = [(); 2].map(|()| Problem::new(cols, rows, 3));
        a.set_label(1, &plane);
        let ordered = a.ordered(&plane);
        a.set_frame(1, &ordered, |a, b| 100 * a + b);
        for (c, cost) in plane.iter().enumerate() {
            let (x, y) = (c % cols, c / cols);
            b.set_unary(x, y, 1, *cost);
            if x + 1 < cols {
                b.set_pair(Pair::Right, x, y, 1, 100 * cost + plane[c + 1]);
            }
            if y + 1 < rows {
                b.set_pair(Pair::Down, x, y, 1, 100 * cost + plane[c + cols]);
            }
        }
        assert_eq!(a.unary[..], b.unary[..], "{cols}x{rows}");
        assert_eq!(
            a.pair.each_ref().map(|p| &p[..]),
            b.pair.each_ref().map(|p| &p[..])
        );
    }
}

#[test]
fn a_grid_wider_than_the_lanes_beats_the_best_uniform_labelling() {
    let p = random(45, 37, 6, 5);
    let labels = p.solve(12, &mut Messages::default());
    let uniform = (0..6).map(|k| p.energy(&vec![k; 45 * 37])).min().unwrap();
    assert!(p.energy(&labels) < uniform);
    assert!(labels.iter().all(|&l| l < 6));
}
