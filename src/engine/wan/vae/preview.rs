//! A tiny decoder for previews, in the layout of TAEHV (`taew2_1`, `taew2_2`). It
//! is trained to look like what the VAE makes, at a small part of the work; it is
//! another network and gives other pixels.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Result as Loaded, Tensor, bail};
use candle_nn::VarBuilder;

use super::VaeError;
use crate::device::ops::FeatureMap;
use crate::device::ops::conv3d::{Conv3d, Walk};
use crate::device::{Cancel, Cancelled, Task};
use crate::engine::wan::checkpoint::Weights;
use crate::engine::wan::work::Work;

type Step<T> = std::result::Result<T, Cancelled>;

/// Turns latents into frames to judge a take by while it is in the making.
pub struct PreviewDecoder {
    channels: usize,
    first: Conv3d,
    levels: Vec<Level>,
    last: Conv3d,
    patch: usize,
    work: Work,
}

/// Blocks that remember a frame, then twice the size, and the frames that one
/// becomes.
struct Level {
    blocks: Vec<Block>,
    frames: Vec<Conv3d>,
    grow: Conv3d,
}

/// Three convolutions around which the input is handed on; the first sees the
/// frame before too.
struct Block([Conv3d; 3]);

/// A video on its way out of latents.
pub struct Previewing<D> {
    decoder: D,
    /// The frame before at each block.
    past: Vec<Option<FeatureMap>>,
    /// Frames yet to be dropped: the first latent stands for one frame only.
    drop: usize,
}

fn conv(vb: &VarBuilder<'_>, shape: &[usize], walk: Walk) -> Loaded<Conv3d> {
    let weight = vb.get(shape, "weight")?;
    let bias = match vb.contains_tensor("bias") {
        true => vb.get(shape[0], "bias")?,
        false => Tensor::zeros(shape[0], DType::F32, &Device::Cpu)?,
    };
    Conv3d::new(&weight, &bias, walk)
}

impl Block {
    fn load(vb: &VarBuilder<'_>, width: usize) -> Loaded<Self> {
        let vb = vb.pp("conv");
        // Kept as one picture of this frame's channels and those of the frame
        // before; here they are two frames of a kernel.
        let weight = vb.get((width, 2 * width, 3, 3), "0.weight")?;
        let now = weight.narrow(1, 0, width)?;
        let before = weight.narrow(1, width, width)?;
        let weight = Tensor::stack(&[&before, &now], 2)?;
        let shape = [width, width, 3, 3];
        Ok(Self([
            Conv3d::new(&weight, &vb.get(width, "0.bias")?, Walk::Same)?,
            conv(&vb.pp(2), &shape, Walk::Same)?,
            conv(&vb.pp(4), &shape, Walk::Same)?,
        ]))
    }

    fn step(
        &self,
        x: FeatureMap,
        past: &mut Option<FeatureMap>,
        cancel: &Cancel,
    ) -> Step<FeatureMap> {
        let [first, second, third] = &self.0;
        let bordered = x.with_border(1);
        let h = first.frame(&[past.as_ref(), Some(&bordered)], None, cancel)?;
        let h = second.frame(&[Some(&relu(&h, 1))], None, cancel)?;
        let h = third.frame(&[Some(&relu(&h, 1))], Some(&x), cancel)?;
        *past = Some(bordered);
        Ok(relu(&h, 0))
    }
}

fn relu(x: &FeatureMap, border: usize) -> FeatureMap {
    x.map(border, |v| v.max(0.))
}

impl PreviewDecoder {
    /// Opens a safetensors file.
    pub fn open(path: &Path) -> Result<Self, VaeError> {
        let weights = Arc::new(Weights::open(path, &[path.to_owned()])?);
        let shape = |name: &str| weights.shape(name).map(<[usize]>::to_vec);
        let vb = weights.builder().to_dtype(DType::F32);
        Ok(Self::load(&vb.pp("decoder"), shape)?)
    }

