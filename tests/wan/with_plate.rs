//! Takes that begin with a plate, against the reference's pipelines from the same
//! noise: every mode, from pictures to latents.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Tensor;
use longtake::device::Cancel;
use longtake::engine::wan::{PlateColour, Way};
use longtake::frame::{ColourConfig, Transfer};
use longtake::sequence::Mode;
use tempfile::TempDir;

use crate::support::{apart, fixture, tensors};
use crate::take::{Frames, Order, folder, noise_file, range, settings};

/// Relative error allowed to a whole run.
const TOLERANCE: f64 = 2e-4;

/// A mode, and what the reference calls its run: a folder, and a name in its file.
const CASES: [(Mode, &str, &str); 9] = [
    (Mode::Animate, "animate", ""),
    (Mode::Between, "between", ""),
    (Mode::Between, "a14b_between", ""),
    (Mode::Animate, "ti2v", ""),
    (Mode::Fill, "vace", "fill."),
    (Mode::Fill, "vace", "fill_reference."),
    (Mode::Match, "vace", "match."),
    (Mode::Extend, "vace", "extend."),
    (Mode::Restyle, "restyle", ""),
];

struct Case {
    order: Order,
    expected: Tensor,
    _folder: TempDir,
}

impl Case {
    fn new((mode, name, run): (Mode, &str, &str)) -> Self {
        let folder = folder(name);
        let given = tensors("with_plate/plate.safetensors");
        let kept = tensors(&format!("with_plate/{name}/reference.safetensors"));
        let frames = |key: &str| Frames::of(&given[key]);
        let mut plate = frames("plate");
        let count = plate.pictures.len();
        let size = [plate.info.width, plate.info.height];
        let mut settings = settings(folder.path(), size);
        settings.noise = Some(noise_file(folder.path(), &kept[&format!("{run}noise")]));
        settings.way = match mode {
            Mode::Fill => Way::Fill,
            Mode::Match => Way::Follow,
            Mode::Restyle => Way::Restyle,
            _ => Way::Frames,
        };
        settings.strength = 0.6;
        if run == "fill_reference." {
            settings.control = 0.8;
            settings.references = vec![reference(folder.path(), &given)];
        }
        if mode == Mode::Extend {
            // The plate ends where the reference's mask begins.
            plate.info.range = range(1, 5);
            settings.overlap = 5;
        }
        let order = Order {
            mode,
            out: range(1, count as i32),
            keep: None,
            matte: (mode == Mode::Fill).then(|| frames("matte")),
            guide: (mode == Mode::Match).then(|| frames("guide")),
            plate,
            settings,
        };
        Self {
            order,
            expected: kept[&format!("{run}latents")].clone(),
            _folder: folder,
        }
    }

    fn error(&self) -> f64 {
        apart(&self.order.latents(), &self.expected)
    }
}

/// The reference picture as a file.
fn reference(folder: &std::path::Path, given: &HashMap<String, Tensor>) -> std::path::PathBuf {
    picture(folder, "reference", &given["reference"].squeeze(0).unwrap())
}

/// [3, rows, columns] of bytes as a file.
fn picture(folder: &std::path::Path, name: &str, tensor: &Tensor) -> std::path::PathBuf {
    let (_, height, width) = tensor.dims3().unwrap();
    let bytes = tensor.permute((1, 2, 0)).unwrap().flatten_all().unwrap();
    let path = folder.join(format!("{name}.png"));
    let file = std::fs::File::create(&path).unwrap();
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    writer
        .write_image_data(&bytes.to_vec1::<u8>().unwrap())
        .unwrap();
    path
}

