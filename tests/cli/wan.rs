//! `longtake generate --engine wan` on whole small models.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use longtake::frame::{FilePlate, PlateOptions, PlateReader};

use crate::work::Work;

fn fixture(name: &str) -> String {
    format!("{}/tests/wan/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn copy(work: &Work, parts: &[(&str, &str)]) {
    for (from, to) in parts {
        let to = work.path(to);
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(fixture(from)).unwrap() {
            let from = entry.unwrap().path();
            if from.is_file() {
                std::fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
            }
        }
    }
}

/// The parts of a whole folder, which lie apart among the fixtures.
pub fn model(work: &Work) {
    copy(
        work,
        &[
            ("whole", "model"),
            ("whole/transformer", "model/transformer"),
            ("whole/scheduler", "model/scheduler"),
            ("text/text_encoder", "model/text_encoder"),
            ("text/tokenizer", "model/tokenizer"),
            ("vae-2.1", "model/vae"),
        ],
    );
}

/// A VACE model in the same way.
pub fn vace(work: &Work) {
    copy(
        work,
        &[
            ("with_plate/vace", "model"),
            ("with_plate/vace/transformer", "model/transformer"),
            ("with_plate/vace/scheduler", "model/scheduler"),
            ("text/text_encoder", "model/text_encoder"),
            ("text/tokenizer", "model/tokenizer"),
            ("vae-2.1", "model/vae"),
        ],
    );
}

pub fn tensors(path: &std::path::Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// The plate and the matte of the fixtures as PNG frames.
pub fn pictures(work: &Work) {
    let given = tensors(fixture("with_plate/plate.safetensors").as_ref());
    for (name, colour) in [
        ("plate", png::ColorType::Rgb),
        ("matte", png::ColorType::Grayscale),
        ("guide", png::ColorType::Rgb),
    ] {
        let (frames, _, height, width) = given[name].dims4().unwrap();
        for t in 0..frames {
            let frame = given[name].get(t).unwrap().permute((1, 2, 0)).unwrap();
            let bytes = frame.flatten_all().unwrap().to_vec1::<u8>().unwrap();
            let path = work.path(&format!("{name}.{:04}.png", t + 1));
            let file = std::fs::File::create(path).unwrap();
            let mut encoder = png::Encoder::new(file, width as u32, height as u32);
            encoder.set_color(colour);
            let mut writer = encoder.write_header().unwrap();
            writer.write_image_data(&bytes).unwrap();
        }
    }
}

const COMMAND: [&str; 13] = [
    "generate",
    "--engine",
    "wan",
    "--model",
    "model",
    "--prompt",
    "a cat walks on the grass",
    "--negative-prompt",
    "blurry, bad quality",
    "--steps",
    "10",
    "--guidance",
    "5",
];

fn line<'a>(more: &[&'a str]) -> Vec<&'a str> {
    COMMAND.into_iter().chain(more.iter().copied()).collect()
}

fn apart(a: &Tensor, b: &Tensor) -> f32 {
    let norm = |t: Tensor| {
        let sum = t.sqr().unwrap().sum_all().unwrap();
        sum.to_scalar::<f32>().unwrap().sqrt()
    };
    norm((a - b).unwrap()) / norm(b.clone())
}

#[test]
fn given_noise_becomes_the_reference_s_latents_and_frames() {
    let work = Work::new();
    model(&work);
    let kept = tensors(fixture("whole/reference.safetensors").as_ref());
    let noise = HashMap::from([("latents", kept["noise"].clone())]);
    candle_core::safetensors::save(&noise, work.path("noise.safetensors")).unwrap();
    let given = line(&[
        "--size",
        "48x32",
        "--frames",
        "1001-1005",
        "--json",
        "--latents",
        "noise.safetensors",
        "--save-latents",
        "out.safetensors",
        "--out",
        "f.####.png",
    ]);
    let out = work.run(&given);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(out.events_of("done")[0]["made"], 5);
    let made = &tensors(&work.path("out.safetensors"))["latents"];
    let error = apart(made, &kept["latents"]);
    assert!(error <= 2e-4, "{error}");
    // Once more: the frames are there, and so is the take.
    let again = work.run(&given);
    assert_eq!(again.events_of("done")[0]["there"], 5);
    assert!(!again.stdout.contains("Sampling"), "it was made again");

    // From a seed, at a size between: cropped.
    let out = work.run(&line(&[
        "--size",
        "33x17",
        "--frames",
        "1-2",
        "--seed",
        "3",
        "--out",
        "g.####.exr",
    ]));
    assert_eq!(out.code, 0, "{}", out.stderr);
    let made = FilePlate::open(&work.path("g.####.exr"), &PlateOptions::default()).unwrap();
    assert_eq!((made.info().width, made.info().height), (33, 17));
    assert_eq!(made.info().range.count(), 2);
}

