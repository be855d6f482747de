//! Whole runs of ten steps from the same noise, against the reference's pipelines.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use longtake::device::{Cancel, Silent, Task};
use longtake::engine::wan::checkpoint::Model;
use longtake::engine::wan::config::TransformerConfig;
use longtake::engine::wan::pipeline::message::OwnedRun;
use longtake::engine::wan::pipeline::{
    Condition, Experts, Held, Made, PipelineError, Run, Start, Subjects,
};
use longtake::engine::wan::transformer::{Control, Regions, Transformer};
use longtake::sampler::{Guidance, SchedulerConfig};

use crate::support::{apart, fixture, tensors, text};

const STEPS: usize = 10;
/// Relative error allowed to a whole run.
const TOLERANCE: f64 = 2e-4;

/// Variant, and the file of its run.
const CASES: [(&str, &str); 6] = [
    ("t2v", "pipeline"),
    ("i2v", "pipeline"),
    ("vace", "pipeline"),
    ("ti2v", "pipeline"),
    ("ti2v", "from_image"),
    ("a14b", "pipeline"),
];

struct Case {
    experts: Experts<Transformer>,
    scheduler: SchedulerConfig,
    kept: HashMap<String, Tensor>,
    guidance: Guidance,
    steps: usize,
    cache: Option<f64>,
    scales: Vec<f32>,
}

fn transformer(folder: &str) -> Transformer {
    let config = TransformerConfig::from_json(&text(&format!("{folder}/config.json"))).unwrap();
    let weights = tensors(&format!("{folder}/diffusion_pytorch_model.safetensors"));
    let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    Transformer::load(&config, &vb).unwrap()
}

impl Case {
    fn new(name: &str) -> Self {
        Self::of(name, "pipeline")
    }

    fn of(name: &str, file: &str) -> Self {
        let scheduler = text(&format!("{name}/scheduler/scheduler_config.json"));
        let guidance = Guidance::default();
        let (low, guidance) = match name {
            "a14b" => (
                Some((transformer("a14b/transformer_2"), 0.875)),
                Guidance {
                    scale: 4.0,
                    scale_low: Some(3.0),
                    ..guidance
                },
            ),
            "i2v" => (
                None,
                Guidance {
                    scale: 3.5,
                    ..guidance
                },
            ),
            _ => (None, guidance),
        };
        Self {
            experts: Experts {
                high: transformer(&format!("{name}/transformer")),
                low,
            },
            scheduler: SchedulerConfig::from_json(&scheduler).unwrap(),
            scales: match name {
                "vace" => vec![1.0, 0.7],
                _ => Vec::new(),
            },
            kept: tensors(&format!("{name}/{file}.safetensors")),
            guidance,
            steps: STEPS,
            cache: None,
        }
    }

    fn run(&self) -> Run<'_> {
        Run {
            held: None,
            noise: &self.kept["noise"],
            prompt: &self.kept["prompt"],
            negative: self.kept.get("negative"),
            image: self.kept.get("clip"),
            start: None,
            subjects: None,
            condition: match (self.kept.get("condition"), self.kept.get("free")) {
                (Some(latents), Some(free)) => Condition::Given { latents, free },
                (Some(channels), None) => Condition::Channels(channels),
                (None, _) => Condition::None,
            },
            control: self.kept.get("control").map(|latents| Control {
                latents,
                scales: &self.scales,
            }),
            scheduler: &self.scheduler,
            steps: self.steps,
            guidance: self.guidance,
            cache: self.cache,
        }
    }

    fn error(&self) -> f64 {
        apart(&sample(&self.experts, &self.run()), &self.kept["latents"])
    }
}

fn sample(experts: &Experts<Transformer>, run: &Run<'_>) -> Tensor {
    let task = Task::quiet();
    experts.sample(run, task).unwrap().latents
}

#[test]
fn ten_steps_agree_in_every_variant() {
    for (name, file) in CASES {
        let error = Case::of(name, file).error();
        println!("{name}, {file}: {error:e}");
        assert!(error <= TOLERANCE, "{name}: {error:e}");
    }
}