    /// The layers are counted through; what they measure, the shapes tell.
    fn load(vb: &VarBuilder<'_>, shape: impl Fn(&str) -> Option<Vec<usize>>) -> Loaded<Self> {
        let sides = |layer: &str| match shape(&format!("decoder.{layer}.weight")).as_deref() {
            Some([to, from, ..]) if *to > 0 && *from > 0 => Ok((*to, *from)),
            _ => bail!("decoder.{layer}.weight is missing; a TAEHV preview decoder has it"),
        };
        let (mut width, channels) = sides("1")?;
        let first = conv(&vb.pp(1), &[width, channels, 3, 3], Walk::Same)?;
        let mut levels = Vec::new();
        let mut work = Work::convolving(1., Work::NINE, channels, width);
        // Places of all frames that come of one place of a latent.
        let mut places = 1.;
        for start in [3, 9, 15] {
            let blocks = (start..start + 3)
                .map(|i| Block::load(&vb.pp(i), width))
                .collect::<Loaded<_>>()?;
            let (wide, _) = sides(&format!("{}.conv", start + 4))?;
            if !matches!(wide / width, 1 | 2) {
                bail!(
                    "decoder.{}.conv makes {wide} channels of {width}",
                    start + 4
                );
            }
            let grown = vb.pp(start + 4).pp("conv");
            let grown = grown.get((wide / width * width, width, 1, 1), "weight")?;
            let none = Tensor::zeros(width, DType::F32, &Device::Cpu)?;
            let frames = (0..wide / width)
                .map(|i| Conv3d::new(&grown.narrow(0, i * width, width)?, &none, Walk::Same))
                .collect::<Loaded<_>>()?;
            let (to, _) = sides(&format!("{}", start + 5))?;
            let grow = conv(&vb.pp(start + 5), &[to, width, 3, 3], Walk::Double)?;
            // A block's first convolution sees two frames.
            work += Work::convolving(3. * places, 4 * Work::NINE, width, width);
            places *= (wide / width) as f64;
            work += Work::convolving(places, 1, width, width);
            places *= 4.;
            // Doubled, of its nine places four are different.
            work += Work::convolving(places, 4, width, to);
            width = to;
            levels.push(Level {
                blocks,
                frames,
                grow,
            });
        }
        let (outputs, _) = sides("22")?;
        let patch = match outputs {
            3 => 1,
            12 => 2,
            other => bail!("decoder.22 gives {other} channels; a preview has 3 or 12"),
        };
        work += Work::convolving(places, Work::NINE, width, outputs);
        Ok(Self {
            channels,
            first,
            levels,
            work,
            last: conv(&vb.pp(22), &[outputs, width, 3, 3], Walk::Same)?,
            patch,
        })
    }

    /// Begins with a video that comes one latent at a time.
    pub fn begin(&self) -> Previewing<&Self> {
        Previewing::new(self)
    }

    /// The same, for a video that outlives whoever begins it.
    pub fn begin_shared(self: Arc<Self>) -> Previewing<Arc<Self>> {
        Previewing::new(self)
    }

    /// What one place of a latent frame comes to: of the first as of the others.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Channels of the latents that it takes, and whether it gives four frames for each
    /// of `factor` pixels' sides.
    pub fn fits(&self, channels: usize, factor: usize) -> bool {
        let frames: usize = self.levels.iter().map(|l| l.frames.len()).product();
        let sides = self.patch << self.levels.len();
        (self.channels, frames, sides) == (channels, 4, factor)
    }

    /// The last convolution's output as RGB of -1 to 1.
    fn pixels(&self, x: &FeatureMap) -> FeatureMap {
        let patch = self.patch;
        let mut out = FeatureMap::zeros(x.height() * patch, x.width() * patch, 3, 0);
        for y in 0..out.height() {
            for (column, out) in out.row_mut(y).chunks_exact_mut(3).enumerate() {
                let cell = x.at(y / patch, column / patch);
                for (c, out) in out.iter_mut().enumerate() {
                    let v = cell[(c * patch + y % patch) * patch + column % patch];
                    *out = 2. * v.clamp(0., 1.) - 1.;
                }
            }
        }
        out
    }
}

impl<D: Deref<Target = PreviewDecoder>> Previewing<D> {
    fn new(decoder: D) -> Self {
        let grown: usize = decoder.levels.iter().map(|l| l.frames.len()).product();
        let blocks = decoder.levels.iter().map(|l| l.blocks.len()).sum();
        Self {
            past: vec![None; blocks],
            drop: grown.saturating_sub(1),
            decoder,
        }
    }

