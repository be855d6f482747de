//! Quality on texture plates, side by side with what else could be done:
//! `cargo bench --bench quality -- --plates ../shared/plates`.

mod footage;

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};
use footage::Clip;
use longtake::device::{Cancel, Silent, Task};
use longtake::sequence::report::{Measures, Subject, report};

fn command() -> Command {
    Command::new("quality")
        .arg(
            Arg::new("raw")
                .long("raw")
                .num_args(2)
                .value_names(["FOLDER", "NAME"])
                .help(
                    "Measure raw arrays instead and print the measures as JSON: a folder with \
                     NAME.json (shape, plate, fps, keep), NAME.f32, NAME.i16 and PLATE.plate.f32, \
                     where NAME is PLATE.METHOD",
                ),
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
    let keep = facts["keep"].as_i64().unwrap_or(0) as i32;
    let mut output = Clip::raw(&at(format!("{name}.f32")), shape("shape"), fps)?;
    let plate_name = name.split('.').next().unwrap_or(name);
    let mut plate = Clip::raw(&at(format!("{plate_name}.plate.f32")), shape("plate"), fps)?;
    let bytes = std::fs::read(at(format!("{name}.i16"))).map_err(|e| e.to_string())?;
    let source: Vec<i32> = bytes
        .chunks_exact(2)
        .map(|b| i32::from(i16::from_le_bytes([b[0], b[1]])))
        .collect();
    let map = |frame: i32, w: usize, h: usize| {
        let i = (frame - 1) as usize * w * h;
        source[i..i + w * h].to_vec()
    };
    let measures = measure(
        &mut output,
        &mut plate,
        &|f| (f <= keep).then_some(f),
        false,
        Some(&map),
    )?;
    println!(
        "{}",
        serde_json::to_string_pretty(&measures).map_err(|e| e.to_string())?
    );
    Ok(())
}

fn measure(
    output: &mut Clip,
    plate: &mut Clip,
    kept: &dyn Fn(i32) -> Option<i32>,
    closed: bool,
    source: Option<longtake::sequence::report::SourceMap<'_>>,
) -> Result<Measures, String> {
    let cancel = Cancel::default();
    let task = Task {
        cancel: &cancel,
        progress: &Silent,
    };
    let mut subject = Subject {
        output,
        plate: Some(plate),
        matte: None,
        kept,
        closed,
        source,
    };
    report(&mut subject, task)
        .map(|r| r.measures)
        .map_err(|e| e.to_string())
}
