//! Devices, their memory, and the running of kernels. The driver is opened at run
//! time, when a device is first asked for: a machine without one works as before.

mod context;
mod device;
mod error;
mod host_stream;
mod memory;
mod pieces;
mod stream;
mod transfer;

pub use context::CallersContext;
pub use device::Device;
pub use error::{DeviceError, NEEDED};
pub use host_stream::{DeviceRows, HostStream};
pub use memory::{Buffer, Part, PartMut, Pinned, Plain};
pub use stream::{Grid, Mark, Stream, Timer};
pub use transfer::Transfer;

use cudarc::driver::sys::CUresult;

/// The driver's answer to `call` as a result.
fn answer(code: CUresult, call: &'static str) -> Result<(), DeviceError> {
    match code {
        CUresult::CUDA_SUCCESS => Ok(()),
        code => Err(DeviceError::of(code, call)),
    }
}
