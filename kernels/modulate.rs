//! The gated sum and the modulated layer norm of a transformer block in one pass; the
//! twin of `modulate.cu`.

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};
use crate::number::{Number, pick};

/// What is read: `V` numbers of the model's precision, [rows, channels]; `A` f32.
#[derive(Clone, Copy, Debug)]
pub struct Reads<V, A> {
    /// The trunk.
    pub x: V,
    /// A branch and its gate, [channels]; none where there is none to be joined.
    pub branch: Option<(V, A)>,
    /// What the norm is multiplied by, [channels] or [rows, channels].
    pub scale: A,
    /// What is then added, of the same shape.
    pub shift: A,
    /// Channels.
    pub channels: usize,
}

/// Writes `x + branch · gate` to `trunk`, where there is a branch, and its layer norm,
/// `(trunk − mean) / √(variance + eps) · scale + shift`, to `out`.
///
/// # Panics
/// Where the lengths do not go together.
pub fn modulate<T: Number>(
    reads: &Reads<&[T], &[f32]>,
    eps: f32,
    mut trunk: Option<&mut [T]>,
    out: &mut [T],
) {
    let n = reads.channels;
    assert_eq!(reads.x.len(), out.len(), "as many numbers in as out");
    let mut joined = vec![0.0f32; n];
    for (row, out) in out.chunks_exact_mut(n).enumerate() {
        let first = row * n;
        for (c, v) in joined.iter_mut().enumerate() {
            *v = reads.x[first + c].widen();
            if let Some((branch, gate)) = &reads.branch {
                let stored = T::narrow(*v + branch[first + c].widen() * gate[c]);
                if let Some(trunk) = &mut trunk {
                    trunk[first + c] = stored;
                }
                *v = stored.widen();
            }
        }
        let mean = joined.iter().sum::<f32>() / n as f32;
        let squares: f32 = joined.iter().map(|v| (v - mean) * (v - mean)).sum();
        let by = 1.0 / (squares / n as f32 + eps).sqrt();
        let own = |a: &[f32], c: usize| if a.len() == n { a[c] } else { a[first + c] };
        for (c, out) in out.iter_mut().enumerate() {
            let v = (joined[c] - mean) * by;
            *out = T::narrow(v * own(reads.scale, c) + own(reads.shift, c));
        }
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    x: u64,
    branch: u64,
    gate: u64,
    scale: u64,
    shift: u64,
    trunk: u64,
    out: u64,
    channels: u32,
    by_row: u32,
    eps: f32,
}

/// Queues [`modulate`] on a device.
pub fn launch<T: Number>(
    stream: &Stream,
    reads: &Reads<Part<'_, T>, Part<'_, f32>>,
    eps: f32,
    trunk: Option<PartMut<'_, T>>,
    out: PartMut<'_, T>,
) -> Result<(), DeviceError> {
    const CALL: &str = "modulate";
    let (n, count) = (reads.channels, reads.x.len());
    if count == 0 {
        return Ok(());
    }
    if n == 0 || !count.is_multiple_of(n) || reads.branch.is_some() != trunk.is_some() {
        return Err(DeviceError::missing(CALL));
    }
    out.check(CALL, count)?;
    let by_row = reads.scale.len() != n;
    let wide = if by_row { count } else { n };
    reads.scale.check(CALL, wide)?;
    reads.shift.check(CALL, wide)?;
    let (mut branch, mut gate, mut joined) = (0, 0, 0);
    if let (Some((b, g)), Some(t)) = (&reads.branch, &trunk) {
        b.check(CALL, count)?;
        g.check(CALL, n)?;
        t.check(CALL, count)?;
        (branch, gate, joined) = (b.address(), g.address(), t.address());
    }
    let argument = Arguments {
        x: reads.x.address(),
        branch,
        gate,
        scale: reads.scale.address(),
        shift: reads.shift.address(),
        trunk: joined,
        out: out.address(),
        channels: n as u32,
        by_row: u32::from(by_row),
        eps,
    };
    let name = pick::<T>(["modulate_f32", "modulate_f16", "modulate_bf16"]);
    let grid = Grid {
        blocks: [(count / n) as u32, 1, 1],
        threads: [256, 1, 1],
    };
    // SAFETY: a block for each row; lengths were checked.
    unsafe { stream.launch(CALL, name, grid, &argument) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_joined_normed_and_modulated() {
        let reads = Reads {
            x: &[1.0f32, 3.0][..],
            branch: Some((&[1.0f32, -1.0][..], &[2.0f32, -2.0][..])),
            scale: &[10.0, 100.0][..],
            shift: &[0.5, 0.25][..],
            channels: 2,
        };
        let (mut trunk, mut out) = ([0.0; 2], [0.0; 2]);
        modulate(&reads, 0.0, Some(&mut trunk), &mut out);
        // 1 + 2, 3 + 2: mean 4, deviation 1.
        assert_eq!(trunk, [3.0, 5.0]);
        assert_eq!(out, [-9.5, 100.25]);
    }
}
