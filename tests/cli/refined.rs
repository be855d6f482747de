//! Takes that are refined in tiles, and what their report says of these.

use serde_json::Value as Json;

use crate::wan::model;
use crate::work::Work;

/// The take that is asked for, refined and in pieces of 6 × 4 tokens.
const TAKE: &str = "--engine wan --model model --prompt steam --steps 2 --guidance 1 \
                    --size 48x32 --frames 1-5 --threads 1 --json";

fn run(work: &Work, command: &str, more: &str) -> crate::work::Outcome {
    let words = std::iter::once(command).chain(TAKE.split_whitespace());
    let words: Vec<&str> = words.chain(more.split_whitespace()).collect();
    let out = work.run(&words);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    out
}

fn verdict(report: &Json) -> Option<&Json> {
    let verdicts = report["verdicts"].as_array().unwrap();
    verdicts.iter().find(|v| v["measure"] == "seam_tile_worst")
}

#[test]
fn the_plan_tells_where_tiles_meet_and_the_report_looks_there() {
    let work = Work::new();
    model(&work);
    let refined = "--refine 96x64 --out o/f.####.exr";
    let plan = run(&work, "plan", refined).events_of("plan")[0]["plan"].clone();
    let levels = plan["levels"].as_array().unwrap();
    for level in levels {
        let told = !level["tiles"].is_null();
        assert_eq!(told, level["name"] == "refinement", "{}", level["name"]);
    }
    let tiles = &levels.iter().find(|l| l["name"] == "refinement").unwrap()["tiles"];
    let pixels = |name: &str, length: f64| -> Vec<f64> {
        let parts = tiles[name].as_array().unwrap().iter();
        parts.map(|p| p.as_f64().unwrap() * length).collect()
    };
    // Tiles of 3 tokens at most, of 16 pixels, that share one: three across, two down.
    assert_eq!(pixels("columns", 96.), [32., 40., 48., 64., 72., 80.]);
    assert_eq!(pixels("rows", 64.), [32., 40., 48.]);

    let report = |more: &str| -> Json {
        run(
            &work,
            "generate",
            &format!("{more} --report r.json --page r.html"),
        );
        serde_json::from_slice(&work.bytes("r.json")).unwrap()
    };
    // At half the size, too: tiles meet in what is seen there.
    for more in ["", "--scale 1/2"] {
        let folder = if more.is_empty() { "o" } else { "half" };
        let told = report(&format!("--refine 96x64 {more} --out {folder}/f.####.exr"));
        let tile = told["measures"]["seam_tile"].as_f64().unwrap();
        assert!((tile - 1.).abs() < 0.3, "{tile}");
        assert!(verdict(&told).is_some());
        // The files alone tell that, too.
        let files = format!("{folder}/f.####.exr");
        let out = work.run(&["report", &files, "--report", "alone.json"]);
        assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
        let alone: Json = serde_json::from_slice(&work.bytes("alone.json")).unwrap();
        assert_eq!(
            alone["curves"]["tile_columns"],
            told["curves"]["tile_columns"]
        );
        let seen = alone["measures"]["seam_tile"].as_f64().unwrap();
        assert!((seen - tile).abs() < 0.01, "{seen} and {tile}");
        let page = String::from_utf8(work.bytes("r.html")).unwrap();
        assert!(page.contains("<td>seam_tile_worst</td>"));
    }
    // What is not refined has no tiles.
    let told = report("--out p/f.####.exr");
    assert!(told["measures"]["seam_tile"].is_null() && verdict(&told).is_none());
}
