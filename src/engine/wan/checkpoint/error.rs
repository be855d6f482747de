//! What can be wrong with a checkpoint.

use std::fmt;
use std::path::PathBuf;

use crate::engine::wan::config::ConfigError;
use crate::engine::wan::on_gpu::OnGpuError;
use crate::sampler::SchedulerError;

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Nothing is at that path, or it cannot be opened.
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// Something else than a model.
    #[error(
        "{} is no Wan checkpoint: {why}; name a diffusers folder (with model_index.json), a .safetensors or a .gguf file",
        path.display()
    )]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// A file that can run code when it is read.
    #[error(
        "{} is a pickle, which can run code when it is read; take the .safetensors file of the same model",
        path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// A file that is cut short, or whose header contradicts itself.
    #[error("{} is broken: {why}; download it again", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The index names a file that is not there.
    #[error("{} is missing, one of {total} files of the weights; download it again", path.display())]
    MissingShard {
        /// The file.
        path: PathBuf,
        /// Files that the index names.
        total: usize,
    },
    /// A GPU was asked for that cannot have the model.
    #[error(transparent)]
    OnGpu(#[from] OnGpuError),
    /// The model's configuration cannot be used.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ConfigError,
    },
    /// The scheduler's configuration cannot be used.
    #[error("{}: {source}", path.display())]
    Scheduler {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SchedulerError,
    },
    /// A LoRA that was made for another model.
    #[error("{} is no LoRA of this model: {}", path.display(), strangers(names))]
    Lora {
        /// The file.
        path: PathBuf,
        /// Its tensors that belong to no layer of the model.
        names: Vec<String>,
    },
    /// A change of a kind that is not known.
    #[error(
        "{} changes the model in a way that is not known, by {name}; LoRA, DoRA, LoHa and LoKr are, without Tucker's decomposition of convolutions",
        path.display()
    )]
    LoraKind {
        /// The file.
        path: PathBuf,
        /// A tensor of it.
        name: String,
    },
    /// What says how much a LoRA counts, and cannot be read.
    #[error(
        "{} does not say in a way that can be read how much its LoRA counts: {why}; download it again, or take the settings that it was published with",
        path.display()
    )]
    LoraScale {
        /// The LoRA's file, or the settings beside it.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Weights and configuration do not belong together.
    #[error("{} does not hold the weights that its configuration names: {mismatch}", path.display())]
    Weights {
        /// The file or folder.
        path: PathBuf,
        /// Every tensor concerned.
        mismatch: Box<Mismatch>,
    },
}

fn strangers(names: &[String]) -> String {
    match names {
        [] => "it changes nothing that this model has".to_owned(),
        [name] => format!("{name} belongs to no layer"),
        [name, rest @ ..] => format!("{name} and {} more belong to no layer", rest.len()),
    }
}

/// Tensors that are not as they should be, by their full names.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mismatch {
    /// Named by the model and not in the files.
    pub missing: Vec<String>,
    /// In the files and unknown to the model.
    pub unexpected: Vec<String>,
    /// `name: shape found, shape wanted`.
    pub wrong_shape: Vec<String>,
    /// Of a kind that cannot be read: `name: kind`.
    pub unreadable: Vec<String>,
}

impl Mismatch {
    /// Whether all is well.
    pub fn is_empty(&self) -> bool {
        self.groups().iter().all(|(_, names)| names.is_empty())
    }

    /// The four lists with their titles.
    pub fn groups(&self) -> [(&'static str, &[String]); 4] {
        [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("of the wrong shape", &self.wrong_shape),
            ("of an unknown kind", &self.unreadable),
        ]
    }
}

impl fmt::Display for Mismatch {
    /// One sentence; of a long list the first few and how many more there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FIRST: usize = 5;
        let mut between = "";
        for (title, names) in self.groups() {
            if names.is_empty() {
                continue;
            }
            let first = &names[..names.len().min(FIRST)];
            write!(f, "{between}{title}: {}", first.join(", "))?;
            if names.len() > FIRST {
                let more = names.len() - FIRST;
                write!(
                    f,
                    " and {more} more ('longtake model inspect' lists them all)"
                )?;
            }
            between = "; ";
        }
        Ok(())
    }
}
