//! The gated sum and the modulated layer norm of a transformer block in one pass; the
//! twin of `modulate.cu`.

use crate::driver::{DeviceError, Part, PartMut, Stream};
use crate::number::Number;
use crate::rows::{Names, are_even, parted};

const NAMES: Names = [
    ["modulate_f32", "modulate_f16", "modulate_bf16"],
    [
        "modulate_wide_f32",
        "modulate_wide_f16",
        "modulate_wide_bf16",
    ],
    ["modulate_any_f32", "modulate_any_f16", "modulate_any_bf16"],
];

/// A vector of channels for each row: the first of `values` for all, or one of several.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<A, I> {
    /// One behind the other; each begins with its channels.
    pub values: A,
    /// From the beginning of one to that of the next.
    pub pitch: usize,
    /// Which of them a row has, [rows]; a number beyond the last means the last.
    pub of: Option<I>,
}

/// A layer norm's scale and shift.
#[derive(Clone, Copy, Debug)]
pub struct Norm<A, I> {
    /// What the norm is multiplied by, less `plus`.
    pub scale: Vectors<A, I>,
    /// Added to every scale: modulations are told as what is more than 1.
    pub plus: f32,
    /// What is then added.
    pub shift: Vectors<A, I>,
    /// Added to the variance.
    pub eps: f32,
}

/// What is read: `X` f32, `B` numbers of the model's precision, both [rows, channels];
/// `A` f32, `I` u32.
#[derive(Clone, Copy, Debug)]
pub struct Reads<X, B, A, I> {
    /// The trunk.
    pub x: X,
    /// A branch and its gate (1 where there is none); none where there is none to be
    /// joined.
    pub branch: Option<(B, Option<Vectors<A, I>>)>,
    /// None where the trunk is not to be normed.
    pub norm: Option<Norm<A, I>>,
    /// Channels.
    pub channels: usize,
}

impl Vectors<&[f32], &[u32]> {
    fn of_row(&self, row: usize, channels: usize) -> &[f32] {
        let count = count(self.values.len(), self.pitch, channels);
        let which = self.of.map_or(0, |of| (of[row] as usize).min(count - 1));
        &self.values[which * self.pitch..][..channels]
    }
}

/// Vectors of `channels` in `len` values.
fn count(len: usize, pitch: usize, channels: usize) -> usize {
    match len.checked_sub(channels) {
        None => 0,
        Some(rest) => 1 + rest.checked_div(pitch).unwrap_or(0),
    }
}

/// Writes `x + branch · gate` to `trunk`, where there is a branch, and its layer norm,
/// `(trunk − mean) / √(variance + eps) · (scale + plus) + shift`, to `out`, where there
/// is a norm.
///
/// # Panics
/// Where the lengths do not go together.
pub fn modulate<T: Number>(
    reads: &Reads<&[f32], &[T], &[f32], &[u32]>,
    mut trunk: Option<&mut [f32]>,
    mut out: Option<&mut [T]>,
) {
    let n = reads.channels;
    let mut joined = vec![0.0f32; n];
    for (row, x) in reads.x.chunks_exact(n).enumerate() {
        let own = row * n..(row + 1) * n;
        joined.copy_from_slice(x);
        if let Some((branch, gate)) = &reads.branch {
            let gate = gate.as_ref().map(|gate| gate.of_row(row, n));
            for (c, (v, b)) in joined.iter_mut().zip(&branch[own.clone()]).enumerate() {
                *v += gate.map_or(b.widen(), |gate| b.widen() * gate[c]);
            }
            if let Some(trunk) = &mut trunk {
                trunk[own.clone()].copy_from_slice(&joined);
            }
        }
        let (Some(norm), Some(out)) = (&reads.norm, &mut out) else {
            continue;
        };
        let mean = joined.iter().sum::<f32>() / n as f32;
        let squares: f32 = joined.iter().map(|v| (v - mean) * (v - mean)).sum();
        let by = 1.0 / (squares / n as f32 + norm.eps).sqrt();
        let (scale, shift) = (norm.scale.of_row(row, n), norm.shift.of_row(row, n));
        for (c, out) in out[own].iter_mut().enumerate() {
            let v = (joined[c] - mean) * by;
            *out = T::narrow(v * (scale[c] + norm.plus) + shift[c]);
        }
    }
}

/// As the kernel has them.
#[repr(C)]
#[derive(Clone, Copy)]
struct VectorsThere {
    values: u64,
    of: u64,
    pitch: u64,
    count: u32,
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    x: u64,
    branch: u64,
    gate: VectorsThere,
    scale: VectorsThere,
    shift: VectorsThere,
    trunk: u64,
    out: u64,
    channels: u32,
    plus: f32,
    eps: f32,
}

