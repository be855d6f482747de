//! RMS norm and rotary positions in one pass; the twin of `rms_norm.cu`.

use crate::driver::{DeviceError, Part, PartMut, Stream};
use crate::number::Number;
use crate::rows::{Names, are_even, parted};

const NAMES: Names = [
    ["rms_norm_f32", "rms_norm_f16", "rms_norm_bf16"],
    [
        "rms_norm_wide_f32",
        "rms_norm_wide_f16",
        "rms_norm_wide_bf16",
    ],
    ["rms_norm_any_f32", "rms_norm_any_f16", "rms_norm_any_bf16"],
];

/// Angles that pairs of channels are turned by, [tokens, half]: as many tokens as
/// there are in a batch, half the channels of a head.
#[derive(Clone, Copy, Debug)]
pub struct Angles<A> {
    /// Cosines.
    pub cos: A,
    /// Sines.
    pub sin: A,
    /// Half the channels of a head.
    pub half: usize,
}

/// `x / √(mean(x²) + eps) · weight` over each row of `weight.len()` channels; then
/// pairs of channels turned by the angles of their token, where there are any.
///
/// # Panics
/// Where the lengths do not go together.
pub fn rms_norm<T: Number>(
    x: &[T],
    weight: &[f32],
    eps: f32,
    angles: Option<Angles<&[f32]>>,
    out: &mut [T],
) {
    let channels = weight.len();
    assert_eq!(x.len(), out.len(), "as many numbers in as out");
    let rows = x.chunks_exact(channels).zip(out.chunks_exact_mut(channels));
    for (row, (x, out)) in rows.enumerate() {
        let sum: f32 = x.iter().map(|v| v.widen() * v.widen()).sum();
        let by = 1.0 / (sum / channels as f32 + eps).sqrt();
        let normed = |c: usize| x[c].widen() * by * weight[c];
        let Some(a) = &angles else {
            for (c, out) in out.iter_mut().enumerate() {
                *out = T::narrow(normed(c));
            }
            continue;
        };
        let token = row % (a.cos.len() / a.half);
        for (p, out) in out.chunks_exact_mut(2).enumerate() {
            let at = token * a.half + p % a.half;
            let (v, w) = (normed(2 * p), normed(2 * p + 1));
            out[0] = T::narrow(v * a.cos[at] - w * a.sin[at]);
            out[1] = T::narrow(v * a.sin[at] + w * a.cos[at]);
        }
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    x: u64,
    out: u64,
    weight: u64,
    cos: u64,
    sin: u64,
    channels: u32,
    half: u32,
    tokens: u32,
    eps: f32,
}

/// Queues [`rms_norm`] on a device.
pub fn launch<T: Number>(
    stream: &Stream,
    x: Part<'_, T>,
    weight: Part<'_, f32>,
    eps: f32,
    angles: Option<Angles<Part<'_, f32>>>,
    out: PartMut<'_, T>,
) -> Result<(), DeviceError> {
    const CALL: &str = "rms_norm";
    let channels = weight.len();
    if x.is_empty() {
        return Ok(());
    }
    if channels == 0 || !x.len().is_multiple_of(channels) {
        return Err(DeviceError::missing(CALL));
    }
    out.check(CALL, x.len())?;
    let mut argument = Arguments {
        x: x.address(),
        out: out.address(),
        weight: weight.address(),
        cos: 0,
        sin: 0,
        channels: channels as u32,
        half: 1,
        tokens: 1,
        eps,
    };
    if let Some(a) = &angles {
        if a.half == 0 || !channels.is_multiple_of(2 * a.half) || a.cos.is_empty() {
            return Err(DeviceError::missing(CALL));
        }
        let tokens = a.cos.len() / a.half;
        a.cos.check(CALL, tokens * a.half)?;
        a.sin.check(CALL, tokens * a.half)?;
        (argument.cos, argument.sin) = (a.cos.address(), a.sin.address());
        (argument.half, argument.tokens) = (a.half as u32, tokens as u32);
    }
    let at = [
        argument.x,
        argument.out,
        argument.weight,
        argument.cos,
        argument.sin,
    ];
    // Four angles are read at once.
    let even = are_even(&at) && (angles.is_none() || argument.half.is_multiple_of(4));
    let (name, grid) = parted::<T>(NAMES, x.len() / channels, channels, even);
    // SAFETY: a block for each row; lengths were checked.
    unsafe { stream.launch(CALL, name, grid, &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_scaled_and_its_pairs_turned() {
        let (x, weight) = ([3.0f32, 4.0, 0.0, 0.0], [1.0, 2.0, 1.0, 1.0]);
        let mut out = [0.0; 4];
        rms_norm(&x, &weight, 0.0, None, &mut out);
        // The root of the mean of 9, 16, 0, 0 is 2.5.
        assert_eq!(out, [1.2, 3.2, 0.0, 0.0]);
        let angles = Angles {
            cos: &[0.0][..],
            sin: &[1.0][..],
            half: 1,
        };
        rms_norm(&x, &weight, 0.0, Some(angles), &mut out);
        assert_eq!(out, [-3.2, 1.2, 0.0, 0.0]);
    }
}
