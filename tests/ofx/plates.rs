//! Which plate a node makes frames of, and where it lies.

use crate::support::plate::{Frame, Plate};
use crate::support::{Host, Run};

/// The plate made twice as long.
fn take(plate: &Plate) -> Host {
    Host::longtake("plain")
        .clip("Source", plate)
        .set("frames", "1001,1048")
}

/// The hash of each instance's frame.
fn by_instance(run: &Run) -> Vec<(i64, String)> {
    let mut found: Vec<_> = run
        .all("frame")
        .iter()
        .map(|f| {
            let hash = f["hash"].as_str().unwrap().to_owned();
            (f["instance"].as_i64().unwrap(), hash)
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Frames that were fetched of Source.
fn fetched(run: &Run) -> usize {
    let frames = run.all("frame");
    frames
        .iter()
        .map(|f| f["fetched"].as_array().unwrap().len())
        .sum()
}

#[test]
fn nodes_with_different_plates_study_each_its_own_at_once() {
    let water = Plate::water(64, 48, 1001, 24);
    let turned = |f: &Frame| Frame::from_fn(64, 48, |x, y| f.pixel(63 - x, y));
    let other = Plate::new(1001, water.frames.iter().map(turned).collect());
    let plates = [&water, &other];
    let alone: Vec<(i64, String)> = (0..)
        .zip(plates)
        .map(|(i, plate)| {
            let run = take(plate).set("plans", 12).render("1040").run().good();
            (i, run.hashes()[&1040].clone())
        })
        .collect();
    let run = Host::longtake("plain")
        .clip("Source", &water)
        .clip("Source.1", &other)
        .opt("instances", 2)
        .opt("threads", 2)
        .opt("times", 2)
        .set("frames", "1001,1048")
        .set("plans", 12)
        .render("1040")
        .run()
        .good();
    assert_eq!(by_instance(&run), alone, "{run:?}");
}

#[test]
fn two_nodes_with_one_plate_study_it_once() {
    let plate = Plate::water(64, 48, 1001, 24);
    let run = take(&plate)
        .opt("instances", 2)
        .opt("threads", 2)
        .opt("times", 2)
        .set("plans", 12)
        .render("1040")
        .run()
        .good();
    let all = by_instance(&run);
    assert_eq!((all.len(), &all[0].1), (2, &all[1].1), "{run:?}");
    assert!(fetched(&run) < 2 * 24, "{run:?}");
}

#[test]
fn a_plate_whose_frames_are_cropped_is_made_whole() {
    let water = Plate::water(64, 48, 1001, 24);
    // A window that wanders from one corner to the other, and one that grows.
    let wander = |n: i32| {
        let at = (n - 1001) as usize;
        [at, 23 - at, at + 40, 23 - at + 25]
    };
    let grow = |n: i32| {
        let at = (n - 1001) as usize;
        [23 - at, 10, 64, 14 + at]
    };
    let all = |n: &i32| (1001..=1048).contains(n);
    for (window, region) in [
        (
            &wander as &dyn Fn(i32) -> [usize; 4],
            [0.0, 0.0, 63.0, 48.0],
        ),
        (&grow, [0.0, 11.0, 64.0, 38.0]),
    ] {
        let plate = water.cropped(window);
        let run = take(&plate)
            .opt("region", 1001)
            .flag("no-identity")
            .keep("out", "1001,1016,1030,1044")
            .run()
            .good();
        let told: Vec<f64> = serde_json::from_value(run.one("region")["region"].clone()).unwrap();
        assert_eq!(told, region, "{run:?}");
        let size = (
            (region[2] - region[0]) as usize,
            (region[3] - region[1]) as usize,
        );
        let (left, top) = (region[0] as usize, 48 - region[3] as usize);
        // As of frames that are whole, and black where these are cropped.
        let part = |f: &Frame| Frame::from_fn(size.0, size.1, |x, y| f.pixel(left + x, top + y));
        let whole = Plate::new(1001, plate.frames.iter().map(part).collect());
        let right = take(&whole)
            .flag("no-identity")
            .keep("out", "1001,1016,1030,1044")
            .run()
            .good();
        for number in [1001, 1016, 1030, 1044].iter().filter(|n| all(n)) {
            let (made, right) = (run.frame("out", *number), right.frame("out", *number));
            assert!(made == right, "frame {number} of {region:?}");
        }
        // A smaller picture of it, of the same shape.
        let half = take(&plate)
            .opt("scale", 0.5)
            .keep("half", "1030")
            .run()
            .good();
        let half = half.frame("half", 1030);
        assert_eq!(half.width, size.0.div_ceil(2));
        assert!(half.rgba.iter().any(|v| *v > 0.1));
    }
}
