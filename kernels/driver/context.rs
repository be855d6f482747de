//! The context that a thread works in, which belongs to whoever called us.

use std::panic::catch_unwind;

use cudarc::driver::sys::{self, CUcontext};

use super::device::is_present;
use super::{DeviceError, answer};

/// The context that this thread had, put back when this is dropped: what is done on a
/// device in between binds others.
pub struct CallersContext(CUcontext);

// SAFETY: a handle of the driver, which may be called from any thread.
unsafe impl Send for CallersContext {}
// SAFETY: as above.
unsafe impl Sync for CallersContext {}

impl CallersContext {
    /// That of this thread; none where there is no driver.
    pub fn keep() -> Option<Self> {
        if !is_present() {
            return None;
        }
        // A library of the driver's name that lacks a function makes cudarc panic.
        let found = catch_unwind(Self::of_thread).ok()?;
        // Before the driver has begun no thread has one.
        Some(found.unwrap_or(Self(std::ptr::null_mut())))
    }

    /// That of this thread, where the driver has begun.
    pub(super) fn of_thread() -> Result<Self, DeviceError> {
        let mut context = std::ptr::null_mut();
        // SAFETY: writes one handle.
        answer(
            unsafe { sys::cuCtxGetCurrent(&mut context) },
            "the context of a host",
        )?;
        Ok(Self(context))
    }

    pub(super) fn raw(&self) -> CUcontext {
        self.0
    }
}

impl Drop for CallersContext {
    fn drop(&mut self) {
        // SAFETY: the context that the thread had; its owner keeps it.
        unsafe {
            let _ = sys::cuCtxSetCurrent(self.0);
        }
    }
}
