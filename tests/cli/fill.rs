//! The plate engine's fill: what stands before real footage is taken out of it.

use std::process::Command;

use longtake::frame::{FilePlate, PlateOptions, PlateReader};

use crate::work::{FOOTAGE, Work};

/// Footage before which a magenta box of 20 by 60 stands where `left` (ffmpeg's
/// expression in the frame's number `n`) says, and its matte, four pixels wider.
fn shot(work: &Work, left: &str) {
    let graph = format!(
        "[0]scale=120:90,format=rgb24[plate];\
         color=magenta:20x60,format=rgb24[box];[plate][box]overlay=x='{left}':y=20:format=rgb[a];\
         color=black:120x90[black];color=white:28x68[white];\
         [black][white]overlay=x='{left}-4':y=16,format=gray[b]"
    );
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-i", FOOTAGE])
        .args(["-filter_complex", &graph])
        .args(["-map", "[a]", "-frames:v", "48", "-start_number", "1001"])
        .arg(work.path("plate.%04d.png"))
        .args(["-map", "[b]", "-frames:v", "48", "-start_number", "1001"])
        .arg(work.path("matte.%04d.png"))
        .status()
        .expect("ffmpeg is needed: ./test.sh installs it");
    assert!(status.success());
}

fn open(work: &Work, name: &str) -> FilePlate {
    FilePlate::open(&work.path(name), &PlateOptions::default()).unwrap()
}

const FILL: &str = "--plate plate.####.png --matte matte.####.png --mode fill --out o/o.####.png";

/// It stands for two thirds of the plate, so that what it covers is seen for less than
/// half a second, at the end.
#[test]
fn a_subject_that_stands_long_is_taken_out() {
    let work = Work::new();
    shot(&work, "if(lt(n,32),40,40+6*(n-32))");
    let out = work.generate(FILL);
    assert!(!out.stderr.contains("never leaves"), "{}", out.stderr);
    let [mut filled, mut plate, mut matte] =
        ["o/o.####.png", "plate.####.png", "matte.####.png"].map(|n| open(&work, n));
    for frame in 1001..=1048 {
        let [made, plate, matte] =
            [&mut filled, &mut plate, &mut matte].map(|reader| reader.read(frame).unwrap());
        let pixels = made
            .data()
            .chunks_exact(3)
            .zip(plate.data().chunks_exact(3));
        let covered = matte.data().chunks_exact(matte.channels());
        for (i, ((made, plate), covered)) in pixels.zip(covered).enumerate() {
            let (x, y) = (i % 120, i / 120);
            let magenta = made[0] > 0.8 && made[1] < 0.3 && made[2] > 0.8;
            assert!(!magenta, "frame {frame}, {x} {y} shows the subject");
            if covered[0] == 0.0 {
                assert_eq!(
                    made, plate,
                    "frame {frame}, {x} {y} is outside of the matte"
                );
            }
        }
    }
}

#[test]
fn what_a_matte_never_leaves_stays_and_is_told() {
    let work = Work::new();
    shot(&work, "40");
    // The box stands in the picture, not in what the camera sees.
    let out = work.generate(&format!("{FILL} --steady off"));
    assert!(out.stderr.contains("tighten the matte"), "{}", out.stderr);
    let (mut filled, mut plate) = (open(&work, "o/o.####.png"), open(&work, "plate.####.png"));
    for frame in [1001, 1024, 1048] {
        let same = filled.read(frame).unwrap() == plate.read(frame).unwrap();
        assert!(same, "frame {frame}");
    }
}
