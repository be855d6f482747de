//! The numbers of a tensor in main memory.

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};

/// Calls `read` with the values of `x` (f32, on the CPU) in order.
pub(crate) fn with_values<R>(x: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => {
            let (start, count) = (layout.start_offset(), layout.shape().elem_count());
            Ok(read(&values[start..start + count]))
        }
        _ => candle_core::bail!("f32 numbers on the CPU are needed"),
    }
}

/// Whether the CPU's own ways can be used on `x`.
pub(crate) fn is_ours(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// A tensor of `values` on the CPU.
pub(crate) fn tensor(values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}
