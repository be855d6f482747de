//! Held against what the reference made (`tests/wan/reference/make_vae.py`).

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::Device;

use super::*;
use crate::device::Cancel;

const LAYOUTS: [&str; 2] = ["vae-2.1", "vae-2.2"];
const TOLERANCE: f64 = 1e-4;

pub(super) struct Fixture {
    pub(super) config: VaeConfig,
    pub(super) weights: VarBuilder<'static>,
    reference: HashMap<String, Tensor>,
}

pub(super) fn fixture(layout: &str) -> Fixture {
    // Others than the stored ones, where the slow check made them afresh.
    let all = std::env::var_os("LONGTAKE_WAN_FIXTURES").map(PathBuf::from);
    let stored = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wan/fixtures");
    let folder = all.unwrap_or_else(stored).join(layout);
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let load = |name| candle_core::safetensors::load(folder.join(name), &Device::Cpu).unwrap();
    let weights = load("diffusion_pytorch_model.safetensors");
    Fixture {
        config: VaeConfig::parse(&text).unwrap(),
        weights: VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu),
        reference: load("reference.safetensors"),
    }
}

impl Fixture {
    fn decoder(&self) -> VaeDecoder {
        VaeDecoder::load(&self.config, &self.weights).unwrap()
    }

    pub(super) fn encoder(&self) -> VaeEncoder {
        VaeEncoder::load(&self.config, &self.weights).unwrap()
    }

    pub(super) fn frames(&self, name: &str) -> Vec<FeatureMap> {
        frames_of(&self.reference[name]).unwrap()
    }

    /// A stored video of bytes as the reference was given it.
    pub(super) fn video(&self, name: &str) -> Vec<FeatureMap> {
        let mut frames = self.frames(name);
        for frame in &mut frames {
            for y in 0..frame.height() {
                for v in frame.row_mut(y) {
                    *v = *v / 127.5 - 1.;
                }
            }
        }
        frames
    }
}

