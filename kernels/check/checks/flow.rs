//! `flow`: the twin's bits.

use libtest_mimic::Failed;
use longtake_kernels::flow::{Plane, flow, launch, scratch};

use super::Check;
use crate::lab::{Lab, UNSEEN, same};
use crate::rate::Rate;

pub const CHECK: Check = Check {
    name: "flow",
    run,
    rate,
};

/// The engine's grid of a wide picture.
const GRID: (usize, usize) = (107, 60);

/// Waves of several lengths that move by `shift` cells, with `noise` over them.
fn picture(lab: &mut Lab, (cols, rows): (usize, usize), shift: f32, noise: f32) -> Vec<f32> {
    let grain = lab.numbers(cols * rows);
    let value = |p: usize| {
        let (x, y) = ((p % cols) as f32 - shift, (p / cols) as f32 + 0.6 * shift);
        let wave = |fx: f32, fy: f32| (fx * x + fy * y).sin();
        let waves = wave(0.31, 0.17) + 0.6 * wave(-0.23, 0.71) + 0.3 * wave(1.1, 0.9);
        0.2 * waves + noise * grain[p]
    };
    (0..cols * rows).map(value).collect()
}

fn run(lab: &mut Lab) -> Result<(), Failed> {
    // Smaller than a patch, one patch, patches that lie closer at an end; one level,
    // several; more patches on a diagonal than are searched at once.
    let shapes = [
        (1, 1),
        (7, 40),
        (8, 8),
        (9, 8),
        (10, 10),
        (21, 20),
        (40, 30),
        (13, 90),
        GRID,
        (214, 120),
    ];
    for shape in shapes {
        let (cols, rows) = shape;
        let cells = cols * rows;
        let pictures = [(0.0, 0.0), (1.7, 0.01), (-9.0, 0.1), (0.0, 3.0)]
            .map(|(shift, noise)| picture(lab, shape, shift, noise));
        // Twice the same, one that is nothing but noise, a flat one.
        let mut pictures = pictures.to_vec();
        pictures.push(vec![0.25; cells]);
        let mut ways = vec![[0, 1], [1, 0], [2, 2]];
        match cells {
            // The emulation takes a second for so many.
            10_000.. => ways.truncate(1),
            2_000.. => {}
            _ => ways.extend([[0, 2], [3, 1], [4, 4], [1, 4]]),
        }
        let plane = |of: u32| Plane {
            cols,
            rows,
            data: pictures[of as usize].clone(),
        };
        let mut twin = Vec::new();
        for [from, to] in &ways {
            let field = flow(&plane(*from), &plane(*to));
            twin.extend(field.u.data);
            twin.extend(field.v.data);
        }
        let input = lab.guarded(&pictures.concat(), UNSEEN)?;
        let on_device = lab.guarded(ways.as_flattened(), u32::MAX)?;
        let mut room = lab.room(ways.len() * scratch(cols, rows), UNSEEN)?;
        let mut out = lab.room(twin.len(), UNSEEN)?;
        let (pictures, list) = (input.part(), on_device.part());
        let (work, fields) = (room.part_mut(), out.part_mut());
        launch(&lab.stream, pictures, shape, list, work, fields)?;
        same(&format!("{cols} x {rows}"), &lab.read(&out)?, &twin)?;
        // That nothing was written beside it.
        lab.read(&room)?;
    }
    Ok(())
}

/// One pair of frames and many, both ways.
fn rate(lab: &mut Lab) -> Result<Vec<Rate>, Failed> {
    let shape = lab.size(GRID, (20, 20));
    let (cols, rows) = shape;
    let mut rates = Vec::new();
    for pairs in [1, lab.size(8, 2), lab.size(64, 3)] {
        let pictures: Vec<f32> = (0..2 * pairs)
            .flat_map(|i| picture(lab, shape, 2.5 * (i % 2) as f32, 0.02))
            .collect();
        let ways: Vec<u32> = (0..pairs as u32)
            .flat_map(|i| [2 * i, 2 * i + 1, 2 * i + 1, 2 * i])
            .collect();
        let pictures = lab.stream.upload(&pictures)?;
        let list = lab.stream.upload(&ways)?;
        let mut room = lab.stream.room(2 * pairs * scratch(cols, rows))?;
        let mut out = lab.stream.room(4 * pairs * cols * rows)?;
        let seconds = lab.time(|lab| {
            let (pictures, list) = (pictures.part(), list.part());
            let (work, fields) = (room.part_mut(), out.part_mut());
            launch(&lab.stream, pictures, shape, list, work, fields)
        })?;
        // Bound by latency: the bytes are those that must cross at least.
        rates.push(Rate::memory(
            &format!("{pairs} pairs of {cols} x {rows}, both ways"),
            2 * pairs * 16 * cols * rows,
            seconds,
        ));
    }
    Ok(rates)
}
