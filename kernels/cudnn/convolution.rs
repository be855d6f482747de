//! A convolution as a graph: over frames, rows and columns of numbers that have the
//! channels of a position side by side, as the tensor cores read them.

use std::sync::Arc;

use super::graph::{Graph, Place};
use super::names::{Attribute, DataType, Kind, ValueType, notes};
use super::{Descriptor, Draft, Library, Plan, Result, Target};

/// The tensors' numbers for [`Plan::execute`]: what is read.
pub const X: i64 = 1;
/// The kernels, [outputs, frames, rows, columns, channels].
pub const W: i64 = 2;
/// What is given.
pub const Y: i64 = 3;

/// Bytes of which addresses are multiples.
pub const ALIGNMENT: i64 = 16;
/// Numbers of which channels are multiples, so that all positions are so aligned.
pub const CHANNELS: i64 = 8;
/// What an engine may work in at most.
const WORKSPACE: usize = 256 << 20;
/// Windows that read what they meet, not its mirror image.
const CROSS_CORRELATION: i32 = 1;

/// A convolution of given shapes. Axes are frames, rows and columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// What is read and the kernels are in; sums are of f32.
    pub kind: DataType,
    /// What is given.
    pub gives: DataType,
    /// Size of what is read.
    pub size: [i64; 3],
    /// Size of what is given.
    pub made: [i64; 3],
    /// Channels of what is read.
    pub channels: i64,
    /// Channels of what is given.
    pub outputs: i64,
    /// Size of the kernels.
    pub kernel: [i64; 3],
    /// From one window to the next.
    pub step: [i64; 3],
    /// Zeros before and behind along each axis.
    pub zeros: [[i64; 2]; 3],
}

impl Convolution {
    /// The best engine for it on `target` by cuDNN's own judgement, of those that give
    /// the same bits in every run.
    ///
    /// # Errors
    /// Where cuDNN has none; what it said.
    pub fn plan(&self, library: &'static Library, target: &Target<'_>) -> Result<Plan> {
        let steady = |engine: &Descriptor| match engine.engine() {
            Ok((_, found)) => !found.contains(&notes::VARIES),
            Err(_) => true,
        };
        self.graph(library)?.plan_of(target, WORKSPACE, steady)
    }

    /// All engines that cuDNN proposes for it on `target`, the best by its own judgement
    /// first.
    ///
    /// # Errors
    /// Where cuDNN does not take it.
    pub fn engines(
        &self,
        library: &'static Library,
        target: &Target<'_>,
    ) -> Result<Vec<Arc<Descriptor>>> {
        self.graph(library)?.engines(target)
    }

    /// Frames of which none sees another are a batch; else time is an axis.
    fn is_flat(&self) -> bool {
        self.kernel[0] == 1 && self.step[0] == 1 && self.zeros[0] == [0, 0]
    }

    fn graph(&self, library: &'static Library) -> Result<Graph> {
        let mut graph = Graph::new(library);
        let flat = self.is_flat();
        let tensor = |id, kind, batch: i64, channels: i64, size: [i64; 3]| {
            let (batch, axes) = match flat {
                true => (batch * size[0], &size[1..]),
                false => (batch, &size[..]),
            };
            let dims = [&[batch, channels], axes].concat();
            // Channels lie closest together, then columns, rows, frames.
            let mut strides = vec![1; dims.len()];
            let mut stride = channels;
            for axis in (2..dims.len()).rev() {
                strides[axis] = stride;
                stride *= dims[axis];
            }
            strides[0] = stride;
            graph.tensor(id, kind, &dims, &strides, Place::Memory(ALIGNMENT))
        };
        let x = tensor(X, self.kind, 1, self.channels, self.size)?;
        let w = tensor(W, self.kind, self.outputs, self.channels, self.kernel)?;
        let y = tensor(Y, self.gives, 1, self.outputs, self.made)?;
        let first = usize::from(flat);
        let along = |side: usize| self.zeros[first..].iter().map(|z| z[side]).collect();
        let (before, behind): (Vec<i64>, Vec<i64>) = (along(0), along(1));
        let axes = before.len();
        let how = Draft::new(library, Kind::Convolution)?
            .data_type(Attribute::ConvolutionPrecision, DataType::F32)?
            .choice(
                Attribute::ConvolutionMode,
                ValueType::ConvolutionMode,
                CROSS_CORRELATION,
            )?
            .integers(Attribute::ConvolutionAxes, &[axes as i64])?
            .integers(Attribute::ConvolutionZerosBefore, &before)?
            .integers(Attribute::ConvolutionZerosBehind, &behind)?
            .integers(Attribute::ConvolutionDilations, &vec![1; axes])?
            .integers(Attribute::ConvolutionSteps, &self.step[first..])?
            .finish()?;
        let operation = Draft::new(library, Kind::OperationConvolution)?
            .refer(Attribute::OperationConvolutionX, x.descriptor())?
            .refer(Attribute::OperationConvolutionW, w.descriptor())?
            .refer(Attribute::OperationConvolutionY, y.descriptor())?
            .refer(Attribute::OperationConvolutionDescriptor, &how)?
            .reals(Attribute::OperationConvolutionAlpha, &[1.0])?
            .reals(Attribute::OperationConvolutionBeta, &[0.0])?
            .finish()?;
        graph.push(operation);
        Ok(graph)
    }
}
