//! Damaged and hostile files: whatever a loader is handed, it ends in an answer or a
//! sentence, soon. A bounded number of changes, the same in every run.

use std::path::Path;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, Tensor};
use longtake::engine::wan::checkpoint::Model;
use longtake::engine::wan::clip::ImageEncoder;
use longtake::engine::wan::text::{Prompts, TextEncoder};
use longtake::engine::wan::vae::{self, PreviewDecoder, VaeDecoder, VaeEncoder};

use crate::support::fixture;

/// Changes to each file.
const TRIES: u64 = 150;

/// A few bits from a place and a number (SplitMix64).
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `bytes` with one thing wrong: cut, a bit, a run, a number of a text. Most changes
/// are among the first bytes, where headers are.
fn spoilt(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let r = |i: u64| mixed(seed.wrapping_mul(31).wrapping_add(i));
    let near = bytes.len().clamp(1, 6000);
    let at = match r(0) % 4 {
        0 => r(1) as usize % bytes.len().max(1),
        _ => r(1) as usize % near,
    };
    match r(2) % 5 {
        0 => out.truncate(at),
        1 => out[at] ^= 1 << (r(3) % 8),
        2 => {
            let end = (at + 1 + r(4) as usize % 16).min(out.len());
            out[at..end].fill(r(5) as u8);
        }
        3 => {
            // A digit becomes many.
            if let Some(digit) = (at..out.len()).find(|i| out[*i].is_ascii_digit()) {
                let many: &[u8] = [&b"99999999999999999999"[..], b"-1", b"0", b"1e400", b"null"]
                    [r(6) as usize % 5];
                out.splice(digit..digit + 1, many.iter().copied());
            }
        }
        _ => {
            let from = r(7) as usize % bytes.len().max(1);
            let length = (1 + r(8) as usize % 40).min(bytes.len() - from.min(bytes.len()));
            let piece = bytes[from..from + length].to_vec();
            out.splice(at..at, piece);
        }
    }
    out
}

/// Opens the fixture `from` with each of `files` spoilt in turn.
fn fuzz(from: &str, files: &[&str], open: impl Fn(&Path) -> Result<(), String>) {
    fuzz_folder(&fixture(from), files, open);
}

/// The same of the folder `from`.
fn fuzz_folder(from: &Path, files: &[&str], open: impl Fn(&Path) -> Result<(), String>) {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        if from.is_file() {
            std::fs::copy(&from, folder.path().join(from.file_name().unwrap())).unwrap();
        }
    }
    open(folder.path()).unwrap();
    let (mut refused, mut tried) = (0, 0);
    for file in files {
        let path = folder.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        for seed in 0..TRIES {
            // Written anew: what is mapped must not change under a reader.
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, spoilt(&whole, seed)).unwrap();
            tried += 1;
            if let Err(text) = open(folder.path()) {
                refused += 1;
                assert!(text.len() > 15 && text.len() < 3000, "{text}");
            }
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, whole).unwrap();
    }
    // Many changes touch what no loader looks at; many must be noticed.
    assert!(refused * 4 > tried, "{refused} of {tried} were refused");
}

#[test]
fn a_damaged_vae_ends_in_a_sentence() {
    for from in ["vae-2.1", "vae-2.2"] {
        fuzz(
            from,
            &["config.json", "diffusion_pytorch_model.safetensors"],
            |folder| {
                let (config, vb) = vae::open(folder).map_err(|e| e.to_string())?;
                VaeDecoder::load(&config, &vb).map_err(|e| e.to_string())?;
                VaeEncoder::load(&config, &vb).map_err(|e| e.to_string())?;
                Ok(())
            },
        );
    }
}

#[test]
fn a_damaged_text_encoder_ends_in_a_sentence() {
    fuzz(
        "text/text_encoder",
        &["config.json", "model.safetensors"],
        |folder| {
            TextEncoder::open(folder)
                .map(drop)
                .map_err(|e| e.to_string())
        },
    );
}

/// A text encoder of two blocks as llama.cpp names its parts, in blocks of eight bits
/// where rows are long enough.
fn text_encoder_in_gguf(path: &Path) {
    let mut shapes = vec![
        ("token_embd".to_owned(), vec![97, 64]),
        ("enc.output_norm".to_owned(), vec![64]),
    ];
    for block in 0..2 {
        let mut part = |name: &str, shape: &[usize]| {
            shapes.push((format!("enc.blk.{block}.{name}"), shape.to_vec()));
        };
        for name in ["attn_q", "attn_k", "attn_v", "attn_o"] {
            part(name, &[64, 64]);
        }
        part("attn_rel_b", &[32, 2]);
        part("attn_norm", &[64]);
        part("ffn_norm", &[64]);
        part("ffn_gate", &[96, 64]);
        part("ffn_up", &[96, 64]);
        part("ffn_down", &[64, 96]);
    }
    let tensors: Vec<(String, QTensor)> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let count: usize = shape.iter().product();
            let values: Vec<f32> = (0..count as u64)
                .map(|i| f32::from(mixed(i) as u8) / 400.0)
                .collect();
            let values = Tensor::from_vec(values, shape.clone(), &Device::Cpu).unwrap();
            let kind = match shape[..] {
                [_, columns] if columns % 32 == 0 => GgmlDType::Q8_0,
                _ => GgmlDType::F32,
            };
            let tensor = QTensor::quantize(&values, kind).unwrap();
            (format!("{name}.weight"), tensor)
        })
        .collect();
    let listed: Vec<_> = tensors.iter().map(|(n, t)| (&n[..], t)).collect();
    let mut file = std::fs::File::create(path).unwrap();
    gguf_file::write(&mut file, &[], &listed).unwrap();
}

