//! What a job comes to on this machine: what it needs, and how long it takes.

use std::time::Instant;

use super::error::JobError;
use super::shot::Shot;
use crate::engine::AnyEngine;
use crate::frame::PlateReader as _;
use crate::sequence::estimate::{Estimate, Known, Machine, Needs, Output, Scope, threads_here};
use crate::store::Vault;

impl Shot<'_> {
    /// What a machine has to have to make a block of this. Where the job does not
    /// say how many threads, on those that are here.
    pub fn needs(&self) -> Needs {
        self.scope().needs(self.job.threads.unwrap_or(1))
    }

    /// What the job comes to on this machine, of the frames `wanted`. Reads two
    /// frames of the plate; measures the machine where `vault` does not have that
    /// already, which takes some seconds.
    ///
    /// # Errors
    /// Where the plate cannot be read, or nothing can be written to the folder of
    /// temporary files.
    pub fn estimate(&self, wanted: &[i32], vault: &dyn Vault) -> Result<Estimate, JobError> {
        let (job, scope) = (self.job, self.scope());
        let machine = Machine::kept(vault, &job.setup.engine, scope.threads)?;
        let known = Known {
            analysis: vault.has(&self.names.analysis),
            take: vault.has(&self.names.take),
        };
        let there = |f: &i32| self.writer.path(*f).exists();
        let frames: Vec<i32> = wanted.iter().copied().filter(|f| !there(f)).collect();
        let output = Output {
            frames: &frames,
            reduce: job.reduce,
            written: true,
        };
        let reading = match job.setup.engine {
            AnyEngine::Plate(_) => self.reading()?,
            // Beside the model's own time it is nothing.
            AnyEngine::Wan(_) => 0.0,
        };
        let time = scope.time(&machine, known, &output, reading);
        Ok(Estimate {
            blocks: self.plan.blocks().count(),
            time,
            threads: scope.threads,
            needs: self.needs(),
        })
    }

    /// Seconds in which a plate frame is read.
    fn reading(&self) -> Result<f64, JobError> {
        let range = self.info.range;
        let mut plate = self.job.open_plate()?;
        // The first frame of a movie waits for the program that decodes it.
        plate.read(range.first)?;
        let begun = Instant::now();
        plate.read(range.last.min(range.first.saturating_add(1)))?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn scope(&self) -> Scope<'_> {
        let setup = &self.job.setup;
        Scope {
            engine: &setup.engine,
            timeline: &self.timeline,
            plate: self.plate.info(),
            movie: self.plate.is_movie(),
            memory: setup.memory,
            block: self.job.block,
            threads: self.job.threads.unwrap_or_else(threads_here),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::job::options;
    use crate::manifest::Value;
    use crate::sequence::estimate::BLOCK;

    #[test]
    fn node_and_job_count_the_same_blocks() {
        let default = &options().unwrap().param("blockFrames").unwrap().default;
        assert_eq!(*default, Some(Value::Int(BLOCK as i64)));
    }
}
