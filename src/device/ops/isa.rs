//! Which vector instructions this machine has, found out at run time.

/// A set of vector instructions that an operation has a path for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// Plain Rust, as the build's target has it.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// All that this machine can run, the fastest last.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            all.push(Self::Avx2);
            if is_x86_feature_detected!("avx512f") {
                all.push(Self::Avx512);
            }
        }
        all
    }

    /// The fastest that this machine can run.
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            // The standard library keeps what it detected; this costs nothing.
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return if is_x86_feature_detected!("avx512f") {
                    Self::Avx512
                } else {
                    Self::Avx2
                };
            }
        }
        Self::Portable
    }
}

/// Compiles a loop for each set of instructions and runs the best: the body is
/// plain Rust that the compiler turns into vectors. Products are not fused with
/// sums, so that every path gives the same bits.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn body($($arg: $ty),*) $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            fn avx512($($arg: $ty),*) {
                body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($arg: $ty),*) {
                body($($arg),*)
            }
            match $crate::device::ops::isa::Isa::best() {
                // SAFETY: `best` names only what this machine was found to have.
                #[cfg(target_arch = "x86_64")]
                $crate::device::ops::isa::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::device::ops::isa::Isa::Avx2 => unsafe { avx2($($arg),*) },
                $crate::device::ops::isa::Isa::Portable => body($($arg),*),
            }
        }
    };
}
pub(crate) use vectorised;
