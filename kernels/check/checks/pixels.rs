//! `pixels`: bit for bit.

use half::{bf16, f16};
use libtest_mimic::Failed;
use longtake_kernels::Number;
use longtake_kernels::pixels::{Patches, channels, launch, launch_channels, pixels};

use super::Check;
use crate::lab::{Lab, UNSEEN, equal, same};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "pixels",
    run,
    rate,
};

fn run(lab: &mut Lab) -> Result<(), Failed> {
    for (frames, height, width, patch, channels) in [
        (1, 1, 1, 1, 3),
        (4, 9, 31, 1, 8),
        (2, 6, 70, 2, 12),
        (1, 4, 4, 2, 16),
    ] {
        let of = Patches {
            height,
            width,
            patch,
            channels,
        };
        check::<f32>(lab, frames, &of)?;
        check::<f16>(lab, frames, &of)?;
        check::<bf16>(lab, frames, &of)?;
    }
    Ok(())
}

fn check<T: Number + PartialEq + std::fmt::Debug>(
    lab: &mut Lab,
    frames: usize,
    of: &Patches,
) -> Result<(), Failed> {
    let pixels_of = frames * of.height * of.width;
    let x = lab.tensor::<T>(pixels_of / (of.patch * of.patch) * of.channels);
    let bias = lab.numbers(3 * of.patch * of.patch);
    let mut twin = vec![0.0; 3 * pixels_of];
    pixels(&x, of, &bias, &mut twin);
    let x = lab.guarded(&x, T::narrow(f32::NAN))?;
    let bias = lab.guarded(&bias, f32::NAN)?;
    let mut out = lab.room(twin.len(), UNSEEN)?;
    launch(&lab.stream, x.part(), of, bias.part(), out.part_mut())?;
    same(
        &format!("{frames} of {of:?}, {}", T::NAME),
        &lab.read(&out)?,
        &twin,
    )?;
    let pictures = lab.numbers(3 * pixels_of);
    let mut twin = vec![T::default(); pixels_of / (of.patch * of.patch) * of.channels];
    channels(&pictures, of, &mut twin);
    let pictures = lab.guarded(&pictures, f32::NAN)?;
    let mut out = lab.room(twin.len(), T::narrow(UNSEEN))?;
    launch_channels(&lab.stream, pictures.part(), of, out.part_mut())?;
    equal(
        &format!("back, {of:?}, {}", T::NAME),
        &lab.read(&out)?,
        &twin,
    )
}

/// Four frames of 832 x 480 of Wan 2.1's decoder.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let (frames, height, width) = lab.size((4, 480, 832), (1, 3, 5));
    let of = Patches {
        height,
        width,
        patch: 1,
        channels: 8,
    };
    let count = frames * height * width;
    let x = lab.stream.room::<bf16>(8 * count)?;
    let bias = lab.stream.room::<f32>(3)?;
    let mut out = lab.stream.room::<f32>(3 * count)?;
    let seconds =
        lab.time(|lab| launch(&lab.stream, x.part(), &of, bias.part(), out.part_mut()))?;
    Ok(vec![Rate::memory(
        "bf16, 4 x 480 x 832",
        28 * count,
        seconds,
    )])
}
