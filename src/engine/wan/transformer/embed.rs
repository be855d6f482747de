//! What goes in: latents as tokens, the time, the text and the image.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::rope::Grid;
use crate::device::ops::{Activation, Linear, PerRow, full, layer_norm, silu_each};
use crate::engine::wan::config::TransformerConfig;

/// A patch of latents to a token: a convolution whose stride is its size.
pub struct PatchEmbedding {
    /// Of channels, frames, rows and columns of a patch, in this order.
    layer: Linear,
    patch: [usize; 3],
    channels: usize,
}

impl PatchEmbedding {
    /// The convolution of `channels` channels at `vb`.
    pub fn load(config: &TransformerConfig, channels: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let [t, h, w] = config.patch_size;
        let weight = full(vb, (config.dim(), channels, t, h, w), "weight")?;
        // [dim, c, pt, ph, pw] → [dim, c · pt · ph · pw]
        let weight = weight.reshape((config.dim(), channels * t * h * w))?;
        let bias = full(vb, config.dim(), "bias")?;
        Ok(Self {
            layer: Linear::new(weight, Some(bias), Activation::None)?,
            patch: config.patch_size,
            channels,
        })
    }

    /// How many tokens latents [batch, channels, frames, rows, columns] make.
    pub fn grid(&self, latents: &Tensor) -> Result<Grid> {
        let (_, channels, t, h, w) = latents.dims5()?;
        let [pt, ph, pw] = self.patch;
        if channels != self.channels {
            candle_core::bail!(
                "the latents have {channels} channels, the model takes {}",
                self.channels
            );
        }
        if t % pt != 0 || h % ph != 0 || w % pw != 0 || t * h * w == 0 {
            candle_core::bail!(
                "latents of {t} frames of {w} x {h} do not divide into the model's patches of {pt} x {ph} x {pw}"
            );
        }
        Ok(Grid {
            frames: t / pt,
            rows: h / ph,
            columns: w / pw,
        })
    }

    /// `latents` [batch, channels, frames, rows, columns] → [batch, tokens, dim].
    pub fn forward(&self, latents: &Tensor) -> Result<Tensor> {
        let grid = self.grid(latents)?;
        let batch = latents.dim(0)?;
        let [pt, ph, pw] = self.patch;
        let values = self.channels * pt * ph * pw;
        // [b, c, T·pt, H·ph, W·pw] → [b, c, T, pt, H, ph, W, pw]
        let cut = latents.reshape(vec![
            batch,
            self.channels,
            grid.frames,
            pt,
            grid.rows,
            ph,
            grid.columns,
            pw,
        ])?;
        // → [b, T, H, W, c, pt, ph, pw] → [b, tokens, c · pt · ph · pw]
        let patches =
            cut.permute(vec![0, 2, 4, 6, 1, 3, 5, 7])?
                .reshape((batch, grid.tokens(), values))?;
        self.layer.forward(&patches)
    }
}

/// The times that tokens are at: one for all, or one for each token (Wan 2.2
/// TI2V, where given frames have no noise). Equal times are computed once.
#[derive(Clone, Debug, PartialEq)]
pub struct Timesteps {
    values: Vec<f32>,
    token: Option<Vec<u32>>,
}

impl Timesteps {
    /// All tokens at `time`, in 0..=1000.
    pub fn whole(time: f32) -> Self {
        Self {
            values: vec![time],
            token: None,
        }
    }

    /// Token `i` at `times[i]`.
    pub fn per_token(times: &[f32]) -> Self {
        let mut values: Vec<f32> = Vec::new();
        let mut token = Vec::with_capacity(times.len());
        for time in times {
            let known = values.iter().position(|v| v.to_bits() == time.to_bits());
            let index = known.unwrap_or_else(|| {
                values.push(*time);
                values.len() - 1
            });
            token.push(index as u32);
        }
        Self {
            token: (values.len() > 1).then_some(token),
            values,
        }
    }
}

impl Timesteps {
    /// The times that there are.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// For each token which of them, where they differ.
    pub(super) fn tokens(&self) -> Option<&[u32]> {
        self.token.as_deref()
    }

    /// What [`values`](Self::values) and [`tokens`](Self::tokens) told.
    pub(super) fn told(values: Vec<f32>, token: Option<Vec<u32>>) -> Result<Self> {
        let known = |t: &[u32]| t.iter().all(|i| (*i as usize) < values.len());
        if values.is_empty() || !token.as_deref().is_none_or(known) {
            candle_core::bail!("tokens at times that are not told");
        }
        Ok(Self { values, token })
    }
}

/// Vectors for all tokens, or for each token one of several.
pub struct PerToken {
    /// [times, parts, dim]
    rows: Tensor,
    /// [tokens], into `rows`
    token: Option<Tensor>,
}

impl PerToken {
    /// With `table` [parts, dim] added; where there is one part it is added to each of
    /// the table's.
    pub fn with(&self, table: &Tensor) -> Result<Self> {
        Ok(Self {
            rows: self.rows.broadcast_add(table)?,
            token: self.token.clone(),
        })
    }

    /// Part `i`, a vector [dim] for each token.
    pub fn part(&self, i: usize) -> Result<PerRow> {
        Ok(PerRow {
            // [times, parts, dim] → [times, dim]
            values: self.rows.narrow(1, i, 1)?.squeeze(1)?,
            of: self.token.clone(),
            plus: 0.0,
        })
    }

    /// The vectors themselves, [times, parts, dim].
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }
}

