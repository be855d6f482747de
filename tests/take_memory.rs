//! How much memory a take of the wan engine takes does not depend on its length, also
//! where the model is given something of every frame.

mod counted;
#[path = "wan/support.rs"]
#[allow(dead_code)]
mod support;
#[path = "wan/take.rs"]
#[allow(dead_code)]
mod take;

use std::sync::Arc;

use counted::peak;
use longtake::device::Task;
use longtake::engine::wan::{Settings, Way};
use longtake::sequence::{Kept, Mode};
use longtake::store::DiskStore;
use support::tensors;
use take::{Frames, Order, folder, range, settings};

/// Pictures of the fixture, there and back, `count` of them.
fn frames(key: &str, count: usize) -> Frames {
    let mut frames = Frames::of(&tensors("with_plate/plate.safetensors")[key]);
    let own = frames.pictures.clone();
    let n = own.len() - 1;
    let at = |i: usize| (i % (2 * n)).min(2 * n - i % (2 * n));
    frames.pictures = (0..count).map(|i| Arc::clone(&own[at(i)])).collect();
    frames.info.range = range(1, count as i32);
    frames
}

/// Bytes that all frames of a take of `count` frames of a plate take at most.
fn used(name: &str, way: Way, mode: Mode, count: usize) -> usize {
    let folder = folder(name);
    let store = tempfile::tempdir().unwrap();
    let plate = frames("plate", count);
    let size = [2 * plate.info.width, 2 * plate.info.height];
    let order = Order {
        mode,
        out: range(1, count as i32),
        keep: None,
        matte: (way == Way::Fill).then(|| frames("matte", count)),
        guide: None,
        plate,
        settings: Settings {
            way,
            at_once: 33,
            overlap: 5,
            steps: 1,
            guidance: longtake::sampler::Guidance {
                scale: 1.,
                ..Default::default()
            },
            ..settings(folder.path(), size)
        },
    };
    let keep = Arc::new(Kept(DiskStore::new(store.path(), 4 << 30)));
    peak(|| {
        let take = order.take_kept(keep, &(), Task::quiet()).unwrap();
        for frame in order.out.iter() {
            order.frame(&take, frame);
        }
    })
}

// One test: others beside it would be counted.
#[test]
fn a_take_of_four_times_the_length_takes_no_more_memory() {
    // The first makes the worker threads. The short one has whole chunks of what is
    // kept, too.
    used("vace", Way::Fill, Mode::Fill, 40);
    let (short, long) = (
        used("vace", Way::Fill, Mode::Fill, 128),
        used("vace", Way::Fill, Mode::Fill, 512),
    );
    let ratio = long as f64 / short as f64;
    println!("{short} bytes, {ratio:.3} of that at four times the length");
    assert!(ratio <= 1.1, "{short} and {long} bytes");
}
