//! What a file of a frame carries besides its pixels, and how it is kept from
//! the plate to the frames that are made of it.

pub(super) use super::carried::Carried;
use super::png::PngColours;
use super::time_code::TimeCode;
use crate::frame::{PlateInfo, Transfer, Window};

/// How a file keeps one channel's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleDepth {
    /// 16-bit float.
    Half,
    /// 32-bit float.
    Float,
    /// 32-bit whole numbers, read as such numbers; exact up to 2^24.
    Uint,
    /// 32-bit whole numbers that are names of things: a picture has their bits in place
    /// of a float, whatever number that would be, so that all of them are exact.
    Bits32,
    /// 8 bits from 0 to 1.
    Bits8,
    /// 16 bits from 0 to 1.
    Bits16,
}

/// One channel of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelFormat {
    /// As the file names it.
    pub name: String,
    /// Which of `R`, `G`, `B` and `A` it serves as, where its own name is another: of the
    /// layer that is looked at in a file without a picture outside of layers.
    pub serves_as: Option<&'static str>,
    /// How its samples are kept.
    pub depth: SampleDepth,
    /// Whether its samples name things: never mixed, and kept as they are whatever other
    /// channels are rounded to.
    pub is_id: bool,
}

impl ChannelFormat {
    /// A channel of a picture's samples.
    pub fn new(name: &str, depth: SampleDepth) -> Self {
        Self {
            name: name.to_owned(),
            serves_as: None,
            depth,
            is_id: false,
        }
    }

    /// What a picture calls it.
    pub fn called(&self) -> &str {
        self.serves_as.unwrap_or(&self.name)
    }
}

/// What frames written beside a plate have in common with it.
#[derive(Clone, Debug)]
pub struct FrameHeader {
    /// The channels in the order of a picture's samples.
    pub channels: Vec<ChannelFormat>,
    /// What is displayed: the format of the shot.
    pub display_window: Window,
    /// What is stored, in the same coordinates: where the picture lies.
    pub data_window: Window,
    /// Width of a pixel over its height.
    pub pixel_aspect: f64,
    /// Frames in a second, where known.
    pub fps: Option<f64>,
    /// A frame's number and its time code; other frames count from there.
    pub time_code: Option<(i32, TimeCode)>,
    /// How the samples of the pictures relate to light.
    pub transfer: Transfer,
    /// Whether colours are multiplied by alpha, as EXR has them, or not, as PNG.
    pub premultiplied: bool,
    /// The other EXR attributes: of a plate's header, those that all its frames have
    /// alike.
    pub(super) carried: Option<Box<Carried>>,
    /// What a PNG tells of its colours, where it is not that they are sRGB's.
    pub(super) png_colours: Option<PngColours>,
}

impl FrameHeader {
    /// The channel that colours are multiplied by, if they are.
    pub(super) fn multiplied_by(&self) -> Option<usize> {
        self.alpha().filter(|_| self.premultiplied)
    }

    /// The channel of alpha.
    pub(super) fn alpha(&self) -> Option<usize> {
        self.channels.iter().position(|c| c.called() == "A")
    }

    /// A plain header for pictures as `info` tells, at the origin, in half.
    pub fn new(info: &PlateInfo) -> Self {
        let window = Window::whole(info.width, info.height);
        Self {
            channels: info
                .channels
                .iter()
                .map(|name| ChannelFormat {
                    is_id: info.ids.contains(name),
                    ..ChannelFormat::new(name, SampleDepth::Half)
                })
                .collect(),
            display_window: window,
            data_window: window,
            pixel_aspect: info.pixel_aspect,
            fps: Some(info.fps),
            time_code: None,
            transfer: info.transfer,
            premultiplied: true,
            carried: None,
            png_colours: None,
        }
    }

    /// The header of pictures made smaller by `factor` in width and height, as
    /// [`ScaledPlate`](crate::frame::ScaledPlate) makes them.
    pub fn scaled(&self, factor: usize) -> Self {
        let data = self.data_window;
        let by = i32::try_from(factor.max(1)).unwrap_or(i32::MAX);
        let x0 = data.x0.div_euclid(by);
        let y0 = data.y0.div_euclid(by);
        let display = self.display_window;
        let up = |v: i32| -(-v).div_euclid(by);
        Self {
            data_window: Window {
                x0,
                y0,
                x1: x0 + data.width().div_ceil(factor.max(1)) as i32,
                y1: y0 + data.height().div_ceil(factor.max(1)) as i32,
            },
            display_window: Window {
                x0: display.x0.div_euclid(by),
                y0: display.y0.div_euclid(by),
                x1: up(display.x1),
                y1: up(display.y1),
            },
            ..self.clone()
        }
    }
}
