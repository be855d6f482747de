//! Tensors of candle's as memory that libraries and kernels read and write.

use candle_core::cuda_backend::CudaDType;
use candle_core::cuda_backend::cudarc::driver::DevicePtr;
use candle_core::{CudaDevice, DType, Device, Result, Shape, Storage, Tensor};
use half::{bf16, f16};
use longtake_kernels::driver::{Part, PartMut, Plain};

/// The GPU of `tensor`, if it is on one.
pub fn device_of(tensor: &Tensor) -> Option<&CudaDevice> {
    match tensor.device() {
        Device::Cuda(device) => Some(device),
        _ => None,
    }
}

/// Where the first number of `tensor` lies. The memory is the tensor's, and is freed in
/// order with the work on its device's one stream.
pub fn address(tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        candle_core::bail!("a tensor on the GPU is needed");
    };
    let device = storage.device.clone();
    /// Where the slice begins.
    fn begin<T: CudaDType>(storage: &candle_core::CudaStorage, device: &CudaDevice) -> Result<u64> {
        let stream = device.cuda_stream();
        Ok(storage.as_cuda_slice::<T>()?.device_ptr(&stream).0)
    }
    let at = match tensor.dtype() {
        DType::F32 => begin::<f32>(storage, &device)?,
        DType::F16 => begin::<f16>(storage, &device)?,
        DType::BF16 => begin::<bf16>(storage, &device)?,
        DType::U32 => begin::<u32>(storage, &device)?,
        DType::U8 => begin::<u8>(storage, &device)?,
        other => candle_core::bail!("no memory of {other:?} is handed on"),
    };
    let size = tensor.dtype().size_in_bytes();
    Ok(at + (layout.start_offset() * size) as u64)
}

/// Room for a tensor, which is anything at first: to be written as a whole.
pub fn room(shape: impl Into<Shape>, kind: DType, device: &CudaDevice) -> Result<Tensor> {
    // SAFETY: the callers write all of it before it is read.
    unsafe { Tensor::empty(shape, kind, &Device::Cuda(device.clone())) }
}

/// All of a tensor, to be read: it is contiguous.
pub fn part<T: Plain>(tensor: &Tensor) -> Result<Part<'_, T>> {
    let at = checked::<T>(tensor)?;
    // SAFETY: as many values of the size lie there, and nobody writes them.
    Ok(unsafe { Part::at(at, tensor.elem_count()) })
}

/// All of a tensor that was just made, to be written.
pub fn part_mut<T: Plain>(tensor: &Tensor) -> Result<PartMut<'_, T>> {
    let at = checked::<T>(tensor)?;
    // SAFETY: as many values of the size lie there; nobody else knows the tensor.
    Ok(unsafe { PartMut::at(at, tensor.elem_count()) })
}

fn checked<T: Plain>(tensor: &Tensor) -> Result<u64> {
    if size_of::<T>() != tensor.dtype().size_in_bytes() || !tensor.is_contiguous() {
        candle_core::bail!("{:?} is not as a kernel needs it", tensor.layout());
    }
    address(tensor)
}
