//! A plate of which the frames read last are kept in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{FrameError, Picture, PlateInfo, PlateReader, Warning};

/// Keeps the frames read last, up to a bound in bytes and at least one, so
/// that a plate longer than memory can be read in any order.
pub struct CachedPlate<R> {
    inner: R,
    bound: usize,
    bytes: usize,
    /// The frame read last comes last.
    kept: VecDeque<(i32, Arc<Picture>)>,
}

impl<R: PlateReader> CachedPlate<R> {
    /// Keeps up to `bound` bytes of frames of `inner`.
    pub fn new(inner: R, bound: usize) -> Self {
        Self {
            inner,
            bound,
            bytes: 0,
            kept: VecDeque::new(),
        }
    }

    /// The plate behind.
    pub fn inner(&self) -> &R {
        &self.inner
    }

    /// Bytes of frames in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<R: PlateReader> PlateReader for CachedPlate<R> {
    fn info(&self) -> &PlateInfo {
        self.inner.info()
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        if let Some(at) = self.kept.iter().position(|(f, _)| *f == frame)
            && let Some(entry) = self.kept.remove(at)
        {
            let picture = entry.1.clone();
            self.kept.push_back(entry);
            return Ok(picture);
        }
        let picture = self.inner.read(frame)?;
        self.bytes += picture.bytes();
        self.kept.push_back((frame, picture.clone()));
        while self.bytes > self.bound && self.kept.len() > 1 {
            if let Some((_, oldest)) = self.kept.pop_front() {
                self.bytes -= oldest.bytes();
            }
        }
        Ok(picture)
    }

    fn prefetch(&mut self, frames: &[i32]) {
        let kept = |f: &i32| self.kept.iter().any(|(k, _)| k == f);
        let wanted: Vec<i32> = frames.iter().copied().filter(|f| !kept(f)).collect();
        self.inner.prefetch(&wanted);
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        self.inner.take_warnings()
    }
}
