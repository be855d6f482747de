//! The transformer as it works on a GPU, tried on the CPU: branches of 16 bits beside a
//! trunk of f32, and the twins of the GPU's kernels in their places.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use half::bf16;
use longtake_kernels::modulate::{Norm, Reads, Vectors, modulate};
use longtake_kernels::rms_norm;

use super::config::TransformerConfig;
use super::transformer::{Control, Inputs, Regions, Timesteps, Transformer};
use crate::device::ops::accelerated::{Accelerated, stand_in};
use crate::device::ops::{Activation, Angles, Branch, LayerNorm, PerRow};

const WIDE: DType = DType::F32;
const NARROW: DType = DType::BF16;

/// The twins, and how often each was asked.
#[derive(Default)]
struct Twins(Mutex<BTreeMap<&'static str, usize>>);

impl Twins {
    fn count(&self, name: &'static str) {
        *self.0.lock().unwrap().entry(name).or_default() += 1;
    }
}

fn wide(t: &Tensor) -> Vec<f32> {
    assert_eq!(t.dtype(), WIDE);
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn narrow(t: &Tensor) -> Vec<bf16> {
    assert_eq!(t.dtype(), NARROW);
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Vectors, where each row's begins, and which each row has.
struct Those(Vec<f32>, usize, Option<Vec<u32>>);

impl Those {
    fn new(vectors: &PerRow) -> Self {
        let pitch = vectors.values.dim(1).unwrap();
        let of = vectors.of.as_ref().map(|of| of.to_vec1().unwrap());
        Self(wide(&vectors.values), pitch, of)
    }

    fn vectors(&self) -> Vectors<&[f32], &[u32]> {
        Vectors {
            values: &self.0,
            pitch: self.1,
            of: self.2.as_deref(),
        }
    }
}

impl Accelerated for Twins {
    fn linear(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        activation: Activation,
    ) -> Result<Option<Tensor>> {
        assert_eq!((weight.dtype(), bias.dtype()), (NARROW, x.dtype()));
        self.count("linear");
        let (a, w) = (x.to_dtype(WIDE)?, weight.to_dtype(WIDE)?);
        let y = a.broadcast_matmul(&w.t()?)?;
        let y = y.broadcast_add(&bias.to_dtype(WIDE)?)?;
        let y = match activation {
            Activation::None => y,
            Activation::GeluTanh => y.gelu()?,
            Activation::Gelu => y.gelu_erf()?,
            Activation::Silu => y.silu()?,
        };
        Ok(Some(y.to_dtype(x.dtype())?))
    }

    fn rms_norm(
        &self,
        x: &Tensor,
        weight: &Tensor,
        eps: f64,
        angles: Option<&Angles>,
    ) -> Result<Option<Tensor>> {
        self.count(if angles.is_some() { "turned" } else { "rms" });
        let values = narrow(x);
        let mut out = vec![bf16::ZERO; values.len()];
        let kept = angles.map(|a| (wide(&a.cos), wide(&a.sin), a.cos.dim(D::Minus1).unwrap()));
        let turned = kept.as_ref().map(|(cos, sin, half)| rms_norm::Angles {
            cos: &cos[..],
            sin: &sin[..],
            half: *half,
        });
        rms_norm::rms_norm(&values, &wide(weight), eps as f32, turned, &mut out);
        Ok(Some(Tensor::from_vec(out, x.shape(), &Device::Cpu)?))
    }

    fn join(
        &self,
        x: &Tensor,
        branch: Option<&Branch>,
        norm: Option<&LayerNorm>,
        kind: DType,
    ) -> Result<Option<(Tensor, Option<Tensor>)>> {
        self.count(match (branch.is_some(), norm.is_some()) {
            (true, true) => "joined and normed",
            (true, false) => "joined",
            _ => "normed",
        });
        assert_eq!(kind, NARROW);
        let gate = branch.and_then(|b| b.gate.as_ref()).map(Those::new);
        let scales = norm.map(|n| (Those::new(&n.scale), Those::new(&n.shift), n));
        let (x_values, values) = (wide(x), branch.map(|b| narrow(&b.values)));
        let reads = Reads {
            x: &x_values[..],
            branch: values
                .as_ref()
                .map(|v| (&v[..], gate.as_ref().map(Those::vectors))),
            norm: scales.as_ref().map(|(scale, shift, norm)| Norm {
                scale: scale.vectors(),
                plus: norm.scale.plus as f32,
                shift: shift.vectors(),
                eps: norm.eps as f32,
            }),
            channels: x.dim(D::Minus1)?,
        };
        let mut trunk = x_values.clone();
        let mut out = vec![bf16::ZERO; x_values.len()];
        let (to, normed) = (values.is_some(), norm.is_some());
        modulate(
            &reads,
            to.then_some(&mut trunk[..]),
            normed.then_some(&mut out[..]),
        );
        let shaped = |values| Tensor::from_vec(values, x.shape(), &Device::Cpu);
        let out = match normed {
            true => Some(Tensor::from_vec(out, x.shape(), &Device::Cpu)?),
            false => None,
        };
        Ok(Some((shaped(trunk)?, out)))
    }
}

/// A case of the reference: its inputs, and the model with matrices of 16 bits.
struct Case {
    model: Transformer,
    parts: HashMap<String, Tensor>,
}

impl Case {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wan/fixtures");
        let folder = folder.join(name);
        let load = |file: &str| candle_core::safetensors::load(folder.join(file), &Device::Cpu);
        let config = std::fs::read_to_string(folder.join("transformer/config.json")).unwrap();
        let config = TransformerConfig::from_json(&config).unwrap();
        let weights = load("transformer/diffusion_pytorch_model.safetensors").unwrap();
        let vb = VarBuilder::from_tensors(weights, NARROW, &Device::Cpu);
        Self {
            model: Transformer::load(&config, &vb).unwrap(),
            parts: load("reference.safetensors").unwrap(),
        }
    }

    /// With narrow branches and without: how far the velocities are apart, and what was
    /// asked.
    fn compare(self, members: Option<&[u32]>) -> (f32, BTreeMap<&'static str, usize>) {
        let twins = Arc::new(Twins::default());
        let apart = self.apart(members, twins.clone());
        let counts = twins.0.lock().unwrap().clone();
        (apart, counts)
    }

    /// How far the velocities are apart where a device has these ways.
    fn apart(self, members: Option<&[u32]>, ways: Arc<dyn Accelerated>) -> f32 {
        let times = self.parts["timestep"].flatten_all().unwrap();
        let timesteps = match &times.to_vec1::<f32>().unwrap()[..] {
            [time] => Timesteps::whole(*time),
            times => Timesteps::per_token(times),
        };
        let text = self.parts["prompt"].clone();
        let subject = (text.affine(-0.5, 0.25)).unwrap();
        let regions = members.map(|m| Regions::new(m, &Device::Cpu).unwrap());
        let scales: Vec<f32> = match self.parts.get("scales") {
            Some(scales) => scales.to_vec1().unwrap(),
            None => Vec::new(),
        };
        let inputs = Inputs {
            latents: &self.parts["latents"],
            timesteps: &timesteps,
            text: &text,
            image: self.parts.get("clip"),
            control: self.parts.get("control").map(|latents| Control {
                latents,
                scales: &scales,
            }),
            regions: regions.as_ref(),
            subjects: if members.is_some() { &[subject] } else { &[] },
        };
        let exact = self.model.forward(&inputs, &mut |_, _| Ok(())).unwrap();
        let model = self.model.with_branches(NARROW);
        let found = stand_in::with(ways, || model.forward(&inputs, &mut |_, _| Ok(())).unwrap());
        assert_eq!(found.dtype(), WIDE);
        let norm = |t: Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>();
        let (apart, whole) = ((found - &exact).unwrap(), exact);
        (norm(apart).unwrap() / norm(whole).unwrap()).sqrt()
    }
}

/// Rounding of 16 bits moves the velocity by some thousandths, a mistake by far more.
const BOUND: f32 = 0.02;

#[test]
fn branches_of_16_bits_give_what_wide_ones_give() {
    for name in ["t2v", "i2v", "ti2v", "vace"] {
        let case = Case::new(name);
        let config = case.model.config().clone();
        let (apart, asked) = case.compare(None);
        assert!(apart > 0.0 && apart < BOUND, "{name}: {apart}");
        let hints = config.vace.as_ref().map_or(0, |v| v.layers.len());
        let blocks = config.num_layers + hints;
        let images = usize::from(config.added_kv_proj_dim.is_some());
        assert_eq!(asked["turned"], 2 * blocks, "{name}");
        assert_eq!(asked["rms"], (2 + images) * blocks, "{name}");
        // Three products to each other, one of each text and image more, two behind.
        let products = 4 + 4 + 2 * images + 2;
        assert_eq!(asked["linear"], products * blocks + hints, "{name}");
        // Each block joins its three branches while the next is normed, and the trunk is
        // read alone at its beginning, for the head, and where a hint leaves or joins it.
        let normed = asked["joined and normed"] + asked["normed"];
        assert_eq!(normed, 3 * blocks, "{name}");
        assert_eq!(asked["joined"], 2 * hints + 1, "{name}");
    }
}

#[test]
fn regions_are_gathered_from_branches_of_16_bits() {
    let case = Case::new("t2v");
    let latents = case.parts["latents"].dims().to_vec();
    let [t, h, w] = case.model.config().patch_size;
    let tokens = (latents[2] / t) * (latents[3] / h) * (latents[4] / w);
    let members: Vec<u32> = (0..tokens).map(|i| u32::from(i % 3 == 1)).collect();
    let (apart, asked) = case.compare(Some(&members));
    assert!(apart > 0.0 && apart < BOUND, "{apart}");
    assert!(asked["linear"] > 0);
}

/// A GPU that has no ways of its own.
struct Bare;

impl Accelerated for Bare {}

#[test]
fn without_ways_of_its_own_a_device_gives_the_same() {
    for name in ["i2v", "ti2v", "vace"] {
        let apart = Case::new(name).apart(None, Arc::new(Bare));
        assert!(apart > 0.0 && apart < BOUND, "{name}: {apart}");
    }
}
