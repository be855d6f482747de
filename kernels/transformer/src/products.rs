//! Linear layers by cuBLASLt: the product on the tensor cores with its bias and GELU in
//! the same pass.

use std::collections::HashMap;
use std::ffi::c_void;
use std::mem::size_of_val;
use std::sync::{Mutex, PoisonError};

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::cublaslt::result::{self, CublasError};
use candle_core::cuda_backend::cudarc::cublaslt::sys;
use candle_core::cuda_backend::cudarc::driver::DevicePtr;
use candle_core::{CudaDevice, D, DType, Result, Tensor};

use crate::device::ops::Activation;
use crate::memory::{address, device_of, room};
use crate::notices::notice;

/// Bytes that a product may work in: what NVIDIA advises for Hopper.
const WORKSPACE: usize = 32 << 20;
/// Addresses are multiples of this: cuBLASLt picks its kernels by that.
const ALIGNMENT: u64 = 256;
/// Shapes whose kernels are remembered.
const KEPT: usize = 256;

/// What a product is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    rows: usize,
    input: usize,
    output: usize,
    /// What is multiplied; summed in f32.
    kind: DType,
    /// The result, and the bias.
    out: DType,
    gelu: bool,
}

/// cuBLASLt on one device.
pub struct Products {
    handle: sys::cublasLtHandle_t,
    /// None where cuBLASLt has no kernel.
    plans: Mutex<HashMap<Shape, Option<Plan>>>,
}

// SAFETY: the handle may be used by several threads at once.
unsafe impl Send for Products {}
// SAFETY: as above; plans are behind a lock.
unsafe impl Sync for Products {}

impl Products {
    /// cuBLASLt on `device`.
    ///
    /// # Errors
    /// Where it does not open.
    pub fn new(device: &CudaDevice) -> Result<Self> {
        device.cuda_stream().context().bind_to_thread().w()?;
        Ok(Self {
            handle: result::create_handle().map_err(told)?,
            plans: Mutex::default(),
        })
    }

    /// `activation(x · weightᵀ + bias)`, see `ops::accelerated`. None where the types are
    /// others or cuBLASLt refuses; then a notice tells what it said.
    pub fn linear(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<Option<Tensor>> {
        let (Some(device), (output, input)) = (device_of(x), weight.dims2()?) else {
            return Ok(None);
        };
        let shape = Shape {
            rows: x.elem_count() / input.max(1),
            input,
            output,
            kind: weight.dtype(),
            out: x.dtype(),
            gelu: activation == Activation::GeluTanh,
        };
        let is_known = matches!(shape.kind, DType::BF16 | DType::F16)
            && (shape.out == DType::F32 || shape.out == shape.kind)
            && bias.dtype() == shape.out;
        if !is_known || shape.rows == 0 || output == 0 || x.dim(D::Minus1)? != input {
            return Ok(None);
        }
        let whole = |t: &Tensor| -> Result<(Tensor, u64)> {
            let t = t.contiguous()?;
            let at = address(&t)?;
            Ok((t, at))
        };
        let (x, at_x) = whole(&x.to_dtype(shape.kind)?)?;
        let (_weight, at_weight) = whole(weight)?;
        let (_bias, at_bias) = whole(bias)?;
        if [at_x, at_weight, at_bias]
            .iter()
            .any(|a| a % ALIGNMENT != 0)
        {
            return Ok(None);
        }
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= KEPT && !plans.contains_key(&shape) {
            plans.clear();
        }
        let plan = plans.entry(shape).or_insert_with(|| {
            let made = Plan::new(self.handle, &shape, at_bias);
            let refused = |error| {
                notice(format!(
                    "a product is not fused with what follows: cuBLASLt said {error} to {shape:?}"
                ));
            };
            made.map_err(refused).ok()
        });
        let Some(plan) = plan else {
            return Ok(None);
        };
        let mut dims = x.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = output;
        }
        let out = room(dims, shape.out, device)?;
        plan.run(
            self.handle,
            [at_weight, at_x, at_bias, address(&out)?],
            device,
        )?;
        drop(plans);
        match activation {
            Activation::None | Activation::GeluTanh => Ok(Some(out)),
            Activation::Gelu => out.gelu_erf().map(Some),
            Activation::Silu => out.silu().map(Some),
        }
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        // SAFETY: made in `new`, and plans hold nothing of it.
        unsafe {
            let _ = result::destroy_handle(self.handle);
        }
    }
}

/// A matrix as cuBLASLt sees it: column by column.
struct Layout(sys::cublasLtMatrixLayout_t);

impl Layout {
    fn new(kind: DType, rows: usize, columns: usize) -> std::result::Result<Self, CublasError> {
        let layout =
            result::create_matrix_layout(number(kind), rows as u64, columns as u64, rows as i64)?;
        Ok(Self(layout))
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: made in `new`.
        unsafe {
            let _ = result::destroy_matrix_layout(self.0);
        }
    }
}

