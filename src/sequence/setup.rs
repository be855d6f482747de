//! From the values of a panel, a command line or a job file to what the engine
//! works under: the one place where a parameter's name meets its meaning.

use std::path::PathBuf;

use super::request::{Mode, Request, RequestError};
use crate::engine::plate::{PlateEngine, Settings};
use crate::frame::{FrameRange, Transfer};
use crate::manifest::Values;
use crate::store::{self, DiskStore};

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
    pub engine: PlateEngine,
}

impl Setup {
    /// Reads `values`, which the manifest has checked.
    pub fn of(values: &Values) -> Self {
        let positive = |name: &str| u64::try_from(values.int(name)).unwrap_or(0);
        Self {
            mode: match values.text("mode") {
                "loop" => Mode::Loop,
                "vary" => Mode::Vary,
                "fill" => Mode::Fill,
                _ => Mode::Extend,
            },
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
            engine: PlateEngine {
                settings: Settings {
                    seed: positive("seed"),
                    novelty: values.double("novelty"),
                    plans: u32::try_from(positive("plans")).unwrap_or(u32::MAX).max(1),
                    warp: values.bool("warp"),
                    low_band: values.bool("lowBand"),
                },
            },
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
    /// Where the plate range asked for is not there.
    pub fn request(&self, have: FrameRange, fps: f64) -> Result<Request, RequestError> {
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

/// The frames of range parameter `name`, where it is set.
fn range(values: &Values, name: &str) -> Option<FrameRange> {
    let [first, last] = values.range(name)?;
    FrameRange::new(i32::try_from(first).ok()?, i32::try_from(last).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Value, manifest};

    #[test]
    fn the_manifest_and_the_engine_have_the_same_defaults() {
        let setup = Setup::of(&Values::default_of(manifest().unwrap()));
        assert_eq!(setup.engine.settings, Settings::default());
        assert_eq!(setup.mode, Mode::default());
        assert_eq!((setup.plate, setup.out, setup.keep), (None, None, None));
        assert_eq!(setup.memory, 2048 << 20);
        assert_eq!(setup.store_size, 20 << 30);
    }

    #[test]
    fn every_mode_of_the_manifest_has_its_meaning() {
        let m = manifest().unwrap();
        let mut seen = Vec::new();
        for name in &m.param("mode").unwrap().options {
            let mut values = Values::default_of(m);
            values.set(m, "mode", Value::Text(name.clone())).unwrap();
            let mode = Setup::of(&values).mode;
            assert_eq!(format!("{mode:?}").to_lowercase(), *name);
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
