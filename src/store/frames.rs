//! Made frames on disk: large, and quick to make again, so they are read and
//! written otherwise than other entries, and are the first to give way.
//!
//! A frame is an entry like any other (see [`entry`](super::entry)), of samples of
//! 32-bit float, in a file `….frame`. Its bytes are not forced to the disk, which
//! would hold up others' work: what a power cut leaves half written fails its
//! checksum, and is made again. It is read piece by piece, so that checking a piece
//! and handing it on goes beside the reading of the next.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::disk::{DiskStore, StoreError, touch};
use super::entry;

/// Pieces on their way from the disk.
const PIECES: usize = 3;

/// What came of reading a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streamed {
    /// All samples were handed on, and they are those that were kept.
    Whole,
    /// There is no such frame.
    Missing,
    /// The frame is not what was kept; what was handed on is worth nothing. It is
    /// gone now.
    Damaged,
    /// The taker wanted no more.
    Stopped,
}

impl DiskStore {
    /// Keeps the samples of a frame under `key`.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_frame(&self, key: &blake3::Hash, samples: &[f32]) -> Result<(), StoreError> {
        self.save_as(key, bytemuck::cast_slice(samples), true)
    }

    /// Whether a frame is kept under `key`, whole or not.
    pub fn has_frame(&self, key: &blake3::Hash) -> bool {
        self.path_of(key, true).is_file()
    }

    /// Reads the frame of `count` samples under `key`, `piece` samples at a time, in
    /// order, on another thread than the caller's, who is handed each piece; `take`
    /// says whether it wants more. Samples count only once the answer is
    /// [`Streamed::Whole`].
    pub fn stream_frame(
        &self,
        key: &blake3::Hash,
        count: usize,
        piece: usize,
        take: &mut dyn FnMut(&[f32]) -> bool,
    ) -> Streamed {
        let path = self.path_of(key, true);
        let Ok(file) = File::open(&path) else {
            return Streamed::Missing;
        };
        let streamed = stream(&file, key, count, piece.max(1), take);
        match streamed {
            Streamed::Whole => touch(&path),
            // One that cannot be removed is refused again next time.
            Streamed::Damaged => drop(fs::remove_file(&path)),
            _ => {}
        }
        streamed
    }
}

/// Whether a file of the store is a frame, which gives way before all else.
pub(super) fn is_frame(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == FRAME)
}

/// How files of frames end.
pub(super) const FRAME: &str = "frame";

fn stream(
    file: &File,
    key: &blake3::Hash,
    count: usize,
    piece: usize,
    take: &mut dyn FnMut(&[f32]) -> bool,
) -> Streamed {
    let bytes = count * size_of::<f32>();
    let head = entry::head(key, bytes);
    let mut own = head;
    let mut file = file;
    let length = file.metadata().map_or(0, |m| m.len());
    if length != (bytes + entry::OVERHEAD) as u64
        || file.read_exact(&mut own).is_err()
        || own != head
    {
        return Streamed::Damaged;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&head);
    thread::scope(|scope| {
        // Here, so that they are gone before the reader is waited for.
        let (send, pieces) = sync_channel::<io::Result<Vec<f32>>>(PIECES);
        let (give_back, spare) = sync_channel::<Vec<f32>>(PIECES + 2);
        // Gives the checksum that the file ends with.
        let read = move || {
            for start in (0..count).step_by(piece) {
                let mut samples = spare.try_recv().unwrap_or_default();
                samples.resize(piece.min(count - start), 0.0);
                let got = file.read_exact(bytemuck::cast_slice_mut(&mut samples));
                let failed = got.is_err();
                if send.send(got.map(|()| samples)).is_err() || failed {
                    return None;
                }
            }
            let mut sum = [0; 32];
            file.read_exact(&mut sum).ok().map(|()| sum)
        };
        let Ok(reader) = thread::Builder::new().spawn_scoped(scope, read) else {
            return Streamed::Missing;
        };
        for samples in &pieces {
            let Ok(samples) = samples else { break };
            hasher.update(bytemuck::cast_slice(&samples));
            if !take(&samples) {
                return Streamed::Stopped;
            }
            // A reader that has enough takes none back.
            let _ = give_back.try_send(samples);
        }
        let sum = reader.join().ok().flatten();
        match sum {
            Some(sum) if *hasher.finalize().as_bytes() == sum => Streamed::Whole,
            _ => Streamed::Damaged,
        }
    })
}