#[test]
fn every_mode_agrees_from_pictures_to_latents() {
    let mut wrong = Vec::new();
    for case in CASES {
        let error = Case::new(case).error();
        println!("{case:?}: {error:e}");
        if error > TOLERANCE {
            wrong.push((case, error));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn references_stand_in_the_order_in_which_they_were_given() {
    let case = Case::new((Mode::Fill, "vace", "fill_reference."));
    let given = tensors("with_plate/plate.safetensors");
    let first = case.order.settings.references[0].clone();
    let plate = given["plate"].get(0).unwrap();
    let second = picture(case._folder.path(), "second", &plate);
    let seen = |references: &[&std::path::PathBuf]| {
        let mut order = Case::new((Mode::Fill, "vace", "fill_reference.")).order;
        order.settings.files = case.order.settings.files.clone();
        order.settings.noise = None;
        order.settings.references = references.iter().map(|r| (*r).clone()).collect();
        let take = order.take(&(), &Cancel::default()).unwrap();
        let read = take.analysis().shots[0].control_references.clone();
        read.unwrap().tensor().unwrap()
    };
    let both = seen(&[&first, &second]);
    assert_eq!(both.dim(2).unwrap(), 2);
    let place = |i: usize| both.narrow(2, i, 1).unwrap();
    assert_eq!(apart(&place(0), &seen(&[&first])), 0.);
    assert_eq!(apart(&place(1), &seen(&[&second])), 0.);
    assert!(apart(&place(0), &place(1)) > 0.1);
}

#[test]
fn vace_goes_from_a_first_to_a_last_frame_too() {
    let error = Case::new((Mode::Between, "vace", "between.")).error();
    assert!(error <= TOLERANCE, "{error:e}");
}

#[test]
fn what_is_given_matters_in_every_mode() {
    for case in CASES {
        let check = |what: &str, change: &dyn Fn(&mut Order)| {
            let mut changed = Case::new(case);
            change(&mut changed.order);
            let error = changed.error();
            assert!(error >= 10. * TOLERANCE, "{case:?}, {what}: {error:e}");
        };
        let other = |frames: &mut Frames| {
            frames.pictures.rotate_left(3);
        };
        check("another prompt", &|o| {
            o.settings.prompt = "a dog".to_owned()
        });
        check("more guidance", &|o| o.settings.guidance.scale += 0.5);
        match case.0 {
            Mode::Match => check("another guide", &|o| other(o.guide.as_mut().unwrap())),
            _ => check("another plate", &|o| other(&mut o.plate)),
        }
        if case.0 == Mode::Fill {
            check("another matte", &|o| other(o.matte.as_mut().unwrap()));
        }
        if case.2 == "fill_reference." {
            check("less control", &|o| o.settings.control = 0.6);
        }
        if case.0 == Mode::Restyle {
            check("another strength", &|o| o.settings.strength = 0.8);
        }
    }
}

#[test]
fn kept_frames_and_places_outside_the_matte_are_the_plate_s_bits() {
    let cancel = longtake::device::Cancel::default();
    let mut case = Case::new((Mode::Fill, "vace", "fill."));
    // Light above white and below black.
    for picture in &mut case.order.plate.pictures {
        for v in std::sync::Arc::make_mut(picture).data_mut() {
            *v = *v * 7. - 0.4;
        }
    }
    let take = case.order.take(&(), &cancel).unwrap();
    let matte = case.order.matte.clone().unwrap();
    for frame in [9, 1, 4] {
        let made = case.order.frame(&take, frame);
        let (plate, matte) = (
            &case.order.plate.pictures[frame as usize - 1],
            &matte.pictures[frame as usize - 1],
        );
        let mut changed = 0;
        for (i, m) in matte.data().iter().enumerate() {
            let at = i * 3..i * 3 + 3;
            if *m == 0. {
                assert_eq!(made.data()[at.clone()], plate.data()[at]);
            } else {
                changed += usize::from(made.data()[at.clone()] != plate.data()[at]);
            }
        }
        assert!(changed > 50, "{changed} of the covered places changed");
    }

    let case = Case::new((Mode::Animate, "animate", ""));
    let take = case.order.take(&(), &cancel).unwrap();
    let first = case.order.frame(&take, 1);
    assert_eq!(first.data(), case.order.plate.pictures[0].data());
    let second = case.order.frame(&take, 2);
    assert_ne!(second.data(), case.order.plate.pictures[1].data());
}

#[test]
fn a_plate_of_other_primaries_is_the_same_light_to_the_model() {
    let config = ColourConfig::open(None).unwrap();
    let [there, back] = config.rec709("ACEScg").unwrap();
    let converted = |frames: &mut Frames| {
        for picture in &mut frames.pictures {
            *picture = Arc::new(back.apply(picture, [0, 1, 2], None).unwrap());
        }
    };
    let light = |frames: &mut Frames| {
        frames.info.transfer = Transfer::Linear;
        for picture in &mut frames.pictures {
            for v in Arc::make_mut(picture).data_mut() {
                *v = *v * 3. - 0.05;
            }
        }
    };
    let cancel = longtake::device::Cancel::default();
    let case = |changed: bool, told: bool| {
        let mut case = Case::new((Mode::Fill, "vace", "fill."));
        light(&mut case.order.plate);
        if changed {
            converted(&mut case.order.plate);
        }
        case.order.settings.colour = told.then(|| PlateColour {
            there: there.clone(),
            back: back.clone(),
        });
        let take = case.order.take(&(), &cancel).unwrap();
        (case.order.frame(&take, 4), case)
    };
    let (plain, _) = case(false, false);
    let (made, own) = case(true, true);
    let (wrong, _) = case(true, false);
    let wanted = back.apply(&plain, [0, 1, 2], None).unwrap();
    let matte = own.order.matte.as_ref().unwrap().pictures[3].clone();
    let (mut off, mut untold, mut kept) = (0f32, 0f32, 0);
    for (i, m) in matte.data().iter().enumerate() {
        let at = i * 3..i * 3 + 3;
        if *m == 0. {
            let plate = &own.order.plate.pictures[3];
            assert_eq!(made.data()[at.clone()], plate.data()[at], "bit for bit");
            kept += 1;
            continue;
        }
        for k in at {
            off = off.max((made.data()[k] - wanted.data()[k]).abs());
            untold = untold.max((wrong.data()[k] - wanted.data()[k]).abs());
        }
    }
    println!("{off} off, {untold} where nothing is told");
    assert!(
        kept > 50 && off < 5e-3 && untold > 10. * off,
        "{kept} {off} {untold}"
    );

    // A guide has a space of its own.
    let guided = |changed: bool| {
        let mut case = Case::new((Mode::Match, "vace", "match."));
        let guide = case.order.guide.as_mut().unwrap();
        light(guide);
        if changed {
            converted(guide);
            case.order.settings.guide_colour = Some(there.clone());
        }
        case.order.latents()
    };
    let error = apart(&guided(true), &guided(false));
    assert!(error < TOLERANCE, "{error:e}");
}

#[test]
fn a_model_says_what_it_cannot_make_and_what_can() {
    let says = |name: &str, mode: Mode, way: Way| {
        let mut case = Case::new((mode, name, if name == "vace" { "fill." } else { "" }));
        case.order.settings.way = way;
        case.order.settings.noise = None;
        case.order.refused()
    };
    for (name, mode, way, word) in [
        ("restyle", Mode::Animate, Way::Frames, "image-to-video"),
        ("restyle", Mode::Restyle, Way::Follow, "VACE"),
        ("animate", Mode::Restyle, Way::Fill, "VACE"),
        ("animate", Mode::Restyle, Way::Restyle, "text-to-video"),
        ("between", Mode::Animate, Way::Frames, "between"),
        ("ti2v", Mode::Between, Way::Frames, "end with them"),
    ] {
        let text = says(name, mode, way);
        assert!(text.contains(word), "{name}: {text}");
    }
    let mut case = Case::new((Mode::Match, "vace", "match."));
    case.order.guide = None;
    assert!(case.order.refused().contains("no guide"));
    let folder = case.order.settings.files.model.clone();
    std::fs::remove_dir_all(folder.join("vae")).unwrap();
    assert!(case.order.refused().contains("has no vae"));
    let mut case = Case::new((Mode::Animate, "animate", ""));
    case.order.settings.files.vae = Some(fixture("vae-2.2"));
    assert!(case.order.refused().contains("VAE has 48 channels"));
}
