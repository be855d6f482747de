//! The headless host is right, and not our luck: it runs the example plug-ins
//! of the OpenFX Support library, and their pixels are as they must be.

use crate::support::plate::{Frame, Plate};
use crate::support::{Host, examples};

const INVERT: &str = "net.sf.openfx.invertPlugin";

fn inverted(frame: &Frame) -> Frame {
    Frame::from_fn(frame.width, frame.height, |x, y| {
        frame.pixel(x, y).map(|v| 1.0 - v)
    })
}

#[test]
fn invert_inverts_exactly_in_tiles_and_threads() {
    let plate = Plate::water(37, 23, 11, 4);
    for (rows, tiles, threads, instances) in [
        ("tight", "0,0", 1, 1),
        ("padded", "8,5", 2, 1),
        ("negative", "37,1", 3, 2),
        ("negative-padded", "5,23", 2, 3),
    ] {
        let run = Host::example(INVERT)
            .clip("Source", &plate)
            .opt("rows", rows)
            .opt("tiles", tiles)
            .opt("threads", threads)
            .opt("instances", instances)
            .opt("margin", 2)
            .keep("out", "14,11-13")
            .run()
            .good();
        for number in 11..=14 {
            assert_eq!(
                run.frame("out", number),
                inverted(plate.frame(number)),
                "frame {number}, rows {rows}, tiles {tiles}"
            );
        }
    }
}

#[test]
fn invert_inverts_every_depth() {
    let plate = Plate::water(20, 12, 1, 1);
    for (depth, top) in [("byte", 255.0f32), ("short", 65535.0)] {
        let run = Host::example(INVERT)
            .clip("Source", &plate)
            .opt("depth", depth)
            .keep("out", "1")
            .run()
            .good();
        let out = run.frame("out", 1);
        for (given, made) in plate.frame(1).rgba.iter().zip(&out.rgba) {
            let code = (given.clamp(0.0, 1.0) * top).round_ties_even();
            assert_eq!(*made, (top - code) / top, "{depth}");
        }
    }
}

#[test]
fn a_render_scale_halves_the_picture() {
    let plate = Plate::water(20, 12, 1, 1);
    let run = Host::example(INVERT)
        .clip("Source", &plate)
        .opt("scale", 0.5)
        .keep("out", "1")
        .run()
        .good();
    let full = plate.frame(1);
    let half = Frame::from_fn(10, 6, |x, y| {
        let mut sum = [0.0f64; 4];
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let p = full.pixel(2 * x + dx, 2 * y + dy);
            for c in 0..4 {
                sum[c] += f64::from(p[c]) / 4.0;
            }
        }
        sum.map(|v| 1.0 - v as f32)
    });
    assert!(run.frame("out", 1).difference(&half, &[0, 1, 2, 3]) < 1e-6);
}

#[test]
fn a_generator_needs_no_clip() {
    let run = Host::example("net.sf.openfx.noisePlugin")
        .opt("context", "generator")
        .opt("project", "33,21")
        .opt("timeline", "1,10")
        .set("Noise", 0.5)
        .keep("out", "5")
        .run()
        .good();
    let out = run.frame("out", 5);
    assert_eq!((out.width, out.height), (33, 21));
    assert!(out.rgba.iter().all(|v| (0.0..=0.5).contains(v)));
    assert!(out.rgba.iter().any(|v| *v > 0.4));
}

#[test]
fn a_gain_reads_its_parameter() {
    let plate = Plate::water(20, 12, 1, 1);
    let run = Host::example("net.sf.openfx.basicPlugin")
        .clip("Source", &plate)
        .opt("context", "filter")
        .set("scale", 2.0)
        .keep("out", "1")
        .set("scale", 1.0)
        .render("1")
        .run()
        .good();
    let frames = run.all("frame");
    // At a gain of 1 the plug-in says that it does nothing.
    assert!(frames[0]["identity"].is_null() && frames[1]["identity"]["clip"] == "Source");
    let doubled = Frame::from_fn(20, 12, |x, y| {
        let [r, g, b, a] = plate.frame(1).pixel(x, y);
        [2.0 * r, 2.0 * g, 2.0 * b, a]
    });
    assert_eq!(run.frame("out", 1), doubled);
}

#[test]
fn a_retimer_is_given_frames_at_other_times() {
    let plate = Plate::water(20, 12, 1, 8);
    let run = Host::example("net.sf.openfx.retimer")
        .clip("Source", &plate)
        .opt("context", "general")
        .render("2-4")
        .run()
        .sound();
    for frame in run.all("frame") {
        assert_eq!(frame["unannounced"], 0, "{frame}");
    }
}

