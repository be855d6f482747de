//! What a job needs of a machine, told before any work.

use serde::Serialize;

use super::shot::Shot;
use crate::frame::PlateReader as _;

/// What is needed beside pictures: the program, its threads' stacks, what is
/// learned of the plate.
const BASE: u64 = 192 << 20;
/// Pictures that a thread holds at most while it makes a frame: the frame, what it
/// is gathered from, and the file being packed.
const PICTURES: u64 = 6;
/// Bytes of decoded movie frames kept on disk at most.
const SPOOL: u64 = 16 << 30;

/// What a machine has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Processor cores.
    pub cpus: usize,
    /// Bytes of memory, at most.
    pub memory: u64,
    /// Bytes in the folder for temporary files, at most.
    pub scratch: u64,
}

impl Shot<'_> {
    /// What a machine has to have to make a block of this. Where the job does not
    /// say how many threads, on those that are here.
    pub fn needs(&self) -> Needs {
        let info = self.plate.info();
        let (width, height) = info.full_size;
        let samples = (width * height * info.channels.len()) as u64;
        let picture = 4 * samples;
        let plate = picture.saturating_mul(info.range.count() as u64);
        let threads = self.threads();
        let movie = self.plate.is_movie();
        Needs {
            cpus: self.job.threads.unwrap_or(1),
            memory: BASE + plate.min(self.job.setup.memory) + threads as u64 * PICTURES * picture,
            scratch: if movie { plate.min(SPOOL) } else { 0 },
        }
    }

    fn threads(&self) -> usize {
        let here = || std::thread::available_parallelism().map_or(1, Into::into);
        self.job.threads.unwrap_or_else(here)
    }
}
