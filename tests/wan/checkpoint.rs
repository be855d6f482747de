//! Checkpoints in every layout give the same output, and bad ones are told before
//! work begins.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use longtake::engine::wan::checkpoint::{Model, Weights, expected, inspect};
use longtake::engine::wan::config::TransformerConfig;
use longtake::engine::wan::transformer::{Inputs, Timesteps, Transformer};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{TOLERANCE, apart, fixture, tensors, text};

const WEIGHTS: &str = "transformer/diffusion_pytorch_model.safetensors";

/// What `model` makes of the inputs of `reference`.
pub fn output(model: &Transformer, reference: &HashMap<String, Tensor>) -> Tensor {
    let time = reference["timestep"].to_vec1::<f32>().unwrap()[0];
    let inputs = Inputs {
        latents: &reference["latents"],
        timesteps: &Timesteps::whole(time),
        text: &reference["prompt"],
        image: None,
        control: None,
        regions: None,
        subjects: &[],
    };
    model.forward(&inputs, &mut |_, _| Ok(())).unwrap()
}

fn same(a: &Tensor, b: &Tensor) {
    assert_eq!(apart(a, b), 0.0);
}

/// What the weights `change`d by way of their own kind give.
pub fn plain(change: impl Fn(&str, &Tensor) -> Tensor) -> Tensor {
    let weights = tensors(&format!("t2v/{WEIGHTS}"));
    let weights = weights.iter().map(|(k, v)| (k.clone(), change(k, v)));
    let vb = VarBuilder::from_tensors(weights.collect(), DType::F32, &Device::Cpu);
    let config = TransformerConfig::from_json(&text("t2v/transformer/config.json")).unwrap();
    let model = Transformer::load(&config, &vb).unwrap();
    output(&model, &tensors("t2v/reference.safetensors"))
}

/// What lies at `path` gives.
fn loaded(path: &Path) -> Tensor {
    let experts = Model::open(path).and_then(|m| m.load(None));
    let experts = experts.unwrap_or_else(|e| panic!("{e}"));
    output(&experts.high, &tensors("t2v/reference.safetensors"))
}

/// diffusers' name to the original one, as the reference's own conversion has it.
fn original() -> HashMap<String, String> {
    let map: HashMap<String, String> = serde_json::from_str(&text("original_keys.json")).unwrap();
    map.into_iter()
        .map(|(theirs, ours)| (ours, theirs))
        .collect()
}

/// A single file of `change`d weights of t2v under original names, its configuration
/// beside it.
fn single(
    folder: &TempDir,
    prefix: &str,
    change: impl Fn(&str, &Tensor) -> Vec<(String, Tensor)>,
) -> PathBuf {
    let names = original();
    let mut file = HashMap::new();
    for (name, value) in tensors(&format!("t2v/{WEIGHTS}")) {
        for (name, value) in change(&names[&name], &value) {
            file.insert(format!("{prefix}{name}"), value);
        }
    }
    let path = folder.path().join("model.safetensors");
    candle_core::safetensors::save(&file, &path).unwrap();
    let config = fixture("t2v/transformer/config.json");
    std::fs::copy(config, folder.path().join("model.json")).unwrap();
    path
}

fn copy(name: &str) -> TempDir {
    fn walk(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let from = entry.unwrap().path();
            let to = to.join(from.file_name().unwrap());
            if from.is_dir() {
                walk(&from, &to);
            } else {
                std::fs::copy(&from, &to).unwrap();
            }
        }
    }
    let folder = TempDir::new().unwrap();
    walk(&fixture(name), folder.path());
    folder
}

