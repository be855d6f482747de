//! Work in order: copies and kernels on one queue of a device.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUevent, CUstream};

use super::memory::{Buffer, Plain};
use super::{Device, DeviceError, HostStream, answer};

/// How many threads run a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Blocks along x, y and z.
    pub blocks: [u32; 3],
    /// Threads of a block along x, y and z.
    pub threads: [u32; 3],
}

impl Grid {
    /// Blocks of `threads` for at least `count` threads; at least one block.
    pub fn over(count: usize, threads: u32) -> Self {
        let blocks = count.div_ceil(threads as usize).clamp(1, i32::MAX as usize);
        Self {
            blocks: [blocks as u32, 1, 1],
            threads: [threads, 1, 1],
        }
    }

    /// Blocks of `threads` (x, y) over a picture of `width` by `height`.
    pub fn tiles(width: usize, height: usize, threads: [u32; 2]) -> Self {
        let over = |n: usize, by: u32| n.div_ceil(by as usize).max(1) as u32;
        Self {
            blocks: [over(width, threads[0]), over(height, threads[1]), 1],
            threads: [threads[0], threads[1], 1],
        }
    }
}

/// A queue of a device and the device.
pub(super) struct StreamHandle {
    raw: CUstream,
    device: Arc<Device>,
    /// Whether it is ours to end, or a host's.
    owned: bool,
}

// SAFETY: a handle of the driver, which may be called from any thread.
unsafe impl Send for StreamHandle {}
// SAFETY: as above.
unsafe impl Sync for StreamHandle {}

impl StreamHandle {
    pub(super) fn raw(&self) -> CUstream {
        self.raw
    }

    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        if self.owned && self.device.bind().is_ok() {
            // SAFETY: created in `Stream::new`; the driver ends it when its work is
            // done.
            unsafe {
                let _ = sys::cuStreamDestroy_v2(self.raw);
            }
        }
    }
}

/// A queue of work on a device. Clones are the same queue.
#[derive(Clone)]
pub struct Stream(Arc<StreamHandle>);

impl Stream {
    /// A queue of its own.
    pub fn new(device: &Arc<Device>) -> Result<Self, DeviceError> {
        device.bind()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: writes one handle. 1: it does not wait for the default stream.
        answer(unsafe { sys::cuStreamCreate(&mut raw, 1) }, "a stream")?;
        Ok(Self(Arc::new(StreamHandle {
            raw,
            device: device.clone(),
            owned: true,
        })))
    }

    /// The queue of a host, which stays the host's.
    ///
    /// # Safety
    /// `raw` is a stream of `device`'s context, or null for its default one, and lives as
    /// long as this and all buffers made on it.
    pub unsafe fn of_host(device: &Arc<Device>, raw: *mut c_void) -> Self {
        Self(Arc::new(StreamHandle {
            raw: raw.cast(),
            device: device.clone(),
            owned: false,
        }))
    }

    /// As if a host had handed it over.
    pub fn as_host(&self) -> Result<HostStream, DeviceError> {
        // SAFETY: the stream lives as long as it is borrowed.
        unsafe { HostStream::enter(Some(self.0.raw.cast()), 0) }
    }

    /// The device.
    pub fn device(&self) -> &Arc<Device> {
        &self.0.device
    }

    pub(crate) fn raw(&self) -> CUstream {
        self.0.raw
    }

    pub(super) fn handle(&self) -> Arc<StreamHandle> {
        self.0.clone()
    }

    /// Room for `len` values, which are anything at first.
    pub fn room<T: Plain>(&self, len: usize) -> Result<Buffer<T>, DeviceError> {
        Buffer::new(self, len)
    }

    /// `values` on the device.
    pub fn upload<T: Plain>(&self, values: &[T]) -> Result<Buffer<T>, DeviceError> {
        let mut buffer = self.room(values.len())?;
        self.write(&mut buffer, 0, values)?;
        Ok(buffer)
    }

    /// Copies `values`, ordinary memory, to `buffer` from value `first` on. `values` may be
    /// changed as soon as this returns.
    pub fn write<T: Plain>(
        &self,
        buffer: &mut Buffer<T>,
        first: usize,
        values: &[T],
    ) -> Result<(), DeviceError> {
        self.queue_write(buffer, first, values)?;
        match self.device().reads_pageable() {
            true => self.wait(),
            false => Ok(()),
        }
    }

