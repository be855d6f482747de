//! `longtake generate --engine wan`: from a prompt to latents and frames.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;
use clap::builder::PathBufValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use longtake::device::{Cancel, Task};
use longtake::engine::wan::colour::DisplaySpace;
use longtake::engine::wan::generate::{GenerateError, Request, TextToVideo};
use longtake::engine::wan::pipeline::PipelineError;
use longtake::engine::wan::text::TextError;
use longtake::engine::wan::vae::{Piece, Tiling, VaeError};
use longtake::frame::{
    FrameError, FrameHeader, FrameRange, PlateInfo, SequenceWriter, Transfer, WriteOptions,
};
use longtake::job::{JobError, Kind};
use longtake::sampler::Guidance;
use serde_json::json;

use crate::exit;
use crate::show::Show;

/// Whether `arguments` ask for this engine.
pub fn is_asked(arguments: &[String]) -> bool {
    let pairs = arguments.windows(2);
    arguments.get(1).is_some_and(|a| a == "generate")
        && (pairs.clone().any(|p| p[0] == "--engine" && p[1] == "wan")
            || arguments.iter().any(|a| a == "--engine=wan"))
}

/// The command line, in place of the plate engine's.
pub fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let file = |name, help| option(name, "FILE", help).value_parser(PathBufValueParser::new());
    let number = |name, help: &'static str, default: &'static str| {
        let arg = option(name, "X", help).default_value(default);
        arg.value_parser(value_parser!(f64))
    };
    Command::new("longtake").subcommand_required(true).subcommand(
        Command::new("generate")
            .about("Makes frames from a prompt with a text-to-video model of the Wan family")
            .after_long_help(exit::help())
            .arg(option("engine", "wan", "This engine").required(true))
            .arg(
                option("model", "FOLDER", "A whole diffusers folder")
                    .value_parser(PathBufValueParser::new())
                    .required(true),
            )
            .arg(option("prompt", "TEXT", "What is to be seen").required(true))
            .arg(option("negative-prompt", "TEXT", "What is not").default_value(""))
            .arg(
                option("size", "WxH", "Width and height in pixels; any, what is between is cropped")
                    .default_value("832x480"),
            )
            .arg(option("frames", "FIRST-LAST", "Their numbers").default_value("1-81"))
            .arg(
                option("steps", "N", "Number of steps")
                    .default_value("30")
                    .value_parser(value_parser!(usize)),
            )
            .arg(number("guidance", "How strongly the prompt counts; 1 for not at all", "5"))
            .arg(number(
                "guidance-until",
                "Part of the steps that is guided; below 1 the last ones take half the time",
                "1",
            ))
            .arg(
                option("seed", "N", "What the noise is drawn from")
                    .default_value("0")
                    .value_parser(value_parser!(u64)),
            )
            .arg(
                option("cache", "X", "EasyCache's threshold, such as .05; without it every step is computed")
                    .value_parser(value_parser!(f64)),
            )
            .arg(file(
                "latents",
                "Noise to start from instead of the seed's: one f32 tensor 'latents', [1, C, T, h, w]",
            ))
            .arg(file("save-latents", "Where the latents made are written, as such a file"))
            .arg(file(
                "out",
                "Where frames are written: f.####.exr (scene-linear) or f.####.png",
            ))
            .arg(
                Arg::new("json")
                    .long("json")
                    .action(ArgAction::SetTrue)
                    .help("Print a JSON object a line: progress and result"),
            ),
    )
}

