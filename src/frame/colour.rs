//! Colour spaces by name, as the OpenColorIO configuration of a studio has them
//! (<https://opencolorio.readthedocs.io>), and conversions of pictures between them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ocio::processor::{CpuProcessor, Processor};
use ocio::{Config, ReferenceSpaceType};

use super::Picture;
use super::alpha::{Alpha, around};
use crate::device;

/// The configuration used where a studio names none: the ACES studio config of
/// OpenColorIO 2.3 (VFX Reference Platform CY2024).
pub const BUILT_IN: &str = "studio-config-v2.1.0_aces-v1.3_ocio-v2.3";

/// Names in everybody's mouth that the built-in configuration lacks.
const SHORT: [(&str, &str); 2] = [
    ("sRGB", "sRGB - Texture"),
    ("Linear Rec.709", "Linear Rec.709 (sRGB)"),
];

/// Linear light of Rec.709's primaries, as the built-in configuration calls it.
const REC709: &str = "Linear Rec.709 (sRGB)";

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
        let found = way.map_err(|e| no_way(from, to, &e.to_string()))?;
        Ok(Conversion::new(from, to, &found).filter(|_| from != to))
    }

    /// The conversions from a space to linear light of Rec.709's primaries, which
    /// models know, and back. Of a studio's config by its interchange role, or by what
    /// its spaces are found to be.
    ///
    /// # Errors
    /// Where the configuration does not tell how its spaces lie to that one.
    pub fn rec709(&self, space: &str) -> Result<[Conversion; 2], ColourError> {
        let (there, back) = match self.built_in {
            true => (
                self.config.get_processor(space, REC709),
                self.config.get_processor(REC709, space),
            ),
            false => (
                Config::get_processor_to_builtin_color_space(&self.config, space, REC709),
                Config::get_processor_from_builtin_color_space(REC709, &self.config, space),
            ),
        };
        let way = |from, to, found: ocio::Result<Processor>| match found {
            Ok(found) => Ok(Conversion::new(from, to, &found).unwrap_or_default()),
            Err(e) => Err(no_way(from, to, &e.to_string())),
        };
        Ok([way(space, REC709, there)?, way(REC709, space, back)?])
    }
}

fn no_way(from: &str, to: &str, message: &str) -> ColourError {
    ColourError::NoWay {
        from: from.to_owned(),
        to: to.to_owned(),
        message: message.to_owned(),
    }
}

/// From one colour space to another; by default one that changes nothing.
#[derive(Clone, Default)]
pub struct Conversion {
    cpu: Option<Arc<CpuProcessor>>,
    id: String,
    /// Whether sums and multiples stay what they are, so that it is all one whether
    /// colours are multiplied by alpha.
    linear: bool,
}

/// Conversions with equal names are equal.
impl PartialEq for Conversion {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Conversion {
    /// Names the spaces and the arithmetic, tables from files included: equal
    /// names, equal values.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What `found` does; `None` where it leaves every value as it is.
    fn new(from: &str, to: &str, found: &Processor) -> Option<Self> {
        let cpu = found.default_cpu_processor();
        if cpu.is_no_op() {
            return None;
        }
        Some(Self {
            id: format!("{from} to {to} {}", cpu.cache_id()),
            linear: is_linear(&cpu),
            cpu: Some(Arc::new(cpu)),
        })
    }

    /// Converts red, green and blue, one after the other in `values`.
    pub fn convert(&self, values: &mut [f32]) {
        if let Some(cpu) = &self.cpu {
            cpu.apply_rgb_slice(values);
        }
    }

    /// `picture` with the values of its channels `rgb` converted and all others as they
    /// are. Colour that is multiplied by the channel `alpha` is divided by it, converted
    /// and multiplied again, unless the conversion is one of light to light, where that
    /// makes no difference. `None` where OpenColorIO fails at it.
    pub fn apply(
        &self,
        picture: &Arc<Picture>,
        rgb: [usize; 3],
        alpha: Option<usize>,
    ) -> Option<Picture> {
        match alpha.filter(|_| !self.linear) {
            None => self.straight(picture, rgb),
            Some(channel) => around(picture, &rgb, Alpha::both(channel), |straight| {
                self.straight(straight, rgb)
            }),
        }
    }

