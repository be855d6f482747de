//! Scores to weights; the twin of `softmax.cu`.

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};
use crate::number::{Number, pick};

/// `exp(x − max) / sum` over the first `valid` of each row of `width` scores; zeros
/// behind them.
///
/// # Panics
/// Where the lengths do not go together.
pub fn softmax<T: Number>(x: &[f32], (width, valid): (usize, usize), out: &mut [T]) {
    assert_eq!(x.len(), out.len(), "as many weights as scores");
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let most = x[..valid].iter().copied().fold(f32::MIN, f32::max);
        let power = |v: &f32| libm::expf(v - most);
        let by = 1.0 / x[..valid].iter().map(power).sum::<f32>();
        for (i, (x, out)) in x.iter().zip(out).enumerate() {
            *out = T::narrow(if i < valid { power(x) * by } else { 0.0 });
        }
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    x: u64,
    out: u64,
    width: u32,
    valid: u32,
}

/// Queues [`softmax`] on a device.
pub fn launch<T: Number>(
    stream: &Stream,
    x: Part<'_, f32>,
    (width, valid): (usize, usize),
    out: PartMut<'_, T>,
) -> Result<(), DeviceError> {
    const CALL: &str = "softmax";
    if x.is_empty() {
        return Ok(());
    }
    if width == 0 || valid == 0 || valid > width || !x.len().is_multiple_of(width) {
        return Err(DeviceError::missing(CALL));
    }
    out.check(CALL, x.len())?;
    let argument = Arguments {
        x: x.address(),
        out: out.address(),
        width: width as u32,
        valid: valid as u32,
    };
    let name = pick::<T>(["softmax_f32", "softmax_f16", "softmax_bf16"]);
    let grid = Grid {
        blocks: [(x.len() / width) as u32, 1, 1],
        threads: [256, 1, 1],
    };
    // SAFETY: a block for each row; lengths were checked.
    unsafe { stream.launch(CALL, name, grid, &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_sum_to_one_and_what_is_behind_them_is_zero() {
        let x = [1.0, 1.0, 900.0, 0.0, 1000.0, 7.0];
        let mut out = [5.0f32; 6];
        softmax(&x, (3, 2), &mut out);
        assert_eq!(out, [0.5, 0.5, 0.0, 0.0, 1.0, 0.0]);
    }
}
