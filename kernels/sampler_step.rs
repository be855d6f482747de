//! One step of a flow-matching sampler in one pass; the twin of `sampler_step.cu`.

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};
use crate::noise::{self, Place};
use crate::number::{Number, pick};

/// What a step does to each number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// The scale of guidance; counts where there is a velocity without the prompt.
    pub scale: f32,
    /// The noise level that the step begins at.
    pub sigma: f32,
    /// Which solver's update.
    pub update: Update,
}

/// A solver's update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// x + `by` · v.
    Euler {
        /// The level that the step ends at less the one that it begins at.
        by: f32,
    },
    /// UniPC on clean samples (Zhao et al. 2023): weighted sums.
    UniPc {
        /// The corrector's weights of where the last step began, of the earlier clean
        /// samples (the latest first; as many as count), and of the new one.
        correct: Option<Sum>,
        /// The predictor's weights of the (corrected) sample, of the earlier clean
        /// samples, and of the new one.
        predict: Sum,
    },
}

/// A weighted sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Of the sample.
    pub sample: f32,
    /// Of clean samples of earlier steps, the latest first.
    pub earlier: [f32; 3],
    /// How many of them count.
    pub count: usize,
    /// Of the clean sample of this step.
    pub new: f32,
}

/// What stands where the matte keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Keep<A> {
    /// A number a place, [frames, rows, columns]: 1 makes, 0 keeps.
    pub matte: A,
    /// What is kept, of the sample's shape.
    pub known: A,
    /// The level that the step ends at, to which what is kept is noised.
    pub level: f32,
    /// What the noise is drawn from.
    pub seed: u64,
    /// Where the sample lies in its sequence.
    pub place: Place,
    /// Rows of the sample.
    pub rows: usize,
    /// Columns of the sample.
    pub columns: usize,
}

/// What a step reads: `V` velocities, `A` arrays of f32, all of one length.
#[derive(Clone, Copy, Debug)]
pub struct Reads<V, A> {
    /// The model's velocity with the prompt.
    pub prompt: V,
    /// And without, where the step is guided.
    pub negative: Option<V>,
    /// The sample.
    pub sample: A,
    /// Where the last step began; for a corrector.
    pub from: Option<A>,
    /// Clean samples of earlier steps, the latest first.
    pub earlier: [Option<A>; 3],
    /// What the matte keeps.
    pub keep: Option<Keep<A>>,
}

/// What a step writes.
#[derive(Debug)]
pub struct Writes<A> {
    /// The next sample.
    pub next: A,
    /// The clean sample predicted in this step, where it is wanted.
    pub clean: Option<A>,
    /// The corrected sample; needed where there is a corrector.
    pub corrected: Option<A>,
}

/// Makes a step. Each product and sum is rounded to f32 by itself.
///
/// # Panics
/// Where arrays differ in length, or one is missing that the weights ask for.
pub fn sampler_step<T: Number>(
    weights: &Weights,
    reads: &Reads<&[T], &[f32]>,
    writes: &mut Writes<&mut [f32]>,
) {
    let count = writes.next.len();
    let earlier: [&[f32]; 3] = reads.earlier.map(|e| e.unwrap_or(&[]));
    assert!(
        reads.prompt.len() == count && reads.sample.len() == count,
        "a step of {count} numbers"
    );
    let corrector = match weights.update {
        Update::UniPc { correct, .. } => correct,
        Update::Euler { .. } => None,
    };
    let sum = |weights: &Sum, sample: f32, clean: f32, new_first: bool, i: usize| {
        let mut sum = sample * weights.sample;
        if new_first {
            sum += clean * weights.new;
        }
        let counted = weights.earlier.iter().take(weights.count);
        for (weight, clean) in counted.zip(earlier) {
            sum += clean[i] * weight;
        }
        if !new_first {
            sum += clean * weights.new;
        }
        sum
    };
    for i in 0..count {
        let mut velocity = reads.prompt[i].widen();
        if let Some(negative) = reads.negative {
            let without = negative[i].widen();
            velocity = without + (velocity - without) * weights.scale;
        }
        let sample = reads.sample[i];
        let clean = sample - velocity * weights.sigma;
        let mut corrected = sample;
        if let (Some(w), Some(from)) = (&corrector, reads.from) {
            corrected = sum(w, from[i], clean, false, i);
        }
        let mut next = match &weights.update {
            Update::Euler { by } => sample + velocity * by,
            Update::UniPc { predict, .. } => sum(predict, corrected, clean, true, i),
        };
        if let Some(keep) = &reads.keep {
            next = kept(keep, i, next);
        }
        writes.next[i] = next;
        if let Some(to) = &mut writes.clean {
            to[i] = clean;
        }
        if let Some(to) = &mut writes.corrected {
            to[i] = corrected;
        }
    }
}

