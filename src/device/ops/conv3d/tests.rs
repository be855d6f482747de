use candle_core::Device;
use proptest::prelude::*;

use super::*;

/// Numbers that repeat only after a long while, about -1 to 1.
fn numbers(seed: usize, count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| (((i + 13 * seed) * 7919 % 10007) as f32 / 5003.5 - 1.) * 1.1)
        .collect()
}

/// The definition, in f64: `frames[t][y][x][c]`, zeros outside.
fn naive(
    frames: &[Option<&FeatureMap>],
    kernel: &Kernel,
    bias: &[f32],
    walk: Walk,
) -> (usize, usize, Vec<f64>) {
    let one = frames[frames.len() - 1].unwrap();
    let at = |frame: &FeatureMap, y: isize, x: isize, c: usize| {
        let (y, x) = match walk {
            Walk::Double => (y.div_euclid(2), x.div_euclid(2)),
            _ => (y, x),
        };
        let inside =
            (0..frame.height() as isize).contains(&y) && (0..frame.width() as isize).contains(&x);
        if inside {
            f64::from(frame.at(y as usize, x as usize)[c])
        } else {
            0.
        }
    };
    let (height, width, step, pad) = match walk {
        Walk::Same => (one.height(), one.width(), 1, kernel.rows / 2),
        Walk::Halve => (one.height() / 2, one.width() / 2, 2, 0),
        Walk::Double => (one.height() * 2, one.width() * 2, 1, 1),
    };
    let mut out = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for (o, &bias) in bias.iter().enumerate() {
                let mut sum = f64::from(bias);
                for (t, frame) in frames.iter().enumerate() {
                    let Some(frame) = frame else { continue };
                    for ky in 0..kernel.rows {
                        for kx in 0..kernel.columns {
                            let iy = (y * step + ky) as isize - pad as isize;
                            let ix = (x * step + kx) as isize - pad as isize;
                            for c in 0..kernel.inputs {
                                let weight = f64::from(kernel.get(o, c, t, ky, kx));
                                sum += weight * at(frame, iy, ix, c);
                            }
                        }
                    }
                }
                out.push(sum);
            }
        }
    }
    (height, width, out)
}

fn map(seed: usize, size: (usize, usize), channels: usize, border: usize) -> FeatureMap {
    let (h, w) = size;
    FeatureMap::from_rows(h, w, channels, numbers(seed, h * w * channels)).with_border(border)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn is_what_the_definition_says(
        seed in 0usize..1000,
        height in 1usize..14,
        width in 1usize..150,
        inputs in 1usize..40,
        outputs in 1usize..70,
        frames in prop::sample::select(vec![1usize, 3]),
        (walk, size) in prop::sample::select(vec![
            (Walk::Same, 3usize), (Walk::Same, 1), (Walk::Halve, 3), (Walk::Double, 3),
        ]),
        spare in 0usize..2,
        missing in 0usize..3,
        with_add in any::<bool>(),
    ) {
        // Small on the whole, so that odd shapes of all kinds are seen.
        let width = if height > 4 { width % 20 + 1 } else { width };
        let kernel = Kernel {
            outputs,
            inputs,
            frames,
            rows: size,
            columns: size,
            weight: numbers(seed, outputs * inputs * frames * size * size),
        };
        let bias = numbers(seed + 1, outputs);
        let shape = (outputs, inputs, frames, size, size);
        let weight = Tensor::from_slice(&kernel.weight, shape, &Device::Cpu).unwrap();
        let tensor = Tensor::from_slice(&bias, outputs, &Device::Cpu).unwrap();
        let conv = Conv3d::new(&weight, &tensor, walk).unwrap();

        let border = conv.border() + spare;
        let maps: Vec<_> = (0..frames).map(|t| map(seed + t, (height, width), inputs, border)).collect();
        let given: Vec<_> = maps
            .iter()
            .enumerate()
            .map(|(t, m)| (t >= missing.min(frames - 1)).then_some(m))
            .collect();
        let (h, w, mut expected) = naive(&given, &kernel, &bias, walk);
        let add = with_add.then(|| map(seed + 9, (h, w), outputs, spare));
        if let Some(add) = &add {
            for (e, a) in expected.iter_mut().zip(add.rows().flatten()) {
                *e += f64::from(*a);
            }
        }
        let out = conv.frame(&given, add.as_ref(), &Cancel::default()).unwrap();
        prop_assert_eq!((out.height(), out.width(), out.channels()), (h, w, outputs));
        let size: f64 = expected.iter().map(|e| e * e).sum::<f64>().sqrt().max(1e-3);
        let error: f64 = out
            .rows()
            .flatten()
            .zip(&expected)
            .map(|(a, e)| (f64::from(*a) - e).powi(2))
            .sum::<f64>()
            .sqrt();
        prop_assert!(error <= 1e-5 * size, "relative error {}", error / size);
    }
}

