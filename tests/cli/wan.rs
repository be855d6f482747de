//! `longtake generate --engine wan` on a whole small model.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use crate::work::Work;

fn fixture(name: &str) -> String {
    format!("{}/tests/wan/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The parts of a whole folder, which lie apart among the fixtures.
fn model(work: &Work) {
    for (from, to) in [
        ("whole", "model"),
        ("whole/transformer", "model/transformer"),
        ("whole/scheduler", "model/scheduler"),
        ("text/text_encoder", "model/text_encoder"),
        ("text/tokenizer", "model/tokenizer"),
        ("vae-2.1", "model/vae"),
    ] {
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

fn tensors(path: &std::path::Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
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

#[test]
fn given_noise_becomes_the_reference_s_latents_and_frames() {
    let work = Work::new();
    model(&work);
    let kept = tensors(fixture("whole/reference.safetensors").as_ref());
    let noise = HashMap::from([("latents", kept["noise"].clone())]);
    candle_core::safetensors::save(&noise, work.path("noise.safetensors")).unwrap();
    let mut line = COMMAND.to_vec();
    line.extend(["--size", "48x32", "--frames", "1001-1005", "--json"]);
    line.extend(["--latents", "noise.safetensors"]);
    line.extend(["--save-latents", "out.safetensors", "--out", "f.####.png"]);
    let out = work.run(&line);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(out.events_of("done")[0]["frames"], 5);
    let made = &tensors(&work.path("out.safetensors"))["latents"];
    let expected = &kept["latents"];
    let norm = |t: Tensor| {
        t.sqr()
            .unwrap()
            .sum_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
    };
    let error = norm((made - expected).unwrap()) / norm(expected.clone());
    assert!(error.sqrt() <= 2e-4, "{error}");
    assert_eq!(
        work.files(".")
            .iter()
            .filter(|f| f.ends_with(".png"))
            .count(),
        5
    );

    // From a seed, at a size between: cropped.
    let mut line = COMMAND.to_vec();
    line.extend(["--size", "33x17", "--frames", "1-2", "--seed", "3"]);
    line.extend(["--out", "g.####.exr"]);
    let out = work.run(&line);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let made = work.files(".");
    assert_eq!(
        made.iter().filter(|f| f.ends_with(".exr")).count(),
        2,
        "{made:?}"
    );
}

#[test]
fn what_cannot_be_is_told_before_work() {
    let work = Work::new();
    model(&work);
    let says = |more: &[&str]| {
        let mut line = COMMAND.to_vec();
        line.extend(more);
        let out = work.run(&line);
        (out.code, out.stderr)
    };
    let (code, text) = says(&[]);
    assert!(code == 2 && text.contains("--save-latents"), "{text}");
    let (code, text) = says(&["--size", "big", "--out", "f.####.exr"]);
    assert!(code == 2 && text.contains("832x480"), "{text}");
    let (code, text) = says(&["--frames", "9-1", "--out", "f.####.exr"]);
    assert!(code == 2 && text.contains("1001-1081"), "{text}");
    let (code, text) = says(&["--latents", "nothing.safetensors", "--out", "f.####.exr"]);
    assert!(code == 4 && text.contains("nothing.safetensors"), "{text}");
    std::fs::remove_dir_all(work.path("model/vae")).unwrap();
    let (code, text) = says(&["--size", "48x32", "--frames", "1-5", "--out", "f.####.exr"]);
    assert!(code == 2 && text.contains("has no vae"), "{text}");
}
