//! Four floats at once. The compiler does not reliably keep a pixel of four
//! channels in one register, and half of a warped frame's time is spent there.
//! On x86-64 these are SSE, which every such processor has; elsewhere plain
//! code. Both give the same bits: no operation is fused or reordered.

/// Four floats.
#[derive(Clone, Copy)]
pub(super) struct Quad(imp::Four);

impl Quad {
    /// All lanes `v`.
    #[inline(always)]
    pub(super) fn splat(v: f32) -> Self {
        Self(imp::load(&[v; 4]))
    }

    #[inline(always)]
    pub(super) fn load(v: &[f32; 4]) -> Self {
        Self(imp::load(v))
    }

    #[inline(always)]
    pub(super) fn to_array(self) -> [f32; 4] {
        imp::store(self.0)
    }

    #[inline(always)]
    pub(super) fn add(self, other: Self) -> Self {
        Self(imp::add(self.0, other.0))
    }

    #[inline(always)]
    pub(super) fn sub(self, other: Self) -> Self {
        Self(imp::sub(self.0, other.0))
    }

    #[inline(always)]
    pub(super) fn mul(self, other: Self) -> Self {
        Self(imp::mul(self.0, other.0))
    }

    /// Where `self < other` `self`, else (where either is not a number, too)
    /// `other`.
    #[inline(always)]
    pub(super) fn or_less(self, other: Self) -> Self {
        Self(imp::less(self.0, other.0))
    }

    /// Where `self > other` `self`, else (where either is not a number, too)
    /// `other`.
    #[inline(always)]
    pub(super) fn or_more(self, other: Self) -> Self {
        Self(imp::more(self.0, other.0))
    }

    /// Whether any lane is infinite or not a number.
    #[inline(always)]
    pub(super) fn any_not_finite(self) -> bool {
        // Zero for all that is finite.
        let d = self.sub(self).to_array();
        ((d[0] + d[1]) + (d[2] + d[3])).is_nan()
    }
}

#[cfg(target_arch = "x86_64")]
mod imp {
    use std::arch::x86_64::{
        __m128, _mm_add_ps, _mm_loadu_ps, _mm_max_ps, _mm_min_ps, _mm_mul_ps, _mm_storeu_ps,
        _mm_sub_ps,
    };

    pub(super) type Four = __m128;

    #[inline(always)]
    pub(super) fn load(v: &[f32; 4]) -> Four {
        // SAFETY: four floats are readable at `v`; SSE is part of x86-64. The
        // same holds for the other functions here.
        unsafe { _mm_loadu_ps(v.as_ptr()) }
    }

    #[inline(always)]
    pub(super) fn store(v: Four) -> [f32; 4] {
        let mut out = [0.0; 4];
        // SAFETY: four floats are writable at `out`.
        unsafe { _mm_storeu_ps(out.as_mut_ptr(), v) };
        out
    }

    #[inline(always)]
    pub(super) fn add(a: Four, b: Four) -> Four {
        // SAFETY: see `load`.
        unsafe { _mm_add_ps(a, b) }
    }

    #[inline(always)]
    pub(super) fn sub(a: Four, b: Four) -> Four {
        // SAFETY: see `load`.
        unsafe { _mm_sub_ps(a, b) }
    }

    #[inline(always)]
    pub(super) fn mul(a: Four, b: Four) -> Four {
        // SAFETY: see `load`.
        unsafe { _mm_mul_ps(a, b) }
    }

    #[inline(always)]
    pub(super) fn less(a: Four, b: Four) -> Four {
        // SAFETY: see `load`.
        unsafe { _mm_min_ps(a, b) }
    }

    #[inline(always)]
    pub(super) fn more(a: Four, b: Four) -> Four {
        // SAFETY: see `load`.
        unsafe { _mm_max_ps(a, b) }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
#[cfg_attr(target_arch = "x86_64", allow(dead_code))]
mod plain {
    pub(super) type Four = [f32; 4];

    pub(super) fn load(v: &[f32; 4]) -> Four {
        *v
    }

    pub(super) fn store(v: Four) -> [f32; 4] {
        v
    }

    pub(super) fn add(a: Four, b: Four) -> Four {
        std::array::from_fn(|i| a[i] + b[i])
    }

    pub(super) fn sub(a: Four, b: Four) -> Four {
        std::array::from_fn(|i| a[i] - b[i])
    }

    pub(super) fn mul(a: Four, b: Four) -> Four {
        std::array::from_fn(|i| a[i] * b[i])
    }

    pub(super) fn less(a: Four, b: Four) -> Four {
        std::array::from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    pub(super) fn more(a: Four, b: Four) -> Four {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
}

#[cfg(not(target_arch = "x86_64"))]
use plain as imp;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_and_plain_code_agree_to_the_bit() {
        let values = [
            0.0,
            -0.0,
            1.0,
            -2.5,
            1e-40,
            3.4e38,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
        ];
        for a in values {
            for b in values {
                let (p, q) = ([a, b, 1.5, a], [b, a, a, 0.3]);
                let (x, y) = (Quad::load(&p), Quad::load(&q));
                for (got, want) in [
                    (x.add(y), plain::add(p, q)),
                    (x.sub(y), plain::sub(p, q)),
                    (x.mul(y), plain::mul(p, q)),
                    (x.or_less(y), plain::less(p, q)),
                    (x.or_more(y), plain::more(p, q)),
                ] {
                    for (g, w) in got.to_array().into_iter().zip(want) {
                        assert!(g.to_bits() == w.to_bits() || (g.is_nan() && w.is_nan()));
                    }
                }
                let finite = p.iter().all(|v| v.is_finite());
                assert_eq!(x.any_not_finite(), !finite);
            }
        }
    }
}
