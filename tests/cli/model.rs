//! `longtake model inspect`.

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
