//! cuDNN's handle: its state on one device.

use std::ffi::c_void;

use super::Result;
use super::library::{Library, Raw};

/// cuDNN on the device whose context is current. One thread at a time may use it.
pub struct Handle {
    pub(super) raw: Raw,
    pub(super) library: &'static Library,
}

// SAFETY: not bound to a thread.
unsafe impl Send for Handle {}

impl Handle {
    /// Opens cuDNN on the device whose context is current to this thread.
    ///
    /// # Errors
    /// Where the device or its driver is not for this cuDNN.
    pub fn new(library: &'static Library) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: `raw` can be written.
        let status = unsafe { (library.create)(&mut raw) };
        library.checked(status, || "cuDNN on the device".to_owned())?;
        Ok(Self { raw, library })
    }

    /// The library that it is of.
    pub fn library(&self) -> &'static Library {
        self.library
    }

    /// Lets work be queued on `stream`, a `CUstream`.
    ///
    /// # Safety
    /// It is a stream of this device, and stays while it is used here.
    pub unsafe fn on(&self, stream: *mut c_void) -> Result<()> {
        // SAFETY: as the caller says.
        let status = unsafe { (self.library.set_stream)(self.raw, stream) };
        self.library.checked(status, || "the stream".to_owned())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by cuDNN, and nobody uses it any more.
        unsafe { (self.library.destroy)(self.raw) };
    }
}
