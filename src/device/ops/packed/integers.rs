//! GGUF's blocks of integers: those of 32 values with one scale, and those of 256 that
//! have scales of few bits for each 16 or 32 (`K`).

use super::block::{LARGE, half, u32_at};

/// 16 bytes of two integers each: the lower bits of all, then the upper.
fn halves(codes: &[u8], out: &mut [f32; 32], value: impl Fn(usize, u8) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for (i, code) in codes.iter().enumerate() {
        low[i] = value(i, code & 15);
        high[i] = value(i + 16, code >> 4);
    }
}

/// Scale; integers from -8.
pub fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half(block, 0);
    halves(&block[2..], out, |_, q| scale * (f32::from(q) - 8.0));
}

/// Scale, smallest value; integers from 0.
pub fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    halves(&block[4..], out, |_, q| scale * f32::from(q) + least);
}

/// Scale, fifth bits; integers from -16.
pub fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let (scale, fifth) = (half(block, 0), u32_at(block, 2));
    halves(&block[6..], out, |i, q| {
        let q = q | ((fifth >> i & 1) as u8) << 4;
        scale * (f32::from(q) - 16.0)
    });
}

/// Scale, smallest value, fifth bits; integers from 0.
pub fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (scale, least, fifth) = (half(block, 0), half(block, 2), u32_at(block, 4));
    halves(&block[8..], out, |i, q| {
        let q = q | ((fifth >> i & 1) as u8) << 4;
        scale * f32::from(q) + least
    });
}

/// Scale; integers with a sign.
pub fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half(block, 0);
    for (out, q) in out.iter_mut().zip(&block[2..]) {
        *out = scale * f32::from(*q as i8);
    }
}

/// For each 16 values four bits of scale and four of what is taken off; integers of two
/// bits, four to a byte by each 128 values; the scales of both.
pub fn q2_k(block: &[u8; 84], out: &mut [f32; LARGE]) {
    let (scale, least) = (half(block, 80), half(block, 82));
    for (i, out) in out.chunks_mut(16).enumerate() {
        let own = scale * f32::from(block[i] & 15);
        let off = least * f32::from(block[i] >> 4);
        let codes = &block[16 + i / 8 * 32 + i % 2 * 16..][..16];
        let shift = i / 2 % 4 * 2;
        for (out, code) in out.iter_mut().zip(codes) {
            *out = own * f32::from(code >> shift & 3) - off;
        }
    }
}

/// Third bits, eight to a byte; integers as in [`q2_k`], from -4; for each 16 values six
/// bits of scale: four, then two more; scale.
pub fn q3_k(block: &[u8; 110], out: &mut [f32; LARGE]) {
    let (scale, scales) = (half(block, 108), &block[96..108]);
    for (i, out) in out.chunks_mut(16).enumerate() {
        let lower = scales[i % 8] >> (i / 8 * 4) & 15;
        let upper = scales[8 + i % 4] >> (i / 4 * 2) & 3;
        let own = scale * (f32::from(lower | upper << 4) - 32.0);
        let half = i % 2 * 16;
        let (third, codes) = (&block[half..][..16], &block[32 + i / 8 * 32 + half..][..16]);
        let shift = i / 2 % 4 * 2;
        for ((out, code), third) in out.iter_mut().zip(codes).zip(third) {
            let q = (code >> shift & 3) | (third >> (i / 2) & 1) << 2;
            *out = own * (f32::from(q) - 4.0);
        }
    }
}

/// The scale of the `i`th 32 values and what is taken off: six bits each, of eight of
/// both in twelve bytes.
fn six_bits(scales: &[u8], i: usize) -> (f32, f32) {
    let (scale, off) = match i {
        0..4 => (scales[i] & 63, scales[i + 4] & 63),
        _ => (
            (scales[i + 4] & 15) | scales[i - 4] >> 6 << 4,
            (scales[i + 4] >> 4) | scales[i] >> 6 << 4,
        ),
    };
    (f32::from(scale), f32::from(off))
}

/// The scales of both, scales, integers of four bits: for each 64 values 32 bytes, the
/// lower bits of all, then the upper.
pub fn q4_k(block: &[u8; 144], out: &mut [f32; LARGE]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for (i, out) in out.chunks_mut(32).enumerate() {
        let (own, off) = six_bits(&block[4..16], i);
        let (own, off) = (scale * own, least * off);
        let codes = &block[16 + i / 2 * 32..][..32];
        let shift = i % 2 * 4;
        for (out, code) in out.iter_mut().zip(codes) {
            *out = own * f32::from(code >> shift & 15) - off;
        }
    }
}

/// As [`q4_k`], with fifth bits between, eight to a byte.
pub fn q5_k(block: &[u8; 176], out: &mut [f32; LARGE]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    let fifth = &block[16..48];
    for (i, out) in out.chunks_mut(32).enumerate() {
        let (own, off) = six_bits(&block[4..16], i);
        let (own, off) = (scale * own, least * off);
        let codes = &block[48 + i / 2 * 32..][..32];
        let shift = i % 2 * 4;
        for ((out, code), fifth) in out.iter_mut().zip(codes).zip(fifth) {
            let q = (code >> shift & 15) | (fifth >> i & 1) << 4;
            *out = own * f32::from(q) - off;
        }
    }
}

/// Four lower bits, two upper, four to a byte, by each 128 values; for each 16 a scale of
/// eight bits with a sign; scale. Integers from -32.
pub fn q6_k(block: &[u8; 210], out: &mut [f32; LARGE]) {
    let scale = half(block, 208);
    for (i, out) in out.chunks_mut(16).enumerate() {
        let own = scale * f32::from(block[192 + i] as i8);
        let (part, half) = (i / 8, i % 2 * 16);
        // Of 128 values 64 bytes: the lower bits of the first 64, then the upper.
        let lower = &block[part * 64 + i / 2 % 2 * 32 + half..][..16];
        let upper = &block[128 + part * 32 + half..][..16];
        let (shift, above) = (i / 4 % 2 * 4, i / 2 % 4 * 2);
        for ((out, low), up) in out.iter_mut().zip(lower).zip(upper) {
            let q = (low >> shift & 15) | (up >> above & 3) << 4;
            *out = own * (f32::from(q) - 32.0);
        }
    }
}
