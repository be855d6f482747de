//! What an evaluation reads, and what it gives, as bytes: for a transformer in another
//! shared object, to which no tensor can be handed. The bytes are those of a safetensors
//! file. Evaluations are asked for one by one by `benches/gpu` alone; an engine asks for
//! runs (`pipeline/message.rs`), which have most of it in common.

use std::collections::HashMap;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Error, Result, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Control, Inputs, Regions, Timesteps};

/// Changes with what the two sides say to each other.
pub const INTERFACE: u32 = 3;

/// The types that weights cross in, by their numbers.
const KINDS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// The number that a type of weights has between the two sides; `None` where they do not
/// cross in it.
pub fn number(kind: DType) -> Option<u32> {
    KINDS
        .iter()
        .zip(0..)
        .find(|(k, _)| **k == kind)
        .map(|(_, n)| n)
}

/// The type of a number.
pub fn kind(number: u32) -> Option<DType> {
    KINDS.get(number as usize).copied()
}

/// What a model may take of a GPU's memory, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuMemory {
    /// All of its weights.
    pub weights: u64,
    /// The largest matrix of a block.
    pub largest: u64,
    /// What an evaluation works in.
    pub working: u64,
    /// How much it may take in all; 0 for what is free.
    pub most: u64,
}

impl GpuMemory {
    /// Matrices of blocks that are on the GPU at once at least: the one in use and those
    /// that follow it.
    pub const PLACES: usize = 3;

    /// What an evaluation that works in `working` takes where a part of the model is away:
    /// a fifth more. What it asks for then lies scattered; with 14B at 832 x 480 x 81 on an
    /// H200 it was 5.7 GB, and 4.7 where all of the model was there.
    pub fn working_in_parts(working: u64) -> u64 {
        working + working / 5
    }
}

/// Tensors by their names, on their way to being bytes.
#[derive(Default)]
pub(crate) struct Parts(Vec<(String, Tensor)>);

/// What of the picture is to follow what: control and its scales, regions, and the texts
/// of the subjects.
type Conditions = (Option<(Tensor, Vec<f32>)>, Option<Regions>, Vec<Tensor>);

impl Parts {
    /// Takes `tensor` in f32.
    pub fn put(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        let wide = tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
        self.0.push((name.to_owned(), wide.contiguous()?));
        Ok(())
    }

    /// Takes `tensor` if there is one.
    pub fn put_some(&mut self, name: &str, tensor: Option<&Tensor>) -> Result<()> {
        tensor.map_or(Ok(()), |tensor| self.put(name, tensor))
    }

    fn put_numbers(&mut self, name: &str, numbers: &[f32]) -> Result<()> {
        self.put(
            name,
            &Tensor::from_slice(numbers, numbers.len(), &Device::Cpu)?,
        )
    }

    fn put_whole(&mut self, name: &str, numbers: &[u32]) -> Result<()> {
        let tensor = Tensor::from_slice(numbers, numbers.len(), &Device::Cpu)?;
        self.0.push((name.to_owned(), tensor));
        Ok(())
    }

    /// Takes what VACE is to follow.
    pub fn put_control(&mut self, control: Option<Control<'_>>) -> Result<()> {
        match control {
            Some(Control { latents, scales }) => {
                self.put("control", latents)?;
                self.put_numbers("scales", scales)
            }
            None => Ok(()),
        }
    }

    /// Takes which tokens belong to which subjects, and these subjects' texts.
    pub fn put_subjects(&mut self, regions: Option<&Regions>, texts: &[Tensor]) -> Result<()> {
        for (i, text) in texts.iter().enumerate() {
            self.put(&format!("subject{i}"), text)?;
        }
        match regions {
            Some(regions) => self.put_whole("members", regions.members()),
            None => Ok(()),
        }
    }

    /// All of them as bytes.
    pub fn into_bytes(self, metadata: Option<HashMap<String, String>>) -> Result<Vec<u8>> {
        safetensors::serialize(self.0, metadata).map_err(Error::wrap)
    }

    /// What [`put_control`](Self::put_control) and [`put_subjects`](Self::put_subjects)
    /// took, on `device`.
    pub fn conditions(parts: &SafeTensors<'_>, device: &Device) -> Result<Conditions> {
        let cpu = &Device::Cpu;
        let scales = part(parts, "scales", cpu)?;
        let scales = scales.map(|s| s.to_vec1::<f32>()).transpose()?;
        let regions = match part(parts, "members", cpu)? {
            Some(members) => Some(Regions::new(&members.to_vec1::<u32>()?, device)?),
            None => None,
        };
        let mut subjects = Vec::new();
        while let Some(subject) = part(parts, &format!("subject{}", subjects.len()), device)? {
            subjects.push(subject);
        }
        let control = part(parts, "control", device)?.zip(scales);
        Ok((control, regions, subjects))
    }
}

/// `inputs` as bytes, as `benches/gpu/object.py` writes them.
pub fn to_bytes(inputs: &Inputs<'_>) -> Result<Vec<u8>> {
    let mut parts = Parts::default();
    parts.put("latents", inputs.latents)?;
    parts.put("text", inputs.text)?;
    parts.put_numbers("times", inputs.timesteps.values())?;
    parts.put_some("image", inputs.image)?;
    parts.put_control(inputs.control)?;
    if let Some(token) = inputs.timesteps.tokens() {
        parts.put_whole("token", token)?;
    }
    parts.put_subjects(inputs.regions, inputs.subjects)?;
    parts.into_bytes(None)
}

