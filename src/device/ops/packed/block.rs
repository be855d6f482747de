//! The block formats of GGUF: some values together, of few bits each, with what they are
//! multiplied by. As `gguf/quants.py` of ggml has them, to the same bits.

use half::f16;

use super::{coded, integers};

/// Values of a large block.
pub const LARGE: usize = 256;

/// The block formats of GGUF that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // Their names are all there is to say.
#[allow(non_camel_case_types)]
pub enum Block {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ1_S,
    IQ1_M,
    IQ2_XXS,
    IQ2_XS,
    IQ2_S,
    IQ3_XXS,
    IQ3_S,
    IQ4_NL,
    IQ4_XS,
    TQ1_0,
    TQ2_0,
}

impl Block {
    /// All of them, with GGUF's numbers.
    pub const ALL: [(Self, u32); 21] = [
        (Self::Q4_0, 2),
        (Self::Q4_1, 3),
        (Self::Q5_0, 6),
        (Self::Q5_1, 7),
        (Self::Q8_0, 8),
        (Self::Q2_K, 10),
        (Self::Q3_K, 11),
        (Self::Q4_K, 12),
        (Self::Q5_K, 13),
        (Self::Q6_K, 14),
        (Self::IQ2_XXS, 16),
        (Self::IQ2_XS, 17),
        (Self::IQ3_XXS, 18),
        (Self::IQ1_S, 19),
        (Self::IQ4_NL, 20),
        (Self::IQ3_S, 21),
        (Self::IQ2_S, 22),
        (Self::IQ4_XS, 23),
        (Self::IQ1_M, 29),
        (Self::TQ1_0, 34),
        (Self::TQ2_0, 35),
    ];

    /// The format that GGUF numbers so.
    pub fn of(number: u32) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, n)| *n == number);
        found.map(|(block, _)| *block)
    }

    /// Values in a block, and the bytes that a block takes.
    pub fn size(self) -> (usize, usize) {
        match self {
            Self::Q4_0 | Self::IQ4_NL => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q2_K => (LARGE, 84),
            Self::Q3_K | Self::IQ3_S => (LARGE, 110),
            Self::Q4_K => (LARGE, 144),
            Self::Q5_K => (LARGE, 176),
            Self::Q6_K => (LARGE, 210),
            Self::IQ1_S => (LARGE, 50),
            Self::IQ1_M => (LARGE, 56),
            Self::IQ2_XXS | Self::TQ2_0 => (LARGE, 66),
            Self::IQ2_XS => (LARGE, 74),
            Self::IQ2_S => (LARGE, 82),
            Self::IQ3_XXS => (LARGE, 98),
            Self::IQ4_XS => (LARGE, 136),
            Self::TQ1_0 => (LARGE, 54),
        }
    }

    /// Writes the values of `bytes`, whole blocks, to `out`, which is of their size.
    pub fn widen(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::Q4_0 => each(bytes, out, integers::q4_0),
            Self::Q4_1 => each(bytes, out, integers::q4_1),
            Self::Q5_0 => each(bytes, out, integers::q5_0),
            Self::Q5_1 => each(bytes, out, integers::q5_1),
            Self::Q8_0 => each(bytes, out, integers::q8_0),
            Self::Q2_K => each(bytes, out, integers::q2_k),
            Self::Q3_K => each(bytes, out, integers::q3_k),
            Self::Q4_K => each(bytes, out, integers::q4_k),
            Self::Q5_K => each(bytes, out, integers::q5_k),
            Self::Q6_K => each(bytes, out, integers::q6_k),
            Self::IQ1_S => each(bytes, out, coded::iq1_s),
            Self::IQ1_M => each(bytes, out, coded::iq1_m),
            Self::IQ2_XXS => each(bytes, out, coded::iq2_xxs),
            Self::IQ2_XS => each(bytes, out, coded::iq2_xs),
            Self::IQ2_S => each(bytes, out, coded::iq2_s),
            Self::IQ3_XXS => each(bytes, out, coded::iq3_xxs),
            Self::IQ3_S => each(bytes, out, coded::iq3_s),
            Self::IQ4_NL => each(bytes, out, coded::iq4_nl),
            Self::IQ4_XS => each(bytes, out, coded::iq4_xs),
            Self::TQ1_0 => each(bytes, out, coded::tq1_0),
            Self::TQ2_0 => each(bytes, out, coded::tq2_0),
        }
    }
}

fn each<const SIZE: usize, const VALUES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    widen: impl Fn(&[u8; SIZE], &mut [f32; VALUES]),
) {
    let (blocks, out) = (bytes.as_chunks().0, out.as_chunks_mut().0);
    for (block, out) in blocks.iter().zip(out) {
        widen(block, out);
    }
}

/// The number of 16 bits at `at`.
pub fn half(block: &[u8], at: usize) -> f32 {
    f16::from_bits(u16_at(block, at)).to_f32()
}

/// The whole number of 16 bits at `at`.
pub fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

/// That of 32.
pub fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The `i`th four bits of `bytes`.
pub fn nibble(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 2] >> (4 * (i % 2)) & 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Their values are held against ggml's in `tests/wan/checkpoint.rs`.
    #[test]
    fn whatever_a_block_holds_all_its_values_are_written() {
        for (block, _) in Block::ALL {
            let (values, size) = block.size();
            let noise = (0..size * 64)
                .map(|i| ((i * i * 7919) >> 5) as u8)
                .collect();
            for bytes in [vec![0; size * 64], vec![255; size * 64], noise] {
                let mut out = vec![7e30; values * 64];
                block.widen(&bytes, &mut out);
                assert!(out.iter().all(|v| *v != 7e30), "{block:?}");
            }
        }
    }
}
