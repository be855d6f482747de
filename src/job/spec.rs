//! A job: its values gathered from a job file and a command line, and what they
//! come to.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::error::{JobError, Kind};
use super::options::options;
use super::report::Looks;
use crate::frame::{
    Compression, FilePlate, FrameError, FrameList, FrameListError, PlateOptions, Primaries,
};
use crate::manifest::{Manifest, ParamKind, Value, ValueError, Values};
use crate::sequence::{Colour, Mode, Setup, guide_colour};
use crate::store::DiskStore;

/// The values of a job while they are gathered; a later one takes the place of
/// an earlier one.
#[derive(Clone)]
pub struct Draft {
    options: &'static Manifest,
    values: Values,
    said: BTreeSet<String>,
}

/// What is to be made, from files to files.
#[derive(Clone, Debug)]
pub struct Job {
    /// The engine, the ranges and the store.
    pub setup: Setup,
    /// The plate: a sequence or a movie; empty where frames are made from nothing.
    pub plate: PathBuf,
    /// The clip to follow: a sequence or a movie.
    pub guide: Option<PathBuf>,
    /// Where the latents of a take are written.
    pub save_latents: Option<PathBuf>,
    /// The matte: a sequence or a movie.
    pub matte: Option<PathBuf>,
    /// How the plate is opened.
    pub options: PlateOptions,
    /// The pattern of the output files.
    pub out: PathBuf,
    /// The folder from which frames tell where the plate lies; `None` for their own.
    pub told_from: Option<PathBuf>,
    /// The frames of the take to write; `None` for all.
    pub only: Option<FrameList>,
    /// Sample type of EXR files: `auto`, `half`, `float`.
    pub pixel_type: String,
    /// Compression of EXR files.
    pub compression: Compression,
    /// EXR files in tiles.
    pub tiles: bool,
    /// What EXR files tell of their colours; `None` for what the plate's do.
    pub primaries: Option<Primaries>,
    /// The colour spaces that were named.
    pub colour: Option<Colour>,
    /// The output is the plate's size over this: 1, 2 or 4.
    pub reduce: u32,
    /// Frames in a block of the plan.
    pub block: usize,
    /// What does not fit the disk is refused before any work.
    pub check_space: bool,
    /// What shows the take to people and scripts.
    pub looks: Looks,
    /// Threads to work with; `None` for one each core.
    pub threads: Option<usize>,
    /// What was said that has no effect, a sentence each.
    pub idle: Vec<String>,
    /// The values that all this came from.
    pub values: Values,
}

/// What a report needs to know beside the sequence.
pub(super) struct Sight {
    pub plate: PathBuf,
    pub options: PlateOptions,
    pub colour: Option<Colour>,
    pub looks: Looks,
    pub memory: u64,
    pub threads: Option<usize>,
}

impl Draft {
    /// All defaults.
    ///
    /// # Errors
    /// Where the manifest is not well formed, which a test rules out.
    pub fn new() -> Result<Self, JobError> {
        let options = options().map_err(|e| JobError::new(Kind::Internal, e))?;
        Ok(Self {
            options,
            values: Values::default_of(options),
            said: BTreeSet::new(),
        })
    }