/// What [`to_bytes`] wrote.
pub struct Owned {
    latents: Tensor,
    text: Tensor,
    timesteps: Timesteps,
    image: Option<Tensor>,
    control: Option<(Tensor, Vec<f32>)>,
    regions: Option<Regions>,
    subjects: Vec<Tensor>,
}

impl Owned {
    /// Reads `bytes`; tensors come to lie on `device`.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self> {
        let parts = SafeTensors::deserialize(bytes).map_err(Error::wrap)?;
        let cpu = &Device::Cpu;
        let timesteps = Timesteps::told(
            needed(&parts, "times", cpu)?.to_vec1()?,
            match part(&parts, "token", cpu)? {
                Some(token) => Some(token.to_vec1()?),
                None => None,
            },
        )?;
        let (control, regions, subjects) = Parts::conditions(&parts, device)?;
        Ok(Self {
            latents: needed(&parts, "latents", device)?,
            text: needed(&parts, "text", device)?,
            timesteps,
            image: part(&parts, "image", device)?,
            control,
            regions,
            subjects,
        })
    }

    /// As the transformer takes them.
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs {
            latents: &self.latents,
            timesteps: &self.timesteps,
            text: &self.text,
            image: self.image.as_ref(),
            control: self
                .control
                .as_ref()
                .map(|(latents, scales)| Control { latents, scales }),
            regions: self.regions.as_ref(),
            subjects: &self.subjects,
        }
    }
}

/// A tensor of these values and dimensions as bytes.
pub fn values_to_bytes(
    name: &str,
    (values, dims): (&[f32], &[usize]),
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>> {
    // SAFETY: numbers have no padding, and bytes no alignment.
    let bytes =
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
    let view = TensorView::new(Dtype::F32, dims.to_vec(), bytes).map_err(Error::wrap)?;
    safetensors::serialize([(name, view)], metadata).map_err(Error::wrap)
}

/// The part `name` on `device`, if there is one.
pub(crate) fn part(parts: &SafeTensors<'_>, name: &str, device: &Device) -> Result<Option<Tensor>> {
    match parts.tensor(name) {
        Ok(view) => view.load(device).map(Some),
        Err(_) => Ok(None),
    }
}

/// The same; it is an error where there is none.
pub(crate) fn needed(parts: &SafeTensors<'_>, name: &str, device: &Device) -> Result<Tensor> {
    match part(parts, name, device)? {
        Some(part) => Ok(part),
        None => candle_core::bail!("a message has no {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_what_is_heard() {
        let cpu = &Device::Cpu;
        let random = |shape: &[usize]| Tensor::randn(0f32, 1., shape, cpu).unwrap();
        let (latents, text) = (random(&[1, 4, 2, 4, 6]), random(&[1, 7, 8]));
        let (image, control) = (random(&[1, 3, 5]), random(&[1, 9, 2, 4, 6]));
        let subjects = [random(&[1, 7, 8]), random(&[1, 7, 8])];
        let regions = Regions::new(&[0, 1, 3, 1, 0, 2], cpu).unwrap();
        let same = |a: &Tensor, b: &Tensor| {
            let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!((a.dims(), values(a)), (b.dims(), values(b)));
        };
        for whole in [true, false] {
            let timesteps = match whole {
                true => Timesteps::whole(937.5),
                false => Timesteps::per_token(&[0., 3., 3., 0., 9., 3.]),
            };
            let inputs = Inputs {
                latents: &latents,
                timesteps: &timesteps,
                text: &text,
                image: whole.then_some(&image),
                control: whole.then_some(Control {
                    latents: &control,
                    scales: &[0.5, 1.0],
                }),
                regions: Some(&regions).filter(|_| !whole),
                subjects: if whole { &[] } else { &subjects },
            };
            let heard = Owned::from_bytes(&to_bytes(&inputs).unwrap(), cpu).unwrap();
            let heard = heard.inputs();
            same(heard.latents, &latents);
            same(heard.text, &text);
            assert_eq!(heard.timesteps, &timesteps);
            assert_eq!(heard.image.is_some(), whole);
            assert_eq!(
                heard.control.map(|c| c.scales.to_vec()),
                inputs.control.map(|c| c.scales.to_vec())
            );
            assert_eq!(heard.subjects.len(), inputs.subjects.len());
            let members = heard.regions.map(|r| r.members().to_vec());
            assert_eq!(members, inputs.regions.map(|r| r.members().to_vec()));
        }
        let values = latents.flatten_all().unwrap().to_vec1().unwrap();
        let bytes = values_to_bytes("velocity", (&values, latents.dims()), None).unwrap();
        let velocity = |bytes: &[u8]| {
            let parts = SafeTensors::deserialize(bytes).map_err(Error::wrap)?;
            needed(&parts, "velocity", cpu)
        };
        same(&velocity(&bytes).unwrap(), &latents);
        assert!(velocity(&bytes[..20]).is_err());
        assert!(Owned::from_bytes(&bytes, cpu).is_err());
    }
}
