//! cuDNN on candle's device and stream.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use candle_core::cuda_backend::WrapErr;
use candle_core::{CudaDevice, DType, Result};
use longtake_cudnn::attention::{Attention, SCALE, Way};
use longtake_cudnn::{CudnnError, Handle, Library, Plan, Target};

use crate::memory::{address, room};
use crate::notices::notice;

/// Shapes whose engines are kept. Each takes half a second to make; a model has a few.
const KEPT: usize = 64;

/// An engine for each shape that was asked for, or none where cuDNN has none.
type Plans = HashMap<(Attention, Option<Way>), Option<Plan>>;

/// cuDNN on one GPU.
pub struct Engines {
    device: CudaDevice,
    state: Mutex<State>,
}

struct State {
    /// Given up before the handle that they were made for.
    plans: Plans,
    handle: Handle,
}

impl Engines {
    /// cuDNN on `device`.
    ///
    /// # Errors
    /// Where there is none, or it is not for this device.
    pub fn new(device: &CudaDevice) -> std::result::Result<Self, CudnnError> {
        let library = Library::of_process()?;
        let stream = device.cuda_stream();
        let bound = stream.context().bind_to_thread();
        bound.map_err(|error| CudnnError::Foreign {
            path: "the GPU".to_owned(),
            why: error.to_string(),
        })?;
        let handle = Handle::new(library)?;
        // SAFETY: candle's own stream, which lives as long as its device, held beside.
        unsafe { handle.on(stream.cu_stream().cast()) }?;
        Ok(Self {
            device: device.clone(),
            state: Mutex::new(State {
                plans: Plans::new(),
                handle,
            }),
        })
    }

    /// Queues attention of `shape`, said in `way` or any; `tensors` are q, k, v and the
    /// answers by their numbers and addresses. False where cuDNN does not do it; a notice
    /// says why.
    ///
    /// # Safety
    /// The memory is as `shape` has it, and freed in order with the work on the device's
    /// stream.
    pub unsafe fn attend(
        &self,
        shape: &Attention,
        way: Option<Way>,
        tensors: [(i64, u64); 4],
    ) -> Result<bool> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { plans, handle } = &mut *state;
        self.device.cuda_stream().context().bind_to_thread().w()?;
        let key = (shape.clone(), way);
        if !plans.contains_key(&key) {
            if plans.len() >= KEPT {
                plans.clear();
            }
            let target = Target::Device(handle);
            let plan = match way {
                Some(way) => shape.plan_by(way, handle.library(), &target),
                None => shape.plan(handle.library(), &target),
            };
            let plan = plan.map_err(|error| slower(shape, &error));
            plans.insert(key.clone(), plan.ok());
        }
        let Some(Some(plan)) = plans.get(&key) else {
            return Ok(false);
        };
        let workspace = room(plan.workspace().max(1), DType::U8, &self.device)?;
        let scale = 1.0 / (shape.width as f32).sqrt();
        let at = |(id, address): (i64, u64)| (id, address as *mut c_void);
        let [q, k, v, out] = tensors.map(at);
        let scale = (SCALE, (&raw const scale).cast_mut().cast());
        let workspace = address(&workspace)? as *mut c_void;
        // SAFETY: as the caller says; the workspace is freed on the same stream.
        let queued = unsafe { plan.execute(handle, &[q, k, v, out, scale], workspace) };
        if let Err(error) = &queued {
            // Not again: the other ways are slower, but may do it.
            slower(shape, error);
            plans.insert(key, None);
        }
        Ok(queued.is_ok())
    }
}

fn slower(shape: &Attention, why: &CudnnError) {
    let [n, m] = [shape.queries, shape.keys];
    notice(format!(
        "attention of {n} to {m} tokens is not cuDNN's, and slower: {why}"
    ));
}