#[test]
fn a_matte_is_filled_a_plate_goes_on_and_a_guide_is_followed() {
    let work = Work::new();
    vace(&work);
    pictures(&work);
    let open =
        |pattern: &str| FilePlate::open(&work.path(pattern), &PlateOptions::default()).unwrap();
    let out = work.run(&line(&[
        "--mode",
        "fill",
        "--plate",
        "plate.####.png",
        "--matte",
        "matte.####.png",
        "--out",
        "fill.####.png",
        "--size",
        "64x32",
        "--block-frames",
        "4",
        "--json",
    ]));
    assert_eq!(out.code, 0, "{}", out.stderr);
    let (mut made, mut plate) = (open("fill.####.png"), open("plate.####.png"));
    let mut matte = open("matte.####.png");
    let mut inside = 0;
    for frame in [1, 5, 9] {
        let (a, b) = (made.read(frame).unwrap(), plate.read(frame).unwrap());
        for (i, m) in matte.read(frame).unwrap().data().iter().enumerate() {
            let at = i * 3..i * 3 + 3;
            match *m > 0. {
                true => inside += usize::from(a.data()[at.clone()] != b.data()[at]),
                false => assert_eq!(a.data()[at.clone()], b.data()[at]),
            }
        }
    }
    assert!(inside > 100, "{inside} places changed");

    let out = work.run(&line(&[
        "--mode",
        "extend",
        "--plate",
        "plate.####.png",
        "--frames",
        "1-14",
        "--out",
        "more.####.png",
        "--overlap",
        "5",
        "--size",
        "64x32",
        "--json",
    ]));
    assert_eq!(out.code, 0, "{}", out.stderr);
    let done = &out.events_of("done")[0];
    assert_eq!((&done["kept"], &done["made"]), (&9.into(), &5.into()));
    let bytes = |name: &str| open(name).read(9).unwrap().data().to_vec();
    assert_eq!(bytes("more.####.png"), bytes("plate.####.png"));

    let out = work.run(&line(&[
        "--mode",
        "match",
        "--guide",
        "guide.####.png",
        "--out",
        "same.####.exr",
        "--size",
        "64x32",
        "--json",
    ]));
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(out.events_of("done")[0]["made"], 9);

    // In blocks, as a farm makes it: to the same bytes.
    let take = [
        "--mode",
        "fill",
        "--plate",
        "plate.####.png",
        "--matte",
        "matte.####.png",
        "--out",
        "part.####.png",
        "--size",
        "64x32",
        "--block-frames",
        "4",
        "--json",
    ];
    let words = |first: &'static str| {
        let mut words = line(&take);
        words[0] = first;
        words
    };
    let plan = work.run(&words("plan"));
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    let plan = &plan.events_of("plan")[0];
    let names: Vec<&str> = plan["plan"]["levels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["conditions", "latents", "frames"]);
    for level in plan["plan"]["levels"].as_array().unwrap() {
        for block in level["blocks"].as_array().unwrap().iter().rev() {
            let mut words = words("block");
            words.push(block["id"].as_str().unwrap());
            let out = work.run(&words);
            assert_eq!(out.code, 0, "{}", out.stderr);
        }
    }
    for frame in 1..=9 {
        let file = |name: &str| std::fs::read(work.path(&format!("{name}.{frame:04}.png")));
        assert_eq!(
            file("part").unwrap(),
            file("fill").unwrap(),
            "frame {frame}"
        );
    }
}

