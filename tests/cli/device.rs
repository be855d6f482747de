//! Frames made on a GPU, and what becomes of work where the GPU fails. There is none
//! where tests run: the driver is the emulation of `kernels/emulation`, which runs the
//! kernels on the CPU and fails on demand.

use std::process::Command;

use longtake_kernels::driver::{Device, DeviceError};

use crate::work::{FOOTAGE, Outcome, Work, plate};

/// Kernels that the trial launches before a GPU is used, as a variable of the emulation has
/// it.
const TRIAL: &str = "12";

/// Runs `generate` with the driver of the emulation and `faults`; none where it could
/// not be built.
fn emulated(work: &Work, line: &str, faults: &[(&str, &str)]) -> Option<Outcome> {
    let folder = longtake_emulation::folder()?;
    let mut words = vec!["generate"];
    words.extend(line.split_whitespace());
    words.extend(["--plans", "1"]);
    let output = work
        .command(&words)
        .env("LD_LIBRARY_PATH", folder)
        .envs(
            faults
                .iter()
                .map(|(k, v)| (format!("LONGTAKE_EMULATION_{k}"), v)),
        )
        .output()
        .unwrap();
    Some(Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    })
}

fn assert_same_files(work: &Work, a: &str, b: &str) {
    let names = work.files(a);
    assert!(!names.is_empty());
    assert_eq!(names, work.files(b));
    for name in names {
        let equal = work.bytes(&format!("{a}/{name}")) == work.bytes(&format!("{b}/{name}"));
        assert!(equal, "{b}/{name} differs from the CPU's");
    }
}

#[test]
fn a_gpu_makes_the_bytes_of_the_cpu_in_every_mode() {
    let work = Work::new();
    let plate = plate();
    // A matte with soft edges that goes across.
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i"])
        .arg("color=black:120x90[b];color=white:30x40[w];[b][w]overlay=x=3*n-30:y=20,format=gray,gblur=6")
        .args(["-frames:v", "48", "-start_number", "1001"])
        .arg(work.path("matte.%04d.png"))
        .status()
        .unwrap();
    assert!(status.success());
    for (mode, rest) in [
        ("extend", "--frames 1001-1090"),
        ("loop", "--frames 1-60 --encoding linear --warp off"),
        ("vary", "--frames 1001-1048"),
        ("fill", "--matte matte.####.png"),
    ] {
        let line = format!("--plate {plate} --mode {mode} {rest} --novelty 1 --pixel-type float");
        work.generate(&format!("{line} --device cpu --out {mode}/o.####.exr"));
        // A store of its own: what the CPU decided is not found there.
        let gpu = format!("{line} --device gpu --store gpu --out {mode}-gpu/o.####.exr");
        let log = work.path(&format!("{mode}.log"));
        let Some(out) = emulated(&work, &gpu, &[("LOG", log.to_str().unwrap())]) else {
            return;
        };
        assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
        let log = std::fs::read_to_string(log).unwrap();
        // The trial ends with a cost.
        let trial = log.lines().position(|l| l == "agreement").unwrap() + 1;
        assert_eq!(trial.to_string(), TRIAL, "{log}");
        // It counts each cost once; the rest is what was decided with.
        let count = |kernel: &str| log.lines().filter(|l| l.starts_with(kernel)).count();
        assert!(count("gather") > 4, "{mode}: {log}");
        if mode != "fill" {
            assert!(count("frame_distance") > 1, "{mode}: {log}");
        }
        // What is warped needs flow; the loop here warps nothing.
        assert_eq!(count("flow") > 1, mode != "loop", "{mode}: {log}");
        assert!(!out.stderr.contains("GPU"), "{}", out.stderr);
        assert_same_files(&work, mode, &format!("{mode}-gpu"));
        // It was really used: lost behind its trial, the same job fails.
        let lost = gpu.replace("-gpu/", "-lost/");
        let out = emulated(&work, &lost, &[("LOST_AFTER", TRIAL)]).unwrap();
        assert_eq!(out.code, 13, "{mode}: {}{}", out.stdout, out.stderr);
        assert!(out.stderr.contains("the GPU was lost"), "{}", out.stderr);
    }
}

