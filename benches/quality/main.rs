//! Quality on texture plates, side by side with what else could be done:
//! `cargo bench --bench quality -- --plates ../shared/plates`.

mod baselines;
mod engine;
mod footage;
mod maxflow;
mod method;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Arg, ArgAction, Command};
use footage::{Case, Clip, cases};
use longtake::engine::plate::Settings;
use longtake::frame::Picture;
use longtake::sequence::Mode;
use method::Made;
use table::{Row, head, summary};

/// Methods in the order of the table.
const METHODS: [&str; 6] = [
    "dissolve",
    "textures",
    "graph-cut",
    "longtake",
    "longtake-safe",
    "longtake-loop",
];

fn command() -> Command {
    let list = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .value_delimiter(',')
            .action(ArgAction::Append)
    };
    Command::new("quality")
        .arg(
            Arg::new("plates")
                .long("plates")
                .value_name("FOLDER")
                .help("Folder with the plates"),
        )
        .arg(list("only").help("Names of the plates to measure; all if not given"))
        .arg(
            list("method")
                .value_parser(METHODS)
                .help("Methods to measure; all if not given"),
        )
        .arg(
            list("clip")
                .value_name("FILE@FPS")
                .help("Other footage to measure instead of the five plates: its first 3 s"),
        )
        .arg(
            Arg::new("seeds")
                .long("seeds")
                .value_parser(clap::value_parser!(u64))
                .default_value("3")
                .help("How many seeds"),
        )
        .arg(
            Arg::new("plans")
                .long("plans")
                .value_parser(clap::value_parser!(u32))
                .default_value("6")
                .help("Plans of a take, of which the best is kept"),
        )
        .arg(
            Arg::new("no-warp")
                .long("no-warp")
                .action(ArgAction::SetTrue)
                .help("Our engine without warped cuts"),
        )
        .arg(
            Arg::new("no-low-band")
                .long("no-low-band")
                .action(ArgAction::SetTrue)
                .help("Our engine without a shared low band"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .value_name("FILE")
                .help("Writes all rows as JSON"),
        )
        .arg(
            Arg::new("pictures")
                .long("pictures")
                .value_name("FOLDER")
                .help("Leaves a page and a movie of every sequence in FOLDER"),
        )
        .arg(
            Arg::new("raw")
                .long("raw")
                .num_args(2)
                .value_names(["FOLDER", "NAME"])
                .help(
                    "Measures raw arrays instead and prints the measures as JSON: a folder with \
                     NAME.json (shape, plate, fps, keep), NAME.f32, NAME.i16 and PLATE.plate.f32, \
                     where NAME is PLATE.METHOD",
                ),
        )
        .arg(
            Arg::new("cut")
                .long("cut")
                .num_args(4)
                .value_names(["FILE", "COLS", "ROWS", "DEPTH"])
                .help("Cuts a raw volume of 32-bit costs instead and prints the cut's capacity"),
        )
        .arg(
            Arg::new("bench")
                .long("bench")
                .hide(true)
                .action(ArgAction::SetTrue),
        )
}

