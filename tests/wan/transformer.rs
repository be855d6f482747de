//! Parity of the transformer, part by part, in every variant.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use longtake::engine::wan::config::TransformerConfig;
use longtake::engine::wan::transformer::{Control, Inputs, Part, Timesteps, Transformer};

use crate::support::{TOLERANCE, apart, tensors, text};

fn model(folder: &str) -> Transformer {
    let config = TransformerConfig::from_json(&text(&format!("{folder}/config.json"))).unwrap();
    let weights = tensors(&format!("{folder}/diffusion_pytorch_model.safetensors"));
    let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    Transformer::load(&config, &vb).unwrap()
}

/// The reference's inputs, of which a test may change some.
struct Case {
    model: Transformer,
    kept: HashMap<String, Tensor>,
}

impl Case {
    fn new(name: &str) -> Self {
        Self {
            model: model(&format!("{name}/transformer")),
            kept: tensors(&format!("{name}/reference.safetensors")),
        }
    }

    fn run(&self) -> (Tensor, HashMap<String, Tensor>) {
        let times = self.kept["timestep"].flatten_all().unwrap();
        let times = times.to_vec1::<f32>().unwrap();
        let timesteps = match times[..] {
            [time] => Timesteps::whole(time),
            _ => Timesteps::per_token(&times),
        };
        // The image branch of the reference takes the text at its full length.
        let prompt = &self.kept["prompt"];
        let image = self.kept.get("clip");
        let prompt = match image {
            Some(_) => prompt.pad_with_zeros(1, 0, 512 - prompt.dim(1).unwrap()),
            None => Ok(prompt.clone()),
        };
        let scales = self.kept.get("scales").map(|s| s.to_vec1().unwrap());
        let scales: Vec<f32> = scales.unwrap_or_default();
        let inputs = Inputs {
            latents: &self.kept["latents"],
            timesteps: &timesteps,
            text: &prompt.unwrap(),
            image,
            control: self.kept.get("control").map(|latents| Control {
                latents,
                scales: &scales,
            }),
            regions: None,
            subjects: &[],
        };
        let mut parts = HashMap::new();
        let output = self.model.forward(&inputs, &mut |part, result| {
            let x = result()?;
            let (name, x) = match part {
                Part::Patch => ("patch".to_owned(), x.clone()),
                Part::Time => ("time".to_owned(), x.squeeze(1)?),
                Part::TimeProjection => ("time_projection".to_owned(), x.flatten_from(1)?),
                Part::Text => ("text".to_owned(), x.clone()),
                Part::Image => ("image".to_owned(), x.clone()),
                Part::Hint(i) => (format!("hint.{i}"), (x / f64::from(scales[i]))?),
                Part::Block(i) => (format!("block.{i}"), x.clone()),
            };
            parts.insert(name, x);
            Ok(())
        });
        (output.unwrap(), parts)
    }

    fn output(&self) -> Tensor {
        self.run().0
    }

    /// How much the output moves when `name` is changed so.
    fn moves(&mut self, name: &str, change: impl FnOnce(&Tensor) -> Tensor) -> f64 {
        let before = self.output();
        let was = self.kept[name].clone();
        self.kept.insert(name.to_owned(), change(&was));
        let moved = apart(&self.output(), &before);
        self.kept.insert(name.to_owned(), was);
        moved
    }
}

const INPUTS: [&str; 6] = ["latents", "prompt", "timestep", "clip", "control", "scales"];

fn agrees(name: &str, least_parts: usize) {
    let case = Case::new(name);
    let (output, parts) = case.run();
    let mut compared = 0;
    for (part, expected) in &case.kept {
        if INPUTS.contains(&part.as_str()) || part == "output" {
            continue;
        }
        let found = &parts[part];
        // Padding behind the text is the same again and again; not all is kept.
        let found = match part.as_str() {
            "text" => found.narrow(1, 0, expected.dim(1).unwrap()).unwrap(),
            _ => found.clone(),
        };
        let error = apart(&found, expected);
        assert!(error <= TOLERANCE, "{name}, {part}: {error:e}");
        compared += 1;
    }
    assert!(compared >= least_parts, "{compared} parts compared");
    let error = apart(&output, &case.kept["output"]);
    println!("{name}: {error:e}");
    assert!(error <= TOLERANCE, "{name}, output: {error:e}");
}