    /// Sets parameter `name`.
    ///
    /// # Errors
    /// Where there is no such parameter or it does not take `value`.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), ValueError> {
        if let Value::Range([a, b]) = value
            && a == b
        {
            return Err(ValueError {
                name: name.to_owned(),
                message: format!("{a}-{b} is a single frame; give a first and a later last one"),
            });
        }
        if let ("only" | "leaveOut", Value::Text(text)) = (name, &value) {
            frame_list(name, text)?;
        }
        self.values.set(self.options, name, value)?;
        self.said.insert(name.to_owned());
        Ok(())
    }

    /// What the values come to.
    ///
    /// # Errors
    /// Where something needed was not said.
    pub fn job(mut self) -> Result<Job, JobError> {
        let wan = self.values.text("engine") == "wan";
        if wan && !self.said.contains("mode") && self.values.text("plate").is_empty() {
            // A prompt without a plate asks for one thing only.
            self.set("mode", Value::Text(Mode::Generate.name().to_owned()))?;
        }
        let values = &self.values;
        let mut setup = Setup::of(values);
        setup.check()?;
        let path = |name: &str| Some(values.text(name)).filter(|s| !s.is_empty());
        let guide = path("guide").filter(|_| setup.mode == Mode::Match);
        let plate = match (plate(values), guide) {
            (Err(_), _) if wan && setup.mode == Mode::Generate => PathBuf::new(),
            (Err(_), Some(guide)) => guide.into(),
            (plate, _) => plate?,
        };
        if setup.mode == Mode::Match && guide.is_none() {
            return Err(JobError::new(
                Kind::Usage,
                "match follows a guide: give one, as in --guide depth.####.exr",
            ));
        }
        let out = path("out").map(PathBuf::from).ok_or_else(|| {
            JobError::new(
                Kind::Usage,
                "out is missing: give the output files, as in --out out.####.exr",
            )
        })?;
        let matte = path("matte").map(PathBuf::from);
        if setup.mode == Mode::Fill && matte.is_none() {
            return Err(JobError::new(
                Kind::Usage,
                "fill replaces what a matte covers: give one, as in --matte matte.####.exr",
            ));
        }
        let reaches = matches!(setup.mode, Mode::Extend | Mode::Animate);
        if reaches && setup.out.is_none() {
            return Err(JobError::new(
                Kind::Usage,
                "this mode needs to know how far: give the output's first and last frame, as in --frames 1001-1240",
            ));
        }
        let colour = Colour::of(values)?;
        Colour::tell(colour.as_ref(), guide_colour(values)?, &mut setup);
        let mut idle = self.idle();
        if colour.is_none() && self.said.contains("ocioConfig") {
            idle.push("ocioConfig has no effect without inputColorspace".to_owned());
        }
        if colour.as_ref().is_some_and(|c| c.ways.is_some()) && setup.transfer.is_some() {
            idle.push("encoding has no effect where inputColorspace is converted".to_owned());
        }
        let mut options = plate_options(values, &setup);
        options.transfer = options.transfer.or(colour.as_ref().map(Colour::transfer));
        Ok(Job {
            plate,
            guide: guide.map(PathBuf::from),
            save_latents: path("saveLatents").map(PathBuf::from).filter(|_| wan),
            matte: matte.filter(|_| matches!(setup.mode, Mode::Fill | Mode::Match | Mode::Restyle)),
            options,
            out,
            told_from: None,
            only: frame_list("only", values.text("only"))?,
            pixel_type: values.text("pixelType").to_owned(),
            compression: match values.text("compression") {
                "none" => Compression::None,
                "zips" => Compression::Zips,
                "piz" => Compression::Piz,
                "dwaa" => Compression::Dwaa(values.double("dwaaLevel") as f32),
                _ => Compression::Zip,
            },
            tiles: values.text("exrLayout") == "tiles",
            primaries: match values.text("primaries") {
                "rec709" => Some(Primaries::Rec709),
                "p3" => Some(Primaries::P3),
                "rec2020" => Some(Primaries::Rec2020),
                "acescg" => Some(Primaries::AcesCg),
                "aces2065-1" => Some(Primaries::Aces),
                _ => None,
            },
            colour,
            reduce: match values.text("scale") {
                "1/2" => 2,
                "1/4" => 4,
                _ => 1,
            },
            block: usize::try_from(values.int("blockFrames")).unwrap_or(1),
            check_space: values.bool("checkSpace"),
            looks: Looks::of(values),
            threads: threads(values),
            idle,
            values: self.values.clone(),
            setup,
        })
    }

    /// Whether `name` was set.
    pub(super) fn is_said(&self, name: &str) -> bool {
        self.said.contains(name)
    }

    /// What the values come to for a report.
    pub(super) fn sight(self) -> Result<Sight, JobError> {
        let setup = Setup::of(&self.values);
        let plate = plate(&self.values)?;
        let colour = Colour::of(&self.values)?;
        let mut options = plate_options(&self.values, &setup);
        options.transfer = options.transfer.or(colour.as_ref().map(Colour::transfer));
        Ok(Sight {
            plate,
            options,
            colour,
            looks: Looks::of(&self.values),
            memory: setup.memory,
            threads: threads(&self.values),
        })
    }

    /// The parameters that there are.
    pub(super) fn options(&self) -> &'static Manifest {
        self.options
    }

    /// The values so far.
    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// The store that the values name, where there is a folder for one.
    pub fn store(&self) -> Option<DiskStore> {
        Setup::of(&self.values).disk_store()
    }

    /// Parameters that were set and that the mode or the engine does not use.
    fn idle(&self) -> Vec<String> {
        let (mode, engine) = (self.values.text("mode"), self.values.text("engine"));
        let lacks =
            |list: &[String], word: &str| !list.is_empty() && !list.iter().any(|m| m == word);
        let said = self
            .options
            .params
            .iter()
            .filter(|p| self.said.contains(&p.name));
        said.filter(|p| p.kind != ParamKind::Button)
            .filter_map(|p| match p {
                p if lacks(&p.modes, mode) => {
                    Some(format!("{} has no effect in mode {mode}", p.name))
                }
                p if lacks(&p.engines, engine) => {
                    Some(format!("{} has no effect with the engine {engine}", p.name))
                }
                _ => None,
            })
            .collect()
    }
}

