//! The render action: one window of one frame.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Node;
use super::actions::Order;
use super::errand::{Errand, Failure};
use super::host::{Host, Input, Scene};
use super::known::{Prepared, known};
use super::pixels::{Image, Rect};
use super::plate::{HostPlate, HostReader, Watch};
use super::prepare::{Job, prepare};
use crate::engine::Sources;
use crate::frame::Picture;

/// How often a plate may turn out to be another than was thought within one
/// render, before that is said.
const TRIES: usize = 3;

/// What a host asks to be rendered.
#[derive(Clone, Copy, Debug)]
pub struct RenderArgs {
    /// Output time.
    pub time: f64,
    /// The pixels that are wanted.
    pub window: Rect,
    /// Render scale, across and up.
    pub scale: [f64; 2],
    /// Whether one field is wanted.
    pub fielded: bool,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Done,
    /// Stopped as the host or the artist asked.
    Aborted,
    /// Not done; the message says why.
    Failed,
    /// The host's picture has a format that is not offered.
    Format,
    /// Out of memory.
    Memory,
}

/// How an action ended, and a sentence for the artist where there is something
/// to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub status: Status,
    /// A sentence, or nothing.
    pub message: String,
    /// Whether the sentence is advice rather than an error.
    pub warning: bool,
}

impl Report {
    /// Done, with nothing to say.
    pub fn done() -> Self {
        Self::silent(Status::Done)
    }

    pub(super) fn silent(status: Status) -> Self {
        Self {
            status,
            message: String::new(),
            warning: false,
        }
    }

    /// The host's output is of a kind that cannot be written.
    pub fn bad_output() -> Self {
        Self {
            status: Status::Format,
            message: "the host's output is not 8-bit, 16-bit, half or float RGBA, RGB or alpha: \
                      choose one of these in the project"
                .to_owned(),
            warning: false,
        }
    }
}

impl Node {
    /// Renders `args.window` of the frame into `output`. Where that fails the
    /// window still holds something sane: the source, else black.
    pub fn render(
        &self,
        scene: &Scene,
        args: &RenderArgs,
        mut output: Image<'_>,
        host: &mut dyn Host,
    ) -> Report {
        match render(scene, args, &mut output, host) {
            Ok(()) => {
                self.told.lock().clear();
                Report::done()
            }
            Err(Failure::Stopped) => Report::silent(Status::Aborted),
            Err(Failure::Message(message)) => {
                stand_in(args, &mut output, host);
                Report {
                    status: Status::Failed,
                    message: self.once(message),
                    warning: false,
                }
            }
        }
    }

    /// `message` where it was not told already.
    pub(super) fn once(&self, message: String) -> String {
        let mut told = self.told.lock();
        if *told == message {
            return String::new();
        }
        told.clone_from(&message);
        message
    }
}

/// The source at the same time, else black.
fn stand_in(args: &RenderArgs, output: &mut Image<'_>, host: &mut dyn Host) {
    let mut copied = false;
    let mut see = |image: &Image<'_>| {
        output.copy(&args.window, image);
        copied = true;
    };
    host.image(Input::Source, args.time, &mut see);
    if !copied {
        output.black(&args.window);
    }
}

fn render(
    scene: &Scene,
    args: &RenderArgs,
    output: &mut Image<'_>,
    host: &mut dyn Host,
) -> Result<(), Failure> {
    if args.fielded {
        return Err(Failure::Message(
            "fields cannot be re-timed: deinterlace the plate before this node, or set the project to progressive"
                .to_owned(),
        ));
    }
    let order = Order::of(scene).map_err(Failure::Message)?;
    let timeline = order
        .request
        .timeline()
        .map_err(|e| Failure::Message(e.to_string()))?;
    let frame = order.shown(args.time);
    if let Some(plate) = timeline.kept(frame) {
        return keep(scene, args, plate, output, host);
    }
    if !scene.temporal_access {
        return Err(Failure::Message(ONE_FRAME.to_owned()));
    }
    let plate = HostPlate::look(
        scene,
        order.request.plate,
        order.request.fps,
        order.setup.transfer,
        order.uses_matte(),
        args.scale,
        host,
    )?;
    let job = Job {
        plate,
        timeline,
        engine: order.setup.engine.clone(),
        vault: Arc::new(()),
    };
    let picture = make(&job, frame, &args.window, host)?;
    output.write(&args.window, &job.plate.canvas, &picture, job.plate.names);
    Ok(())
}

/// Said where a host hands over no frame but the current.
pub(super) const ONE_FRAME: &str =
    "this host hands over only the current frame: set Plate file to the plate's frame sequence";

/// A kept frame: the plate's own bits.
fn keep(
    scene: &Scene,
    args: &RenderArgs,
    plate: i32,
    output: &mut Image<'_>,
    host: &mut dyn Host,
) -> Result<(), Failure> {
    if !scene.temporal_access && f64::from(plate) != args.time {
        return Err(Failure::Message(ONE_FRAME.to_owned()));
    }
    let mut copied = false;
    let mut see = |image: &Image<'_>| {
        output.copy(&args.window, image);
        copied = true;
    };
    host.image(Input::Source, f64::from(plate), &mut see);
    if copied {
        return Ok(());
    }
    if host.aborted() {
        return Err(Failure::Stopped);
    }
    Err(Failure::Message(format!(
        "the host gave no picture for frame {plate} of Source: check that it is connected and has that frame, or set Plate file"
    )))
}

/// The part `window` of made frame `frame`.
fn make(
    job: &Job,
    frame: i32,
    window: &Rect,
    host: &mut dyn Host,
) -> Result<Arc<Picture>, Failure> {
    let order = job.order();
    for _ in 0..TRIES {
        for prepared in known().takes(&order) {
            if let Some(picture) = gather(job, &prepared, frame, window, host)? {
                known().keep(&order, &prepared);
                return Ok(picture);
            }
        }
        prepare(job, host)?;
    }
    Err(Failure::Message(
        "Source gives another picture each time a frame is asked for: write the plate to files and set Plate file"
            .to_owned(),
    ))
}

/// The part `window` of `frame` by a take; `None` where the take turns out to
/// be of another plate.
fn gather(
    job: &Job,
    prepared: &Arc<Prepared>,
    frame: i32,
    window: &Rect,
    host: &mut dyn Host,
) -> Result<Option<Arc<Picture>>, Failure> {
    let part = job.plate.canvas.intersection(window);
    if part.is_empty() {
        return Ok(Some(Arc::new(Picture::new(0, 0, job.plate.names.len()))));
    }
    let part = job.plate.canvas.window(&part);
    let (prepared, plate) = (Arc::clone(prepared), job.plate.clone());
    let errand = Errand::send(move |desk| {
        let changed = Mutex::new(false);
        let Some(record) = &prepared.record else {
            return Ok(None);
        };
        let mut reader = HostReader::source(desk, &plate, Watch::Check(record, &changed));
        let mut matte = HostReader::matte(desk, &plate, Watch::Check(record, &changed));
        let mut sources = Sources {
            plate: &mut reader,
            matte: plate.matte.then_some(&mut matte as _),
        };
        let made = prepared.take.make(frame, part, &mut sources, desk.task());
        match made {
            Ok(picture) => Ok(Some(picture)),
            Err(_) if *changed.lock() => Ok(None),
            Err(error) => Err(error.into()),
        }
    });
    errand.attend(host, true)
}
