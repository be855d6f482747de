//! `frame_distance`: whole numbers, exactly.

use libtest_mimic::Failed;
use longtake_kernels::frame_distance::{frame_distance, launch};

use super::Check;
use crate::lab::{Lab, equal};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "frame_distance",
    run,
    rate,
};

/// As the engine has it: 40 natural steps, squared.
const CAP: i32 = 40 * 1024;

fn along(lab: &mut Lab, count: usize) -> Vec<i16> {
    (0..count)
        .map(|_| (lab.word() >> 24) as i16 - 128)
        .collect()
}

fn run(lab: &mut Lab) -> Result<(), Failed> {
    let sizes = [
        (2, 1, 0),
        (3, 9, 1),
        (40, 17, 6),
        (300, 3, 22),
        (257, 8, 1),
        (90, 1, 88),
    ];
    for (n, cells, window) in sizes {
        let values = along(lab, cells * 6 * n);
        let input = lab.guarded(&values, i16::MIN)?;
        let mut out = lab.room((n - 1) * n, u32::MAX)?;
        launch(&lab.stream, input.part(), n, window, CAP, out.part_mut())?;
        let mut twin = vec![u32::MAX; (n - 1) * n];
        for d in 1..n {
            let row = frame_distance(&values, n, d, window, CAP);
            twin[(d - 1) * n..][..row.len()].copy_from_slice(&row);
        }
        // Pairs without a window are not written; of one pair alone none are.
        equal(
            &format!("{n} frames, {cells} cells, {window}"),
            &lab.read(&out)?,
            &twin,
        )?;
    }
    Ok(())
}

/// Half a minute of plate on a whole grid.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let (n, cells, window) = lab.size((720, 107 * 60, 21), (40, 30, 5));
    let input = lab.stream.room::<i16>(cells * 6 * n)?;
    let mut out = lab.stream.room::<u32>((n - 1) * n)?;
    let seconds =
        lab.time(|lab| launch(&lab.stream, input.part(), n, window, CAP, out.part_mut()))?;
    let what = format!("{n} frames, {cells} cells, windows of {window}");
    // It is bound by arithmetic: the bytes are those that it must read at least.
    Ok(vec![Rate::memory(&what, 12 * cells * n, seconds)])
}
