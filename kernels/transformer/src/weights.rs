//! The weights, asked for one by one of the side that has the files.

use std::ffi::c_void;

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::Init;
use candle_nn::var_builder::SimpleBackend;

use crate::engine::wan::transformer::message::number;

/// Numbers of one tensor, which stay until the next is asked for.
#[repr(C)]
pub struct Given {
    data: *const u8,
    bytes: usize,
}

/// Gives the tensor of a name and shape in the type of a number; 0 where it
/// did.
pub type Get = unsafe extern "C" fn(
    context: *mut c_void,
    name: *const u8,
    name_bytes: usize,
    shape: *const usize,
    rank: usize,
    kind: u32,
    given: *mut Given,
) -> i32;

/// Asks for weights.
pub struct Asker {
    /// Who is asked.
    pub get: Get,
    /// Handed to them.
    pub context: *mut c_void,
    /// Where they go.
    #[cfg(feature = "cuda")]
    pub split: std::sync::Arc<crate::away::Split>,
}

// SAFETY: used by the thread that opens a model, while it opens it.
unsafe impl Send for Asker {}
// SAFETY: as above.
unsafe impl Sync for Asker {}

impl SimpleBackend for Asker {
    fn get(&self, s: Shape, name: &str, _: Init, dtype: DType, dev: &Device) -> Result<Tensor> {
        let mut given = Given {
            data: std::ptr::null(),
            bytes: 0,
        };
        let Some(kind) = number(dtype) else {
            candle_core::bail!("weights of {dtype:?} are not handed over");
        };
        let shape = s.dims();
        // SAFETY: as the interface has it: all of these live until it returns.
        let answer = unsafe {
            (self.get)(
                self.context,
                name.as_ptr(),
                name.len(),
                shape.as_ptr(),
                shape.len(),
                kind,
                &mut given,
            )
        };
        let wanted = s.elem_count() * dtype.size_in_bytes();
        if answer != 0 || given.bytes != wanted || given.data.is_null() {
            candle_core::bail!("the weight {name} was not handed over");
        }
        // SAFETY: the other side gave as many bytes, which stay until it is asked again.
        let bytes = unsafe { std::slice::from_raw_parts(given.data, given.bytes) };
        #[cfg(feature = "cuda")]
        if let Some(stands_for) = self.split.take(name, &s, dtype, bytes)? {
            return Ok(stands_for);
        }
        Tensor::from_raw_buffer(bytes, dtype, shape, dev)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} is asked for without a shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        // Matrices of few bits are handed over widened.
        !name.ends_with(".packed")
    }
}
