//! Matrix products with one side arranged beforehand: linear layers and
//! attention.

use super::tile::{self, LANES, MAX_LANES, POSITIONS, panels_up_to, shape};
use crate::device::isa::Isa;

/// Rows that take their turn with the same weights: a run of them stays in the second
/// cache. No less than linear layers and attention have at a time.
const TILE: usize = 192;
/// Inputs after which the next rows take their turn. With AVX2 the weights of so many
/// stay in the first cache; and the longer, the less often sums are read and written.
const RUN: usize = 384;

/// A matrix of `inputs × outputs` to multiply rows with.
#[derive(Default)]
pub(crate) struct Packed {
    inputs: usize,
    outputs: usize,
    /// `[panel][input][output of the panel]`, zeros where a panel is not full.
    weights: Vec<f32>,
}

/// The lanes of each panel: those of a tile with the instructions in use.
fn panels(outputs: usize) -> impl Iterator<Item = usize> {
    panels_up_to(shape(Isa::best()).1, outputs)
}

impl Packed {
    /// From `get(output, input)`, called once for each.
    pub(crate) fn new(inputs: usize, outputs: usize, get: impl Fn(usize, usize) -> f32) -> Self {
        let mut packed = Self::default();
        packed.fill(inputs, outputs, |first, panel, width| {
            // Some inputs of an output at a time: linear layers store them so, and
            // what is written stays close together.
            for from in (0..inputs).step_by(LANES) {
                for o in 0..width.min(outputs - first) {
                    for i in from..inputs.min(from + LANES) {
                        panel[i * width + o] = get(first + o, i);
                    }
                }
            }
        });
        packed
    }

    /// From the rows of a linear layer, `outputs` of `inputs` numbers each, in the
    /// memory of `self` where that is as large.
    ///
    /// # Panics
    /// Where `rows` is of another length.
    pub(crate) fn refill(&mut self, inputs: usize, outputs: usize, rows: &[f32]) {
        assert_eq!(rows.len(), inputs * outputs);
        self.fill(inputs, outputs, |first, panel, width| {
            for lane in (0..width).step_by(LANES) {
                let some = rows[(first + lane) * inputs..].chunks_exact(inputs.max(1));
                for from in (0..inputs).step_by(LANES) {
                    let mut block = [[0f32; LANES]; LANES];
                    let count = LANES.min(inputs - from);
                    for (block, row) in block.iter_mut().zip(some.clone()) {
                        block[..count].copy_from_slice(&row[from..from + count]);
                    }
                    for i in 0..count {
                        let out = &mut panel[(from + i) * width + lane..][..LANES];
                        for (out, row) in out.iter_mut().zip(&block) {
                            *out = row[i];
                        }
                    }
                }
            }
        });
    }

    /// From what each input adds to the outputs: rows of `outputs` numbers that begin
    /// `pitch` apart, one an input.
    ///
    /// # Panics
    /// Where `columns` has fewer.
    pub(crate) fn of_columns(inputs: usize, outputs: usize, columns: &[f32], pitch: usize) -> Self {
        let mut packed = Self::default();
        packed.fill(inputs, outputs, |first, panel, width| {
            let count = width.min(outputs - first);
            for (i, out) in panel.chunks_exact_mut(width).enumerate() {
                out[..count].copy_from_slice(&columns[i * pitch + first..][..count]);
            }
        });
        packed
    }

    /// Calls `panel` with the first output of each panel, its place and its width. Of the
    /// outputs that there are it writes all.
    fn fill(
        &mut self,
        inputs: usize,
        outputs: usize,
        mut panel: impl FnMut(usize, &mut [f32], usize),
    ) {
        (self.inputs, self.outputs) = (inputs, outputs);
        let filled = outputs.div_ceil(LANES) * LANES;
        if self.weights.len() != filled * inputs || filled > outputs {
            self.weights = vec![0.; filled * inputs];
        }
        let (mut rest, mut first) = (&mut self.weights[..], 0);
        for lanes in panels(outputs) {
            let width = lanes * LANES;
            let (here, after) = rest.split_at_mut(inputs * width);
            rest = after;
            panel(first, here, width);
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
        for start in (0..count).step_by(TILE) {
            // Without inputs one empty run makes the zeros.
            for from in (0..self.inputs.max(1)).step_by(RUN) {
                let tile = Tile {
                    rows: &rows[start * pitch + from..],
                    pitch,
                    count: (count - start).min(TILE),
                    out_pitch,
                    fresh: from == 0,
                };
                let length = (self.inputs - from).min(RUN);
                let (mut first, mut weights) = (0, &self.weights[..]);
                for lanes in panels(self.outputs) {
                    let width = lanes * LANES;
                    let (panel, rest) = weights.split_at(self.inputs * width);
                    weights = rest;
                    let weights = &panel[from * width..][..length * width];
                    let out = &mut out[start * out_pitch + first..];
                    tile.multiply(lanes, weights, out, width.min(self.outputs - first));
                    first += width;
                }
            }
        }
    }
}

/// A run of some rows.
struct Tile<'a> {
    rows: &'a [f32],
    pitch: usize,
    count: usize,
    out_pitch: usize,
    /// Whether it is the first run.
    fresh: bool,
}

impl Tile<'_> {
    /// Adds the products with a panel's `weights` to the first `outputs` of each row of
    /// `out`.
    fn multiply(&self, lanes: usize, weights: &[f32], out: &mut [f32], outputs: usize) {
        let isa = Isa::best();
        let width = lanes * LANES;
        let (positions, length) = (shape(isa).0, weights.len() / width);
        for first in (0..self.count).step_by(positions) {
            // Of rows beyond the last, the last is read once more.
            let inputs: [_; POSITIONS] = std::array::from_fn(|p| {
                let row = (first + p).min(self.count - 1);
                self.rows[row * self.pitch..][..length].as_ptr()
            });
            let here = (self.count - first).min(positions);
            let out = &mut out[first * self.out_pitch..];
            if here == positions && outputs == width {
                let (pitch, fresh) = (self.out_pitch, self.fresh);
                // SAFETY: each input is a slice of `length` numbers.
                unsafe { tile::multiply(isa, lanes, weights, &inputs, out, pitch, fresh) };
                continue;
            }
            let mut sums = [0.; POSITIONS * MAX_LANES * LANES];
            if !self.fresh {
                let rows = sums.chunks_exact_mut(width).take(here);
                for (sums, out) in rows.zip(out.chunks(self.out_pitch)) {
                    sums[..outputs].copy_from_slice(&out[..outputs]);
                }
            }
            // SAFETY: as above.
            unsafe { tile::multiply(isa, lanes, weights, &inputs, &mut sums, width, false) };
            let rows = sums.chunks_exact(width).take(here);
            for (sums, out) in rows.zip(out.chunks_mut(self.out_pitch)) {
                out[..outputs].copy_from_slice(&sums[..outputs]);
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
            let pitch = outputs + 1;
            let columns: Vec<f32> = (0..inputs * pitch)
                .map(|i| number((i % pitch) * inputs + i / pitch))
                .collect();
            let of_columns = Packed::of_columns(inputs, outputs, &columns, pitch);
            assert!(of_columns.weights == packed.weights);
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
