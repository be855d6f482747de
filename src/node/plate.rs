//! The plate as the host has it: its facts, and a reader of its frames.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::errand::{Ask, Desk, Failure};
use super::host::{Host, Input, Scene};
use super::likeness::Likeness;
use super::pixels::{Components, Depth, Image, Rect};
use crate::frame::{FrameError, FrameRange, Picture, PlateInfo, PlateReader, Transfer};
use crate::sequence::key_of;

/// A plate on the Source input, as far as it is known before its frames are
/// read.
#[derive(Clone, Debug)]
pub(super) struct HostPlate {
    /// What the engine is told.
    pub info: PlateInfo,
    /// The pixels of it, at the scale of this render.
    pub canvas: Rect,
    /// Its samples.
    pub names: &'static [&'static str],
    /// Whether the matte is used.
    pub matte: bool,
}

impl HostPlate {
    /// The plate on Source, from one look at its first frame. `scale` is the
    /// render scale.
    pub fn look(
        scene: &Scene,
        range: FrameRange,
        fps: f64,
        transfer: Option<Transfer>,
        matte: bool,
        scale: [f64; 2],
        host: &mut dyn Host,
    ) -> Result<Self, Failure> {
        let time = f64::from(range.first);
        let mut seen: Option<(Rect, Components, Depth)> = None;
        let mut see = |image: &Image<'_>| {
            let layout = image.layout();
            seen = Some((image.region(), layout.components, layout.depth));
        };
        host.image(Input::Source, time, &mut see);
        let (canvas, components, depth) = seen.ok_or_else(|| FrameError::Host {
            frame: range.first,
            message: "check that Source is connected and has that frame, or set Plate file"
                .to_owned(),
        })?;
        let pixel_aspect = scene.source.pixel_aspect.max(1e-3);
        let full = host.region(Input::Source, time);
        Ok(Self {
            info: PlateInfo {
                range,
                width: canvas.width(),
                height: canvas.height(),
                full_size: full_size(full, &canvas, pixel_aspect, scale),
                channels: components.names().iter().map(|&n| n.to_owned()).collect(),
                fps,
                transfer: transfer.unwrap_or(if depth.is_float() {
                    Transfer::Linear
                } else {
                    Transfer::Display
                }),
                pixel_aspect,
            },
            canvas,
            names: components.names(),
            matte,
        })
    }

    /// What all plates have in common that may be this one, at any scale.
    pub fn facts(&self) -> blake3::Hash {
        let i = &self.info;
        key_of(&[
            "plate in a host",
            &format!(
                "{} {:?} {:?} {} {:?} {} {}",
                i.range, i.full_size, i.channels, i.fps, i.transfer, i.pixel_aspect, self.matte
            ),
        ])
    }
}

/// Size at render scale 1. `region` is in canonical coordinates, which are
/// square.
fn full_size(
    region: Option<[f64; 4]>,
    canvas: &Rect,
    pixel_aspect: f64,
    scale: [f64; 2],
) -> (usize, usize) {
    let (w, h) = (canvas.width() as f64, canvas.height() as f64);
    let from_region = region.map(|[x1, y1, x2, y2]| ((x2 - x1) / pixel_aspect, y2 - y1));
    let sane = |(fw, fh): &(f64, f64)| {
        // A region without end, or one that has nothing to do with the picture
        // (not of its shape), tells nothing.
        let (sx, sy) = (w / fw, h / fh);
        (1.0..1e6).contains(fw) && (1.0..1e6).contains(fh) && {
            let slack = 2.0 / w.min(h).max(1.0) + 0.01;
            (sx / sy - 1.0).abs() < slack
        }
    };
    let positive = |s: f64| if s.is_finite() && s > 0.0 { s } else { 1.0 };
    let (fw, fh) = from_region
        .filter(sane)
        .unwrap_or((w / positive(scale[0]), h / positive(scale[1])));
    // The picture itself knows its whole pixels better, at scale 1.
    let near = |f: f64, p: f64| if (f - p).abs() < 1.0 { p } else { f.round() };
    (near(fw, w).max(1.0) as usize, near(fh, h).max(1.0) as usize)
}

