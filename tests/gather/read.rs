//! What is read, what a fill leaves alone, and stopping.

use super::*;

#[test]
fn what_is_read_is_what_was_said_and_one_frame_at_a_time() {
    let mut plate = Painted::new((160, 90), 80, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let edit = list(
        &analysis,
        100,
        vec![
            sweep(&analysis, 20, 6, 12),
            patch(&analysis, 24, -9),
            sweep(&analysis, 60, -40, 12),
        ],
    );
    for t in 0..100 {
        plate.read.clear();
        plate.held.store(0, Ordering::Relaxed);
        make(&analysis, &edit, t, &mut plate);
        let needed = PlateEngine::default().frames_needed(&analysis, &edit, 1001 + t);
        let needed: BTreeSet<i32> = needed.into_iter().collect();
        assert!(
            plate.read.is_subset(&needed),
            "frame {t}: {:?} of {needed:?}",
            plate.read
        );
        assert!(
            needed.len() <= plate.read.len() + 1,
            "frame {t}: {needed:?}"
        );
        assert!(plate.held.load(Ordering::Relaxed) <= 1, "frame {t}");
    }
}

#[test]
fn a_fill_leaves_the_plate_alone_outside_the_matte() {
    fn ball(_index: usize, x: f32, y: f32) -> Vec<f32> {
        let r = ((x - 0.5) * (x - 0.5) + (y - 0.5) * (y - 0.5)).sqrt();
        vec![((0.25 - r) * 12.0).clamp(0.0, 1.0)]
    }
    let mut plate = Painted::new((160, 90), 60, &RGBAZ, moving);
    let mut matte = Painted::new((160, 90), 60, &["A"], ball);
    let analysis = analyse(&mut plate);
    let mut edit = list(
        &analysis,
        60,
        vec![patch(&analysis, 10, 20), sweep(&analysis, 40, 0, 6)],
    );
    edit.matted = true;
    let window = Window::whole(160, 90);
    for t in [0, 11, 20, 42, 59] {
        let original = plate.frame(t as usize);
        let mask = matte.frame(t as usize);
        let mut sources = Sources {
            plate: &mut plate,
            matte: Some(&mut matte),
            guide: None,
            subjects: Default::default(),
        };
        let made = try_make(&analysis, &edit, 1001 + t, window, &mut sources).unwrap();
        edit.matted = false;
        let gathered = make(&analysis, &edit, t, &mut plate);
        edit.matted = true;
        let mut changed = 0;
        for y in 0..90 {
            for x in 0..160 {
                let (m, p) = (made.pixel(x, y), original.pixel(x, y));
                let g = gathered.pixel(x, y);
                match mask.pixel(x, y)[0] {
                    0.0 => assert_eq!(m.map_bits(), p.map_bits(), "outside at {x},{y}"),
                    1.0 => assert_eq!(m.map_bits(), g.map_bits(), "inside at {x},{y}"),
                    k => {
                        for c in 0..5 {
                            let want = g[c] * k + p[c] * (1.0 - k);
                            assert!((m[c] - want).abs() <= 1e-5 * (1.0 + want.abs()));
                        }
                    }
                }
                changed += usize::from(m != p);
            }
        }
        assert_eq!(
            changed > 500,
            t == 20 || t == 11 || t == 42,
            "frame {t}: {changed}"
        );
    }
    let mut sources = Sources {
        plate: &mut plate,
        matte: None,
        guide: None,
        subjects: Default::default(),
    };
    let refused = try_make(&analysis, &edit, 1001, window, &mut sources);
    assert!(matches!(refused, Err(EngineError::Request(_))));
}

trait Bits {
    fn map_bits(&self) -> Vec<u32>;
}

impl Bits for [f32] {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|v| v.to_bits()).collect()
    }
}

#[test]
fn a_cancelled_frame_stops() {
    let mut plate = Painted::new((160, 90), 60, &RGBAZ, moving);
    let analysis = analyse(&mut plate);
    let edit = list(&analysis, 90, vec![sweep(&analysis, 20, 6, 10)]);
    let cancel = Cancel::default();
    cancel.cancel();
    let made = PlateEngine::default().make(
        &analysis,
        &edit,
        1025,
        Window::whole(160, 90),
        &mut Sources {
            plate: &mut plate,
            matte: None,
            guide: None,
            subjects: Default::default(),
        },
        task(&cancel),
    );
    assert!(matches!(made, Err(EngineError::Cancelled(_))));
}
