//! Weights that are read where they lie, a few rows at a time.

use std::ops::Range;
use std::path::PathBuf;

use candle_core::safetensors::MmapedSafetensors;
use half::{bf16, f16};
use safetensors::Dtype;

use super::TextError;

/// Matrices by name, read by rows and widened to f32. A vector is a matrix of
/// one row.
pub trait Rows: Send + Sync {
    /// The shape of what is called `name`, if it is there.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// Writes rows `rows` of `name`, one after the other, to `out`, which is of
    /// their size.
    fn read(&self, name: &str, rows: Range<usize>, out: &mut [f32]) -> Result<(), TextError>;
}

/// Safetensors files in f32, f16 or bf16, mapped: what is not in use need not be
/// in memory.
pub struct Mapped(MmapedSafetensors);

impl Mapped {
    /// Opens `files`, one or the shards of one model.
    pub fn open(files: &[PathBuf]) -> Result<Self, TextError> {
        // SAFETY: a map shows what others do to the file meanwhile: numbers may
        // change, its length was checked when it was opened.
        let mapped = unsafe { MmapedSafetensors::multi(files) };
        Ok(Self(mapped.map_err(TextError::File)?))
    }
}

impl Rows for Mapped {
    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).ok().map(|view| view.shape().to_vec())
    }

    fn read(&self, name: &str, rows: Range<usize>, out: &mut [f32]) -> Result<(), TextError> {
        let view = self.0.get(name).map_err(TextError::File)?;
        let width = view.shape().last().copied().unwrap_or(1);
        let (from, to) = (rows.start * width, rows.end * width);
        fn widen<const N: usize>(
            bytes: &[u8],
            (from, to): (usize, usize),
            out: &mut [f32],
            read: impl Fn([u8; N]) -> f32,
        ) -> bool {
            let Some(bytes) = bytes.get(from * N..to * N) else {
                return false;
            };
            let (numbers, _) = bytes.as_chunks::<N>();
            for (out, bytes) in out.iter_mut().zip(numbers) {
                *out = read(*bytes);
            }
            numbers.len() == out.len()
        }
        let (bytes, part) = (view.data(), (from, to));
        let whole = match view.dtype() {
            Dtype::F32 => widen(bytes, part, out, f32::from_le_bytes),
            Dtype::BF16 => widen(bytes, part, out, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F16 => widen(bytes, part, out, |b| f16::from_le_bytes(b).to_f32()),
            other => {
                return Err(TextError::Weights(format!(
                    "{name} is kept as {other:?}; f32, f16 and bf16 can be read"
                )));
            }
        };
        match whole {
            true => Ok(()),
            false => Err(TextError::Weights(format!("{name} has no rows {rows:?}"))),
        }
    }
}
