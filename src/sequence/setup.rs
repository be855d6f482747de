//! From the values of a panel, a command line or a job file to what the engine
//! works under: the one place where a parameter's name meets its meaning.

use std::path::PathBuf;
use std::sync::Arc;

use super::kept::Kept;
use super::request::{Mode, Request, RequestError};
use crate::device::gpu::{self, Choice};
use crate::engine::plate::{Level, PlateEngine, Region, Remake, Settings, Steady};
use crate::engine::wan::{self, LoraFile, ModelFiles, Subject, SubjectMatte, WanEngine, Way};
use crate::engine::{AnyEngine, EngineError, SUBJECTS, Timeline};
use crate::frame::{FrameRange, PlateInfo, Transfer};
use crate::manifest::Values;
use crate::sampler::Guidance;
use crate::store::{self, DiskStore, Layered, MemoryVault};

/// Size of the store in GiB where nobody says otherwise, as the manifest has it.
const DEFAULT_STORE: f64 = 20.0;

/// What the values of the manifest's parameters come to.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What becomes of the plate.
    pub mode: Mode,
    /// The plate frames to use; `None` for all that there are.
    pub plate: Option<FrameRange>,
    /// The output frames; `None` for the plate's own.
    pub out: Option<FrameRange>,
    /// Kept frames at a join; `None` leaves a handle.
    pub keep: Option<u32>,
    /// How the plate's values relate to light; `None` goes by its sample type.
    pub transfer: Option<Transfer>,
    /// Plate frames held in memory, in bytes, at most.
    pub memory: u64,
    /// The folder of the store; `None` for the usual one.
    pub store: Option<PathBuf>,
    /// Size of the store in bytes, at most.
    pub store_size: u64,
    /// The engine with its settings.
    pub engine: AnyEngine,
    /// What of the settings cannot be understood, in a sentence.
    fault: Option<String>,
}

/// Frames in a second that the models were trained at.
const MODEL_RATE: f64 = 16.0;
/// Width and height that a model works in where nothing is said.
const MODEL_SIZE: [usize; 2] = [832, 480];
/// A side of a picture that a model is asked for, at most.
const LARGEST: usize = 1 << 14;

impl Setup {
    /// Reads `values`, which the manifest has checked.
    pub fn of(values: &Values) -> Self {
        let positive = |name: &str| u64::try_from(values.int(name)).unwrap_or(0);
        let mode = match values.text("mode") {
            "loop" => Mode::Loop,
            "vary" => Mode::Vary,
            "fill" => Mode::Fill,
            "generate" => Mode::Generate,
            "animate" => Mode::Animate,
            "between" => Mode::Between,
            "match" => Mode::Match,
            "restyle" => Mode::Restyle,
            _ => Mode::Extend,
        };
        let mut setup = Self {
            mode,
            plate: range(values, "plateRange"),
            out: range(values, "frames"),
            keep: u32::try_from(positive("keep")).ok().filter(|&k| k > 0),
            transfer: match values.text("encoding") {
                "linear" => Some(Transfer::Linear),
                "display" => Some(Transfer::Display),
                _ => None,
            },
            memory: positive("memory") << 20,
            store: Some(values.text("store"))
                .filter(|s| !s.is_empty())
                .map(PathBuf::from),
            // The environment speaks where nobody chose otherwise.
            store_size: match values.double("storeSize") {
                size if size == DEFAULT_STORE => store::default_size(),
                size => (size * f64::from(1 << 30)) as u64,
            },
            engine: AnyEngine::Plate(PlateEngine {
                settings: Settings {
                    hold_out: None,
                    regions: Vec::new(),
                    remakes: Vec::new(),
                    seed: positive("seed"),
                    novelty: values.double("novelty"),
                    plans: u32::try_from(positive("plans")).unwrap_or(u32::MAX).max(1),
                    warp: values.bool("warp"),
                    low_band: values.bool("lowBand"),
                    leave_out: values.text("leaveOut").to_owned(),
                    level: match values.text("levelExposure") {
                        "on" => Level::On,
                        "off" => Level::Off,
                        _ => Level::Auto,
                    },
                    steady: match values.text("steady") {
                        "on" => Steady::On,
                        "off" => Steady::Off,
                        _ => Steady::Auto,
                    },
                },
                device: device(values),
                ..PlateEngine::default()
            }),
            fault: None,
        };
        if let (AnyEngine::Plate(engine), Mode::Extend | Mode::Loop | Mode::Vary) =
            (&mut setup.engine, mode)
        {
            setup.fault = parts(values, &mut engine.settings).err();
        }
        if values.text("engine") == "wan" {
            match model(values, mode) {
                Ok(settings) => {
                    // Frames that the engine comes past, in the process and on disk.
                    let frames = Kept(Layered {
                        first: MemoryVault::of_process(),
                        second: setup.disk_store(),
                    });
                    let mut engine = WanEngine::new(settings, Arc::new(frames));
                    engine.device = device(values);
                    setup.engine = AnyEngine::Wan(Box::new(engine));
                }
                Err(fault) => setup.fault = Some(fault),
            }
        }
        setup
    }