impl Job {
    /// Opens the plate, or what stands for it where there is none.
    ///
    /// # Errors
    /// Where it is missing or unreadable.
    pub fn open_plate(&self) -> Result<FilePlate, FrameError> {
        let blank = self.setup.blank(self.options.fps);
        match blank.filter(|_| self.plate.as_os_str().is_empty()) {
            Some(info) => Ok(FilePlate::blank(info)),
            None => {
                let plate = FilePlate::open(&self.plate, &self.options)?;
                match self.colour.as_ref().and_then(|c| c.ways.as_ref()) {
                    Some(ways) => plate.converted(&self.plate, ways.read.clone()),
                    None => Ok(plate),
                }
            }
        }
    }

    /// Opens the clip to follow, where one is.
    ///
    /// # Errors
    /// Where it is missing or unreadable.
    pub fn open_guide(&self) -> Result<Option<FilePlate>, FrameError> {
        let all = PlateOptions::default();
        let guide = self.guide.as_ref();
        guide.map(|path| FilePlate::open(path, &all)).transpose()
    }
}

fn plate(values: &Values) -> Result<PathBuf, JobError> {
    match values.text("plate") {
        "" => Err(JobError::new(
            Kind::Usage,
            "plate is missing: give the plate, as in --plate plate.####.exr",
        )),
        plate => Ok(plate.into()),
    }
}

fn plate_options(values: &Values, setup: &Setup) -> PlateOptions {
    PlateOptions {
        range: setup.plate,
        transfer: setup.transfer,
        fps: Some(values.double("fps")).filter(|&f| f > 0.0),
        ..PlateOptions::default()
    }
}

fn threads(values: &Values) -> Option<usize> {
    usize::try_from(values.int("threads"))
        .ok()
        .filter(|&n| n > 0)
}

/// The frames that `text`, the value of `name`, names; `None` where it is empty.
fn frame_list(name: &str, text: &str) -> Result<Option<FrameList>, ValueError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|e: FrameListError| ValueError {
            name: name.to_owned(),
            message: e.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(values: &[(&str, &str)]) -> Draft {
        let mut draft = Draft::new().unwrap();
        for (name, text) in values {
            let param = draft.options.param(name).unwrap();
            draft
                .set(name, super::super::value(param, text).unwrap())
                .unwrap();
        }
        draft
    }

    #[test]
    fn what_is_needed_is_asked_for() {
        for (given, word) in [
            (&[][..], "plate"),
            (&[("plate", "p.####.exr")][..], "out"),
            (
                &[("plate", "p.####.exr"), ("out", "o.####.exr")][..],
                "frames",
            ),
            (
                &[
                    ("plate", "p.####.exr"),
                    ("out", "o.####.exr"),
                    ("mode", "fill"),
                ][..],
                "matte",
            ),
        ] {
            let error = draft(given).job().unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.message.contains(word), "{}", error.message);
        }
    }

    #[test]
    fn options_that_do_nothing_are_told() {
        let job = draft(&[
            ("plate", "p"),
            ("out", "o.####.exr"),
            ("mode", "loop"),
            ("keep", "5"),
            ("seed", "5"),
        ])
        .job()
        .unwrap();
        assert_eq!(job.idle, ["keep has no effect in mode loop"]);
    }

    #[test]
    fn a_single_frame_is_no_take() {
        let error = Draft::new()
            .unwrap()
            .set("frames", Value::Range([7, 7]))
            .unwrap_err();
        assert!(error.to_string().contains("single frame"));
    }
}
