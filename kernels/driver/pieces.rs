//! Pieces of pinned host memory through which pictures go to and from a host's device
//! memory. They belong to the process and are used again; one that a copy still reads
//! is left alone until the copy is done.

use std::ffi::c_void;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{self, CUdevice};

use super::{Device, DeviceError, Pinned, Stream, answer};

/// Bytes of a piece.
pub(super) const BYTES: usize = 16 << 20;
/// Pieces of a device at most: what a frame of 4K float RGBA takes.
const MOST: usize = 8;

/// Memory that a copy goes through.
pub(super) struct Piece {
    memory: Memory,
    device: CUdevice,
}

enum Memory {
    /// Lent by the driver, which copies to and from it while the CPU goes on.
    Pinned(Pinned<u8>),
    /// Ordinary memory, where no more can be pinned: the driver waits with each copy.
    Plain(Vec<u8>),
}

struct Kept {
    piece: Piece,
    /// Whether a copy that was queued has yet to read it.
    busy: Arc<AtomicBool>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Kept>,
    /// Pinned pieces that there are, by device.
    made: Vec<CUdevice>,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

impl Piece {
    /// A piece for copies on `stream`. Waits for the stream's work only where all
    /// pieces are in use.
    pub(super) fn take(stream: &Stream) -> Self {
        let device = stream.device();
        if let Some(piece) = Self::idle(device) {
            return piece;
        }
        // All are being read, by copies of this stream for the most part.
        if stream.wait().is_ok()
            && let Some(piece) = Self::idle(device)
        {
            return piece;
        }
        Self::plain(device, BYTES)
    }

    /// One of ordinary memory.
    pub(super) fn plain(device: &Device, bytes: usize) -> Self {
        Self {
            memory: Memory::Plain(vec![0; bytes]),
            device: device.raw(),
        }
    }

    fn idle(device: &Device) -> Option<Self> {
        let raw = device.raw();
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = pool.get_or_insert_default();
        let free = |k: &Kept| k.piece.device == raw && !k.busy.load(Ordering::Acquire);
        if let Some(at) = pool.idle.iter().position(free) {
            return Some(pool.idle.swap_remove(at).piece);
        }
        if pool.made.iter().filter(|d| **d == raw).count() >= MOST {
            return None;
        }
        // Of the context that stays open until the process ends: what is pinned in a
        // host's goes with it, maybe while it is kept here.
        let own = Device::lasting(device).ok()?;
        let memory = Memory::Pinned(Pinned::new(&own, BYTES).ok()?);
        pool.made.push(raw);
        Some(Self {
            memory,
            device: raw,
        })
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Pinned(pinned) => pinned.as_mut_slice(),
            Memory::Plain(bytes) => bytes,
        }
    }

    /// Gives it back; nothing reads it any more.
    pub(super) fn give_back(self) {
        self.keep(Arc::default());
    }

    /// Leaves it to a copy that failed: who knows whether the device still writes to it.
    pub(super) fn abandon(self) {
        std::mem::forget(self);
    }

    /// Gives it back for use once what is queued on `stream` so far is done.
    pub(super) fn give_back_behind(self, stream: &Stream) -> Result<(), DeviceError> {
        if let Memory::Plain(_) = self.memory {
            // The copy was done when it was queued, unless the device does it by itself.
            return match stream.device().reads_pageable() {
                true => stream.wait(),
                false => Ok(()),
            };
        }
        let busy = Arc::new(AtomicBool::new(true));
        let told = Arc::into_raw(busy.clone()).cast_mut().cast::<c_void>();
        // An event of the host's context might be asked for when that is gone; a call
        // leaves nothing behind.
        // SAFETY: the stream lives; `free` takes the one count of `told`, and is called
        // once or, where the device is lost, never.
        let queued = unsafe { sys::cuLaunchHostFunc(stream.raw(), Some(free), told) };
        self.keep(busy);
        answer(queued, "a call")
    }

    fn keep(self, busy: Arc<AtomicBool>) {
        if let Memory::Pinned(_) = self.memory {
            let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
            let pool = pool.get_or_insert_default();
            pool.idle.push(Kept { piece: self, busy });
        }
    }
}

/// Tells that a piece is not read any more. Called by the driver, which allows no call
/// of its own within.
unsafe extern "C" fn free(told: *mut c_void) {
    // SAFETY: made by `Arc::into_raw` in `give_back_behind`.
    let busy = unsafe { Arc::from_raw(told.cast::<AtomicBool>()) };
    busy.store(false, Ordering::Release);
}

/// Bands of `rows` rows of `bytes` each, as many rows in one as a piece holds.
pub(super) fn bands(rows: usize, bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let each = (BYTES / bytes.max(1)).max(1);
    (0..rows)
        .step_by(each)
        .map(move |first| first..rows.min(first + each))
}