#[test]
fn two_clips_are_kept_apart() {
    let (from, to) = (Plate::water(16, 9, 1, 2), Plate::water(16, 9, 31, 1));
    let to = Plate::new(1, vec![inverted(&to.frames[0]); 2]);
    let run = Host::example("net.sf.openfx.crossFade")
        .clip("SourceFrom", &from)
        .clip("SourceTo", &to)
        .set("Transition", 1.0)
        .keep("out", "1")
        .run()
        .good();
    assert_eq!(run.frame("out", 1), *to.frame(1));
}

#[test]
fn the_list_has_every_plug_in() {
    let run = Host::new(&examples(), "plain").flag("list").run().sound();
    let ids: Vec<_> = run.all("plugin").iter().map(|p| &p["id"]).collect();
    for id in [
        INVERT,
        "net.sf.openfx.gammaexample",
        "net.sf.openfx.noisePlugin",
    ] {
        assert!(ids.iter().any(|i| *i == id), "{ids:?}");
    }
}

#[test]
fn a_scan_leaves_nothing_behind() {
    let run = Host::new(&examples(), "plain").opt("scan", 2).run().sound();
    for scan in run.all("scan") {
        assert_eq!(scan["still_mapped"], false, "{scan}");
        assert_eq!(scan["threads"], 1, "{scan}");
    }
}

#[test]
fn the_log_has_every_call_in_order() {
    let plate = Plate::water(8, 6, 1, 1);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls.txt");
    Host::example(INVERT)
        .opt("log", log.to_str().unwrap())
        .clip("Source", &plate)
        .render("1")
        .run()
        .good();
    let text = std::fs::read_to_string(log).unwrap();
    let mut at = 0;
    for call in [
        "setHost",
        "OfxActionLoad()",
        "OfxActionDescribe()",
        "OfxImageEffectActionDescribeInContext(OfxImageEffectContextFilter)",
        "OfxActionCreateInstance()",
        "OfxImageEffectActionRender(time 1",
        "clipGetImage Source 1.000000 = OK",
        "clipReleaseImage = OK",
        "= OK OfxImageEffectActionRender",
        "OfxActionDestroyInstance()",
        "OfxActionUnload()",
        "dlclose",
    ] {
        at += text[at..]
            .find(call)
            .unwrap_or_else(|| panic!("{call} is missing or out of order:\n{text}"));
    }
}

/// Runs the plug-in that misbehaves on purpose.
fn rude(like: &str, deed: &str) -> Vec<String> {
    let plate = Plate::water(9, 7, 1, 3);
    let run = Host::new(&examples(), like)
        .opt("plugin", "org.longtake.test.Rude")
        .clip("Source", &plate)
        .set("deed", deed)
        .opt("rows", "padded")
        .opt("margin", 1)
        .opt("times", 2)
        .render("1")
        .run();
    run.faults()
}

#[test]
fn the_host_finds_out_what_no_plug_in_may_do() {
    assert_eq!(rude("plain", "none"), Vec::<String>::new());
    for (deed, fault) in [
        ("outside", "a render wrote outside its window"),
        ("input", "an input image of Source was written"),
        ("leak", "images were not released"),
        ("twice", "an image was released that was not held"),
        ("blank", "pixels of a window were not written"),
        (
            "set",
            "the parameter deed was set in OfxImageEffectActionRender",
        ),
        ("progress", "progress was updated before it began"),
        (
            "early",
            "an image of Source was fetched in OfxActionCreateInstance",
        ),
        ("differ", "frame 1 differs when it is asked for again"),
        ("throw", "an exception left the plug-in: rude"),
    ] {
        let faults = rude("plain", deed);
        assert!(
            faults.iter().any(|f| f.contains(fault)),
            "{deed}: {faults:?}"
        );
    }
    let faults = rude("vegas", "edit");
    assert!(faults[0].contains("an edit block began"), "{faults:?}");
}

#[test]
fn strings_of_the_host_hold_until_the_next_call_only() {
    let plate = Plate::water(9, 7, 1, 1);
    let run = Host::example("org.longtake.test.Rude")
        .clip("Source", &plate)
        .set("deed", "keep")
        .render("1")
        .run();
    assert_eq!(run.messages(), ["####"]);
}

#[test]
fn resolve_clamps_numbers_without_a_range() {
    let run = Host::new(&examples(), "resolve")
        .opt("plugin", "org.longtake.test.Rude")
        .set("bare", 5)
        .opt("get", "bare")
        .run()
        .sound();
    assert_eq!(run.one("value")["value"], "1");
}
