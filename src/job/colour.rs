//! The colour spaces that a job names, and what they come to.

use std::path::PathBuf;

use super::error::{JobError, Kind};
use super::near::near;
use crate::frame::{ColourConfig, ColourError, Conversion, Primaries};
use crate::manifest::Values;

/// How many names are offered for one that is not known.
const OFFERED: usize = 5;

/// What is done with the colours of a job that names spaces.
#[derive(Clone, Debug)]
pub struct Colour {
    /// Whether the values that are fed are proportional to light.
    pub linear: bool,
    /// The conversions; `None` where frames go out in the space that they came in,
    /// in which no value is touched.
    pub ways: Option<Ways>,
    /// Whether the space that goes out was said.
    pub said: bool,
}

/// Into the space that is worked in and out of it.
#[derive(Clone, Debug)]
pub struct Ways {
    /// From the plate's space to scene-linear.
    pub read: Conversion,
    /// From there to that of the output.
    pub write: Conversion,
    /// What EXR files tell of the output's colours, where that is known.
    pub primaries: Option<Primaries>,
}

impl Colour {
    /// What `values` name; `None` where they name no space.
    ///
    /// # Errors
    /// Where the config cannot be used or has no such space.
    pub fn of(values: &Values) -> Result<Option<Self>, JobError> {
        let (fed, out) = (
            values.text("inputColorspace"),
            values.text("outputColorspace"),
        );
        if fed.is_empty() && out.is_empty() {
            return Ok(None);
        }
        let usage = |text: &str| Err(JobError::new(Kind::Usage, text));
        if fed.is_empty() {
            return usage(
                "outputColorspace needs to know what the plate is in: name it, as in --input-colorspace ACEScg",
            );
        }
        if values.text("plate").is_empty() {
            return usage(
                "inputColorspace is the plate's and there is no plate: leave it out, or give a plate",
            );
        }
        let file = match values.text("ocioConfig") {
            "" => std::env::var_os("OCIO").map(PathBuf::from),
            file => Some(file.into()),
        };
        let file = file.filter(|f| !f.as_os_str().is_empty());
        let config = ColourConfig::open(file.as_deref()).map_err(|e| usage_of(&e))?;
        let from = space(&config, fed)?;
        let to = match out {
            "" => from,
            out => space(&config, out)?,
        };
        let way = |a, b| config.conversion(a, b).map_err(|e| usage_of(&e));
        let ways = match way(from, to)? {
            None => None,
            Some(_) => {
                let working = config.working().map_err(|e| usage_of(&e))?;
                Some(Ways {
                    read: way(from, working)?.unwrap_or_default(),
                    write: way(working, to)?.unwrap_or_default(),
                    primaries: primaries(to),
                })
            }
        };
        Ok(Some(Self {
            linear: ways.is_some() || config.is_linear(from),
            ways,
            said: !out.is_empty(),
        }))
    }
}

fn usage_of(error: &ColourError) -> JobError {
    JobError::new(Kind::Usage, error.to_string())
}

fn space<'c>(config: &'c ColourConfig, name: &str) -> Result<&'c str, JobError> {
    config.space(name).map_err(|error| match error {
        ColourError::Unknown { .. } => {
            let names = near(name, config.names(), OFFERED).join("', '");
            JobError::new(Kind::Usage, format!("{error}; near it are '{names}'"))
        }
        other => usage_of(&other),
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
