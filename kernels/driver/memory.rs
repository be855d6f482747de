//! Device memory, and host memory that copies are fast from.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::sys;

use super::stream::{Stream, StreamHandle};
use super::{Device, DeviceError, answer};

/// Values that are bytes and nothing else, the same on host and device.
///
/// # Safety
/// No padding, no pointers that own, any bits a value.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}
// SAFETY: numbers.
unsafe impl Plain for u8 {}
// SAFETY: numbers.
unsafe impl Plain for i16 {}
// SAFETY: numbers.
unsafe impl Plain for u16 {}
// SAFETY: numbers.
unsafe impl Plain for i32 {}
// SAFETY: numbers.
unsafe impl Plain for u32 {}
// SAFETY: numbers.
unsafe impl Plain for i64 {}
// SAFETY: numbers.
unsafe impl Plain for u64 {}
// SAFETY: numbers.
unsafe impl Plain for f32 {}
// SAFETY: sixteen bits.
unsafe impl Plain for half::f16 {}
// SAFETY: sixteen bits.
unsafe impl Plain for half::bf16 {}

/// `len` values in device memory; freed in order with the stream that they were made
/// on.
pub struct Buffer<T: Plain> {
    address: u64,
    len: usize,
    stream: Arc<StreamHandle>,
    kind: PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    /// Room for `len` values, which are anything at first.
    pub(super) fn new(stream: &Stream, len: usize) -> Result<Self, DeviceError> {
        let handle = stream.handle();
        let device = stream.device();
        device.bind()?;
        // An address is wanted even of nothing.
        let bytes = (len * size_of::<T>()).max(1);
        let mut address = 0;
        // SAFETY: writes one address.
        let code = unsafe {
            if device.has_pools() {
                sys::cuMemAllocAsync(&mut address, bytes, handle.raw())
            } else {
                sys::cuMemAlloc_v2(&mut address, bytes)
            }
        };
        answer(code, "memory").map_err(|e| device.explain(e, bytes))?;
        Ok(Self {
            address,
            len,
            stream: handle,
            kind: PhantomData,
        })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it lies on the device.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Where value `index` lies; `index` at most the length.
    pub fn address_of(&self, index: usize) -> u64 {
        self.address + (index.min(self.len) * size_of::<T>()) as u64
    }

    /// All of it, to be read by a kernel.
    pub fn part(&self) -> Part<'_, T> {
        self.part_of(0, self.len)
    }

    /// `len` values from value `first` on; fewer where there are not as many.
    pub fn part_of(&self, first: usize, len: usize) -> Part<'_, T> {
        let first = first.min(self.len);
        Part {
            address: self.address_of(first),
            len: len.min(self.len - first),
            kind: PhantomData,
        }
    }

    /// All of it, to be written by a kernel.
    pub fn part_mut(&mut self) -> PartMut<'_, T> {
        self.part_mut_of(0, self.len)
    }

    /// `len` values from value `first` on; fewer where there are not as many.
    pub fn part_mut_of(&mut self, first: usize, len: usize) -> PartMut<'_, T> {
        let Part { address, len, .. } = self.part_of(first, len);
        PartMut {
            address,
            len,
            kind: PhantomData,
        }
    }
}

/// Device memory that a kernel reads.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a, T> {
    address: u64,
    len: usize,
    kind: PhantomData<&'a [T]>,
}

/// Device memory that a kernel writes.
#[derive(Debug)]
pub struct PartMut<'a, T> {
    address: u64,
    len: usize,
    kind: PhantomData<&'a mut [T]>,
}

macro_rules! shape_of_part {
    ($part:ident) => {
        impl<T> $part<'_, T> {
            /// Where it lies on the device.
            pub fn address(&self) -> u64 {
                self.address
            }

            /// Number of values.
            pub fn len(&self) -> usize {
                self.len
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.len == 0
            }

            /// Fails where it has not `len` values, as `call` needs them.
            pub fn check(&self, call: &'static str, len: usize) -> Result<(), DeviceError> {
                if self.len == len {
                    return Ok(());
                }
                Err(DeviceError::Refused {
                    call,
                    code: format!("{} values where {len} are needed", self.len),
                })
            }

            /// Memory that is not ours, a host's for instance.
            ///
            /// # Safety
            /// `len` values lie at `address` of the device that this is used on, for
            /// as long as this lives, and nobody else writes them meanwhile.
            pub unsafe fn at(address: u64, len: usize) -> Self {
                Self {
                    address,
                    len,
                    kind: PhantomData,
                }
            }
        }
    };
}
shape_of_part!(Part);
shape_of_part!(PartMut);

impl<T> PartMut<'_, T> {
    /// The same for a shorter time.
    pub fn reborrow(&mut self) -> PartMut<'_, T> {
        PartMut {
            address: self.address,
            len: self.len,
            kind: PhantomData,
        }
    }
}

impl<T: Plain> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.stream.device().bind().is_err() {
            return;
        }
        // SAFETY: allocated in `new`; work that was queued before on the stream still
        // has it. Nothing is to be done about a failure.
        unsafe {
            let _ = if self.stream.device().has_pools() {
                sys::cuMemFreeAsync(self.address, self.stream.raw())
            } else {
                sys::cuMemFree_v2(self.address)
            };
        }
    }
}

/// Host memory that the device reads and writes at full speed.
pub struct Pinned<T: Plain> {
    memory: *mut T,
    len: usize,
    device: Arc<Device>,
}

// SAFETY: memory that this alone has.
unsafe impl<T: Plain> Send for Pinned<T> {}
// SAFETY: shared only for reading.
unsafe impl<T: Plain> Sync for Pinned<T> {}

impl<T: Plain> Pinned<T> {
    /// Zeros.
    pub fn new(device: &Arc<Device>, len: usize) -> Result<Self, DeviceError> {
        device.bind()?;
        let bytes = (len * size_of::<T>()).max(1);
        let mut memory: *mut c_void = std::ptr::null_mut();
        // SAFETY: writes one address.
        let code = unsafe { sys::cuMemAllocHost_v2(&mut memory, bytes) };
        answer(code, "host memory").map_err(|e| device.explain(e, bytes))?;
        // SAFETY: as many bytes were just allocated.
        unsafe { memory.write_bytes(0, bytes) };
        Ok(Self {
            memory: memory.cast(),
            len,
            device: device.clone(),
        })
    }

    /// The values.
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: allocated and filled in `new`; aligned for any number.
        unsafe { std::slice::from_raw_parts(self.memory, self.len) }
    }

    /// The values, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.memory, self.len) }
    }
}

impl<T: Plain> Drop for Pinned<T> {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: allocated in `new`.
            unsafe {
                let _ = sys::cuMemFreeHost(self.memory.cast());
            }
        }
    }
}
