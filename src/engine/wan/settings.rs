//! What the artist chose.

use std::path::PathBuf;

use super::length::Layout;
use super::shot::{STEP, Shot};
use crate::frame::Conversion;
use crate::sampler::Guidance;

/// Where the parts of a model lie.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelFiles {
    /// A whole diffusers folder, or the transformer alone: a safetensors or a GGUF
    /// file.
    pub model: PathBuf,
    /// The transformer for low noise, where a model has two and they are files.
    pub low: Option<PathBuf>,
    /// The VAE, where the folder's is not to be used or there is none.
    pub vae: Option<PathBuf>,
    /// The text encoder, likewise.
    pub text_encoder: Option<PathBuf>,
    /// The tokenizer's `tokenizer.json`, likewise.
    pub tokenizer: Option<PathBuf>,
    /// The image encoder, likewise.
    pub image_encoder: Option<PathBuf>,
    /// A tiny decoder in place of the VAE's, for previews.
    pub tiny: Option<PathBuf>,
    /// Changes to the transformers.
    pub loras: Vec<LoraFile>,
}

/// A change to a transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraFile {
    /// The file.
    pub path: PathBuf,
    /// How much of it is added; 1 as it was trained.
    pub strength: f64,
    /// Which of two transformers it is for, 0 that for high noise; `None` for all.
    pub part: Option<usize>,
}

impl LoraFile {
    /// Reads a list as an artist writes it: `a.safetensors=0.8; b.safetensors@low`.
    /// A strength of 1 and all transformers where nothing else is said.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        let items = text.split(';').map(str::trim).filter(|i| !i.is_empty());
        items.map(Self::one).collect()
    }

    fn one(item: &str) -> Result<Self, String> {
        let (rest, part) = match item.rsplit_once('@') {
            Some((rest, "high")) => (rest, Some(0)),
            Some((rest, "low")) => (rest, Some(1)),
            _ => (item, None),
        };
        let (path, strength) = match rest.rsplit_once('=') {
            None => (rest, 1.),
            Some((path, strength)) => match strength.trim().parse::<f64>() {
                Ok(strength) if strength.is_finite() && strength.abs() <= 100. => (path, strength),
                _ => {
                    return Err(format!(
                        "'{item}' has no strength that can be used: write a LoRA as in file.safetensors=0.8, several with ; between"
                    ));
                }
            },
        };
        Ok(Self {
            path: path.trim().into(),
            strength,
            part,
        })
    }
}

/// What the model is given beside text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Nothing, or kept frames beside those that are made.
    #[default]
    Frames,
    /// The plate, less what the matte covers.
    Fill,
    /// The guide's frames, to be followed.
    Follow,
    /// The plate's frames, to start from.
    Restyle,
}

/// Where a subject's matte comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum SubjectMatte {
    /// Files, numbered and shaped as the plate is.
    File(PathBuf),
    /// One of the clips that come with the plate, counted from 0.
    Clip(usize),
}

impl From<PathBuf> for SubjectMatte {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

/// A part of the picture with a text of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Where it is.
    pub matte: SubjectMatte,
    /// What is to be seen there.
    pub prompt: String,
    /// What it looks like, if there is a picture of it.
    pub reference: Option<PathBuf>,
}

/// The ways between the plate's colours and linear light of Rec.709's primaries, from
/// which the display values follow that models were trained on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlateColour {
    /// From the plate's.
    pub there: Conversion,
    /// To the plate's.
    pub back: Conversion,
}

