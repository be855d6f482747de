//! The inner loop of convolutions and linear layers: some outputs at some
//! positions, held in registers while one run of inputs is read.
//!
//! Each output is one chain of fused multiply-adds over its inputs in their
//! order, whatever the instruction set, the tile or the thread: all paths give
//! the same bits.

use crate::device::isa::Isa;

/// Positions a tile has.
pub(crate) const POSITIONS: usize = 8;
/// Outputs are counted in lanes of this many.
pub(crate) const LANES: usize = 16;
/// Lanes a panel of weights has at most.
pub(crate) const MAX_LANES: usize = 3;

/// Splits `outputs` into panels of one to three lanes, as evenly as can be: the
/// lanes of each.
pub(crate) fn panels(outputs: usize) -> Vec<usize> {
    let lanes = outputs.div_ceil(LANES);
    let count = lanes.div_ceil(MAX_LANES);
    (0..count)
        .map(|i| lanes * (i + 1) / count - lanes * i / count)
        .collect()
}

/// Adds to `sums` (`POSITIONS` rows of `lanes · LANES`), for each position `p`
/// and output `o`, `Σ inputs[p][i] · weights[i · lanes · LANES + o]` over the
/// `count` inputs.
///
/// # Safety
/// `inputs` point to `count` readable numbers each; `isa` is one that
/// [`Isa::available`] names.
///
/// # Panics
/// Where `weights` or `sums` are too short, or `lanes` is not 1 to 3.
pub(crate) unsafe fn accumulate(
    isa: Isa,
    lanes: usize,
    count: usize,
    weights: &[f32],
    inputs: &[*const f32; POSITIONS],
    sums: &mut [f32],
) {
    assert!((1..=MAX_LANES).contains(&lanes));
    assert!(weights.len() >= count * lanes * LANES);
    assert!(sums.len() >= POSITIONS * lanes * LANES);
    let (weights, sums) = (weights.as_ptr(), sums.as_mut_ptr());
    // SAFETY: the lengths were checked above, the rest is the caller's promise.
    unsafe {
        match (isa, lanes) {
            (Isa::Portable, _) => portable(lanes, count, weights, inputs, sums),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, _) => x86::avx2(lanes, count, weights, inputs, sums),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, 1) => x86::avx512::<1>(count, weights, inputs, sums),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, 2) => x86::avx512::<2>(count, weights, inputs, sums),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, _) => x86::avx512::<3>(count, weights, inputs, sums),
        }
    }
}

