//! `rms_norm`: within rounding of sums in another order.

use half::{bf16, f16};
use libtest_mimic::Failed;
use longtake_kernels::Number;
use longtake_kernels::rms_norm::{Angles, launch, rms_norm};

use super::Check;
use crate::lab::{Lab, UNSEEN, near};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "rms_norm",
    run,
    rate,
};

fn run(lab: &mut Lab) -> Result<(), Failed> {
    // Rows, heads, half a head; 0 tokens of angles for none.
    for (rows, heads, half, tokens) in [
        (1, 1, 1, 1),
        (5, 3, 7, 0),
        (6, 2, 64, 3),
        (7, 12, 64, 7),
        (2, 1, 300, 0),
        // Wide rows, and wider than a block holds.
        (3, 40, 64, 3),
        (2, 24, 64, 0),
        (2, 65, 64, 2),
    ] {
        let size = (rows, heads * 2 * half, half, tokens);
        check::<f32>(lab, size, 2e-6)?;
        // A last bit of the result.
        check::<f16>(lab, size, 1e-3)?;
        check::<bf16>(lab, size, 8e-3)?;
    }
    Ok(())
}

fn check<T: Number + PartialEq>(
    lab: &mut Lab,
    (rows, channels, half, tokens): (usize, usize, usize, usize),
    bound: f32,
) -> Result<(), Failed> {
    let x = lab.tensor::<T>(rows * channels);
    let weight = lab.numbers(channels);
    let (cos, sin): (Vec<f32>, Vec<f32>) = lab
        .numbers(tokens * half)
        .iter()
        .map(|a| (a.cos(), a.sin()))
        .unzip();
    let mut twin = vec![T::default(); x.len()];
    let angles = |cos, sin| (tokens > 0).then_some(Angles { cos, sin, half });
    rms_norm(&x, &weight, 1e-6, angles(&cos[..], &sin[..]), &mut twin);
    let nan = T::narrow(f32::NAN);
    let (x, weight) = (lab.guarded(&x, nan)?, lab.guarded(&weight, f32::NAN)?);
    let (cos, sin) = (lab.guarded(&cos, f32::NAN)?, lab.guarded(&sin, f32::NAN)?);
    let mut out = lab.room(twin.len(), T::narrow(UNSEEN))?;
    let angles = (tokens > 0).then(|| Angles {
        cos: cos.part(),
        sin: sin.part(),
        half,
    });
    launch(
        &lab.stream,
        x.part(),
        weight.part(),
        1e-6,
        angles,
        out.part_mut(),
    )?;
    let what = format!("{rows} x {channels}, {tokens} tokens, {}", T::NAME);
    near(&what, &lab.read(&out)?, &twin, bound)
}

/// Queries of Wan 1.3B at 832 x 480 x 81.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let (tokens, channels, half) = lab.size((32_760, 1536, 64), (3, 256, 64));
    let x = lab.stream.room::<bf16>(tokens * channels)?;
    let mut out = lab.stream.room::<bf16>(tokens * channels)?;
    let weight = lab.stream.room::<f32>(channels)?;
    let (cos, sin) = (
        lab.stream.room::<f32>(tokens * half)?,
        lab.stream.room::<f32>(tokens * half)?,
    );
    let seconds = lab.time(|lab| {
        let angles = Some(Angles {
            cos: cos.part(),
            sin: sin.part(),
            half,
        });
        launch(
            &lab.stream,
            x.part(),
            weight.part(),
            1e-6,
            angles,
            out.part_mut(),
        )
    })?;
    let bytes = tokens * (4 * channels + 8 * half);
    Ok(vec![Rate::memory(
        "with rotary, bf16, 32760 x 1536",
        bytes,
        seconds,
    )])
}
