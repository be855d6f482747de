//! Channels whose samples name things: each pixel of a frame has one that a plate frame
//! has, however the frame was put together.

use longtake::engine::plate::{Camera, Pose};

use super::*;

const CHANNELS: [&str; 5] = ["R", "G", "B", "A", "object"];

/// The name of the thing that is seen at a place: not a float that could be averaged.
fn name(index: usize, x: f32, y: f32) -> u32 {
    let cell = (x * 23.0) as u32 + 100 * (y * 17.0) as u32;
    3_000_000_000 + 1_000_003 * (index as u32 % 7) + 7 * cell
}

fn named(index: usize, x: f32, y: f32) -> Vec<f32> {
    let mut pixel = moving(index, x, y);
    pixel[4] = f32::from_bits(name(index, x, y));
    pixel
}

fn plate() -> Painted {
    let mut plate = Painted::new((160, 90), 60, &CHANNELS, named);
    plate.info.ids = vec!["object".to_owned()];
    plate
}

fn all_names() -> BTreeSet<u32> {
    let places = (0..23).flat_map(|x| (0..17).map(move |y| (x as f32 + 0.5, y as f32 + 0.5)));
    let names = places.flat_map(|(x, y)| (0..7).map(move |i| name(i, x / 23.0, y / 17.0)));
    names.collect()
}

/// Pixels of `picture` whose name is none of `names`.
fn strangers(picture: &Picture, names: &BTreeSet<u32>) -> usize {
    let own = picture.data().iter().skip(4).step_by(5);
    own.filter(|v| !names.contains(&v.to_bits())).count()
}

/// Makes frames `frames` by `edit` with the names known as such and not: counts strangers
/// of either, and holds all other channels to be alike.
fn both(edit: &EditList, analysis: &Analysis, frames: &[i32]) -> [usize; 2] {
    let names = all_names();
    let (mut knowing, mut plain) = (plate(), plate());
    plain.info.ids.clear();
    let mut counts = [0; 2];
    for &t in frames {
        let made = make(analysis, edit, t, &mut knowing);
        let mixed = make(analysis, edit, t, &mut plain);
        for (a, b) in made.data().chunks(5).zip(mixed.data().chunks(5)) {
            let bits = |p: &[f32]| [0, 1, 2, 3].map(|c| p[c].to_bits());
            assert_eq!(bits(a), bits(b));
        }
        counts[0] += strangers(&made, &names);
        counts[1] += strangers(&mixed, &names);
    }
    counts
}

#[test]
fn a_warped_cut_makes_no_new_names() {
    let analysis = analyse(&mut plate());
    let events = vec![sweep(&analysis, 10, 6, 12), patch(&analysis, 14, -9)];
    let edit = list(&analysis, 40, events);
    let [known, mixed] = both(&edit, &analysis, &[12, 14, 15, 16, 18]);
    assert_eq!(known, 0);
    assert!(mixed > 100, "{mixed}: nothing was warped");
}

#[test]
fn a_camera_that_is_put_back_makes_no_new_names() {
    let analysis = analyse(&mut plate());
    let mut edit = list(&analysis, 40, vec![sweep(&analysis, 10, 6, 12)]);
    // Frames lend to each other over a band what lies beyond their edges.
    let pose = |k: usize| Pose {
        x: 0.0031 * k as f64,
        y: 0.0007 * (k % 5) as f64,
        ..Pose::REST
    };
    edit.camera = Some(Camera {
        plate: (0..60).map(pose).collect(),
        out: (0..40).map(|t| pose(t + 20)).collect(),
        withheld: Vec::new(),
    });
    let [known, mixed] = both(&edit, &analysis, &[3, 16, 30]);
    assert_eq!(known, 0);
    assert!(mixed > 1000, "{mixed}: nothing was read between pixels");
}

#[test]
fn the_soft_edge_of_a_matte_makes_no_new_names() {
    fn soft(_index: usize, x: f32, _y: f32) -> Vec<f32> {
        vec![(x * 2.0 - 0.5).clamp(0.0, 1.0)]
    }
    let analysis = analyse(&mut plate());
    let mut edit = list(&analysis, 40, vec![patch(&analysis, 10, 20)]);
    edit.matted = true;
    let (mut plate, mut matte) = (plate(), Painted::new((160, 90), 60, &["A"], soft));
    let (original, names) = (plate.frame(20), all_names());
    let mut sources = Sources {
        plate: &mut plate,
        matte: Some(&mut matte),
        guide: None,
        subjects: Default::default(),
    };
    let window = Window::whole(160, 90);
    let made = try_make(&analysis, &edit, 1021, window, &mut sources).unwrap();
    assert_eq!(strangers(&made, &names), 0);
    let changed = made.data().chunks(5).zip(original.data().chunks(5));
    let changed = changed.filter(|(a, b)| a[4].to_bits() != b[4].to_bits());
    assert!(changed.count() > 50);
}
