//! Parts of the picture with texts of their own: what a subject's text and reference
//! reach, and what they do not.

use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use longtake::engine::wan::{Settings, Subject};
use longtake::sequence::Mode;
use tempfile::TempDir;

use crate::support::apart;
use crate::take::{Frames, Order, folder, range, settings};

/// Width, height and frames of the output; 16 pixels are a token.
const SIZE: [usize; 2] = [96, 64];
const FRAMES: i32 = 9;
const TOKEN: usize = 16;

/// A grey picture with `value` where `inside`.
fn picture(path: &Path, inside: impl Fn(usize, usize) -> u8) {
    let file = std::fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, SIZE[0] as u32, SIZE[1] as u32);
    encoder.set_color(png::ColorType::Grayscale);
    let bytes: Vec<u8> = (0..SIZE[0] * SIZE[1])
        .map(|i| inside(i % SIZE[0], i / SIZE[0]))
        .collect();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&bytes).unwrap();
}

fn subject(folder: &Path, columns: Range<usize>, prompt: &str) -> Subject {
    let path = folder.join(format!("{}-{}.png", columns.start, columns.end));
    picture(&path, |x, y| {
        if columns.contains(&x) && y < 40 {
            255
        } else {
            0
        }
    });
    Subject {
        matte: path.into(),
        prompt: prompt.to_owned(),
        reference: None,
    }
}

/// Whether a subject of `columns` holds the token of latent row `y` and column `x`.
fn holds(columns: &Range<usize>, y: usize, x: usize) -> bool {
    let pixels = x / 2 * TOKEN..x / 2 * TOKEN + TOKEN;
    pixels.start < columns.end && columns.start < pixels.end && y / 2 * TOKEN < 40
}

struct Case {
    model: TempDir,
    beside: TempDir,
}

impl Case {
    fn new(name: &str) -> Self {
        Self {
            model: folder(name),
            beside: tempfile::tempdir().unwrap(),
        }
    }

    fn latents(&self, change: impl FnOnce(&mut Settings)) -> Tensor {
        let mut settings = Settings {
            steps: 3,
            ..settings(self.model.path(), SIZE)
        };
        change(&mut settings);
        let order = Order {
            mode: Mode::Generate,
            out: range(1, FRAMES),
            keep: None,
            plate: Frames::blank(SIZE[0], SIZE[1], 1),
            matte: None,
            guide: None,
            settings,
        };
        order.latents()
    }

    fn with(&self, subjects: &[(Range<usize>, &str)]) -> Tensor {
        let subjects = subjects
            .iter()
            .map(|(columns, prompt)| subject(self.beside.path(), columns.clone(), prompt))
            .collect();
        self.latents(|s| s.subjects = subjects)
    }
}

/// The places where two latents differ must be those where `may`; some of each must.
fn assert_differs_only(a: &Tensor, b: &Tensor, may: impl Fn(usize, usize) -> bool) {
    let (_, channels, frames, rows, columns) = a.dims5().unwrap();
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (a, b) = (values(a), values(b));
    let (mut moved, mut allowed) = (0, 0);
    for i in 0..channels * frames * rows * columns {
        let (y, x) = (i / columns % rows, i % columns);
        let same = a[i].to_bits() == b[i].to_bits();
        assert!(same || may(y, x), "row {y}, column {x}");
        moved += usize::from(!same);
        allowed += usize::from(may(y, x));
    }
    assert!(moved * 10 > allowed * 9, "{moved} of {allowed} moved");
}

#[test]
fn a_text_says_nothing_outside_its_matte() {
    let case = Case::new("whole");
    let columns = 40..70;
    let red = case.with(&[(columns.clone(), "a red ball")]);
    let blue = case.with(&[(columns.clone(), "a heavy blue cube of stone")]);
    assert_differs_only(&red, &blue, |y, x| holds(&columns, y, x));
    // The main text goes everywhere, by way of what the subject sees.
    let other = case.latents(|s| {
        s.subjects = vec![subject(case.beside.path(), columns.clone(), "a red ball")];
        s.prompt = "rain".to_owned();
    });
    assert_differs_only(&red, &other, |_, _| true);
}

#[test]
fn where_mattes_overlap_both_are_heeded_alike() {
    let case = Case::new("whole");
    let (left, right) = (0..48, 32..96);
    let of = |a: &str, b: &str| case.with(&[(left.clone(), a), (right.clone(), b)]);
    let first = of("a red ball", "a tall tree");
    assert_differs_only(&first, &of("a small dog", "a tall tree"), |y, x| {
        holds(&left, y, x)
    });
    assert_differs_only(&first, &of("a red ball", "a deep lake"), |y, x| {
        holds(&right, y, x)
    });
    // Their order does not matter.
    let swapped = case.with(&[(right.clone(), "a tall tree"), (left.clone(), "a red ball")]);
    let error = apart(&swapped, &first);
    assert!(error < 1e-5, "{error:e}");
    // Twice the same is once.
    let once = case.with(&[(left.clone(), "a red ball")]);
    let twice = case.with(&[(left.clone(), "a red ball"), (left.clone(), "a red ball")]);
    let error = apart(&twice, &once);
    assert!(error < 1e-5, "{error:e}");
}

#[test]
fn a_subject_that_is_everything_is_the_main_text() {
    let case = Case::new("whole");
    let plain = case.latents(|_| {});
    let path = case.beside.path().join("all.png");
    picture(&path, |_, _| 1);
    let all = case.latents(|s| {
        let prompt = std::mem::replace(&mut s.prompt, "something else".to_owned());
        s.subjects = vec![Subject {
            matte: path.into(),
            prompt,
            reference: None,
        }];
    });
    let error = apart(&all, &plain);
    assert!(error < 1e-5, "{error:e}");
}

#[test]
fn a_reference_shows_nothing_outside_its_subject_s_matte() {
    let case = Case::new("vace");
    let columns = 0..48;
    let with = |reference: Option<PathBuf>| {
        case.latents(|s| {
            let mut subject = subject(case.beside.path(), columns.clone(), "a red ball");
            subject.reference = reference;
            s.subjects = vec![subject];
        })
    };
    let file = |name: &str, by: usize| {
        let path = case.beside.path().join(name);
        picture(&path, |x, y| ((x * by + y * 3) % 256) as u8);
        path
    };
    let (a, b) = (with(Some(file("a.png", 2))), with(Some(file("b.png", 7))));
    assert_differs_only(&a, &b, |y, x| holds(&columns, y, x));
}

#[test]
fn what_does_not_go_with_subjects_is_told() {
    let case = Case::new("whole");
    let says = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(case.model.path(), SIZE);
        settings.subjects = vec![subject(case.beside.path(), 0..48, "a red ball")];
        change(&mut settings);
        let order = Order {
            mode: Mode::Generate,
            out: range(1, FRAMES),
            keep: None,
            plate: Frames::blank(SIZE[0], SIZE[1], 1),
            matte: None,
            guide: None,
            settings,
        };
        order.refused()
    };
    assert!(says(&|s| s.cache = Some(0.05)).contains("step cache"));
    let reference = says(&|s| s.subjects[0].reference = Some("a.png".into()));
    assert!(reference.contains("VACE"), "{reference}");
    let missing = says(&|s| s.subjects[0].matte = PathBuf::from("no.####.png").into());
    assert!(missing.contains("no.####.png"), "{missing}");
    assert!(says(&|s| s.subjects[0].prompt = "ball ".repeat(3000)).contains("too long"));
}
