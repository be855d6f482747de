//! `longtake plan` and `longtake block`: what a farm relies on.

use serde_json::Value as Json;

use crate::work::{Work, copied_plate, plate};

const LINE: &str =
    "--frames 1001-1090 --block-frames 16 --plans 1 --json --out o/o.####.exr --plate";

fn words(command: &[&str], plate: &str) -> Vec<String> {
    let words = command.iter().copied().chain(LINE.split(' '));
    words.chain([plate]).map(str::to_owned).collect()
}

fn plan(work: &Work, plate: &str) -> Json {
    let out = work.run(&words(&["plan"], plate));
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    out.events_of("plan")[0]["plan"].clone()
}

fn ids(plan: &Json) -> Vec<String> {
    let levels = plan["levels"].as_array().unwrap();
    let blocks = levels.iter().flat_map(|l| l["blocks"].as_array().unwrap());
    blocks
        .map(|b| b["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn blocks_made_in_any_order_come_to_the_same_bytes() {
    let whole = Work::new();
    let plate = plate();
    let out = whole.run(&words(&["generate"], &plate));
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);

    let farm = Work::new();
    let laid = plan(&farm, &plate);
    // What is there already makes no difference but to the room needed.
    let later = plan(&whole, &plate);
    assert_eq!(laid["levels"], later["levels"], "a function of the request");
    assert_eq!(laid["space"]["frames"], 90);
    assert_eq!(later["space"]["frames"], 0);
    assert!(farm.files("store").is_empty() && farm.files("o").is_empty());
    let ids = ids(&laid);
    assert_eq!(ids.len(), 2 + 6, "{ids:?}");
    // Backwards: each makes what it needs where it is not there.
    for (k, id) in ids.iter().enumerate().rev() {
        let out = farm.run(&words(&["block", id], &plate));
        assert_eq!(out.code, 0, "{id}: {}{}", out.stdout, out.stderr);
        let frames = out.events_of("frame").len();
        assert_eq!(frames, [0, 0, 16, 16, 16, 16, 16, 10][k], "{id}");
    }
    assert_eq!(farm.files("o"), whole.files("o"));
    for name in whole.files("o") {
        assert!(
            farm.bytes(&format!("o/{name}")) == whole.bytes(&format!("o/{name}")),
            "{name}"
        );
    }

    // One frame of a take needs its own plate frames, the rest is in the store.
    let out = farm.run(&words(&["block", &ids[4], "--again"], &plate));
    assert_eq!(out.events_of("done")[0]["there"], 0);
    let out = farm.run(&words(&["block", &ids[4]], &plate));
    assert_eq!(out.events_of("done")[0]["there"], 16);
    let out = farm.run(&words(&["block", "frames-1-2-abc"], &plate));
    assert_eq!(out.code, 2, "{}", out.stderr);
}

#[test]
fn two_machines_at_one_block_agree() {
    let work = Work::new();
    let plate = plate();
    let ids = ids(&plan(&work, &plate));
    let both: Vec<_> = (0..2)
        .map(|_| {
            let mut command = work.command(&words(&["block", &ids[5]], &plate));
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in both {
        assert!(child.wait().unwrap().success());
    }
    let files = work.files("o");
    assert_eq!(files.len(), 16, "{files:?}");
    let alone = Work::new();
    assert_eq!(alone.run(&words(&["block", &ids[5]], &plate)).code, 0);
    for name in files {
        let name = format!("o/{name}");
        assert!(work.bytes(&name) == alone.bytes(&name), "{name}");
    }
}

#[test]
fn a_block_that_fails_is_named_and_made_again_alone() {
    let work = Work::new();
    // Frames of which there is a middle that no key is made of.
    let made = std::process::Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error"])
        .args(["-i", crate::work::FOOTAGE, "-frames:v", "48"])
        .args(["-vf", "scale=480:360", "-start_number", "1001"])
        .arg(work.path("plate.%04d.png"))
        .status();
    assert!(made.unwrap().success());
    let path = work.path("plate.####.png").display().to_string();
    let ids = ids(&plan(&work, &path));
    // Studied and decided while the plate is whole.
    assert_eq!(work.run(&words(&["block", &ids[1]], &path)).code, 0);
    let file = work.path("plate.1010.png");
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.len() > 160 << 10, "{}", bytes.len());
    // A frame that rots on the disk.
    let mut rotten = bytes.clone();
    rotten[bytes.len() / 2..][..1 << 10].fill(0x55);
    std::fs::write(&file, &rotten).unwrap();
    let out = work.run(&words(&["generate"], &path));
    assert_eq!(out.code, 4, "{}", out.stderr);
    // Frame 1010 is kept, hence made in the first block of frames.
    assert!(out.stderr.contains(&ids[2]), "{}", out.stderr);
    std::fs::write(&file, &bytes).unwrap();
    let out = work.run(&words(&["block", &ids[2]], &path));
    assert_eq!(out.code, 0, "{}", out.stderr);
}

#[test]
fn a_shot_carried_elsewhere_has_the_same_blocks_and_the_same_bytes() {
    let work = Work::new();
    let line = "--frames 1001-1060 --block-frames 16 --plans 1 --json";
    let shot = |command: &str, place: &str| {
        let words = format!(
            "{command} {line} --plate {place}/in/plate.####.png --out {place}/o/o.####.exr"
        );
        let out = work.run(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
        out
    };
    let blocks = |place: &str| ids(&shot("plan", place).events_of("plan")[0]["plan"]);
    for place in ["a", "far/b"] {
        copied_plate(&work, &format!("{place}/in"));
    }
    let first = blocks("a");
    assert_eq!(blocks("far/b"), first);
    shot("generate", "a");
    // What was learned of the one serves the other, and frames tell the same.
    let steps = shot("generate", "far/b").events_of("progress");
    let studied = |e: &Json| e["stage"].as_str().is_some_and(|s| s.contains("plate"));
    assert!(!steps.iter().any(studied), "{steps:?}");
    let names = work.files("a/o");
    assert_eq!((names.len(), &names), (60, &work.files("far/b/o")));
    for name in names {
        let of = |place: &str| work.bytes(&format!("{place}/o/{name}"));
        assert!(of("a") == of("far/b"), "{name}");
    }
    let frame = |f: i32| work.path(&format!("far/b/in/plate.{f}.png"));
    std::fs::copy(frame(1020), frame(1021)).unwrap();
    let changed = blocks("far/b");
    assert!(first.iter().all(|id| !changed.contains(id)), "{changed:?}");
}

#[test]
fn a_plan_is_drawn_and_tells_what_does_not_fit_the_disk() {
    let work = Work::new();
    let plate = plate();
    let mut draw = words(&["plan", "--picture", "plan.png"], &plate);
    draw.retain(|w| w != "--json");
    let out = work.run(&draw);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(out.stdout.contains("level 3: frames, 6 blocks"));
    let before = work.bytes("plan.png");
    let id = ids(&plan(&work, &plate))[1].clone();
    assert_eq!(work.run(&words(&["block", &id], &plate)).code, 0);
    work.run(&draw);
    // Now it shows what each region plays.
    assert_ne!(work.bytes("plan.png"), before);

    let work = Work::new();
    // 100,000 frames of 5760 x 4320 samples in float are 29 TB.
    let large = work.path("large.0001.png").display().to_string();
    let made = std::process::Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi"])
        .args(["-i", "color=gray:size=5760x4320:rate=24"])
        .args(["-frames:v", "8", "-start_number", "1"])
        .arg(work.path("large.%04d.png"))
        .status();
    assert!(made.unwrap().success());
    let line = ["generate", "--mode", "loop", "--frames", "1-100000"];
    let more = ["--plate", &large, "--out", "l/l.####.exr"];
    let float = ["--pixel-type", "float"];
    let all: Vec<&str> = [&line[..], &more[..], &float[..]].concat();
    let out = work.run(&all);
    assert_eq!(out.code, 8, "{}", out.stderr);
    assert!(out.stderr.contains("100000 frames to write"));
    assert!(
        work.files("l").is_empty() && work.files("store").is_empty(),
        "before work"
    );
}

/// Bytes of all files in `folder` and below.
fn bytes_in(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap());
    entries
        .map(|e| match e.file_type().unwrap().is_dir() {
            true => bytes_in(&e.path()),
            false => e.metadata().unwrap().len(),
        })
        .sum()
}

#[test]
fn an_estimate_grows_with_the_work_and_remembers_the_machine() {
    let work = Work::new();
    let plate = plate();
    let estimate = |more: &[&str]| {
        let mut words = words(&["plan", "--estimate"], &plate);
        words.extend(more.iter().map(|&m| m.to_owned()));
        let out = work.run(&words);
        assert_eq!(out.code, 0, "{}", out.stderr);
        out.events_of("plan")[0]["plan"]["estimate"].clone()
    };
    let first = estimate(&[]);
    assert_eq!(first["blocks"], 8);
    for stage in ["seconds", "analysis", "decision", "frames"] {
        assert!(first["time"][stage].as_f64().unwrap() > 0.0, "{stage}");
    }
    // The machine was measured once: what does not depend on reading is the same.
    assert_eq!(estimate(&[])["time"]["decision"], first["time"]["decision"]);
    let rest = work.run(&words(&["generate"], &plate));
    assert_eq!(rest.code, 0, "{}", rest.stderr);
    let rest = estimate(&[])["time"].clone();
    for stage in ["seconds", "analysis", "decision", "frames"] {
        // As it is printed: -0.0 is equal to 0.0.
        assert_eq!(rest[stage].to_string(), "0.0", "all is there: {stage}");
    }
    let (kept, most) = (
        bytes_in(&work.path("store")),
        first["store"].as_u64().unwrap(),
    );
    assert!(kept <= most && kept > most / 20, "{kept} of {most}");
    let threads = |n: &str| estimate(&["--threads", n])["memory"].as_u64().unwrap();
    // Of so small a plate deciding takes more than the pictures of a few threads.
    assert!(threads("64") > threads("1"));
    assert_eq!(first["scratch"], 0);
    assert_eq!(
        (&first["gpus"], &first["gpu_memory"]),
        (&0.into(), &Json::Null)
    );
    let gpu = estimate(&["--device", "gpu"]);
    assert_eq!(gpu["gpus"], 1);
    // 19 pictures of 120 x 90 and three channels, and what the driver takes.
    assert_eq!(gpu["gpu_memory"], (1u64 << 30) + 19 * 120 * 90 * 3 * 4);
}
