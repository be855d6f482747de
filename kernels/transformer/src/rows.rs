//! Norms by Longtake's own kernels, on candle's tensors and stream.

use std::sync::Arc;

use candle_core::{D, DType, Result, Tensor};
use half::{bf16, f16};
use longtake_kernels::Number;
use longtake_kernels::driver::{Device, DeviceError, Part};
use longtake_kernels::modulate::{self, Reads, Vectors};
use longtake_kernels::rms_norm;

use crate::device::ops::{Angles, Branch, LayerNorm, PerRow};
use crate::gpu::stream_of;
use crate::memory::{address, device_of, part, part_mut, room};

/// The kernels on one device.
pub struct Rows {
    device: Arc<Device>,
}

impl Rows {
    /// The kernels on device `ordinal`, in the context that candle has of it.
    ///
    /// # Errors
    /// Where this build has none, or the device takes none.
    pub fn new(ordinal: usize) -> std::result::Result<Self, DeviceError> {
        Ok(Self {
            device: Device::open(ordinal)?,
        })
    }

    /// As `ops::rms_norm`.
    pub fn rms_norm(
        &self,
        x: &Tensor,
        weight: &Tensor,
        eps: f64,
        angles: Option<&Angles>,
    ) -> Result<Option<Tensor>> {
        match x.dtype() {
            DType::F32 => self.rms_norm_of::<f32>(x, weight, eps, angles),
            DType::F16 => self.rms_norm_of::<f16>(x, weight, eps, angles),
            DType::BF16 => self.rms_norm_of::<bf16>(x, weight, eps, angles),
            _ => Ok(None),
        }
    }

    fn rms_norm_of<T: Number>(
        &self,
        x: &Tensor,
        weight: &Tensor,
        eps: f64,
        angles: Option<&Angles>,
    ) -> Result<Option<Tensor>> {
        let Some(device) = device_of(x) else {
            return Ok(None);
        };
        let (x, weight) = (x.contiguous()?, weight.contiguous()?);
        if x.dim(D::Minus1)? != weight.elem_count() || weight.dtype() != DType::F32 {
            return Ok(None);
        }
        let turned = angles
            .map(|a| -> Result<_> { Ok((a.cos.contiguous()?, a.sin.contiguous()?)) })
            .transpose()?;
        let turned = match &turned {
            None => None,
            Some((cos, sin)) => Some(rms_norm::Angles {
                cos: part::<f32>(cos)?,
                sin: part::<f32>(sin)?,
                half: cos.dim(D::Minus1)?,
            }),
        };
        let out = room(x.shape(), x.dtype(), device)?;
        rms_norm::launch::<T>(
            &stream_of(&self.device, device),
            part(&x)?,
            part(&weight)?,
            eps as f32,
            turned,
            part_mut(&out)?,
        )
        .map_err(candle_core::Error::wrap)?;
        Ok(Some(out))
    }

    /// As of `ops::Trunk`: see `ops::accelerated`.
    pub fn join(
        &self,
        x: &Tensor,
        branch: Option<&Branch>,
        norm: Option<&LayerNorm>,
        kind: DType,
    ) -> Result<Option<(Tensor, Option<Tensor>)>> {
        match kind {
            DType::F32 => self.join_of::<f32>(x, branch, norm, kind),
            DType::F16 => self.join_of::<f16>(x, branch, norm, kind),
            DType::BF16 => self.join_of::<bf16>(x, branch, norm, kind),
            _ => Ok(None),
        }
    }

    fn join_of<T: Number>(
        &self,
        x: &Tensor,
        branch: Option<&Branch>,
        norm: Option<&LayerNorm>,
        kind: DType,
    ) -> Result<Option<(Tensor, Option<Tensor>)>> {
        let Some(device) = device_of(x) else {
            return Ok(None);
        };
        if x.dtype() != DType::F32 {
            return Ok(None);
        }
        let (x, channels) = (x.contiguous()?, x.dim(D::Minus1)?);
        // What joins is read in the type of what is written.
        let values = branch
            .map(|b| b.values.to_dtype(kind)?.contiguous())
            .transpose()?;
        let gate = branch.and_then(|b| b.gate.as_ref()).map(Vector::new);
        let gate = gate.transpose()?;
        let scales = norm
            .map(|n| -> Result<_> { Ok((Vector::new(&n.scale)?, Vector::new(&n.shift)?, n)) })
            .transpose()?;
        let norm = match &scales {
            None => None,
            Some((scale, shift, norm)) => {
                if norm.shift.plus != 0.0 {
                    return Ok(None);
                }
                Some(modulate::Norm {
                    scale: scale.those(channels)?,
                    plus: norm.scale.plus as f32,
                    shift: shift.those(channels)?,
                    eps: norm.eps as f32,
                })
            }
        };
        let gate = match &gate {
            Some(gate) if gate.plus != 0.0 => return Ok(None),
            Some(gate) => Some(gate.those(channels)?),
            None => None,
        };
        let joined = match &values {
            Some(_) => room(x.shape(), DType::F32, device)?,
            None => x.clone(),
        };
        let normed = norm
            .is_some()
            .then(|| room(x.shape(), kind, device))
            .transpose()?;
        let reads = Reads {
            x: part::<f32>(&x)?,
            branch: match &values {
                Some(values) => Some((part::<T>(values)?, gate)),
                None => None,
            },
            norm,
            channels,
        };
        let trunk = values.is_some().then(|| part_mut(&joined)).transpose()?;
        let out = normed.as_ref().map(part_mut).transpose()?;
        modulate::launch::<T>(&stream_of(&self.device, device), &reads, trunk, out)
            .map_err(candle_core::Error::wrap)?;
        Ok(Some((joined, normed)))
    }
}

/// Vectors for rows, with channels side by side.
struct Vector {
    values: Tensor,
    of: Option<Tensor>,
    plus: f64,
}

impl Vector {
    fn new(vectors: &PerRow) -> Result<Self> {
        let values = match vectors.values.stride().last() {
            Some(1) => vectors.values.clone(),
            _ => vectors.values.contiguous()?,
        };
        Ok(Self {
            values,
            of: vectors.of.clone(),
            plus: vectors.plus,
        })
    }

    fn those(&self, channels: usize) -> Result<Vectors<Part<'_, f32>, Part<'_, u32>>> {
        let (count, each) = self.values.dims2()?;
        let pitch = self.values.stride()[0];
        if each != channels || count == 0 || self.values.dtype() != DType::F32 {
            candle_core::bail!("{:?} for {channels} channels", self.values.dims());
        }
        let at = address(&self.values)?;
        Ok(Vectors {
            // SAFETY: from the first channel of the first vector to the last of the last,
            // all within the tensor.
            values: unsafe { Part::at(at, (count - 1) * pitch + channels) },
            pitch,
            of: match &self.of {
                Some(of) if of.is_contiguous() => Some(part(of)?),
                Some(of) => candle_core::bail!("{:?} is not in order", of.dims()),
                None => None,
            },
        })
    }
}