/// What the artist chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The model.
    pub files: ModelFiles,
    /// What it is given beside text.
    pub way: Way,
    /// What is to be seen.
    pub prompt: String,
    /// What is not.
    pub negative: String,
    /// Width and height that the model works in, at most; the shape is the plate's.
    pub size: [usize; 2],
    /// Number of steps.
    pub steps: usize,
    /// How strongly the prompt counts.
    pub guidance: Guidance,
    /// What the noise is drawn from.
    pub seed: u64,
    /// How much longer noise levels stay high; `None` as the model says.
    pub shift: Option<f64>,
    /// EasyCache's threshold; `None` computes every step.
    pub cache: Option<f64>,
    /// Kept frames that the model sees on either side of those that it makes, at most;
    /// and frames of an anchor, where a take is made in parts.
    pub overlap: usize,
    /// Frames that the model makes at once, at most.
    pub at_once: usize,
    /// Width and height to which frames are refined, at most; `None` leaves them as the
    /// model makes them.
    pub refine: Option<[usize; 2]>,
    /// The part of the steps that a refinement takes.
    pub refine_strength: f64,
    /// Restyle: the part of the steps that is taken, 0 to 1.
    pub strength: f64,
    /// How much a VACE model heeds what it is given.
    pub control: f64,
    /// Pictures of what is to be seen, for a VACE model.
    pub references: Vec<PathBuf>,
    /// Parts of the picture with texts of their own.
    pub subjects: Vec<Subject>,
    /// A file with the noise to start from.
    pub noise: Option<PathBuf>,
    /// What the plate's colours are; `None` takes them for Rec.709's.
    pub colour: Option<PlateColour>,
    /// From the guide's colours to linear light of Rec.709's; `None` takes them for that.
    pub guide_colour: Option<Conversion>,
}

impl Settings {
    /// Latent frames that the model makes at once, at most.
    pub fn latents_at_once(&self) -> usize {
        (self.at_once.max(1) - 1) / STEP + 1
    }

    /// Whether the model makes all of `shot` at once.
    pub fn makes_at_once(&self, shot: &Shot) -> bool {
        shot.latents() <= self.latents_at_once().max(Layout::LEAST)
    }

    /// Latent frames of an anchor: from so many a movement can be taken up.
    pub fn run(&self) -> usize {
        ((self.overlap.max(1) - 1) / STEP).max(1)
    }

    /// The same without refinement: what frames are made with first.
    pub fn unrefined(&self) -> Self {
        Self {
            refine: None,
            refine_strength: 0.,
            ..self.clone()
        }
    }

    /// Width and height of frames that are made from nothing.
    pub fn output_size(&self) -> [usize; 2] {
        self.refine.unwrap_or(self.size)
    }

    /// All reference pictures, each with the subject that it is of: 0 for none, 1 for
    /// the first.
    pub fn all_references(&self) -> impl Iterator<Item = (&PathBuf, usize)> {
        let of_subjects = self.subjects.iter().zip(1..);
        let of_subjects = of_subjects.filter_map(|(s, i)| Some((s.reference.as_ref()?, i)));
        self.references.iter().map(|r| (r, 0)).chain(of_subjects)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            files: ModelFiles::default(),
            way: Way::default(),
            prompt: String::new(),
            negative: String::new(),
            size: [832, 480],
            steps: 30,
            guidance: Guidance::default(),
            seed: 0,
            shift: None,
            cache: None,
            overlap: 9,
            at_once: 81,
            refine: None,
            refine_strength: 0.35,
            strength: 0.7,
            control: 1.,
            references: Vec::new(),
            subjects: Vec::new(),
            noise: None,
            colour: None,
            guide_colour: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_loras_is_read_as_people_write_it() {
        let list =
            LoraFile::list("a b.safetensors=0.8; c=2.safetensors=-1@low;d.safetensors@high;");
        let got: Vec<_> = list
            .unwrap()
            .into_iter()
            .map(|l| (l.path.display().to_string(), l.strength, l.part))
            .collect();
        let wanted = [
            ("a b.safetensors".to_owned(), 0.8, None),
            ("c=2.safetensors".to_owned(), -1., Some(1)),
            ("d.safetensors".to_owned(), 1., Some(0)),
        ];
        assert_eq!(got, wanted);
        assert_eq!(LoraFile::list(" ; ").unwrap(), []);
        assert!(
            LoraFile::list("a.safetensors=much")
                .unwrap_err()
                .contains("=0.8")
        );
    }
}
