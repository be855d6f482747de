//! `softmax`: within rounding of sums in another order.

use half::{bf16, f16};
use libtest_mimic::Failed;
use longtake_kernels::Number;
use longtake_kernels::softmax::{launch, softmax};

use super::Check;
use crate::lab::{Lab, UNSEEN, near};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "softmax",
    run,
    rate,
};

fn run(lab: &mut Lab) -> Result<(), Failed> {
    for size in [(1, 1, 1), (5, 8, 3), (3, 1000, 1000), (2, 304, 300)] {
        check::<f32>(lab, size, 4e-6)?;
        // A last bit of the result.
        check::<f16>(lab, size, 1e-3)?;
        check::<bf16>(lab, size, 8e-3)?;
    }
    Ok(())
}

fn check<T: Number + PartialEq>(
    lab: &mut Lab,
    (rows, width, valid): (usize, usize, usize),
    bound: f32,
) -> Result<(), Failed> {
    // Scores far from zero, of which few count.
    let x: Vec<f32> = lab.numbers(rows * width);
    let mut x: Vec<f32> = x.iter().map(|v| 40.0 + 6.0 * v).collect();
    let mut twin = vec![T::default(); x.len()];
    softmax(&x, (width, valid), &mut twin);
    for row in x.chunks_exact_mut(width) {
        row[valid..].fill(f32::NAN);
    }
    let x = lab.guarded(&x, f32::NAN)?;
    let mut out = lab.room(twin.len(), T::narrow(UNSEEN))?;
    launch(&lab.stream, x.part(), (width, valid), out.part_mut())?;
    let what = format!("{rows} x {valid} of {width}, {}", T::NAME);
    near(&what, &lab.read(&out)?, &twin, bound)
}

/// The attention of Wan 2.1's VAE at 832 x 480.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let (rows, width) = lab.size((6240, 6240), (3, 40));
    let x = lab.stream.room::<f32>(rows * width)?;
    let mut out = lab.stream.room::<bf16>(rows * width)?;
    let seconds = lab.time(|lab| launch(&lab.stream, x.part(), (width, width), out.part_mut()))?;
    let bytes = rows * width * 6;
    Ok(vec![Rate::memory("bf16, 6240 x 6240", bytes, seconds)])
}
