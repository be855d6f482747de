//! The GPUs of this process.

use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Result};

use crate::device::ops::accelerated::accelerate;
use crate::ways::Ways;

/// Those that were opened, with their numbers.
static OPEN: Mutex<Vec<(usize, Device)>> = Mutex::new(Vec::new());

/// GPU `ordinal`, opened once: what is kept of it (its stream, engines that were made
/// ready) serves every model.
pub fn device(ordinal: usize) -> Result<Device> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, device)) = open.iter().find(|(number, _)| *number == ordinal) {
        return Ok(device.clone());
    }
    // Products in f32: the tensor cores take them with a mantissa of 10 bits.
    candle_core::cuda::set_gemm_reduced_precision_f32(true);
    // One stream, whichever thread asks for work: no events are needed to keep it in
    // order.
    let device = Device::new_cuda_with_stream(ordinal)?;
    let cuda = device.as_cuda_device()?;
    // SAFETY: nothing of this device is ever used on another stream.
    unsafe { cuda.disable_event_tracking() };
    // Those of the first GPU stay, and take no tensors of another.
    accelerate(Box::new(Ways::new(cuda)));
    open.push((ordinal, device.clone()));
    Ok(device)
}
