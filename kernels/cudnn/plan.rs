//! Engines for a graph, made ready and run.

use std::ffi::c_void;
use std::sync::Arc;

use super::names::{Attribute, Heuristics, Kind, ValueType};
use super::{Descriptor, Draft, Handle, Result};

/// For which device engines are made ready.
pub enum Target<'a> {
    /// The one of a handle.
    Device(&'a Handle),
    /// One that is not here, by its properties: see [`Kind::DeviceProperties`].
    Described(Arc<Descriptor>),
}

/// The engines that cuDNN picks for `graph`, its first choice first.
pub fn engines(
    graph: &Arc<Descriptor>,
    mode: Heuristics,
    target: &Target<'_>,
) -> Result<Vec<Arc<Descriptor>>> {
    let mut draft = Draft::new(graph.library, Kind::EngineHeuristics)?
        .refer(Attribute::HeuristicsGraph, graph)?
        .choice(
            Attribute::HeuristicsMode,
            ValueType::HeuristicsMode,
            mode as i32,
        )?;
    if let Target::Described(device) = target {
        draft = draft.refer(Attribute::HeuristicsDevice, device)?;
    }
    let heuristics = draft.finish()?;
    heuristics.descriptors(Attribute::HeuristicsResults, Kind::EngineConfig)
}

/// An engine that is ready.
#[derive(Debug)]
pub struct Plan {
    descriptor: Arc<Descriptor>,
    workspace: usize,
}

impl Plan {
    /// Makes `engine` ready for `target`; its kernels may be compiled, for half a second.
    ///
    /// # Errors
    /// Where the engine finds that it cannot do it after all.
    pub fn new(engine: Arc<Descriptor>, target: &Target<'_>) -> Result<Self> {
        let library = engine.library;
        let draft = Draft::new(library, Kind::ExecutionPlan)?
            .refer(Attribute::PlanEngineConfig, &engine)?;
        let draft = match target {
            Target::Device(handle) => draft.handle(Attribute::PlanHandle, handle)?,
            Target::Described(device) => draft.refer(Attribute::PlanDevice, device)?,
        };
        let descriptor = draft.finish()?;
        let bytes = descriptor.integer(Attribute::PlanWorkspaceBytes)?;
        Ok(Self {
            descriptor,
            workspace: usize::try_from(bytes).unwrap_or(0),
        })
    }

    /// Bytes of device memory that it works in.
    pub fn workspace(&self) -> usize {
        self.workspace
    }

    /// Queues the work on the stream of `handle`: tensor `id` lies where its pointer says
    /// (a value: in main memory).
    ///
    /// # Safety
    /// The pointers are good for the tensors of the graph until the work is done, values
    /// until this returns; `workspace` has as many bytes as [`Plan::workspace`] says, from
    /// a multiple of 256; `handle` is the one that the plan was made for.
    pub unsafe fn execute(
        &self,
        handle: &Handle,
        tensors: &[(i64, *mut c_void)],
        workspace: *mut c_void,
    ) -> Result<()> {
        let library = self.descriptor.library;
        let (ids, pointers): (Vec<i64>, Vec<*mut c_void>) = tensors.iter().copied().unzip();
        let pack = Draft::new(library, Kind::VariantPack)?
            .integers(Attribute::PackIds, &ids)?
            .pointers(Attribute::PackPointers, &pointers)?
            .pointers(Attribute::PackWorkspace, &[workspace])?
            .finish()?;
        // SAFETY: as the caller says.
        let status = unsafe { (library.execute)(handle.raw, self.descriptor.raw, pack.raw) };
        library.checked(status, || "the work".to_owned())
    }
}
