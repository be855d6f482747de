//! The names of the weights in the published single files of the VAEs of Wan 2.1 and
//! 2.2.

use candle_nn::VarBuilder;

use super::VaeConfig;

/// `vb` under diffusers' names, whichever of the two kinds the file has.
pub(super) fn as_diffusers<'a>(vb: &VarBuilder<'a>, config: &VaeConfig) -> VarBuilder<'a> {
    let (blocks, nested) = (config.num_res_blocks, config.is_residual);
    if vb.contains_tensor("conv2.weight") && !vb.contains_tensor("post_quant_conv.weight") {
        vb.clone()
            .rename_f(move |name| original(name, blocks, nested).unwrap_or_else(|| name.to_owned()))
    } else {
        vb.clone()
    }
}

/// The original name of what diffusers calls `name`. `blocks` is how many residual
/// blocks a level of the encoder has; in 2.2 layers are `nested` in levels, in 2.1 those
/// of all levels are counted through.
fn original(name: &str, blocks: usize, nested: bool) -> Option<String> {
    let (part, rest) = name.split_once('.')?;
    match part {
        "quant_conv" => return Some(format!("conv1.{rest}")),
        "post_quant_conv" => return Some(format!("conv2.{rest}")),
        _ => {}
    }
    let (layer, rest) = rest.split_once('.')?;
    let place = match layer {
        "conv_in" => format!("conv1.{rest}"),
        "norm_out" => format!("head.0.{rest}"),
        "conv_out" => format!("head.2.{rest}"),
        "mid_block" => {
            let mut words = rest.splitn(3, '.');
            let (kind, index, rest) = (words.next()?, words.next()?, words.next()?);
            let index: usize = index.parse().ok()?;
            match kind {
                // Residual blocks and what lies between them are counted through.
                "resnets" => format!("middle.{}.{}", 2 * index, residual(rest)),
                _ => format!("middle.{}.{rest}", 2 * index + 1),
            }
        }
        "down_blocks" | "up_blocks" if nested => {
            let (side, last) = match layer {
                "down_blocks" => ("downsamples", blocks),
                // The decoder's levels have one block more.
                _ => ("upsamples", blocks + 1),
            };
            let mut words = rest.splitn(3, '.');
            let (level, kind, rest) = (words.next()?, words.next()?, words.next()?);
            match kind {
                "resnets" => {
                    let (index, rest) = rest.split_once('.')?;
                    format!("{side}.{level}.{side}.{index}.{}", residual(rest))
                }
                _ => format!("{side}.{level}.{side}.{last}.{rest}"),
            }
        }
        "down_blocks" => {
            let (index, rest) = rest.split_once('.')?;
            format!("downsamples.{index}.{}", residual(rest))
        }
        "up_blocks" => {
            let mut words = rest.splitn(4, '.');
            let (level, kind) = (words.next()?, words.next()?);
            let (index, rest) = (words.next()?, words.next()?);
            let before = level.parse::<usize>().ok()? * (blocks + 2);
            match kind {
                "resnets" => {
                    let index = before + index.parse::<usize>().ok()?;
                    format!("upsamples.{index}.{}", residual(rest))
                }
                _ => format!("upsamples.{}.{rest}", before + blocks + 1),
            }
        }
        _ => return None,
    };
    Some(format!("{part}.{place}"))
}

/// The parts of a residual block; other names are alike.
fn residual(rest: &str) -> String {
    for (ours, theirs) in [
        ("norm1.", "residual.0."),
        ("conv1.", "residual.2."),
        ("norm2.", "residual.3."),
        ("conv2.", "residual.6."),
        ("conv_shortcut.", "shortcut."),
    ] {
        if let Some(end) = rest.strip_prefix(ours) {
            return format!("{theirs}{end}");
        }
    }
    rest.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use candle_core::{DType, Device};

    use super::super::{VaeConfig, VaeDecoder, VaeEncoder};
    use super::*;

    #[test]
    fn every_name_is_that_of_the_reference() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/wan/fixtures/vae_original_keys.json"
        );
        let text = std::fs::read_to_string(path).unwrap();
        let names: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
        assert_eq!(names.len(), 194);
        for (name, expected) in names {
            let got = original(&name, 2, false);
            assert_eq!(got.as_deref(), Some(&expected[..]), "{name}");
        }
    }

    #[test]
    fn layers_of_the_newer_one_are_nested_in_levels() {
        for (name, expected) in [
            (
                "encoder.down_blocks.1.resnets.0.conv_shortcut.weight",
                "encoder.downsamples.1.downsamples.0.shortcut.weight",
            ),
            (
                "encoder.down_blocks.2.downsampler.time_conv.bias",
                "encoder.downsamples.2.downsamples.2.time_conv.bias",
            ),
            (
                "decoder.up_blocks.3.resnets.2.norm2.gamma",
                "decoder.upsamples.3.upsamples.2.residual.3.gamma",
            ),
            (
                "decoder.up_blocks.0.upsampler.resample.1.weight",
                "decoder.upsamples.0.upsamples.3.resample.1.weight",
            ),
            (
                "decoder.mid_block.attentions.0.to_qkv.bias",
                "decoder.middle.1.to_qkv.bias",
            ),
            ("post_quant_conv.bias", "conv2.bias"),
        ] {
            assert_eq!(original(name, 2, true).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_file_with_original_names_is_read_as_the_other() {
        for version in ["2.1", "2.2"] {
            read_as_the_other(version);
        }
    }

    fn read_as_the_other(version: &str) {
        let folder = format!(
            "{}/tests/wan/fixtures/vae-{version}",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(format!("{folder}/config.json")).unwrap();
        let config = VaeConfig::parse(&text).unwrap();
        let file = format!("{folder}/diffusion_pytorch_model.safetensors");
        let weights = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
        let renamed: HashMap<_, _> = weights
            .into_iter()
            .map(|(name, t)| {
                let (blocks, nested) = (config.num_res_blocks, config.is_residual);
                (original(&name, blocks, nested).unwrap(), t)
            })
            .collect();
        let vb = VarBuilder::from_tensors(renamed, DType::F32, &Device::Cpu);
        assert!(VaeDecoder::load(&config, &vb).is_ok());
        assert!(VaeEncoder::load(&config, &vb).is_ok());
    }
}
