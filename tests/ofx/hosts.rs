//! Our bundle in hosts that behave as real ones do. Each line of what was
//! learned of hosts that can happen to us has a test here or in the other
//! `ofx_` files.

use std::sync::OnceLock;

use crate::support::plate::{Frame, Plate};
use crate::support::{Host, Run};

/// A plate of 24 frames; 1001 to 1016 are kept when it is made longer.
fn plate() -> &'static Plate {
    static PLATE: OnceLock<Plate> = OnceLock::new();
    PLATE.get_or_init(|| Plate::water(64, 48, 1001, 24))
}

/// The plate made twice as long, in a host that behaves as `like`.
fn take(like: &str) -> Host {
    Host::longtake(like)
        .clip("Source", plate())
        .set("frames", "1001,1048")
}

/// The same where the host hands over one frame only: the plate from its file.
fn take_from_file(like: &str) -> Host {
    take(like)
        .set("plate", plate().pattern())
        .set("plateRange", "1001,1024")
}

const FRAMES: &str = "1048,1001,1030,1016,1017";
const NUMBERS: [i32; 5] = [1048, 1001, 1030, 1016, 1017];

/// What each host must come to.
fn expected() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        take("plain")
            .flag("no-identity")
            .keep("out", FRAMES)
            .run()
            .good()
    })
}

fn assert_expected(run: &Run, what: &str) {
    for number in NUMBERS {
        let (made, right) = (run.frame("out", number), expected().frame("out", number));
        assert!(made == right, "{what}: frame {number} differs {run:?}");
    }
}

/// A frame as a byte image holds it.
fn as_bytes(frame: &Frame) -> Frame {
    let mut frame = frame.clone();
    for v in &mut frame.rgba {
        *v = (v.clamp(0.0, 1.0) * 255.0).round_ties_even() / 255.0;
    }
    frame
}

#[test]
fn kept_frames_are_the_plate_and_made_frames_are_not() {
    for number in [1001, 1016] {
        assert_eq!(expected().frame("out", number), *plate().frame(number));
    }
    for number in [1017, 1030, 1048] {
        let made = expected().frame("out", number);
        assert!(made.rgba.iter().all(|v| v.is_finite()));
        assert!(
            made.rgba.iter().any(|v| *v > 0.2),
            "frame {number} is empty"
        );
    }
}

#[test]
fn every_host_gets_the_same_pixels() {
    for like in ["natron", "resolve", "nuke", "fusion", "vegas"] {
        let run = take(like)
            .opt("threads", 2)
            .keep("out", FRAMES)
            .run()
            .good();
        assert_expected(&run, like);
    }
}

#[test]
fn hosts_with_one_frame_get_the_same_pixels_from_the_plate_file() {
    for like in ["melt", "minimal", "runner"] {
        let run = take_from_file(like)
            .opt("depth", "float")
            .keep("out", FRAMES)
            .run()
            .good();
        assert_expected(&run, like);
    }
}

#[test]
fn a_host_with_one_frame_is_told_of_the_plate_file() {
    for like in ["melt", "minimal", "runner"] {
        let run = take(like)
            .set("plateRange", "1001,1024")
            .opt("no-suite", "nothing")
            .render("1030")
            .run()
            .sound();
        assert_eq!(run.all("frame")[0]["status"], "Failed", "{run:?}");
        if like != "minimal" {
            let told = run.messages().join("\n");
            assert!(told.contains("Plate file"), "{like}: {told}");
        }
    }
}

#[test]
fn natron_asks_for_identity_while_it_hands_over_a_frame() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls.txt");
    take("natron")
        .opt("log", log.to_str().unwrap())
        .flag("no-identity")
        .render("1030")
        .run()
        .good();
    let text = std::fs::read_to_string(log).unwrap();
    let render = text.find("OfxImageEffectActionRender(").unwrap();
    let end = text.find("= OK OfxImageEffectActionRender").unwrap();
    assert!(text[render..end].contains("OfxImageEffectActionIsIdentity("));
}

#[test]
fn natron_takes_the_output_range_from_the_time_domain() {
    let run = take("natron").flag("time-domain").run().sound();
    let domain = run.one("time_domain");
    assert_eq!(domain["status"], "OK");
    assert_eq!(
        (&domain["first"], &domain["last"]),
        (&1001.into(), &1048.into())
    );
}

#[test]
fn natron_renders_beyond_the_time_domain() {
    let run = take("natron")
        .keep("out", "990,1001,1048,1100")
        .run()
        .good();
    assert_eq!(run.frame("out", 1100), run.frame("out", 1048));
    assert_eq!(run.frame("out", 990), run.frame("out", 1001));
}

