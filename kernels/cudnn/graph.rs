//! Operations over tensors that belong together.

use std::sync::Arc;

use super::names::{Attribute, DataType, Heuristics, Kind, Pointwise, Reduction, ValueType};
use super::plan::{Plan, Target, engines};
use super::{CudnnError, Descriptor, Draft, Library, Result};

/// Where a tensor's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the device's memory, from an address that is a multiple of so many bytes.
    Memory(i64),
    /// Nowhere: from one operation to the next.
    Between,
    /// A number in main memory, handed over by value.
    Value,
}

/// A tensor of a graph.
#[derive(Clone, Debug)]
pub struct Tensor {
    descriptor: Arc<Descriptor>,
}

impl Tensor {
    /// Its descriptor, for operations that are not made here.
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.descriptor
    }
}

/// Operations over tensors. What is not f32 in memory is worked on in f32.
pub struct Graph {
    library: &'static Library,
    operations: Vec<Arc<Descriptor>>,
    /// The number of the next tensor that has no name.
    next: i64,
}

/// Tensors between operations have numbers from here on; those of the caller are below.
const UNNAMED: i64 = 1 << 32;

impl Graph {
    /// A graph without operations.
    pub fn new(library: &'static Library) -> Self {
        Self {
            library,
            operations: Vec::new(),
            next: UNNAMED,
        }
    }

