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
    panels_up_to(MAX_LANES, outputs).collect()
}

/// As [`panels`] of one to `most` lanes.
pub(crate) fn panels_up_to(most: usize, outputs: usize) -> impl Iterator<Item = usize> {
    let lanes = outputs.div_ceil(LANES);
    let count = lanes.div_ceil(most);
    (0..count).map(move |i| lanes * (i + 1) / count - lanes * i / count)
}

/// The positions and, at most, lanes of a tile of a product: as many sums as the
/// registers of `isa` hold, since a sum that does not fit halves the speed.
pub(crate) fn shape(isa: Isa) -> (usize, usize) {
    match isa {
        // 12 sums, 2 weights and a broadcast input of 16 registers.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (6, 1),
        // 24 sums, 3 weights and a broadcast input of 32 registers.
        _ => (POSITIONS, MAX_LANES),
    }
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
    let sums = Sums {
        first: sums.as_mut_ptr(),
        pitch: lanes * LANES,
        fresh: false,
    };
    // SAFETY: the lengths were checked above, the rest is the caller's promise.
    unsafe { run(isa, lanes, count, weights.as_ptr(), inputs, sums) }
}

/// As [`accumulate`] for the positions of [`shape`], the rows of `sums` beginning `pitch`
/// numbers apart; where `fresh`, what they hold counts as 0.
///
/// # Safety
/// As of [`accumulate`], and `lanes` is no more than [`shape`] says.
///
/// # Panics
/// As of [`accumulate`].
pub(crate) unsafe fn multiply(
    isa: Isa,
    lanes: usize,
    weights: &[f32],
    inputs: &[*const f32],
    sums: &mut [f32],
    pitch: usize,
    fresh: bool,
) {
    let (width, positions) = (lanes * LANES, shape(isa).0);
    assert!((1..=shape(isa).1).contains(&lanes));
    assert!(inputs.len() >= positions);
    assert!(pitch >= width && sums.len() >= (positions - 1) * pitch + width);
    let first = sums.as_mut_ptr();
    let sums = Sums {
        first,
        pitch,
        fresh,
    };
    let (count, weights) = (weights.len() / width, weights.as_ptr());
    // SAFETY: the lengths were checked above, the rest is the caller's promise.
    unsafe { run(isa, lanes, count, weights, &inputs[..positions], sums) }
}

/// Where the sums of a tile lie.
#[derive(Clone, Copy)]
struct Sums {
    /// Of the first position.
    first: *mut f32,
    /// Numbers from a position to the next.
    pitch: usize,
    /// Whether all are 0, whatever lies there.
    fresh: bool,
}

