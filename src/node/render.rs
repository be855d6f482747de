//! The render action: one window of one frame.

use longtake_kernels::driver::DeviceError;

use super::Node;
use super::errand::Failure;
use super::extent::{pixels_of, scale_of};
use super::host::{Host, Input, Scene};
use super::known::known;
use super::make;
use super::order::{ONE_FRAME, Order};
use super::pixels::{Cuda, Image, Rect};
use super::serve;
use super::shelf::trouble;
use crate::device::notices;

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
    /// Not done, as the GPU that the host works on has no memory left.
    GpuOutOfMemory,
    /// Not done, as the GPU that the host works on failed otherwise.
    GpuFailed,
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
    /// Whether this artist was told the same before: what stays with the node is
    /// shown all the same, what stands in the way is not.
    pub told: bool,
}

impl Report {
    pub(super) fn new(status: Status, message: String) -> Self {
        Self {
            status,
            message,
            warning: status == Status::Done,
            told: false,
        }
    }

    /// A GPU failed that the host handed its pictures over on.
    pub fn gpu(error: &DeviceError) -> Self {
        let status = match error {
            DeviceError::OutOfMemory { .. } => Status::GpuOutOfMemory,
            _ => Status::GpuFailed,
        };
        Self::new(
            status,
            format!(
                "{error} (the host handed its pictures over on the GPU: with GPU processing off in the host, or LONGTAKE_HOST_GPU=0 set before it starts, they come in ordinary memory)"
            ),
        )
    }

    /// The host's output is of a kind that cannot be written.
    pub fn bad_output() -> Self {
        Self::new(
            Status::Format,
            "the host's output is not 8-bit, 16-bit, half or float RGBA, RGB or alpha: choose one of these in the project"
                .to_owned(),
        )
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
        let cuda = output.cuda();
        let report = match render(scene, args, &mut output, host) {
            Ok(None) => {
                self.told.lock().clear();
                Report::new(Status::Done, String::new())
            }
            Ok(Some(advice)) => self.once(Report::new(Status::Done, advice)),
            Err(Failure::Stopped) => Report::new(Status::Aborted, String::new()),
            Err(Failure::Message(message)) => {
                stand_in(args, &mut output, host);
                self.once(Report::new(Status::Failed, message))
            }
            Err(Failure::Device(error)) => {
                stand_in(args, &mut output, host);
                let report = match cuda {
                    Some(_) => Report::gpu(&error),
                    None => Report::new(Status::Failed, error.to_string()),
                };
                self.once(report)
            }
        };
        // What failed on the host's stream comes before what followed from it.
        match cuda.map(Cuda::finish) {
            Some(Err(error)) => self.once(Report::gpu(&error)),
            _ => report,
        }
    }
}

/// The source at the same time, else black.
fn stand_in(args: &RenderArgs, output: &mut Image<'_>, host: &mut dyn Host) {
    if !copy(args, args.time, output, host) {
        output.black(&args.window);
    }
}

/// Copies Source at `time`; false where there is no picture.
fn copy(args: &RenderArgs, time: f64, output: &mut Image<'_>, host: &mut dyn Host) -> bool {
    let mut copied = false;
    let mut see = |image: &Image<'_>| {
        output.copy(&args.window, image);
        copied = true;
    };
    host.image(Input::Source, time, &mut see);
    copied
}

/// Renders; what is returned is advice.
fn render(
    scene: &Scene,
    args: &RenderArgs,
    output: &mut Image<'_>,
    host: &mut dyn Host,
) -> Result<Option<String>, Failure> {
    if args.fielded {
        return Err(Failure::Message(
            "fields cannot be re-timed: deinterlace the plate before this node, or set the project to progressive"
                .to_owned(),
        ));
    }
    let order = Order::of(scene).map_err(Failure::Message)?;
    let frame = order.shown(args.time);
    match (&order.file, order.timeline.kept(frame)) {
        (Some(file), _) => {
            let format = format_of(scene, &order, args, output, host);
            serve::from_file(&order, file, frame, args, &format, output, host)?;
            if let Some(warning) = file.warning() {
                return Ok(Some(warning));
            }
        }
        (None, Some(plate)) => {
            let time = f64::from(plate);
            let current = scene.temporal_access || time == args.time;
            if !current {
                return Err(Failure::Message(ONE_FRAME.to_owned()));
            }
            if !copy(args, time, output, host) {
                if host.aborted() {
                    return Err(Failure::Stopped);
                }
                return Err(Failure::no_picture(Input::Source, plate));
            }
        }
        (None, None) if !scene.temporal_access => {
            return Err(Failure::Message(ONE_FRAME.to_owned()));
        }
        (None, None) => {
            let warning = make::from_host(scene, &order, frame, args, output, host)?;
            if warning.is_some() {
                return Ok(warning);
            }
        }
    }
    Ok(trouble(&known().shelves.get(&order.setup)).or_else(notices::next))
}

/// The host's pixels for the format of a plate file: those of Source, else
/// those of the output that are as large as the plate asks for.
fn format_of(
    scene: &Scene,
    order: &Order,
    args: &RenderArgs,
    output: &Image<'_>,
    host: &mut dyn Host,
) -> Rect {
    let region = super::actions::format(scene, order, host).unwrap_or([0.0, 0.0, 1.0, 1.0]);
    let aspect = super::actions::pixel_aspect(scene);
    let scale = scale_of(&region, aspect, args.scale, &output.region());
    pixels_of(&region, aspect, scale.unwrap_or(args.scale))
}
