//! `normalise`: within rounding of sums in another order.

use half::{bf16, f16};
use libtest_mimic::Failed;
use longtake_kernels::Number;
use longtake_kernels::normalise::{Scale, Sum, Walk, launch, normalise};

use super::Check;
use crate::lab::{Lab, UNSEEN, near};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "normalise",
    run,
    rate,
};

fn run(lab: &mut Lab) -> Result<(), Failed> {
    let same = Walk::Same;
    let doubled = |height, width| Walk::Doubled { height, width };
    let paired = |height, width| Walk::Paired { height, width };
    // Channels, frames × height × width, how they lie, trunk, out.
    for (channels, positions, walk, has_trunk, has_out) in [
        (1, 1, same, true, true),
        (96, 37, same, true, true),
        (384, 70, same, false, true),
        (5, 300, same, true, false),
        (640, 3, same, true, true),
        (16, 2 * 6 * 10, doubled(6, 10), true, true),
        (12, 2 * 4, doubled(2, 4), true, false),
        (192, 4 * 3 * 7, paired(3, 7), true, false),
        (7, 2 * 3 * 3, paired(3, 3), false, true),
    ] {
        let size = (channels, positions, walk);
        let written = (has_trunk, has_out);
        check::<f32>(lab, size, written, 4e-6)?;
        // A last bit of the result.
        check::<f16>(lab, size, written, 1e-3)?;
        check::<bf16>(lab, size, written, 8e-3)?;
    }
    Ok(())
}

fn check<T: Number + PartialEq>(
    lab: &mut Lab,
    (channels, positions, walk): (usize, usize, Walk),
    (has_trunk, has_out): (bool, bool),
    bound: f32,
) -> Result<(), Failed> {
    let (places, count) = (walk.places(positions).unwrap(), positions * channels);
    let x = lab.tensor::<T>(places * channels);
    let gain = lab.numbers(channels);
    // Rows of three, where there are such.
    let fenced = (positions % 3 == 0).then_some(3);
    let places_out = positions + 2 * fenced.map_or(0, |row| positions / row);
    let unseen = T::narrow(UNSEEN);
    for (joins, silu) in [(true, true), (true, false), (false, true)] {
        let branch = joins.then(|| lab.tensor::<T>(count));
        let bias = joins.then(|| lab.numbers(walk.biases() * channels));
        let (mut trunk, mut out) = (
            vec![T::default(); count],
            vec![unseen; places_out * channels],
        );
        let sum = Sum {
            x: &x[..],
            walk,
            branch: branch.as_deref(),
            bias: bias.as_deref(),
        };
        normalise(
            &sum,
            channels,
            has_trunk.then_some(&mut trunk[..]),
            has_out.then(|| {
                let gain = &gain[..];
                let scale = Scale { gain, silu, fenced };
                (scale, &mut out[..])
            }),
        );
        let nan = T::narrow(f32::NAN);
        let on_x = lab.guarded(&x, nan)?;
        let on_branch = branch.map(|b| lab.guarded(&b, nan)).transpose()?;
        let on_bias = bias.map(|b| lab.guarded(&b, f32::NAN)).transpose()?;
        let on_gain = lab.guarded(&gain, f32::NAN)?;
        let mut on_trunk = lab.room(count, T::narrow(UNSEEN))?;
        let mut on_out = lab.room(places_out * channels, unseen)?;
        let sum = Sum {
            x: on_x.part(),
            walk,
            branch: on_branch.as_ref().map(|b| b.part()),
            bias: on_bias.as_ref().map(|b| b.part()),
        };
        let what = format!("{positions} x {channels}, {walk:?}, {}", T::NAME);
        launch(
            &lab.stream,
            &sum,
            channels,
            has_trunk.then(|| on_trunk.part_mut()),
            has_out.then(|| {
                let gain = on_gain.part();
                let scale = Scale { gain, silu, fenced };
                (scale, on_out.part_mut())
            }),
        )?;
        if has_trunk {
            near(&what, &lab.read(&on_trunk)?, &trunk, bound)?;
        }
        if has_out {
            near(&what, &lab.read(&on_out)?, &out, bound)?;
        }
    }
    Ok(())
}

/// The last level of Wan 2.1's decoder, four frames of 832 x 480: a branch joins, the sum
/// is normed; and what is only normed.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let (positions, channels) = lab.size((4 * 480 * 832, 96), (12, 96));
    let count = positions * channels;
    let x = lab.stream.room::<bf16>(count)?;
    let branch = lab.stream.room::<bf16>(count)?;
    let (gain, bias) = (
        lab.stream.room::<f32>(channels)?,
        lab.stream.room::<f32>(channels)?,
    );
    let mut trunk = lab.stream.room::<bf16>(count)?;
    let mut out = lab.stream.room::<bf16>(count)?;
    let mut rates = Vec::new();
    for joins in [true, false] {
        let seconds = lab.time(|lab| {
            let sum = Sum {
                x: x.part(),
                walk: Walk::Same,
                branch: joins.then(|| branch.part()),
                bias: Some(bias.part()),
            };
            let gain = gain.part();
            let scale = Scale {
                gain,
                silu: true,
                fenced: None,
            };
            launch(
                &lab.stream,
                &sum,
                channels,
                joins.then(|| trunk.part_mut()),
                Some((scale, out.part_mut())),
            )
        })?;
        let (what, bytes) = match joins {
            true => ("with a branch, bf16, 4 x 480 x 832 x 96", 8),
            false => ("bf16, 4 x 480 x 832 x 96", 4),
        };
        rates.push(Rate::memory(what, bytes * count, seconds));
    }
    Ok(rates)
}