#[test]
fn text_to_video_agrees_part_by_part() {
    agrees("t2v", 6);
}

#[test]
fn first_and_last_frame_to_video_agrees_part_by_part() {
    agrees("i2v", 7);
}

#[test]
fn vace_agrees_part_by_part() {
    agrees("vace", 10);
}

#[test]
fn a_timestep_for_each_token_agrees_part_by_part() {
    agrees("ti2v", 4);
}

/// What must be told from its like moves the result by ten times the tolerance at
/// least: else the comparison above would pass with that input unread.
#[test]
fn the_fixtures_are_sensitive_to_every_input() {
    let least = 10.0 * TOLERANCE;
    let other = |x: &Tensor| x.affine(0.9, 0.05).unwrap();
    for name in ["t2v", "i2v", "vace", "ti2v"] {
        let mut case = Case::new(name);
        let check = |what: &str, moved: f64| {
            assert!(moved >= least, "{name}: {what} moves by {moved:e}");
        };
        check("another text", case.moves("prompt", other));
        check(
            "a shorter text",
            case.moves("prompt", |x| {
                let kept = x.dim(1).unwrap() - 1;
                x.narrow(1, 0, kept).unwrap()
            }),
        );
        check(
            "a timestep 5 later",
            case.moves("timestep", |x| (x - 5.0).unwrap()),
        );
        check("other latents", case.moves("latents", other));
        if name == "i2v" {
            check("another image", case.moves("clip", other));
            check(
                "the images the other way round",
                case.moves("clip", |x| {
                    let (first, last) = (x.narrow(0, 0, 1).unwrap(), x.narrow(0, 1, 1).unwrap());
                    Tensor::cat(&[last, first], 0).unwrap()
                }),
            );
            // Channels behind the noise: the mask and the given frames.
            check(
                "another mask",
                case.moves("latents", |x| {
                    let mask = (x.narrow(1, 4, 4).unwrap() * 0.5).unwrap();
                    x.slice_assign(
                        &[0..1, 4..8, 0..x.dims()[2], 0..x.dims()[3], 0..x.dims()[4]],
                        &mask,
                    )
                    .unwrap()
                }),
            );
        }
        if name == "vace" {
            check(
                "another matte",
                case.moves("control", |x| {
                    // One of the 64 channels of the matte behind the pictures.
                    let (t, h, w) = (x.dims()[2], x.dims()[3], x.dims()[4]);
                    let matte = x.narrow(1, 8, 8).unwrap().neg().unwrap();
                    x.slice_assign(&[0..1, 8..16, 0..t, 0..h, 0..w], &matte)
                        .unwrap()
                }),
            );
            check(
                "another strength of a hint",
                case.moves("scales", |_| {
                    Tensor::new(&[1.0f32, 0.5], &Device::Cpu).unwrap()
                }),
            );
        }
    }
}

#[test]
fn only_the_time_of_the_tokens_in_question_moves() {
    let mut case = Case::new("ti2v");
    let all_alike = case.moves("timestep", |x| {
        let noisy = x.max_keepdim(1).unwrap();
        noisy.broadcast_as(x.shape()).unwrap().contiguous().unwrap()
    });
    assert!(all_alike >= 10.0 * TOLERANCE, "{all_alike:e}");
}

#[test]
fn latents_that_do_not_fit_are_told_and_not_run() {
    let case = Case::new("t2v");
    let refuses = |latents: Tensor| {
        let text = &case.kept["prompt"];
        let inputs = Inputs {
            latents: &latents,
            timesteps: &Timesteps::whole(500.0),
            text,
            image: None,
            control: None,
            regions: None,
            subjects: &[],
        };
        let result = case.model.forward(&inputs, &mut |_, _| Ok(()));
        result.unwrap_err().to_string()
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    assert!(refuses(zeros(&[1, 5, 3, 6, 8])).contains("5 channels"));
    assert!(refuses(zeros(&[1, 4, 3, 7, 8])).contains("8 x 7"));
    assert!(refuses(zeros(&[1, 4, 65, 2, 2])).contains("65 tokens"));
}
