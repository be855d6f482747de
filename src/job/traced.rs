//! The take that a sequence says it is of: what its frames tell of it, held against
//! the files that are there.

use std::path::Path;

use super::error::JobError;
use super::paths;
use super::provenance::{Origin, Provenance, provenance};
use super::shot::Shot;
use super::spec::{Draft, Job};
use super::version::check_version;
use crate::frame::Sequence;
use crate::manifest::Value;

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

/// The job that made the frames `files`, as these tell, measured as `draft` says.
///
/// # Errors
/// In words for a person why that is not known: the frames tell nothing, or differing
/// things; another version made them; plate, matte or model are others or gone; `draft`
/// says otherwise than they do.
pub(super) fn trace(files: &Path, draft: &Draft) -> Result<Job, String> {
    let words = |e: JobError| e.message;
    let told = told(files)?;
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
    let out = Value::Text(place.display().to_string());
    own.set("out", out).map_err(|e| e.to_string())?;
    let mut job = own.job().map_err(words)?;
    job.told_from = Some(folder.to_owned());
    let shot = Shot::open(&job).map_err(words)?;
    let found = Origin::of(&shot).map_err(words)?;
    match told.other_files(found.told()) {
        Some(what) => Err(format!(
            "the files of {what} are others than those that it was made from"
        )),
        None => {
            drop(shot);
            Ok(job)
        }
    }
}

/// What all of `files` tell alike.
fn told(files: &Path) -> Result<Provenance, String> {
    let sequence = Sequence::find(files).map_err(|e| e.to_string())?;
    if !matches!(sequence.extension().as_str(), "exr" | "png") {
        return Err("only EXR and PNG frames tell which take they are of".to_owned());
    }
    let mut first: Option<Provenance> = None;
    for (number, path) in sequence.files().map_err(|e| e.to_string())? {
        let own = provenance(&path).map_err(|e| e.message)?;
        if own.frame != number {
            return Err(format!(
                "{} says that it is frame {} of its take: it was renumbered",
                path.display(),
                own.frame
            ));
        }
        match &first {
            Some(first) if !own.is_beside(first) => {
                return Err(format!(
                    "{} is of another take than the frames before it",
                    path.display()
                ));
            }
            Some(_) => {}
            None => first = Some(own),
        }
    }
    let told = first.ok_or_else(|| "there are no frames".to_owned())?;
    let made_by = format!("{}, longtake {}", told.engine, told.longtake);
    check_version(&made_by)
        .map_err(|_| format!("it was made by {made_by} and this is another version"))?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::options;

    #[test]
    fn what_a_report_takes_is_what_there_is() {
        let all = options().unwrap();
        for name in SHARED.into_iter().chain(OWN) {
            assert!(all.param(name).is_some(), "{name}");
        }
    }
}