/// The time as vectors.
pub struct Time {
    /// For the head: [times, 1, dim].
    pub embedding: PerToken,
    /// For the blocks: [times, 6, dim].
    pub projection: PerToken,
}

/// With matrices in f32 where the CPU's own products, which widen them in use, are not
/// at hand: all tokens heed the time, and its layers are small.
fn wide_elsewhere(vb: VarBuilder<'_>) -> VarBuilder<'_> {
    match vb.device().is_cpu() {
        true => vb,
        false => vb.set_dtype(DType::F32),
    }
}

/// Sines and cosines of the time, and the layers behind them.
pub struct TimeEmbedding {
    first: Linear,
    second: Linear,
    projection: Linear,
    frequencies: usize,
    dim: usize,
}

impl TimeEmbedding {
    /// The layers at `vb`, that of the condition embedder.
    pub fn load(config: &TransformerConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let dim = config.dim();
        let embedder = wide_elsewhere(vb.pp("time_embedder"));
        let linear = |name: &str, input, activation| {
            Linear::load(input, dim, activation, &embedder.pp(name))
        };
        Ok(Self {
            first: linear("linear_1", config.freq_dim, Activation::Silu)?,
            second: linear("linear_2", dim, Activation::None)?,
            projection: Linear::load(dim, 6 * dim, Activation::None, &vb.pp("time_proj"))?,
            frequencies: config.freq_dim,
            dim,
        })
    }

    /// The vectors of `times` for `tokens` tokens.
    pub fn forward(&self, times: &Timesteps, tokens: usize, device: &Device) -> Result<Time> {
        if let Some(token) = times.token.as_ref().filter(|t| t.len() != tokens) {
            candle_core::bail!("{} timesteps for {tokens} tokens", token.len());
        }
        let count = times.values.len();
        let half = self.frequencies / 2;
        let mut waves = Vec::with_capacity(count * self.frequencies);
        for time in &times.values {
            // In f32 as the reference has it, so that large times round alike.
            let angle = |i: usize| {
                let exponent = -libm::logf(10_000.) * i as f32 / half as f32;
                f64::from(time * libm::expf(exponent))
            };
            waves.extend((0..half).map(|i| libm::cos(angle(i)) as f32));
            waves.extend((0..half).map(|i| libm::sin(angle(i)) as f32));
        }
        // [times, frequencies] → [times, dim]
        let waves = Tensor::from_vec(waves, (count, self.frequencies), device)?;
        let embedding = self.second.forward(&self.first.forward(&waves)?)?;
        // [times, 6 · dim] → [times, 6, dim]
        let projection = self
            .projection
            .forward(&silu_each(&embedding)?)?
            .reshape((count, 6, self.dim))?;
        let token = times
            .token
            .as_ref()
            .map(|t| Tensor::from_slice(t, t.len(), device))
            .transpose()?;
        Ok(Time {
            embedding: PerToken {
                rows: embedding.unsqueeze(1)?,
                token: token.clone(),
            },
            projection: PerToken {
                rows: projection,
                token,
            },
        })
    }
}

/// Text embeddings to the transformer's width.
pub struct TextEmbedding {
    first: Linear,
    second: Linear,
}

impl TextEmbedding {
    /// The layers at `vb`.
    pub fn load(config: &TransformerConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let dim = config.dim();
        Ok(Self {
            first: Linear::load(
                config.text_dim,
                dim,
                Activation::GeluTanh,
                &vb.pp("linear_1"),
            )?,
            second: Linear::load(dim, dim, Activation::None, &vb.pp("linear_2"))?,
        })
    }

    /// `text` [batch, m, text_dim] → [batch, m, dim].
    pub fn forward(&self, text: &Tensor) -> Result<Tensor> {
        self.second.forward(&self.first.forward(text)?)
    }
}

/// Scale and shift of a normalisation.
struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    fn load(width: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            weight: full(vb, width, "weight")?,
            bias: full(vb, width, "bias")?,
        })
    }

    /// With the reference's default for this layer, which is not the model's.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, 1e-5)
    }
}

/// CLIP's image embeddings to the transformer's width.
pub struct ImageEmbedding {
    positions: Option<Tensor>,
    before: Norm,
    first: Linear,
    second: Linear,
    after: Norm,
    width: usize,
}

impl ImageEmbedding {
    /// The layers at `vb` for embeddings of `width` channels.
    pub fn load(config: &TransformerConfig, width: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let positions = config
            .pos_embed_seq_len
            .map(|length| full(vb, (1, length, width), "pos_embed"))
            .transpose()?;
        let net = vb.pp("ff").pp("net");
        Ok(Self {
            positions,
            before: Norm::load(width, &vb.pp("norm1"))?,
            first: Linear::load(width, width, Activation::Gelu, &net.pp("0").pp("proj"))?,
            second: Linear::load(width, config.dim(), Activation::None, &net.pp("2"))?,
            after: Norm::load(config.dim(), &vb.pp("norm2"))?,
            width,
        })
    }

    /// `image` [pictures, tokens, width] → [1, pictures · tokens, dim].
    pub fn forward(&self, image: &Tensor) -> Result<Tensor> {
        let (pictures, tokens, _) = image.dims3()?;
        let mut x = image.reshape((1, pictures * tokens, self.width))?;
        if let Some(positions) = &self.positions {
            x = x.add(positions)?;
        }
        let x = self.before.forward(&x)?;
        self.after
            .forward(&self.second.forward(&self.first.forward(&x)?)?)
    }
}
