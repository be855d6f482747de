//! The plate as the host has it: its facts, and a reader of its frames.

use std::sync::Arc;

use parking_lot::Mutex;

use super::errand::{Ask, Desk, Failure};
use super::extent::Extent;
use super::host::{Host, Input, Scene};
use super::known::known;
use super::order::Order;
use super::pixels::{Components, Depth, Image, Rect};
use super::record::Record;
use crate::engine::SUBJECTS;
use crate::frame::{FrameError, Picture, PlateInfo, PlateReader, Samples, Transfer, Warning, mend};
use crate::sequence::key_of;

/// A plate on the Source input, as far as it is known before its frames are
/// read.
#[derive(Clone, Debug)]
pub(super) struct HostPlate {
    /// What the engine is told.
    pub info: PlateInfo,
    /// The pixels of it, at the scale of this render: of all its frames together.
    pub canvas: Rect,
    /// Whether its frames are windows of their own of that.
    pub cropped: bool,
    /// Its samples.
    pub names: &'static [&'static str],
    /// Whether the matte is used.
    pub matte: bool,
    /// Whether the guide is used.
    pub guide: bool,
    /// Whether each of the subjects' mattes is.
    pub subjects: [bool; SUBJECTS],
}

impl HostPlate {
    /// The plate on Source, from one look at its first frame, which is taken
    /// `anew` or was taken before. `scale` is the render scale.
    pub fn look(
        scene: &Scene,
        order: &Order,
        scale: [f64; 2],
        host: &mut dyn Host,
        anew: bool,
    ) -> Result<Self, Failure> {
        let range = order.request.plate;
        let time = f64::from(range.first);
        let own = host.region(Input::Source, time);
        let extent = Extent::of(scene, range, host);
        let about = key_of(&[
            "look",
            order.about().to_hex().as_str(),
            &format!("{:?} {scale:?} {own:?} {extent:?}", scene.source),
        ]);
        if let Some(plate) = known().look(&about).filter(|_| !anew) {
            return Ok(plate);
        }
        let mut seen: Option<(Rect, Components, Depth)> = None;
        let mut see = |image: &Image<'_>| {
            let layout = image.layout();
            seen = Some((image.region(), layout.components, layout.depth));
        };
        host.image(Input::Source, time, &mut see);
        let Some((shown, components, depth)) = seen else {
            if host.aborted() {
                return Err(Failure::Stopped);
            }
            return Err(Failure::no_picture(Input::Source, range.first));
        };
        let pixel_aspect = scene.source.pixel_aspect.max(1e-3);
        let canvas = extent.map_or(shown, |e| e.canvas(own, shown, pixel_aspect, scale));
        let full = extent.map(|e| e.region).or(own);
        let by_depth = if depth.is_float() {
            Transfer::Linear
        } else {
            Transfer::Display
        };
        let plate = Self {
            info: PlateInfo {
                range,
                width: canvas.width(),
                height: canvas.height(),
                full_size: full_size(full, &canvas, pixel_aspect, scale),
                channels: owned(components.names()),
                fps: order.request.fps,
                transfer: order.setup.transfer.unwrap_or(by_depth),
                pixel_aspect,
                ids: Vec::new(),
            },
            canvas,
            cropped: extent.is_some_and(|e| e.cropped),
            names: components.names(),
            matte: order.matte,
            guide: order.guide,
            subjects: order.subjects,
        };
        known().looked(about, &plate);
        Ok(plate)
    }

    /// The inputs that play a part.
    pub fn inputs(&self) -> Vec<Input> {
        let subjects = (0..SUBJECTS).map(|i| (Input::Subject(i), self.subjects[i]));
        let others = [(Input::Matte, self.matte), (Input::Guide, self.guide)];
        let used = others.into_iter().chain(subjects).filter(|(_, used)| *used);
        [Input::Source]
            .into_iter()
            .chain(used.map(|(input, _)| input))
            .collect()
    }

    /// What is asked of the host for a frame of `input`: mattes are laid over the
    /// plate's pixels, and a guide is of the plate's format.
    pub fn ask(&self, input: Input, frame: i32) -> Ask {
        Ask {
            input,
            frame,
            canvas: self.canvas,
            names: match input {
                Input::Source | Input::Guide => self.names,
                Input::Matte | Input::Subject(_) => Components::Alpha.names(),
            },
            cropped: self.cropped,
        }
    }

    /// How the values of `input` relate to light.
    pub fn transfer_of(&self, input: Input) -> Transfer {
        match input {
            Input::Source | Input::Guide => self.info.transfer,
            Input::Matte | Input::Subject(_) => Transfer::Linear,
        }
    }

    /// What all plates have in common that may be this one, at any scale.
    pub fn facts(&self) -> blake3::Hash {
        let i = &self.info;
        key_of(&[
            "plate in a host",
            &format!(
                "{} {:?} {:?} {} {:?} {} {}{}{}",
                i.range,
                i.full_size,
                i.channels,
                i.fps,
                i.transfer,
                i.pixel_aspect,
                self.matte,
                if self.guide { " guided" } else { "" },
                match self.subjects {
                    subjects if subjects.contains(&true) => format!(" {subjects:?}"),
                    _ => String::new(),
                }
            ),
        ])
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.to_owned()).collect()
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
    // A region without end, or one that has nothing to do with the picture
    // (not of its shape), tells nothing.
    let sane = |(fw, fh): &(f64, f64)| {
        let slack = 2.0 / w.min(h).max(1.0) + 0.01;
        let known = 1.0..1e6;
        known.contains(fw) && known.contains(fh) && (w / fw * fh / h - 1.0).abs() < slack
    };
    let positive = |s: f64| if s.is_finite() && s > 0.0 { s } else { 1.0 };
    let (fw, fh) = from_region
        .filter(sane)
        .unwrap_or((w / positive(scale[0]), h / positive(scale[1])));
    // The picture itself knows its whole pixels better, at scale 1.
    let near = |f: f64, p: f64| if (f - p).abs() < 1.0 { p } else { f.round() };
    (near(fw, w).max(1.0) as usize, near(fh, h).max(1.0) as usize)
}