    /// Queues such a copy. Pinned memory is not to be changed before the stream, or a mark
    /// behind the copy, was waited for: private to those that see to it.
    pub(super) fn queue_write<T: Plain>(
        &self,
        buffer: &mut Buffer<T>,
        first: usize,
        values: &[T],
    ) -> Result<(), DeviceError> {
        check_range(buffer.len(), first, values.len())?;
        self.device().bind()?;
        let to = buffer.address_of(first);
        let bytes = size_of_val(values);
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the range was checked; the callers see to the memory.
        let code =
            unsafe { sys::cuMemcpyHtoDAsync_v2(to, values.as_ptr().cast(), bytes, self.0.raw) };
        answer(code, "a copy to the GPU")
    }

    /// Copies from `buffer`, value `first` on, and waits until it is done.
    pub fn read<T: Plain>(
        &self,
        buffer: &Buffer<T>,
        first: usize,
        values: &mut [T],
    ) -> Result<(), DeviceError> {
        self.queue_read(buffer, first, values)?;
        self.wait()
    }

    /// Queues such a copy. `values` are not to be touched before the stream, or a mark
    /// behind the copy, was waited for: private to those that see to it.
    pub(super) fn queue_read<T: Plain>(
        &self,
        buffer: &Buffer<T>,
        first: usize,
        values: &mut [T],
    ) -> Result<(), DeviceError> {
        check_range(buffer.len(), first, values.len())?;
        self.device().bind()?;
        let bytes = size_of_val(values);
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the range was checked; the callers wait for the copy.
        let code = unsafe {
            sys::cuMemcpyDtoHAsync_v2(
                values.as_mut_ptr().cast(),
                buffer.address_of(first),
                bytes,
                self.0.raw,
            )
        };
        answer(code, "a copy from the GPU")
    }

    /// Marks the end of what is queued so far.
    pub fn mark(&self) -> Result<Mark, DeviceError> {
        self.device().bind()?;
        let mut event = std::ptr::null_mut();
        // SAFETY: writes one handle. 2: without times.
        answer(unsafe { sys::cuEventCreate(&mut event, 2) }, "an event")?;
        let mark = Mark {
            event,
            stream: self.clone(),
        };
        // SAFETY: the event and the stream live.
        answer(unsafe { sys::cuEventRecord(event, self.0.raw) }, "an event")?;
        Ok(mark)
    }

    /// All of `buffer`.
    pub fn download<T: Plain + Default>(&self, buffer: &Buffer<T>) -> Result<Vec<T>, DeviceError> {
        let mut values = vec![T::default(); buffer.len()];
        self.read(buffer, 0, &mut values)?;
        Ok(values)
    }

    /// Copies all of `from` to `to`, of the same length, on the device.
    pub fn copy<T: Plain>(&self, from: &Buffer<T>, to: &mut Buffer<T>) -> Result<(), DeviceError> {
        check_range(to.len(), 0, from.len())?;
        self.device().bind()?;
        let bytes = from.len() * size_of::<T>();
        // SAFETY: the range was checked.
        let code =
            unsafe { sys::cuMemcpyDtoDAsync_v2(to.address(), from.address(), bytes, self.0.raw) };
        answer(code, "a copy on the GPU")
    }

    /// Copies `len` values of `buffer` from value `from` on to value `to` on; the two
    /// places must not overlap.
    pub fn copy_within<T: Plain>(
        &self,
        buffer: &mut Buffer<T>,
        from: usize,
        to: usize,
        len: usize,
    ) -> Result<(), DeviceError> {
        check_range(buffer.len(), from.max(to), len)?;
        if from.abs_diff(to) < len {
            return Err(DeviceError::missing("a copy within"));
        }
        self.device().bind()?;
        let (to, from) = (buffer.address_of(to), buffer.address_of(from));
        let bytes = len * size_of::<T>();
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the ranges were checked.
        let code = unsafe { sys::cuMemcpyDtoDAsync_v2(to, from, bytes, self.0.raw) };
        answer(code, "a copy on the GPU")
    }

    /// Queues zero bytes for `len` values of `buffer` from value `first` on.
    pub fn clear<T: Plain>(
        &self,
        buffer: &mut Buffer<T>,
        first: usize,
        len: usize,
    ) -> Result<(), DeviceError> {
        check_range(buffer.len(), first, len)?;
        self.device().bind()?;
        let bytes = len * size_of::<T>();
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the range was checked.
        let code = unsafe { sys::cuMemsetD8Async(buffer.address_of(first), 0, bytes, self.0.raw) };
        answer(code, "to clear memory")
    }

