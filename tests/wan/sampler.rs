//! Schedules and solvers step by step against the reference's schedulers.

use candle_core::Tensor;
use longtake::sampler::{SchedulerConfig, Solver};

use crate::support::{apart, tensors, text};

const CASES: [&str; 5] = [
    "unipc",
    "unipc_bh1_order3",
    "unipc_no_shift",
    "euler",
    "euler_no_shift",
];

/// The velocity that the script asks with: bent, so that solvers differ.
fn velocity(x: &Tensor, target: &Tensor, time: f32) -> Tensor {
    let pull = (x - target).unwrap().tanh().unwrap();
    let turn = (x + f64::from(time / 100.0)).unwrap().cos().unwrap();
    (pull + (turn * 0.3).unwrap()).unwrap()
}

/// How far sample by sample `name` is from the reference at most, if the run is made
/// under the configuration of `other`.
fn worst(name: &str, other: &str, steps: usize) -> f64 {
    let kept = tensors("schedulers/reference.safetensors");
    let config = SchedulerConfig::from_json(&text(&format!("schedulers/{other}.json"))).unwrap();
    let mut solver = Solver::new(&config, steps);
    let key = format!("{name}.{steps}");
    let samples = &kept[&format!("{key}.samples")];
    let mut x = samples.get(0).unwrap();
    let mut worst = 0f64;
    for (step, time) in solver.schedule().timesteps.clone().into_iter().enumerate() {
        let v = velocity(&x, &kept["target"], time);
        let clean = (&x - (&v * f64::from(solver.schedule().sigmas[step])).unwrap()).unwrap();
        x = solver.step(&v, &x).unwrap();
        if step + 1 == steps && name.contains("bh1") {
            // The reference multiplies 0 by infinity here. The last step leads to the
            // clean sample that was predicted, corrected before it.
            let reference = samples.get(steps).unwrap().sum_all().unwrap();
            assert!(reference.to_scalar::<f32>().unwrap().is_nan());
            assert!(apart(&x, &clean) < 0.1);
            break;
        }
        worst = worst.max(apart(&x, &samples.get(step + 1).unwrap()));
    }
    assert!(solver.step(&x, &x).is_err(), "a run has an end");
    worst
}

#[test]
fn noise_levels_and_times_are_the_reference_s() {
    let kept = tensors("schedulers/reference.safetensors");
    for name in CASES {
        let config = SchedulerConfig::from_json(&text(&format!("schedulers/{name}.json"))).unwrap();
        for steps in [1, 4, 20] {
            let solver = Solver::new(&config, steps);
            let expected = |what: &str| {
                let t = &kept[&format!("{name}.{steps}.{what}")];
                t.to_vec1::<f32>().unwrap()
            };
            let schedule = solver.schedule();
            for (found, expected) in schedule.sigmas.iter().zip(&expected("sigmas")) {
                assert!((found - expected).abs() <= 1e-7, "{name} {steps}");
            }
            assert_eq!(schedule.sigmas.len(), expected("sigmas").len());
            let times = expected("timesteps");
            assert_eq!(schedule.timesteps.len(), times.len());
            for (found, expected) in schedule.timesteps.iter().zip(times) {
                assert!((found - expected).abs() <= 1e-4, "{name} {steps}");
            }
        }
    }
}

#[test]
fn every_solver_agrees_at_every_step() {
    for name in CASES {
        for steps in [1, 4, 20] {
            let error = worst(name, name, steps);
            println!("{name}, {steps} steps: {error:e}");
            assert!(error <= 1e-5, "{name}, {steps} steps: {error:e}");
        }
    }
}

#[test]
fn another_solver_order_or_shift_is_told_apart() {
    for (name, other) in [
        ("unipc", "unipc_no_shift"),
        ("unipc", "unipc_bh1_order3"),
        ("unipc", "euler"),
        ("euler", "euler_no_shift"),
    ] {
        let error = worst(name, other, 20);
        assert!(error >= 1e-3, "{name} as {other}: {error:e}");
    }
}
