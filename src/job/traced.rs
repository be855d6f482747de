//! The take that a sequence says it is of: what its frames tell of it, held against
//! the files that are there.

use std::path::{Path, PathBuf};

use super::error::JobError;
use super::options::options;
use super::paths;
use super::provenance::{Origin, Provenance, provenance};
use super::shot::Shot;
use super::sources;
use super::spec::{Draft, Job};
use super::text::kebab;
use super::version::check_version;
use crate::frame::Sequence;
use crate::manifest::{Manifest, Param, ParamKind, Value, Values};
use crate::sequence::estimate::BLOCK;
use crate::sequence::report::Missing;

/// What a report and the take that it is of both say.
const SHARED: [&str; 6] = [
    "plateRange",
    "encoding",
    "fps",
    "inputColorspace",
    "outputColorspace",
    "ocioConfig",
];
/// What a report says alone, and where the plate lies now.
const OWN: [&str; 6] = [
    "plate",
    "contactSheet",
    "preview",
    "report",
    "page",
    "threads",
];

/// The parameters of `options` that name what a take reads beside its plate, and which may
/// lie elsewhere by now.
pub fn moved(options: &Manifest) -> impl Iterator<Item = &Param> {
    options.params.iter().filter(|p| {
        let name = p.name.as_str();
        let is_path = matches!(p.kind, ParamKind::File | ParamKind::Folder);
        let is_read = is_path && !sources::is_written(name) || paths::LISTS.contains(&name);
        is_read && p.changes_frames && !SHARED.contains(&name) && name != "plate"
    })
}

/// What the frames of a sequence tell of their take.
pub(super) struct Traced {
    /// The job that made them.
    pub job: Job,
    /// What is added to the numbers of the files to come to those of the take.
    pub offset: i32,
    /// What cannot be told of them nonetheless.
    pub missing: Vec<Missing>,
}

/// The job that made the frames `files`, as these tell, measured as `draft` says.
///
/// # Errors
/// In words for a person why that is not known: the frames tell nothing, or differing
/// things; another version made them; plate, matte or model are others or gone; `draft`
/// says otherwise than they do.
pub(super) fn trace(files: &Path, draft: &Draft) -> Result<Traced, String> {
    let words = |e: JobError| e.message;
    let Told {
        take: told,
        offset,
        blocks_differ,
    } = told(files)?;
    let place = paths::absolute(files).map_err(words)?;
    let folder = place.parent().unwrap_or(Path::new(""));
    let mut own = told.draft(folder).map_err(words)?;
    for name in SHARED.into_iter().chain(OWN) {
        let Some(value) = draft.values().get(name).filter(|_| draft.is_said(name)) else {
            continue;
        };
        let made_with = own.values().get(name);
        if SHARED.contains(&name) && made_with != Some(value) {
            let made_with = made_with.map(Value::to_string).unwrap_or_default();
            return Err(format!(
                "it was made with {name} '{made_with}' and is measured with '{value}'"
            ));
        }
        own.set(name, value.clone()).map_err(|e| e.to_string())?;
    }
    move_files(&mut own, draft)?;
    are_there(own.values())?;
    let out = Value::Text(place.display().to_string());
    own.set("out", out).map_err(|e| e.to_string())?;
    let mut job = own.job().map_err(words)?;
    job.told_from = Some(folder.to_owned());
    let shot = Shot::open(&job).map_err(words)?;
    let found = Origin::of(&shot).map_err(words)?;
    match told.other_files(found.told()) {
        Some(what) => Err(format!(
            "the files of {what} are others than those that it was made from: name the right ones with --{}",
            kebab(&what)
        )),
        None => {
            drop(shot);
            let missing = blocks_differ.map(|[a, b]| Missing {
                measures: vec!["seam_block".to_owned()],
                why: format!(
                    "some frames were made in blocks of {a} and some of {b} frames, so that it is not known where blocks meet: make all with one blockFrames"
                ),
            });
            Ok(Traced {
                job,
                offset,
                missing: missing.into_iter().collect(),
            })
        }
    }
}

