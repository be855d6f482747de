//! Attention by cuDNN on candle's tensors and stream.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DeviceRepr, SyncOnDrop,
};
use candle_core::cuda_backend::{CudaDType, WrapErr};
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor,
};
use half::{bf16, f16};
use longtake_cudnn::attention::{ALIGNMENT, Attention, K, OUT, Q, SCALE, V};
use longtake_cudnn::names::DataType;
use longtake_cudnn::{CudnnError, Handle, Library, Plan, Target};

use crate::notices::notice;

/// Shapes whose engines are kept. Each takes half a second to make; a model has a few.
const KEPT: usize = 64;

/// Attention on one GPU.
pub struct FusedAttention {
    device: CudaDevice,
    cudnn: Mutex<Cudnn>,
}

/// cuDNN on the GPU.
enum Cudnn {
    /// Ready, with an engine for each shape that was asked for, or none where it has none.
    Open(Handle, HashMap<Attention, Option<Arc<Plan>>>),
    /// Not to be had.
    Closed,
}

impl FusedAttention {
    /// Attention on `device`; where cuDNN is missing a notice says so.
    pub fn new(device: &CudaDevice) -> Self {
        let cudnn = open(device).map_or_else(
            |error| {
                notice(format!("attention is not fused, and slower: {error}"));
                Cudnn::Closed
            },
            |handle| Cudnn::Open(handle, HashMap::new()),
        );
        Self {
            device: device.clone(),
            cudnn: Mutex::new(cudnn),
        }
    }

    /// As `Accelerated::attention`.
    pub fn attend(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        heads: usize,
    ) -> Result<Option<Tensor>> {
        let ours = |t: &Tensor| match t.device() {
            Device::Cuda(device) => device.id() == self.device.id(),
            _ => false,
        };
        // The tensor cores take 16 bits, as in the reference.
        let kind = match q.dtype() {
            DType::BF16 | DType::F32 => DType::BF16,
            DType::F16 => DType::F16,
            _ => return Ok(None),
        };
        if !ours(q) || !ours(k) || !ours(v) || q.elem_count() == 0 {
            return Ok(None);
        }
        let narrow = |t: &Tensor| aligned(t.to_dtype(kind)?, heads);
        let (narrow_q, narrow_k, narrow_v) = (narrow(q)?, narrow(k)?, narrow(v)?);
        let operation = Fused { gpu: self, heads };
        let shape = operation.shape(
            kind,
            narrow_q.layout(),
            narrow_k.layout(),
            narrow_v.layout(),
        )?;
        // Made ready before anything is asked for, so that a refusal costs nothing.
        if self.run(&shape, |_, _| Ok(()))?.is_none() {
            return Ok(None);
        }
        match narrow_q.apply_op3_no_bwd(&narrow_k, &narrow_v, &operation) {
            Ok(out) => Ok(Some(out.to_dtype(q.dtype())?)),
            // Not again: candle's way is slow, but may do it.
            Err(error) => {
                self.refuse(shape, &error);
                Ok(None)
            }
        }
    }

    /// Leaves `shape` to candle from now on, since cuDNN failed at it.
    fn refuse(&self, shape: Attention, why: &candle_core::Error) {
        notice_of(&shape, why);
        let mut cudnn = self.cudnn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Cudnn::Open(_, plans) = &mut *cudnn {
            plans.insert(shape, None);
        }
    }

    /// Runs attention of `shape` by cuDNN, where it has an engine for it; `run` is handed
    /// that and the handle, on the GPU's stream.
    fn run<R>(
        &self,
        shape: &Attention,
        run: impl FnOnce(&Handle, &Plan) -> Result<R>,
    ) -> Result<Option<R>> {
        let mut cudnn = self.cudnn.lock().unwrap_or_else(PoisonError::into_inner);
        let Cudnn::Open(handle, plans) = &mut *cudnn else {
            return Ok(None);
        };
        let stream = self.device.cuda_stream();
        stream.context().bind_to_thread().w()?;
        if !plans.contains_key(shape) {
            if plans.len() >= KEPT {
                plans.clear();
            }
            let plan = shape.plan(handle.library(), &Target::Device(handle));
            let plan = plan.map(Arc::new).map_err(|error| notice_of(shape, &error));
            plans.insert(shape.clone(), plan.ok());
        }
        match plans.get(shape) {
            Some(Some(plan)) => run(handle, plan).map(Some),
            _ => Ok(None),
        }
    }
}

fn open(device: &CudaDevice) -> std::result::Result<Handle, CudnnError> {
    let library = Library::of_process()?;
    let stream = device.cuda_stream();
    let bound = stream.context().bind_to_thread();
    bound.map_err(|error| CudnnError::Foreign {
        path: "the GPU".to_owned(),
        why: error.to_string(),
    })?;
    let handle = Handle::new(library)?;
    // SAFETY: candle's own stream, which lives as long as its device, held beside this.
    unsafe { handle.on(stream.cu_stream().cast()) }?;
    Ok(handle)
}

