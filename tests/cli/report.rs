//! `longtake report`, the report beside a take, and the store.

use longtake::frame::{FilePlate, PlateOptions, PlateReader};
use serde_json::Value as Json;

use crate::work::{Work, plate};

#[test]
fn a_report_measures_any_sequence() {
    let work = Work::new();
    let plate = plate();
    // The plate against itself is the plate.
    let out = work.run(&["report", &plate, "--plate", &plate, "--json"]);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    let report = &out.events_of("report")[0]["report"];
    let sharp = report["measures"]["sharpness"].as_f64().unwrap();
    assert!((sharp - 1.0).abs() < 1e-6, "{sharp}");

    // One that stands still has no steps.
    let still = work.path("still");
    std::fs::create_dir(&still).unwrap();
    for frame in 1001..1049 {
        let from = plate.replace("####", "1001");
        std::fs::copy(&from, still.join(format!("s.{frame}.png"))).unwrap();
    }
    let out = work.run(&[
        "report",
        "still/s.####.png",
        "--plate",
        &plate,
        "--json",
        "--report",
        "still.json",
    ]);
    assert_eq!(out.code, 0);
    let report: Json = serde_json::from_slice(&work.bytes("still.json")).unwrap();
    assert_eq!(report["measures"]["frame_difference"], 0.0);
    assert_eq!(
        report["measures"],
        out.events_of("report")[0]["report"]["measures"]
    );
    let found = &out.events_of("suitability")[0];
    assert_eq!(found["summary"], report["suitability"]["summary"]);
    let failed = report["verdicts"].as_array().unwrap();
    assert!(failed.iter().any(|v| v["pass"] == false));
}

#[test]
fn a_report_alone_follows_the_cameras_of_plate_and_sequence() {
    let work = Work::new();
    // The footage through a camera that wanders.
    let wander = "crop=240:180:60+12*sin(n/9):40+9*sin(n/7)";
    let made = std::process::Command::new("ffmpeg")
        .args([
            "-hide_banner",
            "-loglevel",
            "error",
            "-i",
            crate::work::FOOTAGE,
        ])
        .args(["-vf", wander, "-frames:v", "60", "-start_number", "1001"])
        .arg(work.path("p.%04d.png"))
        .status();
    assert!(made.unwrap().success());
    let report = |name: &str| -> Json { serde_json::from_slice(&work.bytes(name)).unwrap() };
    let take = "--plate p.####.png --frames 1001-1080";
    work.generate(&format!("{take} --out o/o.####.png --report own.json"));
    work.generate(&format!(
        "{take} --steady off --out s/s.####.png --report shaken.json"
    ));
    let alone = ["report", "o/o.####.png", "--plate", "p.####.png"];
    let out = work.run(&[&alone[..], &["--report", "alone.json"]].concat());
    assert_eq!(out.code, 0, "{}", out.stderr);
    let (own, alone) = (report("own.json"), report("alone.json"));
    // The plate as a camera at rest would have taken it, in both.
    assert_eq!(alone["plate_curves"], own["plate_curves"]);
    assert_ne!(report("shaken.json")["plate_curves"], own["plate_curves"]);
    let steps = |r: &Json| r["measures"]["frame_difference"].as_f64().unwrap();
    let apart = (steps(&alone) / steps(&own) - 1.0).abs();
    assert!(apart < 0.1, "{} and {}", steps(&alone), steps(&own));
}

#[test]
fn a_report_of_differing_sizes_is_refused() {
    let work = Work::new();
    let plate = plate();
    // Made by nobody that we know, hence of a size that nobody explains.
    std::fs::create_dir(work.path("half")).unwrap();
    let made = std::process::Command::new("ffmpeg")
        .args([
            "-hide_banner",
            "-loglevel",
            "error",
            "-start_number",
            "1001",
        ])
        .args(["-i", &plate.replace("####", "%04d"), "-vf", "scale=60:46"])
        .args(["-start_number", "1001"])
        .arg(work.path("half/o.%04d.png"))
        .status();
    assert!(made.unwrap().success());
    let out = work.run(&["report", "half/o.####.png", "--plate", &plate]);
    assert_eq!(out.code, 5, "{}", out.stderr);
    // Why it is not taken for a proxy of a take.
    assert!(out.stderr.contains("not written by Longtake"));
}

