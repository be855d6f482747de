//! A transformer's weights from one file or several, under diffusers' names.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use super::error::{CheckpointError, Mismatch};
use super::file::File;
use super::lora::{Lora, Merged};
use super::names;
use super::stored::{self, Kind};
use crate::device::Stop;
use crate::device::ops::plainly;
use crate::engine::wan::config::TransformerConfig;
use crate::engine::wan::transformer::Transformer;

/// Weights that are in open files and not yet in memory.
pub struct Weights {
    path: PathBuf,
    files: Vec<File>,
    entries: BTreeMap<String, Entry>,
    original: bool,
    loras: Vec<Lora>,
}

/// Where a tensor lies.
#[derive(Clone, Debug)]
struct Entry {
    file: usize,
    stored: String,
    shape: Vec<usize>,
    kind: Kind,
    /// What its values are to be multiplied by.
    scale: Option<f32>,
}

/// What scaled fp8 files have beside a weight, by the ending that takes the place of
/// `.weight`: its scale, and things that are of use to other ways of computing.
const SCALES: [&str; 2] = [".scale_weight", ".weight_scale"];
const ASIDE: [&str; 4] = [".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8"];

impl Weights {
    /// Opens `files`, the parts of what lies at `path`.
    pub fn open(path: &Path, files: &[PathBuf]) -> std::result::Result<Self, CheckpointError> {
        let files = files
            .iter()
            .map(|f| File::open(f))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let bare = files
            .iter()
            .flat_map(|f| f.listed())
            .map(|l| names::bare(&l.name));
        let original = names::are_original(bare);
        let mut weights = Self {
            path: path.to_owned(),
            files,
            entries: BTreeMap::new(),
            original,
            loras: Vec::new(),
        };
        weights.list().map_err(|e| CheckpointError::Broken {
            path: path.to_owned(),
            why: plainly(&e),
        })?;
        Ok(weights)
    }

    fn list(&mut self) -> Result<()> {
        let mut scales = HashMap::new();
        for (i, file) in self.files.iter().enumerate() {
            for listed in file.listed() {
                let bare = names::bare(&listed.name);
                if ASIDE.iter().any(|end| bare.ends_with(end)) {
                    continue;
                }
                if let Some(stem) = SCALES.iter().find_map(|end| bare.strip_suffix(end)) {
                    let values = stored::tensor(
                        file.bytes(&listed.name)?,
                        listed.kind,
                        &listed.shape,
                        None,
                        DType::F32,
                    )?;
                    let values = values.flatten_all()?.to_vec1::<f32>()?;
                    let [scale] = values[..] else {
                        candle_core::bail!(
                            "{} has {} values, where a scale is one number",
                            listed.name,
                            values.len()
                        );
                    };
                    scales.insert(self.name(&format!("{stem}.weight")), scale);
                    continue;
                }
                let entry = Entry {
                    file: i,
                    stored: listed.name.clone(),
                    shape: listed.shape.clone(),
                    kind: listed.kind,
                    scale: None,
                };
                self.entries.insert(self.name(bare), entry);
            }
        }
        for (name, scale) in scales {
            match self.entries.get_mut(&name) {
                Some(entry) => entry.scale = Some(scale),
                None => candle_core::bail!("there is a scale for {name}, which is not there"),
            }
        }
        Ok(())
    }

    fn name(&self, bare: &str) -> String {
        if self.original {
            names::from_original(bare)
        } else {
            bare.to_owned()
        }
    }

    /// Merges the LoRA at `path` when weights are loaded, at `strength` (1 as it was
    /// trained). Says what becomes of it.
    pub fn add_lora(
        &mut self,
        path: &Path,
        strength: f64,
    ) -> std::result::Result<Merged, CheckpointError> {
        let model = self.entries.iter().map(|(n, e)| (&n[..], &e.shape[..]));
        let lora = Lora::open(path, strength, model)?;
        let merged = lora.merged();
        self.loras.push(lora);
        Ok(merged)
    }

