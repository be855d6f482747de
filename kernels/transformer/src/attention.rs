//! Attention on candle's tensors and stream: cuDNN's, else our own kernel's.

use std::sync::{Arc, OnceLock};

use candle_core::{CudaDevice, DType, Layout, Result, Tensor};
use half::{bf16, f16};
use longtake_cudnn::attention::{ALIGNMENT, Attention, K, OUT, Q, V, Way};
use longtake_cudnn::names::DataType;
use longtake_kernels::Number;
use longtake_kernels::attention::{self as kernel, Shape};
use longtake_kernels::driver::{Device, Part, PartMut, Stream};

use crate::engines::Engines;
use crate::memory::{address, device_of, room};
use crate::notices::notice;

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Whoever can, the fastest first.
    Any,
    /// cuDNN alone, told in one way.
    Cudnn(Way),
    /// Our own kernel alone.
    Kernel,
}

/// Attention on one GPU.
pub struct FusedAttention {
    device: CudaDevice,
    engines: Option<Engines>,
    /// For our own kernel, in the context that candle has of the device; none where it
    /// did not pass its trial. Tried when it is needed.
    kernels: OnceLock<Option<Arc<Device>>>,
}

impl FusedAttention {
    /// Attention on `device`; where cuDNN is missing a notice says so.
    pub fn new(device: &CudaDevice) -> Self {
        let engines = Engines::new(device).map_err(|error| {
            notice(format!("attention is not cuDNN's, and slower: {error}"));
        });
        Self {
            device: device.clone(),
            engines: engines.ok(),
            kernels: OnceLock::new(),
        }
    }

    /// The device, if our own kernel can be relied on there.
    fn kernels(&self) -> Option<&Arc<Device>> {
        let tried = || {
            let device = Device::open(self.device.cuda_stream().context().ordinal());
            let outcome = device.and_then(|device| {
                let right = kernel::is_right(&Stream::new(&device)?)?;
                Ok(right.then_some(device))
            });
            match outcome {
                Ok(Some(device)) => Some(device),
                Ok(None) => {
                    notice(
                        "attention is not fused, and much slower: our own kernel gives other \
                         numbers here than on the CPU; install cuDNN 9"
                            .to_owned(),
                    );
                    None
                }
                Err(error) => {
                    notice(format!("attention is not fused, and much slower: {error}"));
                    None
                }
            }
        };
        self.kernels.get_or_init(tried).as_ref()
    }

    /// As `Accelerated::attention`, by whoever `by` has it.
    pub fn attend(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        heads: usize,
        by: By,
    ) -> Result<Option<Tensor>> {
        let ours = |t: &Tensor| device_of(t).is_some_and(|d| d.id() == self.device.id());
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
        let (q, k, v, wide) = (narrow(q)?, narrow(k)?, narrow(v)?, q.dtype());
        let out = room(q.shape(), kind, &self.device)?;
        let done = match (by, &self.engines) {
            (By::Any, Some(engines)) => queue(engines, None, [&q, &k, &v, &out], heads)?,
            (By::Cudnn(way), Some(engines)) => {
                queue(engines, Some(way), [&q, &k, &v, &out], heads)?
            }
            _ => false,
        };
        let done = done
            || match (by, kind) {
                (By::Cudnn(_), _) => false,
                (_, DType::F16) => self.launch::<f16>([&q, &k, &v, &out], heads)?,
                (..) => self.launch::<bf16>([&q, &k, &v, &out], heads)?,
            };
        done.then(|| out.to_dtype(wide)).transpose()
    }

    /// Queues our own kernel. False where it is nothing for it.
    fn launch<T: Number>(&self, tensors: [&Tensor; 4], heads: usize) -> Result<bool> {
        let [q, k, v, out] = tensors;
        let (batch, queries, channels) = q.dims3()?;
        let strides = |t: &Tensor| [t.stride()[0], t.stride()[1]];
        let shape = Shape {
            batch,
            heads,
            width: channels / heads,
            queries,
            keys: k.dim(1)?,
            strides: [strides(q), strides(k), strides(v)],
        };
        if !kernel::is_taken::<T>(&shape) {
            return Ok(false);
        }
        let Some(device) = self.kernels() else {
            return Ok(false);
        };
        let [of_q, of_k, of_v, of_out] = shape.lengths();
        let [q, k, v, out] = [address(q)?, address(k)?, address(v)?, address(out)?];
        // SAFETY: candle's stream, of the same context; nothing is kept of it.
        let stream =
            unsafe { Stream::of_host(device, self.device.cuda_stream().cu_stream().cast()) };
        // SAFETY: from the first number of each tensor to its last.
        let (q, k, v) = unsafe { (Part::at(q, of_q), Part::at(k, of_k), Part::at(v, of_v)) };
        // SAFETY: as above; it was just made, so nobody else knows it.
        let out = unsafe { PartMut::<T>::at(out, of_out) };
        let queued = kernel::launch::<T>(&stream, &shape, q, k, v, out);
        queued.map_err(candle_core::Error::wrap)?;
        Ok(true)
    }
}

/// Queues attention by cuDNN: q, k, v and the answers, [batch, tokens, heads · width].
fn queue(engines: &Engines, way: Option<Way>, tensors: [&Tensor; 4], heads: usize) -> Result<bool> {
    let [q, k, v, out] = tensors;
    let shape = asked(heads, q.dtype(), [q, k, v, out].map(Tensor::layout))?;
    let places = [
        (Q, address(q)?),
        (K, address(k)?),
        (V, address(v)?),
        (OUT, address(out)?),
    ];
    // SAFETY: of these tensors, whose memory candle frees on the same stream.
    unsafe { engines.attend(&shape, way, places) }
}

/// What cuDNN is asked for, of q, k, v and the answers.
fn asked(heads: usize, kind: DType, layouts: [&Layout; 4]) -> Result<Attention> {
    let [q, k, _, _] = layouts;
    let (batch, queries, channels) = q.shape().dims3()?;
    let keys = k.shape().dims3()?.1;
    let width = (channels / heads) as i64;
    Ok(Attention {
        kind: match kind {
            DType::F16 => DataType::F16,
            _ => DataType::Bf16,
        },
        batch: batch as i64,
        heads: heads as i64,
        queries: queries as i64,
        keys: keys as i64,
        width,
        strides: layouts.map(|layout| {
            let s = layout.stride();
            [s[0] as i64, width, s[1] as i64]
        }),
    })
}

/// `t` [batch, tokens, channels], copied where its rows do not begin at multiples of
/// [`ALIGNMENT`] bytes with channels side by side.
fn aligned(t: Tensor, heads: usize) -> Result<Tensor> {
    let whole = ALIGNMENT as usize / t.dtype().size_in_bytes();
    let layout = t.layout();
    let (_, _, channels) = layout.shape().dims3()?;
    let fits = layout.start_offset().is_multiple_of(whole)
        && layout.stride()[2] == 1
        && layout.stride()[..2].iter().all(|s| s.is_multiple_of(whole))
        && (channels / heads).is_multiple_of(whole);
    if fits { Ok(t) } else { t.force_contiguous() }
}