#[test]
fn a_report_alone_knows_of_a_take_what_its_frames_tell() {
    let work = Work::new();
    let read = |name: &str| -> Json { serde_json::from_slice(&work.bytes(name)).unwrap() };
    let run = |line: &str| {
        let out = work.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(out.code, 0, "{line}: {}{}", out.stdout, out.stderr);
        out
    };
    let plate = plate();
    let take = format!("--plate {plate} --frames 1001-1080 --fps 25");
    for (folder, more) in [("o", ""), ("half", " --scale 1/2 --block-frames 10")] {
        work.generate(&format!(
            "{take}{more} --out {folder}/o.####.exr --pixel-type float --report own.json"
        ));
        // Which plate it was, and how many frames a second, is in the frames.
        run(&format!("report {folder}/o.####.exr --report alone.json"));
        let (own, alone) = (read("own.json"), read("alone.json"));
        // Float samples of a plate of 8 bits, or of a proxy, are held against what its
        // frames come to in such files.
        assert_eq!(alone["measures"]["kept"], 0.0);
        assert_eq!(alone["missing"], serde_json::json!([]));
        assert_eq!(alone["made"], own["made"]);
        for what in ["seam_block", "spurious", "copy", "join", "jump", "kept"] {
            assert!(own["measures"][what].is_number(), "{what}");
        }
        for what in own["measures"].as_object().unwrap().keys() {
            let [a, b] = [&own, &alone].map(|r| r["measures"][what].as_f64());
            let near = a
                .zip(b)
                .is_none_or(|(a, b)| (a - b).abs() < 2e-3 * a.abs().max(1.0));
            assert!(near && a.is_some() == b.is_some(), "{what}: {a:?}, {b:?}");
        }
        // Blocks meet where they did, however long they were made.
        let [of_own, of_alone] = [&own, &alone].map(|r| {
            let borders = r["curves"]["borders"].as_array().unwrap().clone();
            let at = borders.iter().map(|b| b[0].as_u64().unwrap());
            at.collect::<Vec<_>>()
        });
        assert_eq!(of_own, of_alone);
        assert_eq!(of_own.len(), if folder == "o" { 2 } else { 4 });
    }

    // A kept frame of the proxy that somebody touched is not the plate's any more.
    work.generate(&format!(
        "{take} --scale 1/2 --out flat/o.####.exr --compression none --pixel-type half"
    ));
    let mut bytes = work.bytes("flat/o.1003.exr");
    // The last sample's last bit.
    let at = bytes.len() - 2;
    bytes[at] ^= 1;
    std::fs::write(work.path("flat/o.1003.exr"), bytes).unwrap();
    run("report flat/o.####.exr --report flat.json");
    let kept = read("flat.json")["measures"]["kept"].as_f64().unwrap();
    assert!(kept > 0.0 && kept < 0.01, "{kept}");

    // A part of it is told as that.
    std::fs::create_dir(work.path("part")).unwrap();
    for frame in 1050..=1080 {
        let name = format!("o.{frame}.exr");
        std::fs::copy(work.path("o").join(&name), work.path("part").join(name)).unwrap();
    }
    run("report part/o.####.exr --report part.json");
    assert!(read("part.json")["measures"]["spurious"].is_number());

    // Of one in blocks of differing lengths it is not known where they meet.
    work.generate(&format!(
        "{take} --out mixed/o.####.exr --pixel-type float --only 1071-1080 --block-frames 10"
    ));
    for frame in 1050..=1070 {
        let name = format!("o.{frame}.exr");
        std::fs::copy(work.path("o").join(&name), work.path("mixed").join(name)).unwrap();
    }
    run("report mixed/o.####.exr --report mixed.json");
    let mixed = read("mixed.json");
    assert!(mixed["measures"]["seam_block"].is_null());
    assert!(mixed["measures"]["spurious"].is_number());
    let why = mixed["missing"].to_string();
    assert!(why.contains("of 24 and some of 10 frames"), "{why}");

    // What tells nothing, or tells of others, is measured as any sequence is, and why that
    // is so is said.
    let why = |line: &str| {
        let out = run(&format!("{line} --report any.json"));
        let report = read("any.json");
        assert!(report["measures"]["seam_block"].is_null());
        assert!(
            out.stdout.contains("not measured: seam_tile"),
            "{}",
            out.stdout
        );
        report["missing"][0]["why"].as_str().unwrap().to_owned()
    };
    let told = why(&format!("report {plate} --plate {plate}"));
    assert!(told.contains("not written by Longtake"), "{told}");
    let told = why(&format!("report o/o.####.exr --plate {plate} --fps 12"));
    assert!(told.contains("fps '25'"), "{told}");
    std::fs::rename(work.path("part/o.1080.exr"), work.path("part/o.1049.exr")).unwrap();
    let told = why(&format!("report part/o.####.exr --plate {plate}"));
    assert!(told.contains("one by one"), "{told}");
}

