//! Wan 2.1's VAE, or with the argument `2.2` that one's, on a GPU, with random weights, told by lines what to do: the one side of
//! `benches/gpu/vae.py`, which runs torch as the other, in turn.
//!
//! ```text
//! decode FRAMESxROWSxCOLUMNS          prints the seconds until all frames are handed over
//! save FRAMESxROWSxCOLUMNS FILE       the same, and keeps the frames: f32, RGB
//! encode FRAMESxROWSxCOLUMNS [FILE]   prints the seconds until all latents are handed
//!                                     over, and keeps them: f32, channels last
//! engines                             times what cuDNN proposes for each kind of layer
//! ```

use std::io::{BufRead, Write, stdin};
use std::time::Instant;

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use half::bf16;
use longtake::device::Task;
use longtake::device::ops::FeatureMap;
use longtake::engine::wan::vae::VaeConfig;
use longtake::engine::wan::vae::on_gpu::{GpuDecoder, GpuEncoder};
use longtake_kernels::convolutions::Convolutions;
use longtake_kernels::convolve::Convolution;
use longtake_kernels::driver;

type Failure = Box<dyn std::error::Error>;

/// Numbers that any side makes for itself: of -1 to 1, by name and place.
fn numbers(name: &str, count: usize) -> Vec<f32> {
    let seed = name
        .bytes()
        .fold(5381u32, |h, b| h.wrapping_mul(33) ^ u32::from(b));
    let number = |i: u32| {
        let mut x = i.wrapping_mul(2_654_435_761).wrapping_add(seed);
        x = (x ^ (x >> 15)).wrapping_mul(2_246_822_519);
        x = (x ^ (x >> 13)).wrapping_mul(3_266_489_917);
        x ^= x >> 16;
        (x >> 8) as f32 / 8_388_608. - 1.
    };
    (0..count as u32).map(number).collect()
}

/// Weights by name and shape, of a size that keeps that of what goes through.
struct Random;

impl SimpleBackend for Random {
    fn get(&self, s: Shape, name: &str, _: Init, dtype: DType, dev: &Device) -> Result<Tensor> {
        let count = s.elem_count();
        let inputs = count / s.dims().first().copied().unwrap_or(1).max(1);
        let values = numbers(name, count);
        let values: Vec<f32> = match name.rsplit('.').next() {
            Some("gamma") => values.iter().map(|v| 1. + 0.1 * v).collect(),
            Some("bias") => values.iter().map(|v| 0.05 * v).collect(),
            _ => {
                let by = (3. / inputs as f32).sqrt();
                values.iter().map(|v| by * v).collect()
            }
        };
        Tensor::from_vec(values, s, dev)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} is asked for without a shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        ["post_quant_conv", "quant_conv", "decoder", "encoder"]
            .iter()
            .any(|part| name.starts_with(part))
    }
}

fn main() -> std::result::Result<(), Failure> {
    let device = driver::Device::open(0)?;
    let config = match std::env::args().any(|a| a == "2.2") {
        true => VaeConfig::of_2_2(),
        false => VaeConfig::default(),
    };
    let vb = VarBuilder::from_backend(Box::new(Random), DType::F32, Device::Cpu);
    let begun = Instant::now();
    let decoder = GpuDecoder::<bf16>::load(&device, &config, &vb)?;
    let encoder = GpuEncoder::<bf16>::load(&device, &config, &vb)?;
    println!("device {}", device.name());
    println!("loaded {:.3}", begun.elapsed().as_secs_f64());
    println!(
        "without {}",
        decoder.lacks().unwrap_or_else(|| "nothing".to_owned())
    );
    println!("ready");
    for line in stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["decode", size] => {
                let (seconds, _) = decode(&decoder, &config, size, false)?;
                println!("seconds {seconds:.6}");
            }
            ["save", size, file] => {
                let (seconds, frames) = decode(&decoder, &config, size, true)?;
                let bytes: Vec<u8> = frames.iter().flat_map(|v| v.to_le_bytes()).collect();
                std::fs::write(file, bytes)?;
                println!("seconds {seconds:.6}");
            }
            ["encode", size] => {
                let (seconds, _) = encode(&encoder, size)?;
                println!("seconds {seconds:.6}");
            }
            ["encode", size, file] => {
                let (seconds, latents) = encode(&encoder, size)?;
                let bytes: Vec<u8> = latents.iter().flat_map(|v| v.to_le_bytes()).collect();
                std::fs::write(file, bytes)?;
                println!("seconds {seconds:.6}");
            }
            ["refused"] => {
                for text in decoder.refused() {
                    println!("refused {text}");
                }
                println!("told");
            }
            ["engines"] => {
                engines(&device)?;
                println!("told");
            }
            _ => return Err(format!("no command: {line}").into()),
        }
        std::io::stdout().flush()?;
    }
    let (free, total) = device.memory()?;
    println!("memory {} of {} MB are free", free >> 20, total >> 20);
    Ok(())
}

