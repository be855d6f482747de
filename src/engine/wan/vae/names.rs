//! The names of the weights in the published single file of Wan 2.1's VAE.

use candle_nn::VarBuilder;

/// `vb` under diffusers' names, whichever of the two kinds the file has.
/// `blocks` is how many residual blocks a level of the encoder has.
pub(super) fn as_diffusers<'a>(vb: &VarBuilder<'a>, blocks: usize) -> VarBuilder<'a> {
    if vb.contains_tensor("conv2.weight") && !vb.contains_tensor("post_quant_conv.weight") {
        vb.clone()
            .rename_f(move |name| original(name, blocks).unwrap_or_else(|| name.to_owned()))
    } else {
        vb.clone()
    }
}

/// The original name of what diffusers calls `name`.
fn original(name: &str, blocks: usize) -> Option<String> {
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
            assert_eq!(original(&name, 2).as_deref(), Some(&expected[..]), "{name}");
        }
    }

    #[test]
    fn a_file_with_original_names_is_read_as_the_other() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wan/fixtures/vae-2.1");
        let text = std::fs::read_to_string(format!("{folder}/config.json")).unwrap();
        let config = VaeConfig::parse(&text).unwrap();
        let file = format!("{folder}/diffusion_pytorch_model.safetensors");
        let weights = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
        let renamed: HashMap<_, _> = weights
            .into_iter()
            .map(|(name, t)| (original(&name, config.num_res_blocks).unwrap(), t))
            .collect();
        let vb = VarBuilder::from_tensors(renamed, DType::F32, &Device::Cpu);
        assert!(VaeDecoder::load(&config, &vb).is_ok());
        assert!(VaeEncoder::load(&config, &vb).is_ok());
    }
}
