//! The GPU, where there is one: chosen, opened, tried and given up in one place.
//!
//! Work is handed over as a closure. Where no GPU is to be used, or one fails that the
//! artist allowed to be replaced, the answer is `None` and the caller works on the
//! CPU, which makes the same pixels.

#[cfg(test)]
pub(crate) mod emulated;
mod held;
pub mod libraries;
#[cfg(test)]
mod tests;
mod trial;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longtake_kernels::driver::{CallersContext, Device, DeviceError};
use parking_lot::Mutex;

pub use held::Gpu;

use super::memory::bytes_of_gib;
use super::notices;

/// Where frames are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// On a GPU where one can be used, else on the CPU.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On a GPU; an error where that cannot be.
    Gpu,
}

/// What is known of the GPU.
enum State {
    /// Nobody asked yet.
    Unknown,
    /// Open and tried.
    Open(Box<Gpu>),
    /// Not to be used: why, and until when where that may change.
    Closed(DeviceError, Option<Instant>),
}

static STATE: Mutex<State> = Mutex::new(State::Unknown);
/// Whether there is no driver: most machines, which nobody waits for a lock on.
static NONE: AtomicBool = AtomicBool::new(false);

/// How long a GPU is left alone that had too little memory.
const REST: Duration = Duration::from_secs(10);

/// Runs `work` on the GPU, as `choice` has it; none where the CPU is to do it.
///
/// The GPU is lent to one thread at a time. `work` must not wait for other threads of
/// the pool, since they may wait for the GPU. The thread has its own CUDA context again
/// when this returns: it may be a host's.
///
/// # Errors
/// Where the choice is the GPU and it cannot do the work; the sentence says why.
pub fn with<R>(
    choice: Choice,
    work: impl FnOnce(&mut Gpu) -> Result<R, DeviceError>,
) -> Result<Option<R>, DeviceError> {
    match choice {
        Choice::Cpu => return Ok(None),
        Choice::Auto if NONE.load(Ordering::Relaxed) => return Ok(None),
        _ => {}
    }
    let _callers = CallersContext::keep();
    let mut state = STATE.lock();
    let outcome = match open(&mut state) {
        Ok(gpu) => gpu.patiently(work),
        Err(error) => Err(error),
    };
    let error = match outcome {
        Ok(result) => return Ok(Some(result)),
        Err(error) => error,
    };
    give_up(&mut state, &error);
    match choice {
        Choice::Gpu => Err(error),
        _ => {
            // That there is none is no news.
            if !matches!(error, DeviceError::NoDriver | DeviceError::NoKernels) {
                notices::tell(format!("{error}; made on the CPU instead"));
            }
            Ok(None)
        }
    }
}

/// Whether [`with`] would try the GPU.
pub fn is_worth_asking(choice: Choice) -> bool {
    match choice {
        Choice::Cpu => false,
        Choice::Gpu => true,
        Choice::Auto if NONE.load(Ordering::Relaxed) => false,
        // Lent to somebody: it can be used.
        Choice::Auto if STATE.is_locked() => true,
        Choice::Auto => with(choice, |_| Ok(())).is_ok_and(|found| found.is_some()),
    }
}

/// Bytes of a GPU's memory that a model and pictures that are kept may take:
/// `LONGTAKE_GPU_MEMORY` in GiB (fractions are fine), where other programs are to have
/// the rest; none for what is free.
pub fn most_memory() -> Option<u64> {
    std::env::var("LONGTAKE_GPU_MEMORY")
        .ok()
        .and_then(|text| bytes_of_gib(&text))
}

fn open(state: &mut State) -> Result<&mut Gpu, DeviceError> {
    if let State::Closed(error, until) = state {
        match until {
            Some(until) if Instant::now() >= *until => *state = State::Unknown,
            _ => return Err(error.clone()),
        }
    }
    if let State::Unknown = state {
        let device = Device::open(0)?;
        let mut gpu = Gpu::new(&device)?;
        trial::pass(&mut gpu)?;
        *state = State::Open(Box::new(gpu));
    }
    match state {
        State::Open(gpu) => Ok(gpu),
        // Ruled out above.
        _ => Err(DeviceError::NoDevice),
    }
}

/// What `error` means for those who ask later.
fn give_up(state: &mut State, error: &DeviceError) {
    if let State::Closed(..) = state {
        return;
    }
    if matches!(error, DeviceError::NoDriver) {
        NONE.store(true, Ordering::Relaxed);
    }
    let until = error.is_passing().then(|| Instant::now() + REST);
    *state = State::Closed(error.clone(), until);
}