/// Frames, rows and columns.
fn three(size: &str) -> std::result::Result<[usize; 3], Failure> {
    let numbers: Vec<usize> = size
        .split('x')
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    let three = <[usize; 3]>::try_from(numbers);
    three.map_err(|_| "a size is FRAMESxROWSxCOLUMNS".into())
}

/// Seconds of a video's encoding, and its latents.
fn encode(encoder: &GpuEncoder, size: &str) -> std::result::Result<(f64, Vec<f32>), Failure> {
    let [frames, rows, columns] = three(size)?;
    let frame = |i: usize| {
        let values = numbers(&format!("frame{i}"), rows * columns * 3);
        FeatureMap::from_rows(rows, columns, 3, values)
    };
    let video: Vec<FeatureMap> = (0..frames).map(frame).collect();
    let mut latents = Vec::new();
    let mut encoding = encoder.begin();
    let begun = Instant::now();
    for frame in &video {
        if let Some(latent) = encoding.push(frame, Task::quiet())? {
            latents.extend(latent.rows().flatten());
        }
    }
    Ok((begun.elapsed().as_secs_f64(), latents))
}

/// Seconds of a video's decoding, and its frames where they are kept.
fn decode(
    decoder: &GpuDecoder,
    config: &VaeConfig,
    size: &str,
    keep: bool,
) -> std::result::Result<(f64, Vec<f32>), Failure> {
    let [frames, rows, columns] = three(size)?;
    let by = config.spatial_factor();
    let shape = [config.z_dim, (frames - 1) / 4 + 1, rows / by, columns / by];
    let values = numbers("latents", shape.iter().product());
    let values: Vec<f32> = values.iter().map(|v| 1.7 * v).collect();
    let latents = Tensor::from_vec(values, &shape[..], &Device::Cpu)?;
    let (mut kept, mut count) = (Vec::new(), 0);
    let begun = Instant::now();
    decoder.decode_from(&latents, (0, 0), Task::quiet(), &mut |piece| {
        count += 1;
        if keep {
            kept.extend(piece.pixels.rows().flatten());
        }
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    if count != frames {
        return Err(format!("{count} frames of {frames}").into());
    }
    Ok((seconds, kept))
}

/// The kinds of layers at 832 × 480 and what cuDNN proposes for each.
fn engines(device: &std::sync::Arc<driver::Device>) -> std::result::Result<(), Failure> {
    let stream = driver::Stream::new(device)?;
    let mut convolutions = Convolutions::new(&stream);
    for (size, channels, outputs, kernel, zeros, wide) in [
        ([6, 480, 832], 96, 96, [3, 3, 3], 1, false),
        ([6, 480, 417], 192, 192, [3, 3, 2], 1, false),
        ([6, 240, 416], 192, 192, [3, 3, 3], 1, false),
        ([4, 120, 208], 384, 384, [3, 3, 3], 1, false),
        ([3, 60, 104], 384, 384, [3, 3, 3], 1, false),
        ([4, 240, 416], 192, 384, [1, 2, 2], 1, false),
        ([4, 120, 208], 384, 768, [1, 2, 2], 1, false),
        ([6, 480, 832], 96, 8, [3, 3, 3], 1, true),
        ([6, 480, 417], 192, 16, [3, 3, 2], 1, true),
        ([6, 480, 832], 96, 8, [3, 3, 3], 1, false),
        ([6, 480, 832], 8, 96, [3, 3, 3], 1, false),
        ([1, 1, 6240], 384, 6240, [1, 1, 1], 0, true),
        ([1, 1, 6240], 6240, 384, [1, 1, 1], 0, false),
    ] {
        let of = Convolution {
            size,
            channels,
            outputs,
            kernel,
            step: [1; 3],
            // Pairs of columns have theirs in memory.
            zeros: match kernel {
                [3, 3, 2] => [[1; 2], [0; 2]],
                _ => [[zeros; 2]; 2],
            },
        };
        let [read, weights, made] = of.lengths();
        let narrow = |name: &str, count| -> Vec<bf16> {
            numbers(name, count)
                .into_iter()
                .map(bf16::from_f32)
                .collect()
        };
        let x = stream.upload(&narrow("x", read))?;
        let weight = stream.upload(&narrow("w", weights))?;
        let told = if wide {
            let mut y = stream.room::<f32>(made)?;
            convolutions.measure(&of, x.part(), weight.part(), y.part_mut())?
        } else {
            let mut y = stream.room::<bf16>(made)?;
            convolutions.measure(&of, x.part(), weight.part(), y.part_mut())?
        };
        println!(
            "layer {size:?} {channels} to {outputs} {kernel:?} to {}",
            if wide { "f32" } else { "bf16" }
        );
        for (engine, seconds) in told {
            let rate = of.operations() / seconds / 1e12;
            println!("    {:8.3} ms {rate:6.1} Tflop/s  {engine}", seconds * 1e3);
        }
    }
    for text in convolutions.refused() {
        println!("refused {text}");
    }
    Ok(())
}
