//! Where a written frame comes from, told in the frame itself, and the frame made
//! again from that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{JobError, Kind};
use super::options::options;
use super::paths;
use super::run;
use super::shot::Shot;
use super::sources::{self, Sources};
use super::spec::{Draft, Job};
use super::version::check_version;
use super::watch::Watch;
use crate::device::Cancel;
use crate::engine::{AnyEngine, Engine as _};
use crate::frame::{
    self, FilePlate, FrameError, FrameRange, PlateOptions, PlateReader as _, Sequence,
};
use crate::manifest::{ParamKind, Value};

/// Where a frame comes from. In the frame it is a line of JSON in plain ASCII, in
/// the EXR attribute or the PNG text `longtake:provenance`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// Whether the frame was made; a kept one is the plate's, untouched.
    pub generated: bool,
    /// The plate frame that a kept one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_from: Option<i32>,
    /// The engine and its version.
    pub engine: String,
    /// The hash of the engine's weights; none where it has no weights.
    pub weights: Option<String>,
    /// The version of Longtake.
    pub longtake: String,
    /// The output frame.
    pub frame: i32,
    /// What the noise was drawn from.
    pub seed: i64,
    /// Names what the files of the plate hold: the numbers of its frames, the length of
    /// each file and its first and last 64 KiB, of a movie all of it; none where there
    /// is no plate.
    pub plate_hash: Option<String>,
    /// The same of the matte, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matte_hash: Option<String>,
    /// The same of the guide, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guide_hash: Option<String>,
    /// The same of every other picture and matte that frames depend on, by the name of its
    /// parameter: hold-outs, regions, parts that are made again, subjects, references. Of
    /// several files in one parameter, in order.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub file_hashes: BTreeMap<String, String>,
    /// Frames in a block of the plan that it was made by (`blockFrames`). Pixels do not
    /// depend on it, so it is none of `parameters`; a report looks at where blocks meet.
    /// Frames made before it was told have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_frames: Option<i64>,
    /// Names the parameters, wherever plate and matte lie.
    pub parameters_hash: String,
    /// The parameters that a frame depends on. Paths are told from the frame's folder
    /// where both lie in one tree, else in full, so that a shot that is moved or carried
    /// elsewhere as a whole tells the same.
    pub parameters: BTreeMap<String, Value>,
}

impl Provenance {
    /// The values that the frame was made with, which lies in `folder`, an absolute path.
    ///
    /// # Errors
    /// Where this Longtake does not take them.
    pub(super) fn draft(&self, folder: &Path) -> Result<Draft, JobError> {
        let mut draft = Draft::new()?;
        for (name, value) in &self.parameters {
            let value = match (draft.options().param(name), value) {
                (Some(param), Value::Text(text)) => {
                    let there = paths::each(param, text, |path| Ok(paths::to_path(folder, path)))?;
                    Value::Text(there.unwrap_or_else(|| text.clone()))
                }
                _ => value.clone(),
            };
            draft.set(name, value)?;
        }
        if let Some(frames) = self.block_frames {
            draft.set("blockFrames", Value::Int(frames))?;
        }
        Ok(draft)
    }

