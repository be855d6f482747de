//! Graphs put before a real cuDNN, for a device that is not here.

use std::path::PathBuf;
use std::sync::Arc;

use super::attention::{Attention, Way};
use super::names::{Attribute, DataType, Kind};
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
