//! What the parameters and the host's facts come to.

use std::sync::Arc;

use super::file::{FileChoice, FileSource};
use super::host::Scene;
use super::known::known;
use crate::engine::{Engine, SUBJECTS, Timeline};
use crate::frame::FrameRange;
use crate::manifest::{Values, manifest};
use crate::sequence::{Colour, Mode, Request, Setup, key_of};

/// A clip at least as long as this says its own length; shorter ones may be
/// what a host says of every clip.
const SAYS_LENGTH: usize = 3;
/// A clip longer than this has no length of its own.
const ENDLESS: usize = 10_000_000;

/// Said where a host hands over no frame but the current.
pub(super) const ONE_FRAME: &str =
    "this host hands over only the current frame: set Plate file to the plate's frame sequence";

/// What the parameters and the host's facts come to.
pub(super) struct Order {
    /// What was set.
    pub setup: Setup,
    /// What follows for this plate.
    pub request: Request,
    /// Which frames are kept and which made.
    pub timeline: Timeline,
    /// The plate, where it lies in files.
    pub file: Option<Arc<FileSource>>,
    /// Whether the matte plays a part.
    pub matte: bool,
    /// Whether the guide does.
    pub guide: bool,
    /// Whether each of the subjects' clips does.
    pub subjects: [bool; SUBJECTS],
}

impl Order {
    /// Reads the scene. The error is a sentence for the artist.
    pub fn of(scene: &Scene) -> Result<Self, String> {
        let manifest = manifest().map_err(str::to_owned)?;
        let values = scene.values(manifest).map_err(|e| e.to_string())?;
        let mut setup = Setup::of(&values);
        let path = values.text("plate").trim();
        let with_clips = path.is_empty() && !scene.generator && setup.blank(None).is_none();
        let mut subjects = [false; SUBJECTS];
        if with_clips {
            let connected = scene.subjects.map(|clip| clip.connected);
            subjects = setup.connect(&values, connected);
        }
        let file = open(&values, &mut setup)?;
        let (have, fps) = match &file {
            Some(file) => (file.info.range, file.info.fps),
            None if scene.generator => {
                return Err("there is no plate yet: set Plate file to a frame sequence".to_owned());
            }
            None if !scene.source.connected => {
                return Err(
                    "there is no plate yet: connect it to Source, or set Plate file to its frame sequence"
                        .to_owned(),
                );
            }
            None => {
                let colour = known().colours.get(&values, false)?;
                tell(&mut setup, colour.as_deref());
                let fps = scene.source.fps.or(scene.fps).unwrap_or(24.0);
                (source_range(scene, &setup)?, fps)
            }
        };
        Self::new(scene, setup, have, fps, file, subjects)
    }

    /// The plate that lies in files, where there is one, whether or not the rest of the
    /// parameters goes with it.
    pub fn file_of(scene: &Scene) -> Option<Arc<FileSource>> {
        let values = scene.values(manifest().ok()?).ok()?;
        open(&values, &mut Setup::of(&values)).ok()?
    }

    fn new(
        scene: &Scene,
        setup: Setup,
        have: FrameRange,
        fps: f64,
        file: Option<Arc<FileSource>>,
        subjects: [bool; SUBJECTS],
    ) -> Result<Self, String> {
        let request = setup.request(have, fps).map_err(|e| e.to_string())?;
        let timeline = setup.timeline(&request).map_err(|e| e.to_string())?;
        let over = matches!(request.mode, Mode::Match | Mode::Restyle);
        Ok(Self {
            matte: request.mode == Mode::Fill || over && file.is_none() && scene.matte.connected,
            guide: request.mode == Mode::Match,
            subjects,
            setup,
            request,
            timeline,
            file,
        })
    }

    /// The output frame that is shown at `time`: outside of the output's range
    /// its nearest frame is held, and a loop goes on.
    pub fn shown(&self, time: f64) -> i32 {
        let out = self.request.out;
        let frame = (time + 0.5).floor() as i64;
        let (first, last) = (i64::from(out.first), i64::from(out.last));
        let shown = if self.request.mode == Mode::Loop {
            first + frame.saturating_sub(first).rem_euclid(out.count() as i64)
        } else {
            frame.clamp(first, last)
        };
        shown as i32
    }

    /// Pictures kept in memory, in bytes, at most.
    pub fn memory(&self) -> usize {
        usize::try_from(self.setup.memory).unwrap_or(usize::MAX)
    }

    /// Names what is asked for, as far as it is known without a picture.
    pub fn about(&self) -> blake3::Hash {
        let r = &self.request;
        key_of(&[
            &self.setup.engine.settings_key(),
            &format!("{:?} {} {:?}", self.timeline, r.fps, self.setup.transfer),
        ])
    }
}

/// The plate that lies in files: the one that is named, or what stands for one where
/// frames are made from nothing. Tells `setup` what its values are.
fn open(values: &Values, setup: &mut Setup) -> Result<Option<Arc<FileSource>>, String> {
    let path = values.text("plate").trim();
    if path.contains(char::REPLACEMENT_CHARACTER) {
        return Err(
            "the name in Plate file is not UTF-8: rename the folder or the frames".to_owned(),
        );
    }
    if path.is_empty() {
        let Some(info) = setup.blank(None) else {
            return Ok(None);
        };
        let colour = known().colours.get(values, true)?;
        let blank = FileSource::blank(info, colour.as_deref()).map_err(|e| e.to_string())?;
        return Ok(Some(Arc::new(blank)));
    }
    if matches!(setup.mode, Mode::Fill | Mode::Match) {
        return Err(
            "this mode takes its plate from Source, its matte from Matte and its guide from Guide: clear Plate file"
                .to_owned(),
        );
    }
    let colour = known().colours.get(values, true)?;
    tell(setup, colour.as_deref());
    let file = known().files.get(&FileChoice {
        path: path.into(),
        range: setup.plate,
        transfer: setup.transfer,
        colour,
    })?;
    Ok(Some(file))
}

/// Tells `setup` what the plate's values are. A guide comes in the project's colours, as
/// the plate on Source does.
fn tell(setup: &mut Setup, colour: Option<&Colour>) {
    setup.transfer = setup.transfer.or(colour.map(Colour::transfer));
    let guide = colour.and_then(|c| Some(c.model.as_ref()?.there.clone()));
    Colour::tell(colour, guide, setup);
}

/// The frames that Source has.
fn source_range(scene: &Scene, setup: &Setup) -> Result<FrameRange, String> {
    let said = scene.source.range.and_then(|(first, last)| {
        let whole = |v: f64| (v.abs() < 1e9).then_some(v.round() as i32);
        FrameRange::new(whole(first)?, whole(last)?).filter(|r| r.count() < ENDLESS)
    });
    match (said, setup.plate) {
        (Some(range), None) => Ok(range),
        (Some(range), Some(_)) if range.count() >= SAYS_LENGTH => Ok(range),
        (_, Some(asked)) => Ok(asked),
        (None, None) if !scene.temporal_access => Err(ONE_FRAME.to_owned()),
        (None, None) => Err(
            "the host does not say which frames Source has: set Plate frames, or Plate file"
                .to_owned(),
        ),
    }
}
