//! What can go wrong with a device, each with what to do about it.

use cudarc::driver::sys::CUresult;

/// The version of CUDA that the kernels are compiled with; a driver must be as new.
pub const NEEDED: (i32, i32) = (13, 0);

/// Why a device cannot do what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No driver library is installed.
    #[error("no NVIDIA driver was found on this machine: install one, or work on the CPU")]
    NoDriver,
    /// The driver is older than the kernels.
    #[error(
        "the NVIDIA driver of this machine knows CUDA {}.{}, {}.{} is needed: install driver 580 or newer, or work on the CPU",
        found.0, found.1, NEEDED.0, NEEDED.1
    )]
    OldDriver {
        /// What it knows.
        found: (i32, i32),
    },
    /// The driver is there and sees no device.
    #[error(
        "the NVIDIA driver sees no GPU: look whether one is installed and shown to this process (CUDA_VISIBLE_DEVICES), or work on the CPU"
    )]
    NoDevice,
    /// The device is of a kind that the kernels were not compiled for.
    #[error("{name} is of compute capability {}.{}, 8.0 is the least that Longtake's kernels know: work on the CPU", capability.0, capability.1)]
    OldDevice {
        /// The device's name.
        name: String,
        /// Its compute capability.
        capability: (i32, i32),
    },
    /// This build has no kernels in it.
    #[error(
        "this build of Longtake was made without nvcc and has no GPU kernels: build it with `cargo xtask kernels` first, or work on the CPU"
    )]
    NoKernels,
    /// The driver was updated, and the machine runs with the one before.
    #[error(
        "the NVIDIA driver was updated while this machine ran, and its parts do not go together: restart the machine, or work on the CPU"
    )]
    Mixed,
    /// Another process has the device to itself.
    #[error(
        "another process has the GPU to itself: end it, set the GPU's compute mode to default (nvidia-smi -c 0), or work on the CPU"
    )]
    Taken,
    /// Not enough device memory.
    #[error(
        "the GPU is out of memory{}; close other programs that use the GPU, or work on the CPU",
        amounts(*wanted, *free, *total)
    )]
    OutOfMemory {
        /// Bytes asked for; 0 where that is not known.
        wanted: usize,
        /// Bytes that were free.
        free: usize,
        /// Bytes that the device has; 0 where nobody could tell.
        total: usize,
    },
    /// The device or its driver failed; it is of no more use to this process.
    #[error(
        "the GPU was lost ({0}): what was finished is kept; if it happens again, look at the machine's log (dmesg) and the GPU's temperature, or work on the CPU"
    )]
    Lost(String),
    /// A trial gave other numbers than the CPU.
    #[error(
        "{0} gives other numbers than the CPU for the same work, so it is not used: please report this with the driver's version"
    )]
    Differs(String),
    /// A call that the driver refused: a fault of ours.
    #[error(
        "the NVIDIA driver refused {call} ({code}): please report this, and work on the CPU meanwhile"
    )]
    Refused {
        /// What was called.
        call: &'static str,
        /// What it answered.
        code: String,
    },
}

impl DeviceError {
    /// What the driver's answer `code` to `call` means; memory is told apart where
    /// its amounts are known.
    pub(super) fn of(code: CUresult, call: &'static str) -> Self {
        use CUresult as C;
        match code {
            C::CUDA_ERROR_NO_DEVICE => Self::NoDevice,
            C::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => Self::Mixed,
            C::CUDA_ERROR_DEVICE_UNAVAILABLE => Self::Taken,
            C::CUDA_ERROR_OUT_OF_MEMORY => Self::OutOfMemory {
                wanted: 0,
                free: 0,
                total: 0,
            },
            C::CUDA_ERROR_LAUNCH_FAILED
            | C::CUDA_ERROR_ILLEGAL_ADDRESS
            | C::CUDA_ERROR_ILLEGAL_INSTRUCTION
            | C::CUDA_ERROR_MISALIGNED_ADDRESS
            | C::CUDA_ERROR_INVALID_PC
            | C::CUDA_ERROR_INVALID_ADDRESS_SPACE
            | C::CUDA_ERROR_HARDWARE_STACK_ERROR
            | C::CUDA_ERROR_LAUNCH_TIMEOUT
            | C::CUDA_ERROR_ECC_UNCORRECTABLE
            | C::CUDA_ERROR_NVLINK_UNCORRECTABLE
            | C::CUDA_ERROR_CONTEXT_IS_DESTROYED
            | C::CUDA_ERROR_DEINITIALIZED
            | C::CUDA_ERROR_SYSTEM_NOT_READY
            | C::CUDA_ERROR_UNKNOWN => Self::Lost(name(code)),
            _ => Self::Refused {
                call,
                code: name(code),
            },
        }
    }

    /// `call` was not given all that it needs.
    pub(crate) fn missing(call: &'static str) -> Self {
        Self::Refused {
            call,
            code: "an array is missing or of another shape".to_owned(),
        }
    }

    /// Whether the device may serve again, if asked for less or later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::OutOfMemory { .. } | Self::Taken)
    }
}

/// What is known of the memory that was too little: nothing where the driver had none
/// for itself.
fn amounts(wanted: usize, free: usize, total: usize) -> String {
    match total {
        0 => String::new(),
        _ => format!(
            ": {} MB more were needed, {} of {} MB were free",
            wanted.div_ceil(1 << 20),
            free >> 20,
            total >> 20
        ),
    }
}

fn name(code: CUresult) -> String {
    format!("{code:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_figures_only_where_there_are_any() {
        let text = DeviceError::of(CUresult::CUDA_ERROR_OUT_OF_MEMORY, "a context").to_string();
        assert!(
            text.starts_with("the GPU is out of memory; close"),
            "{text}"
        );
        let some = DeviceError::OutOfMemory {
            wanted: (3 << 20) + 1,
            free: 2 << 20,
            total: 80 << 20,
        };
        let says = "out of memory: 4 MB more were needed, 2 of 80 MB were free; close";
        assert!(some.to_string().contains(says), "{some}");
    }
}
