//! Takes of whole small models, as the node and the command line make them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use longtake::device::{Cancel, Silent, Task};
use longtake::engine::wan::{Latents, ModelFiles, Settings, WanEngine};
use longtake::engine::{EngineError, Keep, Sources, Timeline};
use longtake::frame::{FrameError, FrameRange, Picture, PlateInfo, PlateReader, Transfer, Window};
use longtake::sequence::{Kept, Mode, Request, Take};
use longtake::store::{MemoryVault, Vault};
use tempfile::TempDir;

use crate::support::fixture;

/// The parts of a whole folder, which lie apart among the fixtures: where from, where
/// to. `name` is a folder of `with_plate` or "whole".
pub fn parts(name: &str) -> Vec<(String, &'static str)> {
    let own = match name {
        "whole" => name.to_owned(),
        _ => format!("with_plate/{name}"),
    };
    let transformer = match name {
        "restyle" => "whole/transformer".to_owned(),
        _ => format!("{own}/transformer"),
    };
    let vae = if name == "ti2v" { "vae-2.2" } else { "vae-2.1" };
    vec![
        (own.clone(), ""),
        (transformer, "transformer"),
        (format!("{own}/scheduler"), "scheduler"),
        ("text/text_encoder".to_owned(), "text_encoder"),
        ("text/tokenizer".to_owned(), "tokenizer"),
        (vae.to_owned(), "vae"),
        ("clip".to_owned(), "image_encoder"),
    ]
}

/// The folder as `save_pretrained` leaves it.
pub fn folder(name: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (from, to) in parts(name) {
        let to = folder.path().join(to);
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(fixture(&from)).unwrap() {
            let from = entry.unwrap().path();
            if from.is_file() {
                std::fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
            }
        }
    }
    folder
}

/// A file with `noise` as `latents`, deeper in the folder than a model's parts lie.
pub fn noise_file(folder: &Path, noise: &Tensor) -> std::path::PathBuf {
    let path = folder.join("beside/the/parts/noise.safetensors");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = HashMap::from([("latents", noise.clone())]);
    candle_core::safetensors::save(&file, &path).unwrap();
    path
}

/// Frames in memory.
#[derive(Clone)]
pub struct Frames {
    pub info: PlateInfo,
    pub pictures: Vec<Arc<Picture>>,
    /// Numbers of the frames that were read.
    pub read: Vec<i32>,
}

impl Frames {
    /// Of [frames, channels, height, width], 0 to 255, for a display, from frame 1 on.
    pub fn of(tensor: &Tensor) -> Self {
        let (frames, channels, height, width) = tensor.dims4().unwrap();
        let tensor = tensor.to_dtype(DType::F32).unwrap();
        let tensor = (tensor / 255.).unwrap().permute((0, 2, 3, 1)).unwrap();
        let pictures = (0..frames)
            .map(|t| {
                let data = tensor.get(t).unwrap().flatten_all().unwrap();
                let data = data.to_vec1().unwrap();
                Arc::new(Picture::from_data(width, height, channels, data).unwrap())
            })
            .collect();
        let names: &[&str] = if channels == 1 {
            &["A"]
        } else {
            &["R", "G", "B"]
        };
        Self {
            info: PlateInfo {
                range: FrameRange::new(1, frames as i32).unwrap(),
                width,
                height,
                full_size: (width, height),
                channels: names.iter().map(|&n| n.to_owned()).collect(),
                fps: 16.,
                transfer: Transfer::Display,
                pixel_aspect: 1.,
                ids: Vec::new(),
            },
            pictures,
            read: Vec::new(),
        }
    }

    /// Black, where nothing is read.
    pub fn blank(width: usize, height: usize, frames: usize) -> Self {
        Self::of(&Tensor::zeros((frames, 3, height, width), DType::F32, &Device::Cpu).unwrap())
    }
}

impl PlateReader for Frames {
    fn info(&self) -> &PlateInfo {
        &self.info
    }

    fn read(&mut self, frame: i32) -> Result<Arc<Picture>, FrameError> {
        self.read.push(frame);
        let at = usize::try_from(frame - self.info.range.first).ok();
        let found = at.and_then(|i| self.pictures.get(i));
        found.cloned().ok_or(FrameError::Missing {
            frame,
            have: format!("the plate has {}", self.info.range),
        })
    }
}

