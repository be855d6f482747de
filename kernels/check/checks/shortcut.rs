//! `shortcut`: bit for bit.

use half::{bf16, f16};
use libtest_mimic::Failed;
use longtake_kernels::Number;
use longtake_kernels::shortcut::{Direction, Shortcut, launch, shortcut};

use super::Check;
use crate::lab::{Lab, UNSEEN, equal};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "shortcut",
    run,
    rate,
};

fn run(lab: &mut Lab) -> Result<(), Failed> {
    let up = Shortcut {
        direction: Direction::Up,
        size: [2, 3, 5],
        from: 8,
        to: 4,
        side: 2,
        pair: 1,
        missing: 0,
    };
    let down = Shortcut {
        direction: Direction::Down,
        size: [3, 6, 10],
        from: 6,
        to: 8,
        side: 2,
        pair: 2,
        missing: 1,
    };
    for of in [
        up,
        Shortcut {
            to: 8,
            pair: 2,
            ..up
        },
        Shortcut {
            size: [1, 1, 7],
            pair: 2,
            missing: 1,
            ..up
        },
        down,
        Shortcut {
            size: [4, 6, 10],
            missing: 0,
            ..down
        },
        Shortcut {
            side: 1,
            pair: 1,
            missing: 0,
            to: 3,
            ..down
        },
    ] {
        check::<f32>(lab, &of)?;
        check::<f16>(lab, &of)?;
        check::<bf16>(lab, &of)?;
    }
    Ok(())
}

fn check<T: Number + PartialEq + std::fmt::Debug>(
    lab: &mut Lab,
    of: &Shortcut,
) -> Result<(), Failed> {
    let [read, made] = of.lengths().ok_or("channels are no whole groups")?;
    let x = lab.tensor::<T>(read);
    let mut twin = vec![T::default(); made];
    shortcut(of, &x, &mut twin);
    let x = lab.guarded(&x, T::narrow(f32::NAN))?;
    let mut out = lab.room(made, T::narrow(UNSEEN))?;
    launch(&lab.stream, of, x.part(), out.part_mut())?;
    equal(&format!("{of:?}, {}", T::NAME), &lab.read(&out)?, &twin)
}

/// Around the level before the last of Wan 2.2's decoder, four frames of 1280 x 704.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let (size, from, to) = lab.size(([4, 176, 320], 1024, 512), ([1, 2, 3], 8, 4));
    let of = Shortcut {
        direction: Direction::Up,
        size,
        from,
        to,
        side: 2,
        pair: 1,
        missing: 0,
    };
    let [read, made] = of.lengths().ok_or("channels are no whole groups")?;
    let x = lab.stream.room::<bf16>(read)?;
    let mut out = lab.stream.room::<bf16>(made)?;
    let seconds = lab.time(|lab| launch(&lab.stream, &of, x.part(), out.part_mut()))?;
    let bytes = 2 * (read + made);
    Ok(vec![Rate::memory(
        "up, bf16, 4 x 176 x 320, 1024 to 512",
        bytes,
        seconds,
    )])
}
