//! What this object does in other ways than candle, on an NVIDIA GPU.

use std::sync::Arc;

use candle_core::{CudaDevice, DType, Result, Tensor};
use longtake_kernels::sampler_step::{Reads, Weights};

use crate::attention::{By, FusedAttention};
use crate::away::Away;
use crate::device::ops::accelerated::Accelerated;
use crate::device::ops::{Activation, Angles, Branch, LayerNorm, Stepped, linear};
use crate::memory::device_of;
use crate::notices::notice;
use crate::products::Products;
use crate::rows::Rows;
use crate::steps::Steps;

/// The ways of one GPU.
pub struct Ways {
    device: CudaDevice,
    attention: FusedAttention,
    products: Option<Products>,
    rows: Option<Rows>,
    steps: Option<Steps>,
    away: Arc<Away>,
}

impl Ways {
    /// The ways of `device`, of whose models some is `away`; what is missing for one is
    /// told to the artist.
    pub fn new(device: &CudaDevice, away: &Arc<Away>) -> Self {
        let ordinal = device.cuda_stream().context().ordinal();
        let products = Products::new(device).map_err(|error| {
            notice(format!("products are not fused with what follows: {error}"));
        });
        let rows = Rows::new(ordinal).map_err(|error| {
            notice(format!("norms are not fused: {error}"));
        });
        let steps = Steps::new(ordinal).map_err(|error| {
            notice(format!("the sampler's steps are not fused: {error}"));
        });
        Self {
            device: device.clone(),
            attention: FusedAttention::new(device),
            products: products.ok(),
            rows: rows.ok(),
            steps: steps.ok(),
            away: Arc::clone(away),
        }
    }

    /// `activation(x · weightᵀ + bias)` where it must be done here: the weight is on the
    /// GPU for no longer.
    fn product(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<Tensor> {
        if let Some(products) = &self.products
            && let Some(done) = products.linear(x, weight, bias, activation)?
        {
            return Ok(done);
        }
        linear(x, weight, bias, activation)
    }

    /// Whether `x` lies on this GPU.
    fn has(&self, x: &Tensor) -> bool {
        device_of(x).is_some_and(|device| device.id() == self.device.id())
    }
}

impl Accelerated for Ways {
    fn attention(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        heads: usize,
    ) -> Result<Option<Tensor>> {
        self.attention.attend(q, k, v, heads, By::Any)
    }

    fn linear(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<Option<Tensor>> {
        if self.has(x) && self.away.has(weight) {
            let there = |weight: &Tensor| self.product(x, weight, bias, activation);
            return self.away.with(weight, there).map(Some);
        }
        match &self.products {
            Some(products) if self.has(x) => products.linear(x, weight, bias, activation),
            _ => Ok(None),
        }
    }

    fn rms_norm(
        &self,
        x: &Tensor,
        weight: &Tensor,
        eps: f64,
        angles: Option<&Angles>,
    ) -> Result<Option<Tensor>> {
        match &self.rows {
            Some(rows) if self.has(x) => rows.rms_norm(x, weight, eps, angles),
            _ => Ok(None),
        }
    }

    fn join(
        &self,
        x: &Tensor,
        branch: Option<&Branch>,
        norm: Option<&LayerNorm>,
        kind: DType,
    ) -> Result<Option<(Tensor, Option<Tensor>)>> {
        match &self.rows {
            Some(rows) if self.has(x) => rows.join(x, branch, norm, kind),
            _ => Ok(None),
        }
    }
    fn sampler_step(
        &self,
        weights: &Weights,
        reads: &Reads<&Tensor, &Tensor>,
    ) -> Result<Option<Stepped>> {
        match &self.steps {
            Some(steps) if self.has(reads.sample) => steps.step(weights, reads),
            _ => Ok(None),
        }
    }
}