fn main() -> Result<(), String> {
    let options = command().get_matches();
    if let Some(mut raw) = options.get_many::<String>("raw")
        && let (Some(folder), Some(name)) = (raw.next(), raw.next())
    {
        return measure_raw(folder, name);
    }
    if let Some(mut cut) = options.get_many::<String>("cut")
        && let Some(file) = cut.next()
    {
        let sides: Vec<usize> = cut.filter_map(|s| s.parse().ok()).collect();
        return cut_raw(file, &sides);
    }
    let Some(plates) = options.get_one::<String>("plates") else {
        println!("Give the folder with the plates: --plates FOLDER");
        return Ok(());
    };
    let strings = |name: &str| -> Option<Vec<String>> {
        options
            .get_many::<String>(name)
            .map(|v| v.cloned().collect())
    };
    let only = strings("only");
    let methods = strings("method").unwrap_or_else(|| METHODS.map(str::to_owned).to_vec());
    let seeds = options.get_one::<u64>("seeds").copied().unwrap_or(3);
    let plans = options.get_one::<u32>("plans").copied().unwrap_or(6);
    let cases: Vec<Case> = match strings("clip") {
        Some(clips) => clips
            .iter()
            .map(|c| Case::other(c))
            .collect::<Result<_, _>>()?,
        None => cases()
            .into_iter()
            .filter(|c| only.as_ref().is_none_or(|o| o.contains(&c.name)))
            .collect(),
    };
    let pictures = options.get_one::<String>("pictures").map(PathBuf::from);
    if let Some(folder) = &pictures {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    println!("{}", head());
    let mut rows: Vec<Row> = Vec::new();
    for case in &cases {
        let plate = Clip::load(case, &PathBuf::from(plates))?;
        // Where the camera moves, what compositors do by hand is done for the
        // others too: they are given the plate steadied, and measured against it.
        let still = engine::at_rest(&plate)?;
        let keep = case.fps.round() as usize;
        let frames = (10.0 * case.fps).round() as usize;
        for method in &methods {
            for seed in 0..seeds {
                let settings = |novelty: Option<f64>| Settings {
                    seed,
                    plans,
                    novelty: novelty.unwrap_or(Settings::default().novelty),
                    warp: !options.get_flag("no-warp"),
                    low_band: !options.get_flag("no-low-band"),
                    ..Settings::default()
                };
                let mut made = match method.as_str() {
                    "dissolve" if seed > 0 => continue,
                    "dissolve" => Ok(baselines::dissolve(&still, frames)),
                    "textures" => baselines::textures(&still, frames, keep, &settings(Some(0.0))),
                    "graph-cut" => baselines::graph_cut(&still, frames, keep, &settings(Some(0.0))),
                    "longtake" => engine::make(&plate, Mode::Extend, frames, keep, settings(None)),
                    "longtake-safe" => {
                        engine::make(&plate, Mode::Extend, frames, keep, settings(Some(0.0)))
                    }
                    "longtake-loop" => {
                        engine::make(&plate, Mode::Loop, frames / 2, 0, settings(None))
                    }
                    other => Err(format!("there is no method {other}")),
                }?;
                let name = format!("{}-{method}-{seed}", case.name);
                let picture = pictures.as_ref().map(|p| p.join(name));
                let ours = method.starts_with("longtake");
                let from = if ours { &plate } else { &still };
                let report = made.measure(from, picture.as_deref())?;
                let pixels = plate.info.width * plate.info.height;
                let megapixels = ((made.clip.frames.len() - made.kept) * pixels) as f64 / 1e6;
                let row = Row {
                    plate: case.name.clone(),
                    method: method.clone(),
                    seed,
                    measures: report.measures,
                    seconds_per_megapixel: made.seconds / megapixels,
                    camera_moves: case.camera_moves,
                    copy_at_most: novelty_limit(&rows, &case.name, method),
                };
                println!("{}", row.line());
                rows.push(row);
            }
        }
    }
    if only.as_ref().is_none_or(|o| o.iter().any(|n| n == "boat")) {
        fill(&PathBuf::from(plates), seeds, plans)?;
    }
    println!(
        "\nMeans; x2 after a value: two seeds fail its limit\n{}",
        head()
    );
    print!("{}", summary(&rows));
    if let Some(path) = options.get_one::<String>("json") {
        let text = serde_json::to_string_pretty(&rows).map_err(|e| e.to_string())?;
        std::fs::write(path, text).map_err(|e| format!("{path}: {e}"))?;
    }
    Ok(())
}

/// Fills the boat's matte and tells what is outside of it.
fn fill(plates: &Path, seeds: u64, plans: u32) -> Result<(), String> {
    let clip = |file: &str| {
        let case = Case {
            frames: 150,
            ..Case::other(&format!("{file}@25"))?
        };
        Clip::load(&case, plates)
    };
    if !plates.join("boat-matte.mp4").exists() {
        return Ok(());
    }
    let plate = clip("boat.mp4")?;
    let mut matte = clip("boat-matte.mp4")?;
    matte.info.channels = vec!["A".to_owned()];
    for frame in &mut matte.frames {
        // Compression leaves traces: half of white and more is the matte.
        let data = frame
            .data()
            .chunks_exact(3)
            .map(|p| f32::from(u8::from(p[0] > 0.5)))
            .collect();
        let (w, h) = (frame.width(), frame.height());
        *frame = Picture::from_data(w, h, 1, data)
            .map(Arc::new)
            .ok_or("an odd matte")?;
    }
    for seed in 0..seeds {
        let settings = Settings {
            seed,
            plans,
            ..Settings::default()
        };
        let (outside, changed) = engine::fill(&plate, &matte, settings)?;
        println!(
            "boat     fill                 {seed:>3}  largest difference outside the matte {outside}, \
             share of matted samples that differ {changed:.4}"
        );
    }
    Ok(())
}

/// The novelty that is asked of our engine at its default: three quarters of
/// what the graph cut copies on that plate, mean over seeds.
fn novelty_limit(rows: &[Row], plate: &str, method: &str) -> Option<f64> {
    let copies: Vec<f64> = rows
        .iter()
        .filter(|r| r.plate == plate && r.method == "graph-cut")
        .filter_map(|r| r.measures.copy)
        .collect();
    let mean = copies.iter().sum::<f64>() / copies.len().max(1) as f64;
    (method == "longtake" && !copies.is_empty()).then_some(0.75 * mean)
}

fn cut_raw(file: &str, sides: &[usize]) -> Result<(), String> {
    let [cols, rows, depth] = sides else {
        return Err("write FILE COLS ROWS DEPTH".to_owned());
    };
    let bytes = std::fs::read(file).map_err(|e| format!("{file}: {e}"))?;
    let cost: Vec<i32> = bytes
        .chunks_exact(4)
        .map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    if cost.len() != cols * rows * depth {
        return Err(format!("{file} is not of that size"));
    }
    println!("{}", baselines::cut(&cost, *cols, *rows, *depth).0);
    Ok(())
}

fn measure_raw(folder: &str, name: &str) -> Result<(), String> {
    let at = |name: String| PathBuf::from(folder).join(name);
    let text = std::fs::read_to_string(at(format!("{name}.json"))).map_err(|e| e.to_string())?;
    let facts: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let shape = |key: &str| -> [usize; 4] {
        std::array::from_fn(|i| facts[key][i].as_u64().unwrap_or(0) as usize)
    };
    let fps = facts["fps"].as_f64().unwrap_or(25.0);
    let keep = facts["keep"].as_u64().unwrap_or(0) as usize;
    let output = Clip::raw(&at(format!("{name}.f32")), shape("shape"), fps)?;
    let plate_name = name.split('.').next().unwrap_or(name);
    let plate = Clip::raw(&at(format!("{plate_name}.plate.f32")), shape("plate"), fps)?;
    let bytes = std::fs::read(at(format!("{name}.i16"))).map_err(|e| e.to_string())?;
    let source: Vec<i32> = bytes
        .chunks_exact(2)
        .map(|b| i32::from(i16::from_le_bytes([b[0], b[1]])))
        .collect();
    let pixels = plate.info.width * plate.info.height;
    let mut made = Made {
        clip: output,
        source: Some(source.chunks_exact(pixels).map(<[i32]>::to_vec).collect()),
        kept: keep,
        closed: false,
        camera: None,
        seconds: 0.0,
    };
    let measures = made.measure(&plate, None)?.measures;
    println!(
        "{}",
        serde_json::to_string_pretty(&measures).map_err(|e| e.to_string())?
    );
    Ok(())
}
