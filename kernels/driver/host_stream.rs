//! The stream of a host that hands over pictures in device memory: they are read and
//! written in order with what else the host does on it, in the host's context.
//!
//! Nothing here waits for what it queues, but for a copy to host memory, which can be
//! looked at only when it is there.

use std::ffi::c_void;
use std::panic::catch_unwind;

use cudarc::driver::sys::{self, CUDA_MEMCPY2D, CUmemorytype, CUpointer_attribute as Attribute};

use super::device::{is_present, version};
use super::pieces::{BYTES, Piece, bands};
use super::{CallersContext, Device, DeviceError, Mark, Stream, answer};

/// The version of CUDA that has all that copies need; kernels need a later one.
const COPIES: (i32, i32) = (12, 0);

/// A host's stream, for the time of a call.
pub struct HostStream {
    stream: Stream,
    /// Whether the host gave it, or has all done before the call returns.
    given: bool,
    /// Put back when this is dropped.
    _before: CallersContext,
}

/// Rows of bytes in device memory of a host.
#[derive(Clone, Copy, Debug)]
pub struct DeviceRows {
    address: u64,
    pitch: isize,
    bytes: usize,
    rows: usize,
}

impl DeviceRows {
    /// `rows` rows of `bytes` bytes, the first at `address`, each `pitch` bytes behind
    /// the one before.
    ///
    /// # Safety
    /// They lie in memory of the context that they are used in, as long as work on
    /// them is queued.
    pub unsafe fn new(address: u64, pitch: isize, bytes: usize, rows: usize) -> Self {
        Self {
            address,
            pitch,
            bytes,
            rows,
        }
    }

    /// Rows `first` and `count` in all.
    fn part(&self, first: usize, count: usize) -> Self {
        Self {
            address: self.row(first),
            rows: count,
            ..*self
        }
    }

    fn row(&self, row: usize) -> u64 {
        self.address
            .wrapping_add_signed((self.pitch * row as isize) as i64)
    }
}

impl HostStream {
    /// The stream `stream`, or the default stream of the context of this thread or of
    /// the memory at `address`. The thread has that context until this is dropped.
    ///
    /// # Safety
    /// `stream`, if any, is a stream that lives as long as this.
    pub unsafe fn enter(stream: Option<*mut c_void>, address: u64) -> Result<Self, DeviceError> {
        // SAFETY: as the caller says. A driver that lacks a function makes cudarc panic.
        catch_unwind(|| unsafe { Self::try_enter(stream, address) })
            .unwrap_or(Err(DeviceError::NoDriver))
    }

    /// # Safety
    /// As of [`enter`](Self::enter).
    unsafe fn try_enter(stream: Option<*mut c_void>, address: u64) -> Result<Self, DeviceError> {
        if !is_present() {
            return Err(DeviceError::NoDriver);
        }
        let found = version()?;
        if found < COPIES {
            return Err(DeviceError::OldDriver { found });
        }
        // SAFETY: the host began long ago; no arguments that matter.
        answer(unsafe { sys::cuInit(0) }, "to begin")?;
        let before = CallersContext::of_thread()?;
        let mut context = std::ptr::null_mut();
        match stream.filter(|s| !s.is_null()) {
            // SAFETY: the stream lives; writes one handle.
            Some(stream) => answer(
                unsafe { sys::cuStreamGetCtx(stream.cast(), &mut context) },
                "the context of a host's stream",
            )?,
            None if !before.raw().is_null() => context = before.raw(),
            // SAFETY: asks about an address, whatever it is; writes one handle.
            None => answer(
                unsafe {
                    sys::cuPointerGetAttribute(
                        (&raw mut context).cast(),
                        Attribute::CU_POINTER_ATTRIBUTE_CONTEXT,
                        address,
                    )
                },
                "the context of a host's picture",
            )?,
        }
        // SAFETY: a context of the host's, which lives as its stream and memory do.
        let device = unsafe { Device::of_host(context) }?;
        let raw = stream.unwrap_or(std::ptr::null_mut());
        Ok(Self {
            // SAFETY: a stream of that context, or its default one.
            stream: unsafe { Stream::of_host(&device, raw) },
            given: stream.is_some(),
            _before: before,
        })
    }

