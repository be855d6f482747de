//! Plate pixels are sacred: bits, windows, threads, channels, sizes.

use super::*;

#[test]
fn a_frame_of_one_clip_is_the_plate_bit_for_bit() {
    let mut plate = Painted::new((97, 71), 30, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let edit = list(&analysis, 60, vec![sweep(&analysis, 20, -18, 8)]);
    for (t, index) in [(0, 0), (10, 10), (35, 17), (40, 22), (47, 29), (58, 29)] {
        let made = make(&analysis, &edit, t, &mut plate);
        assert_eq!(bits(&made), bits(&plate.frame(index)), "frame {t}");
    }
}

#[test]
fn kept_frames_are_exact_and_effects_shrink_toward_them() {
    let mut plate = Painted::new((97, 71), 40, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let mut edit = list(&analysis, 60, vec![sweep(&analysis, 12, 5, 4)]);
    edit.kept = vec![(0, 12), (17, 22)];
    for t in [0, 9, 10, 11, 17, 18, 21] {
        let index = if t < 12 { t } else { t + 5 };
        let made = make(&analysis, &edit, t, &mut plate);
        assert_eq!(bits(&made), bits(&plate.frame(index as usize)), "frame {t}");
    }
    // Without kept frames the same frames are touched by the cut.
    edit.kept.clear();
    let free = make(&analysis, &edit, 11, &mut plate);
    assert_ne!(bits(&free), bits(&plate.frame(11)));
}

#[test]
fn windows_fit_together_to_the_bit() {
    let mut plate = Painted::new((203, 117), 60, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let edit = list(
        &analysis,
        90,
        vec![sweep(&analysis, 20, 6, 12), patch(&analysis, 24, -9)],
    );
    for t in [18, 24, 27, 31] {
        let whole = make(&analysis, &edit, t, &mut plate);
        for (x0, y0, x1, y1) in [
            (0, 0, 1, 1),
            (50, 31, 131, 90),
            (-9, 100, 300, 300),
            (3, 0, 4, 117),
        ] {
            let window = Window { x0, y0, x1, y1 };
            let mut sources = Sources {
                plate: &mut plate,
                matte: None,
                guide: None,
                subjects: Default::default(),
            };
            let part = try_make(&analysis, &edit, 1001 + t, window, &mut sources).unwrap();
            assert_eq!(
                bits(&part),
                bits(&Picture::crop(&whole, window)),
                "{t} {window:?}"
            );
        }
    }
}

/// Made frames of every kind, as one hash.
fn hash_of_everything() -> String {
    let mut plate = Painted::new((160, 90), 60, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let mut edit = list(
        &analysis,
        80,
        vec![
            sweep(&analysis, 20, 6, 12),
            patch(&analysis, 24, -9),
            sweep(&analysis, 70, -70, 9),
        ],
    );
    let mut hasher = blake3::Hasher::new();
    for closed in [false, true] {
        edit.closed = closed;
        for t in [0, 2, 19, 26, 31, 79] {
            for v in bits(&make(&analysis, &edit, t, &mut plate)) {
                hasher.update(&v.to_le_bytes());
            }
        }
    }
    hasher.finalize().to_string()
}

#[test]
fn threads_do_not_matter() {
    const ASK: &str = "LONGTAKE_TEST_HASH";
    if std::env::var_os(ASK).is_some() {
        println!("hash {}", hash_of_everything());
        return;
    }
    let hash = |threads: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "exact::threads_do_not_matter", "--nocapture"])
            .env(ASK, "1")
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let at = text.find("hash ").expect("the child tells its hash");
        text[at..at + 69].to_owned()
    };
    let one = hash("1");
    assert_eq!(one, hash("4"));
    assert_eq!(one, format!("hash {}", hash_of_everything()));
}

#[test]
fn all_channels_come_along_and_values_outside_0_to_1_survive() {
    let mut plate = Painted::new((160, 90), 60, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let edit = list(&analysis, 90, vec![sweep(&analysis, 20, 6, 10)]);
    let (mut hot, mut negative) = (0.0f32, 0.0f32);
    for t in 15..36 {
        let made = make(&analysis, &edit, t, &mut plate);
        for p in made.data().chunks_exact(5) {
            assert!((0.6..=1.0).contains(&p[3]), "alpha {}", p[3]);
            assert!((0.0..=100.0).contains(&p[4]), "depth {}", p[4]);
            hot = hot.max(p[0]);
            negative = negative.min(p[2]);
        }
    }
    assert!(hot > 15.0 && negative < -0.2, "{hot} {negative}");
}

#[test]
fn a_bad_pixel_stays_one() {
    fn spoilt(index: usize, x: f32, y: f32) -> Vec<f32> {
        let mut v = moving(index, x, y);
        if (x * 160.0) as usize == 80 && (y * 90.0) as usize == 45 {
            v[..3].copy_from_slice(&[f32::NAN, f32::INFINITY, f32::NAN]);
        }
        v
    }
    let mut plate = Painted::new((160, 90), 60, &RGBAZ, spoilt);
    let analysis = analyse(&mut plate);
    let edit = list(&analysis, 90, vec![sweep(&analysis, 20, 6, 10)]);
    for t in [19, 24, 25, 26] {
        let made = make(&analysis, &edit, t, &mut plate);
        let bad = made.data().chunks_exact(5).filter(|p| !p[0].is_finite());
        assert!(bad.count() <= 4, "frame {t}");
    }
}

#[test]
fn any_size_works() {
    for size in [(1, 1), (1, 9), (9, 1), (2, 3), (17, 5), (61, 61), (301, 2)] {
        let mut plate = Painted::new(size, 30, &["R", "G", "B"], |i, x, y| {
            moving(i, x, y)[..3].to_vec()
        });
        let analysis = analyse(&mut plate);
        let edit = list(
            &analysis,
            40,
            vec![sweep(&analysis, 10, 3, 5), patch(&analysis, 12, -4)],
        );
        for t in 0..40 {
            let made = make(&analysis, &edit, t, &mut plate);
            assert_eq!((made.width(), made.height()), size);
            assert!(made.data().iter().all(|v| v.is_finite()));
        }
    }
}
