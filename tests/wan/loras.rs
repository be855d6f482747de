//! LoRAs as people have them: every layout, what is of other models, and how much each
//! counts.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use longtake::engine::wan::checkpoint::{Merged, Model};
use tempfile::TempDir;

use crate::checkpoint::{output, plain};
use crate::support::{TOLERANCE, apart, fixture, tensors};

type Tensors = HashMap<String, Tensor>;

/// Numbers that differ from one another, of about `size`.
fn numbers(shape: &[usize], size: f32) -> Tensor {
    let count = shape.iter().product::<usize>();
    let value = |i: usize| ((i * 7919 % 1013) as f32 / 506. - 1.) * size;
    let values: Vec<f32> = (0..count).map(value).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn save(lora: &Tensors, said: Option<&str>, path: &Path) {
    let said = said.map(|text| {
        let key = "lora_adapter_metadata".to_owned();
        HashMap::from([(key, text.to_owned())])
    });
    safetensors::serialize_to_file(lora, said, path).unwrap();
}

/// What the tiny text model gives with the LoRA at `path`, and what became of that.
fn with(path: &Path, strength: f64) -> (Tensor, Merged) {
    let mut model = Model::open(&fixture("t2v")).unwrap();
    let merged = model.add_lora(0, path, strength).unwrap();
    let high = model.load(None).unwrap().high;
    (output(&high, &tensors("t2v/reference.safetensors")), merged)
}

/// A change of rank 4 of two matrices, by diffusers' names behind `before`.
fn two(before: &str) -> Tensors {
    let weights = tensors("t2v/transformer/diffusion_pytorch_model.safetensors");
    let mut lora = Tensors::new();
    for layer in ["blocks.0.attn1.to_q", "blocks.1.attn2.to_v"] {
        let (to, from) = weights[&format!("{layer}.weight")].dims2().unwrap();
        let mut put = |end: &str, value: Tensor| {
            lora.insert(format!("{before}{layer}.{end}"), value);
        };
        put("lora_A.weight", numbers(&[4, from], 0.3));
        put("lora_B.weight", numbers(&[to, 4], 0.3));
    }
    lora
}

#[test]
fn loras_in_every_layout_are_merged_as_the_reference_converts_them() {
    let reference = tensors("lora/reference.safetensors");
    let with = |layout: &str, strength: f64| {
        let mut model = Model::open(&fixture("t2v")).unwrap();
        let path = fixture(&format!("lora/{layout}.safetensors"));
        let merged = model.add_lora(0, &path, strength).unwrap();
        assert_eq!((merged.layers, merged.left_out), (2 * 10, 0));
        output(&model.load(None).unwrap().high, &reference)
    };
    for layout in ["diffusers", "community", "musubi"] {
        let error = apart(&with(layout, 0.8), &reference[layout]);
        println!("{layout}: {error:e}");
        assert!(error <= TOLERANCE, "{layout}: {error:e}");
        let weaker = apart(&with(layout, 0.7), &reference[layout]);
        assert!(weaker >= 10.0 * TOLERANCE, "{layout}: {weaker:e}");
    }
    // The whole difference of one bias is in this layout alone.
    let bias = apart(&reference["community"], &reference["musubi"]);
    assert!(bias >= 10.0 * TOLERANCE);
    // Two of half the strength are one.
    let mut model = Model::open(&fixture("t2v")).unwrap();
    for layout in ["musubi", "diffusers"] {
        let path = fixture(&format!("lora/{layout}.safetensors"));
        model.add_lora(0, &path, 0.4).unwrap();
    }
    let found = output(&model.load(None).unwrap().high, &reference);
    assert!(apart(&found, &reference["musubi"]) <= TOLERANCE);
}

#[test]
fn a_lora_of_another_model_is_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lora.safetensors");
    let whole = tensors("lora/musubi.safetensors");
    let says = |change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let mut lora = whole.clone();
        change(&mut lora);
        candle_core::safetensors::save(&lora, &path).unwrap();
        let mut model = Model::open(&fixture("t2v")).unwrap();
        model.add_lora(0, &path, 1.0).unwrap_err().to_string()
    };
    let key = "lora_unet_blocks_0_self_attn_q.lora_down.weight";
    let other = says(&|l| {
        let value = l[key].clone();
        l.insert(
            "lora_unet_blocks_7_self_attn_q.lora_down.weight".to_owned(),
            value,
        );
    });
    assert!(other.contains("blocks_7_self_attn_q"), "{other}");
    let half = says(&|l| drop(l.remove(key)));
    assert!(
        half.contains("blocks.0.attn1.to_q has one of two"),
        "{half}"
    );
    let shape = says(&|l| {
        let value = l[key].narrow(1, 0, 31).unwrap().contiguous().unwrap();
        l.insert(key.to_owned(), value);
    });
    assert!(shape.contains("made for another model"), "{shape}");
    assert!(says(&|l| l.clear()).contains("changes nothing"));
}