#[test]
fn a_folder_is_loaded_whole_or_in_shards() {
    let expected = plain(|_, w| w.clone());
    same(&loaded(&fixture("t2v")), &expected);
    same(&loaded(&fixture("t2v/transformer")), &expected);

    let folder = copy("t2v");
    let weights = tensors(&format!("t2v/{WEIGHTS}"));
    std::fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    let mut shards = [HashMap::new(), HashMap::new(), HashMap::new()];
    let mut map = BTreeMap::new();
    for (i, (name, value)) in weights.into_iter().enumerate() {
        map.insert(name.clone(), format!("part-{}.safetensors", i % 3));
        shards[i % 3].insert(name, value);
    }
    let part = |i: usize| {
        folder
            .path()
            .join(format!("transformer/part-{i}.safetensors"))
    };
    for (i, shard) in shards.iter().enumerate() {
        candle_core::safetensors::save(shard, part(i)).unwrap();
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string();
    let index_path = folder
        .path()
        .join("transformer/diffusion_pytorch_model.safetensors.index.json");
    std::fs::write(&index_path, &index).unwrap();
    same(&loaded(folder.path()), &expected);

    std::fs::remove_file(part(1)).unwrap();
    let says = error(folder.path());
    assert!(
        says.contains("part-1.safetensors is missing, one of 3"),
        "{says}"
    );
    std::fs::write(&index_path, index.replace("part-1", "../part-1")).unwrap();
    assert!(error(folder.path()).contains("names the file"));
}

#[test]
fn single_files_with_original_names_give_the_same() {
    let folder = TempDir::new().unwrap();
    for prefix in ["", "model.diffusion_model.", "diffusion_model."] {
        let path = single(&folder, prefix, |name, w| {
            vec![(name.to_owned(), w.clone())]
        });
        same(&loaded(&path), &plain(|_, w| w.clone()));
    }
    for dtype in [DType::F16, DType::BF16] {
        let path = single(&folder, "", |name, w| {
            vec![(name.to_owned(), w.to_dtype(dtype).unwrap())]
        });
        let rounded = |w: &Tensor| w.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
        let found = loaded(&path);
        same(&found, &plain(|_, w| rounded(w)));
        let error = apart(&found, &tensors("t2v/reference.safetensors")["output"]);
        assert!(error > 0.0 && error < 0.03, "{dtype:?}: {error}");
    }
}

#[test]
fn scaled_fp8_is_scaled_back() {
    let folder = TempDir::new().unwrap();
    let largest = |w: &Tensor| {
        w.abs()
            .unwrap()
            .max_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
    };
    let packed = |w: &Tensor, scale: f32| {
        let w = (w / f64::from(scale)).unwrap();
        w.to_dtype(DType::F8E4M3).unwrap()
    };
    for ending in ["scale_weight", "weight_scale"] {
        let path = single(&folder, "model.diffusion_model.", |name, w| {
            let stem = name.strip_suffix("weight");
            match stem.filter(|_| w.rank() == 2) {
                Some(stem) => {
                    let scale = largest(w) / 448.0;
                    let aside = Tensor::new(&[1.0f32], &Device::Cpu).unwrap();
                    vec![
                        (name.to_owned(), packed(w, scale)),
                        (
                            format!("{stem}{ending}"),
                            Tensor::new(scale, &Device::Cpu).unwrap(),
                        ),
                        (format!("{stem}scale_input"), aside),
                    ]
                }
                None => vec![(name.to_owned(), w.clone())],
            }
        });
        let expected = plain(|_, w| match w.rank() {
            2 => {
                let scale = largest(w) / 448.0;
                let wide = packed(w, scale).to_dtype(DType::F32).unwrap();
                (wide * f64::from(scale)).unwrap()
            }
            _ => w.clone(),
        });
        let found = loaded(&path);
        let error = apart(&found, &expected);
        assert!(error < 1e-6, "{ending}: {error:e}");
        let lost = apart(&found, &tensors("t2v/reference.safetensors")["output"]);
        assert!(lost > 1e-3 && lost < 0.2, "{lost}");
    }
}

/// The file is made by ggml's own writer; the reference ran on what its own reader
/// makes of it.
#[test]
fn gguf_gives_what_the_reference_gives_on_the_same_blocks() {
    for kind in ["Q8_0", "IQ4_NL"] {
        let stem = format!("t2v_{}", kind.to_lowercase());
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(format!("{stem}.gguf"));
        std::fs::copy(fixture(&format!("{stem}.gguf")), &path).unwrap();
        let config = fixture("t2v/transformer/config.json");
        std::fs::copy(config, path.with_extension("json")).unwrap();
        let model = Model::open(&path).and_then(|m| m.load(None)).unwrap();
        let reference = tensors(&format!("{stem}.safetensors"));
        let error = apart(&output(&model.high, &reference), &reference["output"]);
        println!("{kind}: {error:e}");
        assert!(error <= TOLERANCE, "{kind}: {error:e}");
        let found = inspect(&path).unwrap();
        assert_eq!(found.layout, "GGUF file");
        let part = &found.transformers[0];
        assert!(found.complete && part.stored.contains_key(kind));
        // Of few bits in memory too, with some that are not: in f32 they would be twice
        // this, or more.
        assert!(part.loaded_bytes < 2 * part.parameters);
    }
}

/// Random blocks of every format that ggml's own reader reads, and what it reads.
#[test]
fn every_block_is_what_ggml_reads() {
    let path = fixture("blocks.gguf");
    let weights = std::sync::Arc::new(Weights::open(&path, std::slice::from_ref(&path)).unwrap());
    let vb = weights.builder();
    let expected = tensors("blocks.safetensors");
    assert_eq!(expected.len(), 21);
    let bits = |t: &Tensor| -> Vec<u32> {
        let values = t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    };
    for (kind, expected) in &expected {
        let name = format!("{kind}.weight");
        let (rows, columns) = expected.dims2().unwrap();
        let found = vb.get_with_hints_dtype((rows, columns), &name, Default::default(), DType::F32);
        assert!(bits(&found.unwrap()) == bits(expected), "{kind}");
        let mut part = vec![0.; 2 * columns];
        weights.read_rows(&name, 1..3, &mut part).unwrap();
        let part = Tensor::from_vec(part, (2, columns), &Device::Cpu).unwrap();
        let rows = expected.narrow(0, 1, 2).unwrap();
        assert!(bits(&part) == bits(&rows), "rows of {kind}");
        // In memory as in the file.
        let bytes = weights.loaded_bytes(&name, expected.dims());
        assert!(
            bytes * 3 < 4 * expected.elem_count() as u64,
            "{kind}: {bytes}"
        );
    }
}

#[test]
fn every_block_format_is_read_as_its_own_reader_reads_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("blocks.gguf");
    let values: Vec<f32> = (0..1024)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 17.0)
        .collect();
    let wide = Tensor::from_vec(values, (2, 512), &Device::Cpu).unwrap();
    let kinds = [
        GgmlDType::F32,
        GgmlDType::F16,
        GgmlDType::BF16,
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
        GgmlDType::Q2K,
        GgmlDType::Q3K,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
    ];
    let packed: Vec<(String, QTensor)> = kinds
        .iter()
        .map(|k| {
            (
                format!("{k:?}.weight"),
                QTensor::quantize(&wide, *k).unwrap(),
            )
        })
        .collect();
    let listed: Vec<(&str, &QTensor)> = packed.iter().map(|(n, t)| (&n[..], t)).collect();
    let mut file = std::fs::File::create(&path).unwrap();
    gguf_file::write(&mut file, &[], &listed).unwrap();
    let weights = std::sync::Arc::new(Weights::open(&path, std::slice::from_ref(&path)).unwrap());
    let vb = weights.builder();
    for (name, block) in &packed {
        let found = vb
            .get_with_hints_dtype((2, 512), name, Default::default(), DType::F32)
            .unwrap();
        same(&found, &block.dequantize(&Device::Cpu).unwrap());
        let lost = apart(&found, &wide);
        assert!(lost < 0.4, "{name}: {lost}");
    }
}

