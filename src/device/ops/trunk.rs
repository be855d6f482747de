//! The trunk of a transformer: what branches leave, normalised, and join again.

use candle_core::{DType, Result, Tensor};

use super::accelerated::asked;
use super::norm::{add_gated, layer_norm};
use super::per_row::PerRow;
use super::values::is_ours;

/// A layer norm over the channels, `(x − mean) / √(variance + eps) · scale + shift`.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// What the norm is multiplied by.
    pub scale: PerRow,
    /// What is then added.
    pub shift: PerRow,
    /// Added to the variance.
    pub eps: f64,
}

/// What joins the trunk: values in any type, and what they are multiplied by, if that is
/// not 1.
#[derive(Clone, Debug)]
pub struct Branch {
    /// Like the trunk.
    pub values: Tensor,
    /// The gate.
    pub gate: Option<PerRow>,
}

/// Tokens [batch, tokens, channels] on their way through the blocks. A branch that joined
/// is added when the trunk is next read: a device that adds it while it normalises reads
/// and writes the trunk once for both.
#[derive(Clone, Debug)]
pub struct Trunk {
    x: Tensor,
    joins: Option<Branch>,
}

impl Trunk {
    /// Begins with `x`.
    pub fn new(x: Tensor) -> Self {
        Self { x, joins: None }
    }

    /// With `values` times `gate` added.
    pub fn join(self, values: Tensor, gate: Option<PerRow>) -> Result<Self> {
        if values.dims() != self.x.dims() {
            candle_core::bail!("{:?} cannot join {:?}", values.dims(), self.x.dims());
        }
        let joins = Some(Branch { values, gate });
        Ok(Self {
            x: self.joined()?,
            joins,
        })
    }

    /// All that joined.
    pub fn joined(&self) -> Result<Tensor> {
        let Some(branch) = &self.joins else {
            return Ok(self.x.clone());
        };
        if !self.is_plain(branch.values.dtype()) {
            let kind = branch.values.dtype();
            let own = asked(|ways| ways.join(&self.x, Some(branch), None, kind))?;
            if let Some((joined, _)) = own {
                return Ok(joined);
            }
        }
        let values = branch.values.to_dtype(self.x.dtype())?;
        match &branch.gate {
            Some(gate) => add_gated(&self.x, &values, &gate.spread()?),
            None => &self.x + values,
        }
    }

    /// The trunk, and what a branch of type `kind` reads of it.
    pub fn normed(self, norm: &LayerNorm, kind: DType) -> Result<(Self, Tensor)> {
        if !self.is_plain(kind) {
            let joins = self.joins.as_ref();
            let own = asked(|ways| ways.join(&self.x, joins, Some(norm), kind))?;
            if let Some((joined, Some(normed))) = own {
                return Ok((Self::new(joined), normed));
            }
        }
        let x = self.joined()?;
        let (scale, shift) = (norm.scale.spread()?, norm.shift.spread()?);
        let normed = layer_norm(&x, &scale, &shift, norm.eps)?.to_dtype(kind)?;
        Ok((Self::new(x), normed))
    }

    /// The trunk, and it in the type `kind`.
    pub fn unnormed(self, kind: DType) -> Result<(Self, Tensor)> {
        let x = self.joined()?;
        let narrow = x.to_dtype(kind)?;
        Ok((Self::new(x), narrow))
    }

    /// Whether the CPU's own ways serve, and a branch of `kind` is as wide as the trunk.
    fn is_plain(&self, kind: DType) -> bool {
        is_ours(&self.x) && kind == DType::F32
    }
}
