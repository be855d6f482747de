//! A model that is loaded, on the CPU or on a GPU.

use super::on_gpu::OnGpu;
use super::pipeline::{Experts, Made, PipelineError, Run};
use super::transformer::Transformer;
use crate::device::Task;

/// A model, wherever it works.
pub enum Loaded {
    /// In this process's memory.
    OnCpu(Box<Experts<Transformer>>),
    /// On a GPU.
    OnGpu(Experts<OnGpu>),
}

impl Loaded {
    /// Makes the latents of `run`.
    ///
    /// # Errors
    /// Where what is given does not go together, or the work is to stop.
    pub fn sample(&self, run: &Run<'_>, task: Task<'_>) -> Result<Made, PipelineError> {
        match self {
            Self::OnCpu(experts) => experts.sample(run, task),
            Self::OnGpu(experts) => experts.sample(run, task),
        }
    }
}
