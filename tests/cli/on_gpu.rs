//! The wan engine's transformer in an object of its own, as on a GPU. There is none where
//! tests run: what is refused is tried as it is, and what crosses to the object with the
//! same object built for the CPU (`cargo xtask cuda --on-cpu`), beside libraries that bear
//! the names of CUDA's and are empty.

use std::path::{Path, PathBuf};
use std::process::Command;

use longtake_kernels::driver::{Device, DeviceError};

use crate::wan::{copy, model, pictures, tensors, vace};
use crate::work::{Outcome, Work};

const LIBRARIES: [&str; 5] = [
    "libcuda.so.1",
    "libcudart.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libcurand.so.10",
];

fn run(work: &Work, line: &str, variables: &[(&str, &Path)]) -> Outcome {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = work
        .command(&words)
        .env_remove("LONGTAKE_TRANSFORMER")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder of libraries that are empty and bear the names of CUDA's.
fn names_of_cuda(work: &Work) -> PathBuf {
    let folder = work.path("cuda");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(work.path("empty.c"), "").unwrap();
    for name in LIBRARIES {
        let status = Command::new("cc")
            .args(["-shared", "-o"])
            .args([folder.join(name), work.path("empty.c")])
            .status()
            .unwrap();
        assert!(status.success());
    }
    folder
}

const LINE: &str = "generate --engine wan --model model --prompt steam --negative-prompt blur \
    --steps 3 --guidance 4 --size 48x32 --frames 1001-1009";

#[test]
fn where_a_model_cannot_go_to_a_gpu_a_sentence_says_why() {
    if !matches!(Device::open(0), Err(DeviceError::NoDriver)) {
        return;
    }
    let work = Work::new();
    model(&work);
    let line = format!("{LINE} --device gpu --out o.####.png");
    let out = run(&work, &line, &[]);
    assert_eq!(out.code, 6, "{}", out.stderr);
    assert!(out.stderr.contains("cargo xtask cuda"), "{}", out.stderr);
    let object = work.path("object.so");
    std::fs::write(&object, "no object").unwrap();
    let told = ("LONGTAKE_TRANSFORMER", &*object);
    let out = run(&work, &line, &[told]);
    assert_eq!(out.code, 6, "{}", out.stderr);
    let says = "CUDA's library libcuda.so.1 was not found";
    assert!(out.stderr.contains(says), "{}", out.stderr);
    let folder = names_of_cuda(&work);
    let libraries = ("LD_LIBRARY_PATH", &*folder);
    for (text, says) in [("no object", "too short"), ("", "too short")] {
        std::fs::write(&object, text).unwrap();
        let out = run(&work, &line, &[told, libraries]);
        assert_eq!(out.code, 6, "{}", out.stderr);
        assert!(out.stderr.contains(says), "{}", out.stderr);
    }
    // One that is an object, and not this one.
    std::fs::copy(folder.join("libcublas.so.13"), &object).unwrap();
    let out = run(&work, &line, &[told, libraries]);
    assert_eq!(out.code, 6, "{}", out.stderr);
    assert!(out.stderr.contains("cannot be used"), "{}", out.stderr);
    assert!(work.files("o").is_empty());
}

/// A model of two transformers, which give other velocities.
fn experts(work: &Work) {
    model(work);
    copy(
        work,
        &[
            ("a14b", "model"),
            ("whole/transformer", "model/transformer_2"),
        ],
    );
    let path = work.path("model/transformer_2/diffusion_pytorch_model.safetensors");
    let mut weights = tensors(&path);
    let out = weights.get_mut("proj_out.weight").unwrap();
    *out = (&*out * 0.8).unwrap();
    candle_core::safetensors::save(&weights, path).unwrap();
}

#[test]
#[ignore = "builds the object for the CPU, which takes minutes: cargo test --test cli on_gpu -- --ignored"]
fn what_crosses_to_the_object_and_back_is_what_the_engine_makes_itself() {
    let status = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["xtask", "cuda", "--on-cpu"])
        .status()
        .unwrap();
    assert!(status.success());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let object = target.join("transformer/liblongtake_transformer.so");
    let text = "--size 48x32 --frames 1001-1009 --negative-prompt blur";
    let fill = "--size 48x32 --plate plate.####.png --matte matte.####.png --mode fill";
    for (of, more) in [
        (model as fn(&Work), format!("{text} --steps 3")),
        (model, format!("{text} --steps 14 --cache 0.9")),
        (experts, format!("{text} --steps 4 --guidance-low 3")),
        (vace, format!("{fill} --steps 3")),
    ] {
        let work = Work::new();
        of(&work);
        pictures(&work);
        let line =
            format!("generate --engine wan --model model --prompt steam --guidance 4 {more}");
        let right = run(
            &work,
            &format!("{line} --device cpu --save-latents cpu.safetensors --out cpu/o.####.png"),
            &[],
        );
        assert_eq!(right.code, 0, "{}", right.stderr);
        let folder = names_of_cuda(&work);
        let variables = [
            ("LONGTAKE_TRANSFORMER", &*object),
            ("LD_LIBRARY_PATH", &*folder),
        ];
        let line =
            format!("{line} --device gpu --save-latents gpu.safetensors --out gpu/o.####.png");
        let found = run(&work, &line, &variables);
        assert_eq!(found.code, 0, "{}", found.stderr);
        // Files differ: they tell where they were made.
        let names = work.files("cpu");
        assert!(!names.is_empty());
        assert_eq!(names, work.files("gpu"));
        let latents = |name: &str| {
            let latents = tensors(&work.path(name))["latents"].flatten_all();
            latents.unwrap().to_vec1::<f32>().unwrap()
        };
        let right = latents("cpu.safetensors");
        assert!(right.iter().any(|v| v.abs() > 0.5));
        assert_eq!(latents("gpu.safetensors"), right);
    }
}
