//! GGUF's blocks whose small integers are codes: places in a list of levels, or in a
//! grid of points of several values.

use half::f16;

use super::block::{LARGE, half, nibble, u16_at, u32_at};
use super::grids;

/// The levels of four bits: closer together where weights are many.
const LEVELS: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// 16 bytes of two codes each: the lower bits of all, then the upper.
fn levels(codes: &[u8], scale: f32, out: &mut [f32]) {
    let (low, high) = out.split_at_mut(16);
    for ((code, low), high) in codes.iter().zip(low).zip(high) {
        *low = scale * f32::from(LEVELS[usize::from(code & 15)]);
        *high = scale * f32::from(LEVELS[usize::from(code >> 4)]);
    }
}

/// The values of `point` times `scale`, negative where `signs` has a bit.
fn signed<const N: usize>(point: &[i8; N], signs: u8, scale: f32, out: &mut [f32]) {
    for (i, (out, value)) in out.iter_mut().zip(point).enumerate() {
        let sign = u32::from(signs >> i & 1) << 31;
        *out = f32::from_bits((scale * f32::from(*value)).to_bits() ^ sign);
    }
}

/// Eight signs of seven bits: an even number of them is negative.
fn even(bits: u32) -> u8 {
    let bits = (bits & 127) as u8;
    bits | ((bits.count_ones() as u8 & 1) << 7)
}

/// Scale; codes.
pub fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    levels(&block[2..], half(block, 0), out);
}

/// Scale; for each 32 values two upper bits of their scale, then four lower; codes.
pub fn iq4_xs(block: &[u8; 136], out: &mut [f32; LARGE]) {
    let (scale, upper) = (half(block, 0), u16_at(block, 2));
    let (lower, codes) = (&block[4..8], &block[8..]);
    for (i, (out, codes)) in out.chunks_mut(32).zip(codes.chunks(16)).enumerate() {
        let own = nibble(lower, i) | ((upper >> (2 * i) & 3) as u8) << 4;
        levels(codes, scale * (f32::from(own) - 32.0), out);
    }
}

/// Scale; eight lower bits of each place, the ninth bits, signs; for each 64 values two
/// scales.
pub fn iq3_s(block: &[u8; 110], out: &mut [f32; LARGE]) {
    let scale = half(block, 0);
    let (places, ninth) = (&block[2..66], &block[66..74]);
    let (signs, scales) = (&block[74..106], &block[106..]);
    for (i, out) in out.chunks_mut(4).enumerate() {
        let place = usize::from(places[i]) | usize::from(ninth[i / 8] >> (i % 8) & 1) << 8;
        let own = scale * f32::from(1 + 2 * nibble(scales, i / 8));
        signed(&grids::IQ3_S[place], nibble(signs, i), own, out);
    }
}

/// Scale; places; for each 32 values four times seven bits of signs and a scale.
pub fn iq3_xxs(block: &[u8; 98], out: &mut [f32; LARGE]) {
    let (scale, places) = (half(block, 0), &block[2..66]);
    for (i, out) in out.chunks_mut(32).enumerate() {
        let aside = u32_at(block, 66 + 4 * i);
        let own = scale * (0.5 + (aside >> 28) as f32) * 0.5;
        for (j, out) in out.chunks_mut(4).enumerate() {
            let place = usize::from(places[8 * i + j]);
            let signs = even(aside >> (7 * (j / 2))) >> (4 * (j % 2));
            signed(&grids::IQ3_XXS[place], signs, own, out);
        }
    }
}

/// Scale; eight lower bits of each place, signs, two upper bits; for each 32 values two
/// scales.
pub fn iq2_s(block: &[u8; 82], out: &mut [f32; LARGE]) {
    let scale = half(block, 0);
    let (places, signs) = (&block[2..34], &block[34..66]);
    let (upper, scales) = (&block[66..74], &block[74..]);
    for (i, out) in out.chunks_mut(8).enumerate() {
        let upper = upper[i / 4] >> (2 * (i % 4)) & 3;
        let place = usize::from(places[i]) | usize::from(upper) << 8;
        let own = scale * (0.5 + f32::from(nibble(scales, i / 2))) * 0.25;
        signed(&grids::IQ2_S[place], signs[i], own, out);
    }
}