#[test]
fn prompt_negative_prompt_guidance_and_length_matter() {
    for (name, file) in CASES {
        let check = |what: &str, change: &dyn Fn(&mut Case)| {
            let mut case = Case::of(name, file);
            change(&mut case);
            let error = case.error();
            assert!(error >= 10.0 * TOLERANCE, "{name}, {what}: {error:e}");
        };
        let other = |case: &mut Case, key: &str| {
            let changed = case.kept[key].affine(-1.0, 0.2).unwrap();
            case.kept.insert(key.to_owned(), changed);
        };
        check("another prompt", &|case| other(case, "prompt"));
        check("another negative prompt", &|case| other(case, "negative"));
        check("a prompt half as long", &|case| {
            let length = case.kept["prompt"].dim(1).unwrap();
            let shorter = case.kept["prompt"].narrow(1, 0, length / 2).unwrap();
            case.kept.insert("prompt".to_owned(), shorter);
        });
        check("guidance by .5", &|case| {
            case.guidance.scale += 0.5;
            case.guidance.scale_low = case.guidance.scale_low.map(|scale| scale + 0.5);
        });
        check("one step less", &|case| case.steps -= 1);
        check("guidance dropped halfway", &|case| {
            case.guidance.until = 0.5;
        });
    }
    // The first expert has few of the ten steps.
    let mut a14b = Case::new("a14b");
    a14b.guidance.scale += 1.0;
    assert!(a14b.error() >= 10.0 * TOLERANCE);
    let mut a14b = Case::new("a14b");
    a14b.guidance.scale_low = Some(3.5);
    assert!(a14b.error() >= 10.0 * TOLERANCE);
    let mut a14b = Case::new("a14b");
    a14b.experts.low = None;
    assert!(a14b.error() >= 10.0 * TOLERANCE);
    for (name, file, key) in [
        ("i2v", "pipeline", "condition"),
        ("i2v", "pipeline", "clip"),
        ("ti2v", "from_image", "condition"),
        ("vace", "pipeline", "control"),
    ] {
        let mut case = Case::of(name, file);
        let changed = (&case.kept[key] * 0.9).unwrap();
        case.kept.insert(key.to_owned(), changed);
        let error = case.error();
        assert!(error >= 10.0 * TOLERANCE, "{name}, {key}: {error:e}");
    }
    // The matte alone: channels behind those of the pictures.
    let mut vace = Case::new("vace");
    let control = &vace.kept["control"];
    let pictures = control.narrow(1, 0, 8).unwrap();
    let matte = control.narrow(1, 8, 64).unwrap();
    let matte = matte.affine(-1.0, 1.0).unwrap();
    let control = Tensor::cat(&[pictures, matte], 1).unwrap();
    vace.kept.insert("control".to_owned(), control);
    assert!(vace.error() >= 10.0 * TOLERANCE);
}

#[test]
fn given_latents_stay_to_the_bit_and_change_the_rest() {
    let case = Case::new("ti2v");
    let noise = &case.kept["noise"];
    let (_, channels, t, h, w) = noise.dims5().unwrap();
    let given = Tensor::full(0.3f32, (1, channels, t, h, w), &Device::Cpu).unwrap();
    let free = Tensor::ones((1, 1, t - 1, h, w), DType::F32, &Device::Cpu)
        .and_then(|free| free.pad_with_zeros(2, 1, 0))
        .unwrap();
    let with = |latents: &Tensor| {
        let run = Run {
            condition: Condition::Given {
                latents,
                free: &free,
            },
            ..case.run()
        };
        sample(&case.experts, &run)
    };
    let made = with(&given);
    let first = |x: &Tensor| {
        let first = x.narrow(2, 0, 1).unwrap().flatten_all().unwrap();
        first.to_vec1::<f32>().unwrap()
    };
    assert_eq!(first(&made), first(&given));
    let rest = |x: &Tensor| x.narrow(2, 1, t - 1).unwrap().contiguous().unwrap();
    let other = with(&(&given * -1.0).unwrap());
    assert!(apart(&rest(&made), &rest(&other)) > 0.01);
}

