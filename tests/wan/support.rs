//! Fixtures, and how far two results are apart.

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{Device, Tensor};

/// Relative error allowed to the transformer, whole and part by part.
pub const TOLERANCE: f64 = 1e-4;

/// A file or folder of the fixtures.
pub fn fixture(name: &str) -> PathBuf {
    std::env::var_os("LONGTAKE_WAN_FIXTURES")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wan/fixtures"))
        .join(name)
}

/// The tensors of a safetensors file of the fixtures.
pub fn tensors(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixture(name), &Device::Cpu)
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The text of a file of the fixtures.
pub fn text(name: &str) -> String {
    std::fs::read_to_string(fixture(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The larger of ‖a − b‖ / ‖b‖ in the Euclidean and in the largest-value norm.
pub fn apart(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (mut squares, mut most) = ([0.0; 2], [0.0f64; 2]);
    for (a, b) in values(a).into_iter().zip(values(b)) {
        let (a, b) = (f64::from(a), f64::from(b));
        assert!(a.is_finite() && b.is_finite());
        for (i, v) in [a - b, b].into_iter().enumerate() {
            squares[i] += v * v;
            most[i] = most[i].max(v.abs());
        }
    }
    assert!(squares[1] > 0.0, "nothing to compare with");
    (squares[0] / squares[1]).sqrt().max(most[0] / most[1])
}
