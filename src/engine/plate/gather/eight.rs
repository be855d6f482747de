//! Eight floats at once, for two pixels of up to four channels side by side, where the
//! processor has AVX. The operations are those of [`Quad`](super::quad::Quad), to the
//! bit.

use std::arch::x86_64::{
    __m256, _mm_loadu_ps, _mm256_add_ps, _mm256_blend_ps, _mm256_max_ps, _mm256_min_ps,
    _mm256_mul_ps, _mm256_set_m128, _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps,
};

/// Two times four floats.
#[derive(Clone, Copy)]
pub(super) struct Eight(__m256);

impl Eight {
    /// `a` four times, then `b` four times.
    #[inline]
    #[target_feature(enable = "avx")]
    pub(super) fn splat(a: f32, b: f32) -> Self {
        Self(_mm256_blend_ps::<0xf0>(
            _mm256_set1_ps(a),
            _mm256_set1_ps(b),
        ))
    }

    #[inline]
    #[target_feature(enable = "avx")]
    pub(super) fn load(a: &[f32; 4], b: &[f32; 4]) -> Self {
        // SAFETY: four floats are readable at either.
        let (a, b) = unsafe { (_mm_loadu_ps(a.as_ptr()), _mm_loadu_ps(b.as_ptr())) };
        Self(_mm256_set_m128(b, a))
    }

    #[inline]
    #[target_feature(enable = "avx")]
    pub(super) fn to_array(self) -> [f32; 8] {
        let mut out = [0.0; 8];
        // SAFETY: eight floats are writable at `out`.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), self.0) };
        out
    }

    #[inline]
    #[target_feature(enable = "avx")]
    pub(super) fn add(self, other: Self) -> Self {
        Self(_mm256_add_ps(self.0, other.0))
    }

    #[inline]
    #[target_feature(enable = "avx")]
    pub(super) fn mul(self, other: Self) -> Self {
        Self(_mm256_mul_ps(self.0, other.0))
    }

    /// As of [`Quad`](super::quad::Quad::or_less).
    #[inline]
    #[target_feature(enable = "avx")]
    pub(super) fn or_less(self, other: Self) -> Self {
        Self(_mm256_min_ps(self.0, other.0))
    }

    /// As of [`Quad`](super::quad::Quad::or_more).
    #[inline]
    #[target_feature(enable = "avx")]
    pub(super) fn or_more(self, other: Self) -> Self {
        Self(_mm256_max_ps(self.0, other.0))
    }

    /// Whether any lane is infinite or not a number.
    #[inline]
    #[target_feature(enable = "avx")]
    pub(super) fn any_not_finite(self) -> bool {
        // Zero for all that is finite.
        let d = Self(_mm256_sub_ps(self.0, self.0)).to_array();
        d.iter().sum::<f32>().is_nan()
    }
}
