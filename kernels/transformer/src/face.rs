//! The C interface. `src/engine/wan/face.rs` is the other side; a change here raises
//! `INTERFACE` in `transformer/message.rs`.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{DType, Device, Result};
use candle_nn::VarBuilder;

use crate::engine::wan::config::TransformerConfig;
use crate::engine::wan::transformer::Transformer;
use crate::engine::wan::transformer::message::{GpuMemory, INTERFACE, kind};
use crate::run::{Report, Stop, Watcher, sample, velocity};
use crate::weights::{Asker, Get};

/// Bytes that are given away, and back to be freed.
#[repr(C)]
pub struct Bytes {
    data: *mut u8,
    len: usize,
    capacity: usize,
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        let mut bytes = std::mem::ManuallyDrop::new(bytes);
        Self {
            data: bytes.as_mut_ptr(),
            len: bytes.len(),
            capacity: bytes.capacity(),
        }
    }
}

/// A model on a device.
pub struct Model {
    pub(crate) transformer: Transformer,
    pub(crate) device: Device,
    /// Dropped behind the transformer.
    #[cfg(feature = "cuda")]
    _kept: crate::away::Kept,
    /// And this behind both.
    #[cfg(feature = "cuda")]
    _memory: crate::gpu::KeptMemory,
}

/// What the two sides say to each other.
#[unsafe(no_mangle)]
pub extern "C" fn longtake_transformer_interface() -> u32 {
    INTERFACE
}

/// Loads the transformer of `config` (the JSON of a diffusers folder) on device
/// `ordinal`, as much of it as `memory` has room for; null where that fails, and
/// `failure` says why.
///
/// # Safety
/// `config` has `config_bytes` bytes; `get` may be called with `context`; `failure` can
/// be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn longtake_transformer_open(
    ordinal: usize,
    config: *const u8,
    config_bytes: usize,
    matrices: u32,
    memory: GpuMemory,
    get: Get,
    context: *mut c_void,
    failure: *mut Bytes,
) -> *mut Model {
    // SAFETY: as the caller says.
    let config = unsafe { std::slice::from_raw_parts(config, config_bytes) };
    match guarded(|| open(ordinal, config, matrices, memory, (get, context))) {
        Ok(model) => Box::into_raw(Box::new(model)),
        Err(text) => {
            // SAFETY: as the caller says.
            unsafe { failure.write(text.into_bytes().into()) };
            std::ptr::null_mut()
        }
    }
}

#[cfg_attr(not(feature = "cuda"), allow(unused_variables))]
fn open(
    ordinal: usize,
    config: &[u8],
    matrices: u32,
    memory: GpuMemory,
    (get, context): (Get, *mut c_void),
) -> Result<Model> {
    let text = std::str::from_utf8(config).map_err(candle_core::Error::wrap)?;
    let config = TransformerConfig::from_json(text).map_err(candle_core::Error::wrap)?;
    #[cfg(feature = "cuda")]
    let (device, away) = crate::gpu::device(ordinal)?;
    #[cfg(not(feature = "cuda"))]
    let device = Device::Cpu;
    // Matrices of 16 bits are multiplied by the tensor cores.
    let kept = match kind(matrices) {
        Some(DType::F16) => DType::F16,
        _ if device.is_cuda() => DType::BF16,
        Some(kept) => kept,
        None => candle_core::bail!("matrices of no type that is known"),
    };
    // Goes last where the loading fails on the way.
    #[cfg(feature = "cuda")]
    let kept_memory = crate::gpu::KeptMemory::new(&device)?;
    #[cfg(feature = "cuda")]
    let split = std::sync::Arc::new(crate::away::Split::new(&away, memory)?);
    let asker = Asker {
        get,
        context,
        #[cfg(feature = "cuda")]
        split: std::sync::Arc::clone(&split),
    };
    let vb = VarBuilder::from_backend(Box::new(asker), kept, device.clone());
    let transformer = Transformer::load(&config, &vb)?;
    Ok(Model {
        transformer,
        device,
        #[cfg(feature = "cuda")]
        _kept: split.finish(),
        #[cfg(feature = "cuda")]
        _memory: kept_memory,
    })
}