/// Gives `own`, the values of a take, the places of its files that `draft` says.
fn move_files(own: &mut Draft, draft: &Draft) -> Result<(), String> {
    for param in moved(draft.options()).filter(|p| draft.is_said(&p.name)) {
        let name = &param.name;
        let said = draft.values().text(name);
        let told = own.values().text(name);
        // What has no meaning in the mode is told as that.
        if param.fits(own.values().text("mode"), own.values().text("engine")) {
            if told.is_empty() {
                return Err(format!(
                    "it was made without {name} and is measured with one"
                ));
            }
            let beside = |text: &str| paths::each(param, text, |_| Ok(PathBuf::new()));
            let differ = beside(said).ok() != beside(told).ok();
            if differ && paths::LISTS.contains(&name.as_str()) {
                return Err(format!(
                    "it was made with {name} '{told}' and is measured with '{said}': change the paths alone"
                ));
            }
        }
        let said = Value::Text(said.to_owned());
        own.set(name, said).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Checks that what `values` of a take name to be read is there.
fn are_there(values: &Values) -> Result<(), String> {
    let all = options().map_err(|e| e.to_string())?;
    for param in all.param("plate").into_iter().chain(moved(all)) {
        let name = &param.name;
        let there = |path: &Path| {
            let files = || Sequence::find(path).and_then(|s| s.files());
            path.exists() || files().is_ok_and(|f| !f.is_empty())
        };
        let files = sources::named(values, name);
        if let Some(gone) = files.iter().find(|path| !there(path)) {
            if name == "plate" {
                return Err(format!("its plate, {}, is not there", gone.display()));
            }
            return Err(format!(
                "its {name}, {}, is not there: say where it lies now, as in --{}{}",
                gone.display(),
                kebab(name),
                match paths::LISTS.contains(&name.as_str()) {
                    true => ", the list as it was but for its paths",
                    false => " FILE",
                }
            ));
        }
    }
    Ok(())
}

/// What all frames of a sequence tell alike.
struct Told {
    /// What the first frame tells.
    take: Provenance,
    /// What is added to the number of a file to come to that of the take.
    offset: i32,
    /// Two lengths of blocks, where frames tell differing ones.
    blocks_differ: Option<[i64; 2]>,
}

/// What all of `files` tell alike.
fn told(files: &Path) -> Result<Told, String> {
    let sequence = Sequence::find(files).map_err(|e| e.to_string())?;
    if !matches!(sequence.extension().as_str(), "exr" | "png") {
        return Err("only EXR and PNG frames tell which take they are of".to_owned());
    }
    let mut first: Option<Told> = None;
    for (number, path) in sequence.files().map_err(|e| e.to_string())? {
        let own = provenance(&path).map_err(|e| e.message)?;
        let offset = own.frame.checked_sub(number);
        let astray = format!(
            "{} says that it is frame {} of its take, which the numbers of the other files do not lead to: frames were renumbered one by one, give them their numbers back",
            path.display(),
            own.frame
        );
        let Some(offset) = offset else {
            return Err(astray);
        };
        let Some(told) = &mut first else {
            first = Some(Told {
                take: own,
                offset,
                blocks_differ: None,
            });
            continue;
        };
        if offset != told.offset {
            return Err(astray);
        }
        if let Some(what) = own.differs(&told.take) {
            return Err(format!(
                "{} is of another take than the frames before it, {what}: make all with the same options, or measure each take in a folder of its own",
                path.display()
            ));
        }
        let blocks = [&told.take, &own].map(blocks_of);
        if blocks[0] != blocks[1] {
            told.blocks_differ = Some(blocks);
        }
    }
    let told = first.ok_or_else(|| "there are no frames".to_owned())?;
    let made_by = format!("{}, longtake {}", told.take.engine, told.take.longtake);
    check_version(&made_by)
        .map_err(|_| format!("it was made by {made_by} and this is another version"))?;
    Ok(told)
}

/// Frames in the blocks that `told` was made in.
fn blocks_of(told: &Provenance) -> i64 {
    // Frames from before it was told were made in blocks of the default, as a rule.
    told.block_frames.unwrap_or(BLOCK as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_report_takes_is_what_there_is() {
        let all = options().unwrap();
        for name in SHARED.into_iter().chain(OWN) {
            assert!(all.param(name).is_some(), "{name}");
        }
        let moved: Vec<&str> = moved(all).map(|p| p.name.as_str()).collect();
        for name in [
            "matte",
            "guide",
            "holdOut",
            "region3Matte",
            "remake",
            "subject1Matte",
            "subject1Reference",
            "references",
            "model",
            "loras",
        ] {
            assert!(moved.contains(&name), "{name}");
        }
        for name in [
            "plate",
            "out",
            "report",
            "saveLatents",
            "ocioConfig",
            "store",
        ] {
            assert!(!moved.contains(&name), "{name}");
        }
    }
}