/// Those of `readers` that are `used`.
pub(super) fn those<'r, T: Send>(
    readers: &'r mut [HostReader<'_, T>; SUBJECTS],
    used: [bool; SUBJECTS],
) -> [Option<&'r mut dyn PlateReader>; SUBJECTS] {
    let mut used = used.into_iter();
    readers
        .each_mut()
        .map(|reader| used.next()?.then_some(reader as &mut dyn PlateReader))
}

/// What a reader does with each frame that it sees.
#[derive(Clone, Copy)]
pub(super) enum Watch<'a> {
    /// Writes down what it looks like.
    Note(&'a Mutex<Record>),
    /// Holds it against what is known.
    Check(&'a Check<'a>),
}

/// Frames held against what is known of a plate.
pub(super) struct Check<'a> {
    record: &'a Record,
    by_look: bool,
    changed: Mutex<bool>,
}

impl<'a> Check<'a> {
    /// Against `record`, by samples or `by_look`.
    pub fn new(record: &'a Record, by_look: bool) -> Self {
        Self {
            record,
            by_look,
            changed: Mutex::new(false),
        }
    }

    /// Whether a frame was not the one that is known.
    pub fn failed(&self) -> bool {
        *self.changed.lock()
    }
}

/// Reads an input of the host through those who wait at the desk.
pub(super) struct HostReader<'a, T> {
    desk: &'a Desk<'a, T>,
    /// What is asked for, but for the frame.
    ask: Ask,
    info: PlateInfo,
    watch: Watch<'a>,
    warnings: Vec<Warning>,
}