    /// Tells which of the clips with subjects' mattes are `connected`; gives which of
    /// them play a part.
    pub fn connect(&mut self, values: &Values, connected: [bool; SUBJECTS]) -> [bool; SUBJECTS] {
        let mut used = [false; SUBJECTS];
        if let AnyEngine::Wan(engine) = &mut self.engine {
            engine.settings.subjects = subjects(values, connected);
            for subject in &engine.settings.subjects {
                if let SubjectMatte::Clip(clip) = subject.matte {
                    used[clip] = true;
                }
            }
        }
        used
    }

    /// Whether all settings are understood.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), RequestError> {
        match &self.fault {
            Some(fault) => Err(RequestError::Setting(fault.clone())),
            None => Ok(()),
        }
    }

    /// Whether this machine has the GPU that was asked for. (The wan engine looks for its
    /// own where it looks at its model.)
    ///
    /// # Errors
    /// Where it has not; the sentence says why.
    pub fn check_device(&self) -> Result<(), EngineError> {
        if let AnyEngine::Plate(engine) = &self.engine
            && engine.device == Choice::Gpu
        {
            gpu::with(Choice::Gpu, |_| Ok(()))?;
        }
        Ok(())
    }

    /// What stands for the plate where frames are made from nothing: black, of the
    /// size that was chosen. `None` where a plate is needed.
    pub fn blank(&self, fps: Option<f64>) -> Option<PlateInfo> {
        let AnyEngine::Wan(engine) = &self.engine else {
            return None;
        };
        let [width, height] = engine.settings.output_size();
        (self.mode == Mode::Generate).then(|| PlateInfo {
            range: self.out.unwrap_or(FrameRange { first: 1, last: 81 }),
            width,
            height,
            full_size: (width, height),
            channels: ["R", "G", "B"].map(str::to_owned).to_vec(),
            fps: fps.unwrap_or(MODEL_RATE),
            transfer: Transfer::Linear,
            pixel_aspect: 1.0,
            ids: Vec::new(),
        })
    }

    /// Which frames of `request` are kept and which are made, by this engine.
    ///
    /// # Errors
    /// Where plate, range, mode and engine do not go together.
    pub fn timeline(&self, request: &Request) -> Result<Timeline, RequestError> {
        let refuse = |engine, advice| {
            Err(RequestError::Engine {
                engine,
                mode: request.mode,
                advice,
            })
        };
        use Mode::{Animate, Between, Generate, Loop, Match, Restyle, Vary};
        match (&self.engine, request.mode) {
            (AnyEngine::Plate(_), Generate | Animate | Between | Match | Restyle) => refuse(
                "plate",
                "choose the engine wan and a model, or another mode",
            ),
            (AnyEngine::Wan(_), Loop | Vary) => refuse(
                "wan",
                "choose the engine plate, or the mode extend, fill, generate, animate, between, match or restyle",
            ),
            (AnyEngine::Plate(_), _) => request.timeline(),
            (AnyEngine::Wan(_), _) => request.timeline_without_handle(),
        }
    }

    /// The store on disk, where there is a folder for one.
    pub fn disk_store(&self) -> Option<DiskStore> {
        let folder = self.store.clone().or_else(store::default_folder)?;
        Some(DiskStore::new(folder, self.store_size))
    }

    /// The plate frames to use of those that `have` holds.
    ///
    /// # Errors
    /// Where some of those asked for are not there.
    pub fn plate_range(&self, have: FrameRange) -> Result<FrameRange, RequestError> {
        match self.plate {
            Some(plate) if have.contains(plate.first) && have.contains(plate.last) => Ok(plate),
            Some(asked) => Err(RequestError::Plate { asked, have }),
            None => Ok(have),
        }
    }

    /// The request for a plate of which the frames `have` can be read, at `fps`
    /// frames in a second.
    ///
    /// # Errors
    /// Where the plate range asked for is not there, or a setting is not understood.
    pub fn request(&self, have: FrameRange, fps: f64) -> Result<Request, RequestError> {
        self.check()?;
        let plate = self.plate_range(have)?;
        Ok(Request {
            mode: self.mode,
            plate,
            out: self.out.unwrap_or(plate),
            fps,
            keep: self.keep,
        })
    }
}

