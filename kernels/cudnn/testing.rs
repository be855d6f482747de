//! Graphs put before a real cuDNN, for a device that is not here.

use std::path::PathBuf;
use std::sync::Arc;

use super::attention::{Attention, Way};
use super::convolution::Convolution;
use super::names::{Attribute, DataType, Kind, notes};
use super::{Descriptor, Draft, Library, Target};

/// What cuDNN says of an H100 (SXM, 80 GB) when it is asked there.
const H100: &str = r#"{"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],
"regsPerBlock":65536,"multiProcessorCount":132,"smCountOrigin":0,"warpSize":32,
"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":232448,
"oversizedSharedMemoryPerBlock":0,"reservedSharedMemoryPerBlock":1024,
"maxRegistersPerSM":65536,"maxCtasPerSM":32,"maxThreadsPerBlock":1024,
"maxThreadsPerSM":2048,"pciDeviceId":6,"isTccDriver":0,"supportCoopLaunch":1,
"totalGlobalMem":85017493504,"smClockRateKHz":1980000,"memClockRateKHz":2619000,
"l2CacheSize":52428800,"cudaDeviceId":0,"deviceVer":900,"driverVer":13000,
"deviceName":"NVIDIA H100 80GB HBM3"}"#;

/// cuDNN, from the file that `LONGTAKE_CUDNN` names.
pub fn library() -> &'static Library {
    let path = std::env::var_os("LONGTAKE_CUDNN").expect("LONGTAKE_CUDNN names libcudnn.so.9");
    Library::open(&PathBuf::from(path)).unwrap()
}

/// The H100.
pub fn device(library: &'static Library) -> Arc<Descriptor> {
    Draft::new(library, Kind::DeviceProperties)
        .and_then(|draft| draft.text(Attribute::DeviceJson, H100)?.finish())
        .unwrap()
}

/// Attention of tensors [batch, tokens, heads · width].
fn attention(batch: i64, heads: i64, queries: i64, keys: i64, width: i64) -> Attention {
    let strides = |tokens: i64| [tokens * heads * width, width, heads * width];
    let (q, k) = (strides(queries), strides(keys));
    Attention {
        kind: DataType::Bf16,
        batch,
        heads,
        queries,
        keys,
        width,
        strides: [q, k, k, q],
    }
}

/// `LD_LIBRARY_PATH` has to lead to a libcuda.so.1, real or made of stubs, and to NVRTC.
#[test]
#[ignore = "needs cuDNN: LONGTAKE_CUDNN=.../libcudnn.so.9"]
fn attention_is_taken_for_an_h100() {
    let library = library();
    let target = Target::Described(device(library));
    for (batch, heads, queries, keys, width) in [
        (1, 12, 32_760, 32_760, 128),
        (1, 12, 32_760, 512, 128),
        (2, 12, 999, 257, 128),
        (1, 40, 75_600, 75_600, 128),
        (1, 2, 100, 1, 24),
    ] {
        let attention = attention(batch, heads, queries, keys, width);
        for way in [Way::One, Way::Several] {
            let plan = attention.plan_by(way, library, &target);
            let plan = plan.unwrap_or_else(|error| panic!("{attention:?} {way:?}: {error}"));
            assert!(plan.workspace() < 1 << 20, "{}", plan.workspace());
        }
    }
    // A width that no tensor core takes is refused with words, not worse.
    let odd = attention(1, 2, 100, 100, 5).plan(library, &target);
    let text = odd.unwrap_err().to_string();
    assert!(text.contains("has no engine"), "{text}");
}

/// As above.
#[test]
#[ignore = "needs cuDNN: LONGTAKE_CUDNN=.../libcudnn.so.9"]
fn convolutions_of_a_vae_are_taken_for_an_h100() {
    let library = library();
    let target = Target::Described(device(library));
    let (bf16, f32) = (DataType::Bf16, DataType::F32);
    let (one, halved, slower) = ([1; 3], [1, 2, 2], [2, 1, 1]);
    let (none, around, behind) = ([0, 0], [1, 1], [0, 1]);
    for (gives, size, [channels, outputs], kernel, step, zeros) in [
        (bf16, [6, 480, 832], [96, 96], [3, 3, 3], one, around),
        (bf16, [6, 480, 417], [192, 192], [3, 3, 2], one, around),
        (f32, [6, 480, 417], [192, 16], [3, 3, 2], one, around),
        (bf16, [6, 240, 416], [192, 192], [3, 3, 3], one, around),
        (bf16, [4, 120, 208], [384, 384], [3, 3, 3], one, around),
        (bf16, [3, 60, 104], [384, 384], [3, 3, 3], one, around),
        (bf16, [3, 60, 104], [16, 384], [3, 3, 3], one, around),
        (bf16, [3, 60, 104], [384, 768], [3, 1, 1], one, none),
        (bf16, [4, 240, 416], [192, 384], [1, 2, 2], one, around),
        (bf16, [2, 120, 208], [192, 384], [1, 1, 1], one, none),
        (f32, [6, 480, 832], [96, 8], [3, 3, 3], one, around),
        (bf16, [6, 480, 832], [96, 8], [3, 3, 3], one, around),
        // Of the encoder.
        (bf16, [6, 480, 832], [8, 96], [3, 3, 3], one, around),
        (bf16, [4, 480, 832], [96, 96], [1, 3, 3], halved, behind),
        (bf16, [5, 120, 208], [192, 192], [3, 1, 1], slower, none),
        (f32, [3, 60, 104], [384, 32], [3, 3, 3], one, around),
        // Of attention.
        (bf16, [1, 1, 6240], [384, 384], [1, 1, 1], one, none),
        (f32, [1, 1, 6240], [384, 6240], [1, 1, 1], one, none),
        (bf16, [1, 1, 6240], [6240, 384], [1, 1, 1], one, none),
        (bf16, [1, 1, 384], [384, 6240], [1, 1, 1], one, none),
    ] {
        // Pairs of columns have theirs in memory.
        let columns = if kernel[2] == 2 && kernel[1] == 3 {
            none
        } else {
            zeros
        };
        let zeros: [[i64; 2]; 3] = [none, zeros, columns];
        let made = |i: usize| {
            let room: i64 = size[i] + zeros[i][0] + zeros[i][1] - kernel[i];
            room / step[i] + 1
        };
        let convolution = Convolution {
            kind: bf16,
            gives,
            size,
            made: std::array::from_fn(made),
            channels,
            outputs,
            kernel,
            step,
            zeros,
        };
        let told = format!("{size:?}, {channels} to {outputs}, {kernel:?}, {gives:?}");
        let plan = convolution.plan(library, &target);
        plan.unwrap_or_else(|error| panic!("{told}: {error}"));
        let engines = convolution.engines(library, &target).unwrap();
        let (_, found) = engines[0].engine().unwrap();
        assert!(found.contains(&notes::TENSOR_CORES), "{told}: {found:?}");
    }
}
