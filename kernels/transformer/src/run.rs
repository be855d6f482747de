//! What a model is asked for: a velocity, and the latents of a whole run.

use std::ffi::c_void;

use candle_core::{Error, Result, Tensor};

use crate::device::{Cancel, Progress, Task};
use crate::engine::wan::config::TransformerConfig;
use crate::engine::wan::pipeline::message::OwnedRun;
use crate::engine::wan::pipeline::{self, Experts, Made};
use crate::engine::wan::transformer::Inputs;
use crate::engine::wan::transformer::message::{Owned, values_to_bytes};
use crate::face::Model;

/// Whether to stop: not 0.
pub type Stop = unsafe extern "C" fn(context: *mut c_void) -> i32;
/// Is told which part of the steps is done, 0 to 1.
pub type Report = unsafe extern "C" fn(context: *mut c_void, fraction: f64);

/// Whoever waits for a run.
pub struct Watcher {
    stop: Stop,
    report: Option<Report>,
    context: *mut c_void,
    cancel: Cancel,
}

// SAFETY: a run calls it on its own thread alone.
unsafe impl Sync for Watcher {}

impl Watcher {
    /// # Safety
    /// `stop` and `report` may be called with `context` as long as this lives.
    pub unsafe fn new(stop: Stop, report: Option<Report>, context: *mut c_void) -> Self {
        Self {
            stop,
            report,
            context,
            cancel: Cancel::default(),
        }
    }

    /// Whether the work is to stop, once it has been said for good.
    pub fn stops(&self) -> bool {
        // SAFETY: as whoever made this said.
        if !self.cancel.is_cancelled() && unsafe { (self.stop)(self.context) } != 0 {
            self.cancel.cancel();
        }
        self.cancel.is_cancelled()
    }

    fn check(&self) -> Result<()> {
        match self.stops() {
            true => candle_core::bail!("stopped"),
            false => Ok(()),
        }
    }
}

impl Progress for Watcher {
    fn report(&self, _stage: &str, fraction: f64) {
        if let Some(report) = self.report {
            // SAFETY: as whoever made this said.
            unsafe { report(self.context, fraction) };
        }
        // What follows asks the flag alone.
        self.stops();
    }
}

/// A model and whoever waits for what it gives.
struct Watched<'a> {
    model: &'a Model,
    by: &'a Watcher,
}

impl pipeline::Model for Watched<'_> {
    fn config(&self) -> &TransformerConfig {
        self.model.transformer.config()
    }

    fn velocity(
        &self,
        inputs: &Inputs<'_>,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        let mut pace = crate::pace::Pace::new(&self.model.device)?;
        self.model.transformer.forward(inputs, &mut |_, _| {
            #[cfg(feature = "cuda")]
            pace.step()?;
            // What `check` asks is raised by this.
            self.by.stops();
            check()
        })
    }
}

/// The velocity for `request`, a message of inputs, as one of a velocity.
pub fn velocity(model: &Model, request: &[u8], by: &Watcher) -> Result<Vec<u8>> {
    let owned = Owned::from_bytes(request, &model.device)?;
    let watched = Watched { model, by };
    let velocity = pipeline::Model::velocity(&watched, &owned.inputs(), &mut || by.check())?;
    read(&velocity, |values| {
        values_to_bytes("velocity", (values, velocity.dims()), None)
    })?
}

/// The latents of `request`, a message of a run, as one of what was made. `low` is the
/// model for low noise, with the part of the trained time steps below which it takes over.
pub fn sample(
    high: &Model,
    low: Option<(&Model, f64)>,
    request: &[u8],
    by: &Watcher,
) -> Result<Vec<u8>> {
    let owned = OwnedRun::from_bytes(request, &high.device)?;
    let watched = |model| Watched { model, by };
    let experts = Experts {
        high: watched(high),
        low: low.map(|(low, boundary)| (watched(low), boundary)),
    };
    let task = Task {
        cancel: &by.cancel,
        progress: by,
    };
    let made = experts.sample(&owned.run(), task).map_err(Error::wrap)?;
    let latents = &made.latents;
    read(latents, |values| {
        Made::to_bytes((values, latents.dims()), made.cached)
    })?
}

/// Waits for `tensor` and calls `take` with its values.
fn read<R>(tensor: &Tensor, take: impl Fn(&[f32]) -> R) -> Result<R> {
    #[cfg(feature = "cuda")]
    if let Some(taken) = crate::pace::read(tensor, &take)? {
        return Ok(taken);
    }
    let values = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?;
    Ok(take(&values.to_vec1::<f32>()?))
}