#[test]
fn natron_fetches_what_is_announced_so_little_is() {
    let run = take("natron").render("1001-1048").run().good();
    for frame in run.all("frame") {
        let ends: Vec<f64> = frame["needed"]["Source"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect();
        let count: f64 = ends.chunks(2).map(|r| r[1] - r[0] + 1.0).sum();
        assert!(count <= 4.0, "{frame}");
    }
}

#[test]
fn natron_garbles_the_arguments_of_messages() {
    let run = take("natron")
        .set("plate", "/nowhere/100%s/plate.####.exr")
        .render("1030")
        .run()
        .sound();
    assert_eq!(run.all("frame")[0]["status"], "Failed", "{run:?}");
    let told = run.messages().join("\n");
    assert!(
        told.contains("100%s") && !told.contains("<garbled>"),
        "{told}"
    );
}

#[test]
fn natron_connects_a_mask_that_gives_no_picture() {
    // Not used by this mode: nothing is amiss.
    let run = take("natron").keep("out", FRAMES).run().good();
    assert_expected(&run, "a mask that is not used");
    let run = take("natron")
        .set("mode", "fill")
        .set("frames", "0,0")
        .render("1010")
        .run()
        .sound();
    assert_eq!(run.all("frame")[0]["status"], "Failed", "{run:?}");
    let told = run.messages().join("\n");
    assert!(told.contains("atte"), "{told}");
}

#[test]
fn identity_agrees_with_the_frames_announced() {
    let run = take("natron").render("1001-1048").run().good();
    let mut kept = 0;
    for frame in run.all("frame") {
        if frame["identity"].is_null() {
            continue;
        }
        kept += 1;
        let time = &frame["identity"]["time"];
        assert_eq!(frame["identity"]["clip"], "Source");
        let needed = frame["needed"]["Source"].as_array().unwrap();
        assert!(needed.contains(time), "{frame}");
    }
    assert_eq!(kept, 16);
}

#[test]
fn resolve_and_fusion_and_vegas_say_the_wrong_scale_of_images() {
    let right = take("plain")
        .opt("scale", 0.5)
        .keep("out", FRAMES)
        .run()
        .good();
    for like in ["resolve", "fusion", "vegas"] {
        let run = take(like)
            .opt("scale", 0.5)
            .opt("project", "64,48")
            .keep("out", FRAMES)
            .run()
            .good();
        for number in NUMBERS {
            assert_eq!(
                run.frame("out", number),
                right.frame("out", number),
                "{like}, frame {number}"
            );
        }
    }
}

#[test]
fn resolve_clamps_numbers_that_lack_a_range() {
    let run = Host::longtake("resolve").flag("describe").run().sound();
    let mut numbers = 0;
    for param in run.all("param") {
        let kind = param["type"].as_str().unwrap();
        if !kind.contains("Integer") && !kind.contains("Double") {
            continue;
        }
        numbers += 1;
        for end in [
            "OfxParamPropMin",
            "OfxParamPropMax",
            "OfxParamPropDisplayMin",
            "OfxParamPropDisplayMax",
        ] {
            for v in param[end].as_array().unwrap() {
                let v = v.as_f64().unwrap().abs();
                assert!(v < 2_147_483_647.0 || param["name"] == "seed", "{param}");
            }
        }
    }
    assert!(numbers >= 5);
    let run = take("resolve")
        .set("seed", 12345)
        .set("memory", 4096)
        .opt("get", "seed")
        .opt("get", "memory")
        .opt("get", "frames")
        .run()
        .sound();
    let values: Vec<_> = run
        .all("value")
        .iter()
        .map(|v| v["value"].clone())
        .collect();
    assert_eq!(values, ["12345", "4096", "1001,1048"]);
}

#[test]
fn nuke_renders_nothing_while_a_message_stands() {
    let run = take("nuke")
        .set("plateRange", "1001,1003")
        .render("1002,1040")
        .set("plateRange", "0,0")
        .render("1040")
        .run()
        .sound();
    let statuses: Vec<_> = run
        .all("frame")
        .iter()
        .map(|f| f["status"].clone())
        .collect();
    assert_eq!(statuses[statuses.len() - 2..], ["OK", "OK"], "{run:?}");
    assert!(
        run.messages().iter().any(|m| m.contains("plate range")),
        "{run:?}"
    );
}

#[test]
fn nuke_has_no_patience_with_describe() {
    let run = Host::longtake("nuke").flag("describe").run().sound();
    assert!(run.messages().is_empty());
    let run = take("nuke")
        .flag("throw-unknown")
        .keep("out", FRAMES)
        .run()
        .good();
    assert_expected(&run, "unknown properties throw");
}

#[test]
fn nuke_cannot_show_what_was_hidden() {
    let run = Host::longtake("nuke").flag("describe").run().sound();
    for param in run.all("param") {
        assert_eq!(param["secret"], false, "{param}");
    }
}

#[test]
fn melt_makes_an_instance_for_each_frame() {
    let run = take_from_file("melt").render("1020-1031").run().good();
    assert_eq!(run.all("frame").len(), 12 + 3);
    run.hashes();
}

#[test]
fn what_was_learned_outlives_instances_and_loads() {
    // A study long enough to show its progress, which happens once.
    let long = Plate::water(96, 72, 1001, 40);
    let run = Host::longtake("melt")
        .clip("Source", &long)
        .set("plate", long.pattern())
        .set("frames", "1001,1100")
        .set("plans", 12)
        .render("1091-1097")
        .run()
        .good();
    // A part of it that takes no time shows none; none is shown twice.
    let starts = run.all("progress_start");
    let shown: Vec<&str> = starts.iter().filter_map(|s| s["text"].as_str()).collect();
    let once: std::collections::BTreeSet<&str> = shown.iter().copied().collect();
    assert_eq!(once.len(), shown.len(), "{run:?}");
    assert!(once.contains("Longtake: Deciding"), "{run:?}");
}

#[test]
fn melt_ignores_the_status_so_the_source_is_passed_through() {
    let run = take("melt")
        .set("plateRange", "1001,1024")
        .keep("out", "1020")
        .run()
        .sound();
    assert_eq!(run.all("frame")[0]["status"], "Failed");
    assert_eq!(run.frame("out", 1020), as_bytes(plate().frame(1020)));
}

#[test]
fn melt_has_bytes_with_rows_that_run_down() {
    let run = take_from_file("melt").keep("out", FRAMES).run().good();
    for number in NUMBERS {
        // The node rounds halves up.
        let mut right = expected().frame("out", number);
        for v in &mut right.rgba {
            *v = (v.clamp(0.0, 1.0) * 255.0 + 0.5).floor() / 255.0;
        }
        let worst = run.frame("out", number).difference(&right, &[0, 1, 2, 3]);
        assert!(worst < 0.5 / 255.0, "frame {number}: {worst}");
    }
}

#[test]
fn the_runner_has_several_threads_in_one_instance() {
    let run = take_from_file("runner")
        .opt("threads", 4)
        .keep("out", FRAMES)
        .run()
        .good();
    assert_expected(&run, "four threads in one instance");
}

#[test]
fn a_suite_that_is_missing_or_fails_is_lived_without() {
    for suite in ["message", "progress", "timeline", "multithread", "memory"] {
        for how in ["no-suite", "fail-suite"] {
            let run = take("plain")
                .opt(how, suite)
                .keep("out", FRAMES)
                .run()
                .good();
            assert_expected(&run, &format!("--{how} {suite}"));
        }
    }
}

#[test]
fn older_versions_of_suites_serve() {
    let run = take("plain")
        .opt("no-suite", "message:2")
        .opt("no-suite", "progress:2")
        .set("plateRange", "1001,1003")
        .render("1040")
        .set("plateRange", "0,0")
        .render("1040")
        .run()
        .sound();
    assert!(
        run.messages().iter().any(|m| m.contains("plate range")),
        "{run:?}"
    );
    // Long enough for progress to be shown.
    let long = Plate::water(96, 72, 1001, 40);
    let run = Host::longtake("plain")
        .opt("no-suite", "progress:2")
        .clip("Source", &long)
        .set("frames", "1001,1100")
        .set("plans", 12)
        .render("1090")
        .run()
        .good();
    assert!(!run.all("progress_start").is_empty(), "{run:?}");
}

#[test]
fn no_optional_property_is_leaned_on() {
    for property in [
        "OfxPropAPIVersion",
        "OfxImageEffectPropFrameRate",
        "OfxImageEffectPropProjectSize",
        "OfxImageEffectInstancePropEffectDuration",
        "OfxImagePropUniqueIdentifier",
        "OfxImagePropField",
        "OfxImagePropRegionOfDefinition",
        "OfxImagePropPixelAspectRatio",
        "OfxImageClipPropConnected",
        "OfxImageEffectPropPreMultiplication",
        "OfxImageEffectPropUnmappedFrameRange",
    ] {
        let run = take("plain")
            .opt("missing", property)
            .keep("out", FRAMES)
            .run()
            .good();
        assert_expected(&run, property);
    }
}