#[test]
fn what_a_distilled_lora_changes_beside_matrices_is_merged_and_the_foreign_left_out() {
    let weights = tensors("t2v/transformer/diffusion_pytorch_model.safetensors");
    let like = |name: &str, size: f32| numbers(weights[name].dims(), size);
    let (to, from) = weights["blocks.0.attn1.to_q.weight"].dims2().unwrap();
    let (up, down) = (numbers(&[to, 4], 0.3), numbers(&[4, from], 0.3));
    // As published: names of Wan's authors, whole differences beside matrices.
    let mut lora: Tensors = [
        ("blocks.0.self_attn.q.lora_up.weight", up.clone()),
        ("blocks.0.self_attn.q.lora_down.weight", down.clone()),
        ("blocks.0.self_attn.q.diff_b", numbers(&[to], 0.4)),
        ("blocks.0.diff_m", like("blocks.0.scale_shift_table", 0.2)),
        (
            "blocks.1.modulation.diff",
            like("blocks.1.scale_shift_table", 0.3),
        ),
        ("head.diff_m", like("scale_shift_table", 0.5)),
        // Of models that look at images, and of VACE.
        ("blocks.0.cross_attn.k_img.lora_up.weight", up.clone()),
        ("blocks.0.cross_attn.k_img.lora_down.weight", down.clone()),
        ("blocks.0.cross_attn.v_img.diff_b", numbers(&[to], 1.)),
        ("blocks.0.cross_attn.norm_k_img.diff", numbers(&[to], 1.)),
        ("blocks.0.attn2.add_v_proj.lora_B.weight", up.clone()),
        ("img_emb.proj.1.lora_up.weight", up.clone()),
        ("img_emb.proj.4.diff", numbers(&[to], 1.)),
        (
            "condition_embedder.image_embedder.norm1.diff",
            numbers(&[to], 1.),
        ),
        ("vace_blocks.0.self_attn.q.lora_up.weight", up.clone()),
        ("vace_patch_embedding.diff_b", numbers(&[to], 1.)),
    ]
    .into_iter()
    .map(|(name, value)| (format!("diffusion_model.{name}"), value))
    .collect();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("distilled.safetensors");
    save(&lora, None, &path);
    let (found, merged) = with(&path, 0.5);
    let expected = Merged {
        layers: 4,
        left_out: 9,
    };
    assert_eq!(merged, expected);
    // The same by hand.
    let add = |v: &Tensor, by: Tensor| (v.to_dtype(DType::F32).unwrap() + (by * 0.5)).unwrap();
    let by_hand = |without: &str| {
        plain(|name, value| match name {
            _ if name == without => value.clone(),
            "blocks.0.attn1.to_q.weight" => add(value, up.matmul(&down).unwrap()),
            "blocks.0.attn1.to_q.bias" => add(value, numbers(&[to], 0.4)),
            "blocks.0.scale_shift_table" => add(value, like(name, 0.2)),
            "blocks.1.scale_shift_table" => add(value, like(name, 0.3)),
            "scale_shift_table" => add(value, like(name, 0.5)),
            _ => value.clone(),
        })
    };
    assert!(apart(&found, &by_hand("")) <= TOLERANCE);
    for without in [
        "blocks.0.attn1.to_q.bias",
        "blocks.0.scale_shift_table",
        "blocks.1.scale_shift_table",
        "scale_shift_table",
    ] {
        let error = apart(&found, &by_hand(without));
        assert!(error >= 10. * TOLERANCE, "{without}: {error:e}");
    }

    // The first layer of a model with more channels, with its bias.
    let mut sides = weights["patch_embedding.weight"].dims().to_vec();
    let first = "diffusion_model.patch_embedding";
    let bias = numbers(&[sides[0]], 0.5);
    sides[1] = 36;
    lora.insert(format!("{first}.diff"), numbers(&sides, 0.5));
    lora.insert(format!("{first}.diff_b"), bias);
    save(&lora, None, &path);
    let (again, merged) = with(&path, 0.5);
    assert_eq!((merged.layers, merged.left_out), (4, 10));
    assert_eq!(apart(&again, &found), 0.);

    // Where there is nothing else, or something that no Wan model has, it is refused.
    let says = |lora: &Tensors| {
        save(lora, None, &path);
        let mut model = Model::open(&fixture("t2v")).unwrap();
        model.add_lora(0, &path, 1.).unwrap_err().to_string()
    };
    let foreign = |name: &str| name.contains("img") || name.contains("patch_embedding");
    let mut none = lora.clone();
    none.retain(|name, _| foreign(name));
    assert!(says(&none).contains("changes nothing"));
    lora.insert("diffusion_model.blocks.9.diff_m".into(), up.clone());
    let error = says(&lora);
    assert!(
        error.contains("blocks.9.diff_m belongs to no layer"),
        "{error}"
    );
}

