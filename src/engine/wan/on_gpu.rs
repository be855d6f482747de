//! A transformer on a GPU.
//!
//! It works in another shared object (`kernels/transformer`), which is the same model and
//! the same sampler compiled with CUDA. What crosses is the weights one by one, and runs
//! and their latents as the messages of `pipeline/message.rs`. Its products are of 16
//! bits, so what it makes is not to the bit what the CPU makes: it is used where the
//! artist asks for it, and its results have names of their own.

use std::ffi::c_void;
use std::time::Duration;

use candle_core::{Device, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use parking_lot::{Mutex, MutexGuard};
use safetensors::View;

use super::config::TransformerConfig;
use super::face::{Bytes, Face, Given};
use super::pipeline::{Experts, Made, PipelineError, Run, SAMPLING};
use super::transformer::message::{self, GpuMemory};
use crate::device::gpu::libraries::ObjectError;
use crate::device::{Cancelled, Task, notices};

/// A transformer on a GPU.
pub struct OnGpu {
    face: Face,
    model: *mut c_void,
    /// The object takes one run at a time.
    busy: Mutex<()>,
}

// SAFETY: the object's model may be used from any thread, one after the other.
unsafe impl Send for OnGpu {}
// SAFETY: `busy` sees to that.
unsafe impl Sync for OnGpu {}

/// Why a transformer cannot work on a GPU.
#[derive(Debug, thiserror::Error)]
pub enum OnGpuError {
    /// The object cannot be had.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// It took no model.
    #[error(
        "the GPU does not take the model ({0}): close other programs that use it, choose a smaller model, or set device to cpu"
    )]
    Model(String),
}

/// Who hands weights over.
struct Giver<'a> {
    weights: &'a VarBuilder<'a>,
    held: Vec<u8>,
}

impl OnGpu {
    /// Hands the weights of `vb` to the first GPU, as many as `memory` has room for: the
    /// others stay in this machine's memory, and are brought over when they are needed.
    pub fn load(
        config: &TransformerConfig,
        vb: &VarBuilder<'_>,
        memory: GpuMemory,
    ) -> std::result::Result<Self, OnGpuError> {
        let face = Face::of_process()?;
        let text = config.to_json();
        let mut giver = Giver {
            weights: vb,
            held: Vec::new(),
        };
        let mut failure = Bytes::nothing();
        // SAFETY: all that is handed over lives until it returns.
        let model = unsafe {
            (face.open)(
                0,
                text.as_ptr(),
                text.len(),
                message::number(vb.dtype()).unwrap_or(0),
                memory,
                give,
                (&raw mut giver).cast(),
                &mut failure,
            )
        };
        if model.is_null() {
            return Err(OnGpuError::Model(face.text(failure)));
        }
        Ok(Self {
            face,
            model,
            busy: Mutex::new(()),
        })
    }

    /// Waits until nobody else's run goes.
    fn turn(&self, task: Task<'_>) -> std::result::Result<MutexGuard<'_, ()>, Cancelled> {
        loop {
            task.check()?;
            if let Some(turn) = self.busy.try_lock_for(Duration::from_millis(50)) {
                return Ok(turn);
            }
        }
    }
}

impl Experts<OnGpu> {
    /// Makes the latents of `run` where the models are.
    ///
    /// # Errors
    /// Where the GPU fails, what is given does not go together, or the work is to stop.
    pub fn sample(
        &self,
        run: &Run<'_>,
        task: Task<'_>,
    ) -> std::result::Result<Made, PipelineError> {
        let request = run.to_bytes()?;
        let _high = self.high.turn(task)?;
        let _low = match &self.low {
            Some((low, _)) => Some(low.turn(task)?),
            None => None,
        };
        let (low, boundary) = match &self.low {
            Some((low, boundary)) => (low.model.cast_const(), *boundary),
            None => (std::ptr::null(), 0.0),
        };
        let (mut reply, mut failure) = (Bytes::nothing(), Bytes::nothing());
        let face = &self.high.face;
        // SAFETY: the models are open; all that is handed over lives until it returns.
        let answer = unsafe {
            (face.sample)(
                self.high.model,
                low,
                boundary,
                request.as_ptr(),
                request.len(),
                stop,
                report,
                (&raw const task).cast_mut().cast(),
                &mut reply,
                &mut failure,
            )
        };
        if let Some(text) = face.notices() {
            notices::tell(text);
        }
        if answer == 0 {
            return Ok(Made::from_bytes(&face.taken(reply))?);
        }
        let text = face.text(failure);
        task.check()?;
        Err(candle_core::Error::Msg(failed(&text)).into())
    }
}

/// A sentence for a run that ended with `text`.
fn failed(text: &str) -> String {
    let less = match text
        .to_lowercase()
        .replace('_', " ")
        .contains("out of memory")
    {
        true => {
            "close other programs that use it, set LONGTAKE_GPU_MEMORY to fewer GiB so that more of the model stays away from it, or "
        }
        false => "",
    };
    format!("the GPU failed ({text}); {less}set device to cpu to go on without it")
}

impl Drop for OnGpu {
    fn drop(&mut self) {
        // SAFETY: opened in `load`, and nobody uses it any more.
        unsafe { (self.face.close)(self.model) };
    }
}

unsafe extern "C" fn stop(context: *mut c_void) -> i32 {
    // SAFETY: what `sample` handed over, which lives until it returns.
    let task = unsafe { &*context.cast_const().cast::<Task<'_>>() };
    i32::from(task.check().is_err())
}

unsafe extern "C" fn report(context: *mut c_void, fraction: f64) {
    // SAFETY: as above.
    let task = unsafe { &*context.cast_const().cast::<Task<'_>>() };
    task.progress.report(SAMPLING, fraction);
}

unsafe extern "C" fn give(
    context: *mut c_void,
    name: *const u8,
    name_bytes: usize,
    shape: *const usize,
    rank: usize,
    kind: u32,
    given: *mut Given,
) -> i32 {
    // SAFETY: what `load` handed over, and nobody else uses meanwhile.
    let giver = unsafe { &mut *context.cast::<Giver<'_>>() };
    // SAFETY: as the object hands them over.
    let (name, shape) = unsafe {
        (
            std::slice::from_raw_parts(name, name_bytes),
            std::slice::from_raw_parts(shape, rank),
        )
    };
    let (Ok(name), Some(kind)) = (std::str::from_utf8(name), message::kind(kind)) else {
        return 1;
    };
    let Ok(tensor) = giver
        .weights
        .get_with_hints_dtype(shape, name, Init::default(), kind)
        // A merged matrix may be narrower than it was asked for.
        .and_then(|tensor| tensor.to_dtype(kind))
    else {
        return 1;
    };
    let Ok(bytes) = bytes_of(&tensor) else {
        return 1;
    };
    giver.held = bytes;
    let (data, bytes) = (giver.held.as_ptr(), giver.held.len());
    // SAFETY: as the object hands it over.
    unsafe { given.write(Given { data, bytes }) };
    0
}

/// The numbers of a tensor, one behind the other.
fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>> {
    let flat = tensor.to_device(&Device::Cpu)?.contiguous()?;
    Ok(View::data(&flat).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_short_is_told_with_what_helps() {
        let short = failed("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")");
        assert!(
            short.contains("set LONGTAKE_GPU_MEMORY to fewer GiB"),
            "{short}"
        );
        assert!(short.ends_with("or set device to cpu to go on without it"));
        let other = failed("DriverError(CUDA_ERROR_ILLEGAL_ADDRESS)");
        assert!(!other.contains("LONGTAKE_GPU_MEMORY"), "{other}");
    }
}
