//! A whole folder, from a prompt as typed to frames, against the reference's pipeline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use longtake::device::{Cancel, Progress, Task};
use longtake::engine::EngineError;
use longtake::engine::wan::{ModelFiles, Settings};
use longtake::frame::{Picture, PlateReader, Window};
use longtake::sequence::Mode;
use longtake::store::MemoryVault;
use tempfile::TempDir;

use crate::support::{apart, fixture, tensors};
use crate::take::{Frames, Order, folder, noise_file, range, settings};

/// Relative error allowed to a whole run.
const TOLERANCE: f64 = 2e-4;

/// Frames of the reference's run, and its size.
fn shape() -> (usize, usize, usize) {
    let frames = tensors("whole/reference.safetensors")["frames"].clone();
    let (count, _, height, width) = frames.dims4().unwrap();
    (count, height, width)
}

fn order(folder: &TempDir) -> Order {
    let (count, height, width) = shape();
    let noise = &tensors("whole/reference.safetensors")["noise"];
    Order {
        mode: Mode::Generate,
        out: range(1, count as i32),
        keep: None,
        plate: Frames::blank(width, height, 1),
        matte: None,
        guide: None,
        settings: Settings {
            noise: Some(noise_file(folder.path(), noise)),
            ..settings(folder.path(), [width, height])
        },
    }
}

fn tensor(picture: &Picture) -> Tensor {
    let shape = (picture.height(), picture.width(), 3);
    let tensor = Tensor::from_slice(picture.data(), shape, &Device::Cpu).unwrap();
    tensor.permute((2, 0, 1)).unwrap()
}

#[test]
fn a_prompt_becomes_the_reference_s_latents_and_frames_in_any_order() {
    let folder = folder("whole");
    let order = order(&folder);
    let kept = tensors("whole/reference.safetensors");
    let take = order.take(&(), &Cancel::default()).unwrap();
    let made = {
        let made = take.decision().shots[0].latents.as_ref();
        made.unwrap().tensor().unwrap()
    };
    let error = apart(&made, &kept["latents"]);
    println!("latents: {error:e}");
    assert!(error <= TOLERANCE, "{error:e}");

    let count = order.out.count() as i32;
    let mut frames = vec![None; count as usize];
    for frame in (1..=count).rev() {
        frames[frame as usize - 1] = Some(order.frame(&take, frame));
    }
    let frames: Vec<Arc<Picture>> = frames.into_iter().flatten().collect();
    let all: Vec<_> = frames.iter().map(|f| tensor(f)).collect();
    let error = apart(&Tensor::stack(&all, 0).unwrap(), &kept["frames"]);
    println!("frames: {error:e}");
    assert!(error <= TOLERANCE, "{error:e}");

    // Forwards, and as a window, to the same bits.
    for (i, frame) in frames.iter().enumerate() {
        let again = order.frame(&take, i as i32 + 1);
        assert_eq!(again.data(), frame.data());
    }
    let window = Window {
        x0: 5,
        y0: 3,
        x1: 17,
        y1: 20,
    };
    let cancel = Cancel::default();
    let task = Task {
        cancel: &cancel,
        progress: &longtake::device::Silent,
    };
    let part = order.with(|s| take.make(2, window, s, task).unwrap());
    assert_eq!(part.data(), Picture::crop(&frames[1], window).data());
}

#[test]
fn other_words_make_something_else() {
    let folder = folder("whole");
    let kept = &tensors("whole/reference.safetensors")["latents"];
    let moves = |change: &dyn Fn(&mut Settings)| {
        let mut order = order(&folder);
        change(&mut order.settings);
        apart(&order.latents(), kept)
    };
    let least = 10.0 * TOLERANCE;
    let moved = [
        moves(&|r| r.prompt = "a dog walks on the grass".to_owned()),
        moves(&|r| r.negative = "sharp".to_owned()),
        moves(&|r| r.guidance.scale += 0.5),
        moves(&|r| r.noise = None),
    ];
    assert!(moved.iter().all(|m| *m >= least), "{moved:?}");
}

#[test]
fn a_take_is_made_once_and_known_by_what_it_is_made_of() {
    let folder = folder("whole");
    let vault = MemoryVault::new(64 << 20);
    let cancel = Cancel::default();
    let order = order(&folder);
    let first = order.take(&vault, &cancel).unwrap();
    // The same model elsewhere: what is there is found, so nothing is run.
    let other = self::folder("whole");
    let moved = Order {
        settings: Settings {
            files: ModelFiles {
                model: other.path().to_owned(),
                ..ModelFiles::default()
            },
            ..order.settings.clone()
        },
        ..self::order(&folder)
    };
    let watched = Counted::default();
    let task = Task {
        cancel: &cancel,
        progress: &watched,
    };
    let again = moved.take_on(&vault, task).unwrap();
    assert_eq!(again.hash(), first.hash());
    assert_eq!(watched.0.load(Ordering::Relaxed), 0);
    // Other weights, another take.
    let config = other.path().join("transformer/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n")).unwrap();
    assert_ne!(moved.take(&vault, &cancel).unwrap().hash(), first.hash());
}