#[test]
fn names_may_begin_as_any_trainer_has_them() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lora.safetensors");
    let lora = two("transformer.");
    save(&lora, None, &path);
    let (expected, _) = with(&path, 1.);
    let original = |name: &str| {
        let name = name.replace("transformer.", "");
        let name = name.replace("attn1.to_q", "self_attn.q");
        name.replace("attn2.to_v", "cross_attn.v")
    };
    let underscored = |name: &str, before: &str| {
        let name = original(name);
        let (layer, end) = name.split_once(".lora_").unwrap();
        let end = end.replace('A', "down").replace('B', "up");
        format!("{before}{}.lora_{end}", layer.replace('.', "_"))
    };
    let ways: [&dyn Fn(&str) -> String; 6] = [
        &|n| n.replace("transformer.", ""),
        &|n| n.replace("transformer.", "base_model.model."),
        &|n| {
            format!(
                "pipe.dit.{}",
                original(n).replace(".weight", ".default.weight")
            )
        },
        &|n| format!("dit.{}", original(n)),
        &|n| underscored(n, "lora_unet_"),
        &|n| underscored(n, "lora_unet__"),
    ];
    for way in ways {
        let renamed = lora.iter().map(|(n, t)| (way(n), t.clone())).collect();
        save(&renamed, None, &path);
        let (found, merged) = with(&path, 1.);
        assert_eq!((merged.layers, merged.left_out), (2, 0));
        assert_eq!(apart(&found, &expected), 0.);
    }
}

#[test]
fn what_goes_with_a_lora_says_how_much_it_counts() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("adapter_model.safetensors");
    let beside = folder.path().join("adapter_config.json");
    let found = |lora: &Tensors, said: Option<&str>, strength: f64| {
        save(lora, said, &path);
        with(&path, strength).0
    };
    let mut lora = two("transformer.");
    let half = found(&lora, None, 0.5);
    let twice = found(&lora, None, 2.);
    // In the header, as diffusers has it; rank 4.
    let header = r#"{"transformer.r": 4, "transformer.lora_alpha": 2}"#;
    assert_eq!(apart(&found(&lora, Some(header), 1.), &half), 0.);
    let by_root = r#"{"transformer.lora_alpha": 4, "transformer.use_rslora": true}"#;
    assert_eq!(apart(&found(&lora, Some(by_root), 1.), &twice), 0.);
    let patterns = r#"{"transformer.lora_alpha": 8,
        "transformer.alpha_pattern": {"blocks.0.attn1.to_q": 2, "^blocks.1.*": 2}}"#;
    assert_eq!(apart(&found(&lora, Some(patterns), 1.), &half), 0.);
    // A bias behind the matrices counts as they do.
    let weights = tensors("t2v/transformer/diffusion_pytorch_model.safetensors");
    let name = "transformer.blocks.0.attn1.to_q.lora_B.bias";
    let sides = weights["blocks.0.attn1.to_q.bias"].dims();
    let mut biased = lora.clone();
    biased.insert(name.to_owned(), numbers(sides, 0.5));
    let expected = found(&biased, None, 0.5);
    assert_eq!(apart(&found(&biased, Some(header), 1.), &expected), 0.);
    assert!(apart(&expected, &half) >= 10. * TOLERANCE);
    // Beside the file, as peft has it, for files of its own.
    std::fs::write(&beside, r#"{"r": 4, "lora_alpha": 2}"#).unwrap();
    let by_peft = two("base_model.model.");
    assert_eq!(apart(&found(&by_peft, None, 1.), &half), 0.);
    assert_eq!(apart(&found(&lora, None, 0.5), &half), 0.);
    std::fs::write(&beside, "{").unwrap();
    save(&by_peft, None, &path);
    let mut model = Model::open(&fixture("t2v")).unwrap();
    let error = model.add_lora(0, &path, 1.).unwrap_err().to_string();
    assert!(
        error.contains("adapter_config.json") && error.contains("published with"),
        "{error}"
    );
    std::fs::remove_file(&beside).unwrap();
    // What the tensors say goes before.
    let value = Tensor::new(2f32, &Device::Cpu).unwrap();
    for layer in ["blocks.0.attn1.to_q", "blocks.1.attn2.to_v"] {
        lora.insert(format!("transformer.{layer}.alpha"), value.clone());
    }
    let header = r#"{"transformer.lora_alpha": 400}"#;
    assert_eq!(apart(&found(&lora, Some(header), 1.), &half), 0.);
}

