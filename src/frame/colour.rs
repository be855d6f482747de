//! Colour spaces by name, as the OpenColorIO configuration of a studio has them
//! (<https://opencolorio.readthedocs.io>), and conversions of pictures between them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ocio::processor::CpuProcessor;
use ocio::{Config, ReferenceSpaceType};

use super::Picture;
use crate::device;

/// The configuration used where a studio names none: the ACES studio config of
/// OpenColorIO 2.3 (VFX Reference Platform CY2024).
pub const BUILT_IN: &str = "studio-config-v2.1.0_aces-v1.3_ocio-v2.3";

/// Names in everybody's mouth that the built-in configuration lacks.
const SHORT: [(&str, &str); 2] = [
    ("sRGB", "sRGB - Texture"),
    ("Linear Rec.709", "Linear Rec.709 (sRGB)"),
];

/// Rows that one thread converts at a time.
const BAND: usize = 32;

/// Why colours are not converted.
#[derive(Debug, thiserror::Error)]
pub enum ColourError {
    /// The configuration cannot be used.
    #[error("the OpenColorIO config {name} cannot be used ({message}): choose another or mend it")]
    Config {
        /// Its file.
        name: String,
        /// What OpenColorIO says.
        message: String,
    },
    /// There is no such colour space.
    #[error("the OpenColorIO config {config} has no colour space '{name}'")]
    Unknown {
        /// The configuration.
        config: String,
        /// What was asked for.
        name: String,
    },
    /// The space is one of data, which no conversion reaches.
    #[error("'{name}' is a space of data, not of colour: name the colour space of the values")]
    Data {
        /// The space.
        name: String,
    },
    /// No scene-linear space is named to work in.
    #[error(
        "the OpenColorIO config {config} has no role scene_linear, the space to work in: add the role to it"
    )]
    NoWorkingSpace {
        /// The configuration.
        config: String,
    },
    /// The configuration has no way between two spaces.
    #[error("no way from '{from}' to '{to}' ({message}): mend the OpenColorIO config")]
    NoWay {
        /// The space of the values.
        from: String,
        /// The space wanted.
        to: String,
        /// What OpenColorIO says.
        message: String,
    },
}

/// An OpenColorIO configuration.
pub struct ColourConfig {
    config: Config,
    name: String,
    built_in: bool,
}

impl ColourConfig {
    /// Reads the configuration `file` (`.ocio` or `.ocioz`), or takes the
    /// [built-in](BUILT_IN) one.
    ///
    /// # Errors
    /// Where the file is missing or no configuration.
    pub fn open(file: Option<&Path>) -> Result<Self, ColourError> {
        let (name, config) = match file {
            Some(file) => {
                let name = file.display().to_string();
                (name.clone(), Config::create_from_file(&name))
            }
            None => (
                BUILT_IN.to_owned(),
                Config::create_from_builtin_config(BUILT_IN),
            ),
        };
        match config {
            Ok(config) => Ok(Self {
                config,
                name,
                built_in: file.is_none(),
            }),
            Err(e) => Err(ColourError::Config {
                name,
                message: e.to_string(),
            }),
        }
    }

    /// The colour spaces that there are, by their full names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let all = self.config.all_color_spaces().iter();
        all.filter(|s| !s.is_data()).map(|s| s.name())
    }

    /// The full name of the space that `name`, an alias or a role means; in the
    /// built-in configuration also `sRGB` and `Linear Rec.709`.
    ///
    /// # Errors
    /// Where there is none, or it is one of data.
    pub fn space(&self, name: &str) -> Result<&str, ColourError> {
        let short = SHORT
            .iter()
            .find(|(short, _)| self.built_in && short.eq_ignore_ascii_case(name));
        let name = short.map_or(name, |(_, full)| full);
        match self.config.get_color_space(name) {
            Some(space) if space.is_data() => Err(ColourError::Data {
                name: space.name().to_owned(),
            }),
            Some(space) => Ok(space.name()),
            None => Err(ColourError::Unknown {
                config: self.name.clone(),
                name: name.to_owned(),
            }),
        }
    }

    /// The scene-linear space to work in: the role `scene_linear`.
    ///
    /// # Errors
    /// Where the configuration names none.
    pub fn working(&self) -> Result<&str, ColourError> {
        self.space("scene_linear").map_err(|error| match error {
            ColourError::Unknown { config, .. } => ColourError::NoWorkingSpace { config },
            other => other,
        })
    }

    /// Whether values of `space` are proportional to light in the scene.
    pub fn is_linear(&self, space: &str) -> bool {
        let scene = ReferenceSpaceType::Scene;
        // An error is a space that is not there.
        matches!(self.config.is_color_space_linear(space, scene), Ok(true))
    }

    /// The conversion from one space to another; `None` where it leaves every
    /// value as it is.
    ///
    /// # Errors
    /// Where the configuration has no way between them.
    pub fn conversion(&self, from: &str, to: &str) -> Result<Option<Conversion>, ColourError> {
        let way = self.config.get_processor(from, to);
        let way = way.map_err(|e| ColourError::NoWay {
            from: from.to_owned(),
            to: to.to_owned(),
            message: e.to_string(),
        })?;
        let cpu = way.default_cpu_processor();
        if from == to || cpu.is_no_op() {
            return Ok(None);
        }
        Ok(Some(Conversion {
            id: format!("{from} to {to} {}", cpu.cache_id()),
            cpu: Some(Arc::new(cpu)),
        }))
    }
}

