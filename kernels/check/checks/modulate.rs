//! `modulate`: within rounding of sums in another order.

use half::{bf16, f16};
use libtest_mimic::Failed;
use longtake_kernels::Number;
use longtake_kernels::modulate::{Reads, launch, modulate};

use super::Check;
use crate::lab::{Lab, UNSEEN, near};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "modulate",
    run,
    rate,
};

fn run(lab: &mut Lab) -> Result<(), Failed> {
    for (rows, channels, joins, by_row) in [
        (1, 2, true, false),
        (4, 33, false, false),
        (3, 256, true, true),
        (5, 700, true, false),
        (2, 1536, false, true),
    ] {
        let size = (rows, channels, joins, by_row);
        check::<f32>(lab, size, 1e-5)?;
        // A last bit of the trunk moves the norm of a row by as much.
        check::<f16>(lab, size, 2e-3)?;
        check::<bf16>(lab, size, 2e-2)?;
    }
    Ok(())
}

fn check<T: Number + PartialEq>(
    lab: &mut Lab,
    (rows, channels, joins, by_row): (usize, usize, bool, bool),
    bound: f32,
) -> Result<(), Failed> {
    let count = rows * channels;
    let (x, branch) = (lab.tensor::<T>(count), lab.tensor::<T>(count));
    let gate = lab.numbers(channels);
    let wide = if by_row { count } else { channels };
    let (scale, shift) = (lab.numbers(wide), lab.numbers(wide));
    let (mut trunk, mut twin) = (vec![T::default(); count], vec![T::default(); count]);
    let reads = Reads {
        x: &x[..],
        branch: joins.then_some((&branch[..], &gate[..])),
        scale: &scale[..],
        shift: &shift[..],
        channels,
    };
    modulate(&reads, 1e-6, joins.then_some(&mut trunk[..]), &mut twin);
    let nan = T::narrow(f32::NAN);
    let (x, branch) = (lab.guarded(&x, nan)?, lab.guarded(&branch, nan)?);
    let put = |v: &[f32]| lab.guarded(v, f32::NAN);
    let (gate, scale, shift) = (put(&gate)?, put(&scale)?, put(&shift)?);
    let (mut joined, mut out) = (
        lab.room(count, T::narrow(UNSEEN))?,
        lab.room(count, T::narrow(UNSEEN))?,
    );
    let reads = Reads {
        x: x.part(),
        branch: joins.then(|| (branch.part(), gate.part())),
        scale: scale.part(),
        shift: shift.part(),
        channels,
    };
    let to = joins.then(|| joined.part_mut());
    launch(&lab.stream, &reads, 1e-6, to, out.part_mut())?;
    let what = format!("{rows} x {channels}, joins {joins}, {}", T::NAME);
    let joined = lab.read(&joined)?;
    if joins {
        near(&format!("trunk of {what}"), &joined, &trunk, 0.0)?;
    }
    near(&what, &lab.read(&out)?, &twin, bound)
}

/// Tokens of Wan 1.3B at 832 x 480 x 81.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let (tokens, channels) = lab.size((32_760, 1536), (3, 256));
    let count = tokens * channels;
    let (x, branch) = (
        lab.stream.room::<bf16>(count)?,
        lab.stream.room::<bf16>(count)?,
    );
    let (mut trunk, mut out) = (
        lab.stream.room::<bf16>(count)?,
        lab.stream.room::<bf16>(count)?,
    );
    let row = lab.stream.room::<f32>(channels)?;
    let seconds = lab.time(|lab| {
        let reads = Reads {
            x: x.part(),
            branch: Some((branch.part(), row.part())),
            scale: row.part(),
            shift: row.part(),
            channels,
        };
        launch(
            &lab.stream,
            &reads,
            1e-6,
            Some(trunk.part_mut()),
            out.part_mut(),
        )
    })?;
    Ok(vec![Rate::memory(
        "with a gated branch, bf16, 32760 x 1536",
        8 * count,
        seconds,
    )])
}