/// Evaluates: `request` is a message of inputs, `reply` becomes one of the velocity. 0
/// where it did, 1 where `stop` said so, else `failure` says why not.
///
/// # Safety
/// `model` is of [`longtake_transformer_open`]; `request` has `request_bytes` bytes;
/// `stop` may be called with `context`; `reply` and `failure` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn longtake_transformer_run(
    model: *const Model,
    request: *const u8,
    request_bytes: usize,
    stop: Stop,
    context: *mut c_void,
    reply: *mut Bytes,
    failure: *mut Bytes,
) -> i32 {
    // SAFETY: as the caller says.
    let (model, request, by) = unsafe {
        (
            &*model,
            std::slice::from_raw_parts(request, request_bytes),
            Watcher::new(stop, None, context),
        )
    };
    let answer = guarded(|| velocity(model, request, &by));
    // SAFETY: as the caller says.
    unsafe { told(answer, &by, reply, failure) }
}

/// Makes the latents of a run from noise on: `request` is a message of the run, `reply`
/// becomes one of what it made. `low` may be null; else it takes over below the part
/// `boundary` of the trained time steps. `report` is told how far it is. Answers as
/// [`longtake_transformer_run`].
///
/// # Safety
/// As there, for `low` and `report` too; both models are of one device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn longtake_transformer_sample(
    high: *const Model,
    low: *const Model,
    boundary: f64,
    request: *const u8,
    request_bytes: usize,
    stop: Stop,
    report: Report,
    context: *mut c_void,
    reply: *mut Bytes,
    failure: *mut Bytes,
) -> i32 {
    // SAFETY: as the caller says.
    let (high, low, request, by) = unsafe {
        (
            &*high,
            low.as_ref(),
            std::slice::from_raw_parts(request, request_bytes),
            Watcher::new(stop, Some(report), context),
        )
    };
    let low = low.map(|low| (low, boundary));
    let answer = guarded(|| sample(high, low, request, &by));
    // SAFETY: as the caller says.
    unsafe { told(answer, &by, reply, failure) }
}

/// What a call answers: 0 for a reply, 1 where it was stopped, else 2.
///
/// # Safety
/// `reply` and `failure` can be written.
unsafe fn told(
    answer: std::result::Result<Vec<u8>, String>,
    by: &Watcher,
    reply: *mut Bytes,
    failure: *mut Bytes,
) -> i32 {
    let (to, bytes, code) = match answer {
        Ok(bytes) => (reply, bytes, 0),
        Err(_) if by.stops() => return 1,
        Err(text) => (failure, text.into_bytes(), 2),
    };
    // SAFETY: as the caller says.
    unsafe { to.write(bytes.into()) };
    code
}

/// A sentence that the artist should read: what is done in a slower way than it could be,
/// and why. Each is given once; null data where there is none left.
#[unsafe(no_mangle)]
pub extern "C" fn longtake_transformer_notice() -> Bytes {
    crate::notices::told().map_or(
        Bytes {
            data: std::ptr::null_mut(),
            len: 0,
            capacity: 0,
        },
        |text| text.into_bytes().into(),
    )
}

/// Frees what a call gave.
///
/// # Safety
/// `bytes` are those that a call gave, once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn longtake_transformer_free(bytes: Bytes) {
    if !bytes.data.is_null() {
        // SAFETY: parts of a vector, as `Bytes::from` took them.
        drop(unsafe { Vec::from_raw_parts(bytes.data, bytes.len, bytes.capacity) });
    }
}

/// Ends a model.
///
/// # Safety
/// `model` is of [`longtake_transformer_open`] and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn longtake_transformer_close(model: *mut Model) {
    if !model.is_null() {
        // SAFETY: made by `Box::into_raw`.
        let model = unsafe { Box::from_raw(model) };
        let _ = guarded(|| {
            drop(model);
            Ok(())
        });
    }
}

/// Runs `work`; an error and a panic become a text. A library of CUDA that lacks a
/// function makes cudarc panic.
pub(crate) fn guarded<R>(work: impl FnOnce() -> Result<R>) -> std::result::Result<R, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(crate::device::ops::plainly(&error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("an error of its own").to_owned())
        }
    }
}