/// # Safety
/// As [`accumulate`], with lengths checked.
unsafe fn portable(
    lanes: usize,
    count: usize,
    weights: *const f32,
    inputs: &[*const f32; POSITIONS],
    sums: *mut f32,
) {
    let width = lanes * LANES;
    for (p, input) in inputs.iter().enumerate() {
        for lane in 0..lanes {
            // SAFETY: within `sums`, see above.
            let sums = unsafe { &mut *sums.add(p * width + lane * LANES).cast::<[f32; LANES]>() };
            for i in 0..count {
                // SAFETY: within `inputs` and `weights`, see above.
                let (x, w) = unsafe {
                    let w = weights.add(i * width + lane * LANES);
                    (*input.add(i), &*w.cast::<[f32; LANES]>())
                };
                for (sum, &w) in sums.iter_mut().zip(w) {
                    *sum = w.mul_add(x, *sum);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, POSITIONS};
    use std::arch::x86_64::*;

    /// # Safety
    /// As [`super::accumulate`] with `LANE` lanes; the machine has AVX-512 F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn avx512<const LANE: usize>(
        count: usize,
        weights: *const f32,
        inputs: &[*const f32; POSITIONS],
        sums: *mut f32,
    ) {
        // 24 sums, 3 weights and a broadcast input of 32 registers.
        let mut acc = [[_mm512_setzero_ps(); LANE]; POSITIONS];
        // SAFETY: all offsets lie within what the caller promised.
        unsafe {
            for (p, acc) in acc.iter_mut().enumerate() {
                for (l, acc) in acc.iter_mut().enumerate() {
                    *acc = _mm512_loadu_ps(sums.add((p * LANE + l) * LANES));
                }
            }
            for i in 0..count {
                let mut w = [_mm512_setzero_ps(); LANE];
                for (l, w) in w.iter_mut().enumerate() {
                    *w = _mm512_loadu_ps(weights.add((i * LANE + l) * LANES));
                }
                for (p, acc) in acc.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*inputs[p].add(i));
                    for (acc, w) in acc.iter_mut().zip(w) {
                        *acc = _mm512_fmadd_ps(w, x, *acc);
                    }
                }
            }
            for (p, acc) in acc.iter().enumerate() {
                for (l, acc) in acc.iter().enumerate() {
                    _mm512_storeu_ps(sums.add((p * LANE + l) * LANES), *acc);
                }
            }
        }
    }

    /// # Safety
    /// As [`super::accumulate`]; the machine has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(
        lanes: usize,
        count: usize,
        weights: *const f32,
        inputs: &[*const f32; POSITIONS],
        sums: *mut f32,
    ) {
        // 8 sums, 2 weights and broadcast inputs of 16 registers: with 12 sums and 3
        // weights the compiler kept one sum in memory, at half the speed.
        const HALF: usize = POSITIONS / 2;
        const VECTORS: usize = LANES / 8;
        let width = lanes * LANES;
        for part in 0..lanes {
            for half in 0..2 {
                let inputs = &inputs[half * HALF..(half + 1) * HALF];
                let mut acc = [[_mm256_setzero_ps(); VECTORS]; HALF];
                // SAFETY: all offsets lie within what the caller promised.
                unsafe {
                    let sums = sums.add(half * HALF * width + part * LANES);
                    let weights = weights.add(part * LANES);
                    for (p, acc) in acc.iter_mut().enumerate() {
                        for (v, acc) in acc.iter_mut().enumerate() {
                            *acc = _mm256_loadu_ps(sums.add(p * width + v * 8));
                        }
                    }
                    for i in 0..count {
                        let mut w = [_mm256_setzero_ps(); VECTORS];
                        for (v, w) in w.iter_mut().enumerate() {
                            *w = _mm256_loadu_ps(weights.add(i * width + v * 8));
                        }
                        for (p, acc) in acc.iter_mut().enumerate() {
                            let x = _mm256_set1_ps(*inputs[p].add(i));
                            for (acc, w) in acc.iter_mut().zip(w) {
                                *acc = _mm256_fmadd_ps(w, x, *acc);
                            }
                        }
                    }
                    for (p, acc) in acc.iter().enumerate() {
                        for (v, acc) in acc.iter().enumerate() {
                            _mm256_storeu_ps(sums.add(p * width + v * 8), *acc);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_cover_all_outputs_evenly() {
        assert_eq!(panels(3), [1]);
        assert_eq!(panels(96), [3, 3]);
        assert_eq!(panels(256).iter().sum::<usize>(), 16);
        assert!(panels(256).iter().all(|l| (2..=3).contains(l)));
    }

    #[test]
    fn every_path_gives_the_same_bits_and_keeps_within_its_buffers() {
        for (lanes, count) in [(1, 1), (1, 37), (2, 5), (2, 64), (3, 3), (3, 129)] {
            let width = lanes * LANES;
            let number = |i: usize| ((i * 7919 % 1013) as f32 - 500.) * 0.013;
            let weights: Vec<f32> = (0..count * width).map(number).collect();
            let data: Vec<f32> = (0..count * 11).map(|i| number(i + 31)).collect();
            let inputs = std::array::from_fn(|p| data[p * count + p % 3..].as_ptr());
            let start: Vec<f32> = (0..POSITIONS * width + 5).map(|i| number(i + 7)).collect();

            let mut expected = start.clone();
            for p in 0..POSITIONS {
                for o in 0..width {
                    for i in 0..count {
                        let x = data[p * count + p % 3 + i];
                        let sum = &mut expected[p * width + o];
                        *sum = weights[i * width + o].mul_add(x, *sum);
                    }
                }
            }
            for isa in Isa::available() {
                let mut sums = start.clone();
                // SAFETY: each input has `count` numbers.
                unsafe { accumulate(isa, lanes, count, &weights, &inputs, &mut sums) };
                assert_eq!(sums, expected, "{isa:?}, {lanes} lanes, {count} inputs");
            }
        }
    }
}