#[test]
fn a_report_alone_of_frames_that_pipelines_have_moved_about() {
    let work = Work::new();
    let plate = plate();
    let take = format!("--plate {plate} --frames 1001-1056 --pixel-type 8bit");
    work.generate(&format!("{take} --out o/o.####.png --seed 4"));
    work.generate(&format!("{take} --out other/o.####.png --only 1054-1056"));
    let copy = |from: &str, to: &str, frames: std::ops::RangeInclusive<i32>, less: i32| {
        std::fs::create_dir_all(work.path(to)).unwrap();
        for frame in frames {
            let from = work.path(from).join(format!("o.{frame:04}.png"));
            let number = frame - less;
            let to = work.path(to).join(format!("o.{number:04}.png"));
            std::fs::copy(from, to).unwrap();
        }
    };
    let report = |folder: &str| {
        let files = format!("{folder}/o.####.png");
        work.run(&["report", &files, "--report", "r.json", "--page", "r.html"])
    };

    // Numbered from 1 and not from 1001, all is measured as of the take, and frames are
    // told by the numbers that they have now.
    copy("o", "moved", 1001..=1056, 1000);
    let out = report("moved");
    assert_eq!(out.code, 0, "{}", out.stderr);
    let moved: Json = serde_json::from_slice(&work.bytes("r.json")).unwrap();
    assert_eq!(moved["missing"], serde_json::json!([]));
    assert_eq!(moved["measures"]["kept"], 0.0);
    let at = |curve: &str| -> Vec<u64> {
        let points = moved["curves"][curve].as_array().unwrap();
        points.iter().map(|p| p[0].as_u64().unwrap()).collect()
    };
    // The first 32 are the plate's own; of blocks of 24 the third begins among those made.
    assert_eq!(at("ghosts"), (32..56).collect::<Vec<_>>());
    assert_eq!(at("borders"), [48]);
    assert!(moved["measures"]["spurious"].is_number());
    assert_eq!(
        (&moved["output"]["first"], &moved["output"]["last"]),
        (&1.into(), &56.into())
    );
    let page = String::from_utf8(work.bytes("r.html")).unwrap();
    assert!(page.contains("<h1>moved/o.####.png, frames 1-56</h1>"));
    assert!(page.contains(" in mode extend<br>"));
    assert!(page.contains("plate.####.png<br>"));

    // Of two takes, and without their plate, it is said which and what to do.
    copy("o", "two", 1001..=1053, 0);
    copy("other", "two", 1054..=1056, 0);
    let out = report("two");
    assert_eq!(out.code, 2, "{}", out.stderr);
    for words in ["o.1054.png", "seed 0 and not 4", "--plate"] {
        assert!(out.stderr.contains(words), "{words}: {}", out.stderr);
    }

    // A gap.
    std::fs::remove_file(work.path("o/o.1055.png")).unwrap();
    let out = report("o");
    assert_eq!(out.code, 3, "{}", out.stderr);
    for words in ["frame 1055 of the sequence", "1001-1054, 1056", "generate"] {
        assert!(out.stderr.contains(words), "{words}: {}", out.stderr);
    }
}

