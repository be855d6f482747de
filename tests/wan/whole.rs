//! A whole folder, from a prompt as typed to frames, against the reference's pipeline.

use std::path::Path;

use candle_core::{Device, Tensor};
use longtake::device::{Cancel, Silent, Task};
use longtake::engine::wan::generate::{Request, TextToVideo};
use longtake::engine::wan::vae::Tiling;
use longtake::sampler::Guidance;
use tempfile::TempDir;

use crate::support::{apart, fixture, tensors, text};

/// Relative error allowed to a whole run.
const TOLERANCE: f64 = 2e-4;

/// The folder as `save_pretrained` leaves it, of the parts that other tests use too.
pub fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let copy = |from: &str, to: &str| {
        let to = folder.path().join(to);
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(fixture(from)).unwrap() {
            let from = entry.unwrap().path();
            if from.is_file() {
                std::fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
            }
        }
    };
    copy("whole", "");
    copy("whole/transformer", "transformer");
    copy("whole/scheduler", "scheduler");
    copy("text/text_encoder", "text_encoder");
    copy("text/tokenizer", "tokenizer");
    copy("vae-2.1", "vae");
    folder
}

fn request() -> Request {
    let words: serde_json::Value = serde_json::from_str(&text("whole/prompts.json")).unwrap();
    let word = |key: &str| words[key].as_str().unwrap().to_owned();
    Request {
        prompt: word("prompt"),
        negative: word("negative"),
        size: [48, 32],
        frames: 5,
        steps: 10,
        guidance: Guidance::default(),
        seed: 0,
        noise: Some(tensors("whole/reference.safetensors")["noise"].clone()),
        cache: None,
    }
}

fn latents(model: &TextToVideo, request: &Request) -> Tensor {
    let cancel = Cancel::default();
    let task = Task {
        cancel: &cancel,
        progress: &Silent,
    };
    model.latents(request, task).unwrap().latents
}

#[test]
fn a_prompt_becomes_the_reference_s_latents_and_frames() {
    let folder = folder();
    let model = TextToVideo::open(folder.path()).unwrap();
    let kept = tensors("whole/reference.safetensors");
    let made = latents(&model, &request());
    let error = apart(&made, &kept["latents"]);
    println!("latents: {error:e}");
    assert!(error <= TOLERANCE, "{error:e}");

    let cancel = Cancel::default();
    let task = Task {
        cancel: &cancel,
        progress: &Silent,
    };
    let mut frames = Vec::new();
    let mut take = |piece: longtake::engine::wan::vae::Piece| {
        let rows: Vec<f32> = piece.pixels.rows().flatten().copied().collect();
        let shape = (piece.pixels.height(), piece.pixels.width(), 3);
        let frame = Tensor::from_vec(rows, shape, &Device::Cpu).unwrap();
        frames.push(frame.permute((2, 0, 1)).unwrap().affine(0.5, 0.5).unwrap());
    };
    model.decode(&made, Tiling::Whole, task, &mut take).unwrap();
    let error = apart(&Tensor::stack(&frames, 0).unwrap(), &kept["frames"]);
    println!("frames: {error:e}");
    assert!(error <= TOLERANCE, "{error:e}");
}

#[test]
fn other_words_make_something_else() {
    let folder = folder();
    let model = TextToVideo::open(folder.path()).unwrap();
    let kept = &tensors("whole/reference.safetensors")["latents"];
    let moves = |change: &dyn Fn(&mut Request)| {
        let mut request = request();
        change(&mut request);
        apart(&latents(&model, &request), kept)
    };
    let least = 10.0 * TOLERANCE;
    let moved = [
        moves(&|r| r.prompt = "a dog walks on the grass".to_owned()),
        moves(&|r| r.negative = "sharp".to_owned()),
        moves(&|r| r.guidance.scale += 0.5),
        moves(&|r| r.noise = None),
    ];
    assert!(moved.iter().all(|m| *m >= least), "{moved:?}");
}

#[test]
fn sizes_between_are_padded_and_nonsense_is_told_before_work() {
    let folder = folder();
    let model = TextToVideo::open(folder.path()).unwrap();
    let shape = |size: [usize; 2], frames: usize| {
        let request = Request {
            size,
            frames,
            ..request()
        };
        model.latent_shape(&request).map_err(|e| e.to_string())
    };
    assert_eq!(shape([48, 32], 5), Ok([16, 2, 4, 6]));
    assert_eq!(shape([33, 17], 6), Ok([16, 3, 4, 6]));
    assert_eq!(shape([1, 1], 1), Ok([16, 1, 2, 2]));
    assert!(shape([0, 32], 5).unwrap_err().contains("above 0"));
    assert!(
        shape([48, 32], 5000)
            .unwrap_err()
            .contains("beyond the model")
    );
    let cancel = Cancel::default();
    let task = Task {
        cancel: &cancel,
        progress: &Silent,
    };
    let says = |request: &Request| match model.latents(request, task) {
        Ok(_) => panic!("it was made"),
        Err(error) => error.to_string(),
    };
    let wrong = Request {
        size: [64, 32],
        ..request()
    };
    assert!(says(&wrong).contains("[1, 16, 2, 4, 8] goes with this size"));
    let long = Request {
        prompt: "grass ".repeat(3000),
        ..request()
    };
    assert!(says(&long).contains("too long"));

    let opens = |path: &Path| match TextToVideo::open(path) {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    };
    std::fs::remove_dir_all(folder.path().join("vae")).unwrap();
    assert!(opens(folder.path()).contains("has no vae"));
    assert!(opens(&fixture("i2v")).contains("has no text_encoder"));
}