#[test]
fn a_missing_frame_is_a_frame_of_zeros() {
    // Few channels, tap by tap, and many, four outputs at once.
    for (inputs, outputs) in [(5, 20), (33, 50)] {
        let conv = conv(inputs, outputs);
        let (zeros, newest) = (
            FeatureMap::zeros(7, 9, inputs, 1),
            map(5, (7, 9), inputs, 1),
        );
        let cancel = Cancel::default();
        for past in [[false, false], [true, false], [false, true]] {
            let with = |other| {
                let [a, b] = past.map(|is| if is { Some(&newest) } else { other });
                conv.frame(&[a, b, Some(&newest)], None, &cancel).unwrap()
            };
            assert!(
                with(None) == with(Some(&zeros)),
                "{inputs} inputs, {past:?}"
            );
        }
    }
}

#[test]
fn a_part_that_begins_at_even_positions_has_the_bits_of_the_whole() {
    let (conv, cancel) = (conv(20, 50), Cancel::default());
    let made = |f: &FeatureMap| {
        let f = f.with_border(1);
        let add = FeatureMap::zeros(f.height(), f.width(), 50, 0);
        conv.frame(&[Some(&f); 3], Some(&add), &cancel).unwrap()
    };
    let all = map(3, (37, 41), 20, 0);
    let whole = made(&all);
    for (rows, columns) in [(0..37, 8..41), (6..23, 0..30), (12..37, 22..33)] {
        let part = made(&all.crop(rows.clone(), columns.clone()));
        // What lies beside the part's edges reads what was cut off.
        for y in rows.start + 1..rows.end - 1 {
            for x in columns.start + 1..columns.end - 1 {
                let own = part.at(y - rows.start, x - columns.start);
                assert!(own == whole.at(y, x), "{rows:?}, {columns:?}: {y}, {x}");
            }
        }
    }
}

/// A convolution of 3 × 3 × 3 with weights that repeat only after a long while.
fn conv(inputs: usize, outputs: usize) -> Conv3d {
    let weight = numbers(3, outputs * inputs * 27);
    let weight = Tensor::from_slice(&weight, (outputs, inputs, 3, 3, 3), &Device::Cpu);
    let bias = Tensor::from_slice(&numbers(4, outputs), outputs, &Device::Cpu).unwrap();
    Conv3d::new(&weight.unwrap(), &bias, Walk::Same).unwrap()
}

#[test]
fn stops_when_asked() {
    let weight = Tensor::zeros((4, 4, 1, 1), DType::F32, &Device::Cpu).unwrap();
    let bias = Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap();
    let conv = Conv3d::new(&weight, &bias, Walk::Same).unwrap();
    let cancel = Cancel::default();
    cancel.cancel();
    let input = FeatureMap::zeros(4, 4, 4, 0);
    assert!(conv.frame(&[Some(&input)], None, &cancel).is_err());
}

#[test]
fn refuses_kernels_that_it_cannot_walk_with() {
    let bias = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
    for (shape, walk) in [
        (vec![2, 2, 5, 5], Walk::Same),
        (vec![2, 2, 1, 1], Walk::Double),
        (vec![3, 2, 3, 3], Walk::Same),
        (vec![2, 2], Walk::Same),
    ] {
        let weight = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        assert!(Conv3d::new(&weight, &bias, walk).is_err());
    }
}
