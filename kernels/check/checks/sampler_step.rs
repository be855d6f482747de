//! `sampler_step`: bit for bit, in all three precisions of the velocity.

use half::{bf16, f16};
use libtest_mimic::Failed;
use longtake_kernels::Number;
use longtake_kernels::sampler_step::{
    Keep, Reads, Sum, Update, Weights, Writes, launch, sampler_step,
};

use super::Check;
use crate::lab::{Lab, UNSEEN, same};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "sampler_step",
    run,
    rate,
};

/// What of a step is asked for.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Channels, frames, rows, columns.
    shape: [usize; 4],
    guided: bool,
    /// Earlier clean samples of UniPC's predictor and corrector; none for Euler.
    order: Option<(usize, Option<usize>)>,
    matted: bool,
}

fn run(lab: &mut Lab) -> Result<(), Failed> {
    let shapes = [
        [1, 1, 1, 1],
        [1, 1, 1, 3],
        [4, 2, 3, 5],
        [16, 3, 7, 11],
        [3, 1, 17, 19],
    ];
    let orders = [
        None,
        Some((0, None)),
        Some((1, Some(0))),
        Some((2, Some(2))),
        Some((2, Some(3))),
    ];
    for (i, shape) in shapes.into_iter().enumerate() {
        for (j, order) in orders.into_iter().enumerate() {
            let case = Case {
                shape,
                guided: (i + j) % 2 == 0,
                order,
                matted: (i + j) % 3 == 0,
            };
            check::<f32>(lab, case)?;
            check::<f16>(lab, case)?;
            check::<bf16>(lab, case)?;
        }
    }
    Ok(())
}

fn weights(lab: &mut Lab, case: Case) -> Weights {
    let mut sum = |count| {
        let n = lab.numbers(5);
        Sum {
            sample: n[0],
            earlier: [n[1], n[2], n[3]],
            count,
            new: n[4],
        }
    };
    let update = match case.order {
        None => Update::Euler { by: sum(0).new },
        Some((predict, correct)) => Update::UniPc {
            correct: correct.map(&mut sum),
            predict: sum(predict),
        },
    };
    Weights {
        scale: 5.0,
        sigma: 0.7,
        update,
    }
}

fn check<T: Number + PartialEq>(lab: &mut Lab, case: Case) -> Result<(), Failed> {
    let [_, frames, rows, columns] = case.shape;
    let count: usize = case.shape.iter().product();
    let plane = frames * rows * columns;
    let weights = weights(lab, case);
    let (prompt, negative) = (lab.tensor::<T>(count), lab.tensor::<T>(count));
    let [sample, from, known] = [(); 3].map(|()| lab.numbers(count));
    let earlier = [(); 3].map(|()| lab.numbers(count));
    let matte: Vec<f32> = (0..plane)
        .map(|_| [0.0, 1.0, 0.3, -1.0, 2.0, f32::NAN][lab.below(6)])
        .collect();
    let mut twin = [(); 3].map(|()| vec![0.0; count]);
    let [next, clean, corrected] = &mut twin;
    let reads = Reads {
        prompt: &prompt[..],
        negative: case.guided.then_some(&negative[..]),
        sample: &sample[..],
        from: Some(&from[..]),
        earlier: [&earlier[0], &earlier[1], &earlier[2]].map(|e| Some(&e[..])),
        keep: keep(case, &matte[..], &known[..]),
    };
    let mut writes = Writes {
        next: &mut next[..],
        clean: Some(&mut clean[..]),
        corrected: Some(&mut corrected[..]),
    };
    sampler_step(&weights, &reads, &mut writes);

    let nan = T::narrow(f32::NAN);
    let (prompt, negative) = (lab.guarded(&prompt, nan)?, lab.guarded(&negative, nan)?);
    let put = |lab: &Lab, v: &[f32]| lab.guarded(v, f32::NAN);
    let (sample, from, known) = (put(lab, &sample)?, put(lab, &from)?, put(lab, &known)?);
    let matte = put(lab, &matte)?;
    let earlier = [
        put(lab, &earlier[0])?,
        put(lab, &earlier[1])?,
        put(lab, &earlier[2])?,
    ];
    let mut found = [
        lab.room(count, UNSEEN)?,
        lab.room(count, UNSEEN)?,
        lab.room(count, UNSEEN)?,
    ];
    let corrects = matches!(case.order, Some((_, Some(_))));
    {
        let [next, clean, corrected] = &mut found;
        let reads = Reads {
            prompt: prompt.part(),
            negative: case.guided.then(|| negative.part()),
            sample: sample.part(),
            from: Some(from.part()),
            earlier: earlier.each_ref().map(|e| Some(e.part())),
            keep: keep(case, matte.part(), known.part()),
        };
        let writes = Writes {
            next: next.part_mut(),
            clean: Some(clean.part_mut()),
            corrected: corrects.then(|| corrected.part_mut()),
        };
        launch(&lab.stream, &weights, &reads, writes)?;
    }
    let what = |name: &str| format!("{name} of {case:?} in {}", T::NAME);
    same(&what("next"), &lab.read(&found[0])?, &twin[0])?;
    same(&what("clean"), &lab.read(&found[1])?, &twin[1])?;
    let corrected = lab.read(&found[2])?;
    if corrects {
        same(&what("corrected"), &corrected, &twin[2])?;
    }
    Ok(())
}

