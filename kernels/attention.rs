//! Attention of tokens to tokens, head by head; the twin of `attention.cu`.

use half::{bf16, f16};

use crate::driver::{DeviceError, Grid, Part, PartMut, Stream};
use crate::number::Number;
use crate::philox::{normal, philox4x32};

/// Queries of a block.
const QUERIES: u32 = 128;
/// Threads of a block.
const THREADS: u32 = 128;

/// Of how many, and how they lie: [batch, tokens, heads, width], the last two without
/// gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Independent sequences.
    pub batch: usize,
    /// Heads of each token.
    pub heads: usize,
    /// Channels of a head.
    pub width: usize,
    /// Tokens that ask.
    pub queries: usize,
    /// Tokens that are asked; at least one.
    pub keys: usize,
    /// From one batch, and from one token, to the next: of q, k and v.
    pub strides: [[usize; 2]; 3],
}

impl Shape {
    /// Of tensors without gaps.
    pub fn whole(batch: usize, heads: usize, width: usize, queries: usize, keys: usize) -> Self {
        let token = heads * width;
        let of = |tokens: usize| [tokens * token, token];
        Self {
            batch,
            heads,
            width,
            queries,
            keys,
            strides: [of(queries), of(keys), of(keys)],
        }
    }

    /// Numbers of q, k, v and the answers, gaps included.
    pub fn lengths(&self) -> [usize; 4] {
        let token = self.heads * self.width;
        let of = |[batch, next]: [usize; 2], tokens: usize| match self.batch == 0 || tokens == 0 {
            true => 0,
            false => (self.batch - 1) * batch + (tokens - 1) * next + token,
        };
        let [q, k, v] = self.strides;
        [
            of(q, self.queries),
            of(k, self.keys),
            of(v, self.keys),
            self.batch * self.queries * token,
        ]
    }
}

/// softmax(q · kᵀ / √width) · v of each head into `out` [batch, queries, heads, width].
///
/// # Panics
/// Where a slice is shorter than `shape` has it.
pub fn attention<T: Number>(shape: &Shape, q: &[T], k: &[T], v: &[T], out: &mut [T]) {
    let Shape { heads, width, .. } = *shape;
    let scale = 1.0 / (width as f32).sqrt();
    let [at_q, at_k, at_v] = shape.strides;
    let token = heads * width;
    for (n, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
        let (row, head) = (n / heads, n % heads * width);
        let (b, query) = (row / shape.queries, row % shape.queries);
        let part = |at: [usize; 2], i: usize| {
            let first = b * at[0] + i * at[1];
            first + head..first + head + width
        };
        debug_assert!(head < token);
        let asked = &q[part(at_q, query)];
        let mut weights: Vec<f32> = (0..shape.keys)
            .map(|i| {
                let pairs = asked.iter().zip(&k[part(at_k, i)]);
                pairs.map(|(a, b)| a.widen() * b.widen()).sum::<f32>() * scale
            })
            .collect();
        let most = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        weights.iter_mut().for_each(|w| *w = (*w - most).exp());
        let sum: f32 = weights.iter().sum();
        let mut found = vec![0.0; width];
        for (i, w) in weights.iter().enumerate() {
            for (f, v) in found.iter_mut().zip(&v[part(at_v, i)]) {
                *f += w * v.widen();
            }
        }
        for (out, f) in out.iter_mut().zip(found) {
            *out = T::narrow(f / sum);
        }
    }
}

/// As the kernel has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Arguments {
    q: u64,
    k: u64,
    v: u64,
    out: u64,
    strides: [[u64; 2]; 4],
    queries: u32,
    keys: u32,
    scale: f32,
    unused: u32,
}

/// The kernel for numbers of type `T` and heads of `width` channels, where there is one.
fn kernel<T: Number>(width: usize) -> Option<&'static str> {
    match (T::NAME, width) {
        ("f16", 64) => Some("attention_64_f16"),
        ("bf16", 64) => Some("attention_64_bf16"),
        ("f16", 128) => Some("attention_128_f16"),
        ("bf16", 128) => Some("attention_128_bf16"),
        _ => None,
    }
}

/// Whether [`launch`] takes `shape` in numbers of type `T`: of 16 bits, heads of 64 or
/// 128 channels, rows at multiples of 16 bytes.
pub fn is_taken<T: Number>(shape: &Shape) -> bool {
    let even = shape
        .strides
        .as_flattened()
        .iter()
        .all(|s| s.is_multiple_of(8));
    kernel::<T>(shape.width).is_some() && even && shape.keys > 0
}

