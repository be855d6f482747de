//! The decoder in the emulation of `kernels/emulation`, which runs the kernels on the CPU,
//! against what the reference made. The driver is found when a process begins, so each
//! test runs itself again.

use std::process::Command;

use half::{bf16, f16};

use super::*;
use crate::engine::wan::vae::tests::{error, fixture};

const AGAIN: &str = "LONGTAKE_TEST_EMULATED";

/// Runs test `name` of this file with the emulation as its driver; true in that process.
fn emulated(name: &str) -> bool {
    if std::env::var_os(AGAIN).is_some() {
        return true;
    }
    let Some(folder) = longtake_emulation::folder() else {
        return false;
    };
    let path = format!("engine::wan::vae::on_gpu::tests::{name}");
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&path, "--exact", "--nocapture"])
        .env("LD_LIBRARY_PATH", folder)
        .env(AGAIN, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let more = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{more}");
    assert!(text.contains("1 passed"), "{text}{more}");
    false
}

fn on_gpu<T: Number>(decoder: &GpuDecoder<T>, latents: &[FeatureMap]) -> Vec<FeatureMap> {
    let mut out = Vec::new();
    let mut decoding = decoder.begin();
    for latent in latents {
        let take = &mut |frame| out.push(frame);
        decoding.push(latent, Task::quiet(), take).unwrap();
    }
    out
}

fn against_the_reference<T: Number>() -> f64 {
    let fixture = fixture("vae-2.1");
    let device = Device::open(0).unwrap();
    assert!(device.is_emulation());
    let decoder = GpuDecoder::<T>::load(&device, &fixture.config, &fixture.weights).unwrap();
    let latents = fixture.frames("decode.17.latents");
    let made = on_gpu(&decoder, &latents);
    error(&made, &fixture.frames("decode.17.out"))
}

#[test]
fn latents_become_the_frames_of_the_reference() {
    if !emulated("latents_become_the_frames_of_the_reference") {
        return;
    }
    let found = against_the_reference::<f32>();
    assert!(found < 1e-4, "{found}");
    // The numbers that a GPU works on are rounded behind every layer.
    let (found, short) = (
        against_the_reference::<f16>(),
        against_the_reference::<bf16>(),
    );
    assert!(found < 4e-3 && short < 3e-2, "{found} {short}");
    assert!(short > 1e-4, "{short}");
}
