//! A device, opened once in a process and shared by all that work on it.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{self, CUcontext, CUdevice, CUdevice_attribute as Attribute, CUfunction};

use super::error::NEEDED;
use super::{DeviceError, answer};
use crate::IMAGES;

/// An opened device.
pub struct Device {
    raw: CUdevice,
    context: CUcontext,
    name: String,
    capability: (i32, i32),
    pools: bool,
    reads_pageable: bool,
    functions: Mutex<HashMap<&'static str, Function>>,
}

/// A kernel that was loaded. The module that it came from is never unloaded: the
/// device is open until the process ends.
#[derive(Clone, Copy)]
struct Function(CUfunction);

// SAFETY: handles of the driver; it may be called from any thread.
unsafe impl Send for Function {}
// SAFETY: as above; `functions` is behind a lock.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// Opens device `ordinal` (0 is the first) or tells why not. Costs some hundred
    /// milliseconds and device memory: only when there is work for it.
    pub fn open(ordinal: usize) -> Result<Arc<Self>, DeviceError> {
        // A library of the driver's name that lacks a function makes cudarc panic.
        catch_unwind(|| Self::try_open(ordinal)).unwrap_or(Err(DeviceError::NoDriver))
    }

    fn try_open(ordinal: usize) -> Result<Arc<Self>, DeviceError> {
        if !is_present() {
            return Err(DeviceError::NoDriver);
        }
        let found = version()?;
        if found < NEEDED {
            return Err(DeviceError::OldDriver { found });
        }
        // SAFETY: no arguments that matter.
        answer(unsafe { sys::cuInit(0) }, "to begin")?;
        let mut count = 0;
        // SAFETY: writes one number.
        answer(
            unsafe { sys::cuDeviceGetCount(&mut count) },
            "the number of devices",
        )?;
        if i32::try_from(ordinal).map_or(true, |o| o >= count) {
            return Err(DeviceError::NoDevice);
        }
        let mut raw: CUdevice = 0;
        // SAFETY: writes one handle.
        answer(
            unsafe { sys::cuDeviceGet(&mut raw, ordinal as i32) },
            "the device",
        )?;
        let device = Self::over(raw, std::ptr::null_mut())?;
        let capability = device.capability;
        if capability < (8, 0) {
            let name = device.name;
            return Err(DeviceError::OldDevice { name, capability });
        }
        if IMAGES.is_empty() && !is_emulation() {
            return Err(DeviceError::NoKernels);
        }
        Ok(Arc::new(Self {
            context: retain(raw)?,
            ..device
        }))
    }

    /// The device of a host's context, which becomes this thread's. Kernels are loaded
    /// into that context, once.
    ///
    /// # Safety
    /// The context lives as long as this is used.
    pub(super) unsafe fn of_host(context: CUcontext) -> Result<Arc<Self>, DeviceError> {
        // A handle may be given anew once a context is gone; its number is not.
        static KNOWN: Mutex<Vec<(u64, Arc<Device>)>> = Mutex::new(Vec::new());
        let mut number = 0;
        // SAFETY: the context lives; writes one number.
        answer(
            unsafe { sys::cuCtxGetId(context, &mut number) },
            "the number of a context",
        )?;
        // SAFETY: as above.
        answer(unsafe { sys::cuCtxSetCurrent(context) }, "a host's context")?;
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, device)) = known.iter().find(|(n, _)| *n == number) {
            return Ok(device.clone());
        }
        let mut raw: CUdevice = 0;
        // SAFETY: writes one handle.
        answer(
            unsafe { sys::cuCtxGetDevice(&mut raw) },
            "the device of a context",
        )?;
        let device = Arc::new(Self::over(raw, context)?);
        known.push((number, device.clone()));
        Ok(device)
    }

    /// The same device in the context that stays open until the process ends.
    pub(super) fn lasting(other: &Self) -> Result<Arc<Self>, DeviceError> {
        static OPEN: Mutex<Vec<Arc<Device>>> = Mutex::new(Vec::new());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = open.iter().find(|d| d.raw == other.raw) {
            return Ok(device.clone());
        }
        let device = Arc::new(Self::over(other.raw, retain(other.raw)?)?);
        open.push(device.clone());
        Ok(device)
    }

    /// A device and a context of it, whatever its kind.
    fn over(raw: CUdevice, context: CUcontext) -> Result<Self, DeviceError> {
        Ok(Self {
            raw,
            context,
            name: name(raw)?,
            capability: (
                attribute(raw, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                attribute(raw, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            pools: attribute(raw, Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? > 0,
            reads_pageable: attribute(raw, Attribute::CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS)?
                > 0,
            functions: Mutex::default(),
        })
    }

    /// The driver's handle.
    pub(super) fn raw(&self) -> CUdevice {
        self.raw
    }

    /// What the device is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its compute capability.
    pub fn capability(&self) -> (i32, i32) {
        self.capability
    }

    /// Whether this is the emulation for tests and no GPU.
    pub fn is_emulation(&self) -> bool {
        is_emulation()
    }

    /// Bytes of its memory that are free, and that it has.
    pub fn memory(&self) -> Result<(usize, usize), DeviceError> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two numbers about the context that was just bound.
        answer(
            unsafe { sys::cuMemGetInfo_v2(&mut free, &mut total) },
            "free memory",
        )?;
        Ok((free, total))
    }

    /// The number of multiprocessors.
    pub fn multiprocessors(&self) -> Result<usize, DeviceError> {
        let n = attribute(
            self.raw,
            Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
        )?;
        Ok(n.max(1) as usize)
    }

    /// Makes its context that of this thread.
    pub(crate) fn bind(&self) -> Result<(), DeviceError> {
        // SAFETY: the context is open as long as `self`.
        answer(unsafe { sys::cuCtxSetCurrent(self.context) }, "its context")
    }

    /// Whether memory comes from the driver's pool, in order with a stream's work.
    pub(super) fn has_pools(&self) -> bool {
        self.pools
    }

    /// Whether it reads ordinary host memory by itself: then a copy from there need not be
    /// done when it is queued, as it is where the driver copies it to memory of its own
    /// first.
    pub(super) fn reads_pageable(&self) -> bool {
        self.reads_pageable
    }

    /// Tells amounts with an error about memory.
    pub(super) fn explain(&self, error: DeviceError, wanted: usize) -> DeviceError {
        match error {
            DeviceError::OutOfMemory { .. } => {
                let (free, total) = self.memory().unwrap_or((0, 0));
                DeviceError::OutOfMemory {
                    wanted,
                    free,
                    total,
                }
            }
            other => other,
        }
    }

    /// The kernel `name` of the file `file`; loaded at first use.
    pub(super) fn function(
        &self,
        file: &'static str,
        name: &'static str,
    ) -> Result<CUfunction, DeviceError> {
        let mut functions = self
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(f) = functions.get(name) {
            return Ok(f.0);
        }
        self.bind()?;
        let image = match IMAGES.iter().find(|(f, _)| *f == file) {
            Some((_, image)) => *image,
            None if is_emulation() => &[0],
            None => return Err(DeviceError::NoKernels),
        };
        let mut module = std::ptr::null_mut();
        // SAFETY: the image is a fatbin as nvcc wrote it, which tells its own length.
        let loaded = unsafe { sys::cuModuleLoadData(&mut module, image.as_ptr().cast::<c_void>()) };
        answer(loaded, "to load a kernel")?;
        let text = CString::new(name).unwrap_or_default();
        let mut function = std::ptr::null_mut();
        // SAFETY: the module was just loaded; the name ends in 0.
        let got = unsafe { sys::cuModuleGetFunction(&mut function, module, text.as_ptr()) };
        answer(got, "a kernel")?;
        functions.insert(name, Function(function));
        Ok(function)
    }
}

/// Whether there is a driver.
#[cfg(feature = "opened")]
pub(super) fn is_present() -> bool {
    // SAFETY: opens a library by the driver's name and does nothing else.
    unsafe { sys::is_culib_present() }
}

/// Whether there is a driver: it was found before what is linked with it was opened.
#[cfg(not(feature = "opened"))]
pub(super) fn is_present() -> bool {
    true
}

/// Whether the driver is `kernels/emulation`.
#[cfg(feature = "opened")]
fn is_emulation() -> bool {
    // SAFETY: only called once the library is known to be there; looks a name up.
    unsafe {
        sys::culib()
            .get::<*const i32>(b"longtake_emulation\0")
            .is_ok()
    }
}

#[cfg(not(feature = "opened"))]
fn is_emulation() -> bool {
    false
}

/// The version of CUDA that the driver knows; it was found to be there.
pub(super) fn version() -> Result<(i32, i32), DeviceError> {
    let mut version = 0;
    // SAFETY: writes one number; allowed before anything else.
    answer(
        unsafe { sys::cuDriverGetVersion(&mut version) },
        "its version",
    )?;
    Ok((version / 1000, version % 1000 / 10))
}

/// The context of a device that hosts and other libraries share, kept until the process
/// ends.
fn retain(raw: CUdevice) -> Result<CUcontext, DeviceError> {
    let mut context = std::ptr::null_mut();
    // SAFETY: writes one handle.
    answer(
        unsafe { sys::cuDevicePrimaryCtxRetain(&mut context, raw) },
        "a context",
    )?;
    Ok(context)
}

fn name(raw: CUdevice) -> Result<String, DeviceError> {
    let mut text = [0; 256];
    // SAFETY: writes at most the given number of bytes, with a 0 behind.
    answer(
        unsafe { sys::cuDeviceGetName(text.as_mut_ptr(), text.len() as i32 - 1, raw) },
        "a name",
    )?;
    // SAFETY: the last byte is 0.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) };
    Ok(text.to_string_lossy().into_owned())
}

fn attribute(raw: CUdevice, which: Attribute) -> Result<i32, DeviceError> {
    let mut value = 0;
    // SAFETY: writes one number.
    answer(
        unsafe { sys::cuDeviceGetAttribute(&mut value, which, raw) },
        "an attribute",
    )?;
    Ok(value)
}
