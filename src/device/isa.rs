//! Which vector instructions this machine has, found out at run time.

use once_cell::sync::Lazy;

/// A set of vector instructions that an operation has a path for; each has those before
/// it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
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
    pub(crate) fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            all.push(Self::Avx2);
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                all.push(Self::Avx512);
            }
        }
        all
    }

    /// The fastest that this machine can run, or what `LONGTAKE_CPU` names as the most
    /// that is used: `portable`, `avx2`, `avx512`. The results are the same bits; it is
    /// there to show that, and to measure what another machine would take.
    pub(crate) fn best() -> Self {
        static BEST: Lazy<Isa> = Lazy::new(|| {
            let most = std::env::var("LONGTAKE_CPU").unwrap_or_default();
            Isa::among(&Isa::available(), &most)
        });
        *BEST
    }

    /// The last of `available` that is no more than `most`; the last of all where `most`
    /// names none.
    fn among(available: &[Self], most: &str) -> Self {
        let named = available.iter().find(|isa| isa.name() == most);
        *named.or(available.last()).unwrap_or(&Self::Portable)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }
}

/// Compiles a loop for each set of instructions and runs the best: the body is
/// plain Rust that the compiler turns into vectors. Products are not fused with
/// sums, so that every path gives the same bits.
///
/// Methods, and functions that are not the same text for each set, list what runs where,
/// in functions that they name (a macro makes no names); a set that is not listed takes
/// the next smaller one. What is called there is to be `inline(always)`, else it is not
/// compiled for the set.
///
/// ```ignore
/// vectorised! {
///     fn sweep(&mut self, p: &Problem) {
///         Portable: self.sweep_any::<16>(p),
///         Avx512 sweep_avx512: self.sweep_any::<32>(p),
///         Avx2 sweep_avx2: self.sweep_any::<16>(p),
///     }
/// }
/// ```
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident(&mut $this:ident $(, $arg:ident: $ty:ty)* $(,)?)
        $(-> $out:ty)? { $($paths:tt)* }) => {
        vectorised!(@choose [$(#[$meta])* $vis] $name Self (&mut $this $(, $arg: $ty)*)
            ($this $(, $arg)*) [$($out)?] $($paths)*);
    };
    ($(#[$meta:meta])* $vis:vis fn $name:ident(&$this:ident $(, $arg:ident: $ty:ty)* $(,)?)
        $(-> $out:ty)? { $($paths:tt)* }) => {
        vectorised!(@choose [$(#[$meta])* $vis] $name Self (&$this $(, $arg: $ty)*)
            ($this $(, $arg)*) [$($out)?] $($paths)*);
    };
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?)
        $(-> $out:ty)? { Portable: $($paths:tt)* }) => {
        vectorised!(@choose [$(#[$meta])* $vis] $name self ($($arg: $ty),*)
            ($($arg),*) [$($out)?] Portable: $($paths)*);
    };
    (@choose $head:tt $name:ident $scope:ident $params:tt $args:tt [] $($paths:tt)*) => {
        vectorised!(@choose $head $name $scope $params $args [()] $($paths)*);
    };
    (@choose [$($head:tt)*] $name:ident $scope:ident $params:tt $args:tt [$out:ty]
        Portable: $portable:expr, $($isa:ident $path:ident: $with:expr),* $(,)?) => {
        $($head)* fn $name $params -> $out {
            $(
                #[cfg(target_arch = "x86_64")]
                if $crate::device::isa::Isa::best() >= $crate::device::isa::Isa::$isa {
                    // SAFETY: `best` names only what this machine was found to have.
                    return unsafe { $scope::$path $args };
                }
            )*
            $portable
        }
        $(vectorised!(@compile $isa $path $params $out, $with);)*
    };
    (@compile Avx512 $path:ident $params:tt $out:ty, $with:expr) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512bw")]
        fn $path $params -> $out {
            $with
        }
    };
    (@compile Avx2 $path:ident $params:tt $out:ty, $with:expr) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn $path $params -> $out {
            $with
        }
    };
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
            match $crate::device::isa::Isa::best() {
                // SAFETY: `best` names only what this machine was found to have.
                #[cfg(target_arch = "x86_64")]
                $crate::device::isa::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::device::isa::Isa::Avx2 => unsafe { avx2($($arg),*) },
                $crate::device::isa::Isa::Portable => body($($arg),*),
            }
        }
    };
}
pub(crate) use vectorised;