#[test]
fn a_take_leaves_its_report() {
    let work = Work::new();
    let out = work.generate(&format!(
        "--plate {} --frames 1001-1060 --out o/o.####.exr --report look/report.json \
         --contact-sheet look/sheet.png --preview look/preview.mp4 --page look/page.html --json",
        plate()
    ));
    assert_eq!(out.events_of("file").len(), 4);
    let report: Json = serde_json::from_slice(&work.bytes("look/report.json")).unwrap();
    assert_eq!(report["output"]["last"], 1060);
    // 48 frames at 24 a second are two seconds: the artist is told.
    let concerns = report["suitability"]["concerns"].as_array().unwrap();
    assert_eq!(
        out.events_of("suitability")[0]["concerns"],
        report["suitability"]["concerns"]
    );
    assert!(!concerns.is_empty());
    assert_eq!(
        report["measures"]["kept"], 0.0,
        "kept frames are the plate's to the bit"
    );
    let open = |name: &str| FilePlate::open(&work.path(name), &PlateOptions::default()).unwrap();
    assert!(open("look/sheet.png").info().width >= 720);
    let preview = open("look/preview.mp4");
    assert_eq!((preview.info().width, preview.info().height), (120, 90));
    assert_eq!(preview.info().range.count(), 60);
    assert_eq!(
        work.files("look"),
        ["page.html", "preview.mp4", "report.json", "sheet.png"]
    );
    // The page needs nothing beside it, and says what the report says.
    let plate = plate();
    let titles = &report["titles"];
    assert_eq!(titles["sequence"], "o/o.####.exr");
    assert_eq!(titles["plate"], plate);
    assert!(titles["engine"].as_str().unwrap().starts_with("plate "));
    assert_eq!(titles["mode"], "extend");
    // The last half second of the plate blends into what is made.
    let made = &report["made"][0];
    assert_eq!(made["last"], 1060);
    let page = String::from_utf8(work.bytes("look/page.html")).unwrap();
    for part in page.split("src=\"").skip(1) {
        assert!(part.starts_with("data:"), "{}", &part[..part.len().min(40)]);
    }
    assert_eq!(page.matches("<video").count(), 2);
    for told in [
        "<title>o.####.exr, frames 1001-1060 - Longtake report</title>",
        "<h1>o/o.####.exr, frames 1001-1060</h1>",
        &format!("<br>plate: {plate}<br>made by: engine plate "),
        &format!(
            " in mode extend<br>kept from the plate: 1001-{}; made: {}-1060<br>",
            made["first"].as_i64().unwrap() - 1,
            made["first"]
        ),
    ] {
        assert!(page.contains(told), "{told}");
    }
    let from = page.find("id=\"report\">").unwrap() + 12;
    let to = from + page[from..].find("</script>").unwrap();
    let told: Json = serde_json::from_str(&page[from..to].replace("<\\/", "</")).unwrap();
    for what in ["titles", "made", "measures"] {
        assert_eq!(told[what], report[what], "{what}");
    }
}