/// Carries the command out.
pub fn run(show: &Show, matches: &ArgMatches, cancel: &Cancel) -> Result<(), JobError> {
    let began = Instant::now();
    let task = Task {
        cancel,
        progress: show,
    };
    let path = |name: &str| matches.get_one::<PathBuf>(name);
    let (out, save) = (path("out"), path("save-latents"));
    if out.is_none() && save.is_none() {
        return Err(usage(
            "name what is to be written: --out, --save-latents or both",
        ));
    }
    let range = range(matches)?;
    let request = request(matches, range)?;
    let folder = path("model").ok_or_else(|| usage("name the model: --model FOLDER"))?;
    // Whatever can be told is told before long work begins.
    let model = TextToVideo::open(folder).map_err(told)?;
    model.latent_shape(&request).map_err(told)?;
    let writer = out
        .map(|out| writer(out, request.size, range))
        .transpose()?;
    let made = model.latents(&request, task).map_err(told)?;
    if let Some(save) = save {
        save_latents(save, &made.latents)?;
    }
    let mut failed = None;
    if let Some(writer) = &writer {
        let space = DisplaySpace::new(Transfer::Linear, 1.0);
        let [width, height] = request.size;
        let mut take = |piece: Piece| {
            let frame = i32::try_from(piece.frame).map(|i| range.first.saturating_add(i));
            let Some(frame) = frame.ok().filter(|f| range.contains(*f)) else {
                return;
            };
            let picture = space.picture(&piece.pixels.crop(0..height, 0..width));
            if failed.is_none() {
                failed = writer.write(frame, &Arc::new(picture)).err();
            }
        };
        let decoded = model.decode(&made.latents, Tiling::Whole, task, &mut take);
        decoded.map_err(told)?;
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    let seconds = began.elapsed().as_secs_f64();
    let frames = writer.as_ref().map_or(0, |_| range.count());
    let cached = made.cached;
    let event = json!({
        "event": "done",
        "frames": frames,
        "latents": made.latents.dims(),
        "seconds": seconds,
        "cached_steps": cached.map(|(steps, _)| steps),
        "cache_error": cached.map(|(_, error)| error),
    });
    show.clear();
    show.result(&event, || {
        let cache = cached.map_or_else(String::new, |(steps, error)| {
            format!("; {steps} steps were not computed, at an estimated error of {error:.3}")
        });
        format!("done in {seconds:.1} s: {frames} frames{cache}")
    });
    Ok(())
}

fn usage(text: impl Into<String>) -> JobError {
    JobError::new(Kind::Usage, text.into())
}

fn range(matches: &ArgMatches) -> Result<FrameRange, JobError> {
    let text = matches.get_one::<String>("frames").map_or("", |t| t);
    let ends = text.split_once('-').map(|(a, b)| (a.parse(), b.parse()));
    match ends {
        Some((Ok(first), Ok(last))) => FrameRange::new(first, last),
        _ => None,
    }
    .ok_or_else(|| usage(format!("--frames is '{text}'; write it as in 1001-1081")))
}

fn request(matches: &ArgMatches, range: FrameRange) -> Result<Request, JobError> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let number = |name: &str| matches.get_one::<f64>(name).copied().unwrap_or_default();
    let size = text("size");
    let sides = size.split_once('x').map(|(w, h)| (w.parse(), h.parse()));
    let Some((Ok(width), Ok(height))) = sides else {
        return Err(usage(format!("--size is '{size}'; write it as in 832x480")));
    };
    let most = 1 << 15;
    if width > most || height > most {
        return Err(usage(format!("--size is '{size}'; {most} is the most")));
    }
    let (scale, until) = (number("guidance"), number("guidance-until"));
    if !(0.0..=100.0).contains(&scale) || !(0.0..=1.0).contains(&until) {
        return Err(usage("--guidance is 0 to 100, --guidance-until 0 to 1"));
    }
    let noise = matches.get_one::<PathBuf>("latents");
    Ok(Request {
        prompt: text("prompt"),
        negative: text("negative-prompt"),
        size: [width, height],
        frames: range.count(),
        steps: matches.get_one::<usize>("steps").copied().unwrap_or(30),
        guidance: Guidance {
            scale,
            scale_low: None,
            until,
        },
        seed: matches.get_one::<u64>("seed").copied().unwrap_or(0),
        noise: noise.map(|path| read_latents(path)).transpose()?,
        cache: matches.get_one::<f64>("cache").copied(),
    })
}

fn read_latents(path: &Path) -> Result<Tensor, JobError> {
    let refuse = |why: String| {
        let text = format!("{} cannot be read as latents: {why}", path.display());
        JobError::new(Kind::Unreadable, text)
    };
    let bytes = std::fs::read(path).map_err(|e| refuse(e.to_string()))?;
    let found = candle_core::safetensors::load_buffer(&bytes, &candle_core::Device::Cpu);
    let found = found.map_err(|e| {
        let text = e.to_string();
        refuse(text.lines().next().unwrap_or_default().to_owned())
    })?;
    let latents = found.get("latents").cloned();
    latents.ok_or_else(|| refuse("it has no tensor 'latents'".to_owned()))
}

/// The whole file or none.
fn save_latents(path: &Path, latents: &Tensor) -> Result<(), JobError> {
    let part = path.with_extension("part");
    let refuse = |why: String| {
        let text = format!("{} cannot be written: {why}", path.display());
        JobError::new(Kind::Output, text)
    };
    let file = HashMap::from([("latents", latents.clone())]);
    candle_core::safetensors::save(&file, &part).map_err(|e| refuse(e.to_string()))?;
    std::fs::rename(&part, path).map_err(|e| refuse(e.to_string()))
}

fn writer(out: &Path, size: [usize; 2], range: FrameRange) -> Result<SequenceWriter, JobError> {
    let [width, height] = size;
    let header = FrameHeader::new(&PlateInfo {
        range,
        width,
        height,
        full_size: (width, height),
        channels: ["R", "G", "B"].map(str::to_owned).to_vec(),
        // The rate that the models were trained at.
        fps: 16.0,
        transfer: Transfer::Linear,
        pixel_aspect: 1.0,
    });
    let writer = SequenceWriter::new(out, header, WriteOptions::default());
    writer.map_err(|e: FrameError| e.into())
}

fn told(error: GenerateError) -> JobError {
    let kind = match &error {
        GenerateError::Pipeline(PipelineError::Cancelled(_))
        | GenerateError::Text(TextError::Cancelled(_))
        | GenerateError::Vae(VaeError::Cancelled(_)) => Kind::Cancelled,
        GenerateError::Request(_) | GenerateError::Text(TextError::Prompt(_)) => Kind::Usage,
        GenerateError::Pipeline(_) => Kind::Internal,
        _ => Kind::Unreadable,
    };
    JobError::new(kind, error.to_string())
}