/// Beyond two matrices: LoHa, LoKr, and lengths given anew (DoRA), as peft and LyCORIS
/// save them, with what says how much they count in the file or beside it.
#[test]
fn what_other_tuners_save_is_merged_as_they_do() {
    let reference = tensors("tuned/reference.safetensors");
    let changes: Vec<&String> = reference
        .keys()
        .filter(|name| !["latents", "prompt", "timestep"].contains(&&name[..]))
        .collect();
    assert_eq!(changes.len(), 9);
    for name in changes {
        let file = match name.starts_with("peft") {
            true => "adapter_model",
            false => "lycoris",
        };
        let path = fixture(&format!("tuned/{name}/{file}.safetensors"));
        let with = |strength: f64| {
            let mut model = Model::open(&fixture("t2v")).unwrap();
            let merged = model.add_lora(0, &path, strength).unwrap();
            assert!(merged.layers >= 12 && merged.left_out == 0, "{merged:?}");
            output(&model.load(None).unwrap().high, &reference)
        };
        let error = apart(&with(1.), &reference[name]);
        println!("{name}: {error:e}");
        assert!(error <= TOLERANCE, "{name}: {error:e}");
        let weaker = apart(&with(0.95), &reference[name]);
        assert!(weaker >= 10. * TOLERANCE, "{name}: {weaker:e}");
    }
}

/// The changes of [`two`] with lengths of their own, of the rows or of the columns.
fn with_lengths(ending: &str, columns: bool) -> Tensors {
    let mut lora = two("transformer.");
    for layer in ["blocks.0.attn1.to_q", "blocks.1.attn2.to_v"] {
        let from = lora[&format!("transformer.{layer}.lora_A.weight")].dims()[1];
        let to = lora[&format!("transformer.{layer}.lora_B.weight")].dims()[0];
        let lengths = match columns {
            true => numbers(&[1, from], 0.5),
            false => numbers(&[to], 0.5),
        };
        let lengths = (lengths + 1.).unwrap();
        lora.insert(format!("transformer.{layer}.{ending}"), lengths);
    }
    lora
}

#[test]
fn a_strength_is_a_share_of_what_given_lengths_change() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lora.safetensors");
    for (ending, columns) in [
        ("lora_magnitude_vector", false),
        ("lora_magnitude_vector.weight", false),
        ("lora_magnitude_vector.default.weight", false),
        ("dora_scale", false),
        ("dora_scale", true),
    ] {
        let lora = with_lengths(ending, columns);
        save(&lora, None, &path);
        for strength in [1., 0.4, 0.] {
            let by_hand = plain(|name, weight| {
                let stem = name.strip_suffix(".weight").unwrap_or(name);
                let part = |end: &str| lora.get(&format!("transformer.{stem}.{end}"));
                let Some(lengths) = part(ending) else {
                    return weight.clone();
                };
                let [up, down] = ["B", "A"].map(|x| part(&format!("lora_{x}.weight")).unwrap());
                let whole = (weight + up.matmul(down).unwrap()).unwrap();
                let axis = usize::from(!columns);
                let norms = whole.sqr().unwrap().sum_keepdim(axis).unwrap();
                let lengths = lengths.reshape(norms.shape()).unwrap();
                let by = (lengths / norms.sqrt().unwrap()).unwrap();
                let changed = whole.broadcast_mul(&by).unwrap();
                (weight + ((changed - weight).unwrap() * strength).unwrap()).unwrap()
            });
            let error = apart(&with(&path, strength).0, &by_hand);
            assert!(error < 1e-5, "{ending} at {strength}: {error:e}");
        }
    }
    // They are no ornament.
    let (lengths, _) = with(&path, 1.);
    save(&two("transformer."), None, &path);
    assert!(apart(&with(&path, 1.).0, &lengths) > 1e-2);
}

