//! How a tensor lies in a file, and how it becomes numbers.

use std::borrow::Cow;

use candle_core::{DType, Device, Result, Tensor};
use half::{bf16, f16};

use crate::device::isa::vectorised;
use crate::device::ops::packed::{Block, Format, e4m3};

/// The kind of numbers in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// 64-bit floating point.
    F64,
    /// 32-bit floating point.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// 8 bits: 4 of exponent, 3 of fraction, no infinities.
    F8E4M3,
    /// 8 bits: 5 of exponent, 2 of fraction.
    F8E5M2,
    /// Blocks of integers or codes with a scale, as GGUF has them.
    Quantised(Block),
    /// Integers and what else weights are never made of.
    Other,
}

impl Kind {
    /// The kind that GGUF numbers so.
    pub fn from_gguf(number: u32) -> Self {
        match number {
            0 => Self::F32,
            1 => Self::F16,
            28 => Self::F64,
            30 => Self::BF16,
            _ => Block::of(number).map_or(Self::Other, Self::Quantised),
        }
    }

    /// Values in a block, and the bytes that a block takes; none of what cannot be read.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F64 => (1, 8),
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::F8E4M3 | Self::F8E5M2 => (1, 1),
            Self::Other => (1, 0),
            Self::Quantised(block) => block.size(),
        }
    }

    /// How matrices of such weights can stay packed in memory, if they can.
    pub fn packed(self) -> Option<Format> {
        match self {
            Self::F8E4M3 => Some(Format::F8E4M3),
            Self::F8E5M2 => Some(Format::F8E5M2),
            Self::Quantised(block) => Some(Format::Blocks(block)),
            _ => None,
        }
    }

    /// The type in which weights that do not stay packed are kept in memory: as they
    /// are where a layer can widen them as it goes, else f32.
    pub fn kept(self) -> DType {
        match self {
            Self::F16 => DType::F16,
            Self::BF16 => DType::BF16,
            _ => DType::F32,
        }
    }

    /// As people write it.
    pub fn name(self) -> String {
        match self {
            Self::F8E4M3 => "fp8 e4m3".to_owned(),
            Self::F8E5M2 => "fp8 e5m2".to_owned(),
            Self::Quantised(block) => format!("{block:?}"),
            Self::Other => "other".to_owned(),
            kind => format!("{kind:?}").to_lowercase(),
        }
    }
}

/// The values of `bytes`, times `scale`, as a tensor of `dtype`.
pub fn tensor(
    bytes: Cow<'_, [u8]>,
    kind: Kind,
    shape: &[usize],
    scale: Option<f32>,
    dtype: DType,
) -> Result<Tensor> {
    let cpu = &Device::Cpu;
    let direct = match kind {
        Kind::F32 => Some(DType::F32),
        Kind::F16 => Some(DType::F16),
        Kind::BF16 => Some(DType::BF16),
        Kind::F64 => Some(DType::F64),
        _ => None,
    };
    if let (Some(stored), None) = (direct, scale) {
        return Tensor::from_raw_buffer(&bytes, stored, shape, cpu)?.to_dtype(dtype);
    }
    let mut values: Vec<f32> = match kind {
        Kind::F32 => chunks(&bytes).map(f32::from_le_bytes).collect(),
        Kind::F64 => chunks(&bytes)
            .map(|b| f64::from_le_bytes(b) as f32)
            .collect(),
        Kind::F16 => chunks(&bytes)
            .map(|b| f16::from_le_bytes(b).to_f32())
            .collect(),
        Kind::BF16 => chunks(&bytes)
            .map(|b| bf16::from_le_bytes(b).to_f32())
            .collect(),
        Kind::F8E4M3 => {
            let table: Vec<f32> = (0..=255).map(e4m3).collect();
            bytes.iter().map(|b| table[usize::from(*b)]).collect()
        }
        Kind::F8E5M2 => bytes
            .iter()
            .map(|b| f16::from_bits(u16::from(*b) << 8).to_f32())
            .collect(),
        Kind::Quantised(block) => {
            let mut values = vec![0.; shape.iter().product()];
            block.widen(&bytes, &mut values);
            values
        }
        Kind::Other => candle_core::bail!("a tensor of a kind that weights are not made of"),
    };
    if let Some(scale) = scale {
        values.iter_mut().for_each(|v| *v *= scale);
    }
    Tensor::from_vec(values, shape, cpu)?.to_dtype(dtype)
}

/// Writes the values of `bytes`, times `scale`, to `out` where they are of a kind of
/// 16 or 32 bits, or of blocks; says whether it did.
pub fn widen(bytes: &[u8], kind: Kind, scale: Option<f32>, out: &mut [f32]) -> bool {
    fn each<const N: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) -> bool {
        let whole = bytes.len() == out.len() * N;
        for (out, bytes) in out.iter_mut().zip(chunks(bytes)) {
            *out = value(bytes);
        }
        whole
    }
    let done = match kind {
        Kind::F32 => each(bytes, out, f32::from_le_bytes),
        Kind::BF16 => {
            widen_bf16(bytes.as_chunks().0, out);
            bytes.len() == out.len() * 2
        }
        Kind::F16 => each(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
        Kind::Quantised(block) => {
            let (values, size) = block.size();
            block.widen(bytes, out);
            bytes.len() * values == out.len() * size
        }
        _ => false,
    };
    if let Some(scale) = scale.filter(|_| done) {
        out.iter_mut().for_each(|v| *v *= scale);
    }
    done
}

vectorised! {
    /// Each number is the upper half of one of f32.
    fn widen_bf16(halves: &[[u8; 2]], out: &mut [f32]) {
        let count = halves.len().min(out.len());
        let (halves, out) = (&halves[..count], &mut out[..count]);
        for i in 0..count {
            out[i] = f32::from_bits(u32::from(u16::from_le_bytes(halves[i])) << 16);
        }
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bit_floats_are_what_their_formats_say() {
        // Smallest, smallest normal, one, largest, negative.
        let found = [0x01, 0x08, 0x38, 0x7e, 0xb8, 0x00].map(e4m3);
        assert_eq!(found, [2f32.powi(-9), 2f32.powi(-6), 1.0, 448.0, -1.0, 0.0]);
        assert!(e4m3(0x7f).is_nan() && e4m3(0xff).is_nan());
        let read = |b: u8| {
            let bytes = Cow::Owned(vec![b]);
            let t = tensor(bytes, Kind::F8E5M2, &[1], Some(2.0), DType::F32).unwrap();
            t.to_vec1::<f32>().unwrap()[0]
        };
        assert_eq!([0x3c, 0xbc, 0x7b].map(read), [2.0, -2.0, 114_688.0]);
    }
}
