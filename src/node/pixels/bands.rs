//! Work on a picture of the host's by several threads, each on rows of its own.
//!
//! One core alone does not copy as fast as the memory can. The threads are not the
//! pool's: that may be deep in other frames, and a host's thread waits here.

use std::marker::PhantomData;
use std::thread;

use parking_lot::Mutex;

use super::{Image, Layout, Rect};

/// Bytes below which one thread is as quick.
const SMALL: usize = 8 << 20;
/// Threads at most: memory is busy with fewer.
const THREADS: usize = 8;
/// Bytes of a band: it is soon done, so that a thread that the system held up holds
/// up nobody else for long.
const BAND: usize = 4 << 20;

impl Image<'_> {
    /// Calls `work` with bands of this picture and the rectangle of `part` that each
    /// is to do; together they are all of `part`, which lies within the bounds.
    pub(super) fn in_bands(&mut self, part: &Rect, work: impl Fn(&mut Image<'_>, &Rect) + Sync) {
        let row = part.width() * self.pixel_len();
        if row * part.height() < SMALL {
            return work(self, part);
        }
        let bands = self.split(part, rows_of(row));
        by_threads(bands, |(mut band, part)| work(&mut band, &part));
    }

    /// Calls `work` with the highest row of each band of `part`, which lies within the
    /// bounds, and the rows of `to` that belong to it: `to` has a row of `width` samples for
    /// each of `part`, from its top.
    pub(super) fn in_bands_to(
        &self,
        part: &Rect,
        to: &mut [f32],
        width: usize,
        work: impl Fn(i32, &mut [f32]) + Sync,
    ) {
        let row = part.width() * self.pixel_len();
        if width == 0 || row * part.height() < SMALL {
            return work(part.y2 - 1, to);
        }
        let rows = rows_of(row);
        let bands = to.chunks_mut(rows * width).enumerate();
        let bands = bands.map(|(i, to)| (part.y2 - 1 - (i * rows) as i32, to));
        by_threads(bands.collect(), |(top, to)| work(top, to));
    }

    /// This picture in bands of `rows` rows each, and what of `part` lies in each.
    fn split(&mut self, part: &Rect, rows: usize) -> Vec<(Image<'_>, Rect)> {
        (part.y1..part.y2)
            .step_by(rows)
            .map(|y1| {
                let y2 = part.y2.min(y1.saturating_add(rows as i32));
                let bounds = Rect {
                    y1,
                    y2,
                    ..self.layout.bounds
                };
                let band = Image {
                    // The rows of no two bands are the same, and this picture is
                    // lent to all of them for as long as they live.
                    data: self.row_start(y1),
                    layout: Layout {
                        bounds,
                        region: Some(self.region()),
                        ..self.layout
                    },
                    cuda: self.cuda,
                    lent: PhantomData,
                };
                (band, Rect { y1, y2, ..*part })
            })
            .collect()
    }
}

/// Rows of a band, of so many bytes each.
fn rows_of(row: usize) -> usize {
    (BAND / row.max(1)).max(1)
}

/// Calls `work` with each of `parts`, on several threads.
fn by_threads<T: Send>(parts: Vec<T>, work: impl Fn(T) + Sync) {
    let parts = Mutex::new(parts);
    let run = || {
        while let Some(part) = { parts.lock().pop() } {
            work(part);
        }
    };
    let cores = thread::available_parallelism().map_or(1, |n| n.get());
    thread::scope(|scope| {
        for _ in 1..cores.min(THREADS) {
            // Where the system grants no thread, the others do its part.
            let _ = thread::Builder::new().spawn_scoped(scope, run);
        }
        run();
    });
}
