//! One transformer block at the sizes of Wan 2.1 1.3B, f32, against torch on the same
//! machine, run by run in turn:
//!
//!     LONGTAKE_PYTHON=venv/bin/python cargo bench --bench wan -- [TOKENS...]
//!
//! The interpreter is one with `tests/wan/reference/requirements.txt`. Told are the
//! processor time of a block (all threads together) and the memory above what the
//! weights take. Without LONGTAKE_PYTHON only our own figures are told.
//!
//! As on a processor without AVX-512, both sides kept from using it:
//!
//!     LONGTAKE_CPU=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 \
//!         MKL_ENABLE_INSTRUCTIONS=AVX2 LONGTAKE_PYTHON=... cargo bench --bench wan

#[path = "../meter/mod.rs"]
mod meter;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use longtake::engine::wan::config::TransformerConfig;
use longtake::engine::wan::transformer::{Inputs, Part, Timesteps, Transformer};
use meter::{forget_peak, memory, processor_time};

/// Rounds of which the middle one is told.
const ROUNDS: usize = 3;
const CONFIG: &str = r#"{"_class_name": "WanTransformer3DModel", "num_attention_heads": 12,
    "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 1}"#;

/// Numbers in -1..1 that repeat only after a long while.
fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

fn tensor(seed: u32, shape: &[usize], by: f64) -> Result<Tensor> {
    let count = shape.iter().product();
    Tensor::from_vec(numbers(seed, count), shape, &Device::Cpu)? * by
}

/// Random weights of any shape.
struct Random;

impl SimpleBackend for Random {
    fn get(&self, s: Shape, name: &str, _: Init, _: DType, _: &Device) -> Result<Tensor> {
        let width = s.dims().last().copied().unwrap_or(1);
        tensor(name.len() as u32, s.dims(), 1.7 / (width as f64).sqrt())
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} has no shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        !name.ends_with(".packed")
    }
}

/// Memory in MB.
fn megabytes(field: &str) -> f64 {
    memory(field).map_or(f64::NAN, |k| k as f64 / 1024.0)
}

#[derive(Clone, Copy)]
struct Figure {
    seconds: f64,
    megabytes: f64,
}

/// One evaluation: the block's processor time, and the peak above the start.
fn ours(model: &Transformer, frames: usize) -> Result<Figure> {
    let latents = tensor(3, &[1, 16, frames, 60, 104], 1.7)?;
    let text = tensor(4, &[1, 512, 4096], 1.0)?;
    let inputs = Inputs {
        latents: &latents,
        timesteps: &Timesteps::whole(700.0),
        text: &text,
        image: None,
        control: None,
        regions: None,
        subjects: &[],
    };
    forget_peak().ok();
    let before = megabytes("VmRSS");
    let (mut from, mut seconds) = (0.0, 0.0);
    model.forward(&inputs, &mut |part, _| {
        match part {
            Part::Text => from = processor_time(),
            Part::Block(_) => seconds = processor_time() - from,
            _ => {}
        }
        Ok(())
    })?;
    Ok(Figure {
        seconds,
        megabytes: megabytes("VmHWM") - before,
    })
}

/// The other side: a process that runs a block for each line and answers with one.
struct Torch {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Torch {
    fn start() -> Option<Self> {
        let python = std::env::var_os("LONGTAKE_PYTHON")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/wan/torch_block.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("LONGTAKE_PYTHON names a Python");
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, answers })
    }

    fn run(&mut self, frames: usize) -> Figure {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{frames}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut numbers = line.split_whitespace().map(|n| n.parse().unwrap());
        Figure {
            seconds: numbers.next().unwrap(),
            megabytes: numbers.next().unwrap(),
        }
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

fn middle(mut figures: Vec<Figure>) -> Figure {
    figures.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let most = figures.iter().map(|f| f.megabytes).fold(0.0, f64::max);
    Figure {
        seconds: figures[figures.len() / 2].seconds,
        megabytes: most,
    }
}

fn main() -> Result<()> {
    let wanted: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    let config = TransformerConfig::from_json(CONFIG).expect("the configuration is sound");
    let vb = VarBuilder::from_backend(Box::new(Random), DType::F32, Device::Cpu);
    let model = Transformer::load(&config, &vb)?;
    let mut torch = Torch::start();
    let sizes = BTreeMap::from([(1560, 1), (4680, 3), (9360, 6)]);
    println!("tokens  ours s  torch s  ratio  ours MB  torch MB");
    for (tokens, frames) in sizes {
        if !wanted.is_empty() && !wanted.contains(&tokens) {
            continue;
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        // The first of each warms up.
        for round in 0..=ROUNDS {
            let figure = ours(&model, frames)?;
            let theirs = torch.as_mut().map(|t| t.run(frames));
            if round > 0 {
                a.push(figure);
                b.extend(theirs);
            }
        }
        let ours = middle(a);
        match b.is_empty() {
            true => println!(
                "{tokens:>6}  {:>6.2}  {:>33.0}",
                ours.seconds, ours.megabytes
            ),
            false => {
                let theirs = middle(b);
                println!(
                    "{tokens:>6}  {:>6.2}  {:>7.2}  {:>5.2}  {:>7.0}  {:>8.0}",
                    ours.seconds,
                    theirs.seconds,
                    ours.seconds / theirs.seconds,
                    ours.megabytes,
                    theirs.megabytes
                );
            }
        }
    }
    Ok(())
}