/// What the frames of a plate, and of its matte, look like: how the plate is
/// known again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    plate: BTreeMap<i32, Likeness>,
    matte: BTreeMap<i32, Likeness>,
}

impl Record {
    fn of(&self, input: Input) -> &BTreeMap<i32, Likeness> {
        match input {
            Input::Source => &self.plate,
            Input::Matte => &self.matte,
        }
    }

    /// Names the pixels.
    pub fn key(&self, facts: &blake3::Hash) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(facts.as_bytes());
        for frames in [&self.plate, &self.matte] {
            hasher.update(&(frames.len() as u64).to_le_bytes());
            for (frame, likeness) in frames {
                hasher.update(&frame.to_le_bytes());
                hasher.update(&likeness.exact.to_le_bytes());
                hasher.update(&likeness.size.0.to_le_bytes());
                hasher.update(&likeness.size.1.to_le_bytes());
            }
        }
        hasher.finalize()
    }

    /// Whether `seen` may be frame `frame` of this plate. A frame that was
    /// never looked at may be anything.
    pub fn admits(&self, input: Input, frame: i32, seen: &Likeness) -> bool {
        self.of(input)
            .get(&frame)
            .is_none_or(|known| known.same(seen).unwrap_or_else(|| known.resembles(seen)))
    }

    /// Whether all frames of the plate are one picture.
    pub fn is_still(&self) -> bool {
        let mut frames = self.plate.values();
        let first = frames.next();
        self.plate.len() > 1 && frames.all(|l| Some(l.exact) == first.map(|f| f.exact))
    }
}

/// What a reader does with the likeness of each frame.
pub(super) enum Watch<'a> {
    /// Writes it down.
    Note(&'a Mutex<Record>),
    /// Holds it against what is known; the flag is set where they differ.
    Check(&'a Record, &'a Mutex<bool>),
}

impl Watch<'_> {
    fn see(&self, input: Input, frame: i32, likeness: Likeness) -> bool {
        match self {
            Self::Note(record) => {
                let mut record = record.lock();
                match input {
                    Input::Source => record.plate.insert(frame, likeness),
                    Input::Matte => record.matte.insert(frame, likeness),
                };
                true
            }
            Self::Check(record, changed) => {
                let same = record.admits(input, frame, &likeness);
                if !same {
                    *changed.lock() = true;
                }
                same
            }
        }
    }
}

/// Reads an input of the host through those who wait at the desk.
pub(super) struct HostReader<'a, T> {
    desk: &'a Desk<'a, T>,
    input: Input,
    info: PlateInfo,
    canvas: Rect,
    names: &'static [&'static str],
    watch: Watch<'a>,
}

impl<'a, T> HostReader<'a, T> {
    /// A reader of Source.
    pub fn source(desk: &'a Desk<'a, T>, plate: &HostPlate, watch: Watch<'a>) -> Self {
        Self {
            desk,
            input: Input::Source,
            info: plate.info.clone(),
            canvas: plate.canvas,
            names: plate.names,
            watch,
        }
    }

    /// A reader of Matte, laid over the plate's pixels.
    pub fn matte(desk: &'a Desk<'a, T>, plate: &HostPlate, watch: Watch<'a>) -> Self {
        let names = Components::Alpha.names();
        Self {
            input: Input::Matte,
            info: PlateInfo {
                channels: names.iter().map(|&n| n.to_owned()).collect(),
                transfer: Transfer::Linear,
                ..plate.info.clone()
            },
            names,
            ..Self::source(desk, plate, watch)
        }
    }

    /// Frame `frame` and what it looks like.
    pub fn look(&self, frame: i32) -> Result<(Arc<Picture>, Likeness), FrameError> {
        let picture = self.desk.fetch(Ask {
            input: self.input,
            frame,
            canvas: self.canvas,
            names: self.names,
        })?;
        let likeness = Likeness::of(&picture, self.info.transfer);
        Ok((picture, likeness))
    }
}

impl<T: Send> PlateReader for HostReader<'_, T> {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let (picture, likeness) = self.look(frame)?;
        if !self.watch.see(self.input, frame, likeness) {
            return Err(FrameError::Host {
                frame,
                message: format!("{} has changed; render again", self.input.name()),
            });
        }
        Ok(picture)
    }
}
