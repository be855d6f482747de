//! `attention`: within the rounding of weights to 16 bits.

use half::{bf16, f16};
use libtest_mimic::Failed;
use longtake_kernels::Number;
use longtake_kernels::attention::{Shape, attention, is_right, launch};

use super::Check;
use crate::lab::{Lab, UNSEEN, near};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "attention",
    run,
    rate,
};

fn run(lab: &mut Lab) -> Result<(), Failed> {
    if !is_right(&lab.stream)? {
        return Err("the trial before use finds it wrong".into());
    }
    // Batch, heads, width, queries, keys.
    for (batch, heads, width, queries, keys) in [
        (1, 1, 64, 1, 1),
        (1, 2, 64, 64, 64),
        (2, 1, 64, 130, 31),
        (1, 1, 128, 17, 129),
        (2, 2, 128, 70, 33),
    ] {
        let shape = Shape::whole(batch, heads, width, queries, keys);
        check::<f16>(lab, &shape, 2e-3)?;
        check::<bf16>(lab, &shape, 1.6e-2)?;
        // The same side by side in one tensor, as one product makes them.
        if queries == keys {
            let token = 3 * heads * width;
            let strides = [[keys * token, token]; 3];
            check::<bf16>(lab, &Shape { strides, ..shape }, 1.6e-2)?;
        }
    }
    Ok(())
}

fn check<T: Number + PartialEq>(lab: &mut Lab, shape: &Shape, bound: f32) -> Result<(), Failed> {
    let len = |[batch, token]: [usize; 2], tokens: usize| {
        (shape.batch - 1) * batch + (tokens - 1) * token + shape.heads * shape.width
    };
    let [q, k, v] = shape.strides;
    // Strong scores, so that the largest moves from keys to keys.
    let mut strong = |count: usize| -> Vec<T> {
        let numbers = lab.numbers(count).into_iter();
        numbers.map(|n| T::narrow(2.0 * n)).collect()
    };
    let (q, k) = (strong(len(q, shape.queries)), strong(len(k, shape.keys)));
    let v = lab.tensor::<T>(len(v, shape.keys));
    let count = shape.batch * shape.queries * shape.heads * shape.width;
    let mut twin = vec![T::default(); count];
    attention(shape, &q, &k, &v, &mut twin);
    let nan = T::narrow(f32::NAN);
    let (q, k, v) = (
        lab.guarded(&q, nan)?,
        lab.guarded(&k, nan)?,
        lab.guarded(&v, nan)?,
    );
    let mut out = lab.room(count, T::narrow(UNSEEN))?;
    launch(
        &lab.stream,
        shape,
        q.part(),
        k.part(),
        v.part(),
        out.part_mut(),
    )?;
    let what = format!("{shape:?}, {}", T::NAME);
    near(&what, &lab.read(&out)?, &twin, bound)
}

/// Of Wan 1.3B at 832 x 480 x 81, among tokens.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let (tokens, heads) = lab.size((32_760, 12), (70, 1));
    let shape = Shape::whole(1, heads, 128, tokens, tokens);
    let count = tokens * heads * 128;
    let (q, k, v) = (
        lab.stream.room::<bf16>(count)?,
        lab.stream.room::<bf16>(count)?,
        lab.stream.room::<bf16>(count)?,
    );
    let mut out = lab.stream.room::<bf16>(count)?;
    let seconds = lab.time(|lab| {
        launch(
            &lab.stream,
            &shape,
            q.part(),
            k.part(),
            v.part(),
            out.part_mut(),
        )
    })?;
    let operations = 4.0 * (heads * tokens * tokens * 128) as f64;
    let what = format!(
        "bf16, 12 heads of 128, 32760 x 32760: {:.0} TFLOP/s",
        operations / seconds / 1e12
    );
    Ok(vec![Rate::memory(&what, 8 * count, seconds)])
}
