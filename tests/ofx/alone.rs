//! A plate in files: in a node without a Source, and in hosts that have colours,
//! pixels or components of another kind.

use crate::support::plate::Plate;
use crate::support::{Host, Run, write_window};

fn generator(like: &str, pattern: &str) -> Host {
    Host::longtake(like)
        .opt("context", "generator")
        .opt("project", "64,48")
        .opt("timeline", "1001,1048")
        .set("plate", pattern)
        .set("frames", "1001,1048")
}

fn statuses(run: &Run) -> Vec<String> {
    let frames = run.all("frame");
    let status = |f: &&serde_json::Value| f["status"].as_str().unwrap().to_owned();
    frames.iter().map(status).collect()
}

#[test]
fn in_the_general_context_a_plate_file_needs_no_source() {
    let plate = Plate::water(64, 48, 1001, 24);
    let right = generator("plain", &plate.pattern())
        .keep("out", "1005,1030")
        .run()
        .good();
    for like in ["natron", "nuke"] {
        let run = Host::longtake(like)
            .opt("project", "64,48")
            .opt("timeline", "1001,1048")
            .set("plate", plate.pattern())
            .set("frames", "1001,1048")
            .opt("region", 1001)
            .keep("out", "1005,1030")
            .run()
            .good();
        assert_eq!(
            run.one("created")["context"],
            "OfxImageEffectContextGeneral"
        );
        assert_eq!(
            run.one("region")["region"],
            serde_json::json!([0, 0, 64, 48])
        );
        for number in [1005, 1030] {
            assert!(run.frame("out", number) == right.frame("out", number));
        }
    }
}

#[test]
fn a_node_with_neither_says_what_to_do_and_a_filter_must_be_connected() {
    let node = |like: &str, context: &str| {
        Host::longtake(like)
            .opt("context", context)
            .opt("project", "64,48")
            .opt("timeline", "1,48")
            .set("frames", "1,96")
            .opt("window", "0,0,64,48")
    };
    for like in ["natron", "nuke"] {
        let run = node(like, "general").render("60").run().sound();
        assert_eq!(statuses(&run)[0], "Failed", "{run:?}");
        let told = run.messages().join(" ");
        assert!(
            told.contains("connect") && told.contains("Plate file"),
            "{told}"
        );
        let run = node(like, "filter").render("60").run().sound();
        assert_eq!(statuses(&run)[0], "Stopped", "{run:?}");
        let run = node(like, "filter").flag("describe").run().sound();
        for clip in run.all("clip").iter().filter(|c| c["name"] == "Source") {
            assert_eq!(clip["optional"], false);
        }
    }
}

#[test]
fn a_premultiplied_file_is_divided_by_alpha_for_a_host_that_wants_it_so() {
    let mut frames = Plate::water(64, 48, 1001, 24).frames;
    for frame in &mut frames {
        // Nothing to divide by, and light of what is not there.
        frame.rgba[..4].copy_from_slice(&[0.5, 0.25, 0.125, 0.0]);
    }
    let plate = Plate::new(1001, frames);
    let run = |how: &str| {
        Host::longtake("plain")
            .clip("Source", &plate)
            .set("frames", "1001,1048")
            .set("plate", plate.pattern())
            .opt("premultiplication", how)
            .keep("out", "1005,1030")
            .keep("again", "1005")
            .run()
            .good()
    };
    let (multiplied, divided) = (run("pre"), run("unpre"));
    assert!(multiplied.frame("out", 1005) == *plate.frame(1005));
    for number in [1005, 1030] {
        let (from, to) = (
            multiplied.frame("out", number),
            divided.frame("out", number),
        );
        for (a, b) in from.rgba.chunks(4).zip(to.rgba.chunks(4)) {
            let by = if a[3] > 0.0 { a[3] } else { 1.0 };
            let right = [a[0] / by, a[1] / by, a[2] / by, a[3]];
            assert!(right == b, "{number}: {a:?} came out as {b:?}");
        }
    }
    assert!(divided.frame("again", 1005) == divided.frame("out", 1005));
}

#[test]
fn a_file_of_wide_pixels_fills_a_project_of_square_ones() {
    let water = Plate::water(64, 48, 1001, 24);
    for (number, frame) in (1001..).zip(&water.frames) {
        write_window(&water.path(number), frame, [0, 0], [64, 48], 2.0);
    }
    let node = |aspect: f64| {
        generator("plain", &water.pattern())
            .opt("project", format!("{},48", 128.0 / aspect))
            .opt("pixel-aspect", aspect)
            .keep("out", "1005,1030")
            .run()
            .good()
    };
    let (square, wide) = (node(1.0), node(2.0));
    assert!(
        wide.frame("out", 1005) == *water.frame(1005),
        "its own pixels"
    );
    for number in [1005, 1030] {
        let (square, wide) = (square.frame("out", number), wide.frame("out", number));
        assert_eq!((square.width, square.height), (128, 48));
        for y in 0..48 {
            for x in 0..64 {
                let (a, b) = (square.pixel(2 * x, y), square.pixel(2 * x + 1, y));
                let mean = (a[0] + b[0]) / 2.0;
                let sides = [x.saturating_sub(1), x, (x + 1).min(63)];
                let near = sides.map(|x| wide.pixel(x, y)[0]);
                let (low, high) = near
                    .iter()
                    .fold((9.0f32, -9.0f32), |(l, h), v| (l.min(*v), h.max(*v)));
                assert!(
                    (low - 1e-5..=high + 1e-5).contains(&mean),
                    "{number}: {x},{y}"
                );
            }
        }
    }
}

#[test]
fn the_output_has_what_the_file_has_where_the_host_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plate.####.exr");
    for (number, frame) in (1001..).zip(&Plate::water(64, 48, 1001, 24).frames) {
        let colour = |x: usize, y: usize| {
            let [r, g, b, _] = frame.pixel(x, y);
            (r, g, b)
        };
        let file = folder.path().join(format!("plate.{number}.exr"));
        exr::prelude::write_rgb_file(file, 64, 48, colour).unwrap();
    }
    let path = path.to_str().unwrap();
    for (like, components) in [("plain", "RGB"), ("resolve", "RGBA")] {
        // The plate is named when the node is there already: a host asks again where it
        // is told that the answer depends on that.
        let run = Host::longtake(like)
            .opt("context", "generator")
            .opt("project", "64,48")
            .opt("timeline", "1001,1048")
            .flag("create")
            .set("plate", path)
            .set("frames", "1001,1048")
            .keep("out", "1005,1030")
            .run()
            .good();
        for frame in run.all("frame") {
            let told = frame["components"].as_str().unwrap();
            assert!(
                told.ends_with(&format!("Component{components}")),
                "{like}: {told}"
            );
        }
    }
}

#[test]
fn a_new_node_shows_the_error_that_one_before_it_had() {
    let plate = Plate::water(64, 48, 1001, 24);
    let node = |like: &str| {
        Host::longtake(like)
            .clip("Source", &plate)
            .set("frames", "1001,1048")
            .set("plateRange", "1001,1003")
    };
    let run = node("nuke")
        .render("1040")
        .flag("destroy")
        .render("1040")
        .run()
        .sound();
    let kinds: Vec<_> = run
        .all("message")
        .iter()
        .map(|m| &m["persistent"])
        .collect();
    assert_eq!(kinds, [true, true], "{run:?}");
    // What has to be clicked away is told once.
    let run = node("plain")
        .opt("no-suite", "message:2")
        .render("1040,1041")
        .flag("destroy")
        .render("1040")
        .run()
        .sound();
    assert_eq!(run.messages().len(), 1, "{run:?}");
}