/// Scale; for each 8 values nine bits of their place and seven of signs; for each 32 two
/// scales.
pub fn iq2_xs(block: &[u8; 74], out: &mut [f32; LARGE]) {
    let (scale, scales) = (half(block, 0), &block[66..]);
    for (i, out) in out.chunks_mut(8).enumerate() {
        let code = u16_at(block, 2 + 2 * i);
        let own = scale * (0.5 + f32::from(nibble(scales, i / 2))) * 0.25;
        let point = &grids::IQ2_XS[usize::from(code & 511)];
        signed(point, even(u32::from(code >> 9)), own, out);
    }
}

/// Scale; for each 32 values four places, four times seven bits of signs and a scale.
pub fn iq2_xxs(block: &[u8; 66], out: &mut [f32; LARGE]) {
    let scale = half(block, 0);
    for (i, out) in out.chunks_mut(32).enumerate() {
        let at = 2 + 8 * i;
        let aside = u32_at(block, at + 4);
        let own = scale * (0.5 + (aside >> 28) as f32) * 0.25;
        for (j, out) in out.chunks_mut(8).enumerate() {
            let point = &grids::IQ2_XXS[usize::from(block[at + j])];
            signed(point, even(aside >> (7 * j)), own, out);
        }
    }
}

/// The point at `place` of the grid of one bit, moved an eighth up, or down.
fn moved(place: usize, down: bool, scale: f32, out: &mut [f32]) {
    let by = if down { -0.125 } else { 0.125 };
    for (out, value) in out.iter_mut().zip(&grids::IQ1[place]) {
        *out = scale * (f32::from(*value) + by);
    }
}

/// Eight lower bits of each place; for each place three upper bits and whether it is
/// moved down; scales of three bits for each 16 values, and above them in four parts the
/// scale of all.
pub fn iq1_m(block: &[u8; 56], out: &mut [f32; LARGE]) {
    let (places, upper) = (&block[..32], &block[32..48]);
    let aside: [u16; 4] = std::array::from_fn(|i| u16_at(block, 48 + 2 * i));
    let scale = (0..4).fold(0, |bits, i| bits | aside[i] >> 12 << (4 * i));
    let scale = f16::from_bits(scale).to_f32();
    for (i, out) in out.chunks_mut(8).enumerate() {
        let upper = nibble(upper, i);
        let place = usize::from(places[i]) | usize::from(upper & 7) << 8;
        let own = aside[i / 8] >> (3 * (i / 2 % 4)) & 7;
        let own = scale * f32::from(2 * own + 1);
        moved(place, upper & 8 != 0, own, out);
    }
}

/// Scale; eight lower bits of each place; for each 32 values four times three upper bits,
/// a scale of three, and whether they are moved down.
pub fn iq1_s(block: &[u8; 50], out: &mut [f32; LARGE]) {
    let (scale, places) = (half(block, 0), &block[2..34]);
    for (i, out) in out.chunks_mut(32).enumerate() {
        let aside = u16_at(block, 34 + 2 * i);
        let own = scale * f32::from(2 * (aside >> 12 & 7) + 1);
        for (j, out) in out.chunks_mut(8).enumerate() {
            let upper = aside >> (3 * j) & 7;
            let place = usize::from(places[4 * i + j]) | usize::from(upper) << 8;
            moved(place, aside >> 15 == 1, own, out);
        }
    }
}

/// For each 128 values 32 bytes of four codes, the first 32 values in their lowest bits;
/// scale.
pub fn tq2_0(block: &[u8; 66], out: &mut [f32; LARGE]) {
    let scale = half(block, 64);
    for (i, out) in out.chunks_mut(32).enumerate() {
        let codes = &block[i / 4 * 32..][..32];
        for (out, code) in out.iter_mut().zip(codes) {
            *out = scale * (f32::from(code >> (2 * (i % 4)) & 3) - 1.0);
        }
    }
}

/// Five digits of three a byte: 32 bytes, 16, and four with four digits, each run's first
/// digits before its second; scale.
pub fn tq1_0(block: &[u8; 54], out: &mut [f32; LARGE]) {
    let scale = half(block, 52);
    let (first, rest) = out.split_at_mut(160);
    let (second, last) = rest.split_at_mut(80);
    let runs = [
        (&block[..32], first),
        (&block[32..48], second),
        (&block[48..52], last),
    ];
    for (bytes, out) in runs {
        let mut power = 1u8;
        for out in out.chunks_mut(bytes.len()) {
            for (out, byte) in out.iter_mut().zip(bytes) {
                // A byte is a fraction of 256ths; times a power of three, what is left
                // of the whole begins with the digit.
                let digit = (u16::from(byte.wrapping_mul(power)) * 3) >> 8;
                *out = scale * (f32::from(digit) - 1.0);
            }
            power = power.wrapping_mul(3);
        }
    }
}
