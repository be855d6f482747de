//! What this process holds of a GPU: a queue of work, and pictures that are likely to
//! be asked for again.

use std::any::Any;
use std::sync::{Arc, Weak};

use longtake_kernels::driver::{Buffer, Device, DeviceError, Stream, Transfer};

/// The part of the free memory that pictures are kept in, at most.
const SHARE: usize = 2;

/// A GPU and what is held of it.
pub struct Gpu {
    stream: Stream,
    transfer: Transfer,
    pictures: Vec<Kept>,
    /// Bytes that pictures may take.
    room: usize,
    clock: u64,
}

/// A picture on the device.
struct Kept {
    /// The picture on the host. While it is remembered here no other has its place in
    /// memory, so that equal places mean the same picture.
    owner: Weak<dyn Any + Send + Sync>,
    buffer: Arc<Buffer<f32>>,
    used: u64,
}

impl Gpu {
    pub(super) fn new(device: &Arc<Device>) -> Result<Self, DeviceError> {
        let stream = Stream::new(device)?;
        let (free, _) = device.memory()?;
        Ok(Self {
            transfer: Transfer::new(&stream)?,
            stream,
            pictures: Vec::new(),
            room: super::most_memory().map_or(free, |most| free.min(most as usize)) / SHARE,
            clock: 0,
        })
    }

    /// The queue that work goes to.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The samples of a picture that `owner` holds on the host, on the device. Kept
    /// there as long as the host keeps the picture and memory allows.
    pub fn picture<T: Any + Send + Sync>(
        &mut self,
        owner: &Arc<T>,
        samples: &[f32],
    ) -> Result<Arc<Buffer<f32>>, DeviceError> {
        self.clock += 1;
        let place = Arc::as_ptr(owner).cast::<()>();
        self.pictures.retain(|k| k.owner.strong_count() > 0);
        let same = |k: &&mut Kept| {
            std::ptr::eq(k.owner.as_ptr().cast::<()>(), place) && k.buffer.len() == samples.len()
        };
        if let Some(kept) = self.pictures.iter_mut().find(same) {
            kept.used = self.clock;
            return Ok(kept.buffer.clone());
        }
        while self.bytes() + size_of_val(samples) > self.room && self.forget_oldest() {}
        let mut buffer = self.room(samples.len())?;
        self.transfer.upload(samples, &mut buffer)?;
        let buffer = Arc::new(buffer);
        let owner: Arc<dyn Any + Send + Sync> = owner.clone();
        self.pictures.push(Kept {
            owner: Arc::downgrade(&owner),
            buffer: buffer.clone(),
            used: self.clock,
        });
        Ok(buffer)
    }

    /// Room for `len` numbers, if need be in the place of pictures that are kept: other
    /// programs take memory too, after it was looked at.
    pub fn room(&mut self, len: usize) -> Result<Buffer<f32>, DeviceError> {
        loop {
            match self.stream.room(len) {
                Err(DeviceError::OutOfMemory { .. }) if self.forget_oldest() => {
                    // What was given up goes back to the device.
                    self.stream.wait()?;
                }
                outcome => return outcome,
            }
        }
    }

    /// Copies from the device once all that was queued before is done.
    pub fn download(&mut self, from: &Buffer<f32>, to: &mut [f32]) -> Result<(), DeviceError> {
        self.transfer.download(from, to)
    }

    /// Runs `work`, without the pictures kept where memory is short.
    pub(super) fn patiently<R>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<R, DeviceError>,
    ) -> Result<R, DeviceError> {
        if let Ok((free, total)) = self.stream.device().memory()
            && free < total / 8
        {
            self.pictures.clear();
        }
        work(self)
    }

    fn bytes(&self) -> usize {
        let bytes = |k: &Kept| k.buffer.len() * size_of::<f32>();
        self.pictures.iter().map(bytes).sum()
    }

    fn forget_oldest(&mut self) -> bool {
        let oldest = (0..self.pictures.len()).min_by_key(|i| self.pictures[*i].used);
        oldest.map(|i| self.pictures.swap_remove(i)).is_some()
    }
}
