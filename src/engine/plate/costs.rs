//! The costs that decisions are made by: how well plate frames follow one another, and
//! how well a clip agrees with what plays. Counted on a GPU where one may be used, else
//! on the CPU, in whole numbers, the same on either.

use longtake_kernels::agreement::{self, agreement as agreement_on_cpu};
use longtake_kernels::driver::DeviceError;
use longtake_kernels::frame_distance::{self, frame_distance};
use rayon::prelude::*;

use crate::device::gpu::{self, Choice, Gpu};
use crate::device::isa::vectorised;
use crate::device::{self, Cancelled, Task};

/// Squared jumps of cells below which a GPU is not worth the copies.
const FEW: usize = 1 << 22;
/// Pairs of frames above which their costs are not held on a GPU.
const MANY: usize = 1 << 26;

/// What a GPU makes of `count` squared jumps, where one is chosen and worth it. That a
/// GPU which the artist wants cannot be had the frames will tell: what is decided is the
/// same.
fn on_gpu<R>(
    choice: Choice,
    count: usize,
    work: impl FnOnce(&mut Gpu) -> Result<R, DeviceError>,
) -> Option<R> {
    let few = choice == Choice::Auto && count < FEW;
    gpu::with(if few { Choice::Cpu } else { choice }, work)
        .ok()
        .flatten()
}

/// The costs of all jumps over `1..last` frames of `n`, by distance less one and first
/// frame. `along` is [cells, 6, `n`]; see [`frame_distance()`].
pub(super) fn distances(
    choice: Choice,
    along: &[i16],
    n: usize,
    (window, last): (usize, usize),
    cap: i32,
    task: Task<'_>,
) -> Result<Vec<Vec<u32>>, Cancelled> {
    let cells = along.len() / (6 * n.max(1));
    let fits = frame_distance::fits(n, window) && n * n <= MANY;
    if fits {
        let work = |gpu: &mut Gpu| distances_on_gpu(gpu, along, n, (window, last), cap);
        if let Some(rows) = on_gpu(choice, n * n / 2 * cells, work) {
            return Ok(rows);
        }
    }
    let distances: Vec<usize> = (1..last.max(1)).collect();
    device::install(|| {
        distances
            .par_iter()
            .map(|&d| {
                task.check()?;
                Ok(distance(along, n, d, window, cap))
            })
            .collect()
    })
}

vectorised! {
    /// [`frame_distance()`] by the best instructions.
    fn distance(along: &[i16], n: usize, d: usize, window: usize, cap: i32) -> Vec<u32> {
        Portable: frame_distance(along, n, d, window, cap),
        Avx2 distance_avx2: frame_distance(along, n, d, window, cap),
    }
}

fn distances_on_gpu(
    gpu: &mut Gpu,
    along: &[i16],
    n: usize,
    (window, last): (usize, usize),
    cap: i32,
) -> Result<Vec<Vec<u32>>, DeviceError> {
    let stream = gpu.stream().clone();
    let along = stream.upload(along)?;
    let mut out = stream.room((n - 1) * n)?;
    frame_distance::launch(&stream, along.part(), n, window, cap, out.part_mut())?;
    let found = stream.download(&out)?;
    let row = |d: usize| found[(d - 1) * n..][..(n - d).saturating_sub(window)].to_vec();
    Ok((1..last.max(1)).map(row).collect())
}

/// For each of `landings` frames how badly it agrees with what plays; see
/// [`agreement()`](agreement_on_cpu).
pub(super) fn agreement(
    choice: Choice,
    motion: &[[i16; 8]],
    sources: &[u32],
    weight: &[u32],
    landings: usize,
    cap: i32,
) -> Vec<i64> {
    if !weight.is_empty() && !motion.is_empty() && landings > 0 {
        let work = |gpu: &mut Gpu| {
            let stream = gpu.stream().clone();
            let motion = stream.upload(motion.as_flattened())?;
            let (sources, cells) = (stream.upload(sources)?, stream.upload(weight)?);
            let total = weight.iter().map(|w| i64::from(*w)).sum();
            let mut out = stream.room(landings)?;
            let (motion, sources) = (motion.part(), sources.part());
            let (cells, room) = (cells.part(), out.part_mut());
            agreement::launch(&stream, motion, sources, cells, total, cap, room)?;
            stream.download(&out)
        };
        if let Some(costs) = on_gpu(choice, landings * sources.len(), work) {
            return costs;
        }
    }
    agreement_on_cpu(motion, sources, weight, landings, cap)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn distances_are_the_same_by_other_instructions() {
        use super::{distance, distance_avx2, frame_distance};
        use crate::device::isa::Isa;

        let along: Vec<i16> = (0..70 * 6 * 40)
            .map(|i| ((i * 7919) % 409) as i16 - 200)
            .collect();
        for d in 1..40 {
            let plain = frame_distance(&along, 40, d, 6, 30_000);
            assert_eq!(distance(&along, 40, d, 6, 30_000), plain);
            if Isa::available().contains(&Isa::Avx2) {
                // SAFETY: the machine was found to have AVX2.
                let found = unsafe { distance_avx2(&along, 40, d, 6, 30_000) };
                assert_eq!(found, plain, "{d}");
            }
        }
    }
}
