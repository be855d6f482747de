//! Large copies between ordinary host memory and a device, through pinned memory that
//! the device reads and writes at full speed while the CPU copies the piece before.

use std::thread;

use super::{Buffer, DeviceError, Mark, Pinned, Plain, Stream};

/// Values of one piece: 16 MB of f32.
const PIECE: usize = 4 << 20;
/// Threads that copy a piece on the host; one reaches a third of what a device does.
const COPIERS: usize = 4;
/// Values below which one thread copies.
const FEW: usize = 1 << 18;

/// Two pieces of pinned memory, one being filled while the other is emptied.
pub struct Transfer {
    stream: Stream,
    pieces: [Pinned<f32>; 2],
}

impl Transfer {
    /// For copies in order with `stream`.
    pub fn new(stream: &Stream) -> Result<Self, DeviceError> {
        Ok(Self {
            stream: stream.clone(),
            pieces: [
                Pinned::new(stream.device(), PIECE)?,
                Pinned::new(stream.device(), PIECE)?,
            ],
        })
    }

    /// Copies all of `values` to `buffer`, which is as long.
    pub fn upload(&mut self, values: &[f32], buffer: &mut Buffer<f32>) -> Result<(), DeviceError> {
        let mut marks: [Option<Mark>; 2] = [None, None];
        for (i, part) in values.chunks(PIECE).enumerate() {
            let (piece, mark) = (&mut self.pieces[i % 2], &mut marks[i % 2]);
            if let Some(mark) = mark.take() {
                mark.wait()?;
            }
            let room = &mut piece.as_mut_slice()[..part.len()];
            copy(part, room);
            self.stream.queue_write(buffer, i * PIECE, room)?;
            *mark = Some(self.stream.mark()?);
        }
        // The pieces are used again.
        marks.into_iter().flatten().try_for_each(|m| m.wait())
    }

    /// Copies all of `buffer` to `values`, which is as long, once what was queued
    /// before is done.
    pub fn download(
        &mut self,
        buffer: &Buffer<f32>,
        values: &mut [f32],
    ) -> Result<(), DeviceError> {
        let count = values.len().div_ceil(PIECE);
        let mut marks: [Option<Mark>; 2] = [None, None];
        let length = |i: usize, all: usize| PIECE.min(all - i * PIECE);
        for i in 0..=count {
            if i < count {
                let n = length(i, values.len());
                let room = &mut self.pieces[i % 2].as_mut_slice()[..n];
                self.stream.queue_read(buffer, i * PIECE, room)?;
                marks[i % 2] = Some(self.stream.mark()?);
            }
            let Some(before) = i.checked_sub(1) else {
                continue;
            };
            if let Some(mark) = marks[before % 2].take() {
                mark.wait()?;
                let n = length(before, values.len());
                let to = &mut values[before * PIECE..before * PIECE + n];
                copy(&self.pieces[before % 2].as_slice()[..n], to);
            }
        }
        Ok(())
    }
}

/// By several threads where it is worth it. Threads of their own: the caller may hold
/// a lock, and a pool's thread that waits takes up work that wants the same one.
fn copy<T: Plain>(from: &[T], to: &mut [T]) {
    if from.len() < FEW {
        to.copy_from_slice(from);
        return;
    }
    let n = from.len().div_ceil(COPIERS);
    thread::scope(|scope| {
        for (from, to) in from.chunks(n).zip(to.chunks_mut(n)) {
            scope.spawn(|| to.copy_from_slice(from));
        }
    });
}
