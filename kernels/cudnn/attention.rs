//! Attention as a graph: softmax(q · kᵀ · scale) · v without the scores in memory.

use super::graph::{Graph, Place};
use super::names::{Attribute, DataType, Kind, Pointwise, Reduction};
use super::{Draft, Library, Plan, Result, Target};

/// The tensors' numbers for [`Plan::execute`]: `SCALE` is an f32 in main memory.
pub const Q: i64 = 1;
/// The keys.
pub const K: i64 = 2;
/// The values.
pub const V: i64 = 3;
/// The answers.
pub const OUT: i64 = 4;
/// 1 / √d, by value.
pub const SCALE: i64 = 5;

/// Bytes of which addresses of tensors, and their rows, are multiples.
pub const ALIGNMENT: i64 = 16;
/// What an engine may work in at most: those for attention need less than a kilobyte.
const WORKSPACE: usize = 64 << 20;
/// The first cuDNN that has attention as one operation.
const ONE: usize = 91301;
/// The first that has softmax as one operation in the graph of several.
const SOFTMAX: usize = 92100;

/// How attention is said to cuDNN. Engines take both; older ones the second alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// As one operation.
    One,
    /// As products, softmax and what lies between, which cuDNN knows again.
    Several,
}

/// Attention of given shapes: tensors [batch, heads, tokens, width] wherever they lie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    /// What q, k, v and the answers are in; worked on in f32.
    pub kind: DataType,
    /// Independent sequences.
    pub batch: i64,
    /// Heads of each.
    pub heads: i64,
    /// Tokens that ask.
    pub queries: i64,
    /// Tokens that are asked.
    pub keys: i64,
    /// Channels of a head.
    pub width: i64,
    /// Between neighbours of q, k, v and the answers along batch, heads and tokens;
    /// channels lie side by side.
    pub strides: [[i64; 3]; 4],
}

impl Attention {
    /// An engine for it on `target`, by the first way that has one.
    ///
    /// # Errors
    /// Where cuDNN has none; what it said to each way.
    pub fn plan(&self, library: &'static Library, target: &Target<'_>) -> Result<Plan> {
        let several = self.plan_by(Way::Several, library, target);
        several.or_else(|first| {
            let second = self.plan_by(Way::One, library, target);
            second.map_err(|second| super::CudnnError::Refused {
                version: library.version(),
                why: vec![first.to_string(), second.to_string()],
            })
        })
    }

    /// An engine for it on `target`, said in one way.
    ///
    /// # Errors
    /// Where cuDNN has none.
    pub fn plan_by(
        &self,
        way: Way,
        library: &'static Library,
        target: &Target<'_>,
    ) -> Result<Plan> {
        self.graph(way, library)?.plan(target, WORKSPACE)
    }

    fn graph(&self, way: Way, library: &'static Library) -> Result<Graph> {
        if way == Way::One && library.version() < ONE {
            return Err(super::CudnnError::Refused {
                version: library.version(),
                why: vec!["attention as one operation came with 9.13.1".to_owned()],
            });
        }
        let mut graph = Graph::new(library);
        let [q, k, v, out] = self.strides.map(|[b, h, n]| [b, h, n, 1]);
        let shape = |tokens: i64| [self.batch, self.heads, tokens, self.width];
        let memory = Place::Memory(ALIGNMENT);
        let tensor = |id, tokens, strides: [i64; 4]| {
            graph.tensor(id, self.kind, &shape(tokens), &strides, memory)
        };
        let (q, v) = (tensor(Q, self.queries, q)?, tensor(V, self.keys, v)?);
        let out = tensor(OUT, self.queries, out)?;
        let scale = graph.tensor(SCALE, DataType::F32, &[1; 4], &[1; 4], Place::Value)?;
        if way == Way::One {
            let k = tensor(K, self.keys, k)?;
            let operation = Draft::new(library, Kind::OperationAttention)?
                .refer(Attribute::OperationAttentionQ, q.descriptor())?
                .refer(Attribute::OperationAttentionK, k.descriptor())?
                .refer(Attribute::OperationAttentionV, v.descriptor())?
                .refer(Attribute::OperationAttentionOut, out.descriptor())?
                .refer(Attribute::OperationAttentionScale, scale.descriptor())?
                .finish()?;
            graph.push(operation);
            return Ok(graph);
        }
        // Transposed: [batch, heads, width, keys].
        let turned = [self.batch, self.heads, self.width, self.keys];
        let [b, h, m, one] = k;
        let k = graph.tensor(K, self.kind, &turned, &[b, h, one, m], memory)?;
        let all = [self.batch, self.heads, self.queries, self.keys];
        let rows = [self.batch, self.heads, self.queries, 1];
        let scores = graph.between(DataType::F32, &all)?;
        let scaled = graph.between(DataType::F32, &all)?;
        let weights = graph.between(self.kind, &all)?;
        graph.matmul(&q, &k, &scores)?;
        graph.pointwise(Pointwise::Multiply, &scores, Some(&scale), &scaled)?;
        if library.version() >= SOFTMAX {
            let softmax = Draft::new(library, Kind::OperationSoftmax)?
                .refer(Attribute::OperationSoftmaxX, scaled.descriptor())?
                .refer(Attribute::OperationSoftmaxY, weights.descriptor())?
                .finish()?;
            graph.push(softmax);
        } else {
            let most = graph.between(DataType::F32, &rows)?;
            let below = graph.between(DataType::F32, &all)?;
            let powers = graph.between(DataType::F32, &all)?;
            let sums = graph.between(DataType::F32, &rows)?;
            let logarithms = graph.between(DataType::F32, &rows)?;
            let statistics = graph.between(DataType::F32, &rows)?;
            graph.reduce(Reduction::Max, &scaled, &most)?;
            graph.pointwise(Pointwise::Subtract, &scaled, Some(&most), &below)?;
            graph.pointwise(Pointwise::Exp, &below, None, &powers)?;
            graph.reduce(Reduction::Add, &powers, &sums)?;
            // Nobody reads these, but without them it is not known for attention.
            graph.pointwise(Pointwise::Log, &sums, None, &logarithms)?;
            graph.pointwise(Pointwise::Add, &most, Some(&logarithms), &statistics)?;
            graph.pointwise(Pointwise::Divide, &powers, Some(&sums), &weights)?;
        }
        graph.matmul(&weights, &v, &out)?;
        Ok(graph)
    }
}
