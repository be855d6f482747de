//! Weights whose length is learnt apart from their direction (DoRA; Liu et al., 2024,
//! arXiv 2402.09353): a change tells a direction, and the lengths that the rows of the
//! changed matrix are to have. As in the paper, in peft and in LyCORIS it is the changed
//! rows that are brought to their lengths; ComfyUI divides rows by those that they had
//! before (but columns as here), and so gives other numbers for files with rows.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::device::install;

/// What a length is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// All that makes one output.
    Rows,
    /// All that one input goes to.
    Columns,
}

/// The lengths (Euclidean) that a weight's rows or columns are to have.
pub struct Lengths {
    /// One for each.
    pub lengths: Vec<f32>,
    /// Of what.
    pub axis: Axis,
}

impl Lengths {
    /// `weight` [outputs, inputs, ..] in f32 with these lengths. What is nothing stays
    /// nothing.
    ///
    /// # Errors
    /// Where there are not as many lengths as rows or columns.
    pub fn given_to(&self, weight: Tensor) -> Result<Tensor> {
        let dims = weight.dims().to_vec();
        let side = match self.axis {
            Axis::Rows => 0,
            Axis::Columns => 1,
        };
        let (Some(side), values) = (dims.get(side), weight.elem_count()) else {
            candle_core::bail!("a weight of the shape {dims:?} has no such lengths");
        };
        if *side != self.lengths.len() || values == 0 {
            candle_core::bail!("{} lengths for a weight of {dims:?}", self.lengths.len());
        }
        let mut all = weight.flatten_all()?.to_vec1::<f32>()?;
        drop(weight);
        let row = values / dims[0];
        match self.axis {
            Axis::Rows => install(|| {
                all.par_chunks_mut(row)
                    .zip(&self.lengths)
                    .for_each(|(row, length)| {
                        let squares = row.iter().map(|v| f64::from(*v).powi(2)).sum();
                        let by = factor(*length, squares);
                        row.iter_mut().for_each(|v| *v *= by);
                    });
            }),
            Axis::Columns => {
                let kernel = row / self.lengths.len();
                let mut squares = vec![0f64; self.lengths.len()];
                for row in all.chunks(row) {
                    for (sum, values) in squares.iter_mut().zip(row.chunks(kernel)) {
                        *sum += values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
                    }
                }
                let lengths = self.lengths.iter().zip(squares);
                let by: Vec<f32> = lengths.map(|(length, s)| factor(*length, s)).collect();
                install(|| {
                    all.par_chunks_mut(row).for_each(|row| {
                        for (values, by) in row.chunks_mut(kernel).zip(&by) {
                            values.iter_mut().for_each(|v| *v *= by);
                        }
                    });
                });
            }
        }
        Tensor::from_vec(all, dims, &candle_core::Device::Cpu)
    }
}

/// What values of these squares are multiplied by to be of `length`.
fn factor(length: f32, squares: f64) -> f32 {
    if squares == 0. {
        return 0.;
    }
    (f64::from(length) / squares.sqrt()) as f32
}
