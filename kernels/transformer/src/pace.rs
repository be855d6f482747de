//! How far the GPU's queue is filled ahead of its work, and results read back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaStream, result};
use candle_core::{DType, Device, Result, Tensor};
use longtake_kernels::driver::{Device as Driver, Pinned};

use crate::memory::{address, device_of};

/// Blocks of the transformer that are queued while one is worked on: the GPU never waits,
/// and whoever stops an evaluation waits for no more than these.
const AHEAD: usize = 2;

/// Keeps the queue that long.
pub struct Pace {
    stream: Arc<CudaStream>,
    marks: VecDeque<CudaEvent>,
}

impl Pace {
    /// For work on `device`.
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self {
            stream: device.as_cuda_device()?.cuda_stream(),
            marks: VecDeque::new(),
        })
    }

    /// Marks what is queued so far, and waits until all but the last marks are reached.
    pub fn step(&mut self) -> Result<()> {
        // A thread that waits sleeps.
        let flags = Some(CUevent_flags::CU_EVENT_BLOCKING_SYNC);
        self.marks.push_back(self.stream.record_event(flags).w()?);
        while self.marks.len() > AHEAD {
            if let Some(mark) = self.marks.pop_front() {
                mark.synchronize().w()?;
            }
        }
        Ok(())
    }
}

/// Host memory that the GPU writes at full speed, kept from evaluation to evaluation.
static LANDING: Mutex<Option<Pinned<f32>>> = Mutex::new(None);

/// Waits for `tensor` and calls `take` with its values; none where there is no such
/// memory for it.
pub fn read<R>(tensor: &Tensor, take: impl FnOnce(&[f32]) -> R) -> Result<Option<R>> {
    let Some(device) = device_of(tensor) else {
        return Ok(None);
    };
    let tensor = tensor.to_dtype(DType::F32)?.contiguous()?;
    let (count, stream) = (tensor.elem_count(), device.cuda_stream());
    let mut landing = LANDING.lock().unwrap_or_else(PoisonError::into_inner);
    if landing.as_ref().is_none_or(|l| l.as_slice().len() < count) {
        let driver = Driver::open(stream.context().ordinal());
        let Ok(fresh) = driver.and_then(|driver| Pinned::new(&driver, count)) else {
            return Ok(None);
        };
        *landing = Some(fresh);
    }
    let Some(landing) = landing.as_mut() else {
        return Ok(None);
    };
    stream.context().bind_to_thread().w()?;
    let values = &mut landing.as_mut_slice()[..count];
    // SAFETY: as many values lie there; they are waited for before they are looked at.
    unsafe { result::memcpy_dtoh_async(values, address(&tensor)?, stream.cu_stream()) }.w()?;
    stream.synchronize().w()?;
    Ok(Some(take(values)))
}