/// From one colour space to another; by default one that changes nothing.
#[derive(Clone, Default)]
pub struct Conversion {
    cpu: Option<Arc<CpuProcessor>>,
    id: String,
}

impl Conversion {
    /// Names the spaces and the arithmetic, tables from files included: equal
    /// names, equal values.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `picture` with the values of its channels `rgb` converted and all others
    /// as they are. Colour that is premultiplied is converted as such. `None`
    /// where OpenColorIO fails at it.
    pub fn apply(&self, picture: &Arc<Picture>, rgb: [usize; 3]) -> Option<Picture> {
        let (row, n) = (picture.width() * picture.channels(), picture.channels());
        let Some(cpu) = self.cpu.clone() else {
            return Some((**picture).clone());
        };
        let from = picture.clone();
        let bands = device::share(picture.height().div_ceil(BAND), move |i| {
            let end = ((i + 1) * BAND).min(from.height());
            let pixels = from.data()[i * BAND * row..end * row].chunks_exact(n);
            let mut values: Vec<f32> = pixels.flat_map(|p| rgb.map(|c| p[c])).collect();
            cpu.apply_rgb_slice(&mut values);
            values
        });
        let mut out = (**picture).clone();
        let mut pixels = out.data_mut().chunks_exact_mut(n);
        for band in bands {
            for (new, pixel) in band?.chunks_exact(3).zip(&mut pixels) {
                for (c, value) in rgb.into_iter().zip(new) {
                    pixel[c] = *value;
                }
            }
        }
        Some(out)
    }
}

impl fmt::Debug for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conversion({})", self.id)
    }
}

/// Where R, G and B are among `channels`.
pub(crate) fn rgb<'a>(channels: impl Iterator<Item = &'a str> + Clone) -> Option<[usize; 3]> {
    let at = |name: &str| channels.clone().position(|c| c == name);
    Some([at("R")?, at("G")?, at("B")?])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What OpenColorIO itself makes of some colours; see tests/frames/colour.py.
    const REFERENCE: &str = include_str!("../../tests/frames/colour.tsv");

    #[test]
    fn every_space_is_converted_as_opencolorio_does() {
        let config = ColourConfig::open(None).unwrap();
        let working = config.working().unwrap();
        assert_eq!(working, "ACEScg");
        let mut seen = BTreeSet::new();
        let mut worst = (0.0f32, String::new());
        for line in REFERENCE.lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            let (space, way) = (cells[0], cells[1]);
            let v: Vec<f32> = cells[2..].iter().map(|c| c.parse().unwrap()).collect();
            seen.insert((space, way));
            let (from, to) = match way {
                "from" => (space, working),
                _ => (working, space),
            };
            // A fourth channel that is to stay, and more rows than one band.
            let pixel = [7.5, v[2], v[1], v[0]];
            let data = pixel.repeat(BAND + 1);
            let picture = Arc::new(Picture::from_data(1, BAND + 1, 4, data).unwrap());
            let made = match config.conversion(from, to).unwrap() {
                Some(c) => c.apply(&picture, [3, 2, 1]).unwrap(),
                None => (*picture).clone(),
            };
            for y in [0, BAND] {
                let made = made.pixel(0, y);
                assert_eq!(made[0], 7.5);
                for (a, b) in [made[3], made[2], made[1]].iter().zip(&v[3..]) {
                    assert!(a.is_finite(), "{line}: {made:?}");
                    let off = (a - b).abs() / b.abs().max(1.0);
                    if off > worst.0 {
                        worst = (off, format!("{line}: {made:?}"));
                    }
                }
            }
        }
        println!("largest difference {worst:?}");
        assert!(worst.0 < 2e-6, "{worst:?}");
        let offered: BTreeSet<(&str, &str)> = config
            .names()
            .flat_map(|n| [(n, "from"), (n, "to")])
            .collect();
        assert_eq!(seen, offered, "run tests/frames/colour.py");
    }

    #[test]
    fn spaces_answer_to_aliases_and_data_is_refused() {
        let config = ColourConfig::open(None).unwrap();
        for (name, full) in [
            ("acescg", "ACEScg"),
            ("lin_ap1", "ACEScg"),
            ("srgb", "sRGB - Texture"),
            ("Linear Rec.709", "Linear Rec.709 (sRGB)"),
            ("compositing_log", "ACEScct"),
        ] {
            assert_eq!(config.space(name).unwrap(), full);
        }
        assert!(matches!(config.space("Raw"), Err(ColourError::Data { .. })));
        assert!(config.is_linear("ACEScg") && !config.is_linear("ACEScct"));
        let same = config.conversion("ACEScg", config.space("lin_ap1").unwrap());
        assert!(same.unwrap().is_none());
    }
}