    /// As a stream that kernels can be launched on.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// What must be done before the host goes on: nothing where it gave a stream, else
    /// all.
    pub fn finish(&self) -> Result<(), DeviceError> {
        match self.given {
            true => Ok(()),
            false => self.stream.wait(),
        }
    }

    /// Copies `from` to host memory and shows `see` bands of it, in order: the number
    /// of the first row and the rows, one behind the other.
    pub fn read(
        &self,
        from: &DeviceRows,
        mut see: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), DeviceError> {
        let mut show = |mut way: Way| {
            if let Err(error) = way.mark.wait() {
                way.piece.abandon();
                return Err(error);
            }
            see(way.first, &mut way.piece.bytes_mut()[..way.bytes]);
            way.piece.give_back();
            Ok(())
        };
        // One band is on its way while the one before is looked at.
        let mut before: Option<Way> = None;
        for band in bands(from.rows, from.bytes) {
            let next = self.queue_read(&from.part(band.start, band.len()), band.start);
            let shown = before.take().map_or(Ok(()), &mut show);
            match (next, shown) {
                (Ok(next), Ok(())) => before = Some(next),
                (Ok(next), Err(error)) => {
                    next.piece.abandon();
                    return Err(error);
                }
                (Err(error), _) => return Err(error),
            }
        }
        before.map_or(Ok(()), show)
    }

    fn queue_read(&self, from: &DeviceRows, first: usize) -> Result<Way, DeviceError> {
        let mut piece = self.piece(from.bytes);
        let room = Rows::host(piece.bytes_mut(), from.bytes);
        let queued = self.queue(room, Rows::device(from), from.bytes, from.rows);
        match queued.and_then(|()| self.stream.mark()) {
            Ok(mark) => Ok(Way {
                bytes: from.rows * from.bytes,
                piece,
                mark,
                first,
            }),
            Err(error) => {
                piece.abandon();
                Err(error)
            }
        }
    }

    /// Has `fill` fill bands of rows, as [`read`](Self::read) shows them, and queues
    /// their copies to `to`.
    pub fn write(
        &self,
        to: &DeviceRows,
        mut fill: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), DeviceError> {
        for band in bands(to.rows, to.bytes) {
            let mut piece = self.piece(to.bytes);
            let room = &mut piece.bytes_mut()[..band.len() * to.bytes];
            fill(band.start, room);
            let from = Rows::host(room, to.bytes);
            let part = to.part(band.start, band.len());
            let queued = self.queue(Rows::device(&part), from, to.bytes, part.rows);
            piece.give_back_behind(&self.stream)?;
            queued?;
        }
        Ok(())
    }

    /// Queues a copy of `from` to `to`, of the same size.
    pub fn copy(&self, to: &DeviceRows, from: &DeviceRows) -> Result<(), DeviceError> {
        if (to.bytes, to.rows) != (from.bytes, from.rows) {
            return Err(DeviceError::missing("a copy"));
        }
        self.queue(Rows::device(to), Rows::device(from), to.bytes, to.rows)
    }

    /// Queues zeros for all bytes of `rows`.
    pub fn clear(&self, rows: &DeviceRows) -> Result<(), DeviceError> {
        if rows.bytes == 0 || rows.rows == 0 {
            return Ok(());
        }
        self.stream.device().bind()?;
        let clear = |address: u64, pitch: usize, count: usize| {
            // SAFETY: rows of the host's, as `DeviceRows::new` was promised.
            let code = unsafe {
                sys::cuMemsetD2D8Async(address, pitch, 0, rows.bytes, count, self.stream.raw())
            };
            answer(code, "to clear a picture")
        };
        match Rows::device(rows).rising(rows.bytes, rows.rows) {
            Some(pitch) => clear(rows.address, pitch, rows.rows),
            None => (0..rows.rows).try_for_each(|y| clear(rows.row(y), rows.bytes, 1)),
        }
    }