    /// In what this is of another take than `other`, in words; `None` where both are of
    /// one.
    pub(super) fn differs(&self, other: &Self) -> Option<String> {
        let made_by = |of: &Self| format!("{}, longtake {}", of.engine, of.longtake);
        if made_by(self) != made_by(other) {
            return Some(format!(
                "made by {} and not by {}",
                made_by(self),
                made_by(other)
            ));
        }
        if let Some(what) = self.other_files(other).or_else(|| other.other_files(self)) {
            return Some(format!("of other files of {what}"));
        }
        if self.parameters_hash == other.parameters_hash {
            return None;
        }
        let of = |told: &Self, name: &String| {
            let value = told.parameters.get(name);
            value.map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        // Where files lie does not count, what they hold was compared.
        let is_file = |name: &str| {
            let param = options().ok().and_then(|o| o.param(name));
            param.is_some_and(|p| p.kind == ParamKind::File)
        };
        let names = self.parameters.keys().chain(other.parameters.keys());
        let mut names = names.filter(|name| !is_file(name));
        let differing = names.find(|n| self.parameters.get(*n) != other.parameters.get(*n));
        Some(differing.map_or_else(
            || "of other parameters".to_owned(),
            |name| format!("{name} {} and not {}", of(self, name), of(other, name)),
        ))
    }

    /// That `found`, which was made from the files that are there now, is made from others
    /// than this: what these are, a parameter's name.
    pub(super) fn other_files(&self, found: &Self) -> Option<String> {
        let all = [
            ("plate", &found.plate_hash, &self.plate_hash),
            ("matte", &found.matte_hash, &self.matte_hash),
            ("guide", &found.guide_hash, &self.guide_hash),
            ("model", &found.weights, &self.weights),
        ];
        let differs = all.into_iter().find(|(_, found, told)| found != told);
        differs.map(|d| d.0.to_owned()).or_else(|| {
            let hashes = self.file_hashes.iter();
            let mut other =
                hashes.filter(|(name, told)| found.file_hashes.get(*name) != Some(told));
            other.next().map(|(name, _)| name.clone())
        })
    }
}

/// What all frames of a take have in common.
pub(super) struct Origin(Provenance);

impl Origin {
    /// Of the take of `shot`.
    pub(super) fn of(shot: &Shot<'_>) -> Result<Self, JobError> {
        let job = shot.job;
        let parameters = parameters(job, shot.timeline.out)?;
        let name = |path: &Path| Ok(PathBuf::from(path.file_name().unwrap_or_default()));
        let mut placeless = BTreeMap::new();
        for (name_of, value) in &parameters {
            let param = options().ok().and_then(|o| o.param(name_of));
            let named = match (param, value) {
                (Some(param), _) if param.kind == ParamKind::File => continue,
                (Some(param), Value::Text(text)) => paths::each(param, text, name)?,
                _ => None,
            };
            let value = named.map_or_else(|| value.clone(), Value::Text);
            placeless.insert(name_of.as_str(), value);
        }
        let said = serde_json::to_string(&placeless);
        let said = said.map_err(|e| JobError::new(Kind::Internal, e.to_string()))?;
        let weights = match &job.setup.engine {
            AnyEngine::Plate(_) => None,
            AnyEngine::Wan(engine) => Some(engine.weights()),
        };
        Ok(Self(Provenance {
            generated: true,
            kept_from: None,
            engine: job.setup.engine.version().to_owned(),
            weights,
            longtake: env!("CARGO_PKG_VERSION").to_owned(),
            frame: 0,
            seed: job.values.int("seed"),
            plate_hash: shot.contents.plate.map(short),
            matte_hash: shot.contents.matte.map(short),
            guide_hash: shot.contents.guide.map(short),
            file_hashes: file_hashes(job, &parameters)?,
            block_frames: Some(job.values.int("blockFrames")),
            parameters_hash: short(blake3::hash(said.as_bytes())),
            parameters,
        }))
    }

    /// What all of them tell.
    pub(super) fn told(&self) -> &Provenance {
        &self.0
    }

