//! A step of a sampler in one pass over memory: on the CPU by the twin of the kernel
//! `sampler_step`, on a GPU by the kernel.

use candle_core::{CpuStorage, Device, Result, Storage, Tensor};
use longtake_kernels::sampler_step::{self as twin, Reads, Weights, Writes};

use super::accelerated::asked;

/// What a step makes, of the sample's shape.
pub struct Stepped {
    /// The next sample.
    pub next: Tensor,
    /// The clean sample that was predicted.
    pub clean: Tensor,
    /// The corrected sample: the sample itself where there is no corrector.
    pub corrected: Tensor,
}

/// Makes the step of `weights` from `reads`, f32 tensors of one shape on one device; none
/// where one of them is not such a piece of memory, or something is kept: then it is to be
/// made tensor by tensor, which gives the same.
///
/// # Errors
/// Where a GPU fails.
pub fn sampler_step(weights: &Weights, reads: &Reads<&Tensor, &Tensor>) -> Result<Option<Stepped>> {
    let sample = reads.sample;
    let more = [reads.negative, reads.from]
        .into_iter()
        .chain(reads.earlier);
    let all = [reads.prompt, sample].into_iter().chain(more.flatten());
    let all: Vec<&Tensor> = all.collect();
    if reads.keep.is_some() || all.iter().any(|t| t.dims() != sample.dims()) {
        return Ok(None);
    }
    if !sample.device().is_cpu() {
        return asked(|ways| ways.sampler_step(weights, reads));
    }
    let held: Vec<_> = all.iter().map(|t| t.storage_and_layout()).collect();
    let values: Option<Vec<&[f32]>> = held
        .iter()
        .map(|(storage, layout)| {
            let (start, end) = layout.contiguous_offsets()?;
            match &**storage {
                Storage::Cpu(CpuStorage::F32(v)) => v.get(start..end),
                _ => None,
            }
        })
        .collect();
    let Some(mut values) = values.map(Vec::into_iter) else {
        return Ok(None);
    };
    // In the order in which they were gathered.
    let (Some(prompt), Some(sample_values)) = (values.next(), values.next()) else {
        return Ok(None);
    };
    let mut next_of = |tensor: Option<&Tensor>| tensor.and_then(|_| values.next());
    let reads = Reads {
        prompt,
        sample: sample_values,
        negative: next_of(reads.negative),
        from: next_of(reads.from),
        earlier: reads.earlier.map(next_of),
        keep: None,
    };
    let [mut next, mut clean, mut corrected] = [(); 3].map(|()| vec![0f32; prompt.len()]);
    let mut writes = Writes {
        next: &mut next[..],
        clean: Some(&mut clean[..]),
        corrected: Some(&mut corrected[..]),
    };
    twin::sampler_step(weights, &reads, &mut writes);
    let tensor = |values: Vec<f32>| Tensor::from_vec(values, sample.dims(), &Device::Cpu);
    Ok(Some(Stepped {
        next: tensor(next)?,
        clean: tensor(clean)?,
        corrected: tensor(corrected)?,
    }))
}
