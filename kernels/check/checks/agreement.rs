//! `agreement`: whole numbers, exactly.

use libtest_mimic::Failed;
use longtake_kernels::agreement::{agreement, launch};

use super::Check;
use crate::lab::{Lab, equal};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "agreement",
    run,
    rate,
};

const CAP: i32 = 40 * 1024;

fn run(lab: &mut Lab) -> Result<(), Failed> {
    let sizes = [
        (1, 1, 1, 1),
        (9, 5, 3, 4),
        (30, 129, 7, 25),
        (12, 400, 1, 11),
        (7, 33, 0, 3),
    ];
    for (frames, cells, moments, landings) in sizes {
        let motion: Vec<[i16; 8]> = (0..frames * cells)
            .map(|_| [0; 8].map(|_: i16| (lab.word() >> 22) as i16 - 512))
            .collect();
        let sources: Vec<u32> = (0..moments * cells)
            .map(|_| lab.below(frames) as u32)
            .collect();
        let weight: Vec<u32> = (0..cells).map(|_| lab.below(3) as u32).collect();
        let total = weight.iter().map(|w| i64::from(*w)).sum();
        let twin = agreement(&motion, &sources, &weight, landings, CAP);
        let flat: Vec<i16> = motion.iter().flatten().copied().collect();
        let flat = lab.guarded(&flat, i16::MIN)?;
        let sources = lab.guarded(&sources, u32::MAX)?;
        let weight = lab.guarded(&weight, u32::MAX)?;
        let mut out = lab.room(landings, i64::MIN)?;
        let (motion, sources) = (flat.part(), sources.part());
        launch(
            &lab.stream,
            motion,
            sources,
            weight.part(),
            total,
            CAP,
            out.part_mut(),
        )?;
        let what = format!("{frames} frames, {cells} cells, {moments} moments");
        equal(&what, &lab.read(&out)?, &twin)?;
    }
    Ok(())
}

fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let (frames, cells, moments) = lab.size((720, 43 * 24, 7), (20, 30, 3));
    let motion = lab.stream.room::<i16>(frames * cells * 8)?;
    // Zeros are frames of the plate, anything might not be.
    let sources = lab.stream.upload(&vec![0u32; moments * cells])?;
    let weight = lab.stream.upload(&vec![1u32; cells])?;
    let mut out = lab.stream.room::<i64>(frames)?;
    let seconds = lab.time(|lab| {
        let (motion, sources) = (motion.part(), sources.part());
        let total = cells as i64;
        launch(
            &lab.stream,
            motion,
            sources,
            weight.part(),
            total,
            CAP,
            out.part_mut(),
        )
    })?;
    let what = format!("{frames} landings, {cells} cells, {moments} moments");
    Ok(vec![Rate::memory(
        &what,
        32 * frames * cells * moments,
        seconds,
    )])
}