    fn straight(&self, picture: &Arc<Picture>, rgb: [usize; 3]) -> Option<Picture> {
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

/// Whether a conversion is one of light to light, by a few colours.
fn is_linear(cpu: &CpuProcessor) -> bool {
    let (a, b) = ([0.11f32, 0.42, 0.23], [0.67f32, 0.05, 1.4]);
    let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    let less: Vec<f32> = a.iter().map(|v| v * -3.0).collect();
    // Black, two colours, their sum, and a multiple of the first below black.
    let mut colours = [&[0.0; 3][..], &a, &b, &sum, &less].concat();
    cpu.apply_rgb_slice(&mut colours);
    let of = |colour: usize, c: usize| colours[3 * colour + c];
    let near = |a: f32, b: f32| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    (0..3).all(|c| {
        near(of(0, c), 0.0)
            && near(of(3, c), of(1, c) + of(2, c))
            && near(of(4, c), -3.0 * of(1, c))
    })
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
                Some(c) => c.apply(&picture, [3, 2, 1], None).unwrap(),
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
    fn premultiplied_colour_is_converted_as_the_colour_it_is() {
        let config = ColourConfig::open(None).unwrap();
        let of = |conversion: &Conversion, pixel: [f32; 4]| {
            let picture = Picture::from_data(1, 1, 4, pixel.to_vec()).unwrap();
            let made = conversion.apply(&Arc::new(picture), [0, 1, 2], Some(3));
            made.unwrap().pixel(0, 0).to_vec()
        };
        let log = config.conversion("ACEScg", "ACEScct").unwrap().unwrap();
        let colour = [0.18, 0.5, 2.0];
        let mut solid = colour;
        log.convert(&mut solid);
        for alpha in [1.0, 0.5, 0.01] {
            let [r, g, b] = colour.map(|v| v * alpha);
            let made = of(&log, [r, g, b, alpha]);
            for c in 0..3 {
                let off = (made[c] - solid[c] * alpha).abs();
                assert!(off < 1e-6, "{alpha}: {made:?}");
            }
            assert_eq!(made[3], alpha);
        }
        // Nothing stays nothing; light without cover is converted as it is.
        assert_eq!(of(&log, [0.0; 4]), [0.0; 4]);
        assert_eq!(of(&log, [0.18, 0.5, 2.0, 0.0])[..3], solid);
        // From light to light no value takes a detour.
        let matrix = config.conversion("ACEScg", "ACES2065-1").unwrap().unwrap();
        assert!(matrix.linear && !log.linear);
        let mut plain = [0.1f32, 0.2, 0.3];
        matrix.convert(&mut plain);
        assert_eq!(of(&matrix, [0.1, 0.2, 0.3, 0.7])[..3], plain);
    }

    #[test]
    fn every_space_has_a_way_to_what_models_know_and_back() {
        let config = ColourConfig::open(None).unwrap();
        let working = config.working().unwrap().to_owned();
        let [there, back] = config.rec709(&working).unwrap();
        // Red of AP1 lies beyond Rec.709's.
        let mut red = [1.0, 0.0, 0.0];
        there.convert(&mut red);
        let known = [1.704_9, -0.130_3, -0.024_0];
        for (a, b) in red.iter().zip(known) {
            assert!((a - b).abs() < 1e-3, "{red:?}");
        }
        for colour in [[0.18, 0.18, 0.18], [-0.3, 4.0, 60.0], [1.0, 0.0, 0.0]] {
            let mut value = colour;
            there.convert(&mut value);
            back.convert(&mut value);
            for (a, b) in value.iter().zip(colour) {
                assert!((a - b).abs() < 1e-5 * f32::max(1.0, b.abs()), "{value:?}");
            }
        }
        let [same, again] = config.rec709("Linear Rec.709 (sRGB)").unwrap();
        assert!(same == Conversion::default() && again == Conversion::default());
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
