//! Pixels of our bundle in any format a host may choose: all come to what the
//! whole picture in float comes to.

use crate::support::plate::{Frame, Plate};
use crate::support::{Host, Run};

const NUMBERS: [i32; 3] = [1005, 1020, 1040];
const FRAMES: &str = "1005,1020,1040";

/// A plate whose samples are whole steps of `top`, so that the formats hold it
/// exactly.
fn stepped(top: f32) -> Plate {
    let water = Plate::water(64, 48, 1001, 24);
    let frames = water
        .frames
        .iter()
        .map(|f| Frame {
            rgba: f
                .rgba
                .iter()
                .map(|v| (v.clamp(0.0, 1.0) * top).round() / top)
                .collect(),
            ..f.clone()
        })
        .collect();
    Plate::new(1001, frames)
}

fn take(plate: &Plate) -> Host {
    Host::longtake("plain")
        .clip("Source", plate)
        .set("frames", "1001,1048")
        .set("encoding", "Display (sRGB)")
        .flag("no-identity")
}

fn assert_same(run: &Run, right: &Run, channels: &[usize], what: &str) {
    for number in NUMBERS {
        let worst = run
            .frame("out", number)
            .difference(&right.frame("out", number), channels);
        assert!(worst == 0.0, "{what}: frame {number} is {worst} off");
    }
}

#[test]
fn every_depth_agrees_with_float() {
    for (top, depths) in [(255.0f32, &["byte", "short"][..]), (256.0, &["half"])] {
        let plate = stepped(top);
        let right = take(&plate).keep("out", FRAMES).run().good();
        for depth in depths {
            let run = take(&plate)
                .opt("depth", depth)
                .keep("out", FRAMES)
                .run()
                .good();
            for number in NUMBERS {
                // Whole numbers hold nothing below 0 or above 1, which shared
                // low bands may reach.
                let mut whole = right.frame("out", number);
                let mut step = 1.0 / 2048.0;
                if *depth != "half" {
                    whole.rgba.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
                    step = 0.501 / if *depth == "byte" { 255.0 } else { 65535.0 };
                }
                let off = run.frame("out", number).difference(&whole, &[0, 1, 2, 3]);
                assert!(off <= step, "{depth}: frame {number} is {off} off");
            }
            let kept = run.frame("out", 1005);
            assert!(
                kept.difference(plate.frame(1005), &[0, 1, 2, 3]) < 1e-6,
                "{depth}"
            );
        }
    }
}

#[test]
fn components_agree_with_rgba() {
    let plate = stepped(255.0);
    // What is shared of the lowest frequencies is multiplied by alpha, so
    // alpha plays a part there.
    let take = |plate| take(plate).set("lowBand", false);
    let right = take(&plate).keep("out", FRAMES).run().good();
    let run = take(&plate)
        .opt("components", "RGB")
        .keep("out", FRAMES)
        .run()
        .good();
    assert_same(&run, &right, &[0, 1, 2], "RGB");
    let run = take(&plate)
        .opt("components", "Alpha")
        .keep("out", FRAMES)
        .run()
        .good();
    assert_eq!(
        run.frame("out", 1005).difference(plate.frame(1005), &[3]),
        0.0
    );
}

#[test]
fn premultiplication_changes_no_kept_pixel() {
    let plate = stepped(255.0);
    for how in ["pre", "unpre", "opaque"] {
        let run = take(&plate)
            .opt("premultiplication", how)
            .keep("out", FRAMES)
            .run()
            .good();
        assert_eq!(run.frame("out", 1005), *plate.frame(1005), "{how}");
    }
}

#[test]
fn rows_bounds_and_tiles_change_nothing() {
    let plate = Plate::water(64, 48, 1001, 24);
    let right = take(&plate).keep("out", FRAMES).run().good();
    let all = &[0, 1, 2, 3];
    for rows in ["padded", "negative", "negative-padded"] {
        let run = take(&plate)
            .opt("rows", rows)
            .opt("margin", 3)
            .keep("out", FRAMES)
            .run()
            .good();
        assert_same(&run, &right, all, rows);
    }
    for tiles in ["17,13", "64,1", "1,48"] {
        let run = take(&plate)
            .opt("tiles", tiles)
            .opt("threads", 2)
            .opt("margin", 1)
            .keep("out", FRAMES)
            .run()
            .good();
        assert_same(&run, &right, all, tiles);
    }
    let run = take(&plate)
        .opt("offset", "-7,5")
        .keep("out", FRAMES)
        .run()
        .good();
    assert_same(&run, &right, all, "offset");
}

