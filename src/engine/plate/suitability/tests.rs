use super::*;

use crate::frame::{PlateInfo, Transfer};

/// A plate of 75 frames whose luma at frame, column, row is `look`.
fn plate(look: impl Fn(f64, f64, f64) -> f64) -> Suitability {
    let (cols, rows, frames) = (32usize, 24usize, 75usize);
    let mut colour = Vec::new();
    for t in 0..frames {
        for y in 0..rows {
            for x in 0..cols {
                let v = look(t as f64, x as f64, y as f64);
                colour.extend([(v * 4096.0) as i16; 3]);
            }
        }
    }
    let analysis = Analysis {
        info: PlateInfo {
            range: FrameRange { first: 1, last: 75 },
            width: cols,
            height: rows,
            full_size: (cols, rows),
            channels: ["R", "G", "B"].map(String::from).to_vec(),
            fps: 25.0,
            transfer: Transfer::Linear,
            pixel_aspect: 1.0,
            ids: Vec::new(),
        },
        cols,
        rows,
        colour,
        matte: Vec::new(),
        fingerprints: Vec::new(),
        duplicates: Vec::new(),
        not_finite: Vec::new(),
        steadied: None,
    };
    let task = Task::quiet();
    suitability(&analysis, analysis.info.range, Use::default(), task).unwrap()
}

fn texture(x: f64, y: f64) -> f64 {
    0.5 + 0.2 * libm::sin(0.9 * x + 0.3 * y) * libm::cos(0.8 * y - 0.2 * x)
}

#[test]
fn the_grade_does_not_contradict_what_stands_in_the_way() {
    let mut s = plate(|t, x, y| texture(x, y) + 0.05 * libm::sin(0.5 * t + x));
    s.score = 0.9;
    s.concerns = vec![Concern::Jumps];
    let says = s.summary();
    assert!(
        says.starts_with("The plate lends itself with care."),
        "{says}"
    );
    s.concerns = vec![Concern::Duplicates];
    let says = s.summary();
    assert!(says.starts_with("The plate lends itself well."), "{says}");
}

#[test]
fn a_plate_that_comes_round_again_lends_itself() {
    let s = plate(|t, x, y| texture(x, y) + 0.05 * libm::sin(0.5 * t + x));
    assert!(s.score > 0.75 && s.concerns.is_empty(), "{s:?}");
}

#[test]
fn a_moving_camera_a_fade_and_a_passer_by_are_told_apart() {
    let pan = plate(|t, x, y| texture(x + 0.25 * t, y + 0.1 * t));
    assert_eq!(pan.concerns.first(), Some(&Concern::Camera), "{pan:?}");
    let fade = plate(|t, x, y| texture(x, y) * (0.3 + 0.02 * t));
    assert!(fade.concerns.contains(&Concern::OneWay), "{fade:?}");
    assert!(!fade.concerns.contains(&Concern::Camera), "{fade:?}");
    assert_eq!(fade.steady_range, None);
    assert!(fade.summary().contains("all along"), "{}", fade.summary());
    let car = plate(|t, x, y| {
        let inside = (x - 0.5 * t + 5.0).abs() < 4.0 && (6.0..18.0).contains(&y);
        if inside { 0.95 } else { texture(x, y) * 0.6 }
    });
    assert!(car.concerns.contains(&Concern::Passing), "{car:?}");
    assert!(car.summary().contains("matte"), "{}", car.summary());
    // A boat among waves, which move in most of the picture.
    let boat = plate(|t, x, y| {
        let inside = (x - t + 20.0).abs() < 3.0 && (11.0..15.0).contains(&y);
        if inside {
            return 0.95;
        }
        0.6 * texture(x, y) + 0.05 * libm::sin(0.5 * t + x)
    });
    assert_eq!(boat.concerns.first(), Some(&Concern::Passing), "{boat:?}");
}

#[test]
fn the_stretch_that_comes_back_is_named() {
    // It grows for a second and a half, then only sways.
    let grown = plate(|t, x, y| {
        let light = 0.3 + 0.7 * (t / 20.0).min(1.0);
        texture(x, y) * light + 0.05 * libm::sin(0.5 * t + x)
    });
    assert_eq!(grown.concerns.first(), Some(&Concern::OneWay), "{grown:?}");
    let range = grown.steady_range.unwrap();
    assert!((10..=24).contains(&range.first), "{range}");
    assert_eq!(range.last, 75);
    let says = grown.summary();
    assert!(says.contains(&format!("frames {range}:")), "{says}");
}

#[test]
fn a_cut_is_told_by_its_frame_and_a_flash_is_none() {
    let sway = |t: f64, x: f64, y: f64| texture(x, y) + 0.05 * libm::sin(0.5 * t + x);
    let other = |t: f64, x: f64, y: f64| 0.9 - texture(y + 7.0, 1.3 * x) + 0.001 * t;
    let of_two = plate(|t, x, y| {
        if t < 30.0 {
            sway(t, x, y)
        } else {
            other(t, x, y)
        }
    });
    assert_eq!(of_two.cuts, [31], "{of_two:?}");
    assert_eq!(of_two.concerns.first(), Some(&Concern::Cuts));
    let says = of_two.summary();
    assert!(
        says.contains("at frame 31:") && says.contains("31-75"),
        "{says}"
    );
    let flash = plate(|t, x, y| if t == 40.0 { 0.95 } else { sway(t, x, y) });
    assert!(flash.cuts.is_empty(), "{flash:?}");
    let lamp = plate(|t, x, y| sway(t, x, y) * if t < 30.0 { 1.0 } else { 0.3 });
    assert!(lamp.cuts.is_empty(), "{lamp:?}");
}
