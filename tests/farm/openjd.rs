//! Job bundles, checked and run by the public tools of Open Job Description.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::tools::{alone, assert_same_frames, run, submit, tool, words};
use crate::work::{Work, copied_plate};

/// The values of the bundle's parameters as the tool takes them. It reads one
/// object; the bundle's layout, Deadline Cloud's, has a list.
fn parameters(work: &Work) -> String {
    let python = tool("python").unwrap();
    let script = "import json, sys, yaml
values = yaml.safe_load(open(sys.argv[1]))['parameterValues']
print(json.dumps({p['name']: p['value'] for p in values}))";
    let out = run(work, &python, &["-c", script, "b/parameter_values.yaml"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    std::fs::write(work.path("values.json"), out.stdout).unwrap();
    "file://values.json".to_owned()
}

fn openjd(work: &Work, openjd: &Path, more: &[&str]) -> crate::work::Outcome {
    let values = parameters(work);
    let words = ["run", "b/template.yaml", "-p", &values];
    run(work, openjd, &[&words[..], more].concat())
}

#[test]
fn a_bundle_shows_the_nodes_parameters_and_passes_the_checks() {
    let work = Work::new();
    let Some(check) = tool("openjd") else { return };
    let event = submit(&work, "openjd", "b", "--report o/report.json --warp off");
    let names: Vec<&str> = event["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f.as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "b/template.yaml",
            "b/parameter_values.yaml",
            "b/asset_references.yaml"
        ]
    );
    let out = run(&work, &check, &["check", "b/template.yaml"]);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);

    // What AWS Deadline Cloud would show, from all three files.
    let deadline = tool("deadline").unwrap();
    let out = run(
        &work,
        &deadline,
        &["bundle", "info", "b", "--output", "json"],
    );
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    let info: Json = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!(
        info["steps"],
        serde_json::json!(["analysis", "edit-list", "frames", "report"])
    );
    let parameter = |name: &str| {
        let all = info["parameters"].as_array().unwrap();
        all.iter().find(|p| p["name"] == name).unwrap().clone()
    };
    let schema: Json = serde_json::from_str(&work.run(&["schema"]).stdout).unwrap();
    for name in ["seed", "novelty", "mode", "frames", "plate"] {
        let (shown, told) = (parameter(name), &schema["properties"][name]);
        assert_eq!(shown["userInterface"]["label"], told["title"], "{name}");
        assert_eq!(shown["description"], told["description"], "{name}");
        assert_eq!(shown["minValue"], told["minimum"], "{name}");
        assert_eq!(shown["allowedValues"], told["enum"], "{name}");
    }
    assert_eq!(parameter("warp")["_display_value"], "off");
    assert_eq!(parameter("frames")["_display_value"], "1001-1060");
    // Its mode does not use it.
    assert!(!out.stdout.contains("\"matte\""));
    assert!(
        parameter("plate")["_display_value"]
            .as_str()
            .unwrap()
            .ends_with("plate.####.png")
    );

    // What machines need: a movie is decoded to a file, a GPU only where one is asked for.
    let template = |folder: &str, more: &str| {
        submit(&work, "openjd", folder, more);
        let path = format!("{folder}/template.yaml");
        let out = run(&work, &check, &["check", &path]);
        assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
        String::from_utf8(work.bytes(&path)).unwrap()
    };
    let plain = template("plain", "");
    for (name, there) in [
        ("vcpu", true),
        ("memory", true),
        ("gpu", false),
        ("gpu.memory", false),
        ("disk.scratch", false),
    ] {
        assert_eq!(
            plain.contains(&format!("amount.worker.{name}\n")),
            there,
            "{name}"
        );
    }
    let movie = format!(
        "--frames 1-120 --device gpu --threads 4 --plate {}",
        crate::work::FOOTAGE
    );
    let movie = template("movie", &movie);
    for told in [
        "gpu\n      min: 1",
        // A GiB and 19 pictures of 480 x 360 and three channels in float.
        "gpu.memory\n      min: 1062",
        "disk.scratch\n      min: 1",
        "vcpu\n      min: 4",
    ] {
        assert!(
            movie.contains(&format!("amount.worker.{told}")),
            "{told}: {movie}"
        );
    }

    let assets = String::from_utf8(work.bytes("b/asset_references.yaml")).unwrap();
    assert_eq!(
        assets.matches("plate.10").count(),
        48,
        "every frame of the plate"
    );
}

