//! Attention alone, for `benches/gpu/attention.py`: what it computes and how long it takes.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, DevicePtrMut, DeviceRepr, result, sys};
use candle_core::cuda_backend::{CudaDType, WrapErr};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Device, Layout, Result, Shape, Storage, Tensor,
};
use half::bf16;
use longtake_cudnn::attention::Way;

use crate::attention::{By, FusedAttention};
use crate::device::ops::attention;
use crate::face::{Bytes, guarded};
use crate::notices::told;

/// What is asked for. Tensors [batch, tokens, heads · width] without gaps, at addresses
/// in the device's memory, whose contents are there already.
#[repr(C)]
pub struct Asked {
    ordinal: usize,
    /// 0: as the model has it; 1: by cuDNN as one operation; 2: as several; 3: by our own
    /// kernel.
    way: u32,
    /// 0 for f32, 2 for bf16.
    kind: u32,
    q: u64,
    k: u64,
    v: u64,
    out: u64,
    batch: usize,
    heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
    /// How often it is done, after a first time that is not counted.
    rounds: usize,
}

/// Does attention as `asked`, and waits for it: 0 where the answers are there and
/// `milliseconds` is the median time; else `failure` says why not.
///
/// # Safety
/// The addresses hold what `asked` says; `milliseconds` and `failure` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn longtake_transformer_try_attention(
    asked: *const Asked,
    milliseconds: *mut f32,
    failure: *mut Bytes,
) -> i32 {
    // SAFETY: as the caller says.
    let asked = unsafe { &*asked };
    let done = guarded(|| match asked.kind {
        0 => tried::<f32>(asked),
        _ => tried::<bf16>(asked),
    });
    match done {
        Ok(median) => {
            // SAFETY: as the caller says.
            unsafe { milliseconds.write(median) };
            0
        }
        Err(text) => {
            // SAFETY: as the caller says.
            unsafe { failure.write(text.into_bytes().into()) };
            1
        }
    }
}

/// The median time of `rounds` of `work` on the stream of `device`, in milliseconds.
fn timed(device: &Device, rounds: usize, mut work: impl FnMut() -> Result<()>) -> Result<f32> {
    let stream = device.as_cuda_device()?.cuda_stream();
    work()?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
        let begun = stream.record_event(flags).w()?;
        work()?;
        let ended = stream.record_event(flags).w()?;
        times.push(begun.elapsed_ms(&ended).w()?);
    }
    stream.synchronize().w()?;
    times.sort_by(f32::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or(0.0))
}

fn tried<T: CudaDType + DeviceRepr>(asked: &Asked) -> Result<f32> {
    let (device, _) = crate::gpu::device(asked.ordinal)?;
    // As it is where a model is.
    let _memory = crate::gpu::KeptMemory::new(&device)?;
    let stream = device.as_cuda_device()?.cuda_stream();
    let seed = Tensor::zeros(1, DType::U8, &device)?;
    let channels = asked.heads * asked.width;
    let taken = |address: u64, tokens: usize| {
        let shape = Shape::from((asked.batch, tokens, channels));
        let taken = Taken::<T>(address, shape, std::marker::PhantomData);
        seed.apply_op1_no_bwd(&taken)
    };
    let q = taken(asked.q, asked.queries)?;
    let (k, v) = (taken(asked.k, asked.keys)?, taken(asked.v, asked.keys)?);
    let by = match asked.way {
        0 => None,
        1 => Some(By::Cudnn(Way::One)),
        2 => Some(By::Cudnn(Way::Several)),
        _ => Some(By::Kernel),
    };
    let alone = FusedAttention::new(device.as_cuda_device()?);
    let mut found = None;
    let median = timed(&device, asked.rounds, || {
        found = match by {
            None => Some(attention(&q, &k, &v, asked.heads)?),
            Some(by) => alone.attend(&q, &k, &v, asked.heads, by)?,
        };
        match found.is_none() {
            true => candle_core::bail!("{}", told().unwrap_or("not taken".to_owned())),
            false => Ok(()),
        }
    })?;
    if let Some(found) = found {
        let found = found.contiguous()?;
        let (storage, layout) = found.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            candle_core::bail!("answers on another device");
        };
        let slice = T::as_cuda_slice(storage)?;
        let (from, _guard) = slice.device_ptr(&stream);
        let bytes = layout.shape().elem_count() * size_of::<T>();
        let from = from + (layout.start_offset() * size_of::<T>()) as u64;
        // SAFETY: as many bytes are on either side.
        unsafe { result::memcpy_dtod_async(asked.out, from, bytes, stream.cu_stream()) }.w()?;
        stream.synchronize().w()?;
    }
    Ok(median)
}

/// A tensor of what lies at an address.
struct Taken<T>(u64, Shape, std::marker::PhantomData<T>);

impl<T: CudaDType + DeviceRepr> CustomOp1 for Taken<T> {
    fn name(&self) -> &'static str {
        "taken"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        candle_core::bail!("for a GPU")
    }

    fn cuda_fwd(&self, seed: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let device = seed.device();
        let stream = device.cuda_stream();
        let count = self.1.elem_count();
        // SAFETY: written at once.
        let mut slice = unsafe { device.alloc::<T>(count) }?;
        {
            let (to, _guard) = slice.device_ptr_mut(&stream);
            let bytes = count * size_of::<T>();
            // SAFETY: as who asks says.
            unsafe { result::memcpy_dtod_async(to, self.0, bytes, stream.cu_stream()) }.w()?;
        }
        Ok((T::wrap_cuda_slice(slice, device.clone()), self.1.clone()))
    }
}