#[test]
fn what_a_lora_changes_in_other_models_is_left_out_and_told() {
    let work = Work::new();
    model(&work);
    let mut lora = tensors(fixture("lora/community.safetensors").as_ref());
    let some = Tensor::ones(3, candle_core::DType::F32, &Device::Cpu).unwrap();
    for name in ["blocks.0.cross_attn.k_img", "img_emb.proj.1"] {
        lora.insert(format!("diffusion_model.{name}.diff_b"), some.clone());
    }
    candle_core::safetensors::save(&lora, work.path("both.safetensors")).unwrap();
    let given = [
        "--size",
        "48x32",
        "--frames",
        "1-5",
        "--loras",
        "both.safetensors",
        "--out",
        "f.####.exr",
        "--json",
    ];
    let out = work.run(&line(&given));
    assert_eq!(out.code, 0, "{}", out.stderr);
    let told = "both.safetensors is for more than this model";
    let at = |mark: &str| {
        let found = out.stdout.find(mark);
        found.unwrap_or_else(|| panic!("no {mark} in {}", out.stdout))
    };
    assert!(out.stdout[at(told)..].contains("2 are left out"));
    // While there is still time to stop it.
    assert!(at(told) < at("\"latents\""), "{}", out.stdout);
}

#[test]
fn what_cannot_be_is_told_before_work() {
    let work = Work::new();
    model(&work);
    let says = |more: &[&str]| {
        let out = work.run(&line(more));
        (out.code, out.stderr)
    };
    let (code, text) = says(&[]);
    assert!(code == 2 && text.contains("--out"), "{text}");
    let (code, text) = says(&["--size", "big", "--out", "f.####.exr"]);
    assert!(code == 2 && text.contains("832x480"), "{text}");
    let (code, text) = says(&["--frames", "9-1", "--out", "f.####.exr"]);
    assert!(code == 2, "{text}");
    let (code, text) = says(&["--latents", "nothing.safetensors", "--out", "f.####.exr"]);
    assert!(code == 4 && text.contains("nothing.safetensors"), "{text}");
    let (code, text) = says(&["--mode", "match", "--out", "f.####.exr"]);
    assert!(code == 2 && text.contains("plate is missing"), "{text}");
    let (code, text) = says(&["--loras", "no.safetensors=x", "--out", "f.####.exr"]);
    assert!(code == 2 && text.contains("=0.8"), "{text}");
    std::fs::remove_dir_all(work.path("model/vae")).unwrap();
    let (code, text) = says(&["--size", "48x32", "--frames", "1-5", "--out", "f.####.exr"]);
    assert!(code == 4 && text.contains("has no vae"), "{text}");
}

#[test]
fn frames_from_words_come_in_the_space_that_is_named() {
    let work = Work::new();
    model(&work);
    let make = |more: &str| {
        let line = "generate --engine wan --model model --prompt steam --steps 2 --guidance 1 \
                    --size 48x32 --frames 1-5 --threads 1 --pixel-type float";
        let words: Vec<&str> = line.split_whitespace().chain(more.split(' ')).collect();
        let out = work.run(&words);
        assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    };
    make("--out a/o.####.exr");
    make("--out b/o.####.exr --output-colorspace ACEScg");
    let frame = |name: &str| {
        let path = work.path(name);
        let mut plate = FilePlate::open(&path, &PlateOptions::default()).unwrap();
        plate.read(3).unwrap()
    };
    let (light, cg) = (frame("a/o.####.exr"), frame("b/o.####.exr"));
    // Rec.709 to AP1 with the Bradford adaptation from D65 to the ACES white.
    let matrix = [
        [0.613_097, 0.339_523, 0.047_379],
        [0.070_194, 0.916_354, 0.013_452],
        [0.020_616, 0.109_570, 0.869_815],
    ];
    for (a, b) in light.data().chunks(3).zip(cg.data().chunks(3)) {
        for (row, b) in matrix.iter().zip(b) {
            let sum: f32 = row.iter().zip(a).map(|(m, a)| m * a).sum();
            assert!((sum - b).abs() < 1e-4, "{a:?} came out as {b}, not {sum}");
        }
    }
}

