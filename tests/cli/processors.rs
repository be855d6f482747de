//! The same bytes on processors with other instructions: the wide vectors left unused,
//! and the C library kept to its plainest functions.

use std::fs;
use std::path::Path;

use crate::wan::{copy, model, pictures, vace};
use crate::work::{Work, plate};

/// What a processor is taken to have: the most that Longtake uses, and what the C
/// library is told to do without.
const PROCESSORS: [(&str, &str); 3] = [
    ("", ""),
    ("avx2", "-AVX512F,-AVX512VL,-AVX512BW"),
    (
        "portable",
        "-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-FMA,-FMA4,-AVX,-SSE4_1",
    ),
];

/// Makes a take as each processor would, in a folder and a store of its own, and holds
/// the files of `o` against those of this machine.
fn same_on_all(prepare: impl Fn(&Work), line: &str) {
    let mut here: Option<Work> = None;
    for (most, without) in PROCESSORS {
        let work = Work::new();
        prepare(&work);
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = work.command(&words);
        if !most.is_empty() {
            command
                .env("LONGTAKE_CPU", most)
                .env("GLIBC_TUNABLES", format!("glibc.cpu.hwcaps={without}"));
        }
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{most}: {said}");
        let files = work.files("o");
        assert!(!files.is_empty());
        match &here {
            None => here = Some(work),
            Some(here) => {
                assert_eq!(files, here.files("o"));
                for name in files {
                    let name = format!("o/{name}");
                    assert!(work.bytes(&name) == here.bytes(&name), "{most}: {name}");
                }
            }
        }
    }
}

/// What `LONGTAKE_CPU` says holds for all that is made: who looks at the processor past
/// `src/device/isa.rs` would not hear of it. (The bits do not tell.)
#[test]
fn one_place_alone_looks_at_the_processor() {
    fn look(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs")
                && fs::read_to_string(&path)
                    .unwrap()
                    .contains("feature_detected!")
            {
                found.push(path.display().to_string());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "kernels"] {
        look(&root.join(folder), &mut found);
    }
    let isa = root.join("src/device/isa.rs").display().to_string();
    assert_eq!(found, [isa]);
}

#[test]
fn a_plate_s_take_is_the_same() {
    let line = format!(
        "generate --plate {} --frames 1001-1090 --plans 2 --pixel-type float \
         --out o/f.####.exr",
        plate()
    );
    same_on_all(|_| (), &line);
}

#[test]
fn a_model_s_take_is_the_same() {
    let common = "generate --engine wan --model model --prompt steam --steps 3 --guidance 5 \
                  --pixel-type float --save-latents o/latents.safetensors --out o/f.####.exr";
    let folder = |work: &Work| fs::create_dir(work.path("o")).unwrap();
    let line = format!("{common} --size 48x32 --frames 1-5 --loras lora/community.safetensors");
    let from_words = |work: &Work| {
        folder(work);
        model(work);
        copy(work, &[("lora", "lora")]);
    };
    same_on_all(from_words, &line);

    let line = format!("{common} --size 64x32 --mode match --guide guide.####.png --cache 0.1");
    let with_guide = |work: &Work| {
        folder(work);
        vace(work);
        pictures(work);
    };
    same_on_all(with_guide, &line);
}

#[test]
fn a_take_from_a_first_frame_is_the_same() {
    let prepare = |work: &Work| {
        fs::create_dir(work.path("o")).unwrap();
        pictures(work);
        copy(
            work,
            &[
                ("with_plate/animate", "model"),
                ("with_plate/animate/transformer", "model/transformer"),
                ("with_plate/animate/scheduler", "model/scheduler"),
                ("text/text_encoder", "model/text_encoder"),
                ("text/tokenizer", "model/tokenizer"),
                ("vae-2.1", "model/vae"),
                ("clip", "model/image_encoder"),
            ],
        );
    };
    same_on_all(
        prepare,
        "generate --engine wan --model model --prompt steam --steps 3 --guidance 5 \
         --mode animate --plate plate.####.png --size 64x32 --frames 1-5 \
         --pixel-type float --save-latents o/latents.safetensors --out o/f.####.exr",
    );
}