    /// What frame `frame` tells, which is plate frame `kept` where it is one.
    pub(super) fn text(&self, frame: i32, kept: Option<i32>) -> String {
        let told = Provenance {
            generated: kept.is_none(),
            kept_from: kept,
            frame,
            ..self.0.clone()
        };
        // A plain tree of texts and numbers always serialises.
        ascii(&serde_json::to_string(&told).unwrap_or_default())
    }
}

/// The beginning of `hash`, for people to read.
fn short(hash: blake3::Hash) -> String {
    hash.to_hex()[..32].to_owned()
}

/// The values that frames depend on: those that have a meaning in the mode, said or
/// not, so that equal takes tell equal things.
fn parameters(job: &Job, out: FrameRange) -> Result<BTreeMap<String, Value>, JobError> {
    let options = options().map_err(|e| JobError::new(Kind::Internal, e))?;
    let folder = match &job.told_from {
        Some(folder) => paths::absolute(folder)?,
        None => paths::absolute(&job.out)?
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default(),
    };
    let mut told = BTreeMap::new();
    for param in &options.params {
        let fits = param.fits(job.values.text("mode"), job.values.text("engine"));
        let Some(value) = job.values.get(&param.name) else {
            continue;
        };
        // The plate engine makes the same anywhere; a model on a GPU does not.
        let on_gpu = param.name == "device"
            && job.values.text("engine") == "wan"
            && job.values.text("device") == "gpu";
        if !(param.changes_frames || on_gpu) || !fits {
            continue;
        }
        let place = |path: &Path| -> Result<PathBuf, JobError> {
            let path = match param.name.as_str() {
                // However its frames were named.
                "plate" | "matte" | "guide" => Sequence::find(path)?.pattern()?.into(),
                _ => path.to_owned(),
            };
            Ok(paths::from_folder(&folder, &paths::absolute(&path)?))
        };
        let value = match value {
            _ if param.name == "frames" => Value::Range([out.first.into(), out.last.into()]),
            Value::Text(text) if text.is_empty() => continue,
            Value::Range([a, b]) if a == b => continue,
            Value::Text(text) => {
                let placed = paths::each(param, text, place)?;
                Value::Text(placed.unwrap_or_else(|| text.clone()))
            }
            other => other.clone(),
        };
        told.insert(param.name.clone(), value);
    }
    Ok(told)
}

/// Parameters, of those that frames depend on, that name pictures beside plate, matte and
/// guide.
fn names_pictures(name: &str) -> bool {
    let numbered = |what: &str, end: &str| name.starts_with(what) && name.ends_with(end);
    matches!(name, "holdOut" | "references" | "remake")
        || numbered("region", "Matte")
        || numbered("subject", "Matte")
        || numbered("subject", "Reference")
}

/// What the files hold that parameters name, of those in `told`, by their names.
fn file_hashes(
    job: &Job,
    told: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, String>, JobError> {
    let mut hashes = BTreeMap::new();
    for name in told.keys().filter(|name| names_pictures(name)) {
        let files = sources::named(&job.values, name);
        let mut hasher = blake3::Hasher::new();
        for file in &files {
            let pictures = FilePlate::open(file, &PlateOptions::default())?;
            hasher.update(pictures.content()?.as_bytes());
        }
        if !files.is_empty() {
            hashes.insert(name.clone(), short(hasher.finalize()));
        }
    }
    Ok(hashes)
}

/// `text` with letters beyond ASCII as JSON escapes them: image headers hold Latin
/// letters only.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// What the frame `path` tells of where it comes from.
///
/// # Errors
/// Where it cannot be read or tells nothing.
pub fn provenance(path: &Path) -> Result<Provenance, JobError> {
    let nothing = |why: &str| {
        let path = path.display();
        JobError::new(
            Kind::Unreadable,
            format!("{path} does not tell where it comes from: {why}"),
        )
    };
    let text = frame::provenance(path)?.ok_or_else(|| {
        nothing("it was not written by Longtake, or another program dropped what it said")
    })?;
    serde_json::from_str(&text).map_err(|e| nothing(&format!("what it says is damaged ({e})")))
}

/// How a frame that was made again is like the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Likeness {
    /// The files are the same, byte for byte.
    Bytes,
    /// The pixels are the same, bit for bit; the header tells another place of the
    /// plate.
    Pixels,
}

/// Where things lie now, for a frame that is made again.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// The plate, where it has moved.
    pub plate: Option<PathBuf>,
    /// The matte, where it has moved.
    pub matte: Option<PathBuf>,
    /// The guide, where it has moved.
    pub guide: Option<PathBuf>,
    /// The model, where it has moved.
    pub model: Option<PathBuf>,
}

