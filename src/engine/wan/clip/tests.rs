//! Held against what the reference made (`tests/wan/reference/make_clip.py`).

use std::collections::HashMap;
use std::path::PathBuf;

use super::*;

const TOLERANCE: f64 = 1e-4;

fn folder() -> PathBuf {
    // Others than the stored ones, where the slow check made them afresh.
    let all = std::env::var_os("LONGTAKE_WAN_FIXTURES").map(PathBuf::from);
    let stored = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wan/fixtures");
    all.unwrap_or_else(stored).join("clip")
}

fn reference() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(folder().join("reference.safetensors"), &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    let tensor = tensor.to_dtype(DType::F32).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn error(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (numbers(a), numbers(b));
    assert_eq!(a.len(), b.len());
    let apart: f64 = a
        .iter()
        .zip(&b)
        .map(|(a, b)| f64::from(a - b).powi(2))
        .sum();
    let size: f64 = b.iter().map(|b| f64::from(*b).powi(2)).sum();
    (apart / size).sqrt()
}

fn with_task<T>(run: impl FnOnce(Task<'_>) -> T) -> T {
    run(Task::quiet())
}

#[test]
fn states_are_those_of_the_reference() {
    let (encoder, reference) = (ImageEncoder::open(&folder()).unwrap(), reference());
    let pixels = numbers(&reference["0.pixels"]);
    let first = encoder.embedded(&pixels).unwrap();
    assert!(error(&first, &reference["0.first"]) <= TOLERANCE);
    let second = encoder.blocks[0].forward(&first, 4).unwrap();
    assert!(error(&second, &reference["0.second"]) <= TOLERANCE);
    for i in 0..4 {
        let pixels = numbers(&reference[&format!("{i}.pixels")]);
        let states = with_task(|task| encoder.states(&pixels, task)).unwrap();
        assert_eq!(states.dims(), [1, 37, 20]);
        let expected = &reference[&format!("{i}.states")];
        let error = error(&states, expected);
        assert!(error <= TOLERANCE, "picture {i}: {error}");
    }
    // Another picture is told apart.
    let other = error(&reference["1.states"], &reference["0.states"]);
    assert!(other >= 10. * TOLERANCE);
}

#[test]
fn pictures_are_looked_at_as_by_the_reference_but_for_its_8_bits() {
    let reference = reference();
    for i in 0..4 {
        let picture = &reference[&format!("{i}.picture")];
        let (height, width, _) = picture.dims3().unwrap();
        let values = numbers(picture).iter().map(|v| v / 127.5 - 1.).collect();
        let frame = FeatureMap::from_rows(height, width, 3, values);
        let got = resize::looked_at(&frame, 42);
        let expected = numbers(&reference[&format!("{i}.pixels")]);
        // It rounds twice, to 1/255, and divides by a spread of about .26.
        let most = got.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let most = most.fold(0., f32::max);
        assert!(most <= 1.2 / 255. / 0.26, "picture {i}: {most}");
    }
}

#[test]
fn published_names_are_read_and_what_does_not_fit_is_named() {
    let weights = candle_core::safetensors::load(folder().join("model.safetensors"), &Device::Cpu);
    let renamed: HashMap<_, _> = weights
        .unwrap()
        .into_iter()
        .map(|(name, t)| (format!("vision_model.{name}"), t))
        .collect();
    let vb = VarBuilder::from_tensors(renamed, DType::F32, &Device::Cpu);
    let text = std::fs::read_to_string(folder().join("config.json")).unwrap();
    let config = ImageConfig::parse(&text).unwrap();
    assert!(ImageEncoder::load(config.clone(), &vb).is_ok());
    let wrong = ImageConfig {
        intermediate_size: 40,
        ..config
    };
    let error = ImageEncoder::load(wrong, &vb).err().unwrap().to_string();
    assert!(
        error.contains("vision_model.encoder.layers.0.mlp.fc1"),
        "{error}"
    );
    for (text, word) in [
        ("7", "settings look like"),
        (r#"{"model_type": "siglip"}"#, "siglip"),
        (r#"{"hidden_act": "quick_gelu"}"#, "quick_gelu"),
        (r#"{"image_size": 225}"#, "225"),
        (r#"{"num_attention_heads": 7}"#, "7 heads"),
        (r#"{"num_hidden_layers": 0}"#, "0 layers"),
    ] {
        let error = ImageConfig::parse(text).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