#[test]
fn changes_that_do_not_go_together_are_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lora.safetensors");
    let layer = "transformer.blocks.0.attn1.to_q";
    let says = |lora: &Tensors| {
        save(lora, None, &path);
        let mut model = Model::open(&fixture("t2v")).unwrap();
        model.add_lora(0, &path, 1.).unwrap_err().to_string()
    };
    let lengths = |shape: &[usize]| {
        let mut lora = two("transformer.");
        lora.insert(format!("{layer}.dora_scale"), numbers(shape, 1.));
        says(&lora)
    };
    for shape in [&[31, 1][..], &[1, 31], &[32, 32], &[1], &[]] {
        let error = lengths(shape);
        assert!(error.contains("made for another model"), "{error}");
    }
    let mut alone = with_lengths("dora_scale", false);
    alone.retain(|name, _| !name.contains("to_q.lora_"));
    let error = says(&alone);
    assert!(error.contains("has lengths and no matrices"), "{error}");

    let path = |name: &str| format!("tuned/{name}/lycoris.safetensors");
    let layer = "lycoris_blocks_0_attn1_to_q";
    let half = |name: &str, part: &str| {
        let mut lora = tensors(&path(name));
        lora.remove(&format!("{layer}.{part}")).unwrap();
        says(&lora)
    };
    for (name, part) in [
        ("loha", "hada_w2_b"),
        ("lokr", "lokr_w1"),
        ("lokr", "lokr_w2_a"),
    ] {
        let error = half(name, part);
        assert!(error.contains("has one of two matrices"), "{error}");
    }
    let mut odd = tensors(&path("lokr"));
    odd.insert(format!("{layer}.lokr_w1"), numbers(&[3, 2], 1.));
    assert!(says(&odd).contains("made for another model"));
    let mut both = tensors(&path("loha"));
    both.extend(tensors(&path("lokr")));
    assert!(says(&both).contains("in more than one way"));
    let mut other = two("transformer.");
    other.insert(format!("{layer}.oft_blocks"), numbers(&[2, 4, 4], 1.));
    let error = says(&other);
    assert!(
        error.contains("not known, by lycoris_blocks_0_attn1_to_q.oft_blocks"),
        "{error}"
    );
}

#[test]
fn matrices_of_few_bits_are_kept_in_bf16_once_they_are_merged() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t2v_q8_0.gguf");
    std::fs::copy(fixture("t2v_q8_0.gguf"), &path).unwrap();
    let config = fixture("t2v/transformer/config.json");
    std::fs::copy(config, path.with_extension("json")).unwrap();
    let reference = tensors("t2v_q8_0.safetensors");
    let lora = fixture("lora/musubi.safetensors");
    let made = |strength: f64| {
        let mut model = Model::open(&path).unwrap();
        let bytes = model.loaded_bytes();
        model.add_lora(0, &lora, strength).unwrap();
        let high = model.load(None).unwrap().high;
        (output(&high, &reference), bytes, model.loaded_bytes())
    };
    // Of no strength: what was packed comes through rounded to 8 bits of fraction.
    let (same, _, _) = made(0.);
    let error = apart(&same, &reference["output"]);
    assert!(error > 1e-6 && error < 2e-2, "{error:e}");
    let (found, packed, merged) = made(0.8);
    assert!(apart(&found, &same) > 5e-2);
    // 34 bytes for 32 values before, 2 a value after.
    let values = Model::open(&path).unwrap().values();
    assert!(packed < merged && merged < 2 * packed && merged < 3 * values);
}