    /// Where the weights lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the files.
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(File::size).sum()
    }

    /// Whether the files have the original names.
    pub fn is_original(&self) -> bool {
        self.original
    }

    /// Whether they are GGUF.
    pub fn is_gguf(&self) -> bool {
        self.files.iter().any(File::is_gguf)
    }

    /// The sides of the tensor `name` (diffusers').
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|e| &e.shape[..])
    }

    /// Whether the tensor `name` is there in a kind that can be read.
    pub fn is_readable(&self, name: &str) -> bool {
        let entry = self.entries.get(name);
        entry.is_some_and(|entry| entry.kind != Kind::Other)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Values and tensors of each kind.
    pub fn kinds(&self) -> BTreeMap<Kind, (u64, usize)> {
        let mut kinds = BTreeMap::new();
        for entry in self.entries.values() {
            let (values, tensors) = kinds.entry(entry.kind).or_insert((0, 0));
            *values += entry.shape.iter().product::<usize>() as u64;
            *tensors += 1;
        }
        kinds
    }

    /// The kind that most values are of.
    pub fn main_kind(&self) -> Kind {
        let kinds = self.kinds();
        let most = kinds.iter().max_by_key(|(_, (values, _))| *values);
        most.map_or(Kind::F32, |(kind, _)| *kind)
    }

    /// Holds the files against what `config` needs.
    pub fn compare(&self, config: &TransformerConfig) -> Mismatch {
        let wanted = expected(config);
        let mut mismatch = Mismatch::default();
        for (name, shape) in &wanted {
            match self.entries.get(name) {
                None => mismatch.missing.push(name.clone()),
                Some(entry) if !self.same(entry, shape) => mismatch
                    .wrong_shape
                    .push(format!("{name}: {:?} found, {shape:?} wanted", entry.shape)),
                Some(entry) if entry.kind == Kind::Other => mismatch.unreadable.push(name.clone()),
                Some(_) => {}
            }
        }
        for name in self.entries.keys() {
            // A weight that the published image models have and never use.
            let unused = name.contains(".norm_added_q.");
            if !wanted.contains_key(name) && !unused {
                mismatch.unexpected.push(name.clone());
            }
        }
        mismatch
    }

    /// Whether `entry` has `shape`; GGUF may have lost sides of 1 before the others.
    fn same(&self, entry: &Entry, shape: &[usize]) -> bool {
        let gguf = self.files.get(entry.file).is_some_and(File::is_gguf);
        let lead = |s: &[usize]| s.iter().take_while(|n| **n == 1).count();
        let found = &entry.shape[..];
        found == shape || gguf && found[lead(found)..] == shape[lead(shape)..]
    }

    /// Fails with all that is wrong, if anything is.
    pub fn check(&self, config: &TransformerConfig) -> std::result::Result<(), CheckpointError> {
        let mismatch = self.compare(config);
        if mismatch.is_empty() {
            return Ok(());
        }
        Err(CheckpointError::Weights {
            path: self.path.clone(),
            mismatch: Box::new(mismatch),
        })
    }

    /// The weights as the transformer asks for them. Matrices of 8 bits and fewer stay as
    /// they are where no LoRA changes them and are bf16 where one does, others are kept
    /// in the kind that most of the files are in, all else is f32.
    pub fn builder(self: &Arc<Self>) -> VarBuilder<'static> {
        let kept = self.main_kind().kept();
        VarBuilder::from_backend(Box::new(Arc::clone(self).reader()), kept, Device::Cpu)
    }

    /// Writes rows `rows` of `name` (of a vector, the one it is), widened to f32, to
    /// `out`, which is of their size. Only these are read.
    pub fn read_rows(&self, name: &str, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        let Some(entry) = self.entries.get(name) else {
            candle_core::bail!("{name} is missing in {}", self.path.display());
        };
        let width = entry.shape.last().copied().unwrap_or(1);
        let (values, size) = entry.kind.block();
        if width % values != 0 || out.len() != rows.len() * width {
            candle_core::bail!("{name} cannot be read by rows");
        }
        let pitch = width / values * size;
        let part = rows.start * pitch..rows.end * pitch;
        let bytes = self.files[entry.file].part(&entry.stored, Some(part))?;
        if !stored::widen(&bytes, entry.kind, entry.scale, out) {
            let shape = [rows.len(), width];
            let all = stored::tensor(bytes, entry.kind, &shape, entry.scale, DType::F32)?;
            out.copy_from_slice(&all.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(())
    }

    fn reader(self: Arc<Self>) -> Reader {
        Reader(self)
    }

    fn read(&self, name: &str, shape: Option<&[usize]>, dtype: DType) -> Result<Tensor> {
        let Some(entry) = self.entries.get(name) else {
            candle_core::bail!("{name} is missing in {}", self.path.display());
        };
        let shape = shape.unwrap_or(&entry.shape);
        if !self.same(entry, shape) {
            candle_core::bail!("{name} is {:?}, not {shape:?}", entry.shape);
        }
        let bytes = self.files[entry.file].bytes(&entry.stored)?;
        if !self.is_changed(name) {
            return stored::tensor(bytes, entry.kind, shape, entry.scale, dtype);
        }
        let mut value = stored::tensor(bytes, entry.kind, shape, entry.scale, DType::F32)?;
        for lora in &self.loras {
            if let Some(changed) = lora.changed(name, &value)? {
                value = changed;
            }
        }
        match dtype {
            DType::F32 if self.narrows(name, shape) => value.to_dtype(DType::BF16),
            _ => value.to_dtype(dtype),
        }
    }

    fn is_changed(&self, name: &str) -> bool {
        self.loras.iter().any(|l| l.changes(name))
    }

    /// Whether `name` is a matrix of 8 bits or fewer that a LoRA changes. In f32 these would
    /// take up to eight times the memory; the reference merges them in bf16 too.
    fn narrows(&self, name: &str, shape: &[usize]) -> bool {
        let kind = self.entries.get(name).map(|entry| entry.kind);
        let packed = kind.is_some_and(|kind| kind.packed().is_some());
        shape.len() == 2 && packed && self.is_changed(name)
    }
}

/// What stands behind the name of a matrix for its rows as they are, and for what is to
/// be known of them: as [`crate::device::ops::packed`] has it.
const PACKED: &str = ".packed";
const FORMAT: &str = ".format";

impl Weights {
    /// The matrix `name` where it can stay packed, and the bytes of a row.
    fn packed(&self, name: &str) -> Option<(&Entry, usize)> {
        let entry = self.entries.get(name)?;
        let &[_, width] = &entry.shape[..] else {
            return None;
        };
        let (values, size) = entry.kind.block();
        let whole = width % values == 0 && width > 0;
        (entry.kind.packed().is_some() && whole && !self.is_changed(name))
            .then_some((entry, width / values * size))
    }

    /// Bytes that `name` of `shape` takes once it is loaded.
    pub fn loaded_bytes(&self, name: &str, shape: &[usize]) -> u64 {
        let values = shape.iter().product::<usize>() as u64;
        match self.packed(name) {
            Some((entry, pitch)) => (entry.shape[0] * pitch) as u64,
            None if self.narrows(name, shape) => values * 2,
            None if shape.len() == 2 => values * self.main_kind().kept().size_in_bytes() as u64,
            None => values * 4,
        }
    }

    /// The rows of `name` as they are, or what is to be known of them.
    fn read_packed(&self, name: &str) -> Result<Option<Tensor>> {
        let rows = name.strip_suffix(PACKED);
        let Some(stem) = rows.or(name.strip_suffix(FORMAT)) else {
            return Ok(None);
        };
        let Some((entry, pitch)) = self.packed(stem) else {
            return Ok(None);
        };
        if rows.is_none() {
            let number = entry.kind.packed().and_then(|f| f.number()).unwrap_or(0);
            let told = vec![number as f32, entry.scale.unwrap_or(1.0)];
            return Tensor::from_vec(told, 2, &Device::Cpu).map(Some);
        }
        let bytes = self.files[entry.file].bytes(&entry.stored)?.into_owned();
        Tensor::from_vec(bytes, (entry.shape[0], pitch), &Device::Cpu).map(Some)
    }
}

struct Reader(Arc<Weights>);

impl SimpleBackend for Reader {
    fn get(&self, s: Shape, name: &str, _: Init, dtype: DType, dev: &Device) -> Result<Tensor> {
        // Loading takes long; whoever began it may want it to stop.
        Stop::here().check()?;
        self.0.read(name, Some(s.dims()), dtype)?.to_device(dev)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, dev: &Device) -> Result<Tensor> {
        Stop::here().check()?;
        match self.0.read_packed(name)? {
            Some(packed) => packed.to_device(dev),
            None => self.0.read(name, None, dtype)?.to_device(dev),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        match name.strip_suffix(PACKED) {
            Some(stem) => self.0.packed(stem).is_some(),
            None => self.0.entries.contains_key(name),
        }
    }
}

/// Notes what is asked for and gives tensors that take no memory.
#[derive(Default)]
struct Recorder(Arc<Mutex<BTreeMap<String, Vec<usize>>>>);

impl SimpleBackend for Recorder {
    fn get(&self, s: Shape, name: &str, _: Init, dtype: DType, dev: &Device) -> Result<Tensor> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(name.to_owned(), s.dims().to_vec());
        Tensor::zeros(1, dtype, dev)?.broadcast_as(s)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name} is asked for without a shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        !name.ends_with(PACKED)
    }
}

/// The tensors, by name, that a transformer of `config` loads: found by letting it
/// load, so the list cannot differ from what it does.
pub fn expected(config: &TransformerConfig) -> BTreeMap<String, Vec<usize>> {
    let recorder = Recorder::default();
    let asked = Arc::clone(&recorder.0);
    let vb = VarBuilder::from_backend(Box::new(recorder), DType::F32, Device::Cpu);
    // Nothing is computed; were something to fail, what it did not reach would show
    // as unexpected.
    drop(Transformer::load(config, &vb));
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut asked)
}
