//! Pieces of one job shared between the caller and idle workers, without ever
//! waiting for a worker to begin.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use super::threads;

/// Runs `piece(0)`, …, `piece(count - 1)`, each once, on the caller and on
/// workers that have nothing else to do, and hands each result to `take` on
/// the caller as it comes, in no order. A piece that panics gives `None`.
///
/// Unlike a rayon parallel iterator, the caller never takes up foreign work
/// while it waits: it may hold a lock that such work would want. It claims
/// pieces until none is left and then waits only for those that run already,
/// so it makes headway even where every worker is busy or blocked. `piece`
/// must not wait for other work of the pool.
pub fn share_each<T, F>(count: usize, piece: F, mut take: impl FnMut(usize, Option<T>))
where
    T: Send + 'static,
    F: Fn(usize) -> T + Send + Sync + 'static,
{
    let run = |piece: &F, i| catch_unwind(AssertUnwindSafe(|| piece(i))).ok();
    let helpers = threads::count().min(count).saturating_sub(1);
    let next = Arc::new(AtomicUsize::new(0));
    let piece = Arc::new(piece);
    let (results, finished) = mpsc::channel();
    for _ in 0..helpers {
        let (next, piece, results) = (next.clone(), piece.clone(), results.clone());
        threads::spawn(move || {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                // A receiver that is gone wants no more results.
                if i >= count || results.send((i, run(&piece, i))).is_err() {
                    return;
                }
            }
        });
    }
    let mut taken = 0;
    loop {
        let i = next.fetch_add(1, Ordering::Relaxed);
        if i >= count {
            break;
        }
        take(i, run(&piece, i));
        taken += 1;
        for (i, result) in finished.try_iter() {
            take(i, result);
            taken += 1;
        }
    }
    // Helpers that have yet to begin will find no piece and only hold the
    // channel, hence the count rather than the channel's end.
    for (i, result) in finished.iter().take(count - taken) {
        take(i, result);
    }
}

/// As [`share_each`], with the results in order.
pub fn share<T, F>(count: usize, piece: F) -> Vec<Option<T>>
where
    T: Send + 'static,
    F: Fn(usize) -> T + Send + Sync + 'static,
{
    let mut out: Vec<Option<T>> = (0..count).map(|_| None).collect();
    share_each(count, piece, |i, result| out[i] = result);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_in_order_and_a_panic_costs_only_its_piece() {
        let out = share(100, |i| {
            assert!(i != 42, "the answer");
            i * 2
        });
        assert_eq!(out.len(), 100);
        for (i, o) in out.iter().enumerate() {
            assert_eq!(*o, (i != 42).then_some(2 * i));
        }
    }

    #[test]
    fn headway_is_made_with_every_worker_asleep() {
        let (wake, sleeping) = mpsc::channel::<()>();
        let sleeping = Arc::new(parking_lot::Mutex::new(sleeping));
        for _ in 0..threads::count() {
            let sleeping = sleeping.clone();
            threads::spawn(move || {
                let _ = sleeping.lock().recv();
            });
        }
        assert_eq!(share(8, |i| i).into_iter().flatten().sum::<usize>(), 28);
        drop(wake);
    }
}
