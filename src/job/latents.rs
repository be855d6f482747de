//! The latents of a take of the wan engine: told of, and written where that is asked
//! for.

use std::path::Path;

use candle_core::{Device, Tensor};

use super::error::{JobError, Kind};
use super::spec::Job;
use super::watch::{Event, Watch};
use crate::engine::wan::Latents;

/// Tells what a take's latents came to and writes them.
///
/// # Errors
/// Where they are to be written and cannot be.
pub fn told(job: &Job, latents: &Latents, watch: &dyn Watch) -> Result<(), JobError> {
    let made = latents.shots.iter().filter_map(|s| s.latents.as_ref());
    let shapes: Vec<_> = made.map(|l| &l.shape[..]).collect();
    if !shapes.is_empty() {
        watch.event(&Event::Latents {
            shapes,
            cached_steps: latents.cached.map(|(steps, _)| steps),
            cache_error: latents.cached.map(|(_, error)| error),
        });
    }
    let Some(path) = &job.save_latents else {
        return Ok(());
    };
    let [shot] = &latents.shots[..] else {
        return Err(JobError::new(
            Kind::Unsuitable,
            format!(
                "this take has {} shots and a file holds the latents of one: ask for one end at a time, or leave saveLatents out",
                latents.shots.len()
            ),
        ));
    };
    let Some(made) = &shot.latents else {
        return Err(JobError::new(
            Kind::Unsuitable,
            "this take is made in pieces, whose latents are in the store: leave saveLatents out, or ask for no more frames than are made at once, without refine".to_owned(),
        ));
    };
    let tensor = made.tensor();
    let tensor = tensor.map_err(|e| JobError::new(Kind::Internal, e.to_string()))?;
    save(path, tensor)?;
    watch.event(&Event::File {
        what: "latents",
        file: path,
    });
    Ok(())
}

/// The whole file or none.
fn save(path: &Path, latents: Tensor) -> Result<(), JobError> {
    let part = path.with_extension("part");
    let refuse = |why: String| {
        let text = format!(
            "{} cannot be written ({why}): choose a place that you may write to",
            path.display()
        );
        JobError::new(Kind::Output, text)
    };
    let latents = latents.to_device(&Device::Cpu);
    let latents = latents.map_err(|e| refuse(e.to_string()))?;
    let file = std::collections::HashMap::from([("latents", latents)]);
    candle_core::safetensors::save(&file, &part).map_err(|e| refuse(e.to_string()))?;
    std::fs::rename(&part, path).map_err(|e| refuse(e.to_string()))
}
