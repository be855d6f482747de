//! Matrix products with one side arranged beforehand: linear layers and
//! attention.

use super::tile::{LANES, MAX_LANES, POSITIONS, accumulate, panels};
use crate::device::isa::Isa;

/// Rows whose sums are kept at hand while all weights pass by.
const TILE: usize = 64;
/// Inputs after which the next rows take their turn.
const RUN: usize = 128;

/// A matrix of `inputs × outputs` to multiply rows with.
#[derive(Default)]
pub(crate) struct Packed {
    inputs: usize,
    outputs: usize,
    /// `[panel][input][output of the panel]`, zeros where a panel is not full.
    weights: Vec<f32>,
}

impl Packed {
    /// From `get(output, input)`, called once for each.
    pub(crate) fn new(inputs: usize, outputs: usize, get: impl Fn(usize, usize) -> f32) -> Self {
        let lanes = outputs.div_ceil(LANES);
        let mut weights = vec![0.; lanes * LANES * inputs];
        let (mut rest, mut first) = (&mut weights[..], 0);
        for lanes in panels(outputs) {
            let width = lanes * LANES;
            let (panel, after) = rest.split_at_mut(inputs * width);
            rest = after;
            // Some inputs of an output at a time: linear layers store them so, and
            // what is written stays close together.
            for from in (0..inputs).step_by(LANES) {
                for o in 0..width.min(outputs - first) {
                    for i in from..inputs.min(from + LANES) {
                        panel[i * width + o] = get(first + o, i);
                    }
                }
            }
            first += width;
        }
        Self {
            inputs,
            outputs,
            weights,
        }
    }

    /// From the rows of a linear layer, `outputs` of `inputs` numbers each, in the
    /// memory of `self`.
    ///
    /// # Panics
    /// Where `rows` is of another length.
    pub(crate) fn refill(&mut self, inputs: usize, outputs: usize, rows: &[f32]) {
        assert_eq!(rows.len(), inputs * outputs);
        (self.inputs, self.outputs) = (inputs, outputs);
        self.weights
            .resize(outputs.div_ceil(LANES) * LANES * inputs, 0.);
        let (mut rest, mut first) = (&mut self.weights[..], 0);
        for lanes in panels(outputs) {
            let width = lanes * LANES;
            let (panel, after) = rest.split_at_mut(inputs * width);
            rest = after;
            for lane in 0..lanes {
                let outputs = first + lane * LANES;
                let some = rows[outputs * inputs..].chunks_exact(inputs).take(LANES);
                for from in (0..inputs).step_by(LANES) {
                    let mut block = [[0f32; LANES]; LANES];
                    let count = LANES.min(inputs - from);
                    for (block, row) in block.iter_mut().zip(some.clone()) {
                        block[..count].copy_from_slice(&row[from..from + count]);
                    }
                    for i in 0..count {
                        let at = (from + i) * width + lane * LANES;
                        let out = &mut panel[at..at + LANES];
                        for (out, row) in out.iter_mut().zip(&block) {
                            *out = row[i];
                        }
                    }
                }
            }
            first += width;
        }
    }

    /// `out[r][o] = Σ rows[r][i] · weight(o, i)` for rows of `inputs` numbers,
    /// `pitch` numbers from one to the next; those of `out` are `out_pitch`
    /// apart, and what lies between them is left alone.
    ///
    /// # Panics
    /// Where a slice is too short for `count` rows.
    pub(crate) fn multiply(
        &self,
        rows: &[f32],
        pitch: usize,
        count: usize,
        out: &mut [f32],
        out_pitch: usize,
    ) {
        if count == 0 {
            return;
        }
        assert!(rows.len() >= (count - 1) * pitch + self.inputs);
        assert!(out_pitch >= self.outputs);
        let isa = Isa::best();
        let mut sums = [0.; TILE * MAX_LANES * LANES];
        for start in (0..count).step_by(TILE) {
            let here = (count - start).min(TILE);
            let (mut weights, mut output) = (&self.weights[..], 0);
            for lanes in panels(self.outputs) {
                let width = lanes * LANES;
                let (panel, rest) = weights.split_at(self.inputs * width);
                weights = rest;
                let groups = here.div_ceil(POSITIONS);
                sums[..groups * POSITIONS * width].fill(0.);
                for (piece, panel) in panel.chunks(RUN * width).enumerate() {
                    let (at, length) = (piece * RUN, panel.len() / width);
                    let sums = sums.chunks_exact_mut(POSITIONS * width).take(groups);
                    for (group, sums) in sums.enumerate() {
                        // Of rows beyond the last, the last is read once more.
                        let inputs = std::array::from_fn(|p| {
                            let row = start + (group * POSITIONS + p).min(here - 1);
                            rows[row * pitch + at..][..length].as_ptr()
                        });
                        // SAFETY: each input is a slice of `length` numbers.
                        unsafe { accumulate(isa, lanes, length, panel, &inputs, sums) };
                    }
                }
                let outputs = width.min(self.outputs - output);
                for (r, sums) in sums.chunks_exact(width).take(here).enumerate() {
                    out[(start + r) * out_pitch + output..][..outputs]
                        .copy_from_slice(&sums[..outputs]);
                }
                output += outputs;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_product_and_leaves_the_rest_alone() {
        let number = |i: usize| ((i * 7919 % 1013) as f32 - 500.) * 0.003;
        for (count, inputs, outputs) in [(1, 1, 1), (7, 5, 3), (65, 130, 50), (8, 300, 97)] {
            let packed = Packed::new(inputs, outputs, |o, i| number(o * inputs + i));
            let weights: Vec<f32> = (0..inputs * outputs).map(number).collect();
            let mut refilled = Packed::new(7, 40, |_, _| 9.);
            refilled.refill(inputs, outputs, &weights);
            assert!(refilled.weights == packed.weights);
            let (pitch, out_pitch) = (inputs + 3, outputs + 2);
            let rows: Vec<f32> = (0..count * pitch).map(|i| number(i + 5)).collect();
            let mut out = vec![7.; count * out_pitch];
            packed.multiply(&rows, pitch, count, &mut out, out_pitch);
            for r in 0..count {
                for o in 0..outputs {
                    let exact: f64 = (0..inputs)
                        .map(|i| f64::from(number(o * inputs + i)) * f64::from(rows[r * pitch + i]))
                        .sum();
                    let got = f64::from(out[r * out_pitch + o]);
                    assert!(
                        (got - exact).abs() < 1e-6 * (1. + inputs as f64),
                        "{got} for {exact}"
                    );
                }
                assert_eq!(out[r * out_pitch + outputs..][..2], [7., 7.]);
            }
        }
    }
}