/// `t` [batch, tokens, channels], copied where its rows do not begin at multiples of
/// [`ALIGNMENT`] bytes with channels side by side.
fn aligned(t: Tensor, heads: usize) -> Result<Tensor> {
    let whole = ALIGNMENT as usize / t.dtype().size_in_bytes();
    let layout = t.layout();
    let (_, _, channels) = layout.shape().dims3()?;
    let fits = layout.start_offset() % whole == 0
        && layout.stride()[2] == 1
        && layout.stride()[..2].iter().all(|s| s % whole == 0)
        && (channels / heads) % whole == 0;
    if fits { Ok(t) } else { t.force_contiguous() }
}

/// Attention by cuDNN as an operation of candle's.
struct Fused<'a> {
    gpu: &'a FusedAttention,
    heads: usize,
}

impl Fused<'_> {
    /// What cuDNN is asked for, of q, k and v [batch, tokens, heads · width].
    fn shape(&self, kind: DType, q: &Layout, k: &Layout, v: &Layout) -> Result<Attention> {
        let (batch, queries, channels) = q.shape().dims3()?;
        let keys = k.shape().dims3()?.1;
        let width = channels / self.heads;
        let strides = |layout: &Layout| {
            let s = layout.stride();
            [s[0] as i64, width as i64, s[1] as i64]
        };
        Ok(Attention {
            kind: match kind {
                DType::F16 => DataType::F16,
                _ => DataType::Bf16,
            },
            batch: batch as i64,
            heads: self.heads as i64,
            queries: queries as i64,
            keys: keys as i64,
            width: width as i64,
            strides: [
                strides(q),
                strides(k),
                strides(v),
                [(queries * channels) as i64, width as i64, channels as i64],
            ],
        })
    }

    fn on<T: CudaDType + DeviceRepr>(
        &self,
        shape: &Attention,
        inputs: [(&CudaStorage, &Layout); 3],
    ) -> Result<CudaSlice<T>> {
        let device = &self.gpu.device;
        let stream = device.cuda_stream();
        let count = (shape.batch * shape.heads * shape.queries * shape.width) as usize;
        // SAFETY: all of it is written below.
        let mut out = unsafe { device.alloc::<T>(count) }?;
        let scale = 1.0 / (shape.width as f32).sqrt();
        let done = self.gpu.run(shape, |handle, plan| {
            // SAFETY: only written before it is read, by cuDNN.
            let mut room = unsafe { device.alloc::<u8>(plan.workspace().max(1)) }?;
            let [(q, at_q), (k, at_k), (v, at_v)] = inputs;
            let (q, _q) = address(T::as_cuda_slice(q)?, at_q, &stream);
            let (k, _k) = address(T::as_cuda_slice(k)?, at_k, &stream);
            let (v, _v) = address(T::as_cuda_slice(v)?, at_v, &stream);
            let (to, _to) = out.device_ptr_mut(&stream);
            let (room, _room) = room.device_ptr_mut(&stream);
            let tensors = [
                (Q, q),
                (K, k),
                (V, v),
                (OUT, to as *mut c_void),
                (SCALE, (&raw const scale).cast_mut().cast()),
            ];
            // SAFETY: memory of the shapes that the plan was made for, in use until the
            // work on this stream is done: it is freed on the same stream.
            let queued = unsafe { plan.execute(handle, &tensors, room as *mut c_void) };
            queued.map_err(candle_core::Error::wrap)
        })?;
        match done {
            Some(()) => Ok(out),
            None => candle_core::bail!("no engine for {shape:?}"),
        }
    }
}

/// Where `layout` begins in `slice`.
fn address<'a, T>(
    slice: &'a CudaSlice<T>,
    layout: &Layout,
    stream: &'a CudaStream,
) -> (*mut c_void, SyncOnDrop<'a>) {
    let (begin, guard) = slice.device_ptr(stream);
    let at = begin + (layout.start_offset() * size_of::<T>()) as u64;
    (at as *mut c_void, guard)
}

impl CustomOp3 for Fused<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        candle_core::bail!("cuDNN works on a GPU")
    }

    fn cuda_fwd(
        &self,
        q: &CudaStorage,
        at_q: &Layout,
        k: &CudaStorage,
        at_k: &Layout,
        v: &CudaStorage,
        at_v: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let shape = self.shape(q.dtype(), at_q, at_k, at_v)?;
        let inputs = [(q, at_q), (k, at_k), (v, at_v)];
        let device = self.gpu.device.clone();
        let out = match shape.kind {
            DataType::F16 => f16::wrap_cuda_slice(self.on::<f16>(&shape, inputs)?, device),
            _ => bf16::wrap_cuda_slice(self.on::<bf16>(&shape, inputs)?, device),
        };
        Ok((out, at_q.shape().clone()))
    }
}

fn notice_of(shape: &Attention, why: &dyn std::fmt::Display) {
    let [n, m] = [shape.queries, shape.keys];
    notice(format!(
        "attention of {n} to {m} tokens is not fused, and slower: {why}"
    ));
}
