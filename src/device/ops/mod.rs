//! Operations on tensors, one a file: what each means and how the CPU does it.

pub mod accelerated;
pub(crate) mod activation;
mod attention;
pub mod conv3d;
mod feature_map;
mod linear;
mod norm;
mod normalise;
pub mod packed;
mod per_row;
pub(crate) mod product;
mod rotate;
mod sampler_step;
mod self_attention;
mod tile;
mod trunk;
mod values;

pub use activation::silu_each;
pub use attention::attention;
pub use feature_map::FeatureMap;
pub use linear::{Activation, Linear, full, linear};
pub use norm::{layer_norm, rms_norm};
pub use normalise::normalise;
pub use per_row::PerRow;
pub use rotate::Angles;
pub use sampler_step::{Stepped, sampler_step};
pub use self_attention::self_attention;
pub use trunk::{Branch, LayerNorm, Trunk};

/// What an error says, without the list of calls that candle puts behind it where the
/// environment asks for such lists.
pub fn plainly(error: &candle_core::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod testing {
    use candle_core::{Device, Tensor};

    /// Numbers spread about like a normal distribution around `mean`, the same in
    /// every run: an unlucky draw is no failure of the code.
    pub(super) fn scattered(shape: &[usize], mean: f32) -> Tensor {
        let mut state = 0x9E37_79B9_7F4A_7C15u64
            ^ shape.iter().product::<usize>() as u64
            ^ u64::from(mean.to_bits()) << 20;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let values: Vec<f32> = (0..shape.iter().product())
            .map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0 + mean)
            .collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }
}
