//! Operations that a device does its own way.
//!
//! What runs on a GPU is candle's, but for what whoever opened the GPU can do faster: it
//! hands its ways over once, and the operations of this room ask them before they go
//! candle's way. On the CPU the operations have their own ways and nothing is asked.

use std::sync::OnceLock;

use candle_core::{DType, Result, Tensor};
use longtake_kernels::sampler_step::{Reads, Weights};

use super::linear::Activation;
use super::rotate::Angles;
use super::sampler_step::Stepped;
use super::trunk::{Branch, LayerNorm};

/// A device's own ways. Each takes what the operation of the same name takes, and answers
/// none where that is nothing for it (a shape, a type, a library that is not there): then
/// it is done candle's way.
pub trait Accelerated: Send + Sync {
    /// As [`super::attention`], in any type: `q` [batch, n, heads · d], `k` and `v`
    /// [batch, m, heads · d], whose shapes were looked at, → [batch, n, heads · d] in
    /// the type of `q`.
    ///
    /// # Errors
    /// Where the work was begun and failed; memory that is short is one of these.
    fn attention(
        &self,
        _q: &Tensor,
        _k: &Tensor,
        _v: &Tensor,
        _heads: usize,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// As [`super::Linear::forward`]: `x` [.., input], `weight` [output, input] of 16
    /// bits, `bias` [output] in the type of `x` → `activation(x · weightᵀ + bias)`
    /// [.., output] in the type of `x`.
    ///
    /// # Errors
    /// As above.
    fn linear(
        &self,
        _x: &Tensor,
        _weight: &Tensor,
        _bias: &Tensor,
        _activation: Activation,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// As [`super::rms_norm`], in any type.
    ///
    /// # Errors
    /// As above.
    fn rms_norm(
        &self,
        _x: &Tensor,
        _weight: &Tensor,
        _eps: f64,
        _angles: Option<&Angles>,
    ) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// As of [`super::Trunk`]: `x` [batch, tokens, channels] in f32 with `branch` joined,
    /// and where there is a norm that of it in the type `kind`.
    ///
    /// # Errors
    /// As above.
    fn join(
        &self,
        _x: &Tensor,
        _branch: Option<&Branch>,
        _norm: Option<&LayerNorm>,
        _kind: DType,
    ) -> Result<Option<(Tensor, Option<Tensor>)>> {
        Ok(None)
    }

    /// As [`super::sampler_step`], on tensors whose shapes were looked at and of which
    /// nothing is kept.
    ///
    /// # Errors
    /// As above.
    fn sampler_step(
        &self,
        _weights: &Weights,
        _reads: &Reads<&Tensor, &Tensor>,
    ) -> Result<Option<Stepped>> {
        Ok(None)
    }
}

static WAYS: OnceLock<Box<dyn Accelerated>> = OnceLock::new();

/// Makes `ways` those that are asked first, for good. False where there were some.
pub fn accelerate(ways: Box<dyn Accelerated>) -> bool {
    WAYS.set(ways).is_ok()
}

/// What the device's own ways, where there are some, make of `ask`.
pub(super) fn asked<R>(
    ask: impl FnOnce(&dyn Accelerated) -> Result<Option<R>>,
) -> Result<Option<R>> {
    #[cfg(test)]
    if let Some(ways) = stand_in::current() {
        return ask(&*ways);
    }
    WAYS.get().map_or(Ok(None), |ways| ask(&**ways))
}

/// Ways that only this thread's tests have.
#[cfg(test)]
pub(crate) mod stand_in {
    use std::cell::RefCell;
    use std::sync::Arc;

    use super::Accelerated;

    thread_local! {
        static WAYS: RefCell<Option<Arc<dyn Accelerated>>> = const { RefCell::new(None) };
    }

    pub(super) fn current() -> Option<Arc<dyn Accelerated>> {
        WAYS.with_borrow(Clone::clone)
    }

    /// Runs `work` with `ways`.
    pub fn with<R>(ways: Arc<dyn Accelerated>, work: impl FnOnce() -> R) -> R {
        WAYS.set(Some(ways));
        let result = work();
        WAYS.set(None);
        result
    }
}
