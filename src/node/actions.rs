//! The actions that cost nothing: they are answered from parameters and from
//! what the host says, without a picture.

use super::Node;
use super::host::{Host, Input, Scene};
use super::known::known;
use super::pixels::{Components, Depth};
use super::render::Report;
use crate::engine::Span;
use crate::frame::FrameRange;
use crate::manifest::manifest;
use crate::sequence::{Mode, Request, Setup};

/// What an artist or the host changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// An input, or something before it.
    Clip,
    /// The parameter of this name; a button was pressed.
    Param(&'a str),
}

/// The frames that a frame needs of the inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Of Source.
    pub source: Vec<i32>,
    /// Of Matte.
    pub matte: Vec<i32>,
}

/// What the node wants of its output; `None` leaves it to the host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preferences {
    /// Frames in a second.
    pub fps: Option<f64>,
    /// Width of a pixel over its height.
    pub pixel_aspect: Option<f64>,
    /// What a pixel is made of.
    pub components: Option<Components>,
    /// Sample type.
    pub depth: Option<Depth>,
    /// Whether frames differ though no input does.
    pub frame_varying: bool,
}

/// Frames announced ahead, at most. A host may fetch all of them before it
/// renders; the rest is fetched while rendering.
const AHEAD: usize = 4;
/// A clip at least as long as this says its own length; shorter ones may be
/// what a host says of every clip.
const SAYS_LENGTH: usize = 3;
/// A clip longer than this has no length of its own.
const ENDLESS: usize = 10_000_000;

/// What the parameters and the host's facts come to.
pub(super) struct Order {
    /// What was set.
    pub setup: Setup,
    /// What follows for this plate.
    pub request: Request,
}

impl Order {
    /// Reads the scene. The error is a sentence for the artist.
    pub fn of(scene: &Scene) -> Result<Self, String> {
        let manifest = manifest().map_err(str::to_owned)?;
        let values = scene.values(manifest).map_err(|e| e.to_string())?;
        let setup = Setup::of(&values);
        let have = source_range(scene, &setup)?;
        let fps = scene.source.fps.or(scene.fps).unwrap_or(24.0);
        let request = setup.request(have, fps).map_err(|e| e.to_string())?;
        Ok(Self { setup, request })
    }

    /// The output frame that is shown at `time`: outside of the output's range
    /// its nearest frame is held, and a loop goes on.
    pub fn shown(&self, time: f64) -> i32 {
        let out = self.request.out;
        let frame = (time + 0.5).floor() as i64;
        let (first, last) = (i64::from(out.first), i64::from(out.last));
        let shown = if self.request.mode == Mode::Loop {
            first + (frame - first).rem_euclid(out.count() as i64)
        } else {
            frame.clamp(first, last)
        };
        shown as i32
    }

    /// Whether the matte plays a part.
    pub fn uses_matte(&self) -> bool {
        self.request.mode == Mode::Fill
    }
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
        (None, None) => Err(
            "the host does not say which frames Source has: set Plate frames, or Plate file"
                .to_owned(),
        ),
    }
}

impl Node {
    /// The whole output.
    pub fn time_domain(&self, scene: &Scene) -> Option<FrameRange> {
        Order::of(scene).ok().map(|o| o.request.out)
    }

    /// The Source frame that the output at `time` is, where it is one.
    pub fn identity(&self, scene: &Scene, time: f64) -> Option<i32> {
        let order = Order::of(scene).ok()?;
        let plate = order.request.timeline().ok()?.kept(order.shown(time))?;
        (scene.temporal_access || f64::from(plate) == time).then_some(plate)
    }

    /// The frames that the output at `time` needs, the first few of them.
    pub fn needs(&self, scene: &Scene, time: f64) -> Needs {
        let Ok(order) = Order::of(scene) else {
            return Needs::default();
        };
        let Ok(timeline) = order.request.timeline() else {
            return Needs::default();
        };
        let frame = order.shown(time);
        if let Some(plate) = timeline.kept(frame) {
            return Needs {
                source: vec![plate],
                matte: Vec::new(),
            };
        }
        let matted = timeline.spans.iter().find_map(|s| match *s {
            Span::Matted { out, offset } if out.contains(frame) => Some(frame + offset),
            _ => None,
        });
        let plate = order.request.plate;
        let mut source = vec![matted.unwrap_or(frame.clamp(plate.first, plate.last))];
        source.truncate(AHEAD);
        Needs {
            source,
            matte: matted.into_iter().collect(),
        }
    }

    /// The region of the output: the plate's, at every time.
    pub fn region(&self, scene: &Scene, host: &mut dyn Host) -> Option<[f64; 4]> {
        let order = Order::of(scene).ok()?;
        finite(host.region(Input::Source, f64::from(order.request.plate.first)))
    }

    /// What the node wants to see of its inputs: all of it, since any part of a
    /// frame depends on decisions about the whole.
    pub fn interest(&self, scene: &Scene, host: &mut dyn Host) -> Option<[f64; 4]> {
        self.region(scene, host)
    }

    /// What the node wants of its output.
    pub fn preferences(&self, _scene: &Scene) -> Preferences {
        Preferences {
            frame_varying: true,
            ..Preferences::default()
        }
    }

    /// Something was changed, or a button was pressed. `scale` is the render
    /// scale that pictures come at.
    pub fn changed(
        &self,
        _scene: &Scene,
        what: Change<'_>,
        _by_user: bool,
        _scale: [f64; 2],
        _host: &mut dyn Host,
    ) -> Report {
        self.told.lock().clear();
        if what == Change::Param("clear") {
            self.purge();
        }
        Report::done()
    }

    /// Gives memory back.
    pub fn purge(&self) {
        known().clear();
    }
}

/// A region that has an end.
fn finite(region: Option<[f64; 4]>) -> Option<[f64; 4]> {
    region.filter(|r| r.iter().all(|v| v.abs() < 1e6) && r[0] < r[2] && r[1] < r[3])
}
