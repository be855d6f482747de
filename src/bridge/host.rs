//! The host, as the node knows it.

use std::pin::Pin;

use super::convert::{image_of, input_of};
use super::ffi;
use crate::node;

/// The host, as the node knows it.
pub(super) struct Calls<'a> {
    /// The instance that is at work.
    pub(super) instance: u64,
    pub(super) host: Pin<&'a mut ffi::HostCalls>,
    /// The GPU that its pictures lie on, in a render that has them there.
    pub(super) cuda: Option<&'a node::Cuda>,
}

impl node::Host for Calls<'_> {
    fn instance(&self) -> u64 {
        self.instance
    }

    fn image(
        &mut self,
        input: node::Input,
        time: f64,
        see: &mut dyn FnMut(&node::Image<'_>),
    ) -> bool {
        /// Gives the picture back on every way out.
        struct Borrowed<'b, 'a>(&'b mut Calls<'a>, ffi::Image);
        impl Drop for Borrowed<'_, '_> {
            fn drop(&mut self) {
                self.0.host.as_mut().release(&self.1);
            }
        }
        let image = self.host.as_mut().image(input_of(input), time);
        if image.handle == 0 {
            return false;
        }
        let borrowed = Borrowed(self, image);
        // SAFETY: the picture stays the host's until `borrowed` is dropped,
        // after `see` has returned.
        match unsafe { image_of(&borrowed.1, borrowed.0.cuda) } {
            Some(image) => {
                see(&image);
                true
            }
            None => false,
        }
    }

    fn region(&mut self, input: node::Input, time: f64) -> Option<[f64; 4]> {
        let region = self.host.as_mut().region(input_of(input), time);
        region.known.then_some(region.rect)
    }

    fn aborted(&mut self) -> bool {
        self.host.as_mut().aborted()
    }

    fn progress(&mut self, stage: &str, fraction: f64) -> bool {
        self.host.as_mut().progress(stage, fraction)
    }

    fn enable(&mut self, name: &str, on: bool) {
        self.host.as_mut().enable(name, on);
    }

    fn show(&mut self, name: &str, text: &str) {
        self.host.as_mut().show(name, text);
    }
}
