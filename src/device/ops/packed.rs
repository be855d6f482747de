//! Weights that stay in memory as their file has them, of 1 to 8 bits each, and become
//! numbers a few rows at a time, just before use.

mod block;
mod coded;
mod grids;
mod integers;

use std::ops::Range;

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};
use candle_nn::VarBuilder;
use half::f16;

pub use self::block::Block;

/// What a builder that has `weight` packed calls its rows, bytes of [outputs, bytes of a
/// row], and beside them [`Format::number`] and the scale.
const ROWS: &str = "weight.packed";
const FORMAT: &str = "weight.format";

/// How a row's values lie in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 8 bits: 4 of exponent, 3 of fraction, no infinities.
    F8E4M3,
    /// 8 bits: 5 of exponent, 2 of fraction.
    F8E5M2,
    /// Blocks of integers or codes with a scale, as GGUF has them.
    Blocks(Block),
}

/// The numbers that are not GGUF's.
const FLOATS: [(Format, u32); 2] = [(Format::F8E4M3, 1000), (Format::F8E5M2, 1001)];

impl Format {
    /// All formats with their numbers, those of GGUF where it has one.
    fn all() -> impl Iterator<Item = (Self, u32)> {
        let blocks = Block::ALL.map(|(block, number)| (Self::Blocks(block), number));
        blocks.into_iter().chain(FLOATS)
    }

    /// Its number, for builders.
    pub fn number(self) -> Option<u32> {
        let found = Self::all().find(|(format, _)| *format == self);
        found.map(|(_, number)| number)
    }

    fn of(number: f32) -> Option<Self> {
        let found = Self::all().find(|(_, n)| *n as f32 == number);
        found.map(|(format, _)| format)
    }

    /// Values in a block, and the bytes that a block takes.
    fn block(self) -> (usize, usize) {
        match self {
            Self::Blocks(block) => block.size(),
            _ => (1, 1),
        }
    }
}

/// The rows of a matrix, packed.
#[derive(Clone, Debug)]
pub struct PackedRows {
    bytes: Tensor,
    format: Format,
    scale: f32,
    sides: [usize; 2],
}

impl PackedRows {
    /// The matrix `weight` [output, input] at `vb`, if that has it packed.
    pub(super) fn load(output: usize, input: usize, vb: &VarBuilder<'_>) -> Result<Option<Self>> {
        if !vb.contains_tensor(ROWS) {
            return Ok(None);
        }
        let bytes = vb.get_unchecked_dtype(ROWS, DType::U8)?;
        let told: Vec<f32> = vb.get_unchecked_dtype(FORMAT, DType::F32)?.to_vec1()?;
        let format = told.first().and_then(|n| Format::of(*n));
        let (Some(format), Some(scale)) = (format, told.get(1)) else {
            candle_core::bail!("weights are packed in a way that is not known: {told:?}");
        };
        let (values, size) = format.block();
        if !input.is_multiple_of(values) || bytes.dims() != [output, input / values * size] {
            candle_core::bail!(
                "packed weights are {:?} bytes, where [{output}, {input}] values were expected",
                bytes.dims()
            );
        }
        Ok(Some(Self {
            bytes,
            format,
            scale: *scale,
            sides: [output, input],
        }))
    }

    /// Outputs and inputs.
    pub(super) fn sides(&self) -> [usize; 2] {
        self.sides
    }

    /// Writes rows `rows` to `out`, which is of their size.
    pub(super) fn widen(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        let [_, input] = self.sides;
        let (values, size) = self.format.block();
        let pitch = input / values * size;
        let (storage, layout) = self.bytes.storage_and_layout();
        let Storage::Cpu(CpuStorage::U8(bytes)) = &*storage else {
            candle_core::bail!("packed weights on the CPU are needed");
        };
        let from = layout.start_offset() + rows.start * pitch;
        let bytes = &bytes[from..from + rows.len() * pitch];
        unpack(bytes, self.format, out);
        if self.scale != 1.0 {
            out.iter_mut().for_each(|v| *v *= self.scale);
        }
        Ok(())
    }

    /// All of it as f32.
    pub(super) fn dense(&self) -> Result<Tensor> {
        let [output, input] = self.sides;
        let mut values = vec![0f32; output * input];
        self.widen(0..output, &mut values)?;
        Tensor::from_vec(values, (output, input), &Device::Cpu)
    }
}

