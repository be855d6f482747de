//! `modulate`: within rounding of sums in another order.

use half::{bf16, f16};
use libtest_mimic::Failed;
use longtake_kernels::Number;
use longtake_kernels::modulate::{Norm, Reads, Vectors, launch, modulate};

use super::Check;
use crate::lab::{Lab, UNSEEN, near};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "modulate",
    run,
    rate,
};

/// What is joined and normed.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    channels: usize,
    /// Vectors that rows choose from; 0 where all have the same.
    vectors: usize,
    joins: bool,
    gated: bool,
    norms: bool,
}

fn run(lab: &mut Lab) -> Result<(), Failed> {
    for (rows, channels, vectors, parts) in [
        (1, 2, 0, [true, true, true]),
        (4, 33, 0, [false, false, true]),
        (3, 256, 2, [true, true, true]),
        (5, 700, 0, [true, false, true]),
        (2, 1536, 3, [false, false, true]),
        (3, 1536, 0, [true, true, true]),
        (2, 5120, 2, [true, true, true]),
        (2, 3072, 0, [true, false, false]),
        (3, 35, 2, [true, true, false]),
    ] {
        let [joins, gated, norms] = parts;
        let shape = Shape {
            rows,
            channels,
            vectors,
            joins,
            gated,
            norms,
        };
        check::<f32>(lab, shape, 1e-5)?;
        // A last bit of the result.
        check::<f16>(lab, shape, 1e-3)?;
        check::<bf16>(lab, shape, 8e-3)?;
    }
    Ok(())
}

fn check<T: Number + PartialEq>(lab: &mut Lab, shape: Shape, bound: f32) -> Result<(), Failed> {
    let Shape { rows, channels, .. } = shape;
    let count = rows * channels;
    let (x, branch) = (lab.numbers(count), lab.tensor::<T>(count));
    // Vectors stand further apart than they are long.
    let pitch = channels + if channels.is_multiple_of(8) { 16 } else { 5 };
    let len = shape.vectors.max(1) * pitch - (pitch - channels);
    let [gate, scale, shift] = [(); 3].map(|()| lab.numbers(len));
    let of: Vec<u32> = (0..rows)
        .map(|_| lab.below(shape.vectors.max(1)) as u32)
        .collect();
    let (mut trunk, mut twin) = (vec![0f32; count], vec![T::default(); count]);
    let chosen = shape.vectors > 0;
    let those = |values| Vectors {
        values,
        pitch,
        of: chosen.then_some(&of[..]),
    };
    let reads = Reads {
        x: &x[..],
        branch: shape
            .joins
            .then_some((&branch[..], shape.gated.then_some(those(&gate[..])))),
        norm: shape.norms.then_some(Norm {
            scale: those(&scale[..]),
            plus: 1.0,
            shift: those(&shift[..]),
            eps: 1e-6,
        }),
        channels,
    };
    modulate(
        &reads,
        shape.joins.then_some(&mut trunk[..]),
        shape.norms.then_some(&mut twin[..]),
    );
    let put = |v: &[f32]| lab.guarded(v, f32::NAN);
    let (x, branch) = (put(&x)?, lab.guarded(&branch, T::narrow(f32::NAN))?);
    let (gate, scale, shift) = (put(&gate)?, put(&scale)?, put(&shift)?);
    let of = lab.guarded(&of, u32::MAX)?;
    let mut joined = lab.room(count, UNSEEN)?;
    let mut out = lab.room(count, T::narrow(UNSEEN))?;
    let those = |values| Vectors {
        values,
        pitch,
        of: chosen.then(|| of.part()),
    };
    let reads = Reads {
        x: x.part(),
        branch: shape
            .joins
            .then(|| (branch.part(), shape.gated.then(|| those(gate.part())))),
        norm: shape.norms.then(|| Norm {
            scale: those(scale.part()),
            plus: 1.0,
            shift: those(shift.part()),
            eps: 1e-6,
        }),
        channels,
    };
    let to = shape.joins.then(|| joined.part_mut());
    let normed = shape.norms.then(|| out.part_mut());
    launch(&lab.stream, &reads, to, normed)?;
    let what = format!("{shape:?}, {}", T::NAME);
    let (joined, out) = (lab.read(&joined)?, lab.read(&out)?);
    if shape.joins {
        near(&format!("trunk of {what}"), &joined, &trunk, 0.0)?;
    }
    match shape.norms {
        true => near(&what, &out, &twin, bound),
        false => Ok(()),
    }
}

/// Tokens of Wan 1.3B at 832 x 480 x 81.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let (tokens, channels) = lab.size((32_760, 1536), (3, 256));
    let count = tokens * channels;
    let (x, branch) = (
        lab.stream.room::<f32>(count)?,
        lab.stream.room::<bf16>(count)?,
    );
    let (mut trunk, mut out) = (
        lab.stream.room::<f32>(count)?,
        lab.stream.room::<bf16>(count)?,
    );
    let row = lab.stream.room::<f32>(channels)?;
    let seconds = lab.time(|lab| {
        let those = || Vectors {
            values: row.part(),
            pitch: channels,
            of: None,
        };
        let reads = Reads {
            x: x.part(),
            branch: Some((branch.part(), Some(those()))),
            norm: Some(Norm {
                scale: those(),
                plus: 1.0,
                shift: those(),
                eps: 1e-6,
            }),
            channels,
        };
        launch(
            &lab.stream,
            &reads,
            Some(trunk.part_mut()),
            Some(out.part_mut()),
        )
    })?;
    Ok(vec![Rate::memory(
        "with a gated branch, f32 and bf16, 32760 x 1536",
        12 * count,
        seconds,
    )])
}