/// Queues [`attention`] on a device of sm_80 or newer.
pub fn launch<T: Number>(
    stream: &Stream,
    shape: &Shape,
    q: Part<'_, T>,
    k: Part<'_, T>,
    v: Part<'_, T>,
    out: PartMut<'_, T>,
) -> Result<(), DeviceError> {
    const CALL: &str = "attention";
    let lengths = shape.lengths();
    if lengths[3] == 0 {
        return Ok(());
    }
    let addresses = [q.address(), k.address(), v.address(), out.address()];
    let even = addresses.iter().all(|a| a.is_multiple_of(16));
    let Some(name) = kernel::<T>(shape.width).filter(|_| even && is_taken::<T>(shape)) else {
        return Err(DeviceError::missing(CALL));
    };
    let sides = [shape.queries, shape.keys, shape.heads, shape.batch];
    let [Ok(queries), Ok(keys), Ok(heads), Ok(batch)] = sides.map(u32::try_from) else {
        return Err(DeviceError::missing(CALL));
    };
    q.check(CALL, lengths[0])?;
    k.check(CALL, lengths[1])?;
    v.check(CALL, lengths[2])?;
    out.check(CALL, lengths[3])?;
    let token = (shape.heads * shape.width) as u64;
    let [at_q, at_k, at_v] = shape.strides.map(|s| s.map(|s| s as u64));
    let argument = Arguments {
        q: addresses[0],
        k: addresses[1],
        v: addresses[2],
        out: addresses[3],
        strides: [at_q, at_k, at_v, [u64::from(queries) * token, token]],
        queries,
        keys,
        scale: std::f32::consts::LOG2_E / (shape.width as f32).sqrt(),
        unused: 0,
    };
    let grid = Grid {
        blocks: [queries.div_ceil(QUERIES), heads, batch],
        threads: [THREADS, 1, 1],
    };
    // SAFETY: a block for each 128 queries of a head; lengths were checked.
    unsafe { stream.launch(CALL, name, grid, &argument) }
}

/// Whether the kernels of the device give what [`attention`] gives, tried on little: to
/// be asked before they are relied on.
///
/// # Errors
/// Where the device does not take the work.
pub fn is_right(stream: &Stream) -> Result<bool, DeviceError> {
    for width in [64, 128] {
        let shape = Shape::whole(2, 2, width, 131, 71);
        if !gives::<f16>(stream, &shape, 2e-3)? || !gives::<bf16>(stream, &shape, 1.6e-2)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether every answer is within `bound` · (1 + |answer|) of the twin's.
fn gives<T: Number>(stream: &Stream, shape: &Shape, bound: f32) -> Result<bool, DeviceError> {
    let [of_q, of_k, of_v, of_out] = shape.lengths();
    let numbers = |count: usize, key: u32, by: f64| -> Vec<T> {
        let number = |i: u32| {
            let [a, b, ..] = philox4x32([i, 0, 0, 0], [key, 0]);
            T::narrow((normal(a, b) * by) as f32)
        };
        (0..count as u32).map(number).collect()
    };
    let (q, k, v) = (
        numbers(of_q, 1, 2.0),
        numbers(of_k, 2, 2.0),
        numbers(of_v, 3, 1.0),
    );
    let mut twin = vec![T::default(); of_out];
    attention(shape, &q, &k, &v, &mut twin);
    let (q, k, v) = (stream.upload(&q)?, stream.upload(&k)?, stream.upload(&v)?);
    let mut out = stream.upload(&vec![T::narrow(f32::NAN); of_out])?;
    launch(stream, shape, q.part(), k.part(), v.part(), out.part_mut())?;
    let found = stream.download(&out)?;
    let near = |(a, b): (&T, &T)| (a.widen() - b.widen()).abs() <= bound * (1.0 + b.widen().abs());
    Ok(found.iter().zip(&twin).all(near))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_finds_the_values_of_the_keys_that_are_like_it() {
        let shape = Shape::whole(1, 1, 2, 1, 2);
        let mut out = [0.0f32; 2];
        let (q, v) = ([40.0, 0.0], [1.0, 2.0, 3.0, 4.0]);
        attention(&shape, &q, &[1.0, 0.0, -1.0, 0.0], &v, &mut out);
        assert_eq!(out, [1.0, 2.0]);
        // All alike: the mean.
        attention(&shape, &q, &[1.0, 0.0, 1.0, 0.0], &v, &mut out);
        assert_eq!(out, [2.0, 3.0]);
    }

    #[test]
    fn what_no_kernel_takes_is_known_before() {
        assert!(is_taken::<bf16>(&Shape::whole(1, 12, 128, 5, 7)));
        assert!(!is_taken::<f32>(&Shape::whole(1, 12, 128, 5, 7)));
        assert!(!is_taken::<bf16>(&Shape::whole(1, 12, 24, 5, 7)));
        assert!(!is_taken::<bf16>(&Shape::whole(1, 12, 128, 5, 0)));
    }
}