    /// The library that it is made with.
    pub fn library(&self) -> &'static Library {
        self.library
    }

    /// The tensor `id` (from 1 up), which execution finds by this number.
    pub fn tensor(
        &self,
        id: i64,
        kind: DataType,
        dims: &[i64],
        strides: &[i64],
        place: Place,
    ) -> Result<Tensor> {
        let alignment = match place {
            Place::Memory(bytes) => bytes,
            Place::Between | Place::Value => 16,
        };
        let mut draft = Draft::new(self.library, Kind::Tensor)?
            .integers(Attribute::TensorId, &[id])?
            .data_type(Attribute::TensorDataType, kind)?
            .integers(Attribute::TensorDimensions, dims)?
            .integers(Attribute::TensorStrides, strides)?
            .integers(Attribute::TensorAlignment, &[alignment])?;
        match place {
            Place::Memory(_) => {}
            Place::Between => draft = draft.flag(Attribute::TensorIsVirtual, true)?,
            Place::Value => draft = draft.flag(Attribute::TensorIsByValue, true)?,
        }
        let descriptor = draft.finish()?;
        Ok(Tensor { descriptor })
    }

    /// A tensor between two operations, its last axis closest together.
    pub fn between(&mut self, kind: DataType, dims: &[i64]) -> Result<Tensor> {
        let mut strides = vec![1; dims.len()];
        for axis in (1..dims.len()).rev() {
            strides[axis - 1] = strides[axis] * dims[axis];
        }
        self.next += 1;
        self.tensor(self.next, kind, dims, &strides, Place::Between)
    }

    /// Adds an operation.
    pub fn push(&mut self, operation: Arc<Descriptor>) {
        self.operations.push(operation);
    }

    /// Adds `c = a · b`, over the last two axes.
    pub fn matmul(&mut self, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<()> {
        let how = Draft::new(self.library, Kind::Matmul)?
            .data_type(Attribute::MatmulPrecision, DataType::F32)?
            .finish()?;
        let operation = Draft::new(self.library, Kind::OperationMatmul)?
            .refer(Attribute::OperationMatmulA, &a.descriptor)?
            .refer(Attribute::OperationMatmulB, &b.descriptor)?
            .refer(Attribute::OperationMatmulC, &c.descriptor)?
            .refer(Attribute::OperationMatmulDescriptor, &how)?
            .finish()?;
        self.push(operation);
        Ok(())
    }

    /// Adds `y = mode(x, b)`; `b` where `mode` takes two.
    pub fn pointwise(
        &mut self,
        mode: Pointwise,
        x: &Tensor,
        b: Option<&Tensor>,
        y: &Tensor,
    ) -> Result<()> {
        let how = Draft::new(self.library, Kind::Pointwise)?
            .choice(
                Attribute::PointwiseMode,
                ValueType::PointwiseMode,
                mode as i32,
            )?
            .data_type(Attribute::PointwisePrecision, DataType::F32)?
            .finish()?;
        let mut operation = Draft::new(self.library, Kind::OperationPointwise)?
            .refer(Attribute::OperationPointwiseDescriptor, &how)?
            .refer(Attribute::OperationPointwiseX, &x.descriptor)?;
        if let Some(b) = b {
            operation = operation.refer(Attribute::OperationPointwiseB, &b.descriptor)?;
        }
        let operation = operation
            .refer(Attribute::OperationPointwiseY, &y.descriptor)?
            .finish()?;
        self.push(operation);
        Ok(())
    }

    /// Adds the reduction of `x` along the axes where `y` is 1 long.
    pub fn reduce(&mut self, by: Reduction, x: &Tensor, y: &Tensor) -> Result<()> {
        let how = Draft::new(self.library, Kind::Reduction)?
            .choice(
                Attribute::ReductionOperator,
                ValueType::ReductionOperator,
                by as i32,
            )?
            .data_type(Attribute::ReductionPrecision, DataType::F32)?
            .finish()?;
        let operation = Draft::new(self.library, Kind::OperationReduction)?
            .refer(Attribute::OperationReductionX, &x.descriptor)?
            .refer(Attribute::OperationReductionY, &y.descriptor)?
            .refer(Attribute::OperationReductionDescriptor, &how)?
            .finish()?;
        self.push(operation);
        Ok(())
    }

    /// An engine for the graph on `target` that needs no more than `most` bytes to work
    /// in: the best by cuDNN's own judgement that it can make ready.
    ///
    /// # Errors
    /// Where there is none; what each said.
    pub fn plan(&self, target: &Target<'_>, most: usize) -> Result<Plan> {
        self.plan_of(target, most, |_| true)
    }

    /// The same among the engines that `suits` says yes to.
    ///
    /// # Errors
    /// Where there is none; what each said.
    pub fn plan_of(
        &self,
        target: &Target<'_>,
        most: usize,
        suits: impl Fn(&Descriptor) -> bool,
    ) -> Result<Plan> {
        let graph = self.whole(target)?;
        let mut why = Vec::new();
        for mode in [Heuristics::Best, Heuristics::Fallback] {
            let found = match engines(&graph, mode, target) {
                Ok(found) => found,
                Err(error) => {
                    why.push(error.to_string());
                    continue;
                }
            };
            if found.is_empty() {
                why.push(format!("none by {mode:?}"));
            }
            for engine in found {
                if !suits(&engine) {
                    why.push(format!("{} does not suit", engine.told()));
                    continue;
                }
                match Plan::new(engine, target) {
                    Ok(plan) if plan.workspace() <= most => return Ok(plan),
                    Ok(plan) => why.push(format!("{} bytes to work in", plan.workspace())),
                    Err(error) => why.push(error.to_string()),
                }
            }
        }
        Err(CudnnError::Refused {
            version: self.library.version(),
            why,
        })
    }

    /// The engines that cuDNN proposes, the best by its own judgement first.
    ///
    /// # Errors
    /// Where cuDNN does not take the graph.
    pub fn engines(&self, target: &Target<'_>) -> Result<Vec<Arc<Descriptor>>> {
        let graph = self.whole(target)?;
        let mut found = engines(&graph, Heuristics::Best, target)?;
        found.extend(engines(&graph, Heuristics::Fallback, target)?);
        Ok(found)
    }

    fn whole(&self, target: &Target<'_>) -> Result<Arc<Descriptor>> {
        let graph = Draft::new(self.library, Kind::OperationGraph)?
            .refer_to_all(Attribute::GraphOperations, &self.operations)?;
        let graph = match target {
            Target::Device(handle) => graph.handle(Attribute::GraphHandle, handle)?,
            Target::Described(_) => graph,
        };
        graph.finish()
    }
}