fn keep<A>(case: Case, matte: A, known: A) -> Option<Keep<A>> {
    case.matted.then_some(Keep {
        matte,
        known,
        level: 0.4,
        seed: 11 << 33,
        place: [5, -2, 70],
        rows: case.shape[2],
        columns: case.shape[3],
    })
}

fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    Ok(vec![
        rate_of::<f32>(lab, None)?,
        rate_of::<f16>(lab, None)?,
        rate_of::<bf16>(lab, None)?,
        rate_of::<bf16>(lab, Some((1, Some(1))))?,
    ])
}

/// Guided steps over as many numbers as a large latent has, many at once, so that
/// they do not fit the cache.
fn rate_of<T: Number>(
    lab: &mut Lab,
    order: Option<(usize, Option<usize>)>,
) -> Result<Rate, Failed> {
    let count = lab.size(1 << 26, 1 << 9);
    let case = Case {
        shape: [1, 1, 1, count],
        guided: true,
        order,
        matted: false,
    };
    let weights = weights(lab, case);
    let velocity = [lab.stream.room::<T>(count)?, lab.stream.room::<T>(count)?];
    let [sample, from, earlier] = [
        lab.stream.room::<f32>(count)?,
        lab.stream.room::<f32>(count)?,
        lab.stream.room::<f32>(count)?,
    ];
    let [mut next, mut clean, mut corrected] = [
        lab.stream.room::<f32>(count)?,
        lab.stream.room::<f32>(count)?,
        lab.stream.room::<f32>(count)?,
    ];
    let unipc = order.is_some();
    let seconds = lab.time(|lab| {
        let reads = Reads {
            prompt: velocity[0].part(),
            negative: Some(velocity[1].part()),
            sample: sample.part(),
            from: unipc.then(|| from.part()),
            earlier: [unipc.then(|| earlier.part()), None, None],
            keep: None,
        };
        let writes = Writes {
            next: next.part_mut(),
            clean: unipc.then(|| clean.part_mut()),
            corrected: unipc.then(|| corrected.part_mut()),
        };
        launch(&lab.stream, &weights, &reads, writes)
    })?;
    let (arrays, name) = if unipc { (6, "UniPC 2") } else { (2, "Euler") };
    let bytes = count * (2 * size_of::<T>() + 4 * arrays);
    let what = format!("guided {name}, {}, {count} numbers", T::NAME);
    Ok(Rate::memory(&what, bytes, seconds))
}