#[test]
fn a_gpu_decides_as_the_cpu_does_with_all_plans() {
    let Some(folder) = longtake_emulation::folder() else {
        return;
    };
    let work = Work::new();
    // From the fourth plan on regions play another clip for a while.
    let make = |device: &str| {
        let line = format!(
            "generate --plate {} --frames 1001-1090 --novelty 1",
            plate()
        );
        let rest = format!("--plans 6 --device {device} --store s/{device}");
        let line = format!("{line} {rest} --out {device}/o.####.png");
        let log = work.path(&format!("{device}.log"));
        let output = work
            .command(&line.split_whitespace().collect::<Vec<_>>())
            .env("LD_LIBRARY_PATH", folder)
            .env("LONGTAKE_EMULATION_LOG", &log)
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let count = |kernel: &str| log.lines().filter(|l| *l == kernel).count();
        (count("frame_distance"), count("agreement"))
    };
    let (distances, agreements) = make("gpu");
    assert!(distances > 1 && agreements > 3, "{distances} {agreements}");
    assert_eq!(make("cpu"), (0, 0));
    assert_same_files(&work, "cpu", "gpu");
}

#[test]
fn where_a_gpu_fails_the_cpu_takes_over_and_says_so() {
    let work = Work::new();
    // Large enough to be worth a GPU's while.
    std::fs::create_dir(work.path("plate")).unwrap();
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-i", FOOTAGE])
        .args(["-vf", "scale=720:540", "-frames:v", "30"])
        .args(["-start_number", "1"])
        .arg(work.path("plate/p.%04d.png"))
        .status()
        .unwrap();
    assert!(status.success());
    let line = "--plate plate/p.####.png --frames 1-50 --only 31,36-39 --pixel-type 8bit --json";
    work.generate(&format!("{line} --device cpu --out cpu/o.####.png"));
    for (i, (fault, value, says)) in [
        ("VERSION", "12040", "knows CUDA 12.4, 13.0 is needed"),
        ("DEVICES", "0", "sees no GPU"),
        ("TAKEN", "1", "another process has the GPU to itself"),
        ("MEMORY", "6000000", "the GPU is out of memory"),
        // Behind the trial; flow is the next.
        ("LOST_AFTER", TRIAL, "the GPU was lost"),
    ]
    .into_iter()
    .enumerate()
    {
        let faults = [(fault, value)];
        let auto = format!("{line} --device auto --out {i}/o.####.png");
        let Some(out) = emulated(&work, &auto, &faults) else {
            return;
        };
        assert_eq!(out.code, 0, "{fault}: {}{}", out.stdout, out.stderr);
        let warnings = out.events_of("warning");
        let told = |w: &serde_json::Value| {
            let text = w["message"].as_str().unwrap();
            text.contains(says) && text.contains("made on the CPU instead")
        };
        assert!(warnings.iter().any(told), "{fault}: {warnings:?}");
        assert_same_files(&work, "cpu", &i.to_string());

        let only = format!("{line} --device gpu --out only-{i}/o.####.png");
        let out = emulated(&work, &only, &faults).unwrap();
        assert_eq!(out.code, 13, "{fault}");
        assert!(out.stderr.contains(says), "{fault}: {}", out.stderr);
    }
}

#[test]
fn without_a_driver_the_cpu_works_in_silence_unless_a_gpu_was_asked_for() {
    if !matches!(Device::open(0), Err(DeviceError::NoDriver)) {
        return;
    }
    let work = Work::new();
    let line = format!("--plate {} --frames 1001-1060 --only 1040-1060", plate());
    let out = work.generate(&format!("{line} --out out/o.####.png"));
    assert!(!out.stderr.contains("GPU"), "{}", out.stderr);
    // Kept frames, which need no GPU, are not written either.
    for only in ["1001-1060", "1001-1005"] {
        let line = format!("--plate {} --frames 1001-1060 --only {only}", plate());
        let words = format!("generate {line} --device gpu --plans 1 --out gpu/o.####.png");
        let out = work.run(&words.split_whitespace().collect::<Vec<_>>());
        assert_eq!(out.code, 13);
        let says = "no NVIDIA driver was found";
        assert!(out.stderr.contains(says), "{}", out.stderr);
        assert!(!work.path("gpu").exists(), "{:?}", work.files("gpu"));
    }
}