    /// Takes the next latent, normalised as the transformer knows it; `take` is
    /// handed one frame for the first and four for each other (where the decoder
    /// doubles the frame rate twice): RGB of -1 to 1, display-referred.
    pub fn push(
        &mut self,
        latent: &FeatureMap,
        task: Task<'_>,
        take: &mut dyn FnMut(FeatureMap),
    ) -> Result<(), VaeError> {
        let decoder: &PreviewDecoder = &self.decoder;
        if latent.channels() != decoder.channels || latent.height() * latent.width() == 0 {
            return Err(VaeError::Size(format!(
                "latents of {} channels, {} × {}, cannot be previewed; this decoder takes {} channels",
                latent.channels(),
                latent.width(),
                latent.height(),
                decoder.channels
            )));
        }
        let cancel = task.cancel;
        let x = latent.map(1, |v| libm::tanhf(v / 3.) * 3.);
        let x = decoder.first.frame(&[Some(&x)], None, cancel)?;
        let mut frames = vec![relu(&x, 0)];
        let mut past = self.past.iter_mut();
        for level in &decoder.levels {
            for (block, past) in level.blocks.iter().zip(past.by_ref()) {
                for x in &mut frames {
                    *x = block.step(
                        std::mem::replace(x, FeatureMap::zeros(0, 0, 0, 0)),
                        past,
                        cancel,
                    )?;
                }
            }
            let mut out = Vec::new();
            for x in &frames {
                for frame in &level.frames {
                    let x = frame.frame(&[Some(x)], None, cancel)?.with_border(1);
                    out.push(level.grow.frame(&[Some(&x)], None, cancel)?);
                }
            }
            frames = out;
        }
        for x in frames {
            if self.drop > 0 {
                self.drop -= 1;
                continue;
            }
            let x = decoder.last.frame(&[Some(&relu(&x, 1))], None, cancel)?;
            take(decoder.pixels(&x));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::frames_of;
    use super::*;

    /// Made by `tests/wan/reference/make_preview.py`.
    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/wan/fixtures/preview")
            .join(name)
    }

    #[test]
    fn previews_are_those_of_the_reference() {
        let task = Task::quiet();
        for layout in ["2.1", "2.2"] {
            let weights = fixture(&format!("{layout}.safetensors"));
            let decoder = PreviewDecoder::open(&weights).unwrap();
            let reference = fixture(&format!("{layout}-reference.safetensors"));
            let reference = candle_core::safetensors::load(reference, &Device::Cpu).unwrap();
            let latents = frames_of(&reference["latents"]).unwrap();
            let expected = frames_of(&reference["out"]).unwrap();
            let mut previewing = decoder.begin();
            let mut got = Vec::new();
            for latent in &latents {
                previewing
                    .push(latent, task, &mut |frame| got.push(frame))
                    .unwrap();
            }
            assert_eq!(got.len(), expected.len());
            let (mut apart, mut size) = (0., 0.);
            for (a, b) in got.iter().zip(&expected) {
                for (a, b) in a.rows().flatten().zip(b.rows().flatten()) {
                    apart += f64::from(a - b).powi(2);
                    size += f64::from(*b).powi(2);
                }
            }
            let error = (apart / size).sqrt();
            assert!(error <= 1e-4, "{layout}: {error}");
            let wrong = FeatureMap::zeros(2, 2, 5, 0);
            let refused = previewing.push(&wrong, task, &mut |_| ()).unwrap_err();
            assert!(refused.to_string().contains("5 channels"));
        }
    }

    #[test]
    fn its_work_is_that_of_its_weights() {
        for layout in ["2.1", "2.2"] {
            let path = fixture(&format!("{layout}.safetensors"));
            let weights = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
            let count = |layer: String| {
                let of = weights.iter().filter(|(name, _)| {
                    name.starts_with(&format!("decoder.{layer}.")) && name.ends_with("weight")
                });
                of.map(|(_, w)| w.elem_count()).sum::<usize>() as f64
            };
            // Of nine products at every position four are made.
            let squares = 4. / 9.;
            let (mut places, mut expected) = (1., squares * count("1".into()));
            for start in [3, 9, 15] {
                for block in start..start + 3 {
                    expected += places * squares * count(block.to_string());
                }
                let frames = &weights[&format!("decoder.{}.conv.weight", start + 4)];
                expected += places * frames.elem_count() as f64;
                places *= (frames.dims()[0] / frames.dims()[1]) as f64;
                // Of the nine places of a doubled picture four are different, and it has
                // four times as many.
                expected += places * 4. * 4. / 9. * count((start + 5).to_string());
                places *= 4.;
            }
            expected += places * squares * count("22".into());
            let found = PreviewDecoder::open(&path).unwrap().work().convolution;
            assert!((found / (2. * expected) - 1.).abs() < 1e-9, "{layout}");
        }
    }

    #[test]
    fn another_file_is_named() {
        let other = fixture("2.1-reference.safetensors");
        let error = PreviewDecoder::open(&other).err().unwrap().to_string();
        assert!(error.contains("decoder.1.weight is missing"), "{error}");
    }
}