#[derive(Default)]
struct Counted(AtomicUsize);

impl Progress for Counted {
    fn report(&self, _stage: &str, _fraction: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Cancels once a stage is reached.
struct Stopper<'a>(&'a Cancel, &'static str);

impl Progress for Stopper<'_> {
    fn report(&self, stage: &str, _fraction: f64) {
        if stage == self.1 {
            self.0.cancel();
        }
    }
}

#[test]
fn a_stop_is_honoured_at_every_stage_and_the_next_try_goes_through() {
    let folder = folder("whole");
    let order = order(&folder);
    let vault = MemoryVault::new(64 << 20);
    for stage in ["Reading the prompt", "Sampling"] {
        let cancel = Cancel::default();
        let stopper = Stopper(&cancel, stage);
        let task = Task {
            cancel: &cancel,
            progress: &stopper,
        };
        let stopped = order.take_on(&vault, task);
        assert!(matches!(stopped, Err(EngineError::Cancelled(_))), "{stage}");
    }
    let take = order.take(&vault, &Cancel::default()).unwrap();
    let cancel = Cancel::default();
    let stopper = Stopper(&cancel, "Decoding frames");
    let task = Task {
        cancel: &cancel,
        progress: &stopper,
    };
    let whole = Window::whole(order.plate.info().width, order.plate.info().height);
    let stopped = order.with(|s| take.make(4, whole, s, task));
    assert!(matches!(stopped, Err(EngineError::Cancelled(_))));
    order.frame(&take, 4);
}

#[test]
fn sizes_between_are_padded_and_nonsense_is_told_before_work() {
    let folder = folder("whole");
    let with = |size: [usize; 2], frames: i32| Order {
        plate: Frames::blank(size[0].max(4), size[1].max(4), 1),
        out: range(1, frames),
        settings: Settings {
            size,
            noise: None,
            ..order(&folder).settings
        },
        ..order(&folder)
    };
    let shape = |size, frames| with(size, frames).latents().dims().to_vec();
    assert_eq!(shape([33, 17], 6), [1, 16, 3, 4, 6]);
    assert_eq!(shape([4, 4], 1), [1, 16, 1, 2, 2]);
    assert!(with([0, 32], 5).refused().contains("above 0"));
    let mut long = with([48, 32], 5000);
    long.settings.at_once = 5000;
    assert!(long.refused().contains("beyond the model"));

    let changed = |change: &dyn Fn(&mut Settings)| {
        let mut order = order(&folder);
        change(&mut order.settings);
        order.refused()
    };
    let mut wrong = order(&folder);
    wrong.out.last += 4;
    assert!(wrong.refused().contains("goes with this size"));
    let long = changed(&|s| s.prompt = "grass ".repeat(3000));
    assert!(long.contains("too long"));
    assert!(changed(&|s| s.files.model = fixture("i2v")).contains("has no text_encoder"));
    assert!(changed(&|s| s.files.model = "".into()).contains("needs a model"));
    std::fs::remove_dir_all(folder.path().join("vae")).unwrap();
    assert!(order(&folder).refused().contains("has no vae"));
}

#[test]
fn a_single_file_and_its_parts_make_what_the_folder_makes() {
    let folder = folder("whole");
    let path = |name: &str| folder.path().join(name);
    let expected = order(&folder).latents();
    // The transformer with its own settings beside it, as it is not of a known width.
    std::fs::copy(
        path("transformer/diffusion_pytorch_model.safetensors"),
        path("wan.safetensors"),
    )
    .unwrap();
    std::fs::copy(path("transformer/config.json"), path("wan.json")).unwrap();
    let mut order = order(&folder);
    order.settings.files = ModelFiles {
        model: path("wan.safetensors"),
        vae: Some(path("vae")),
        text_encoder: Some(path("text_encoder/model.safetensors")),
        tokenizer: Some(path("tokenizer/tokenizer.json")),
        ..ModelFiles::default()
    };
    order.settings.files.text_encoder = Some(path("text_encoder"));
    assert_eq!(apart(&order.latents(), &expected), 0.);
    order.settings.files.vae = None;
    assert!(order.refused().contains("has no vae"));
}