#[test]
fn workers_on_one_store_make_what_one_process_makes() {
    let work = Work::new();
    let Some(cli) = tool("openjd") else { return };
    submit(&work, "openjd", "b", "");
    let values = parameters(&work);
    for step in ["analysis", "edit-list"] {
        let out = openjd(&work, &cli, &["--step", step]);
        assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    }
    // Two workers with chunks of their own and one that both make.
    let workers: Vec<_> = [["1001-1016", "1033-1048"], ["1017-1040", "1049-1060"]]
        .into_iter()
        .map(|chunks| {
            let tasks: Vec<Json> = chunks
                .iter()
                .map(|c| serde_json::json!({ "Frame": c }))
                .collect();
            Command::new(&cli)
                .args(["run", "b/template.yaml", "-p", &values, "--step", "frames"])
                .args(["--no-run-dependencies", "--tasks"])
                .arg(Json::from(tasks).to_string())
                .current_dir(work.path(""))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for worker in workers {
        let out = worker.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{text}");
        assert!(text.contains("openjd_progress: 100"), "{text}");
        assert!(text.contains("openjd_status: Making frames"), "{text}");
    }
    assert_same_frames(&work, &alone(""));
}

#[test]
fn a_part_with_steps_is_made_by_the_whole_graph() {
    let work = Work::new();
    let Some(cli) = tool("openjd") else { return };
    // The format writes a step after a colon; with an x a job cannot be made.
    submit(&work, "openjd", "b", "--only 1001-1050x7,1055");
    let values = String::from_utf8(work.bytes("b/parameter_values.yaml")).unwrap();
    assert!(values.contains("1001-1050:7,1055"), "{values}");
    let out = openjd(&work, &cli, &["--step", "frames", "--run-dependencies"]);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    let made = [1001, 1008, 1015, 1022, 1029, 1036, 1043, 1050, 1055];
    assert_eq!(work.files("o"), made.map(|f| format!("o.{f}.exr")));
    let whole = alone("");
    for name in work.files("o") {
        let name = format!("o/{name}");
        assert!(work.bytes(&name) == whole.bytes(&name), "{name}");
    }
}

#[test]
fn parameters_can_be_changed_where_the_job_is_submitted() {
    let work = Work::new();
    let Some(cli) = tool("openjd") else { return };
    submit(&work, "openjd", "b", "");
    let out = openjd(
        &work,
        &cli,
        &[
            "-p",
            "seed=4",
            "-p",
            "frames=1001-1052",
            "--step",
            "frames",
            "--run-dependencies",
        ],
    );
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    let whole = alone("--seed 4 --frames 1001-1052");
    assert_same_frames(&work, &whole);
}

#[cfg(unix)]
#[test]
fn cancelling_leaves_the_store_clean_and_running_again_continues() {
    let work = Work::new();
    let Some(cli) = tool("openjd") else { return };
    submit(
        &work,
        "openjd",
        "b",
        "--frames 1001-1240 --block-frames 240",
    );
    let values = parameters(&work);
    let words = ["run", "b/template.yaml", "-p", &values, "--step", "frames"];
    let mut child = Command::new(&cli)
        .args(words)
        .arg("--run-dependencies")
        // Else lines come a page at a time, when the work is done.
        .env("PYTHONUNBUFFERED", "1")
        .current_dir(work.path(""))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = String::new();
    let is_work = |line: &str| line.contains("openjd_status: Making frames");
    for line in lines.by_ref() {
        let line = line.unwrap();
        text += &(line.clone() + "\n");
        if is_work(&line) {
            break;
        }
    }
    let id = child.id().to_string();
    // What the tool takes for "cancel the session".
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    text.extend(lines.map(|l| l.unwrap() + "\n"));
    assert!(!child.wait().unwrap().success(), "{text}");
    assert!(text.contains("openjd_fail: stopped as asked"), "{text}");
    let made = work.files("o");
    assert!(!made.is_empty() && made.len() < 240, "{}", made.len());
    assert!(made.iter().all(|n| n.starts_with("o.")), "{made:?}");
    assert!(work.files("store/tmp").is_empty());

    let out = openjd(&work, &cli, &["--step", "frames", "--run-dependencies"]);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    assert_eq!(work.files("o").len(), 240);
    let there = format!("{} were there already", made.len());
    assert!(out.stdout.contains(&there), "{there}: {}", out.stdout);
}

#[test]
fn a_shot_that_the_queue_carries_to_another_path_comes_to_the_same_bytes() {
    let work = Work::new();
    let Some(cli) = tool("openjd") else { return };
    let plate = copied_plate(&work, "shot/in");
    let line = format!("--plate {plate} --out shot/o/o.####.exr");
    let made = work.run(&[vec!["generate".to_owned()], words(&line)].concat());
    assert_eq!(made.code, 0, "{}", made.stderr);
    let names = work.files("shot/o");
    let alone: Vec<_> = names
        .into_iter()
        .map(|n| (n.clone(), work.bytes(&format!("shot/o/{n}"))))
        .collect();
    submit(&work, "openjd", "b", &format!("{line} --store shot/store"));
    // As job attachments do: under one root on the submitter's machine, under another
    // on the worker's.
    let (from, to) = (work.path("shot"), work.path("session/assets"));
    std::fs::create_dir_all(&to).unwrap();
    std::fs::rename(from.join("in"), to.join("in")).unwrap();
    std::fs::remove_dir_all(&from).unwrap();
    let rules = serde_json::json!({
        "version": "pathmapping-1.0",
        "path_mapping_rules": [{
            "source_path_format": "POSIX",
            "source_path": from,
            "destination_path": to,
        }]
    });
    std::fs::write(work.path("rules.json"), rules.to_string()).unwrap();
    let rules = ["--path-mapping-rules", "file://rules.json"];
    let step = ["--step", "frames", "--run-dependencies"];
    let out = openjd(&work, &cli, &[&rules[..], &step[..]].concat());
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    assert!(!from.exists(), "nothing was written to the old place");
    assert!(!work.files("session/assets/store").is_empty());
    assert_eq!(work.files("session/assets/o").len(), alone.len());
    for (name, bytes) in alone {
        let carried = work.bytes(&format!("session/assets/o/{name}"));
        assert!(carried == bytes, "{name}");
    }
}