/// Where the work is done.
fn device(values: &Values) -> Choice {
    match values.text("device") {
        "cpu" => Choice::Cpu,
        "gpu" => Choice::Gpu,
        _ => Choice::Auto,
    }
}

/// The frames of range parameter `name`, where it is set.
fn range(values: &Values, name: &str) -> Option<FrameRange> {
    let [first, last] = values.range(name)?;
    FrameRange::new(i32::try_from(first).ok()?, i32::try_from(last).ok()?)
}

/// Reads which parts of the picture are kept, held together or made again.
fn parts(values: &Values, settings: &mut Settings) -> Result<(), String> {
    let path = |name: &str| Some(values.text(name).trim()).filter(|s| !s.is_empty());
    settings.hold_out = path("holdOut").map(PathBuf::from);
    settings.regions = (1..=3)
        .filter_map(|i| {
            let seed = u64::try_from(values.int(&format!("region{i}Seed"))).ok();
            Some(Region {
                matte: path(&format!("region{i}Matte"))?.into(),
                seed: seed.filter(|&s| s > 0),
            })
        })
        .collect();
    settings.remakes = Remake::list(values.text("remake"))?;
    Ok(())
}

/// What the values of the wan engine's parameters come to.
fn model(values: &Values, mode: Mode) -> Result<wan::Settings, String> {
    let path = |name: &str| Some(values.text(name).trim()).filter(|s| !s.is_empty());
    let file = |name: &str| path(name).map(PathBuf::from);
    let number = |name: &str| usize::try_from(values.int(name)).unwrap_or(0);
    let above_zero = |name: &str| Some(values.double(name)).filter(|&v| v > 0.0);
    let references = values.text("references").split(';').map(str::trim);
    Ok(wan::Settings {
        files: ModelFiles {
            model: file("model").unwrap_or_default(),
            low: file("lowModel"),
            vae: file("vae"),
            text_encoder: file("textEncoder"),
            tokenizer: file("tokenizer"),
            image_encoder: file("imageEncoder"),
            tiny: file("tinyDecoder"),
            loras: LoraFile::list(values.text("loras"))?,
        },
        way: match mode {
            Mode::Fill => Way::Fill,
            Mode::Match => Way::Follow,
            Mode::Restyle => Way::Restyle,
            _ => Way::Frames,
        },
        prompt: values.text("prompt").to_owned(),
        negative: values.text("negativePrompt").to_owned(),
        size: path("size").map_or(Ok(MODEL_SIZE), |text| size("size", text))?,
        steps: number("steps"),
        guidance: Guidance {
            scale: values.double("guidance"),
            scale_low: above_zero("guidanceLow"),
            until: values.double("guidanceUntil"),
        },
        seed: u64::try_from(values.int("seed")).unwrap_or(0),
        shift: above_zero("shift"),
        cache: above_zero("cache"),
        overlap: number("overlap"),
        at_once: number("modelFrames"),
        refine: path("refine")
            .map(|text| size("refine", text))
            .transpose()?,
        refine_strength: values.double("refineStrength"),
        strength: values.double("strength"),
        control: values.double("control"),
        references: references
            .filter(|r| !r.is_empty())
            .map(PathBuf::from)
            .collect(),
        subjects: subjects(values, [false; SUBJECTS]),
        noise: file("latents"),
        colour: None,
        guide_colour: None,
    })
}

/// The subjects that `values` tell of: those with a matte in a file or, where it is
/// `connected` and they have a text or a picture, on a clip.
fn subjects(values: &Values, connected: [bool; SUBJECTS]) -> Vec<Subject> {
    let of = |(clip, connected): (usize, bool)| {
        let value = |what: &str| {
            let text = values.text(&format!("subject{}{what}", clip + 1)).trim();
            Some(text).filter(|s| !s.is_empty())
        };
        let (prompt, reference) = (value("Prompt"), value("Reference"));
        // Some hosts say of every clip that it is connected.
        let told = prompt.is_some() || reference.is_some();
        let matte = match value("Matte") {
            _ if connected && told => SubjectMatte::Clip(clip),
            file => SubjectMatte::File(file?.into()),
        };
        Some(Subject {
            matte,
            prompt: prompt.unwrap_or_default().to_owned(),
            reference: reference.map(PathBuf::from),
        })
    };
    connected.into_iter().enumerate().filter_map(of).collect()
}