fn unpack(bytes: &[u8], format: Format, out: &mut [f32]) {
    match format {
        Format::F8E4M3 => {
            let table: Vec<f32> = (0..=255).map(e4m3).collect();
            for (out, b) in out.iter_mut().zip(bytes) {
                *out = table[usize::from(*b)];
            }
        }
        Format::F8E5M2 => {
            for (out, b) in out.iter_mut().zip(bytes) {
                *out = f16::from_bits(u16::from(*b) << 8).to_f32();
            }
        }
        Format::Blocks(block) => block.widen(bytes, out),
    }
}

/// 8 bits with 4 of exponent (bias 7) and 3 of fraction; all ones is not a number.
pub fn e4m3(bits: u8) -> f32 {
    let sign = if bits & 0x80 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 3) & 15);
    let fraction = f32::from(bits & 7) / 8.0;
    if bits & 0x7f == 0x7f {
        return f32::NAN;
    }
    sign * match exponent {
        0 => fraction * 2f32.powi(-6),
        e => (1.0 + fraction) * 2f32.powi(e - 7),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::testing::scattered;
    use super::super::{Activation, Linear};
    use super::*;

    /// A layer of `bytes` a row, and the same of what they mean.
    fn both(format: Format, output: usize, input: usize, scale: f32) -> [Linear; 2] {
        let (values, size) = format.block();
        let pitch = input / values * size;
        let bytes: Vec<u8> = (0..output * pitch)
            .map(|i| match format {
                // Small numbers: no scale is huge and none is not a number.
                Format::Blocks(_) if i % size < 2 => [0x11, 0x20][i % size],
                Format::Blocks(_) => (i * 37 % 63) as u8,
                _ => (i * 37 % 64) as u8,
            })
            .collect();
        let number = format.number().unwrap() as f32;
        let cpu = &Device::Cpu;
        let bias = Tensor::from_vec(vec![0.25f32; output], output, cpu).unwrap();
        let packed = HashMap::from([
            (
                ROWS.to_owned(),
                Tensor::from_vec(bytes, (output, pitch), cpu).unwrap(),
            ),
            (
                FORMAT.to_owned(),
                Tensor::from_vec(vec![number, scale], 2, cpu).unwrap(),
            ),
            ("bias".to_owned(), bias.clone()),
        ]);
        let load = |tensors| {
            let vb = VarBuilder::from_tensors(tensors, DType::F32, cpu);
            Linear::load(input, output, Activation::GeluTanh, &vb).unwrap()
        };
        let vb = VarBuilder::from_tensors(packed.clone(), DType::F32, cpu);
        let rows = PackedRows::load(output, input, &vb).unwrap().unwrap();
        let dense = HashMap::from([
            ("weight".to_owned(), rows.dense().unwrap()),
            ("bias".to_owned(), bias),
        ]);
        [load(packed), load(dense)]
    }

    #[test]
    fn packed_weights_give_the_bits_that_wide_ones_give() {
        for (format, _) in Format::all() {
            let [packed, dense] = both(format, 200, 512, 0.5);
            let x = scattered(&[1, 9, 512], 0.0);
            let values = |layer: &Linear| -> Vec<f32> {
                let y = layer.forward(&x).unwrap();
                y.flatten_all().unwrap().to_vec1().unwrap()
            };
            let (a, b) = (values(&packed), values(&dense));
            assert!(a.iter().all(|v| v.is_finite()), "{format:?}");
            assert!(a.iter().any(|v| *v != a[0]), "{format:?}");
            assert_eq!(a, b, "{format:?}");
        }
    }

    #[test]
    fn rows_of_another_length_are_refused() {
        let cpu = &Device::Cpu;
        let bytes = Tensor::zeros((4, 33), DType::U8, cpu).unwrap();
        let format = Tensor::from_vec(vec![8f32, 1.], 2, cpu).unwrap();
        let tensors = HashMap::from([(ROWS.to_owned(), bytes), (FORMAT.to_owned(), format)]);
        let vb = VarBuilder::from_tensors(tensors, DType::F32, cpu);
        let error = PackedRows::load(4, 32, &vb).unwrap_err().to_string();
        assert!(error.contains("[4, 32]"), "{error}");
    }
}
