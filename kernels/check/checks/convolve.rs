//! `convolve`: within rounding of sums in another order.

use half::{bf16, f16};
use libtest_mimic::Failed;
use longtake_kernels::Number;
use longtake_kernels::convolve::{Convolution, convolve, launch};

use super::Check;
use crate::lab::{Lab, UNSEEN, near};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "convolve",
    run,
    rate,
};

fn run(lab: &mut Lab) -> Result<(), Failed> {
    let causal = Convolution {
        size: [4, 5, 7],
        channels: 3,
        outputs: 5,
        kernel: [3, 3, 3],
        step: [1; 3],
        zeros: [[1; 2]; 2],
    };
    for of in [
        causal,
        Convolution {
            channels: 24,
            outputs: 70,
            ..causal
        },
        // Halved, as the encoder does.
        Convolution {
            kernel: [1, 3, 3],
            step: [1, 2, 2],
            zeros: [[0, 1]; 2],
            ..causal
        },
        // Doubled by windows of two.
        Convolution {
            kernel: [1, 2, 2],
            channels: 8,
            ..causal
        },
        Convolution {
            kernel: [3, 1, 1],
            step: [2, 1, 1],
            zeros: [[0; 2]; 2],
            size: [5, 2, 3],
            ..causal
        },
        Convolution::product(130, 33, 65),
        Convolution::product(1, 1, 1),
    ] {
        check::<f32, f32>(lab, &of, 1e-5)?;
        // A last bit of the result.
        check::<f16, f16>(lab, &of, 1e-3)?;
        check::<bf16, bf16>(lab, &of, 8e-3)?;
        check::<f16, f32>(lab, &of, 1e-5)?;
        check::<bf16, f32>(lab, &of, 1e-5)?;
    }
    Ok(())
}

fn check<T: Number + PartialEq, O: Number + PartialEq>(
    lab: &mut Lab,
    of: &Convolution,
    bound: f32,
) -> Result<(), Failed> {
    let [read, weights, made] = of.lengths();
    let (x, weight) = (lab.tensor::<T>(read), lab.tensor::<T>(weights));
    let mut twin = vec![O::default(); made];
    convolve(of, &x, &weight, &mut twin);
    let nan = T::narrow(f32::NAN);
    let (x, weight) = (lab.guarded(&x, nan)?, lab.guarded(&weight, nan)?);
    let mut y = lab.room(made, O::narrow(UNSEEN))?;
    launch(&lab.stream, of, x.part(), weight.part(), y.part_mut())?;
    let what = format!("{of:?}, {} to {}", T::NAME, O::NAME);
    near(&what, &lab.read(&y)?, &twin, bound)
}

/// A convolution of the last level of Wan 2.1's decoder, of which one frame is made.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let [height, width, channels] = lab.size([480, 832, 96], [2, 5, 8]);
    let of = Convolution {
        size: [3, height, width],
        channels,
        outputs: channels,
        kernel: [3; 3],
        step: [1; 3],
        zeros: [[1; 2]; 2],
    };
    let [read, weights, made] = of.lengths();
    let x = lab.stream.room::<bf16>(read)?;
    let weight = lab.stream.room::<bf16>(weights)?;
    let mut y = lab.stream.room::<bf16>(made)?;
    let seconds = lab.time(|lab| {
        let (x, weight) = (x.part(), weight.part());
        launch(&lab.stream, &of, x, weight, y.part_mut())
    })?;
    Ok(vec![Rate::memory(
        "bf16, 480 x 832, 96 to 96 channels (no tensor cores)",
        2 * (read + weights + made),
        seconds,
    )])
}