/// Number `i`, made as `made`, where the matte may keep another.
fn kept(keep: &Keep<&[f32]>, i: usize, made: f32) -> f32 {
    let (channel, place) = (i / keep.matte.len(), i % keep.matte.len());
    let m = keep.matte[place];
    if m >= 1.0 {
        return made;
    }
    let (line, x) = (place / keep.columns, place % keep.columns);
    let along = |first: i32, i: usize| first.wrapping_add(i as i32) as u32;
    let at = [
        along(keep.place[0], line / keep.rows),
        along(keep.place[1], line % keep.rows),
        along(keep.place[2], x),
    ];
    let noise = noise::at(keep.seed, at, channel as u32);
    let kept = keep.known[i] * (1.0 - keep.level) + noise * keep.level;
    if m > 0.0 {
        made * m + kept * (1.0 - m)
    } else {
        kept
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    prompt: u64,
    negative: u64,
    sample: u64,
    next: u64,
    clean: u64,
    corrected: u64,
    from: u64,
    earlier: [u64; 3],
    matte: u64,
    known: u64,
    count: u64,
    plane: u64,
    seed: u64,
    scale: f32,
    sigma: f32,
    correct: [f32; 5],
    predict: [f32; 5],
    level: f32,
    corrects: i32,
    predicts: i32,
    place: Place,
    rows: u32,
    columns: u32,
}

/// Queues [`sampler_step`] on a device. All arrays begin at multiples of 16 bytes.
pub fn launch<T: Number>(
    stream: &Stream,
    weights: &Weights,
    reads: &Reads<Part<'_, T>, Part<'_, f32>>,
    writes: Writes<PartMut<'_, f32>>,
) -> Result<(), DeviceError> {
    const CALL: &str = "sampler_step";
    let count = writes.next.len();
    if count == 0 {
        return Ok(());
    }
    let read = |part: &Part<'_, f32>| part.check(CALL, count).map(|()| part.address());
    let velocity = |part: &Part<'_, T>| part.check(CALL, count).map(|()| part.address());
    let written = |part: &PartMut<'_, f32>| part.check(CALL, count).map(|()| part.address());
    let some = |address: Result<u64, DeviceError>| address.map(Some);
    let or_null = |a: Option<Result<u64, DeviceError>>| a.map_or(Ok(None), some);
    let (mut correct, mut predict) = ([0.0; 5], [0.0; 5]);
    let (mut corrects, mut predicts) = (0, -1);
    match weights.update {
        Update::Euler { by } => predict[0] = by,
        Update::UniPc {
            correct: corrector,
            predict: p,
        } => {
            predict = [p.sample, p.new, p.earlier[0], p.earlier[1], p.earlier[2]];
            predicts = p.count as i32;
            if let Some(c) = corrector {
                correct = [c.sample, c.earlier[0], c.earlier[1], c.earlier[2], c.new];
                corrects = c.count as i32;
            }
        }
    }
    let corrects_at_all = matches!(
        weights.update,
        Update::UniPc {
            correct: Some(_),
            ..
        }
    );
    let corrected = or_null(writes.corrected.as_ref().map(written))?;
    let from = or_null(reads.from.as_ref().map(read))?;
    let mut earlier = [0; 3];
    for (k, to) in earlier.iter_mut().enumerate() {
        let address = or_null(reads.earlier[k].as_ref().map(read))?;
        let needed = corrects.max(predicts) > k as i32;
        *to = address.filter(|_| needed).unwrap_or(0);
        if needed && address.is_none() {
            return Err(DeviceError::missing(CALL));
        }
    }
    if corrects_at_all && (corrected.is_none() || from.is_none()) {
        return Err(DeviceError::missing(CALL));
    }
    let mut argument = Arguments {
        prompt: velocity(&reads.prompt)?,
        negative: or_null(reads.negative.as_ref().map(velocity))?.unwrap_or(0),
        sample: read(&reads.sample)?,
        next: written(&writes.next)?,
        clean: or_null(writes.clean.as_ref().map(written))?.unwrap_or(0),
        corrected: corrected.filter(|_| corrects_at_all).unwrap_or(0),
        from: from.unwrap_or(0),
        earlier,
        matte: 0,
        known: 0,
        count: count as u64,
        plane: count as u64,
        seed: 0,
        scale: weights.scale,
        sigma: weights.sigma,
        correct,
        predict,
        level: 0.0,
        corrects,
        predicts,
        place: [0; 3],
        rows: 1,
        columns: 1,
    };
    if let Some(keep) = &reads.keep {
        let plane = keep.matte.len();
        if plane == 0 || !count.is_multiple_of(plane) || keep.rows * keep.columns == 0 {
            return Err(DeviceError::missing(CALL));
        }
        argument.matte = keep.matte.address();
        argument.known = read(&keep.known)?;
        argument.plane = plane as u64;
        argument.seed = keep.seed;
        argument.level = keep.level;
        argument.place = keep.place;
        argument.rows = keep.rows as u32;
        argument.columns = keep.columns as u32;
    }
    let name = pick::<T>(["sampler_step_f32", "sampler_step_f16", "sampler_step_bf16"]);
    let grid = Grid::over(count.div_ceil(4), 256);
    // SAFETY: all lengths were checked; what may be missing is null and not read.
    unsafe { stream.launch(CALL, name, grid, &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand, in f64: guided Euler, then a UniPC step with its corrector.
    #[test]
    fn a_step_is_what_the_papers_say() {
        let (prompt, negative, sample) = ([2.0f32, -1.0], [1.0f32, 0.5], [0.25f32, 4.0]);
        let reads = Reads {
            prompt: &prompt[..],
            negative: Some(&negative[..]),
            sample: &sample[..],
            from: Some(&[3.0, -2.0][..]),
            earlier: [Some(&[1.5, 0.5][..]), None, None],
            keep: None,
        };
        let step = |update: Update| {
            let (mut next, mut clean, mut corrected) = ([0.0; 2], [0.0; 2], [0.0; 2]);
            let weights = Weights {
                scale: 3.0,
                sigma: 0.5,
                update,
            };
            let mut writes = Writes {
                next: &mut next[..],
                clean: Some(&mut clean[..]),
                corrected: Some(&mut corrected[..]),
            };
            sampler_step(&weights, &reads, &mut writes);
            (next, clean, corrected)
        };
        // v = n + 3 (p - n) = [4, -4]; clean = x - v / 2 = [-1.75, 6].
        let (next, clean, corrected) = step(Update::Euler { by: -0.125 });
        assert_eq!(
            (next, clean, corrected),
            ([-0.25, 4.5], [-1.75, 6.0], sample)
        );
        let correct = Sum {
            sample: 0.5,
            earlier: [2.0, 0.0, 0.0],
            count: 1,
            new: -1.0,
        };
        let predict = Sum {
            sample: 0.25,
            earlier: [0.5, 0.0, 0.0],
            count: 1,
            new: 2.0,
        };
        let (next, _, corrected) = step(Update::UniPc {
            correct: Some(correct),
            predict,
        });
        // Corrected: 3/2 + 3 + 1.75, -1 + 1 - 6. Next: c/4 + 2 clean + e/2.
        assert_eq!(corrected, [6.25, -6.0]);
        assert_eq!(next, [6.25 / 4.0 - 3.5 + 0.75, -1.5 + 12.0 + 0.25]);
    }

    #[test]
    fn the_matte_keeps_what_is_known_noised_to_the_level() {
        let known = [10.0f32; 4];
        let matte = [1.0f32, 0.0, 0.5, f32::NAN];
        let zeros = [0.0f32; 4];
        let mut next = [0.0; 4];
        let reads = Reads {
            prompt: &zeros[..],
            negative: None,
            sample: &[2.0f32; 4][..],
            from: None,
            earlier: [None; 3],
            keep: Some(Keep {
                matte: &matte[..],
                known: &known[..],
                level: 0.25,
                seed: 5,
                place: [0, 7, -3],
                rows: 2,
                columns: 2,
            }),
        };
        let weights = Weights {
            scale: 1.0,
            sigma: 0.5,
            update: Update::Euler { by: -0.25 },
        };
        let mut writes = Writes {
            next: &mut next[..],
            clean: None,
            corrected: None,
        };
        sampler_step(&weights, &reads, &mut writes);
        let noised = |row: u32, column: i32| 7.5 + 0.25 * noise::at(5, [0, row, column as u32], 0);
        assert_eq!(next[0], 2.0);
        assert_eq!(next[1], noised(7, -2));
        assert_eq!(next[2], 1.0 + 0.5 * noised(8, -3));
        assert_eq!(next[3], noised(8, -2));
    }
}
