//! Attention of every token to every other.

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use super::accelerated::asked;
use super::activation::attend_rows;
use super::product::Packed;
use super::values::{is_ours, tensor, with_values};
use crate::device::{Stop, install};

/// Queries and keys whose scores are in memory at once, for each thread: they stay in
/// the second cache. The same for any number of threads, and so is the result.
const QUERIES: usize = 192;
const KEYS: usize = 512;

/// softmax(q · kᵀ / √d) · v for each of `heads` heads of d channels.
///
/// `q` [batch, n, heads · d], `k` and `v` [batch, m, heads · d] →
/// [batch, n, heads · d] in the type of `q`. On the CPU the scores are made tile by tile and never held
/// as a whole (Milakov and Gimelshein, Online normalizer calculation for softmax,
/// 2018; Dao et al., FlashAttention, 2022); elsewhere the device's own way goes before
/// candle's.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, n, channels) = q.dims3()?;
    let m = k.dim(1)?;
    if heads == 0
        || channels % heads != 0
        || k.dims() != v.dims()
        || k.dims() != [batch, m, channels]
        || m == 0
    {
        candle_core::bail!("{:?} cannot attend to {:?}", q.dims(), k.dims());
    }
    if !is_ours(q) || !is_ours(k) || !is_ours(v) {
        let own = asked(|ways| ways.attention(q, k, v, heads))?;
        return own.map_or_else(|| plainly(q, k, v, heads), Ok);
    }
    let stop = Stop::here();
    stop.check()?;
    let mut out = vec![0f32; batch * n * channels];
    with_values(q, |q| {
        with_values(k, |k| {
            with_values(v, |v| {
                for (b, out) in out.chunks_mut((n * channels).max(1)).enumerate() {
                    let part = b * m * channels..(b + 1) * m * channels;
                    let sources = Sources::new(&k[part.clone()], &v[part], heads, channels);
                    let q = &q[b * n * channels..(b + 1) * n * channels];
                    install(|| {
                        out.par_chunks_mut(QUERIES * channels)
                            .zip(q.par_chunks(QUERIES * channels))
                            .for_each_init(Scratch::default, |scratch, (out, q)| {
                                sources.answer(q, out, scratch, &stop);
                            });
                    });
                }
            })
        })
    })???;
    stop.check()?;
    tensor(out, &[batch, n, channels])
}

/// What a thread works in.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    found: Vec<f32>,
    most: Vec<f32>,
    sums: Vec<f32>,
}

/// Some keys, scaled, and their values, of one head.
struct Tile {
    count: usize,
    keys: Packed,
    values: Packed,
}

/// All keys and values, arranged for products.
struct Sources {
    /// `[head][keys]`
    tiles: Vec<Tile>,
    heads: usize,
    channels: usize,
}

impl Sources {
    fn new(keys: &[f32], values: &[f32], heads: usize, channels: usize) -> Self {
        let d = channels / heads;
        let m = keys.len() / channels;
        let scale = 1.0 / (d as f32).sqrt();
        let tile = |scaled: &mut Vec<f32>, (head, first): (usize, usize)| {
            let count = (m - first).min(KEYS);
            let at = first * channels + head * d;
            scaled.clear();
            for key in keys[at..].chunks(channels).take(count) {
                scaled.extend(key[..d].iter().map(|x| x * scale));
            }
            let mut keys = Packed::default();
            keys.refill(d, count, scaled);
            Tile {
                count,
                keys,
                values: Packed::of_columns(count, d, &values[at..], channels),
            }
        };
        let firsts = |head| (0..m).step_by(KEYS).map(move |first| (head, first));
        let all: Vec<_> = (0..heads).flat_map(firsts).collect();
        Self {
            tiles: install(|| all.into_par_iter().map_init(Vec::new, tile).collect()),
            heads,
            channels,
        }
    }

    /// The answers to queries `q` into `out`, rows of all channels each.
    fn answer(&self, q: &[f32], out: &mut [f32], scratch: &mut Scratch, stop: &Stop) {
        let (channels, d) = (self.channels, self.channels / self.heads);
        let n = q.len() / channels;
        scratch.found.resize(n * d, 0.0);
        let tiles = self.tiles.chunks(self.tiles.len() / self.heads);
        for (head, tiles) in tiles.enumerate() {
            let at = head * d;
            scratch.most.clear();
            scratch.most.resize(n, f32::NEG_INFINITY);
            scratch.sums.clear();
            scratch.sums.resize(n, 0.0);
            for tile in tiles {
                if stop.asked() {
                    return;
                }
                scratch.scores.resize(n * tile.count, 0.0);
                let (scores, found) = (&mut scratch.scores, &mut scratch.found);
                tile.keys
                    .multiply(&q[at..], channels, n, scores, tile.count);
                let (most, sums) = (&mut scratch.most, &mut scratch.sums);
                attend_rows(scores, tile.count, most, sums, &mut out[at..], channels, d);
                tile.values.multiply(scores, tile.count, n, found, d);
                let rows = out[at..].chunks_mut(channels);
                for (row, found) in rows.zip(found.chunks(d)) {
                    for (x, found) in row.iter_mut().zip(found) {
                        *x += found;
                    }
                }
            }
            for (row, sum) in out[at..].chunks_mut(channels).zip(&scratch.sums) {
                let by = 1.0 / sum;
                row[..d].iter_mut().for_each(|x| *x *= by);
            }
        }
    }
}

/// Scores that are held at once where candle works alone.
const SCORES: usize = 1 << 27;