/// # Safety
/// As [`accumulate`] with lengths checked, for as many positions as there are `inputs`: 8,
/// or with AVX2 and one lane 6.
unsafe fn run(
    isa: Isa,
    lanes: usize,
    count: usize,
    weights: *const f32,
    inputs: &[*const f32],
    sums: Sums,
) {
    // SAFETY: the caller's promise.
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
/// As [`run`].
unsafe fn portable(
    lanes: usize,
    count: usize,
    weights: *const f32,
    inputs: &[*const f32],
    all: Sums,
) {
    let width = lanes * LANES;
    for (p, input) in inputs.iter().enumerate() {
        for lane in 0..lanes {
            // SAFETY: within `sums`, see above.
            let sums = unsafe { &mut *all.first.add(p * all.pitch + lane * LANES).cast() };
            let sums: &mut [f32; LANES] = sums;
            if all.fresh {
                *sums = [0.; LANES];
            }
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
    use super::{LANES, POSITIONS, Sums};
    use std::arch::x86_64::*;

    /// # Safety
    /// As [`super::run`] with `LANE` lanes; the machine has AVX-512 F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn avx512<const LANE: usize>(
        count: usize,
        weights: *const f32,
        inputs: &[*const f32],
        sums: Sums,
    ) {
        // 24 sums, 3 weights and a broadcast input of 32 registers.
        let mut acc = [[_mm512_setzero_ps(); LANE]; POSITIONS];
        // SAFETY: all offsets lie within what the caller promised.
        unsafe {
            let inputs = &*inputs.as_ptr().cast::<[*const f32; POSITIONS]>();
            let at = |p: usize, l: usize| sums.first.add(p * sums.pitch + l * LANES);
            if !sums.fresh {
                for (p, acc) in acc.iter_mut().enumerate() {
                    for (l, acc) in acc.iter_mut().enumerate() {
                        *acc = _mm512_loadu_ps(at(p, l));
                    }
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
                    _mm512_storeu_ps(at(p, l), *acc);
                }
            }
        }
    }

    /// # Safety
    /// As [`super::run`]; the machine has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn avx2(
        lanes: usize,
        count: usize,
        weights: *const f32,
        inputs: &[*const f32],
        sums: Sums,
    ) {
        let width = lanes * LANES;
        for lane in 0..lanes {
            let mut from = 0;
            // SAFETY: within what the caller promised.
            unsafe {
                let weights = weights.add(lane * LANES);
                let mut part = |positions: usize| {
                    let inputs = inputs[from..from + positions].as_ptr();
                    let first = sums.first.add(from * sums.pitch + lane * LANES);
                    from += positions;
                    (inputs, Sums { first, ..sums })
                };
                if inputs.len() == 6 {
                    let (inputs, sums) = part(6);
                    avx2_lane::<6>(width, count, weights, &*inputs.cast(), sums);
                } else {
                    for _ in 0..inputs.len() / 4 {
                        let (inputs, sums) = part(4);
                        avx2_lane::<4>(width, count, weights, &*inputs.cast(), sums);
                    }
                }
            }
        }
    }

    /// One lane of `AT` positions, its weights `width` apart. Six positions keep the
    /// multipliers busy while a load is late, four just so. With 12 sums of four
    /// positions and 3 weights the compiler kept one sum in memory, at half the speed.
    ///
    /// # Safety
    /// As [`super::run`]; the machine has AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2_lane<const AT: usize>(
        width: usize,
        count: usize,
        weights: *const f32,
        inputs: &[*const f32; AT],
        sums: Sums,
    ) {
        const VECTORS: usize = LANES / 8;
        let mut acc = [[_mm256_setzero_ps(); VECTORS]; AT];
        // SAFETY: all offsets lie within what the caller promised.
        unsafe {
            let at = |p: usize, v: usize| sums.first.add(p * sums.pitch + v * 8);
            if !sums.fresh {
                for (p, acc) in acc.iter_mut().enumerate() {
                    for (v, acc) in acc.iter_mut().enumerate() {
                        *acc = _mm256_loadu_ps(at(p, v));
                    }
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
                    _mm256_storeu_ps(at(p, v), *acc);
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

    #[test]
    fn products_go_on_where_they_lie_or_begin_anew() {
        let number = |i: usize| ((i * 7919 % 1013) as f32 - 500.) * 0.013;
        for isa in Isa::available() {
            let (positions, most) = shape(isa);
            for (lanes, count, fresh) in [(1, 7, false), (most, 40, true), (1, 0, true)] {
                let (width, pitch) = (lanes * LANES, lanes * LANES + 3);
                let weights: Vec<f32> = (0..count * width).map(number).collect();
                let data: Vec<f32> = (0..positions * count).map(|i| number(i + 31)).collect();
                let inputs: Vec<_> = (0..positions).map(|p| data[p * count..].as_ptr()).collect();
                let mut sums: Vec<f32> = (0..positions * pitch).map(|i| number(i + 7)).collect();

                let mut expected = sums.clone();
                for p in 0..positions {
                    for o in 0..width {
                        let sum = &mut expected[p * pitch + o];
                        *sum = if fresh { 0. } else { *sum };
                        for i in 0..count {
                            *sum = weights[i * width + o].mul_add(data[p * count + i], *sum);
                        }
                    }
                }
                // SAFETY: each input has `count` numbers.
                unsafe { multiply(isa, lanes, &weights, &inputs, &mut sums, pitch, fresh) };
                assert_eq!(sums, expected, "{isa:?}, {lanes} lanes, {count} inputs");
            }
        }
    }
}
