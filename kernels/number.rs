//! The precisions that tensors come in.

use half::{bf16, f16};

use crate::driver::Plain;

/// A number of a tensor: f32, f16 or bf16. Work on it is done in f32.
pub trait Number: Plain + Default {
    /// What kernels for it end in.
    const NAME: &'static str;
    /// As f32; exact.
    fn widen(self) -> f32;
    /// The nearest to `v`, ties to even.
    fn narrow(v: f32) -> Self;
}

impl Number for f32 {
    const NAME: &'static str = "f32";
    fn widen(self) -> f32 {
        self
    }
    fn narrow(v: f32) -> Self {
        v
    }
}

impl Number for f16 {
    const NAME: &'static str = "f16";
    fn widen(self) -> f32 {
        self.to_f32()
    }
    fn narrow(v: f32) -> Self {
        Self::from_f32(v)
    }
}

impl Number for bf16 {
    const NAME: &'static str = "bf16";
    fn widen(self) -> f32 {
        self.to_f32()
    }
    fn narrow(v: f32) -> Self {
        Self::from_f32(v)
    }
}

/// The one of three names that belongs to `T`.
pub(crate) fn pick<T: Number>(names: [&'static str; 3]) -> &'static str {
    match T::NAME {
        "f32" => names[0],
        "f16" => names[1],
        _ => names[2],
    }
}