/// Zeros in the shapes of `config`, under original names, with nothing beside them.
fn bare_file(folder: &TempDir, config: &TransformerConfig) -> PathBuf {
    let names = original();
    let zeros = |shape: &Vec<usize>| Tensor::zeros(&shape[..], DType::BF16, &Device::Cpu).unwrap();
    let file: HashMap<String, Tensor> = expected(config)
        .iter()
        .map(|(name, shape)| (names[name].clone(), zeros(shape)))
        .collect();
    let path = folder.path().join("bare.safetensors");
    candle_core::safetensors::save(&file, &path).unwrap();
    path
}

#[test]
fn a_transformer_s_folder_alone_tells_its_kind_by_its_channels() {
    let kind = |channels: usize| {
        let folder = TempDir::new().unwrap();
        let text = text("t2v/transformer/config.json");
        let mut told: serde_json::Value = serde_json::from_str(&text).unwrap();
        for side in ["in_channels", "out_channels"] {
            told[side] = channels.into();
        }
        let config = TransformerConfig::from_json(&told.to_string()).unwrap();
        std::fs::write(folder.path().join("config.json"), told.to_string()).unwrap();
        let zeros = |s: Vec<usize>| Tensor::zeros(&s[..], DType::BF16, &Device::Cpu).unwrap();
        let weights = expected(&config).into_iter();
        let weights: HashMap<String, Tensor> = weights.map(|(n, s)| (n, zeros(s))).collect();
        let path = folder.path().join("diffusion_pytorch_model.safetensors");
        candle_core::safetensors::save(&weights, path).unwrap();
        let model = Model::open(folder.path()).unwrap();
        model.check().unwrap();
        model.expand_timesteps
    };
    assert!(kind(48) && !kind(16));
}