/// What is to be made of what.
pub struct Order {
    pub mode: Mode,
    pub out: FrameRange,
    /// Kept frames; none for as many as there are.
    pub keep: Option<u32>,
    pub plate: Frames,
    pub matte: Option<Frames>,
    pub guide: Option<Frames>,
    pub settings: Settings,
}

impl Order {
    pub fn timeline(&self) -> Timeline {
        let request = Request {
            mode: self.mode,
            plate: self.plate.info.range,
            out: self.out,
            fps: 16.,
            keep: self.keep,
        };
        request.timeline_without_handle().unwrap()
    }

    /// The take, kept in `vault`.
    pub fn take(&self, vault: &dyn Vault, cancel: &Cancel) -> Result<Take<WanEngine>, EngineError> {
        self.take_on(
            vault,
            Task {
                cancel,
                progress: &Silent,
            },
        )
    }

    pub fn take_on(
        &self,
        vault: &dyn Vault,
        task: Task<'_>,
    ) -> Result<Take<WanEngine>, EngineError> {
        let keep = Arc::new(Kept(MemoryVault::new(64 << 20)));
        self.take_kept(keep, vault, task)
    }

    /// The take, its pieces and frames kept in `keep`.
    pub fn take_kept(
        &self,
        keep: Arc<dyn Keep>,
        vault: &dyn Vault,
        task: Task<'_>,
    ) -> Result<Take<WanEngine>, EngineError> {
        let engine = WanEngine::new(self.settings.clone(), keep);
        self.with(|sources| {
            let key = blake3::hash(b"plate");
            Take::prepare(engine, &key, self.timeline(), sources, vault, task)
        })
    }

    /// Runs `run` with the sources.
    pub fn with<R>(&self, run: impl FnOnce(&mut Sources<'_>) -> R) -> R {
        let mut plate = self.plate.clone();
        let (mut matte, mut guide) = (self.matte.clone(), self.guide.clone());
        run(&mut Sources {
            plate: &mut plate,
            matte: matte.as_mut().map(|m| m as &mut dyn PlateReader),
            guide: guide.as_mut().map(|g| g as &mut dyn PlateReader),
            subjects: Default::default(),
        })
    }

    /// The latents of the only shot.
    pub fn latents(&self) -> Tensor {
        let take = self.take(&(), &Cancel::default()).unwrap();
        let shots = &take.decision().shots;
        assert_eq!(shots.len(), 1);
        shots[0].latents.as_ref().unwrap().tensor().unwrap()
    }

    /// All latents of the only shot of `take`, by `decision`.
    pub fn all_latents(&self, take: &Take<WanEngine>, decision: &Latents) -> Tensor {
        let all = 0..decision.shots[0].shot.latents();
        let engine = take.engine();
        let quiet = Task::quiet();
        self.with(|sources| {
            let made = engine.latents(take.analysis(), decision, 0, all, sources, quiet);
            made.unwrap()
        })
    }

    /// What the take is refused with.
    pub fn refused(&self) -> String {
        match self.take(&(), &Cancel::default()) {
            Ok(_) => panic!("it was made"),
            Err(error) => error.to_string(),
        }
    }

    /// Frame `frame` of `take`.
    pub fn frame(&self, take: &Take<WanEngine>, frame: i32) -> Arc<Picture> {
        let task = Task::quiet();
        let whole = Window::whole(self.plate.info.width, self.plate.info.height);
        self.with(|sources| take.make(frame, whole, sources, task).unwrap())
    }
}

/// Settings for the model in `folder`, with the reference's prompts.
pub fn settings(folder: &Path, size: [usize; 2]) -> Settings {
    Settings {
        files: ModelFiles {
            model: folder.to_owned(),
            ..ModelFiles::default()
        },
        prompt: "a cat walks on the grass".to_owned(),
        negative: "blurry, bad quality".to_owned(),
        size,
        steps: 10,
        ..Settings::default()
    }
}

pub fn range(first: i32, last: i32) -> FrameRange {
    FrameRange::new(first, last).unwrap()
}
