//! Numbers with a shape that can be kept on disk.

use candle_core::{DType, Device, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::vae::frames_of;
use crate::device::ops::FeatureMap;

/// f32 numbers with a shape, the last side running fastest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Array {
    /// The sides.
    pub shape: Vec<usize>,
    /// As many numbers as the sides come to.
    pub values: Vec<f32>,
}

impl Array {
    /// The numbers of `tensor`.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        Ok(Self {
            shape: tensor.dims().to_vec(),
            values: tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?,
        })
    }

    /// As a tensor; fails where shape and numbers do not agree.
    pub fn tensor(&self) -> Result<Tensor> {
        Tensor::from_slice(&self.values, self.shape.clone(), &Device::Cpu)
    }
}

/// The frames of [1, channels, frames, height, width].
pub fn unstacked(tensor: &Tensor) -> std::result::Result<Vec<FeatureMap>, super::vae::VaeError> {
    frames_of(tensor)
}
