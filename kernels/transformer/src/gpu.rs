//! The GPUs of this process.

use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::result;
use candle_core::cuda_backend::cudarc::driver::sys::{CUmemPool_attribute, CUmemoryPool};
use candle_core::{CudaDevice, Device, Result};
use longtake_kernels::driver::{Device as Driver, Stream};

use crate::away::Away;
use crate::device::ops::accelerated::accelerate;
use crate::ways::Ways;

/// Those that were opened, with their numbers.
static OPEN: Mutex<Vec<(usize, Device, Arc<Away>)>> = Mutex::new(Vec::new());

/// GPU `ordinal`, opened once, and what of its models is away: what is kept of it (its
/// stream, engines that were made ready) serves every model.
pub fn device(ordinal: usize) -> Result<(Device, Arc<Away>)> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, device, away)) = open.iter().find(|(number, ..)| *number == ordinal) {
        return Ok((device.clone(), Arc::clone(away)));
    }
    // Products in f32: the tensor cores take them with a mantissa of 10 bits.
    candle_core::cuda::set_gemm_reduced_precision_f32(true);
    // One stream, whichever thread asks for work: no events are needed to keep it in
    // order.
    let device = Device::new_cuda_with_stream(ordinal)?;
    let cuda = device.as_cuda_device()?;
    // SAFETY: nothing of this device is used on another stream but the places of `Away`,
    // which has events of its own.
    unsafe { cuda.disable_event_tracking() };
    // Those of the first GPU stay, and take no tensors of another.
    let away = Arc::new(Away::new(cuda)?);
    accelerate(Box::new(Ways::new(cuda, &away)));
    open.push((ordinal, device.clone(), Arc::clone(&away)));
    Ok((device, away))
}

/// The stream that candle works on, for kernels of `driver`.
pub fn stream_of(driver: &Arc<Driver>, device: &CudaDevice) -> Stream {
    let stream = device.cuda_stream();
    // SAFETY: of the same context, which candle and the driver share; it lives as long as
    // candle's device, and nothing is kept of it.
    unsafe { Stream::of_host(driver, stream.cu_stream().cast()) }
}

/// Where memory comes from, where the driver has pools.
fn pool(cuda: &CudaDevice) -> Result<Option<CUmemoryPool>> {
    let stream = cuda.cuda_stream();
    let context = stream.context();
    if !context.has_async_alloc() {
        return Ok(None);
    }
    // SAFETY: the device of an open context.
    unsafe { result::device::get_default_mem_pool(context.cu_device()) }
        .w()
        .map(Some)
}

/// Lets memory that an evaluation freed stay for the next: otherwise the driver takes it
/// back whenever the stream is waited for, and is asked for gigabytes again. Once the last
/// of these is dropped what nobody uses goes back to the device, and what is freed from
/// then on: the pool is all of the process's.
pub struct KeptMemory {
    device: CudaDevice,
}

/// How many of them there are.
static KEEPERS: Mutex<usize> = Mutex::new(0);

impl KeptMemory {
    /// On `device`.
    ///
    /// # Errors
    /// Where the driver refuses.
    pub fn new(device: &Device) -> Result<Self> {
        let device = device.as_cuda_device()?.clone();
        let mut keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
        stay(&device, u64::MAX)?;
        *keepers += 1;
        Ok(Self { device })
    }
}

impl Drop for KeptMemory {
    fn drop(&mut self) {
        let mut keepers = KEEPERS.lock().unwrap_or_else(PoisonError::into_inner);
        *keepers -= 1;
        // Where the device is lost there is nothing to give.
        let _ = give_back(&self.device);
        if *keepers == 0 {
            let _ = stay(&self.device, 0);
        }
    }
}

/// Lets up to so many bytes that were freed stay.
fn stay(cuda: &CudaDevice, mut bytes: u64) -> Result<()> {
    let Some(pool) = pool(cuda)? else {
        return Ok(());
    };
    let what = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the attribute is of that type.
    unsafe { result::mem_pool::set_attribute(pool, what, (&raw mut bytes).cast::<c_void>()) }.w()
}

/// Gives back what nobody uses.
fn give_back(cuda: &CudaDevice) -> Result<()> {
    cuda.cuda_stream().synchronize().w()?;
    match pool(cuda)? {
        // SAFETY: the pool is the device's own.
        Some(pool) => unsafe { result::mem_pool::trim_to(pool, 0) }.w(),
        None => Ok(()),
    }
}
