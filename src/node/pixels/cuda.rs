//! Pictures of the host's that lie on an NVIDIA GPU: read and written in place, in order
//! with the host's stream.
//!
//! What goes to them is encoded into pinned memory and its copy queued; nobody waits
//! for that. What is read from them into host memory is waited for, since it is looked
//! at there. A picture that is handed on stays on the GPU.

use std::ffi::c_void;

use longtake_kernels::driver::{DeviceError, DeviceRows, HostStream};
use parking_lot::Mutex;

use super::{Image, Layout, Rect};
use crate::frame::Picture;

/// A host's stream for the time of a render, and what went wrong on it.
pub struct Cuda {
    stream: HostStream,
    failed: Mutex<Option<DeviceError>>,
}

impl std::fmt::Debug for Cuda {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cuda").finish_non_exhaustive()
    }
}

impl Cuda {
    /// The host's `stream`, or where it gave none the default stream of the context
    /// that the picture at `address` lies in.
    ///
    /// # Safety
    /// `stream`, if any, is a CUDA stream that lives as long as this.
    ///
    /// # Errors
    /// Where there is no driver, or it refuses.
    pub unsafe fn enter(stream: Option<*mut c_void>, address: u64) -> Result<Self, DeviceError> {
        // SAFETY: as the caller says.
        let stream = unsafe { HostStream::enter(stream, address) }?;
        Ok(Self {
            stream,
            failed: Mutex::new(None),
        })
    }

    /// Ends the render's work: what was queued goes on, unless the host gave no stream
    /// to follow it on. The first thing that went wrong, if any did.
    pub(in crate::node) fn finish(&self) -> Result<(), DeviceError> {
        self.run(HostStream::finish);
        match self.failed.lock().take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Does `work` unless something failed before; what fails is told by
    /// [`finish`](Self::finish).
    fn run(&self, work: impl FnOnce(&HostStream) -> Result<(), DeviceError>) {
        let failed = self.failed.lock().is_some();
        if failed {
            return;
        }
        if let Err(error) = work(&self.stream) {
            *self.failed.lock() = Some(error);
        }
    }
}

impl<'a> Image<'a> {
    /// As [`new`](Self::new), of a picture in the device memory of `cuda`.
    ///
    /// # Safety
    /// As of `new`, for the device; memory stays as long as work on it is queued.
    pub unsafe fn on_gpu(address: u64, layout: Layout, cuda: &'a Cuda) -> Option<Self> {
        // SAFETY: the address is never gone to from here, as `cuda` says.
        let image =
            unsafe { Self::new(std::ptr::without_provenance_mut(address as usize), layout) };
        image.map(|image| Self {
            cuda: Some(cuda),
            ..image
        })
    }

    /// The bytes of `part`, which lies within the bounds, from its lowest row upwards.
    fn device_rows(&self, part: &Rect) -> DeviceRows {
        let left = (part.x1 - self.layout.bounds.x1) as usize * self.pixel_len();
        let address = self.row_start(part.y1).addr() + left;
        let bytes = part.width() * self.pixel_len();
        // SAFETY: as `on_gpu` was promised.
        unsafe { DeviceRows::new(address as u64, self.layout.row_bytes, bytes, part.height()) }
    }

    /// The rows `first` and up of `part`, in host memory at `bytes`, as a picture.
    fn band<'b>(
        &self,
        part: &Rect,
        first: usize,
        bytes: &'b mut [u8],
    ) -> Option<(Image<'b>, Rect)> {
        let row = part.width() * self.pixel_len();
        let y1 = part.y1 + first as i32;
        let held = Rect {
            y1,
            y2: y1 + (bytes.len() / row.max(1)) as i32,
            ..*part
        };
        let layout = Layout {
            row_bytes: row as isize,
            bounds: held,
            region: Some(self.region()),
            ..self.layout
        };
        // SAFETY: as many whole rows lie there, lent for as long.
        let image = unsafe { Image::new(bytes.as_mut_ptr(), layout) };
        image.map(|image| (image, held))
    }

    /// Shows `see` the pixels of `part` as pictures in host memory, band by band.
    pub(super) fn fetch(
        &self,
        cuda: &Cuda,
        part: &Rect,
        mut see: impl FnMut(&Image<'_>, &Rect),
    ) -> Result<(), DeviceError> {
        let read = cuda.stream.read(&self.device_rows(part), |first, bytes| {
            if let Some((image, held)) = self.band(part, first, bytes) {
                see(&image, &held);
            }
        });
        if let Err(error) = &read {
            cuda.run(|_| Err(error.clone()));
        }
        read
    }

    /// Has `fill` fill the pixels of `part`, band by band, in host memory, and queues
    /// their copies.
    pub(super) fn send(
        &self,
        cuda: &Cuda,
        part: &Rect,
        mut fill: impl FnMut(&mut Image<'_>, &Rect),
    ) {
        cuda.run(|stream| {
            stream.write(&self.device_rows(part), |first, bytes| {
                if let Some((mut image, held)) = self.band(part, first, bytes) {
                    fill(&mut image, &held);
                }
            })
        });
    }

    /// Queues zeros for `part`.
    pub(super) fn clear_on_gpu(&self, cuda: &Cuda, part: &Rect) {
        cuda.run(|stream| stream.clear(&self.device_rows(part)));
    }

    /// Copies `part`, which both pictures have, from `from`: on the GPU where both lie
    /// there with the same samples.
    pub(super) fn copy_on_gpu(&mut self, part: &Rect, from: &Image<'_>) {
        let (a, b) = (from.layout, self.layout);
        let same = a.depth == b.depth && a.components == b.components;
        if let (Some(cuda), Some(_), true) = (self.cuda, from.cuda, same) {
            let (to, from) = (self.device_rows(part), from.device_rows(part));
            return cuda.run(|stream| stream.copy(&to, &from));
        }
        let names = b.components.names();
        // Where that fails, the stream knows it.
        if let Ok(picture) = from.to_picture(part, names) {
            self.write_rows(part, part, picture.data(), names);
        }
    }

    /// Puts the pixels of `part` into `picture`, which is `canvas` with the samples
    /// `names`.
    pub(super) fn fetch_into(
        &self,
        cuda: &Cuda,
        part: &Rect,
        canvas: &Rect,
        names: &[&str],
        picture: &mut Picture,
    ) -> Result<(), DeviceError> {
        self.fetch(cuda, part, |band, held| {
            band.decode_into(held, canvas, names, picture);
        })
    }
}
