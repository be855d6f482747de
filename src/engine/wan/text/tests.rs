//! Held against what the reference made (`tests/wan/reference/make_text.py`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::weights::Rows;
use super::*;
use crate::device::Task;

const TOLERANCE: f64 = 1e-4;

fn folder() -> PathBuf {
    // Others than the stored ones, where the slow check made them afresh.
    let all = std::env::var_os("LONGTAKE_WAN_FIXTURES").map(PathBuf::from);
    all.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wan/fixtures"))
        .join("text")
}

#[derive(Deserialize)]
struct Stored {
    length: usize,
    prompts: Vec<Typed>,
}

#[derive(Deserialize)]
struct Typed {
    typed: String,
    clean: String,
}

fn stored() -> Stored {
    let text = std::fs::read_to_string(folder().join("prompts.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn reference() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(folder().join("reference.safetensors"), &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn config() -> TextConfig {
    let path = folder().join("text_encoder/config.json");
    TextConfig::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn encoder() -> TextEncoder {
    TextEncoder::open(&folder().join("text_encoder")).unwrap()
}

fn prompts() -> Prompts {
    let config = config();
    let path = folder().join("tokenizer/tokenizer.json");
    Prompts::open(&path, config.vocab_size, config.eos_token_id).unwrap()
}

fn encode(encoder: &TextEncoder, texts: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let task = Task::quiet();
    encoder.encode(texts, task).unwrap()
}

fn error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let apart: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let size: f64 = b.iter().map(|b| f64::from(*b).powi(2)).sum();
    (apart / size).sqrt()
}

#[test]
fn prompts_become_the_tokens_of_the_reference() {
    let (stored, reference, prompts) = (stored(), reference(), prompts());
    for (i, prompt) in stored.prompts.iter().enumerate() {
        assert_eq!(clean(&prompt.typed), prompt.clean);
        // The last ones are there to be cleaned.
        let Some(ids) = reference.get(&format!("{i}.ids")) else {
            continue;
        };
        let ids: Vec<u32> = ids.to_dtype(DType::U32).unwrap().to_vec1().unwrap();
        assert_eq!(prompts.ids(&prompt.typed, stored.length).unwrap(), ids);
    }
}

#[test]
fn tokens_become_the_embeddings_of_the_reference() {
    let (stored, reference, prompts, encoder) = (stored(), reference(), prompts(), encoder());
    let count = (0..)
        .find(|i| !reference.contains_key(&format!("{i}.ids")))
        .unwrap();
    let texts: Vec<_> = stored.prompts[..count]
        .iter()
        .map(|p| prompts.ids(&p.typed, stored.length).unwrap())
        .collect();
    let all = encode(&encoder, &texts);
    for (i, got) in all.iter().enumerate() {
        let error = error(got, &numbers(&reference[&format!("{i}.embeds")]));
        assert!(error <= TOLERANCE, "{:?}: {error}", stored.prompts[i].clean);
        // Alone or with others is the same.
        assert!(encode(&encoder, &texts[i..=i])[0] == *got);
    }
}

#[test]
fn each_block_is_that_of_the_reference() {
    let (stored, reference, encoder) = (stored(), reference(), encoder());
    let ids = prompts().ids(&stored.prompts[0].typed, 48).unwrap();
    let task = Task::quiet();
    let mut states = [encoder.embed(&ids).unwrap()];
    assert!(states[0].data == numbers(&reference["0.state.0"]));
    // What the reference calls the last state has passed the last norm.
    for layer in 0..config().num_layers - 1 {
        encoder.block(layer, &mut states, task).unwrap();
        let name = format!("0.state.{}", layer + 1);
        let error = error(&states[0].data, &numbers(&reference[&name]));
        assert!(error <= TOLERANCE, "block {layer}: {error}");
    }
}

#[test]
fn the_fixtures_tell_small_differences_apart() {
    let (reference, prompts, encoder) = (reference(), prompts(), encoder());
    let expected = numbers(&reference["0.embeds"]);
    let width = config().d_model;
    let ids = prompts.ids(&stored().prompts[0].typed, 48).unwrap();
    let with = |ids: &[u32]| encode(&encoder, &[ids.to_vec()]).remove(0);
    // Another prompt by one token, seen at the others.
    let mut other = ids.clone();
    other[3] += 1;
    let others = 4 * width..;
    let moved = error(&with(&other)[others.clone()], &expected[others]);
    assert!(moved >= 10. * TOLERANCE, "another token: {moved}");
    // Another length, seen at the tokens that are the same: attention, and the
    // distances of far tokens.
    let mut longer = ids.clone();
    longer.insert(ids.len() - 1, ids[2]);
    let same = ..(ids.len() - 1) * width;
    let moved = error(&with(&longer)[same], &expected[same]);
    assert!(moved >= 10. * TOLERANCE, "another length: {moved}");
    // Padding that is not hidden.
    let mut padded = ids.clone();
    padded.resize(48, 0);
    let moved = error(&with(&padded)[..expected.len()], &expected);
    assert!(moved >= 10. * TOLERANCE, "padding seen: {moved}");
}

#[test]
fn weights_in_half_precision_are_widened_to_the_same_numbers() {
    let texts = [prompts().ids("waves roll in", 48).unwrap()];
    let expected = encode(&encoder(), &texts);
    let file = folder().join("text_encoder/model.safetensors");
    let tensors = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let wide: HashMap<_, _> = tensors
        .iter()
        .map(|(name, t)| (name.clone(), t.to_dtype(DType::F32).unwrap()))
        .collect();
    let path = scratch.path().join("wide.safetensors");
    candle_core::safetensors::save(&wide, &path).unwrap();
    let wide = TextEncoder::new(config(), Rows::open(&path).unwrap()).unwrap();
    assert!(encode(&wide, &texts) == expected);
}

#[test]
fn a_single_file_tells_its_settings_by_its_shapes() {
    // As published, but for the sizes: 32 kinds of distance up to 128.
    let tensors = |kinds: usize| -> HashMap<String, Tensor> {
        let mut config = config();
        config.relative_attention_num_buckets = kinds;
        let number = |i: usize| ((i * 7919 % 1013) as f32 - 500.) * 4e-4;
        let expected = config.expected().into_iter();
        expected
            .map(|(name, shape)| {
                let count = shape.iter().product();
                let values: Vec<f32> = (0..count).map(number).collect();
                (name, Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
            })
            .collect()
    };
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("single.safetensors");
    candle_core::safetensors::save(&tensors(32), &path).unwrap();
    let single = TextEncoder::open(&path).unwrap();
    let stored = config();
    let told = single.config();
    assert_eq!(
        (
            told.d_model,
            told.d_kv,
            told.d_ff,
            told.num_layers,
            told.num_heads,
            told.vocab_size
        ),
        (
            stored.d_model,
            stored.d_kv,
            stored.d_ff,
            stored.num_layers,
            stored.num_heads,
            stored.vocab_size
        )
    );
    // The same in GGUF, under the names that such files have.
    let renamed: Vec<_> = tensors(32)
        .into_iter()
        .map(|(name, t)| (weights::Naming::Llama.name(&name).unwrap(), t))
        .collect();
    let blocks: Vec<_> = renamed
        .iter()
        .map(|(name, t)| {
            let kind = candle_core::quantized::GgmlDType::F32;
            (
                name,
                candle_core::quantized::QTensor::quantize(t, kind).unwrap(),
            )
        })
        .collect();
    let listed: Vec<_> = blocks.iter().map(|(name, t)| (&name[..], t)).collect();
    let path = scratch.path().join("single.gguf");
    let mut file = std::fs::File::create(&path).unwrap();
    candle_core::quantized::gguf_file::write(&mut file, &[], &listed).unwrap();
    let gguf = TextEncoder::open(&path).unwrap();
    let texts = [vec![3, 4, 5, 6, 1]];
    let expected = encode(&single, &texts);
    assert!(encode(&gguf, &texts) == expected);
    // And under the names that Wan's authors have.
    let original: HashMap<_, _> = tensors(32)
        .into_iter()
        .map(|(name, t)| (weights::Naming::Wan.name(&name).unwrap(), t))
        .collect();
    for name in [
        "token_embedding",
        "norm",
        "blocks.1.norm1",
        "blocks.1.pos_embedding.embedding",
        "blocks.1.ffn.gate.0",
        "blocks.1.ffn.fc2",
    ] {
        assert!(original.contains_key(&format!("{name}.weight")), "{name}");
    }
    let path = scratch.path().join("original.safetensors");
    candle_core::safetensors::save(&original, &path).unwrap();
    let original = TextEncoder::open(&path).unwrap();
    assert!(encode(&original, &texts) == expected);
}

#[test]
fn what_does_not_fit_is_named() {
    let path = folder().join("tokenizer/tokenizer.json");
    let error = |r: Result<Prompts, TextError>| r.err().unwrap().to_string();
    assert!(error(Prompts::open(&path, 20, 1)).contains("does not match"));
    assert!(error(Prompts::open(&path, 200, 5)).contains("ends a text with token 5"));
    assert!(
        error(Prompts::open(&folder().join("prompts.json"), 200, 1)).contains("cannot be read")
    );

    let long = "waves roll in ".repeat(30);
    let error = prompts().ids(&long, 48).unwrap_err().to_string();
    assert!(
        error.contains("too long") && error.contains("reads 48"),
        "{error}"
    );

    let file = folder().join("text_encoder/model.safetensors");
    let weights = || Rows::open(&file).unwrap();
    let mut config = config();
    config.num_layers = 4;
    let error = TextEncoder::new(config.clone(), weights()).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("encoder.block.3.layer.0.SelfAttention.k.weight is missing")
    );
    config.num_layers = 3;
    config.d_ff = 40;
    let error = TextEncoder::new(config, weights()).err().unwrap();
    assert!(
        error.to_string().contains("[44, 24], not [40, 24]"),
        "{error}"
    );

    let scratch = tempfile::tempdir().unwrap();
    let cut = scratch.path().join("cut.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    for length in [0, 4, 100, bytes.len() - 1] {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        assert!(TextEncoder::open(&cut).is_err(), "{length} bytes");
    }
    for (text, word) in [
        ("[]", "settings look like"),
        (
            r#"{"model_type": "t5", "vocab_size": 9, "d_model": 4, "d_kv": 2, "d_ff": 8, "num_layers": 1, "num_heads": 2}"#,
            "t5",
        ),
        (
            r#"{"vocab_size": 9, "d_model": 4, "d_kv": 0, "d_ff": 8, "num_layers": 1, "num_heads": 2}"#,
            "d_kv 0",
        ),
        (
            r#"{"vocab_size": 9, "d_model": 4, "d_kv": 2, "d_ff": 8, "num_layers": 1, "num_heads": 2, "feed_forward_proj": "relu"}"#,
            "relu",
        ),
    ] {
        let error = TextConfig::parse(text).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