/// The same by candle alone, on any device, some queries after the others. Scores of 16
/// bits would be too coarse.
fn plainly(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let wide = |t: &Tensor| match t.dtype() {
        DType::BF16 | DType::F16 => t.to_dtype(DType::F32),
        _ => Ok(t.clone()),
    };
    by_queries(&wide(q)?, &wide(k)?, &wide(v)?, heads, SCORES)?.to_dtype(q.dtype())
}

fn by_queries(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, held: usize) -> Result<Tensor> {
    let (batch, n, channels) = q.dims3()?;
    let d = channels / heads;
    // [batch, tokens, heads · d] → [batch, heads, tokens, d]
    let split = |x: &Tensor| -> Result<Tensor> {
        x.reshape((batch, x.dim(1)?, heads, d))?
            .transpose(1, 2)?
            .contiguous()
    };
    let (k, v) = (split(k)?, split(v)?);
    let (keys, scale) = (k.t()?, 1.0 / (d as f64).sqrt());
    let rows = (held / (batch * heads * k.dim(2)?)).max(1);
    let answers = (0..n).step_by(rows).map(|first| {
        let q = q.narrow(1, first, rows.min(n - first))?;
        let scores = (split(&q)?.matmul(&keys)? * scale)?;
        // [batch, heads, rows, d] → [batch, rows, channels]
        candle_nn::ops::softmax_last_dim(&scores)?
            .matmul(&v)?
            .transpose(1, 2)?
            .reshape((batch, q.dim(1)?, channels))
    });
    match &answers.collect::<Result<Vec<_>>>()?[..] {
        [whole] => Ok(whole.clone()),
        parts => Tensor::cat(parts, 1),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::device::ops::accelerated::{Accelerated, stand_in};
    use crate::device::ops::testing::scattered;
    use candle_core::Device;

    #[test]
    fn tiles_give_what_the_whole_gives() {
        // Strong scores, so that the largest moves from tile to tile.
        for (batch, n, m, heads, d) in [
            (1, 1, 1, 1, 2),
            (1, 7, 5, 2, 4),
            (2, QUERIES + 5, KEYS + 3, 3, 8),
            (1, 3, 3 * KEYS, 2, 16),
        ] {
            let random = |tokens: usize, by: f64| {
                (scattered(&[batch, tokens, heads * d], by as f32 / 100.0) * by).unwrap()
            };
            let (q, k, v) = (random(n, 4.0), random(m, 4.0), random(m, 1.0));
            let found = attention(&q, &k, &v, heads).unwrap();
            let plain = plainly(&q, &k, &v, heads).unwrap();
            let by_few = by_queries(&q, &k, &v, heads, 3 * batch * heads * m).unwrap();
            let apart = (&plain - by_few).unwrap().abs().unwrap().max_all().unwrap();
            assert!(apart.to_scalar::<f32>().unwrap() < 1e-6, "{n} {m}");
            let difference = (found - plain).unwrap().abs().unwrap();
            let most: f32 = difference.max_all().unwrap().to_scalar().unwrap();
            assert!(most < 2e-5, "{n} {m}: {most}");
        }
    }

    /// Takes what has one head, and says by sevens that it did.
    struct OneHead;

    impl Accelerated for OneHead {
        fn attention(
            &self,
            q: &Tensor,
            _: &Tensor,
            _: &Tensor,
            heads: usize,
        ) -> Result<Option<Tensor>> {
            match heads {
                1 => Ok(Some((q.zeros_like()? + 7.0)?)),
                13 => candle_core::bail!("no memory"),
                _ => Ok(None),
            }
        }
    }

    #[test]
    fn the_devices_own_way_goes_first_where_the_cpus_is_not_used() {
        let of = |heads: usize, kind: DType| {
            let t = scattered(&[1, 5, heads * 4], 0.0).to_dtype(kind).unwrap();
            attention(&t, &t, &t, heads)
        };
        let sevens = |t: &Tensor| {
            let values = t.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
            values.to_vec1::<f32>().unwrap().iter().all(|x| *x == 7.0)
        };
        let exact = of(2, DType::F32).unwrap();
        stand_in::with(Arc::new(OneHead), || {
            let own = of(1, DType::BF16).unwrap();
            assert!(sevens(&own) && own.dtype() == DType::BF16);
            assert!(!sevens(&of(1, DType::F32).unwrap()), "the CPU's own");
            assert!(of(13, DType::F64).is_err());
            // What it does not take goes on, in the type that came.
            let plain = of(2, DType::BF16).unwrap();
            assert_eq!(plain.dtype(), DType::BF16);
            let apart = (plain.to_dtype(DType::F32).unwrap() - &exact).unwrap();
            let most: f32 = apart.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            assert!(most < 0.05, "{most}");
        });
        assert!(
            !sevens(&of(1, DType::F64).unwrap()),
            "none are set for good"
        );
    }

    #[test]
    fn sides_that_do_not_fit_are_refused() {
        let zeros = |n: usize, c: usize| {
            Tensor::zeros((1, n, c), candle_core::DType::F32, &Device::Cpu).unwrap()
        };
        assert!(attention(&zeros(2, 4), &zeros(3, 6), &zeros(3, 6), 2).is_err());
        assert!(attention(&zeros(2, 4), &zeros(3, 4), &zeros(2, 4), 2).is_err());
        assert!(attention(&zeros(2, 4), &zeros(3, 4), &zeros(3, 4), 3).is_err());
        assert!(attention(&zeros(2, 4), &zeros(0, 4), &zeros(0, 4), 2).is_err());
    }
}
