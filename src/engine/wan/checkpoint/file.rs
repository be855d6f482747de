//! One file of weights, whichever its format.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use parking_lot::Mutex;
use safetensors::Dtype;
use serde::Deserialize;

use super::error::CheckpointError;
use super::gguf;
use super::stored::Kind;

/// A tensor as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// As the file names it.
    pub name: String,
    /// Its sides.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub kind: Kind,
}

/// An open file of weights; its header has been read and believed.
pub struct File {
    path: PathBuf,
    inside: Inside,
    listed: Vec<Listed>,
}

enum Inside {
    Safetensors(MmapedSafetensors),
    Gguf {
        file: Mutex<std::fs::File>,
        header: gguf::Header,
    },
}

impl File {
    /// Bytes of it on disk.
    pub fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// Opens a `.safetensors` or `.gguf` file by what it begins with.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let unreadable = |e: std::io::Error| CheckpointError::Unreadable {
            path: path.to_owned(),
            why: e.to_string(),
        };
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        let mut start = [0; 8];
        let read = read_start(&mut file, &mut start).map_err(unreadable)?;
        let start = &start[..read];
        if start.starts_with(b"PK\x03\x04")
            || start.starts_with(&[0x80]) && start.get(2) == Some(&b'c')
        {
            return Err(CheckpointError::Pickle {
                path: path.to_owned(),
            });
        }
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        if ["pt", "pth", "ckpt", "bin"].contains(&extension) {
            return Err(CheckpointError::Pickle {
                path: path.to_owned(),
            });
        }
        if start.starts_with(b"GGUF") {
            Self::gguf(path, file)
        } else if extension == "gguf" {
            Err(broken(path, "it does not begin as a GGUF file does"))
        } else {
            Self::safetensors(path)
        }
    }

    fn gguf(path: &Path, file: std::fs::File) -> Result<Self, CheckpointError> {
        let header = gguf::read(path).map_err(|why| broken(path, why))?;
        let listed = header
            .tensors
            .iter()
            .map(|t| {
                // Where a writer could not keep the shape it kept it aside.
                let key = format!("comfy.gguf.orig_shape.{}", t.name);
                let kept = header.lists.get(&key).map(|sides| {
                    let sides = sides.iter().map(|s| usize::try_from(*s).unwrap_or(0));
                    sides.collect::<Vec<_>>()
                });
                let same = |shape: &Vec<usize>| {
                    let values = |s: &[usize]| s.iter().try_fold(1usize, |n, s| n.checked_mul(*s));
                    values(shape) == values(&t.shape)
                };
                Listed {
                    name: t.name.clone(),
                    shape: kept.filter(same).unwrap_or_else(|| t.shape.clone()),
                    kind: t.kind,
                }
            })
            .collect();
        Ok(Self {
            path: path.to_owned(),
            inside: Inside::Gguf {
                file: Mutex::new(file),
                header,
            },
            listed,
        })
    }

    fn safetensors(path: &Path) -> Result<Self, CheckpointError> {
        // SAFETY: the map is read only and outlives every view of it. A file that
        // another program changes meanwhile gives other numbers, or stops this
        // program where it is cut: checkpoints are not written to while in use.
        let map = unsafe { MmapedSafetensors::new(path) };
        let map = map.map_err(|e| {
            let why = e.to_string();
            let why = why.lines().next().unwrap_or_default();
            broken(path, format!("it is no whole safetensors file ({why})"))
        })?;
        let mut listed: Vec<Listed> = map
            .tensors()
            .into_iter()
            .map(|(name, view)| Listed {
                name,
                shape: view.shape().to_vec(),
                kind: kind(view.dtype()),
            })
            .collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            path: path.to_owned(),
            inside: Inside::Safetensors(map),
            listed,
        })
    }

    /// Its tensors.
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// Whether it is a GGUF file.
    pub fn is_gguf(&self) -> bool {
        matches!(self.inside, Inside::Gguf { .. })
    }

    /// What the header of a safetensors file has under `key`, beside tensors.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn said(&self, key: &str) -> Result<Option<String>, CheckpointError> {
        #[derive(Deserialize)]
        struct Header {
            #[serde(rename = "__metadata__")]
            said: Option<HashMap<String, String>>,
        }
        if self.is_gguf() {
            return Ok(None);
        }
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = std::fs::File::open(&self.path)?;
            let mut length = [0; 8];
            file.read_exact(&mut length)?;
            let mut header = Vec::new();
            file.take(u64::from_le_bytes(length))
                .read_to_end(&mut header)?;
            Ok(header)
        };
        let header = read().map_err(|e| CheckpointError::Unreadable {
            path: self.path.clone(),
            why: e.to_string(),
        })?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|e| broken(&self.path, e.to_string()))?;
        Ok(header.said.and_then(|mut said| said.remove(key)))
    }

    /// The bytes of the tensor that the file names so.
    pub fn bytes(&self, name: &str) -> candle_core::Result<Cow<'_, [u8]>> {
        self.part(name, None)
    }

    /// The bytes of the tensor that the file names so, or `part` of them.
    pub fn part(
        &self,
        name: &str,
        part: Option<Range<usize>>,
    ) -> candle_core::Result<Cow<'_, [u8]>> {
        let all = |length: usize| part.clone().unwrap_or(0..length);
        let short = || candle_core::Error::Msg(format!("{name} is shorter than it should be"));
        match &self.inside {
            Inside::Safetensors(map) => {
                // A view lends its bytes for as long as the map lives.
                let bytes = map.get(name)?.data();
                let part = bytes.get(all(bytes.len())).ok_or_else(short)?;
                Ok(Cow::Borrowed(part))
            }
            Inside::Gguf { file, header } => {
                let Some(entry) = header.tensors.iter().find(|t| t.name == name) else {
                    candle_core::bail!("{name} is not in {}", self.path.display());
                };
                let part = all(entry.length);
                if part.start > part.end || part.end > entry.length {
                    return Err(short());
                }
                let mut bytes = vec![0; part.len()];
                let mut file = file.lock();
                file.seek(SeekFrom::Start(entry.offset + part.start as u64))?;
                file.read_exact(&mut bytes)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

fn read_start(file: &mut std::fs::File, start: &mut [u8]) -> std::io::Result<usize> {
    let mut read = 0;
    while read < start.len() {
        match file.read(&mut start[read..])? {
            0 => break,
            n => read += n,
        }
    }
    Ok(read)
}

fn broken(path: &Path, why: impl Into<String>) -> CheckpointError {
    CheckpointError::Broken {
        path: path.to_owned(),
        why: why.into(),
    }
}

fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F64 => Kind::F64,
        Dtype::F32 => Kind::F32,
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::BF16,
        Dtype::F8_E4M3 => Kind::F8E4M3,
        Dtype::F8_E5M2 => Kind::F8E5M2,
        _ => Kind::Other,
    }
}