impl<'a, T> HostReader<'a, T> {
    fn of(input: Input, desk: &'a Desk<'a, T>, plate: &HostPlate, watch: Watch<'a>) -> Self {
        let ask = plate.ask(input, plate.info.range.first);
        Self {
            desk,
            info: PlateInfo {
                channels: owned(ask.names),
                transfer: plate.transfer_of(input),
                ..plate.info.clone()
            },
            ask,
            watch,
            warnings: Vec::new(),
        }
    }

    /// A reader of Source.
    pub fn source(desk: &'a Desk<'a, T>, plate: &HostPlate, watch: Watch<'a>) -> Self {
        Self::of(Input::Source, desk, plate, watch)
    }

    /// A reader of Matte, laid over the plate's pixels.
    pub fn matte(desk: &'a Desk<'a, T>, plate: &HostPlate, watch: Watch<'a>) -> Self {
        Self::of(Input::Matte, desk, plate, watch)
    }

    /// Readers of the subjects' mattes, likewise.
    pub fn subjects(
        desk: &'a Desk<'a, T>,
        plate: &HostPlate,
        watch: Watch<'a>,
    ) -> [Self; SUBJECTS] {
        std::array::from_fn(|i| Self::of(Input::Subject(i), desk, plate, watch))
    }

    /// A reader of Guide, which is of the plate's format.
    pub fn guide(desk: &'a Desk<'a, T>, plate: &HostPlate, watch: Watch<'a>) -> Self {
        Self::of(Input::Guide, desk, plate, watch)
    }
}

impl<T: Send> PlateReader for HostReader<'_, T> {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        let ask = Ask {
            frame,
            ..self.ask.clone()
        };
        let input = ask.input;
        let mut picture = self.desk.fetch(ask)?;
        // What is no number would spread where places are warped.
        let mended = Arc::get_mut(&mut picture).map(|p| mend(p, |_| Samples::Colour));
        if let Some(m) = mended.filter(|m| *m != Default::default()) {
            self.warnings.push(Warning::NotFinite {
                frame,
                nan: m.nan,
                infinite: m.infinite,
            });
        }
        let transfer = self.info.transfer;
        match self.watch {
            Watch::Note(record) => record.lock().note(input, frame, &picture, transfer),
            Watch::Check(check) => {
                let (record, by_look) = (check.record, check.by_look);
                if !record.admits(input, frame, &(&*picture, transfer), by_look) {
                    *check.changed.lock() = true;
                    return Err(FrameError::Host {
                        frame,
                        message: format!("{} has changed; render again", input.name()),
                    });
                }
            }
        }
        Ok(picture)
    }

    fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_size_is_told_by_the_region_or_the_scale() {
        let canvas = |w, h| Rect::from([7, 3, 7 + w, 3 + h]);
        let region = |w: f64, h: f64| Some([0.0, 0.0, w, h]);
        let full = |r, c: Rect, par, s| full_size(r, &c, par, [s, s]);
        assert_eq!(
            full(region(1920.0, 1080.0), canvas(1920, 1080), 1.0, 1.0),
            (1920, 1080)
        );
        // A proxy, whatever is said of its scale.
        for scale in [0.5, 1.0, 2.0] {
            let c = canvas(960, 540);
            assert_eq!(full(region(1920.0, 1080.0), c, 1.0, scale), (1920, 1080));
        }
        // Canonical coordinates are square; pixels of this plate are not.
        assert_eq!(
            full(region(2880.0, 576.0), canvas(1440, 576), 2.0, 1.0),
            (1440, 576)
        );
        // No region, or one that is nonsense.
        for r in [None, region(1.0, 1.0e9), region(500.0, 1080.0)] {
            assert_eq!(full(r, canvas(960, 540), 1.0, 0.5), (1920, 1080));
        }
        assert_eq!(full(None, canvas(1, 1), 1.0, f64::NAN), (1, 1));
    }
}