/// Forty steps, of which the cache may leave out the middle ones.
#[test]
fn the_cache_saves_steps_and_tells_what_it_may_have_cost() {
    let mut case = Case::new("t2v");
    case.steps = 40;
    let task = Task::quiet();
    let plain = sample(&case.experts, &case.run());
    case.cache = Some(0.5);
    let made = case.experts.sample(&case.run(), task).unwrap();
    let (saved, error) = made.cached.unwrap();
    let cost = apart(&made.latents, &plain);
    println!("{saved} of 40 steps saved, estimated {error:.4}, latents {cost:.4} apart");
    assert!(saved >= 1 && error > 0.0 && error < 0.5);
    assert!(cost > 0.0 && cost < 0.5);
    case.cache = Some(0.0);
    assert_eq!(apart(&sample(&case.experts, &case.run()), &plain), 0.0);
}

#[test]
fn a_run_that_is_asked_to_stop_says_so() {
    let case = Case::new("t2v");
    let cancel = Cancel::default();
    cancel.cancel();
    let task = Task {
        cancel: &cancel,
        progress: &Silent,
    };
    let made = case.experts.sample(&case.run(), task);
    assert!(matches!(made, Err(PipelineError::Cancelled(_))));
}

#[test]
fn what_does_not_fit_is_read_block_by_block_and_makes_the_same() {
    for (name, file) in [("t2v", "pipeline"), ("vace", "pipeline")] {
        let model = Model::open(&fixture(name)).unwrap();
        let all = model.held_bytes(None);
        assert_eq!(all, model.held_bytes(Some(2 * all)));
        // Less than all and what is worked in.
        let some = model.held_bytes(Some(all));
        assert!(some > 0 && some < all, "{name}: {some} of {all}");
        let mut case = Case::of(name, file);
        let expected = sample(&case.experts, &case.run());
        case.experts = model.load(Some(all)).unwrap();
        assert_eq!(apart(&sample(&case.experts, &case.run()), &expected), 0.);
    }
}

/// As where the model lies in another object.
#[test]
fn a_run_that_crosses_as_bytes_is_the_same_run() {
    let same = |case: &Case, run: &Run<'_>, what: &str| {
        let task = Task::quiet();
        let here = case.experts.sample(run, task).unwrap();
        let bytes = run.to_bytes().unwrap();
        let owned = OwnedRun::from_bytes(&bytes, &Device::Cpu).unwrap();
        let made = case.experts.sample(&owned.run(), task).unwrap();
        let values = |made: &Made| {
            let values = made.latents.flatten_all().unwrap();
            values.to_vec1::<f32>().unwrap()
        };
        let dims = made.latents.dims().to_vec();
        let bytes = Made::to_bytes((&values(&made), &dims), made.cached).unwrap();
        let back = Made::from_bytes(&bytes).unwrap();
        assert!(values(&back) == values(&here), "{what}");
        assert_eq!(back.latents.dims(), here.latents.dims(), "{what}");
        assert_eq!(back.cached, here.cached, "{what}");
        values(&here)
    };
    for (name, file) in CASES {
        let mut case = Case::of(name, file);
        case.steps = 12;
        case.cache = Some(0.5);
        case.guidance.until = 0.75;
        let plain = same(&case, &case.run(), name);
        case.cache = None;
        case.steps = 4;
        let noise = &case.kept["noise"];
        let (_, _, frames, rows, columns) = noise.dims5().unwrap();
        let latents = noise.affine(0.5, 0.1).unwrap();
        let free = Tensor::ones((1, 1, frames - 1, 1, 1), DType::F32, &Device::Cpu);
        let free = free.unwrap().pad_with_zeros(2, 1, 0).unwrap();
        let started = Run {
            start: Some(Start {
                latents: &latents,
                strength: 0.6,
            }),
            held: Some(Held {
                latents: &latents,
                free: &free,
            }),
            ..case.run()
        };
        assert_ne!(same(&case, &started, name), plain, "{name}");
        let members: Vec<u32> = (0..frames * rows * columns / 4)
            .map(|i| i as u32 % 3)
            .collect();
        let regions = Regions::new(&members, &Device::Cpu).unwrap();
        let texts = ["prompt", "negative"].map(|text| case.kept[text].clone());
        let told = Run {
            subjects: Some(Subjects {
                regions: &regions,
                texts: &texts,
            }),
            ..case.run()
        };
        assert_ne!(
            same(&case, &told, name),
            same(&case, &case.run(), name),
            "{name}"
        );
    }
}