#[test]
fn a_long_take_is_planned_and_made_in_blocks_to_the_same_bytes() {
    let long = [
        "--size",
        "48x32",
        "--frames",
        "1001-1060",
        "--model-frames",
        "17",
        "--overlap",
        "5",
        "--refine",
        "96x64",
        "--block-frames",
        "30",
        "--out",
        "o/f.####.exr",
        "--json",
    ];
    let words = |first: &'static str, more: &[&'static str]| {
        let mut words = line(&long);
        words[0] = first;
        // Few steps, since there are many pieces.
        words[10] = "2";
        words.extend(more);
        words
    };
    let whole = Work::new();
    model(&whole);
    let out = whole.run(&words("generate", &[]));
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(out.events_of("done")[0]["made"], 60);

    let farm = Work::new();
    model(&farm);
    let plan = farm.run(&words("plan", &["--picture", "plan.png"]));
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    assert!(farm.files("store").is_empty(), "nothing is made for a plan");
    let plan = plan.events_of("plan")[0]["plan"].clone();
    let levels = plan["levels"].as_array().unwrap();
    let names: Vec<&str> = levels.iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "conditions",
            "latents",
            "anchors",
            "fills",
            "refinement",
            "frames"
        ]
    );
    let blocks = |name: &str| -> Vec<serde_json::Value> {
        let level = levels.iter().find(|l| l["name"] == name).unwrap();
        level["blocks"].as_array().unwrap().clone()
    };
    // Each gap between anchors is filled, and a fill needs its anchors alone.
    assert_eq!(
        blocks("anchors")[0]["frames"],
        "1001,1010-1013,1026-1029,1042-1045,1058-1060"
    );
    let fill = &blocks("fills")[1];
    assert_eq!(fill["frames"], "1010-1029");
    let needs: Vec<&str> = fill["needs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_str().unwrap())
        .collect();
    assert_eq!(needs.len(), 2);
    assert!(needs[1].starts_with("anchors-1001-1060-"), "{needs:?}");
    let id = fill["id"].as_str().unwrap();
    let mut alone = words("block", &[]);
    alone.insert(1, id);
    let out = farm.run(&alone);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(out.events_of("block")[0]["block"], id);
    for name in ["anchors", "fills", "refinement", "frames"] {
        let out = farm.run(&words("block", &["--level", name]));
        assert_eq!(out.code, 0, "{name}: {}", out.stderr);
    }
    assert_eq!(farm.files("o").len(), 60);
    for name in whole.files("o") {
        let name = format!("o/{name}");
        assert!(farm.bytes(&name) == whole.bytes(&name), "{name}");
    }
    let made = FilePlate::open(&farm.path("o/f.####.exr"), &PlateOptions::default()).unwrap();
    assert_eq!((made.info().width, made.info().height), (96, 64));
}

#[test]
fn the_time_of_a_take_is_told_as_a_range_and_grows_with_the_work() {
    let work = Work::new();
    model(&work);
    let words = |command: &str, more: &[&str]| -> Vec<String> {
        let all = [
            command,
            "--engine",
            "wan",
            "--model",
            "model",
            "--prompt",
            "a cat walks on the grass",
            "--size",
            "64x48",
            "--out",
            "o/f.####.exr",
            "--store",
            "store",
            "--json",
        ];
        let frames = match more.contains(&"--frames") {
            true => &[][..],
            false => &["--frames", "1001-1009"],
        };
        let all = all.iter().chain(frames).chain(more);
        all.map(|&w| w.to_owned()).collect()
    };
    let time = |more: &[&str]| {
        let out = work.run(&words("plan", &[&["--estimate"], more].concat()));
        assert_eq!(out.code, 0, "{}", out.stderr);
        out.events_of("plan")[0]["plan"]["estimate"]["time"].clone()
    };
    let number = |time: &serde_json::Value, name: &str| time[name].as_f64().unwrap();
    let few = time(&["--steps", "4"]);
    assert!(number(&few, "decision") > 0. && number(&few, "frames") > 0.);
    assert!(number(&few, "most") > number(&few, "seconds"));
    // The machine was measured once; twice the steps are twice the time.
    let ratio = |a: &serde_json::Value, b: &serde_json::Value, name: &str| {
        number(a, name) / number(b, name)
    };
    let more = time(&["--steps", "8"]);
    assert!((ratio(&more, &few, "decision") - 2.).abs() < 1e-6);
    assert_eq!(number(&more, "frames"), number(&few, "frames"));
    // Without the negative prompt a step is one evaluation.
    let plain = time(&["--steps", "8", "--guidance", "1"]);
    assert!((ratio(&more, &plain, "decision") - 2.).abs() < 1e-6);
    // In pieces too: what is made again for the sake of neighbours counts.
    let long = time(&[
        "--steps",
        "4",
        "--frames",
        "1001-1090",
        "--model-frames",
        "17",
    ]);
    assert!(ratio(&long, &few, "decision") > 8.);
    let out = work.run(&words("generate", &["--steps", "4"]));
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(number(&time(&["--steps", "4"]), "most"), 0., "all is there");
}
