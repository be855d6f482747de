//! Our side of each task.

use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor, safetensors};
use candle_nn::VarBuilder;
use longtake::device::ops::FeatureMap;
use longtake::device::ops::conv3d::{Conv3d, Walk};
use longtake::device::{Cancel, Task};
use longtake::engine::wan::text::TextEncoder;
use longtake::engine::wan::vae::{Tiling, VaeConfig, VaeDecoder, frames_of};

use super::meter::{forget_peak, memory, processor_time};
use super::{Cost, Failure};

/// A task made ready.
pub struct Work {
    pub run: Box<dyn FnMut() -> Result<(), Failure>>,
    /// The relative error to what the reference gave, where it gave something.
    pub check: Box<dyn FnMut() -> Result<Option<f64>, Failure>>,
}

/// What the reference is told, made ready here; nothing where it needs what the
/// reference would have left in `folder`.
pub fn prepare(line: &str, folder: &Path) -> Result<Option<Work>, Failure> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let numbers: Vec<usize> = words[2..]
        .iter()
        .map(|w| w.parse())
        .collect::<Result<_, _>>()?;
    match words[0] {
        "conv" => conv(&numbers).map(Some),
        "decode" if folder.join("vae.safetensors").exists() => decode(folder).map(Some),
        "text" if folder.join("text.safetensors").exists() => text(folder).map(Some),
        _ => Ok(None),
    }
}

fn random(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216. - 0.5
    };
    (0..count).map(|_| next()).collect()
}

fn conv(numbers: &[usize]) -> Result<Work, Failure> {
    let &[channels, outputs, frames, height, width, cached] = numbers else {
        return Err("a convolution has six numbers".into());
    };
    let weight = random(1, outputs * channels * 27);
    let weight = Tensor::from_vec(weight, (outputs, channels, 3, 3, 3), &Device::Cpu)?;
    let bias = Tensor::from_vec(random(2, outputs), outputs, &Device::Cpu)?;
    let conv = Conv3d::new(&weight, &bias, Walk::Same)?;
    drop(weight);
    let map = |seed| {
        let data = random(seed, height * width * channels);
        FeatureMap::from_rows(height, width, channels, data)
    };
    let past: Vec<_> = (0..2 * cached)
        .map(|i| map(i as u32).with_border(1))
        .collect();
    let input: Vec<_> = (0..frames).map(|i| map(9 + i as u32)).collect();
    let run = move || {
        let cancel = Cancel::default();
        // As the reference, which pads a copy.
        let mut all: Vec<Option<FeatureMap>> = match past.is_empty() {
            true => vec![None, None],
            false => past.iter().map(|p| Some(p.clone())).collect(),
        };
        all.extend(input.iter().map(|x| Some(x.with_border(1))));
        let mut out = Vec::new();
        for three in all.windows(3) {
            let three: Vec<_> = three.iter().map(Option::as_ref).collect();
            out.push(conv.frame(&three, None, &cancel)?);
        }
        Ok(())
    };
    Ok(Work {
        run: Box::new(run),
        check: Box::new(|| Ok(None)),
    })
}

fn decode(folder: &Path) -> Result<Work, Failure> {
    let io = safetensors::load(folder.join("vae_io.safetensors"), &Device::Cpu)?;
    let (latents, expected) = (io["latents"].clone(), io["out"].clone());
    let config = VaeConfig::parse("{}")?;
    let weights = safetensors::load(folder.join("vae.safetensors"), &Device::Cpu)?;
    let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    let decoder = std::sync::Arc::new(VaeDecoder::load(&config, &vb)?);
    drop(vb);
    let all = {
        let (decoder, latents) = (decoder.clone(), latents.clone());
        move || {
            let task = Task::quiet();
            let mut frames = Vec::new();
            decoder.decode(&latents, Tiling::Whole, task, &mut |p| {
                frames.push(p.pixels)
            })?;
            Ok::<_, Failure>(frames)
        }
    };
    let run = {
        let all = all.clone();
        move || all().map(drop)
    };
    let check = move || {
        let expected = frames_of(&expected)?;
        let got = all()?;
        Ok(Some(error(
            got.iter().flat_map(|f| f.rows().flatten().copied()),
            expected.iter().flat_map(|f| f.rows().flatten().copied()),
        )))
    };
    Ok(Work {
        run: Box::new(run),
        check: Box::new(check),
    })
}

/// One layer of UMT5-XXL, its weights mapped in bf16.
fn text(folder: &Path) -> Result<Work, Failure> {
    let io = safetensors::load(folder.join("text_io.safetensors"), &Device::Cpu)?;
    let ids: Vec<u32> = io["ids"].to_dtype(DType::U32)?.to_vec1()?;
    let expected: Vec<f32> = io["out"].flatten_all()?.to_vec1()?;
    // A file without settings: they are those of UMT5-XXL but for the layers.
    let encoder = TextEncoder::open(&folder.join("text.safetensors"))?;
    let encoder = std::sync::Arc::new(encoder);
    let all = move || {
        let task = Task::quiet();
        let mut out = encoder.encode(std::slice::from_ref(&ids), task)?;
        Ok::<_, Failure>(out.swap_remove(0))
    };
    let run = {
        let all = all.clone();
        move || all().map(drop)
    };
    let check = move || {
        let got = all()?;
        Ok(Some(error(got.into_iter(), expected.iter().copied())))
    };
    Ok(Work {
        run: Box::new(run),
        check: Box::new(check),
    })
}

fn error(got: impl Iterator<Item = f32>, expected: impl Iterator<Item = f32>) -> f64 {
    let (mut apart, mut size) = (0., 0.);
    for (a, b) in got.zip(expected) {
        apart += f64::from(a - b).powi(2);
        size += f64::from(b).powi(2);
    }
    (apart / size).sqrt()
}

/// Runs `run` `repeats` times.
pub fn measure(
    run: &mut dyn FnMut() -> Result<(), Failure>,
    repeats: usize,
) -> Result<Cost, Failure> {
    // A single run is one of a whole part, which was run to be checked.
    if repeats > 1 {
        run()?;
    }
    forget_peak()?;
    let before = megabytes("VmRSS")?;
    let (cpu, wall) = (processor_time(), Instant::now());
    for _ in 0..repeats {
        run()?;
    }
    Ok(Cost {
        cpu: (processor_time() - cpu) / repeats as f64,
        wall: wall.elapsed().as_secs_f64() / repeats as f64,
        memory: megabytes("VmHWM")? - before,
    })
}

/// Megabytes.
fn megabytes(field: &str) -> Result<f64, Failure> {
    let told = memory(field).ok_or("the system does not tell its memory")?;
    Ok(told as f64 / 1024.)
}