#[test]
fn a_window_is_a_part_of_the_whole() {
    let plate = Plate::water(64, 48, 1001, 24);
    let right = take(&plate).keep("out", "1030").run().good();
    // Partly beside the picture: what lies beside it is black.
    let run = take(&plate)
        .opt("window", "-5,7,30,60")
        .keep("out", "1030")
        .run()
        .good();
    let (part, whole) = (run.frame("out", 1030), right.frame("out", 1030));
    for y in 0..part.height {
        for x in 0..part.width {
            // Columns from -5; rows from the top, of 60 down to 7.
            let (wx, wy) = (x as i32 - 5, y as i32 - 12);
            let right = if wx >= 0 && wy >= 0 {
                whole.pixel(wx as usize, wy as usize)
            } else {
                [0.0; 4]
            };
            assert_eq!(part.pixel(x, y), right, "{wx},{wy}");
        }
    }
}

#[test]
fn a_render_scale_shows_the_same_motion() {
    // A proxy is decided alike where it has the rows that decisions are made on: 60,
    // or 240 where a camera is followed. Another take is off by a whole step. A frame
    // laid over by a part of a pixel has other detail near the proxy's own pixels, so
    // there the coarser picture is compared.
    for (width, height, steady, coarse, limit, scales) in [
        (
            320,
            240,
            "off",
            1,
            0.05,
            &[(0.5, "37,29"), (0.25, "0,0")][..],
        ),
        (640, 480, "auto", 8, 0.1, &[(0.5, "0,0")][..]),
    ] {
        let plate = Plate::stream(width, height, 1001, 24);
        let take = || take(&plate).set("steady", steady);
        let full = take().keep("out", FRAMES).run().good();
        for &(scale, tiles) in scales {
            let run = take()
                .opt("scale", scale)
                .opt("tiles", tiles)
                .keep("out", FRAMES)
                .run()
                .good();
            let n = (1.0 / scale) as usize;
            for number in NUMBERS {
                let (small, large) = (run.frame("out", number), full.frame("out", number));
                assert_eq!((small.width * n, small.height * n), (width, height));
                let small = shrunk(&small, coarse);
                let right = shrunk(&large, n * coarse);
                let other = plate.frame(1001 + (number - 1001 + 5) % 24);
                let other = shrunk(other, n * coarse);
                let (off, step) = (mean(&small, &right), mean(&small, &other));
                assert!(
                    off < limit * step,
                    "steady {steady}, scale {scale}, frame {number}: {off} of {step}"
                );
            }
        }
    }
}

#[test]
fn odd_scales_and_pixel_aspects_render() {
    let plate = Plate::water(61, 47, 1001, 24);
    for (scale, aspect) in [
        ("0.3333", 1.0),
        ("0.4,0.7", 1.0),
        ("1", 2.0),
        ("0.5", 1.0667),
    ] {
        let run = take(&plate)
            .opt("pixel-aspect", aspect)
            .opt("scale", scale)
            .opt("tiles", "16,16")
            .keep("out", FRAMES)
            .run()
            .good();
        if scale == "1" {
            assert_eq!(run.frame("out", 1005), *plate.frame(1005));
        }
    }
}

/// The mean of blocks of `n` × `n`.
fn shrunk(frame: &Frame, n: usize) -> Frame {
    Frame::from_fn(frame.width / n, frame.height / n, |x, y| {
        let mut sum = [0.0; 4];
        for dy in 0..n {
            for dx in 0..n {
                let p = frame.pixel(x * n + dx, y * n + dy);
                for c in 0..4 {
                    sum[c] += p[c] / (n * n) as f32;
                }
            }
        }
        sum
    })
}

/// Mean difference of the colours.
fn mean(a: &Frame, b: &Frame) -> f32 {
    let sum: f32 = a
        .rgba
        .chunks(4)
        .zip(b.rgba.chunks(4))
        .map(|(p, q)| (0..3).map(|c| (p[c] - q[c]).abs()).sum::<f32>())
        .sum();
    sum / (a.width * a.height * 3) as f32
}
