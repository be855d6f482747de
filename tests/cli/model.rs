//! `longtake model inspect`.

use longtake::sequence::estimate::{Estimate, Needs};

use crate::work::Work;

fn fixture(name: &str) -> String {
    format!("{}/tests/wan/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn an_inspection_is_told_to_people_and_to_scripts() {
    let work = Work::new();
    let out = work.run(&["model", "inspect", &fixture("a14b")]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    for part in [
        "two experts",
        "transformer_2",
        "Euler, shift 5",
        "832 x 480",
        "frames at once: generate ",
    ] {
        assert!(out.stdout.contains(part), "{part}: {}", out.stdout);
    }
    let out = work.run(&["model", "inspect", &fixture("vace"), "--json"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let model = &out.events_of("model")[0]["model"];
    assert_eq!(model["complete"], true);
    assert_eq!(model["memory"][0]["tokens"], 21 * 52 * 30);
    // Each mode at each size: what needs most is in the sum.
    let modes = out.events_of("model")[0]["modes"].clone();
    let modes = modes.as_array().unwrap();
    assert_eq!(modes.len(), 2 * 7);
    for mode in modes {
        let number = |name: &str| mode[name].as_u64().unwrap();
        let parts = ["sampling", "encoding", "decoding"].map(number);
        assert!(
            parts.iter().all(|p| *p > 0 && *p <= number("most")),
            "{mode}"
        );
    }
    assert!(modes[7]["most"].as_u64() > modes[0]["most"].as_u64());
}

#[test]
fn a_plan_tells_of_a_gpu_what_the_inspection_does() {
    let work = Work::new();
    crate::wan::model(&work);
    let out = work.run(&["model", "inspect", "model", "--json"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let memory = out.events_of("model")[0]["model"]["memory"][0].clone();
    let take = "plan --estimate --engine wan --model model --prompt steam --size 832x480 \
                --frames 1-81 --out o/f.####.exr";
    let plan = |more: &[&str]| {
        let words: Vec<&str> = take
            .split_whitespace()
            .chain(more.iter().copied())
            .collect();
        let out = work.run(&words);
        assert_eq!(out.code, 0, "{}", out.stderr);
        out
    };
    let told =
        plan(&["--device", "gpu", "--json"]).events_of("plan")[0]["plan"]["estimate"].clone();
    let base = 1u64 << 30;
    for (here, there) in [
        ("gpu_memory", "on_gpu"),
        ("gpu_memory_least", "least_on_gpu"),
    ] {
        // And what the driver takes.
        let inspected = memory[there].as_u64().unwrap();
        assert_eq!(told[here].as_u64().unwrap(), base + inspected, "{here}");
    }
    // Of so small a model the two are one figure.
    assert_eq!(told["gpu_memory_least"], told["gpu_memory"]);
    let said = plan(&["--device", "gpu"]).stdout;
    assert!(said.contains("MB of the GPU's, at most"), "{said}");
    let cpu = plan(&["--json"]).events_of("plan")[0]["plan"]["estimate"].clone();
    assert!(cpu["gpu_memory"].is_null() && cpu["gpu_memory_least"].is_null());
    // Of a large one they are not.
    let large = Estimate {
        blocks: 6,
        time: None,
        threads: 2,
        needs: Needs {
            cpus: 1,
            gpus: 1,
            gpu_memory: Some(33_000_000_000),
            gpu_memory_least: Some(9_000_000_000),
            memory: None,
            scratch: 0,
            store: 0,
        },
    };
    let said = large.to_string();
    let both = "33000 MB of the GPU's (9000 MB at least, slower)";
    assert!(said.contains(both), "{said}");
}

#[test]
fn what_is_missing_is_told_by_name_with_an_exit_code() {
    let work = Work::new();
    let folder = work.path("model");
    std::fs::create_dir_all(&folder).unwrap();
    let from = fixture("t2v/transformer");
    let config = std::fs::read_to_string(format!("{from}/config.json")).unwrap();
    // A layer more than there are weights for.
    let config = config.replace("\"num_layers\": 2", "\"num_layers\": 3");
    std::fs::write(folder.join("config.json"), config).unwrap();
    let weights = "diffusion_pytorch_model.safetensors";
    std::fs::copy(format!("{from}/{weights}"), folder.join(weights)).unwrap();
    let out = work.run(&["model", "inspect", "model"]);
    assert_eq!(out.code, 3, "{}", out.stderr);
    assert!(out.stdout.contains("missing: blocks.2.ffn.net.2.weight"));
    assert!(out.stderr.contains("blocks.2."), "{}", out.stderr);
    let out = work.run(&["model", "inspect", "nowhere", "--json"]);
    assert_eq!(out.code, 4);
    assert!(out.stderr.contains("nowhere"), "{}", out.stderr);
}