/// Makes the frame `path` again as `out` from what it tells, and holds the two
/// against each other.
///
/// # Errors
/// Where it tells nothing, was made by another version, plate or matte are others,
/// or the frame comes out otherwise; and as [`generate`](super::generate).
pub fn remake(
    path: &Path,
    out: &Path,
    moved: &Moved,
    cancel: &Cancel,
    watch: &dyn Watch,
) -> Result<Likeness, JobError> {
    let told = provenance(path)?;
    let mut beside = Sources::default();
    beside.add(
        Sequence::find(path),
        "a frame of the sequence that it is of",
    );
    beside.spare([out])?;
    let made_by = format!("{}, longtake {}", told.engine, told.longtake);
    check_version(&made_by).map_err(|_| {
        let text = format!(
            "{} was made by {made_by} and this is another version: make it again with that one",
            path.display()
        );
        JobError::new(Kind::Elsewhere, text)
    })?;
    let folder = paths::absolute(path)?;
    let folder = folder.parent().unwrap_or(Path::new(""));
    let mut draft = told.draft(folder)?;
    let text = |path: &Path| Value::Text(path.display().to_string());
    for (name, place) in [
        ("plate", &moved.plate),
        ("matte", &moved.matte),
        ("guide", &moved.guide),
        ("model", &moved.model),
    ] {
        if let Some(place) = place {
            draft.set(name, text(place))?;
        }
    }
    draft.set("out", text(&paths::absolute(out)?))?;
    draft.set("only", Value::Text(told.frame.to_string()))?;
    let mut job = draft.job()?;
    // It is a copy of the other, and tells what that one does.
    job.told_from = Some(folder.to_owned());
    let shot = Shot::open(&job)?;
    let found = Origin::of(&shot)?.0;
    if let Some(what) = told.other_files(&found) {
        let do_next = match what.as_str() {
            "plate" | "matte" | "guide" | "model" => {
                format!("name the right ones with --{what}")
            }
            _ => {
                let there = found.parameters.get(&what);
                let there = there.map(ToString::to_string).unwrap_or_default();
                format!("put the right ones back, at {there}")
            }
        };
        return Err(JobError::new(
            Kind::Mismatch,
            format!(
                "the files of {what} are others than those that {} was made from: {do_next}",
                path.display()
            ),
        ));
    }
    drop(shot);
    run::generate(&job, cancel, watch)?;
    compare(path, out)
}

fn compare(a: &Path, b: &Path) -> Result<Likeness, JobError> {
    let bytes = |path: &Path| {
        std::fs::read(path).map_err(|e| {
            let text = format!("{} cannot be read ({e})", path.display());
            JobError::new(Kind::Unreadable, text)
        })
    };
    if bytes(a)? == bytes(b)? {
        return Ok(Likeness::Bytes);
    }
    let (x, y) = (pixels(a)?, pixels(b)?);
    if x == y {
        return Ok(Likeness::Pixels);
    }
    Err(JobError::new(
        Kind::Mismatch,
        format!(
            "{} came out otherwise than {}: the plate's files changed within, or the frame was edited after it was made",
            b.display(),
            a.display()
        ),
    ))
}

/// Size and samples, as bits, of the file `path` itself, whatever number it bears.
fn pixels(path: &Path) -> Result<(usize, usize, Vec<u32>), FrameError> {
    let mut plate = FilePlate::open_one(path)?;
    let picture = plate.read_untouched(plate.info().range.first)?;
    let bits = picture.data().iter().map(|v| v.to_bits()).collect();
    Ok((picture.width(), picture.height(), bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_any_script_go_through_ascii() {
        let text = serde_json::to_string("/shows/грім/雷🌩/plate").unwrap();
        let plain = ascii(&text);
        assert!(plain.is_ascii());
        let back: String = serde_json::from_str(&plain).unwrap();
        assert_eq!(back, "/shows/грім/雷🌩/plate");
    }
}