/// How a product is made.
struct Operation(sys::cublasLtMatmulDesc_t);

impl Operation {
    fn set<T>(
        &self,
        what: sys::cublasLtMatmulDescAttributes_t,
        value: &T,
    ) -> std::result::Result<(), CublasError> {
        let (at, size) = (std::ptr::from_ref(value).cast(), size_of_val(value));
        // SAFETY: the value is read before this returns.
        unsafe { result::set_matmul_desc_attribute(self.0, what, at, size) }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // SAFETY: made in `Plan::new`.
        unsafe {
            let _ = result::destroy_matmul_desc(self.0);
        }
    }
}

/// What may be picked from.
struct Preference(sys::cublasLtMatmulPreference_t);

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: made in `Plan::new`.
        unsafe {
            let _ = result::destroy_matmul_pref(self.0);
        }
    }
}

/// A kernel for a shape.
struct Plan {
    operation: Operation,
    /// The weights, transposed to [input, output]; the tokens, [input, rows]; and the
    /// result, [output, rows]: rows of ours are columns to cuBLASLt.
    layouts: [Layout; 3],
    algorithm: sys::cublasLtMatmulAlgo_t,
    workspace: usize,
}

impl Plan {
    /// The kernel that cuBLASLt picks first: the same on every machine of a kind, so that
    /// results are.
    fn new(
        handle: sys::cublasLtHandle_t,
        shape: &Shape,
        bias: u64,
    ) -> std::result::Result<Self, CublasError> {
        use sys::cublasLtMatmulDescAttributes_t as Attribute;
        let wide = sys::cudaDataType_t::CUDA_R_32F;
        let sums = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let operation = Operation(result::create_matmul_desc(sums, wide)?);
        // CUBLAS_OP_T
        let transposed = 1i32;
        operation.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, &transposed)?;
        let behind = match shape.gelu {
            true => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_GELU_BIAS,
            false => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
        };
        operation.set(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, &behind)?;
        let kind = number(shape.out);
        operation.set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &kind)?;
        // Some versions look at where it lies; each product says it anew.
        operation.set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias)?;
        let layouts = [
            Layout::new(shape.kind, shape.input, shape.output)?,
            Layout::new(shape.kind, shape.input, shape.rows)?,
            Layout::new(shape.out, shape.output, shape.rows)?,
        ];
        let preference = Preference(result::create_matmul_pref()?);
        let most = WORKSPACE;
        // SAFETY: the value is read before this returns.
        unsafe {
            result::set_matmul_pref_attribute(
                preference.0,
                sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                std::ptr::from_ref(&most).cast(),
                size_of_val(&most),
            )?;
        }
        let [a, b, d] = &layouts;
        // SAFETY: all of them live.
        let found = unsafe {
            result::get_matmul_algo_heuristic(
                handle,
                operation.0,
                a.0,
                b.0,
                d.0,
                d.0,
                preference.0,
            )?
        };
        Ok(Self {
            operation,
            layouts,
            algorithm: found.algo,
            workspace: found.workspaceSize,
        })
    }

    /// Queues the product of weights, tokens and bias at these addresses into the last.
    fn run(
        &self,
        handle: sys::cublasLtHandle_t,
        [weight, x, bias, out]: [u64; 4],
        device: &CudaDevice,
    ) -> Result<()> {
        let stream = device.cuda_stream();
        stream.context().bind_to_thread().w()?;
        // Freed in order with the work on the stream.
        // SAFETY: written before it is read, by cuBLASLt.
        let workspace = unsafe { device.alloc::<u8>(self.workspace.max(1)) }?;
        let (at, _guard) = workspace.device_ptr(&stream);
        let what = sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER;
        self.operation.set(what, &bias).map_err(told)?;
        let (one, zero) = (1f32, 0f32);
        let [a, b, d] = &self.layouts;
        // SAFETY: memory of the shape's sizes, in use until the work on this stream is
        // done; the factors and the bias's address are read before this returns.
        unsafe {
            result::matmul(
                handle,
                self.operation.0,
                std::ptr::from_ref(&one).cast(),
                std::ptr::from_ref(&zero).cast(),
                weight as *const c_void,
                a.0,
                x as *const c_void,
                b.0,
                out as *const c_void,
                d.0,
                out as *mut c_void,
                d.0,
                &self.algorithm,
                at as *mut c_void,
                self.workspace,
                stream.cu_stream().cast(),
            )
        }
        .map_err(told)
    }
}

fn number(kind: DType) -> sys::cudaDataType_t {
    match kind {
        DType::F16 => sys::cudaDataType_t::CUDA_R_16F,
        DType::BF16 => sys::cudaDataType_t::CUDA_R_16BF,
        _ => sys::cudaDataType_t::CUDA_R_32F,
    }
}

fn told(error: CublasError) -> candle_core::Error {
    candle_core::Error::Msg(format!("cuBLASLt: {error}"))
}
