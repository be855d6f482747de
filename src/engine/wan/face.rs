//! The transformer's object as this side sees it: the other side of
//! `kernels/transformer/src/face.rs`.

use std::ffi::c_void;
use std::path::PathBuf;

use libloading::Library;
use parking_lot::Mutex;

use super::transformer::message::{GpuMemory, INTERFACE};
use crate::device::gpu::libraries::{self, ObjectError};

/// The object's file.
const NAME: &str = "liblongtake_transformer.so";
/// Names it where it lies elsewhere.
const VARIABLE: &str = "LONGTAKE_TRANSFORMER";

/// Bytes that the object gives, and gets back to be freed.
#[repr(C)]
pub(super) struct Bytes {
    data: *mut u8,
    len: usize,
    capacity: usize,
}

impl Bytes {
    /// None yet.
    pub fn nothing() -> Self {
        Self {
            data: std::ptr::null_mut(),
            len: 0,
            capacity: 0,
        }
    }
}

/// Numbers of a weight, which stay until the next is asked for.
#[repr(C)]
pub(super) struct Given {
    pub data: *const u8,
    pub bytes: usize,
}

/// Gives a weight: context, name and its bytes, shape and its rank, type, where to.
pub(super) type Get = unsafe extern "C" fn(
    *mut c_void,
    *const u8,
    usize,
    *const usize,
    usize,
    u32,
    *mut Given,
) -> i32;
/// Whether to stop: not 0.
pub(super) type Stop = unsafe extern "C" fn(*mut c_void) -> i32;
/// Is told which part of the steps is done.
pub(super) type Report = unsafe extern "C" fn(*mut c_void, f64);

/// The object's functions; `kernels/transformer/src/face.rs` has them.
#[derive(Clone, Copy)]
pub(super) struct Face {
    pub open: unsafe extern "C" fn(
        usize,
        *const u8,
        usize,
        u32,
        GpuMemory,
        Get,
        *mut c_void,
        *mut Bytes,
    ) -> *mut c_void,
    pub sample: unsafe extern "C" fn(
        *const c_void,
        *const c_void,
        f64,
        *const u8,
        usize,
        Stop,
        Report,
        *mut c_void,
        *mut Bytes,
        *mut Bytes,
    ) -> i32,
    free: unsafe extern "C" fn(Bytes),
    pub close: unsafe extern "C" fn(*mut c_void),
    /// Older objects have nothing to say.
    notice: Option<unsafe extern "C" fn() -> Bytes>,
}

impl Face {
    /// The object, opened at first use.
    pub fn of_process() -> std::result::Result<Self, ObjectError> {
        static OPEN: Mutex<Option<Face>> = Mutex::new(None);
        let mut open = OPEN.lock();
        if let Some(face) = *open {
            return Ok(face);
        }
        let path = libraries::find(NAME, VARIABLE)?;
        let object = libraries::open(&path)?;
        let face = Self::of(object, path)?;
        *open = Some(face);
        Ok(face)
    }

    fn of(object: &'static Library, path: PathBuf) -> std::result::Result<Self, ObjectError> {
        let foreign = |why: String| ObjectError::Foreign {
            path: path.clone(),
            why,
        };
        /// A function of the object by its name.
        ///
        /// # Safety
        /// It is of that kind.
        unsafe fn get<F: Copy>(object: &Library, name: &str) -> std::result::Result<F, String> {
            // SAFETY: as the caller says.
            let symbol = unsafe { object.get::<F>(name.as_bytes()) };
            symbol.map(|s| *s).map_err(|e| e.to_string())
        }
        type Interface = extern "C" fn() -> u32;
        // SAFETY: the one function that is the same in all versions.
        let interface: Interface =
            unsafe { get(object, "longtake_transformer_interface") }.map_err(foreign)?;
        let found = interface();
        if found != INTERFACE {
            let why = format!("it speaks version {found}, {INTERFACE} is needed");
            return Err(foreign(why));
        }
        // SAFETY: of that version these are the functions' kinds.
        unsafe {
            Ok(Self {
                open: get(object, "longtake_transformer_open").map_err(foreign)?,
                sample: get(object, "longtake_transformer_sample").map_err(foreign)?,
                free: get(object, "longtake_transformer_free").map_err(foreign)?,
                close: get(object, "longtake_transformer_close").map_err(foreign)?,
                notice: get(object, "longtake_transformer_notice").ok(),
            })
        }
    }

    /// What the object has to say to the artist since it was last asked.
    pub fn notices(&self) -> Option<String> {
        let notice = self.notice?;
        // SAFETY: takes nothing; gives bytes as the others do.
        let next = || Some(self.text(unsafe { notice() })).filter(|text| !text.is_empty());
        let all: Vec<String> = std::iter::from_fn(next).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// The text that the object gave.
    pub fn text(&self, bytes: Bytes) -> String {
        String::from_utf8_lossy(&self.taken(bytes)).into_owned()
    }

    /// A copy of what the object gave, which is given back.
    pub fn taken(&self, bytes: Bytes) -> Vec<u8> {
        if bytes.data.is_null() {
            return Vec::new();
        }
        // SAFETY: as the object gave them.
        let copy = unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) }.to_vec();
        // SAFETY: given once, and not used any more.
        unsafe { (self.free)(bytes) };
        copy
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    unsafe extern "C" fn say() -> Bytes {
        static SAID: AtomicUsize = AtomicUsize::new(0);
        let all = ["cuDNN was not found", "attention is slower"];
        let Some(text) = all.get(SAID.fetch_add(1, Ordering::Relaxed)) else {
            return Bytes::nothing();
        };
        let bytes = text.as_bytes().to_vec().leak();
        Bytes {
            data: bytes.as_mut_ptr(),
            len: bytes.len(),
            capacity: bytes.len(),
        }
    }

    unsafe extern "C" fn free(bytes: Bytes) {
        // SAFETY: of `say`.
        drop(unsafe { Vec::from_raw_parts(bytes.data, bytes.len, bytes.capacity) });
    }

    unsafe extern "C" fn open(
        _: usize,
        _: *const u8,
        _: usize,
        _: u32,
        _: GpuMemory,
        _: Get,
        _: *mut c_void,
        _: *mut Bytes,
    ) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe extern "C" fn sample(
        _: *const c_void,
        _: *const c_void,
        _: f64,
        _: *const u8,
        _: usize,
        _: Stop,
        _: Report,
        _: *mut c_void,
        _: *mut Bytes,
        _: *mut Bytes,
    ) -> i32 {
        2
    }

    unsafe extern "C" fn close(_: *mut c_void) {}

    #[test]
    fn what_the_object_has_to_say_is_heard_once() {
        let mut face = Face {
            open,
            sample,
            free,
            close,
            notice: Some(say),
        };
        let heard = face.notices();
        assert_eq!(
            heard.as_deref(),
            Some("cuDNN was not found; attention is slower")
        );
        assert_eq!(face.notices(), None);
        // An object that is older.
        face.notice = None;
        assert_eq!(face.notices(), None);
    }
}
