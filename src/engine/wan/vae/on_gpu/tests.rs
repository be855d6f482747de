//! The decoder in the emulation of `kernels/emulation`, which runs the kernels on the CPU,
//! against what the reference made.

use half::bf16;
use longtake_kernels::driver::DeviceError;

use longtake_kernels::Number;
use longtake_kernels::driver::Device;

use super::*;
use crate::device::Cancel;
use crate::device::Task;
use crate::device::gpu;
use crate::device::ops::FeatureMap;
use crate::engine::wan::vae::tests::{error, fixture, some_latents, tensor};
use crate::engine::wan::vae::{Piece, VaeError};

/// Runs test `name` of this file with the emulation as its driver; true in that process.
fn emulated(name: &str) -> bool {
    let path = format!("engine::wan::vae::on_gpu::tests::{name}");
    gpu::emulated::emulated(&path, &[("MEMORY", "3000000000")])
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

fn against_the_reference<T: Number>(layout: &str) -> f64 {
    let fixture = fixture(layout);
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
    let found = against_the_reference::<f32>("vae-2.1");
    assert!(found < 1e-4, "{found}");
    // The numbers that a GPU works on are rounded behind every layer.
    let found = against_the_reference::<bf16>("vae-2.1");
    assert!(found > 1e-4 && found < 3e-2, "{found}");
}

#[test]
fn levels_with_shortcuts_are_those_of_the_reference() {
    if !emulated("levels_with_shortcuts_are_those_of_the_reference") {
        return;
    }
    let found = against_the_reference::<f32>("vae-2.2");
    assert!(found < 1e-4, "{found}");
    let fixture = fixture("vae-2.2");
    let device = Device::open(0).unwrap();
    let (config, vb) = (&fixture.config, &fixture.weights);
    let encoder = GpuEncoder::<f32>::load(&device, config, vb).unwrap();
    let made = encoded(&encoder, &fixture.video("encode.9.in"));
    let found = error(&made, &fixture.frames("encode.9.latents"));
    assert!(found < 1e-4, "{found}");
}

#[test]
fn frames_are_numbered_from_where_latents_begin() {
    if !emulated("frames_are_numbered_from_where_latents_begin") {
        return;
    }
    let fixture = fixture("vae-2.1");
    let device = Device::open(0).unwrap();
    let decoder = GpuDecoder::<f32>::load(&device, &fixture.config, &fixture.weights).unwrap();
    let latents = some_latents(3, (1, 2), fixture.config.z_dim);
    let all = on_gpu(&decoder, &latents);
    assert_eq!((all.len(), all[0].width()), (9, 16));
    let from = |at: (usize, usize), task: Task<'_>| {
        let mut made = Vec::new();
        let take = &mut |piece: Piece| made.push((piece.frame, piece.pixels));
        let done = decoder.decode_from(&tensor(&latents), at, task, take);
        done.map(|()| made)
    };
    let whole = from((0, 0), Task::quiet()).unwrap();
    assert!(whole.iter().map(|(_, f)| f).eq(&all));
    assert!(whole.iter().map(|(i, _)| *i).eq(0..9));
    // A video's latents from the third on: the first gives its last frame alone.
    let late = from((2, 10), Task::quiet()).unwrap();
    assert!(late.iter().map(|(i, _)| *i).eq(10..17));
    assert!(late.iter().map(|(_, f)| f).eq(&all[2..]));
    let mut decoding = decoder.begin();
    let mut push = |latent| decoding.push(latent, Task::quiet(), &mut |_| ());
    push(&latents[0]).unwrap();
    let other = some_latents(1, (2, 2), fixture.config.z_dim);
    let error = push(&other[0]).unwrap_err().to_string();
    assert!(error.contains("2 × 2 follows others of 2 × 1"), "{error}");
    let cancel = Cancel::default();
    cancel.cancel();
    let task = Task {
        cancel: &cancel,
        ..Task::quiet()
    };
    assert!(matches!(from((0, 0), task), Err(VaeError::Cancelled(_))));
}

fn encoded<T: Number>(encoder: &GpuEncoder<T>, frames: &[FeatureMap]) -> Vec<FeatureMap> {
    let mut encoding = encoder.begin();
    let push = |f: &FeatureMap| encoding.push(f, Task::quiet()).unwrap();
    frames.iter().filter_map(push).collect()
}

#[test]
fn frames_become_the_latents_of_the_reference() {
    if !emulated("frames_become_the_latents_of_the_reference") {
        return;
    }
    let fixture = fixture("vae-2.1");
    let device = Device::open(0).unwrap();
    let (config, vb) = (&fixture.config, &fixture.weights);
    let wide = GpuEncoder::<f32>::load(&device, config, vb).unwrap();
    let short = GpuEncoder::<bf16>::load(&device, config, vb).unwrap();
    let (video, latents) = (
        fixture.video("encode.9.in"),
        fixture.frames("encode.9.latents"),
    );
    let found = error(&encoded(&wide, &video), &latents);
    assert!(found < 1e-4, "{found}");
    let found = error(&encoded(&short, &video), &latents);
    assert!(found > 1e-4 && found < 3e-2, "{found}");
    // An odd size loses its last row, as on the CPU.
    let odd: Vec<FeatureMap> = some_latents(5, (9, 19), 3);
    let (cpu, mut exact) = (fixture.encoder(), Vec::new());
    let mut encoding = cpu.begin();
    for frame in &odd {
        exact.extend(encoding.push(frame, Task::quiet()).unwrap());
    }
    let found = encoded(&wide, &odd);
    assert_eq!((found.len(), found[1].width()), (2, 2));
    assert!(error(&found, &exact) < 1e-4);
    let mut encoding = wide.begin();
    encoding.push(&odd[0], Task::quiet()).unwrap();
    let refused = encoding.push(&FeatureMap::zeros(9, 20, 3, 0), Task::quiet());
    let text = refused.err().unwrap().to_string();
    assert!(text.contains("20 × 9 follows others of 19 × 9"), "{text}");
    assert!(wide.has_room([64, 64], 1).unwrap() && !wide.has_room([6400, 6400], 1).unwrap());
}

#[test]
fn what_a_gpu_has_no_room_for_is_told() {
    if !emulated("what_a_gpu_has_no_room_for_is_told") {
        return;
    }
    let fixture = fixture("vae-2.1");
    let device = Device::open(0).unwrap();
    let decoder = GpuDecoder::<bf16>::load(&device, &fixture.config, &fixture.weights).unwrap();
    let large = some_latents(1, (700, 700), fixture.config.z_dim);
    let pushed = decoder.begin().push(&large[0], Task::quiet(), &mut |_| ());
    let error = pushed.unwrap_err();
    let VaeError::Device(DeviceError::OutOfMemory { .. }) = error else {
        panic!("{error}");
    };
}