fn with_task<T>(run: impl FnOnce(Task<'_>) -> T) -> T {
    run(Task::quiet())
}

pub(super) fn decode(decoder: &VaeDecoder, latents: &[FeatureMap]) -> Vec<FeatureMap> {
    let mut out = Vec::new();
    let mut decoding = decoder.begin();
    for latent in latents {
        with_task(|task| decoding.push(latent, task, &mut |frame| out.push(frame))).unwrap();
    }
    out
}

/// |a − b| / |b| over all frames.
pub(super) fn error(a: &[FeatureMap], b: &[FeatureMap]) -> f64 {
    assert_eq!(a.len(), b.len());
    let (mut apart, mut size) = (0., 0.);
    for (a, b) in a.iter().zip(b) {
        assert_eq!(
            (a.height(), a.width(), a.channels()),
            (b.height(), b.width(), b.channels())
        );
        for (a, b) in a.rows().flatten().zip(b.rows().flatten()) {
            apart += f64::from(a - b).powi(2);
            size += f64::from(*b).powi(2);
        }
    }
    (apart / size).sqrt()
}

/// Latents of any size, about as they come from the sampler.
pub(super) fn some_latents(
    count: usize,
    (height, width): (usize, usize),
    channels: usize,
) -> Vec<FeatureMap> {
    (0..count)
        .map(|t| {
            let number = |i: usize| (((i + 991 * t) * 7919 % 10007) as f32 / 5003.5 - 1.) * 1.7;
            let data = (0..height * width * channels).map(number).collect();
            FeatureMap::from_rows(height, width, channels, data)
        })
        .collect()
}

pub(super) fn tensor(frames: &[FeatureMap]) -> Tensor {
    let (height, width, channels) = (frames[0].height(), frames[0].width(), frames[0].channels());
    let data: Vec<f32> = frames
        .iter()
        .flat_map(|f| f.rows())
        .flatten()
        .copied()
        .collect();
    Tensor::from_vec(data, (frames.len(), height, width, channels), &Device::Cpu)
        .and_then(|t| t.permute((3, 0, 1, 2)))
        .unwrap()
}

#[test]
fn frames_become_the_latents_of_the_reference() {
    for layout in LAYOUTS {
        let fixture = fixture(layout);
        let encoder = fixture.encoder();
        for count in [1, 5, 9, 17] {
            let (mut moments, mut latents) = (Vec::new(), Vec::new());
            let (mut raw, mut normalised) = (encoder.begin(), encoder.begin());
            for frame in fixture.video(&format!("encode.{count}.in")) {
                moments.extend(with_task(|t| raw.push_for_moments(&frame, t)).unwrap());
                latents.extend(with_task(|t| normalised.push(&frame, t)).unwrap());
            }
            for (got, name) in [(moments, "moments"), (latents, "latents")] {
                let error = error(&got, &fixture.frames(&format!("encode.{count}.{name}")));
                assert!(
                    error <= TOLERANCE,
                    "{layout}, {count} frames, {name}: {error}"
                );
            }
        }
    }
}

#[test]
fn latents_become_the_frames_of_the_reference() {
    for layout in LAYOUTS {
        let fixture = fixture(layout);
        let decoder = fixture.decoder();
        for count in [1, 5, 9, 17] {
            let latents = fixture.frames(&format!("decode.{count}.latents"));
            let expected = fixture.frames(&format!("decode.{count}.out"));
            let error = error(&decode(&decoder, &latents), &expected);
            assert!(error <= TOLERANCE, "{layout}, {count} frames: {error}");
        }
    }
}

#[test]
fn every_kind_of_level_is_that_of_the_reference() {
    let cancel = Cancel::default();
    for layout in LAYOUTS {
        let fixture = fixture(layout);
        let check = |name: &str, got: Vec<FeatureMap>, expected: &str| {
            let error = error(&got, &fixture.frames(expected));
            assert!(error <= TOLERANCE, "{layout}, {name}: {error}");
        };
        let encoder = fixture.encoder().weights;
        // Without shortcuts a level is a residual block and what shrinks it.
        let ends = match fixture.config.is_residual {
            true => [(0, 0), (1, 1)],
            false => [(0, 1), (2, 3)],
        };
        for (level, (first, last)) in encoder.levels.iter().zip(ends) {
            let mut past = level::DownPast::default();
            let input = fixture.frames(&format!("block.encoder.down_blocks.{first}.in"));
            let got = input
                .into_iter()
                .filter_map(|x| level.step(x, &mut past, &cancel).unwrap())
                .collect();
            let name = format!("block.encoder.down_blocks.{last}.out");
            check(&name, got, &name);
        }
        let decoder = fixture.decoder().weights;
        for (part, middle) in [("encoder", &encoder.middle), ("decoder", &decoder.middle)] {
            let mut past = Default::default();
            let input = fixture.frames(&format!("block.{part}.mid_block.in"));
            let got = input
                .into_iter()
                .map(|x| middle.step(x, &mut past, &cancel).unwrap())
                .collect();
            check(part, got, &format!("block.{part}.mid_block.out"));
        }
        for i in [0, 2] {
            let mut past = level::UpPast::default();
            let input = fixture.frames(&format!("block.decoder.up_blocks.{i}.in"));
            let got = input
                .into_iter()
                .flat_map(|x| decoder.levels[i].step(x, &mut past, &cancel).unwrap())
                .collect();
            check("up", got, &format!("block.decoder.up_blocks.{i}.out"));
        }
    }
}

#[test]
fn tiles_are_the_whole_bit_for_bit() {
    for layout in LAYOUTS {
        let fixture = fixture(layout);
        let decoder = fixture.decoder();
        let factor = fixture.config.spatial_factor();
        let latents = some_latents(3, (9, 35), fixture.config.z_dim);
        let whole = decode(&decoder, &latents);
        for tiling in [Tiling::Whole, Tiling::Latents(4), Tiling::Latents(17)] {
            let mut canvas: Vec<_> = whole
                .iter()
                .map(|f| FeatureMap::zeros(f.height(), f.width(), 3, 0))
                .collect();
            let mut pieces = 0;
            with_task(|task| {
                decoder.decode(&tensor(&latents), tiling, task, &mut |piece| {
                    pieces += 1;
                    for y in 0..piece.pixels.height() {
                        let row = canvas[piece.frame].row_mut(piece.y + y);
                        let pixels = piece.pixels.row(y);
                        row[piece.x * 3..][..pixels.len()].copy_from_slice(pixels);
                    }
                })
            })
            .unwrap();
            let tiles = match tiling {
                Tiling::Whole => 1,
                Tiling::Latents(4) => 3 * 9,
                Tiling::Latents(_) => 3,
            };
            assert_eq!(pieces, tiles * whole.len());
            assert!(
                canvas == whole,
                "{layout}, tiles of {tiling:?} of {factor} pixels"
            );
        }
    }
}

#[test]
fn tiles_of_frames_are_encoded_as_the_whole_bit_for_bit() {
    for layout in LAYOUTS {
        let fixture = fixture(layout);
        let encoder = fixture.encoder();
        let by = fixture.config.spatial_factor();
        let size = [7 * by, 22 * by];
        let video: Vec<FeatureMap> = some_latents(9, (size[0], size[1]), 3)
            .iter()
            .map(|f| f.map(0, |v| v / 1.7))
            .collect();
        let mut whole = encoder.begin();
        let push = |f: &FeatureMap| with_task(|t| whole.push(f, t)).unwrap();
        let expected: Vec<FeatureMap> = video.iter().filter_map(push).collect();
        assert_eq!(expected.len(), 3);
        for (most, count) in [(3, 3 * 8), (13, 2)] {
            let tiles = encoder.tiles(Tiling::Latents(most), size);
            assert_eq!(tiles.len(), count);
            let mut canvases = vec![encoder.canvas(size); expected.len()];
            for tile in &tiles {
                let mut encoding = encoder.begin_tile(tile);
                let push = |f: &FeatureMap| with_task(|t| encoding.push(f, t)).unwrap();
                let made = video.iter().filter_map(push);
                for (features, canvas) in made.zip(&mut canvases) {
                    tile.lay(&features, canvas);
                }
            }
            let mut joined = encoder.begin_joined();
            let push = |c: FeatureMap| with_task(|t| joined.push(c, t)).unwrap();
            let made: Vec<FeatureMap> = canvases.into_iter().map(push).collect();
            assert!(made == expected, "{layout}, tiles of {most} latents");
        }
        let tiles = encoder.tiles(Tiling::Latents(3), size);
        let small = FeatureMap::zeros(by, by, 3, 0);
        let refused = with_task(|t| encoder.begin_tile(&tiles[23]).push(&small, t));
        assert!(refused.unwrap_err().to_string().contains("of one size"));
    }
}

#[test]
fn a_stream_is_one_pass_bit_for_bit() {
    let cancel = Cancel::default();
    for layout in LAYOUTS {
        let fixture = fixture(layout);
        let decoder = fixture.decoder();
        let latents = some_latents(5, (2, 3), fixture.config.z_dim);
        let streamed = decode(&decoder, &latents);
        // One pass: a layer sees all frames before the next layer sees any.
        let mut past = decoder::HeadPast::default();
        let mut frames: Vec<_> = latents
            .iter()
            .map(|l| {
                let latent = decoder.denormalised(l).unwrap();
                decoder.weights.head(latent, &mut past, &cancel).unwrap()
            })
            .collect();
        for level in &decoder.weights.levels {
            let mut past = level::UpPast::default();
            frames = frames
                .into_iter()
                .flat_map(|x| level.step(x, &mut past, &cancel).unwrap())
                .collect();
        }
        let mut past = layers::Past::default();
        let last = frames
            .into_iter()
            .map(|x| decoder.weights.last(x, &mut past, &cancel).unwrap())
            .map(|x| decoder.pixels(&x))
            .collect::<Vec<_>>();
        assert!(streamed == last, "{layout}");
        // What comes later changes nothing of what went out.
        assert!(decode(&decoder, &latents[..3]) == streamed[..9], "{layout}");
    }
}

#[test]
fn the_fixtures_tell_small_differences_apart() {
    for layout in LAYOUTS {
        let fixture = fixture(layout);
        let decoder = fixture.decoder();
        let latents = fixture.frames("decode.17.latents");
        let expected = fixture.frames("decode.17.out");
        let apart = 10. * TOLERANCE;
        // Another latent, by a hundredth in one channel of one of five.
        let mut other = latents.clone();
        other[1].row_mut(0)[0] += 0.05;
        let moved = error(&decode(&decoder, &other), &expected);
        assert!(moved >= apart, "{layout}, another latent: {moved}");
        // A video that begins later, so without its past.
        let late = error(&decode(&decoder, &latents[1..])[1..], &expected[5..]);
        assert!(late >= apart, "{layout}, another beginning: {late}");
        // Latents that are not brought back to their mean and spread.
        let mut config = fixture.config.clone();
        config.latents_std[3] *= 1.05;
        let other = VaeDecoder::load(&config, &fixture.weights).unwrap();
        let moved = error(&decode(&other, &latents), &expected);
        assert!(moved >= apart, "{layout}, another spread: {moved}");
    }
}

#[test]
fn bad_sizes_and_weights_are_named() {
    let fixture = fixture("vae-2.2");
    let push = |frame: &FeatureMap| {
        let encoder = fixture.encoder();
        with_task(|t| encoder.begin().push(frame, t))
            .unwrap_err()
            .to_string()
    };
    let error = push(&FeatureMap::zeros(16, 24, 3, 0));
    assert!(
        error.contains("24 × 16") && error.contains("multiples of 16"),
        "{error}"
    );
    let error = push(&FeatureMap::zeros(16, 16, 4, 0));
    assert!(error.contains("4 channels"), "{error}");
    let decoder = fixture.decoder();
    let wrong = some_latents(1, (2, 2), 16);
    let error = with_task(|t| decoder.begin().push(&wrong[0], t, &mut |_| ()));
    assert!(error.unwrap_err().to_string().contains("takes 48 channels"));

    let mut config = fixture.config.clone();
    config.num_res_blocks = 2;
    let error = VaeDecoder::load(&config, &fixture.weights)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("decoder.up_blocks.0.resnets.2"), "{error}");
    config = fixture.config.clone();
    config.base_dim = 8;
    let error = VaeEncoder::load(&config, &fixture.weights)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("encoder."), "{error}");
}
