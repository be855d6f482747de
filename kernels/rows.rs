//! How rows of channels are parted among the threads of a block.

use crate::driver::Grid;
use crate::number::{Number, pick};

/// Channels that a thread reads at once.
const TOGETHER: usize = 8;
/// Threads of a block, at most.
const MOST: usize = 256;
/// As many times eight channels has a thread of the kernels for wide rows.
const WIDE: usize = 4;

/// A kernel by the length of the rows and the precision: for rows that a block holds
/// eight channels a thread, those that it holds 32, and any.
pub(crate) type Names = [[&'static str; 3]; 3];

/// Whether numbers at all of `addresses` can be read 16 bytes at a time.
pub(crate) fn are_even(addresses: &[u64]) -> bool {
    addresses.iter().all(|a| a.is_multiple_of(16))
}

/// The kernel for `rows` rows of `channels`, and its threads; `even` where each is to be
/// read eight at a time.
pub(crate) fn parted<T: Number>(
    names: Names,
    rows: usize,
    channels: usize,
    even: bool,
) -> (&'static str, Grid) {
    let together = channels / TOGETHER;
    let (names, threads) = match even && channels.is_multiple_of(TOGETHER) {
        true if together <= MOST => (names[0], together),
        true if together <= WIDE * MOST => (names[1], together.div_ceil(WIDE)),
        _ => (names[2], MOST),
    };
    let grid = Grid {
        blocks: [rows as u32, 1, 1],
        threads: [threads.next_multiple_of(32) as u32, 1, 1],
    };
    (pick::<T>(names), grid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_a_thread() {
        let names = [["held"; 3], ["wide"; 3], ["any"; 3]];
        let of = |channels: usize, at: u64| {
            let (name, grid) = parted::<f32>(names, 7, channels, are_even(&[64, at]));
            assert_eq!(grid.blocks, [7, 1, 1]);
            (name, grid.threads[0])
        };
        assert_eq!(of(1536, 32), ("held", 192));
        assert_eq!(of(8, 32), ("held", 32));
        assert_eq!(of(3072, 32), ("wide", 96));
        assert_eq!(of(5120, 32), ("wide", 160));
        assert_eq!(of(8192, 32), ("wide", 256));
        assert_eq!(of(8200, 32), ("any", 256));
        assert_eq!(of(1537, 32), ("any", 256));
        assert_eq!(of(1536, 36), ("any", 256));
    }
}