    /// A piece that holds a row of `bytes` bytes at least.
    fn piece(&self, bytes: usize) -> Piece {
        match bytes <= BYTES {
            true => Piece::take(&self.stream),
            false => Piece::plain(self.stream.device(), bytes),
        }
    }

    /// Queues a copy of `rows` rows of `bytes` bytes.
    fn queue(&self, to: Rows, from: Rows, bytes: usize, rows: usize) -> Result<(), DeviceError> {
        if bytes == 0 || rows == 0 {
            return Ok(());
        }
        self.stream.device().bind()?;
        match (to.rising(bytes, rows), from.rising(bytes, rows)) {
            (Some(t), Some(f)) => self.queue_2d((to.side, t), (from.side, f), bytes, rows),
            _ => (0..rows as isize).try_for_each(|y| {
                let (to, from) = (to.row(y), from.row(y));
                self.queue_2d((to, bytes), (from, bytes), bytes, 1)
            }),
        }
    }

    fn queue_2d(
        &self,
        (to, to_pitch): (Side, usize),
        (from, from_pitch): (Side, usize),
        bytes: usize,
        rows: usize,
    ) -> Result<(), DeviceError> {
        let ((to_kind, to_host, to_device), (from_kind, from_host, from_device)) =
            (to.parts(), from.parts());
        let copy = CUDA_MEMCPY2D {
            srcXInBytes: 0,
            srcY: 0,
            srcMemoryType: from_kind,
            srcHost: from_host,
            srcDevice: from_device,
            srcArray: std::ptr::null_mut(),
            srcPitch: from_pitch,
            dstXInBytes: 0,
            dstY: 0,
            dstMemoryType: to_kind,
            dstHost: to_host,
            dstDevice: to_device,
            dstArray: std::ptr::null_mut(),
            dstPitch: to_pitch,
            WidthInBytes: bytes,
            Height: rows,
        };
        // SAFETY: device rows are the host's, as `DeviceRows::new` was promised; host
        // memory is a piece that holds as many, and stays until the copy is done.
        let code = unsafe { sys::cuMemcpy2DAsync_v2(&copy, self.stream.raw()) };
        answer(code, "a copy of a host's picture")
    }
}

/// A band on its way to host memory.
struct Way {
    piece: Piece,
    mark: Mark,
    first: usize,
    bytes: usize,
}

/// One side of a copy, and the bytes between its rows.
#[derive(Clone, Copy)]
struct Rows {
    side: Side,
    pitch: isize,
}

#[derive(Clone, Copy)]
enum Side {
    Host(*mut c_void),
    Device(u64),
}

impl Rows {
    fn device(rows: &DeviceRows) -> Self {
        Self {
            side: Side::Device(rows.address),
            pitch: rows.pitch,
        }
    }

    fn host(memory: &mut [u8], bytes: usize) -> Self {
        Self {
            side: Side::Host(memory.as_mut_ptr().cast()),
            pitch: bytes as isize,
        }
    }

    /// Bytes between rows where a copy can take `rows` of them at once: they rise, as
    /// OpenFX has it on a GPU.
    fn rising(&self, bytes: usize, rows: usize) -> Option<usize> {
        match usize::try_from(self.pitch) {
            Ok(pitch) if pitch >= bytes => Some(pitch),
            _ if rows == 1 => Some(bytes),
            _ => None,
        }
    }

    fn row(&self, y: isize) -> Side {
        let by = y * self.pitch;
        match self.side {
            Side::Host(memory) => Side::Host(memory.wrapping_byte_offset(by)),
            Side::Device(address) => Side::Device(address.wrapping_add_signed(by as i64)),
        }
    }
}

impl Side {
    fn parts(self) -> (CUmemorytype, *mut c_void, u64) {
        match self {
            Self::Host(memory) => (CUmemorytype::CU_MEMORYTYPE_HOST, memory, 0),
            Self::Device(address) => (
                CUmemorytype::CU_MEMORYTYPE_DEVICE,
                std::ptr::null_mut(),
                address,
            ),
        }
    }
}