#[test]
fn places_of_image_tokens_are_counted_where_a_side_of_1_was_lost() {
    let folder = TempDir::new().unwrap();
    let config = TransformerConfig {
        num_attention_heads: 1,
        attention_head_dim: 128,
        added_kv_proj_dim: Some(128),
        ..TransformerConfig::from_json(&text("i2v/transformer/config.json")).unwrap()
    };
    let path = bare_file(&folder, &config);
    let mut file = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let places = file["img_emb.emb_pos"].squeeze(0).unwrap();
    assert_eq!(Some(places.dims()[0]), config.pos_embed_seq_len);
    file.insert("img_emb.emb_pos".to_owned(), places);
    std::fs::remove_file(&path).unwrap();
    candle_core::safetensors::save(&file, &path).unwrap();
    let found = Model::open(&path).unwrap().parts[0].config.clone();
    assert_eq!(found.pos_embed_seq_len, config.pos_embed_seq_len);
}

#[test]
fn a_single_file_tells_its_configuration_by_its_shapes() {
    let folder = TempDir::new().unwrap();
    for name in ["t2v", "i2v", "vace"] {
        let small = text(&format!("{name}/transformer/config.json"));
        let mut config = TransformerConfig::from_json(&small).unwrap();
        config.num_attention_heads = 1;
        config.attention_head_dim = 128;
        config.rope_max_seq_len = 1024;
        config.added_kv_proj_dim = config.image_dim.map(|_| 128);
        let path = bare_file(&folder, &config);
        let model = Model::open(&path).unwrap();
        assert_eq!(model.parts[0].config, config);
        model.check().unwrap();
    }
}

fn error(path: &Path) -> String {
    let error = Model::open(path).and_then(|m| m.load(None).map(|_| ()));
    let says = error.unwrap_err().to_string();
    assert!(!says.contains('\n') && !says.contains("   "), "{says}");
    says
}

#[test]
fn what_is_missing_unexpected_or_misshapen_is_said_by_full_name() {
    let folder = copy("t2v");
    let path = folder.path().join(WEIGHTS);
    let whole = tensors(&format!("t2v/{WEIGHTS}"));
    let says = |change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let mut weights = whole.clone();
        change(&mut weights);
        candle_core::safetensors::save(&weights, &path).unwrap();
        error(folder.path())
    };
    let name = "blocks.1.attn2.to_k.weight";
    let missing = says(&|w| drop(w.remove(name)));
    assert!(missing.contains(&format!("missing: {name}")), "{missing}");
    let extra = says(&|w| drop(w.insert("ref_conv.weight".to_owned(), whole[name].clone())));
    assert!(extra.contains("unexpected: ref_conv.weight"), "{extra}");
    let shape = says(&|w| drop(w.insert(name.to_owned(), whole[name].narrow(0, 0, 31).unwrap())));
    let wanted = format!("{name}: [31, 32] found, [32, 32] wanted");
    assert!(shape.contains(&wanted), "{shape}");
    let kind = says(&|w| {
        let integers = whole[name].to_dtype(DType::I64).unwrap();
        w.insert(name.to_owned(), integers);
    });
    assert!(
        kind.contains(&format!("of an unknown kind: {name}")),
        "{kind}"
    );
    // All of them at once, in the inspection too.
    let mut weights = whole.clone();
    weights.retain(|name, _| !name.contains("attn1"));
    candle_core::safetensors::save(&weights, &path).unwrap();
    let found = inspect(folder.path()).unwrap();
    assert!(!found.complete);
    assert_eq!(found.transformers[0].mismatch.missing.len(), 2 * 10);
    assert!(error(folder.path()).contains("and 15 more"));
    // The published image models have one that is never used.
    weights = whole.clone();
    let unused = "blocks.0.attn2.norm_added_q.weight";
    weights.insert(
        unused.to_owned(),
        whole["blocks.0.attn2.norm_q.weight"].clone(),
    );
    candle_core::safetensors::save(&weights, &path).unwrap();
    Model::open(folder.path()).unwrap().check().unwrap();
}

