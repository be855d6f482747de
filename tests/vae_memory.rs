//! How much memory a video takes on its way through the VAE does not depend on its
//! length.

mod counted;

use std::path::PathBuf;

use counted::peak;
use longtake::device::Task;
use longtake::device::ops::FeatureMap;
use longtake::engine::wan::vae::{self, VaeDecoder, VaeEncoder};

// One test: others beside it would be counted.
#[test]
fn a_long_video_takes_no_more_memory_than_a_short_one() {
    let task = Task::quiet();
    for layout in ["vae-2.1", "vae-2.2"] {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/wan/fixtures")
            .join(layout);
        let (config, weights) = vae::open(&folder).unwrap();
        let decoder = VaeDecoder::load(&config, &weights).unwrap();
        let encoder = VaeEncoder::load(&config, &weights).unwrap();
        let map = |side: usize, channels: usize| {
            FeatureMap::from_rows(side, side, channels, vec![0.1; side * side * channels])
        };
        let (latent, frame) = (map(6, config.z_dim), map(6 * config.spatial_factor(), 3));
        let decode = |count| {
            peak(|| {
                let mut decoding = decoder.begin();
                let mut frames = 0;
                for _ in 0..count {
                    decoding.push(&latent, task, &mut |_| frames += 1).unwrap();
                }
                assert_eq!(frames, 1 + 4 * (count - 1));
            })
        };
        let encode = |count| {
            peak(|| {
                let mut encoding = encoder.begin();
                let latents = (0..1 + 4 * (count - 1))
                    .filter(|_| encoding.push(&frame, task).unwrap().is_some())
                    .count();
                assert_eq!(latents, count);
            })
        };
        // The first makes the worker threads.
        decode(3);
        // What is counted from the settings is about what is used, where the picture is
        // large enough that what does not grow with it hardly counts.
        let side = 32;
        let pixels = side * config.spatial_factor();
        let (latent, frame) = (map(side, config.z_dim), map(pixels, 3));
        let decoded = peak(|| {
            let decoder = VaeDecoder::load(&config, &weights).unwrap();
            let mut decoding = decoder.begin();
            for _ in 0..4 {
                decoding.push(&latent, task, &mut |_| ()).unwrap();
            }
        });
        let encoded = peak(|| {
            let encoder = VaeEncoder::load(&config, &weights).unwrap();
            let mut encoding = encoder.begin();
            for _ in 0..13 {
                encoding.push(&frame, task).unwrap();
            }
        });
        for (what, used, counted) in [
            ("decoding", decoded, config.decoder_bytes([side, side])),
            ("encoding", encoded, config.encoder_bytes([pixels, pixels])),
        ] {
            let ratio = counted as f64 / used as f64;
            println!("{layout}, {what}: {used} bytes, {ratio:.2} of that counted");
            assert!((0.9..1.5).contains(&ratio), "{layout}, {what}: {ratio}");
        }
        for (what, short, long) in [
            ("decoding", decode(3), decode(12)),
            ("encoding", encode(3), encode(12)),
        ] {
            assert!(
                long <= short + short / 50,
                "{layout}, {what}: {long} bytes at four times the length, {short} before"
            );
        }
    }
}