    /// Queues the kernel `name` of the file `file` with its one argument `argument`.
    ///
    /// # Safety
    /// `argument` is what the kernel is declared with, and all that it points to is
    /// there until the kernel is done, large enough for `grid`.
    pub unsafe fn launch<A: Copy>(
        &self,
        file: &'static str,
        name: &'static str,
        grid: Grid,
        argument: &A,
    ) -> Result<(), DeviceError> {
        let device = self.device();
        let function = device.function(file, name)?;
        device.bind()?;
        let mut arguments = [std::ptr::from_ref(argument).cast_mut().cast::<c_void>()];
        let ([gx, gy, gz], [bx, by, bz]) = (grid.blocks, grid.threads);
        // SAFETY: as the caller says; the argument is copied before this returns.
        let code = unsafe {
            sys::cuLaunchKernel(
                function,
                gx,
                gy,
                gz,
                bx,
                by,
                bz,
                0,
                self.0.raw,
                arguments.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        answer(code, name)
    }

    /// Waits until all that was queued is done; tells what of it failed.
    pub fn wait(&self) -> Result<(), DeviceError> {
        self.device().bind()?;
        // SAFETY: the stream lives.
        answer(unsafe { sys::cuStreamSynchronize(self.0.raw) }, "to finish")
    }
}

fn check_range(len: usize, first: usize, count: usize) -> Result<(), DeviceError> {
    match first.checked_add(count).filter(|end| *end <= len) {
        Some(_) => Ok(()),
        None => Err(DeviceError::Refused {
            call: "a copy",
            code: format!("{count} values from {first} on of {len}"),
        }),
    }
}

impl Stream {
    /// Lets what is queued from here on wait until all in front of `mark` is done; no
    /// thread waits.
    pub fn follow(&self, mark: &Mark) -> Result<(), DeviceError> {
        self.device().bind()?;
        // SAFETY: the stream and the event live.
        let code = unsafe { sys::cuStreamWaitEvent(self.0.raw, mark.event, 0) };
        answer(code, "to follow another stream")
    }
}

/// A place in a stream's work.
pub struct Mark {
    event: CUevent,
    stream: Stream,
}

impl Mark {
    /// Waits until all in front of it is done.
    pub fn wait(&self) -> Result<(), DeviceError> {
        self.stream.device().bind()?;
        // SAFETY: the event lives.
        answer(unsafe { sys::cuEventSynchronize(self.event) }, "to finish")
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if self.stream.device().bind().is_ok() {
            // SAFETY: created in `Stream::mark`.
            unsafe {
                let _ = sys::cuEventDestroy_v2(self.event);
            }
        }
    }
}

/// Measures how long queued work takes on the device.
pub struct Timer {
    begin: CUevent,
    end: CUevent,
    stream: Stream,
}

impl Timer {
    /// Begins now, in order with the stream's work.
    pub fn start(stream: &Stream) -> Result<Self, DeviceError> {
        stream.device().bind()?;
        let event = || {
            let mut event = std::ptr::null_mut();
            // SAFETY: writes one handle.
            answer(unsafe { sys::cuEventCreate(&mut event, 0) }, "an event").map(|()| event)
        };
        let timer = Self {
            begin: event()?,
            end: event()?,
            stream: stream.clone(),
        };
        // SAFETY: the event and the stream live.
        let code = unsafe { sys::cuEventRecord(timer.begin, stream.0.raw) };
        answer(code, "an event")?;
        Ok(timer)
    }

    /// Ends behind what is queued, waits for it, and gives seconds.
    pub fn stop(self) -> Result<f64, DeviceError> {
        self.stream.device().bind()?;
        let mut ms = 0.0;
        // SAFETY: the events and the stream live; writes one number.
        unsafe {
            answer(sys::cuEventRecord(self.end, self.stream.0.raw), "an event")?;
            answer(sys::cuEventSynchronize(self.end), "to finish")?;
            answer(
                sys::cuEventElapsedTime_v2(&mut ms, self.begin, self.end),
                "a time",
            )?;
        }
        Ok(f64::from(ms) / 1e3)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.stream.device().bind().is_ok() {
            // SAFETY: created in `start`.
            unsafe {
                let _ = sys::cuEventDestroy_v2(self.begin);
                let _ = sys::cuEventDestroy_v2(self.end);
            }
        }
    }
}