#[test]
fn a_damaged_text_encoder_in_gguf_ends_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    text_encoder_in_gguf(&folder.path().join("text.gguf"));
    fuzz_folder(folder.path(), &["text.gguf"], |folder| {
        TextEncoder::open(&folder.join("text.gguf"))
            .map(drop)
            .map_err(|e| e.to_string())
    });
}

/// Says of the tensor `name` of the GGUF file at `path` that it is of a kind that no
/// reader here knows (MXFP4).
fn with_unknown_kind(path: &Path, name: &str) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(name.len()).position(|w| w == name.as_bytes());
    // Behind it the number of sides, two sides, the kind.
    let kind = at.unwrap() + name.len() + 4 + 2 * 8;
    bytes[kind..kind + 4].copy_from_slice(&39u32.to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn kinds_that_cannot_be_read_are_told_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.gguf");
    text_encoder_in_gguf(&text);
    assert!(TextEncoder::open(&text).is_ok());
    with_unknown_kind(&text, "enc.blk.1.attn_k.weight");
    let error = TextEncoder::open(&text).err().unwrap().to_string();
    assert!(
        error.contains("encoder.block.1.layer.0.SelfAttention.k.weight is of an unknown kind"),
        "{error}"
    );
    let model = folder.path().join("model.gguf");
    std::fs::copy(fixture("t2v_iq4_nl.gguf"), &model).unwrap();
    let config = fixture("t2v/transformer/config.json");
    std::fs::copy(config, model.with_extension("json")).unwrap();
    with_unknown_kind(&model, "blocks.1.ffn.0.weight");
    let loaded = Model::open(&model).and_then(|m| m.load(None));
    let error = loaded.err().unwrap().to_string();
    assert!(
        error.contains("of an unknown kind: blocks.1.ffn.net.0.proj.weight"),
        "{error}"
    );
}

#[test]
fn a_damaged_tokenizer_ends_in_a_sentence() {
    let encoder = TextEncoder::open(&fixture("text/text_encoder")).unwrap();
    let (words, end) = (encoder.config().vocab_size, encoder.config().eos_token_id);
    fuzz("text/tokenizer", &["tokenizer.json"], |folder| {
        let prompts = Prompts::open(&folder.join("tokenizer.json"), words, end);
        let prompts = prompts.map_err(|e| e.to_string())?;
        // What opened may be asked.
        prompts
            .ids("a cat walks", 512)
            .map(drop)
            .map_err(|e| e.to_string())
    });
}

#[test]
fn a_damaged_image_encoder_ends_in_a_sentence() {
    fuzz("clip", &["config.json", "model.safetensors"], |folder| {
        ImageEncoder::open(folder)
            .map(drop)
            .map_err(|e| e.to_string())
    });
}

#[test]
fn a_damaged_lora_ends_in_a_sentence() {
    let files = ["community.safetensors", "diffusers.safetensors"];
    fuzz("lora", &files, |folder| {
        let mut model = Model::open(&fixture("t2v")).map_err(|e| e.to_string())?;
        for file in files {
            let added = model.add_lora(0, &folder.join(file), 1.);
            added.map_err(|e| e.to_string())?;
        }
        Ok(())
    });
}

#[test]
fn a_damaged_change_of_another_tuner_ends_in_a_sentence() {
    let files = [
        ("tuned/lokr_of_rows", "lycoris.safetensors"),
        ("tuned/dora_of_columns", "lycoris.safetensors"),
        ("tuned/peft_lokr", "adapter_config.json"),
    ];
    for (from, spoilt) in files {
        fuzz(from, &[spoilt], |folder| {
            let file = match spoilt {
                "adapter_config.json" => "adapter_model.safetensors",
                file => file,
            };
            let mut model = Model::open(&fixture("t2v")).map_err(|e| e.to_string())?;
            let added = model.add_lora(0, &folder.join(file), 1.);
            added.map_err(|e| e.to_string())?;
            // What is believed can be merged.
            model.load(None).map(drop).map_err(|e| e.to_string())
        });
    }
}

#[test]
fn a_damaged_tiny_decoder_ends_in_a_sentence() {
    fuzz("preview", &["2.1.safetensors"], |folder| {
        let opened = PreviewDecoder::open(&folder.join("2.1.safetensors"));
        opened.map(drop).map_err(|e| e.to_string())
    });
}
