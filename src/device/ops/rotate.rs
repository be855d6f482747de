//! Pairs of channels turned by an angle of their token's own: rotary positions.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::values::{is_ours, tensor, with_values};
use crate::device::install;

/// Rows that a thread takes at a time.
const ROWS: usize = 16;

/// What the tokens' channels are turned by, the same for every head.
#[derive(Clone, Debug)]
pub struct Angles {
    /// Cosines, [tokens, d / 2] for heads of d channels.
    pub cos: Tensor,
    /// Sines, likewise.
    pub sin: Tensor,
}

/// Turns neighbouring channels (a, b) of every head to (a cos − b sin, a sin + b cos).
///
/// `x` [batch, tokens, heads · d].
pub(super) fn rotate(x: &Tensor, angles: &Angles) -> Result<Tensor> {
    let Angles { cos, sin } = angles;
    let (batch, tokens, channels) = x.dims3()?;
    let (rows, half) = cos.dims2()?;
    if rows != tokens || cos.dims() != sin.dims() || half == 0 || channels % (2 * half) != 0 {
        candle_core::bail!("{:?} has no angles in {:?}", x.dims(), cos.dims());
    }
    if !is_ours(x) {
        return plainly(x, cos, sin);
    }
    let mut out = vec![0f32; x.elem_count()];
    with_values(x, |x| {
        with_values(cos, |cos| {
            with_values(sin, |sin| {
                install(|| {
                    out.par_chunks_mut(ROWS * channels)
                        .zip(x.par_chunks(ROWS * channels))
                        .enumerate()
                        .for_each(|(part, (out, x))| {
                            let rows = x.chunks(channels).zip(out.chunks_mut(channels));
                            for (i, (x, out)) in rows.enumerate() {
                                let token = (part * ROWS + i) % tokens;
                                let at = token * half..(token + 1) * half;
                                turn(x, &cos[at.clone()], &sin[at], out);
                            }
                        });
                });
            })
        })
    })???;
    tensor(out, &[batch, tokens, channels])
}

fn turn(x: &[f32], cos: &[f32], sin: &[f32], out: &mut [f32]) {
    let width = 2 * cos.len();
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let pairs = x.as_chunks::<2>().0.iter().zip(out.as_chunks_mut::<2>().0);
        for (([a, b], out), (cos, sin)) in pairs.zip(cos.iter().zip(sin)) {
            *out = [a * cos - b * sin, a * sin + b * cos];
        }
    }
}

/// The same by candle alone, on any device.
fn plainly(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (batch, tokens, channels) = x.dims3()?;
    let half = cos.dim(1)?;
    // [batch, tokens, heads · d] → [batch, tokens, heads, d / 2, 2]
    let pairs = x.reshape((batch, tokens, channels / (2 * half), half, 2))?;
    let (a, b) = (pairs.narrow(4, 0, 1)?, pairs.narrow(4, 1, 1)?);
    // [tokens, d / 2] → [tokens, 1, d / 2, 1]
    let angles = |t: &Tensor| t.unsqueeze(1)?.unsqueeze(3)?.to_dtype(x.dtype());
    let (cos, sin) = (angles(cos)?, angles(sin)?);
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (a.broadcast_mul(&sin)? + b.broadcast_mul(&cos)?)?;
    Tensor::cat(&[first, second], 4)?.reshape((batch, tokens, channels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ops::testing::scattered;

    #[test]
    fn every_token_is_turned_by_its_own_angles() {
        let random = |shape: &[usize]| scattered(shape, 0.0);
        for (batch, tokens, heads, half) in [(1, 1, 1, 1), (2, 19, 3, 5), (1, 40, 2, 8)] {
            let x = random(&[batch, tokens, heads * 2 * half]);
            let angles = random(&[tokens, half]);
            let (cos, sin) = (angles.cos().unwrap(), angles.sin().unwrap());
            let plain = plainly(&x, &cos, &sin).unwrap();
            let found = rotate(&x, &Angles { cos, sin }).unwrap();
            let difference = (found - plain).unwrap().abs().unwrap();
            let most: f32 = difference.max_all().unwrap().to_scalar().unwrap();
            assert!(most < 1e-6, "{most}");
        }
        let x = random(&[1, 3, 8]);
        for shape in [[2, 4], [3, 3]] {
            let (cos, sin) = (random(&shape), random(&shape));
            assert!(rotate(&x, &Angles { cos, sin }).is_err());
        }
    }
}
