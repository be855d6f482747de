//! `HostStream` of the driver's layer, no kernel: a host's pictures in device memory, read and written in rows of all
//! kinds, in order with the stream.

use std::thread;

use libtest_mimic::Failed;
use longtake_kernels::driver::DeviceRows;

use super::Check;
use crate::lab::{Lab, equal};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "host_stream",
    run,
    rate,
};

/// Bytes of a row, rows, bytes between rows; the last two take several pieces.
const SHAPES: [(usize, usize, isize); 7] = [
    (1, 1, 1),
    (7, 5, 7),
    (12, 9, 20),
    (16, 6, -16),
    (5, 4, -11),
    (40_000, 1_000, 40_064),
    (17 << 20, 2, 17 << 20),
];

fn run(lab: &mut Lab) -> Result<(), Failed> {
    for (bytes, count, pitch) in SHAPES {
        let what = format!("{count} rows of {bytes} bytes, {pitch} apart");
        let stride = pitch.unsigned_abs();
        let total = stride * (count - 1) + bytes;
        let seed = lab.word() as usize;
        let value = |i: usize| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 7) as u8;
        let held: Vec<u8> = (0..total).map(value).collect();
        let rows_of = |all: &[u8]| -> Vec<u8> {
            let row = |y: usize| if pitch < 0 { count - 1 - y } else { y };
            let rows = (0..count).map(|y| &all[row(y) * stride..][..bytes]);
            rows.flatten().copied().collect()
        };
        let mut input = lab.guarded(&held, 0xC3)?;
        let mut out = lab.guarded(&vec![0x5Au8; total], 0xC3)?;
        let start = |address: u64| match pitch < 0 {
            true => address + (stride * (count - 1)) as u64,
            false => address,
        };
        let addresses = [input.part().address(), out.part().address()].map(start);
        // SAFETY: the rows lie in the buffers above, in the lab's context.
        let [from, to] = addresses.map(|a| unsafe { DeviceRows::new(a, pitch, bytes, count) });
        let stream = lab.stream.as_host()?;

        let mut seen = vec![0; bytes * count];
        stream.read(&from, |first, rows| {
            seen[first * bytes..][..rows.len()].copy_from_slice(rows);
        })?;
        equal(&format!("read: {what}"), &seen, &rows_of(&held))?;

        let made: Vec<u8> = (0..bytes * count).map(|i| value(i + 99)).collect();
        stream.write(&to, |first, rows| {
            rows.copy_from_slice(&made[first * bytes..][..rows.len()]);
        })?;
        // What is sent next goes through the same memory.
        stream.write(&from, |_, rows| rows.fill(0x11))?;
        let found = lab.read(&out)?;
        equal(&format!("written: {what}"), &rows_of(&found), &made)?;
        let between = |all: &[u8]| -> usize {
            let gap = |i: &usize| i % stride >= bytes;
            (0..total).filter(gap).filter(|i| all[*i] != 0x5A).count()
        };
        equal(&format!("between rows: {what}"), &[between(&found)], &[0])?;

        stream.copy(&from, &to)?;
        stream.clear(&to)?;
        stream.finish()?;
        let (copied, cleared) = (lab.read(&input)?, lab.read(&out)?);
        equal(&format!("copied: {what}"), &rows_of(&copied), &made)?;
        equal(
            &format!("cleared: {what}"),
            &rows_of(&cleared),
            &vec![0; bytes * count],
        )?;
        equal(&format!("between: {what}"), &[between(&cleared)], &[0])?;
        // Kept to here: device memory that rows speak of.
        let _ = (input.part_mut(), out.part_mut());
    }
    Ok(())
}

/// A frame of 4K float RGBA, as a render reads and writes it; by the clock, with the
/// wait that a host has for what was written.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let (width, height) = lab.size((3840, 2160), (96, 54));
    let bytes = width * 16;
    let frame = lab.stream.room::<u8>(bytes * height)?;
    // SAFETY: the rows lie in the buffer above, in the lab's context.
    let rows = unsafe { DeviceRows::new(frame.address(), bytes as isize, bytes, height) };
    let mut held = vec![0u8; bytes * height];
    let written = lab.clock(|lab| {
        let stream = lab.stream.as_host()?;
        stream.write(&rows, |first, part| {
            let len = part.len();
            copy(&held[first * bytes..][..len], part);
        })?;
        lab.stream.wait()
    })?;
    let read = lab.clock(|lab| {
        lab.stream.as_host()?.read(&rows, |first, part| {
            copy(part, &mut held[first * bytes..][..part.len()]);
        })
    })?;
    let rate = |what: &str, seconds| {
        let what = format!("{what}, {width} by {height} float RGBA");
        Rate::to_host(&what, bytes * height, seconds)
    };
    Ok(vec![
        rate("a host's picture written", written),
        rate("a host's picture read", read),
    ])
}

/// By several threads, as the node has it.
fn copy(from: &[u8], to: &mut [u8]) {
    const BAND: usize = 4 << 20;
    thread::scope(|scope| {
        for (from, to) in from.chunks(BAND).zip(to.chunks_mut(BAND)) {
            scope.spawn(|| to.copy_from_slice(from));
        }
    });
}
