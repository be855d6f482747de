//! Decoded frames on disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::decoder::Raw;

/// Bytes of the spool at most.
const SPOOL: u64 = 16 << 30;

/// Decoded frames in an unnamed file, in slots that are used round and round.
#[derive(Default)]
pub(super) struct Spool {
    file: Option<File>,
    /// Size of the frames, or `None` before the first.
    frame: Option<(usize, usize, usize)>,
    /// The frame in each slot.
    slots: Vec<i32>,
    /// Set when the disk is full or cannot be written.
    broken: bool,
}

impl Spool {
    fn slot(&self, frame: i32) -> Option<(usize, u64)> {
        let (_, _, size) = self.frame?;
        let count = (SPOOL / size.max(1) as u64).max(1);
        let slot = (frame as u64 - 1) % count;
        Some((slot as usize, slot * size as u64))
    }

    pub(super) fn get(&mut self, frame: i32) -> Option<Raw> {
        let (slot, offset) = self.slot(frame)?;
        let (width, height, size) = self.frame?;
        if self.slots.get(slot) != Some(&frame) {
            return None;
        }
        let file = self.file.as_mut()?;
        let mut bytes = vec![0; size];
        file.seek(SeekFrom::Start(offset)).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(Raw {
            width,
            height,
            bytes,
        })
    }

    pub(super) fn put(&mut self, frame: i32, raw: &Raw) {
        let shape = (raw.width, raw.height, raw.bytes.len());
        if self.broken || *self.frame.get_or_insert(shape) != shape {
            return;
        }
        let Some((slot, offset)) = self.slot(frame) else {
            return;
        };
        if self.slots.get(slot) == Some(&frame) {
            return;
        }
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, 0);
        }
        self.slots[slot] = 0;
        match self.write(offset, &raw.bytes) {
            Ok(()) => self.slots[slot] = frame,
            // Slower without, but no reason to stop.
            Err(_) => self.broken = true,
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile()?);
        }
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(bytes)?;
        }
        Ok(())
    }
}
