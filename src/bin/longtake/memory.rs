//! An end that a farm can tell from others when memory runs out.
//!
//! Rust ends a program that asks for memory in vain by an abort, which a queue
//! cannot tell from a fault. So it ends here, with the exit code that says "give it
//! a machine with more". (Where the system kills the process instead, as Linux
//! does by default, the queue sees signal 9.)

use std::alloc::{GlobalAlloc, Layout, System};

use longtake::job::Kind;

use crate::exit;

struct OrEnd;

#[global_allocator]
static ALLOCATOR: OrEnd = OrEnd;

/// Larger than any part of a picture; whoever asks for so much had it from a
/// damaged file and copes with the refusal.
const SANE: usize = 1 << 40;

fn found(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() && size < SANE {
        // Told without asking for memory.
        const TOLD: &[u8] = b"longtake: out of memory: give it a machine with more, or lower --memory and --threads\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), TOLD);
        // SAFETY: ends the process and touches nothing of it.
        unsafe { _exit(i32::from(exit::code(Kind::Memory))) }
    }
    memory
}

unsafe extern "C" {
    /// Of the C library: ends the process without running what others have
    /// asked for at its end, which would ask for memory again.
    fn _exit(code: i32) -> !;
}

// SAFETY: all is passed on to the system's allocator as it came; what it gives is
// returned as it is, or the process ends.
unsafe impl GlobalAlloc for OrEnd {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises hold.
        found(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises hold.
        found(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises hold.
        found(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises hold.
        unsafe { System.dealloc(memory, layout) }
    }
}