#[test]
fn a_report_is_told_where_files_of_a_take_lie_now() {
    let work = Work::new();
    let plate = plate();
    // The left half and the right half.
    for (name, left) in [("m.png", 0), ("n.png", 60)] {
        let graph = format!("color=black:120x90,drawbox=x={left}:w=60:c=white:t=fill,format=gray");
        let made = std::process::Command::new("ffmpeg")
            .args([
                "-hide_banner",
                "-loglevel",
                "error",
                "-f",
                "lavfi",
                "-i",
                &graph,
            ])
            .args(["-frames:v", "1"])
            .arg(work.path(name))
            .status();
        assert!(made.unwrap().success());
    }
    let run = |line: &str| work.run(&line.split(' ').collect::<Vec<_>>());
    let read = |name: &str| -> Json { serde_json::from_slice(&work.bytes(name)).unwrap() };
    for (mode, option, measure) in [
        ("--mode fill", "--matte", "outside"),
        ("--frames 1001-1060", "--hold-out", "kept"),
    ] {
        std::fs::rename(work.path("m.png"), work.path("first.png")).unwrap();
        work.generate(&format!(
            "--plate {plate} {mode} {option} first.png --out o/o.####.png"
        ));
        std::fs::rename(work.path("first.png"), work.path("m.png")).unwrap();
        // One of the frames stands for all of them.
        let report = "report o/o.1002.png --report r.json";
        let out = run(report);
        assert_eq!(out.code, 2, "{}", out.stderr);
        for words in ["first.png, is not there", &format!("{option} FILE")] {
            assert!(out.stderr.contains(words), "{words}: {}", out.stderr);
        }
        let out = run(&format!("{report} {option} n.png"));
        assert_eq!(out.code, 2, "{}", out.stderr);
        let words = format!(
            "are others than those that it was made from: name the right ones with {option}"
        );
        assert!(out.stderr.contains(&words), "{}", out.stderr);
        let out = run(&format!("{report} {option} m.png"));
        assert_eq!(out.code, 0, "{}", out.stderr);
        let told = read("r.json");
        assert_eq!(told["titles"]["sequence"], "o/o.####.png");
        assert_eq!(told["measures"][measure], 0.0, "{mode}");
        assert_eq!(told["missing"], serde_json::json!([]));
    }
    // A take without one is no take with one.
    let why = |line: &str| {
        let out = run(&format!("{line} --plate {plate} --report r.json"));
        assert_eq!(out.code, 0, "{line}: {}", out.stderr);
        read("r.json")["missing"].to_string()
    };
    let told = why("report o/o.####.png --region1-matte m.png");
    assert!(told.contains("made without region1Matte"), "{told}");
    // Of a sequence made elsewhere the matte tells what was to be left alone.
    let told = why(&format!("report {plate} --matte m.png"));
    assert!(!told.contains("outside"), "{told}");
    assert_eq!(read("r.json")["measures"]["outside"], 0.0);
    assert_eq!(read("r.json")["titles"]["matte"], "m.png");
}

#[test]
fn the_store_is_told_used_and_cleared() {
    let work = Work::new();
    let line = format!("--plate {} --frames 1001-1060 --json", plate());
    let reads = |out: &str| {
        let out = work.generate(&format!("{line} --out {out}/o.####.png"));
        let steps = out.events_of("progress");
        steps.iter().any(|s| s["stage"] == "Reading the plate")
    };
    assert!(reads("a"), "the plate is studied");
    assert!(!reads("b"), "and not a second time");
    // What was learned, and what was decided.
    let told = work.run(&["store"]).stdout;
    assert!(told.contains("holds 2 entries"), "{told}");
    let told = &work.run(&["store", "--json"]).events_of("store")[0];
    assert_eq!(
        (&told["entries"], &told["cleared"]),
        (&2.into(), &false.into())
    );
    assert!(told["bytes"].as_u64() > Some(0) && told["most"].as_u64() > told["bytes"].as_u64());
    assert!(work.run(&["store", "--clear"]).stdout.contains("held 2"));
    assert!(work.run(&["store"]).stdout.contains("holds 0 entries"));
    assert!(reads("c"), "after which it is studied again");
}

#[test]
fn without_ffmpeg_the_preview_is_another_file_and_that_is_said() {
    let work = Work::new();
    let line = format!("generate --plate {} --frames 1001-1052 --plans 1", plate());
    let line = format!("{line} --out o/o.####.png --preview look.mp4 --json");
    let mut command = work.command(&line.split(' ').collect::<Vec<_>>());
    let output = command.env("PATH", work.path("empty")).output().unwrap();
    assert!(output.status.success());
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.lines()
            .any(|l| l.contains("\"warning\"") && l.contains("animated PNG, look.png")),
        "{told}"
    );
    assert!(work.path("look.png").exists() && !work.path("look.mp4").exists());
}
