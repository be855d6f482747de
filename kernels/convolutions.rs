//! Convolutions of any shape on a device: by cuDNN where it has an engine for the shape,
//! else by the kernel of our own.

use crate::convolve::{self, Convolution};
use crate::driver::{DeviceError, Part, PartMut, Stream};
use crate::number::Number;

/// What runs convolutions on one stream.
pub struct Convolutions {
    stream: Stream,
}

impl Convolutions {
    /// On `stream`.
    pub fn new(stream: &Stream) -> Self {
        Self {
            stream: stream.clone(),
        }
    }

    /// The stream.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Queues [`convolve`](convolve::convolve). `O` is `T`, or f32.
    pub fn run<T: Number, O: Number>(
        &mut self,
        of: &Convolution,
        x: Part<'_, T>,
        weight: Part<'_, T>,
        y: PartMut<'_, O>,
    ) -> Result<(), DeviceError> {
        convolve::launch(&self.stream, of, x, weight, y)
    }
}
