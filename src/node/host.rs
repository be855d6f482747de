//! What a host is to the node: what it says when an action begins, and what may
//! be asked of it while the action runs.

use super::pixels::{Components, Depth, Image};
use crate::engine::SUBJECTS;
use crate::manifest::{Manifest, ParamKind, Value, ValueError, Values};

/// The inputs that pictures are fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The reference plate.
    Source,
    /// Where the subject is.
    Matte,
    /// What is to be followed.
    Guide,
    /// Where one of the subjects is, counted from 0.
    Subject(usize),
}

impl Input {
    /// Its name in the panel's language.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Source => "Source",
            Self::Matte => "Matte",
            Self::Guide => "Guide",
            Self::Subject(0) => "Subject 1",
            Self::Subject(1) => "Subject 2",
            Self::Subject(_) => "Subject 3",
        }
    }
}

/// The value of a parameter as a host holds it.
#[derive(Clone, Debug, Default)]
pub struct RawValue {
    /// Whether the host told it.
    pub known: bool,
    /// A text.
    pub text: String,
    /// A number, a switch (0 or 1) or the number of a choice.
    pub number: f64,
    /// The second number of a range.
    pub second: f64,
}

/// What a host says of an input.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClipFacts {
    /// Whether something is connected, as far as the host says.
    pub connected: bool,
    /// Sample type.
    pub depth: Option<Depth>,
    /// What a pixel is made of.
    pub components: Option<Components>,
    /// Whether colours are multiplied by alpha.
    pub premultiplied: bool,
    /// First and last frame, where the host says.
    pub range: Option<(f64, f64)>,
    /// Frames in a second, where the host says.
    pub fps: Option<f64>,
    /// Width of a pixel over its height.
    pub pixel_aspect: f64,
}

/// What a host says when an action begins.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Whether there are no inputs: the plate comes from a file.
    pub generator: bool,
    /// Values of the parameters, in the manifest's order.
    pub params: Vec<RawValue>,
    /// The plate.
    pub source: ClipFacts,
    /// The matte.
    pub matte: ClipFacts,
    /// The clip to follow.
    pub guide: ClipFacts,
    /// The subjects' mattes.
    pub subjects: [ClipFacts; SUBJECTS],
    /// Frames in a second of the effect.
    pub fps: Option<f64>,
    /// Width of the output's pixels over their height, where the host says.
    pub pixel_aspect: Option<f64>,
    /// The project's area, canonical coordinates `x1 y1 x2 y2`.
    pub project: Option<[f64; 4]>,
    /// Whether the host hands over frames of other times than the current.
    pub temporal_access: bool,
}

impl Scene {
    /// Whether nothing hangs on Source, so that a plate in files stands alone.
    pub(super) fn without_source(&self) -> bool {
        self.generator || !self.source.connected
    }

    /// The values, checked against the manifest. A value that the host would
    /// not tell is the default.
    ///
    /// # Errors
    /// Where a value is outside its parameter's range.
    pub fn values(&self, manifest: &Manifest) -> Result<Values, ValueError> {
        let mut values = Values::default_of(manifest);
        for (param, raw) in manifest.params.iter().zip(&self.params) {
            if !raw.known || !param.kind.has_value() {
                continue;
            }
            let value = match param.kind {
                ParamKind::Choice => {
                    // A project of a later version may hold a choice that this
                    // one does not have.
                    let option = usize::try_from(raw.number as i64)
                        .ok()
                        .and_then(|i| param.options.get(i));
                    Value::Text(option.cloned().ok_or_else(|| ValueError {
                        name: param.label.clone(),
                        message: "this version has no such choice; choose another".to_owned(),
                    })?)
                }
                ParamKind::Int => Value::Int(raw.number as i64),
                ParamKind::Double => Value::Double(raw.number),
                ParamKind::Bool => Value::Bool(raw.number != 0.0),
                ParamKind::Range => {
                    let (a, b) = (raw.number as i64, raw.second as i64);
                    Value::Range([a, b])
                }
                _ => Value::Text(raw.text.clone()),
            };
            values
                .set(manifest, &param.name, value)
                .map_err(|e| ValueError {
                    name: param.label.clone(),
                    ..e
                })?;
        }
        Ok(values)
    }
}

/// What may be asked of the host, on the thread of the action and only while
/// the action runs.
pub trait Host {
    /// Tells the instance of the node that is at work from all others.
    fn instance(&self) -> u64;

    /// Shows `see` the picture of `input` at `time`, which stays valid for that
    /// call alone; false where there is no picture.
    fn image(&mut self, input: Input, time: f64, see: &mut dyn FnMut(&Image<'_>)) -> bool;

    /// Region of definition of `input` at `time`, canonical coordinates.
    fn region(&mut self, input: Input, time: f64) -> Option<[f64; 4]>;

    /// Whether the action is to stop.
    fn aborted(&mut self) -> bool;

    /// Shows how far the work is; false where the artist cancels it.
    fn progress(&mut self, stage: &str, fraction: f64) -> bool;

    /// Lets the artist set parameter `name`, or greys it out.
    fn enable(&mut self, name: &str, on: bool);

    /// Writes `text` into the status parameter `name`.
    fn show(&mut self, name: &str, text: &str);
}

/// A host that lends nothing: the plate is a file, and nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn instance(&self) -> u64 {
        0
    }

    fn image(&mut self, _: Input, _: f64, _: &mut dyn FnMut(&Image<'_>)) -> bool {
        false
    }

    fn region(&mut self, _: Input, _: f64) -> Option<[f64; 4]> {
        None
    }

    fn aborted(&mut self) -> bool {
        false
    }

    fn progress(&mut self, _: &str, _: f64) -> bool {
        true
    }

    fn enable(&mut self, _: &str, _: bool) {}

    fn show(&mut self, _: &str, _: &str) {}
}
