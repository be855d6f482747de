//! `noise`: bit for bit.

use libtest_mimic::Failed;
use longtake_kernels::noise::{launch, noise};

use super::Check;
use crate::lab::{Lab, UNSEEN, same};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "noise",
    run,
    rate,
};

fn run(lab: &mut Lab) -> Result<(), Failed> {
    let mut shapes = vec![[1, 1, 1, 1], [16, 2, 9, 13], [3, 1, 1, 257], [2, 3, 43, 1]];
    for _ in 0..6 {
        shapes.push([0; 4].map(|_| 1 + lab.below(14)));
    }
    for shape in shapes {
        let seed = u64::from(lab.word()) << 32 | u64::from(lab.word());
        let place = [0; 3].map(|_| lab.word() as i32 >> 8);
        let count = shape.iter().product();
        let mut twin = vec![0.0; count];
        noise(&mut twin, seed, place, shape);
        let mut out = lab.room(count, UNSEEN)?;
        launch(&lab.stream, out.part_mut(), seed, place, shape)?;
        same(&format!("{shape:?}"), &lab.read(&out)?, &twin)?;
    }
    Ok(())
}

fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    // Latents of 81 frames at 1280 x 720.
    let shape = lab.size([16, 21, 90, 160], [3, 2, 5, 7]);
    let count: usize = shape.iter().product();
    let mut out = lab.stream.room::<f32>(count)?;
    let seconds = lab.time(|lab| launch(&lab.stream, out.part_mut(), 1, [0; 3], shape))?;
    Ok(vec![Rate::memory(
        "f32, 16 x 21 x 90 x 160",
        4 * count,
        seconds,
    )])
}