const CALL: &str = "modulate";
const NOWHERE: VectorsThere = VectorsThere {
    values: 0,
    of: 0,
    pitch: 0,
    count: 0,
};

/// Vectors for `rows` rows of `channels`, as the kernel has them.
fn there(
    vectors: &Vectors<Part<'_, f32>, Part<'_, u32>>,
    rows: usize,
    channels: usize,
) -> Result<VectorsThere, DeviceError> {
    let count = count(vectors.values.len(), vectors.pitch, channels);
    if count == 0 {
        return Err(DeviceError::missing(CALL));
    }
    if let Some(of) = &vectors.of {
        of.check(CALL, rows)?;
    }
    Ok(VectorsThere {
        values: vectors.values.address(),
        of: vectors.of.as_ref().map_or(0, Part::address),
        pitch: vectors.pitch as u64,
        count: count as u32,
    })
}

/// Queues [`modulate`] on a device.
pub fn launch<T: Number>(
    stream: &Stream,
    reads: &Reads<Part<'_, f32>, Part<'_, T>, Part<'_, f32>, Part<'_, u32>>,
    trunk: Option<PartMut<'_, f32>>,
    out: Option<PartMut<'_, T>>,
) -> Result<(), DeviceError> {
    let (n, count) = (reads.channels, reads.x.len());
    if count == 0 {
        return Ok(());
    }
    if n == 0
        || !count.is_multiple_of(n)
        || reads.branch.is_some() != trunk.is_some()
        || reads.norm.is_some() != out.is_some()
    {
        return Err(DeviceError::missing(CALL));
    }
    let rows = count / n;
    let mut argument = Arguments {
        x: reads.x.address(),
        branch: 0,
        gate: NOWHERE,
        scale: NOWHERE,
        shift: NOWHERE,
        trunk: 0,
        out: 0,
        channels: n as u32,
        plus: 0.0,
        eps: 0.0,
    };
    if let (Some((branch, gate)), Some(trunk)) = (&reads.branch, &trunk) {
        branch.check(CALL, count)?;
        trunk.check(CALL, count)?;
        (argument.branch, argument.trunk) = (branch.address(), trunk.address());
        if let Some(gate) = gate {
            argument.gate = there(gate, rows, n)?;
        }
    }
    if let (Some(norm), Some(out)) = (&reads.norm, &out) {
        out.check(CALL, count)?;
        argument.out = out.address();
        argument.scale = there(&norm.scale, rows, n)?;
        argument.shift = there(&norm.shift, rows, n)?;
        (argument.plus, argument.eps) = (norm.plus, norm.eps);
    }
    let vectors = [argument.gate, argument.scale, argument.shift];
    let at = vectors.map(|v| v.values | (v.pitch * 4));
    let whole = [argument.x, argument.branch, argument.trunk, argument.out];
    let (name, grid) = parted::<T>(NAMES, rows, n, are_even(&at) && are_even(&whole));
    // SAFETY: a block for each row; lengths were checked.
    unsafe { stream.launch(CALL, name, grid, &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_joined_normed_and_modulated() {
        let one = |values| Vectors {
            values,
            pitch: 2,
            of: None,
        };
        let norm = Norm {
            scale: one(&[9.0f32, 99.0][..]),
            plus: 1.0,
            shift: one(&[0.5, 0.25][..]),
            eps: 0.0,
        };
        let mut reads = Reads {
            x: &[1.0f32, 3.0][..],
            branch: Some((&[1.0f32, -1.0][..], Some(one(&[2.0f32, -2.0][..])))),
            norm: Some(norm),
            channels: 2,
        };
        let (mut trunk, mut out) = ([0.0; 2], [0.0; 2]);
        modulate(&reads, Some(&mut trunk), Some(&mut out));
        // 1 + 2, 3 + 2: mean 4, deviation 1.
        assert_eq!(trunk, [3.0, 5.0]);
        assert_eq!(out, [-9.5, 100.25]);
        // Without a gate, and the second of two scales.
        reads.branch = Some((&[2.0, 2.0], None));
        reads.norm = Some(Norm {
            scale: Vectors {
                values: &[0.0, 0.0, 7.0, 0.5, 1.5],
                pitch: 3,
                of: Some(&[1]),
            },
            ..norm
        });
        modulate(&reads, Some(&mut trunk), Some(&mut out));
        assert_eq!(trunk, [3.0, 5.0]);
        assert_eq!(out, [-1.0, 2.75]);
    }
}
