//! Bad input in a host: each gets a status and one sentence that says what to
//! do, and the node works again when the input is mended.

use crate::support::plate::{Frame, Plate};
use crate::support::{Host, Run};

fn take(plate: &Plate) -> Host {
    Host::longtake("plain")
        .clip("Source", plate)
        .set("frames", "1001,1048")
}

/// Asserts that the last frame failed and that the artist was told something
/// with each of `words` in it.
fn assert_told(run: Run, words: &[&str]) {
    let run = run.sound();
    let frames = run.all("frame");
    assert_eq!(frames.last().unwrap()["status"], "Failed", "{run:?}");
    let told = run.messages();
    assert!(!told.is_empty(), "nothing was said: {run:?}");
    let text = told.join("\n").to_lowercase();
    for word in words {
        assert!(
            text.contains(&word.to_lowercase()),
            "no {word:?} in {told:?}"
        );
    }
    for message in told {
        assert!(message.len() > 20 && message.len() < 400, "{message}");
        assert!(!message.contains("panick"), "{message}");
    }
}

fn with_frames(change: impl Fn(i32, &Frame) -> Option<Frame>) -> Plate {
    let water = Plate::water(64, 48, 1001, 24);
    let frames = (1001..)
        .zip(&water.frames)
        .map(|(n, f)| change(n, f).unwrap_or_else(|| f.clone()))
        .collect();
    Plate::new(1001, frames)
}

#[test]
fn a_missing_frame_is_named() {
    let plate = Plate::water(64, 48, 1001, 24);
    std::fs::remove_file(plate.path(1010)).unwrap();
    assert_told(take(&plate).render("1030").run(), &["1010"]);
    // A frame that does not need it is still had.
    take(&plate).render("1003").run().good();
}

#[test]
fn frames_of_another_size_are_named() {
    let plate = with_frames(|n, _| (n == 1012).then(|| Frame::from_fn(32, 24, |_, _| [0.5; 4])));
    assert_told(take(&plate).render("1030").run(), &["1012", "size"]);
}

#[test]
fn an_unreadable_file_is_named() {
    let plate = Plate::water(64, 48, 1001, 24);
    let bytes = std::fs::read(plate.path(1007)).unwrap();
    std::fs::write(plate.path(1007), &bytes[..bytes.len() / 2]).unwrap();
    let run = Host::longtake("runner")
        .clip("Source", &plate)
        .set("frames", "1001,1048")
        .set("plate", plate.pattern())
        .render("1030")
        .run();
    assert_told(run, &["1007"]);
}

#[test]
fn a_plate_file_that_is_not_there() {
    let plate = Plate::water(64, 48, 1001, 24);
    let run = take(&plate)
        .set("plate", "/nowhere/plate.####.exr")
        .render("1030")
        .set("plate", "")
        .render("1030")
        .run()
        .sound();
    let statuses: Vec<_> = run
        .all("frame")
        .iter()
        .map(|f| f["status"].clone())
        .collect();
    assert_eq!(statuses, ["Failed", "OK"], "{run:?}");
    assert!(
        run.messages().join("").contains("/nowhere/plate"),
        "{run:?}"
    );
}

#[test]
fn a_generator_without_a_plate_file() {
    let run = Host::longtake("plain")
        .opt("context", "generator")
        .opt("project", "64,48")
        .opt("timeline", "1,48")
        .render("5")
        .run();
    assert_told(run, &["Plate file"]);
}

#[test]
fn nothing_connected() {
    let run = Host::longtake("plain")
        .opt("project", "64,48")
        .opt("timeline", "1,48")
        .set("frames", "1,96")
        .opt("window", "0,0,64,48")
        .render("60")
        .run();
    assert_told(run, &["Source"]);
}

#[test]
fn a_plate_of_one_frame() {
    let plate = Plate::water(64, 48, 1001, 1);
    assert_told(take(&plate).render("1030").run(), &["1 frame", "longer"]);
}

#[test]
fn a_plate_of_one_pixel_is_made_or_refused() {
    let plate = Plate::water(1, 1, 1001, 24);
    let run = take(&plate).render("1001,1030").run().sound();
    let frames = run.all("frame");
    assert_eq!(frames[0]["status"], "OK", "{run:?}");
    if frames[1]["status"] != "OK" {
        assert!(!run.messages().is_empty(), "{run:?}");
    }
}

