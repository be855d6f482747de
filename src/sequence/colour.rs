//! The colour spaces that values name, and what they come to.

use std::path::PathBuf;

use super::request::RequestError;
use crate::engine::AnyEngine;
use crate::engine::wan::PlateColour;
use crate::frame::{ColourConfig, ColourError, Conversion, Primaries, Transfer};
use crate::manifest::{Values, near};
use crate::sequence::Setup;

/// How many names are offered for one that is not known.
const OFFERED: usize = 5;

/// What is done with the colours of a take whose spaces are named.
#[derive(Clone, Debug, PartialEq)]
pub struct Colour {
    /// Whether the values that are fed are proportional to light.
    pub linear: bool,
    /// The conversions; `None` where frames go out in the space that they came in,
    /// in which no value is touched.
    pub ways: Option<Ways>,
    /// Whether the space that goes out was said.
    pub said: bool,
    /// From the values that are fed to what models know, and back; `None` where no model
    /// is asked or the values are that already.
    pub model: Option<PlateColour>,
}

/// Into the space that is worked in and out of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ways {
    /// From the plate's space to scene-linear.
    pub read: Conversion,
    /// From there to that of the output.
    pub write: Conversion,
    /// From the output's space to scene-linear.
    pub back: Conversion,
    /// What EXR files tell of the output's colours, where that is known.
    pub primaries: Option<Primaries>,
}

impl Colour {
    /// What `values` name for a plate in files; `None` where they name no space.
    ///
    /// # Errors
    /// Where the config cannot be used or has no such space.
    pub fn of(values: &Values) -> Result<Option<Self>, RequestError> {
        let (fed, out) = (
            values.text("inputColorspace"),
            values.text("outputColorspace"),
        );
        if fed.is_empty() && out.is_empty() {
            return Ok(None);
        }
        let plate = !values.text("plate").is_empty();
        let alone = values.text("engine") == "wan" && values.text("mode") == "generate";
        match (fed, plate) {
            ("", false) if alone => return Self::from_nothing(values, out).map(Some),
            ("", _) => {
                return refused(
                    "outputColorspace needs to know what the plate is in: name inputColorspace too, as in --input-colorspace ACEScg",
                );
            }
            (_, false) => {
                return refused(
                    "inputColorspace is the plate's and there is no plate: leave it out, or give a plate",
                );
            }
            _ => {}
        }
        let config = config(values)?;
        let from = space(&config, fed)?;
        let to = match out {
            "" => from,
            out => space(&config, out)?,
        };
        let way = |a, b| config.conversion(a, b).map_err(setting);
        let (ways, worked) = match way(from, to)? {
            None => (None, from),
            Some(_) => {
                let working = config.working().map_err(setting)?;
                let ways = Ways {
                    read: way(from, working)?.unwrap_or_default(),
                    write: way(working, to)?.unwrap_or_default(),
                    back: way(to, working)?.unwrap_or_default(),
                    primaries: primaries(to),
                };
                (Some(ways), working)
            }
        };
        Ok(Some(Self {
            linear: ways.is_some() || config.is_linear(from),
            ways,
            said: !out.is_empty(),
            model: model(values, &config, worked)?,
        }))
    }

    /// What `values` name for a plate that a host hands over, whose values stay as they
    /// are; `None` where they name no space.
    ///
    /// # Errors
    /// As of [`of`](Self::of).
    pub fn of_host(values: &Values) -> Result<Option<Self>, RequestError> {
        let fed = values.text("inputColorspace");
        if fed.is_empty() {
            return Ok(None);
        }
        let config = config(values)?;
        let from = space(&config, fed)?;
        Ok(Some(Self {
            linear: config.is_linear(from),
            ways: None,
            said: false,
            model: model(values, &config, from)?,
        }))
    }

    /// Frames that a model makes from words alone are light of Rec.709's primaries.
    fn from_nothing(values: &Values, out: &str) -> Result<Self, RequestError> {
        let config = config(values)?;
        let to = space(&config, out)?;
        let [back, write] = config.rec709(to).map_err(setting)?;
        Ok(Self {
            linear: true,
            ways: Some(Ways {
                read: Conversion::default(),
                write,
                back,
                primaries: primaries(to),
            }),
            said: true,
            model: None,
        })
    }

    /// What the values that are fed are, for decisions.
    pub fn transfer(&self) -> Transfer {
        match self.linear {
            true => Transfer::Linear,
            false => Transfer::Display,
        }
    }

    /// Tells the engine of `setup` what the plate's values, and those of a `guide` that
    /// has a space of its own, are to a model.
    pub fn tell(colour: Option<&Self>, guide: Option<Conversion>, setup: &mut Setup) {
        if let AnyEngine::Wan(engine) = &mut setup.engine {
            engine.settings.colour = colour.and_then(|c| c.model.clone());
            engine.settings.guide_colour = guide;
        }
    }
}

/// From the space that `values` name for the guide to what models know; `None` where
/// they name none.
///
/// # Errors
/// As of [`Colour::of`].
pub fn guide_colour(values: &Values) -> Result<Option<Conversion>, RequestError> {
    let name = values.text("guideColorspace");
    if name.is_empty() || !(values.text("engine") == "wan" && values.text("mode") == "match") {
        return Ok(None);
    }
    let config = config(values)?;
    let [there, _] = config.rec709(space(&config, name)?).map_err(setting)?;
    Ok(Some(there))
}

/// The ways between `space` and what a model knows, where one is asked.
fn model(
    values: &Values,
    config: &ColourConfig,
    space: &str,
) -> Result<Option<PlateColour>, RequestError> {
    if values.text("engine") != "wan" {
        return Ok(None);
    }
    let [there, back] = config.rec709(space).map_err(setting)?;
    Ok(Some(PlateColour { there, back }))
}

/// The configuration that `values` or the environment name.
fn config(values: &Values) -> Result<ColourConfig, RequestError> {
    let file = match values.text("ocioConfig") {
        "" => std::env::var_os("OCIO").map(PathBuf::from),
        file => Some(file.into()),
    };
    let file = file.filter(|f| !f.as_os_str().is_empty());
    ColourConfig::open(file.as_deref()).map_err(setting)
}

fn refused<T>(text: &str) -> Result<T, RequestError> {
    Err(RequestError::Setting(text.to_owned()))
}

fn setting(error: ColourError) -> RequestError {
    RequestError::Setting(error.to_string())
}

fn space<'c>(config: &'c ColourConfig, name: &str) -> Result<&'c str, RequestError> {
    config.space(name).map_err(|error| match error {
        ColourError::Unknown { .. } => {
            let names = near(name, config.names(), OFFERED).join("', '");
            RequestError::Setting(format!("{error}; near it are '{names}'"))
        }
        other => setting(other),
    })
}

/// The primaries of the spaces that the standard configurations name.
fn primaries(space: &str) -> Option<Primaries> {
    match space {
        "ACEScg" | "ACEScct" | "ACEScc" => Some(Primaries::AcesCg),
        "ACES2065-1" => Some(Primaries::Aces),
        "Linear Rec.709 (sRGB)" | "sRGB - Texture" => Some(Primaries::Rec709),
        "Linear P3-D65" => Some(Primaries::P3),
        "Linear Rec.2020" => Some(Primaries::Rec2020),
        _ => None,
    }
}
