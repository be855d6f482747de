//! The actions that cost nothing: they are answered from parameters and from
//! what the host says, without a picture.

use super::Node;
use super::extent::Extent;
use super::host::{Host, Scene};
use super::known::known;
use super::order::Order;
use super::pixels::{Components, Depth};
use crate::engine::{SUBJECTS, Span};
use crate::frame::FrameRange;

/// The frames that a frame needs of the inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Of Source.
    pub source: Vec<i32>,
    /// Of Matte.
    pub matte: Vec<i32>,
    /// Of Guide.
    pub guide: Vec<i32>,
    /// Of the subjects' mattes.
    pub subjects: [Vec<i32>; SUBJECTS],
}

/// What the node wants of its output; `None` leaves it to the host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preferences {
    /// Frames in a second.
    pub fps: Option<f64>,
    /// What a pixel is made of.
    pub components: Option<Components>,
    /// Sample type.
    pub depth: Option<Depth>,
    /// Whether colours are multiplied by alpha.
    pub premultiplied: Option<bool>,
    /// Whether frames differ though no input does.
    pub frame_varying: bool,
}

/// Frames announced ahead, at most. A host may fetch all of them before it
/// renders; the rest is fetched while rendering.
const AHEAD: usize = 4;

/// The parameters that [`Node::preferences`] depends on: a host asks again where one
/// of them changes.
pub const PREFERENCES: [&str; 7] = [
    "mode",
    "engine",
    "plate",
    "plateRange",
    "inputColorspace",
    "outputColorspace",
    "ocioConfig",
];

impl Node {
    /// The whole output.
    pub fn time_domain(&self, scene: &Scene) -> Option<FrameRange> {
        Order::of(scene).ok().map(|o| o.request.out)
    }

    /// The Source frame that the output at `time` is, where it is one.
    pub fn identity(&self, scene: &Scene, time: f64) -> Option<i32> {
        let order = Order::of(scene).ok()?;
        if order.file.is_some() {
            return None;
        }
        let plate = order.timeline.kept(order.shown(time))?;
        (scene.temporal_access || f64::from(plate) == time).then_some(plate)
    }

    /// The frames that the output at `time` needs, the first few of them.
    pub fn needs(&self, scene: &Scene, time: f64) -> Needs {
        let Ok(order) = Order::of(scene) else {
            return Needs::default();
        };
        if order.file.is_some() {
            return Needs::default();
        }
        let frame = order.shown(time);
        if let Some(plate) = order.timeline.kept(frame) {
            return Needs {
                source: vec![plate],
                ..Needs::default()
            };
        }
        let matted = order.timeline.spans.iter().find_map(|s| match *s {
            Span::Matted { out, offset } if out.contains(frame) => Some(frame + offset),
            _ => None,
        });
        // What a take that is ready shows; else the nearest plate frame.
        let takes = known().order(&order.about()).map(|o| known().takes(&o));
        let ready = takes.and_then(|t| t.into_iter().next());
        let plate = order.request.plate;
        let mut source = match ready {
            Some(prepared) => prepared.take.frames_needed(frame),
            None => vec![matted.unwrap_or(frame.clamp(plate.first, plate.last))],
        };
        source.truncate(AHEAD);
        let ready = known().order(&order.about()).map(|o| known().takes(&o));
        let ready = ready.is_some_and(|takes| !takes.is_empty());
        // What a take is learned from is not looked at again once it is ready.
        let here = |used: bool| match used && !ready {
            true => vec![matted.unwrap_or(frame)],
            false => Vec::new(),
        };
        Needs {
            source,
            matte: matted.filter(|_| order.matte).into_iter().collect(),
            guide: here(order.guide),
            subjects: order.subjects.map(here),
        }
    }

    /// The region of the output, the same at every time.
    pub fn region(&self, scene: &Scene, host: &mut dyn Host) -> Option<[f64; 4]> {
        let order = Order::of(scene).ok()?;
        format(scene, &order, host)
    }

    /// What the node wants to see of its inputs: all of it, since any part of a
    /// frame depends on decisions about the whole.
    pub fn interest(&self, scene: &Scene, host: &mut dyn Host) -> Option<[f64; 4]> {
        if scene.without_source() {
            return None;
        }
        self.region(scene, host)
    }

    /// What the node wants of its output: what the inputs have, and for a
    /// plate file without an input what the file has. The answer depends on
    /// [`PREFERENCES`]. Of the file's pixel aspect nothing is said: the node gives no
    /// clip another than the project's, and resizes to it.
    pub fn preferences(&self, scene: &Scene) -> Preferences {
        let mut preferences = Preferences {
            frame_varying: true,
            ..Preferences::default()
        };
        let alone = scene.without_source();
        if let Some(file) = alone.then(|| Order::file_of(scene)).flatten() {
            let info = &file.info;
            let has = |name| info.channel(name).is_some();
            let colour = has("R") || has("Y");
            preferences.fps = Some(info.fps);
            preferences.premultiplied = has("A").then_some(file.premultiplied);
            preferences.components = Some(match (colour, has("A")) {
                (true, false) => Components::Rgb,
                (false, true) => Components::Alpha,
                _ => Components::Rgba,
            });
        }
        preferences
    }

    /// Gives memory back.
    pub fn purge(&self) {
        known().clear();
    }
}

/// Where the plate lies, in canonical coordinates: where all of Source's frames do,
/// else a file's format.
pub(super) fn format(scene: &Scene, order: &Order, host: &mut dyn Host) -> Option<[f64; 4]> {
    if !scene.without_source()
        && let Some(extent) = Extent::of(scene, order.request.plate, host)
    {
        return Some(extent.region);
    }
    let file = order.file.as_ref()?;
    let size = |from: i32, to: i32| f64::from(to) - f64::from(from);
    let width = size(file.display.x0, file.display.x1) * file.info.pixel_aspect;
    Some([0.0, 0.0, width, size(file.display.y0, file.display.y1)])
}

/// Width of the host's pixels over their height: Source's, else the output's.
pub(super) fn pixel_aspect(scene: &Scene) -> f64 {
    let aspect = match scene.without_source() {
        true => scene.pixel_aspect.unwrap_or(1.0),
        false => scene.source.pixel_aspect,
    };
    if aspect > 0.0 { aspect } else { 1.0 }
}