#[test]
fn what_is_no_checkpoint_is_told_in_a_sentence() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(error(&at("nowhere")).contains("cannot be read"));
    assert!(error(folder.path()).contains("no Wan checkpoint"));
    std::fs::write(at("a.safetensors"), b"").unwrap();
    assert!(error(&at("a.safetensors")).contains("is broken"));
    std::fs::write(at("a.safetensors"), b"{\"not\": \"weights\"}").unwrap();
    assert!(error(&at("a.safetensors")).contains("is broken"));
    std::fs::write(at("a.safetensors"), u64::MAX.to_le_bytes()).unwrap();
    assert!(error(&at("a.safetensors")).contains("is broken"));
    for name in ["a.pt", "a.ckpt", "a.bin"] {
        std::fs::write(at(name), b"PK\x03\x04rest").unwrap();
        assert!(error(&at(name)).contains("pickle"));
    }
    std::fs::write(at("disguised.safetensors"), b"PK\x03\x04rest").unwrap();
    assert!(error(&at("disguised.safetensors")).contains("pickle"));
    std::fs::write(at("a.gguf"), b"GGUF\x01\0\0\0").unwrap();
    assert!(error(&at("a.gguf")).contains("version is 1"));
    let foreign = HashMap::from([(
        "unet.weight".to_owned(),
        Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap(),
    )]);
    candle_core::safetensors::save(&foreign, at("b.safetensors")).unwrap();
    let says = error(&at("b.safetensors"));
    assert!(says.contains("it has no patch_embedding.weight"), "{says}");

    let folder = copy("t2v");
    let index = folder.path().join("model_index.json");
    std::fs::write(&index, r#"{"_class_name": "StableDiffusionPipeline"}"#).unwrap();
    assert!(error(folder.path()).contains("StableDiffusionPipeline"));
    let folder = copy("t2v");
    let config = folder.path().join("transformer/config.json");
    let changed = text("t2v/transformer/config.json").replace("WanTransformer3DModel", "Flux");
    std::fs::write(&config, changed).unwrap();
    let says = error(folder.path());
    assert!(
        says.contains("config.json") && says.contains("Flux"),
        "{says}"
    );
    // Another model's configuration.
    std::fs::write(&config, text("vace/transformer/config.json")).unwrap();
    assert!(error(folder.path()).contains("missing: blocks.2.attn1"));
    let whole = std::fs::read(fixture(&format!("t2v/{WEIGHTS}"))).unwrap();
    let folder = copy("t2v");
    let half = &whole[..whole.len() / 2];
    std::fs::write(folder.path().join(WEIGHTS), half).unwrap();
    assert!(error(folder.path()).contains("is broken"));
    let folder = copy("t2v");
    std::fs::remove_file(folder.path().join("transformer/config.json")).unwrap();
    assert!(error(folder.path()).contains("config.json cannot be read"));
}

#[test]
fn an_inspection_tells_model_parts_and_memory() {
    let found = inspect(&fixture("a14b")).unwrap();
    assert_eq!(found.layout, "diffusers folder");
    assert!(found.model.contains("two experts"), "{}", found.model);
    assert_eq!(found.transformers.len(), 2);
    assert!(found.complete && found.absent.is_empty());
    assert_eq!(found.scheduler.as_deref(), Some("Euler, shift 5"));
    let weights = |t: &HashMap<String, Tensor>| t.values().map(|t| t.elem_count()).sum::<usize>();
    let first = weights(&tensors(
        "a14b/transformer/diffusion_pytorch_model.safetensors",
    ));
    assert_eq!(found.transformers[0].parameters, first as u64);
    assert_eq!(found.memory[0].weights, 2 * 4 * first as u64);
    // 832 x 480 x 81: 21 latent frames of 52 x 30 tokens.
    assert_eq!(found.memory[0].tokens, 21 * 52 * 30);
    for (name, model) in [
        ("t2v", "Wan text to video"),
        ("i2v", "first and last frame"),
        ("vace", "VACE"),
        ("ti2v", "text and image"),
    ] {
        let found = inspect(&fixture(name)).unwrap();
        assert!(found.model.contains(model), "{}", found.model);
        assert!(found.complete);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a file holds, opening it ends, in an answer or a sentence.
    #[test]
    fn damaged_files_end_in_an_answer_or_a_sentence(
        which in 0..3,
        cut in 0usize..200_000,
        hits in prop::collection::vec((0usize..12_000, any::<u8>()), 0..6),
    ) {
        let (name, from) = match which {
            0 => ("a.gguf", "t2v_q8_0.gguf".to_owned()),
            1 => ("a.gguf", "t2v_iq4_nl.gguf".to_owned()),
            _ => ("a.safetensors", format!("t2v/{WEIGHTS}")),
        };
        let mut bytes = std::fs::read(fixture(&from)).unwrap();
        if cut < bytes.len() && cut % 3 == 0 {
            bytes.truncate(cut);
        }
        for (at, value) in hits {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let folder = TempDir::new().unwrap();
        std::fs::copy(fixture("t2v/transformer/config.json"), folder.path().join("a.json")).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        if let Err(error) = Model::open(&path).and_then(|m| m.load(None).map(|_| ())) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    /// The same of a header that is noise from its first number on.
    #[test]
    fn noise_behind_a_magic_number_is_refused(noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.gguf");
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(&noise);
        std::fs::write(&path, bytes).unwrap();
        prop_assert!(Model::open(&path).is_err());
    }
}
