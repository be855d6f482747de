//! Samples of the four types that hosts have, to floats and back.

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::Depth;
use crate::device;
use crate::frame::Picture;

/// Samples of the host's as floats; white is 1.
pub(super) fn decode(bytes: &[u8], depth: Depth, out: &mut [f32]) {
    match depth {
        Depth::Byte => {
            for (o, &b) in out.iter_mut().zip(bytes) {
                *o = f32::from(b) / 255.0;
            }
        }
        Depth::Short => {
            for (o, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                *o = f32::from(u16::from_ne_bytes([b[0], b[1]])) / 65535.0;
            }
        }
        Depth::Half => {
            let mut block = [f16::ZERO; 256];
            for (o, b) in out.chunks_mut(256).zip(bytes.chunks(512)) {
                for (h, b) in block.iter_mut().zip(b.chunks_exact(2)) {
                    *h = f16::from_ne_bytes([b[0], b[1]]);
                }
                block[..o.len()].convert_to_f32_slice(o);
            }
        }
        Depth::Float => {
            let to: &mut [u8] = bytemuck::cast_slice_mut(out);
            let n = to.len().min(bytes.len());
            to[..n].copy_from_slice(&bytes[..n]);
        }
    }
}

/// Floats as samples of the host's: rounded and clipped where whole numbers
/// are held.
pub(super) fn encode(samples: &[f32], depth: Depth, bytes: &mut [u8]) {
    match depth {
        Depth::Byte => {
            for (b, &s) in bytes.iter_mut().zip(samples) {
                // A cast clips, and makes 0 of what is no number.
                *b = (s * 255.0 + 0.5) as u8;
            }
        }
        Depth::Short => {
            for (b, &s) in bytes.chunks_exact_mut(2).zip(samples) {
                b.copy_from_slice(&((s * 65535.0 + 0.5) as u16).to_ne_bytes());
            }
        }
        Depth::Half => {
            let mut block = [f16::ZERO; 256];
            for (b, s) in bytes.chunks_mut(512).zip(samples.chunks(256)) {
                block[..s.len()].convert_from_f32_slice(s);
                for (b, h) in b.chunks_exact_mut(2).zip(&block) {
                    b.copy_from_slice(&h.to_ne_bytes());
                }
            }
        }
        Depth::Float => {
            // As one block, which the processor copies faster than sample by sample.
            let from: &[u8] = bytemuck::cast_slice(samples);
            let n = from.len().min(bytes.len());
            bytes[..n].copy_from_slice(&from[..n]);
        }
    }
}

/// Pixels with the samples `to` from pixels with the samples `from`. Alpha that
/// is not there is opaque, a colour that is not there is grey or black; a matte (alpha
/// alone) of a picture without alpha is its first sample.
pub(super) fn rearrange(samples: &[f32], from: &[&str], out: &mut [f32], to: &[&str]) {
    // What most plates are, and most hosts' pictures.
    if (from, to) == (&["R", "G", "B"], &["R", "G", "B", "A"]) {
        for (pixel, made) in samples.chunks_exact(3).zip(out.chunks_exact_mut(4)) {
            made[..3].copy_from_slice(pixel);
            made[3] = 1.0;
        }
        return;
    }
    enum Take {
        At(usize),
        Value(f32),
    }
    let takes: Vec<Take> = to
        .iter()
        .map(|&name| match from.iter().position(|&f| f == name) {
            Some(i) => Take::At(i),
            None if name != "A" && from.contains(&"Y") => {
                Take::At(from.iter().position(|&f| f == "Y").unwrap_or(0))
            }
            None if name == "A" && to.len() == 1 && !from.is_empty() => Take::At(0),
            None if name == "A" => Take::Value(1.0),
            None => Take::Value(0.0),
        })
        .collect();
    for (pixel, made) in samples
        .chunks_exact(from.len().max(1))
        .zip(out.chunks_exact_mut(to.len().max(1)))
    {
        for (m, take) in made.iter_mut().zip(&takes) {
            *m = match take {
                Take::At(i) => pixel[*i],
                Take::Value(v) => *v,
            };
        }
    }
}

/// `picture`, whose pixels have the samples `from`, with the samples `to`.
pub(in crate::node) fn rearranged(picture: &Picture, from: &[&str], to: &[&str]) -> Picture {
    let mut out = Picture::new(picture.width(), picture.height(), to.len());
    let row = out.width() * to.len();
    if row > 0 {
        device::install(|| {
            let rows = out.data_mut().par_chunks_mut(row).enumerate();
            rows.for_each(|(y, row)| rearrange(picture.row(y), from, row, to));
        });
    }
    out
}