#[test]
fn a_still_is_told_from_a_plate() {
    let still = Plate::water(64, 48, 1001, 1).frames[0].clone();
    let plate = with_frames(|_, _| Some(still.clone()));
    assert_told(take(&plate).render("1030").run(), &["same picture"]);
}

#[test]
fn an_output_range_that_runs_backwards() {
    let plate = Plate::water(64, 48, 1001, 24);
    assert_told(
        take(&plate).set("frames", "1048,1001").render("1030").run(),
        &["1048", "1001"],
    );
}

#[test]
fn an_output_range_far_from_the_plate() {
    let plate = Plate::water(64, 48, 1001, 24);
    assert_told(
        take(&plate).set("frames", "5001,5048").render("5030").run(),
        &["5001-5048", "1001-1024"],
    );
}

#[test]
fn a_plate_range_that_the_clip_does_not_have() {
    let plate = Plate::water(64, 48, 1001, 24);
    assert_told(
        take(&plate).set("plateRange", "1,24").render("1030").run(),
        &["1001-1024"],
    );
}

#[test]
fn a_matte_of_another_size() {
    let plate = Plate::water(64, 48, 1001, 24);
    let small = Frame::from_fn(16, 12, |_, _| [0.0, 0.0, 0.0, 1.0]);
    let matte = Plate::new(1001, vec![small; 24]);
    // Laid over the plate where it is: either used so or refused with a
    // sentence, never a crash, and the plate outside it is untouched.
    let run = Host::longtake("plain")
        .opt("context", "general")
        .clip("Source", &plate)
        .clip("Matte", &matte)
        .opt("project", "64,48")
        .set("mode", "fill")
        .keep("out", "1012")
        .run()
        .sound();
    if run.one("frame")["status"] == "OK" {
        let made = run.frame("out", 1012);
        assert_eq!(made.pixel(50, 5), plate.frame(1012).pixel(50, 5));
    } else {
        assert!(
            run.messages().join("").to_lowercase().contains("matte"),
            "{run:?}"
        );
    }
}

#[test]
fn a_fill_without_a_matte() {
    let plate = Plate::water(64, 48, 1001, 24);
    let run = Host::longtake("plain")
        .opt("context", "general")
        .clip("Source", &plate)
        .set("mode", "fill")
        .render("1012")
        .run();
    assert_told(run, &["matte"]);
}

#[test]
fn numbers_that_are_none_are_survived() {
    let plate = with_frames(|n, f| {
        let mut f = f.clone();
        if n % 5 == 0 {
            f.rgba[4 * 700] = f32::NAN;
            f.rgba[4 * 701 + 1] = f32::INFINITY;
            f.rgba[4 * 702 + 2] = f32::NEG_INFINITY;
        }
        Some(f)
    });
    let run = take(&plate).keep("out", "1005,1017-1048").run().good();
    // A kept frame is the plate, bit for bit, numbers or not.
    let bits = |f: &Frame| f.rgba.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&run.frame("out", 1005)), bits(plate.frame(1005)));
    // What is made spreads nothing.
    for number in 1017..=1048 {
        let made = run.frame("out", number);
        let broken = made.rgba.iter().filter(|v| !v.is_finite()).count();
        assert!(
            broken <= 3,
            "frame {number} has {broken} samples that are no numbers"
        );
    }
}

#[test]
fn a_store_that_cannot_be_written_is_lived_without() {
    let plate = Plate::water(64, 48, 1001, 24);
    let right = take(&plate).render("1030").run().good().hashes();
    for store in ["/proc/nowhere", "/dev/null"] {
        let run = take(&plate).set("store", store).render("1030").run().good();
        assert_eq!(run.hashes(), right, "{store}");
    }
}

#[test]
fn text_that_is_not_utf_8() {
    let plate = Plate::water(64, 48, 1001, 24);
    let run = take(&plate)
        .raw_set("plate", b"/nowhere/\xff\xfe.####.exr")
        .render("1030")
        .run();
    assert_told(run, &["Plate file"]);
}

#[test]
fn fields_are_declined() {
    let plate = Plate::water(64, 48, 1001, 24);
    for field in ["lower", "upper"] {
        let run = take(&plate).opt("field", field).render("1030").run();
        assert_told(run, &["deinterlace"]);
    }
    take(&plate)
        .opt("field", "both")
        .render("1030")
        .run()
        .good();
}