/// Width and height as people write them.
fn size(name: &str, text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once(['x', 'X']);
    let sides = sides.map(|(w, h)| (w.trim().parse(), h.trim().parse()));
    match sides {
        Some((Ok(w), Ok(h))) if (1..=LARGEST).contains(&w) && (1..=LARGEST).contains(&h) => {
            Ok([w, h])
        }
        _ => Err(format!(
            "{name} is '{text}': write width and height, 1 to {LARGEST} each, as in 832x480"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Value, manifest};

    #[test]
    fn the_manifest_and_the_engine_have_the_same_defaults() {
        let setup = Setup::of(&Values::default_of(manifest().unwrap()));
        let AnyEngine::Plate(engine) = &setup.engine else {
            panic!("the plate engine needs nothing and is the default");
        };
        assert_eq!(engine.settings, Settings::default());
        assert_eq!(setup.mode, Mode::default());
        assert_eq!((setup.plate, setup.out, setup.keep), (None, None, None));
        assert_eq!(setup.memory, 2048 << 20);
        assert_eq!(setup.store_size, 20 << 30);
    }

    fn wan(more: &[(&str, Value)]) -> Setup {
        let m = manifest().unwrap();
        let mut values = Values::default_of(m);
        let engine = [("engine", Value::Text("wan".to_owned()))];
        for (name, value) in engine.iter().chain(more) {
            values.set(m, name, value.clone()).unwrap();
        }
        Setup::of(&values)
    }

    #[test]
    fn the_wan_engine_has_the_manifest_s_defaults_and_its_own_modes() {
        let AnyEngine::Wan(engine) = wan(&[]).engine else {
            panic!("it was asked for");
        };
        assert_eq!(engine.settings, wan::Settings::default());
        let text = |t: &str| Value::Text(t.to_owned());
        let plate = FrameRange::new(1, 48).unwrap();
        let says = |more: &[(&str, Value)]| {
            let setup = wan(more);
            let request = setup.request(plate, 24.0)?;
            setup.timeline(&request)
        };
        assert!(says(&[("mode", text("between"))]).is_ok());
        let refused = says(&[("mode", text("loop"))]).unwrap_err();
        assert!(refused.to_string().contains("engine plate"), "{refused}");
        for (name, value, word) in [("size", "big", "832x480"), ("loras", "a=b", "=0.8")] {
            let refused = says(&[(name, text(value))]).unwrap_err();
            assert!(refused.to_string().contains(word), "{refused}");
        }
        let AnyEngine::Wan(low) = wan(&[("guidanceLow", Value::Double(3.))]).engine else {
            panic!("it was asked for");
        };
        assert_eq!(low.settings.guidance.scale_low, Some(3.));
        let key = |e: &WanEngine| crate::engine::Engine::settings_key(e);
        assert_ne!(key(&low), key(&engine));
        let m = manifest().unwrap();
        let mut values = Values::default_of(m);
        values.set(m, "mode", text("generate")).unwrap();
        let setup = Setup::of(&values);
        let request = setup.request(plate, 24.0).unwrap();
        assert!(matches!(
            setup.timeline(&request),
            Err(RequestError::Engine {
                engine: "plate",
                ..
            })
        ));
    }

    #[test]
    fn every_mode_of_the_manifest_has_its_meaning() {
        let m = manifest().unwrap();
        let mut seen = Vec::new();
        for name in &m.param("mode").unwrap().options {
            let mut values = Values::default_of(m);
            values.set(m, "mode", Value::Text(name.clone())).unwrap();
            let mode = Setup::of(&values).mode;
            assert_eq!(mode.name(), *name);
            assert!(!seen.contains(&mode));
            seen.push(mode);
        }
    }

    #[test]
    fn a_plate_range_that_is_not_there_is_refused() {
        let m = manifest().unwrap();
        let mut values = Values::default_of(m);
        values.set(m, "plateRange", Value::Range([1, 60])).unwrap();
        let setup = Setup::of(&values);
        let have = FrameRange::new(1, 48).unwrap();
        assert!(matches!(
            setup.request(have, 24.0),
            Err(RequestError::Plate { .. })
        ));
        let have = FrameRange::new(1, 90).unwrap();
        assert_eq!(
            setup.request(have, 24.0).unwrap().plate,
            FrameRange::new(1, 60).unwrap()
        );
    }
}
