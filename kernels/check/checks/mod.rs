//! The checks, a file for each kernel.

mod agreement;
mod attention;
mod convolve;
mod flow;
mod frame_distance;
mod gather;
mod host_stream;
mod modulate;
mod noise;
mod normalise;
mod pixels;
mod rms_norm;
mod sampler_step;
mod shortcut;
mod softmax;

use libtest_mimic::Failed;

use crate::lab::Lab;
use crate::rate::Rate;

/// One kernel's check.
pub struct Check {
    /// The kernel's file, or the part of the driver's layer.
    pub name: &'static str,
    /// Holds it against its twin.
    pub run: fn(&mut Lab) -> Result<(), Failed>,
    /// Runs it at a size that matters and tells what it moved.
    pub rate: fn(&mut Lab) -> Result<Vec<Rate>, Failed>,
}

/// All of them.
pub static CHECKS: &[Check] = &[
    agreement::CHECK,
    attention::CHECK,
    convolve::CHECK,
    flow::CHECK,
    frame_distance::CHECK,
    gather::CHECK,
    host_stream::CHECK,
    modulate::CHECK,
    noise::CHECK,
    normalise::CHECK,
    pixels::CHECK,
    rms_norm::CHECK,
    sampler_step::CHECK,
    shortcut::CHECK,
    softmax::CHECK,
];
