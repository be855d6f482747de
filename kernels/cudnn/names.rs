//! cuDNN's names, by the numbers that they have in `cudnn_graph.h`.

/// A kind of descriptor, `cudnnBackendDescriptorType_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// How numbers are worked on one by one.
    Pointwise = 0,
    /// How a convolution walks.
    Convolution = 1,
    /// What carries a graph out.
    Engine = 2,
    /// An engine with its settings.
    EngineConfig = 3,
    /// What picks engines.
    EngineHeuristics = 4,
    /// An engine made ready.
    ExecutionPlan = 5,
    /// A convolution of a graph.
    OperationConvolution = 10,
    /// A pointwise operation of a graph.
    OperationPointwise = 13,
    /// Operations that belong together.
    OperationGraph = 15,
    /// Where the tensors of one execution lie.
    VariantPack = 16,
    /// A tensor.
    Tensor = 17,
    /// How matrices are multiplied.
    Matmul = 18,
    /// A product of matrices in a graph.
    OperationMatmul = 19,
    /// How numbers are gathered into one.
    Reduction = 21,
    /// A reduction of a graph.
    OperationReduction = 22,
    /// What a device is like.
    DeviceProperties = 38,
    /// Attention as one operation, since 9.13.
    OperationAttention = 41,
    /// Softmax as one operation, since 9.20.
    OperationSoftmax = 45,
}

/// An attribute of a descriptor, `cudnnBackendAttributeName_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs, reason = "the words of cuDNN's own reference")]
pub enum Attribute {
    PointwiseMode = 0,
    PointwisePrecision = 1,
    ConvolutionPrecision = 100,
    ConvolutionMode = 101,
    ConvolutionDilations = 102,
    ConvolutionSteps = 103,
    ConvolutionZerosBehind = 104,
    ConvolutionZerosBefore = 105,
    ConvolutionAxes = 106,
    HeuristicsMode = 200,
    HeuristicsGraph = 201,
    HeuristicsResults = 202,
    HeuristicsDevice = 204,
    EngineConfigEngine = 300,
    PlanHandle = 400,
    PlanEngineConfig = 401,
    PlanWorkspaceBytes = 402,
    PlanDevice = 407,
    OperationConvolutionAlpha = 700,
    OperationConvolutionBeta = 701,
    OperationConvolutionDescriptor = 702,
    OperationConvolutionW = 703,
    OperationConvolutionX = 704,
    OperationConvolutionY = 705,
    OperationPointwiseDescriptor = 750,
    OperationPointwiseX = 751,
    OperationPointwiseB = 752,
    OperationPointwiseY = 753,
    GraphHandle = 800,
    GraphOperations = 801,
    TensorAlignment = 900,
    TensorDataType = 901,
    TensorDimensions = 902,
    TensorStrides = 903,
    TensorId = 906,
    TensorIsVirtual = 907,
    TensorIsByValue = 908,
    PackIds = 1000,
    PackPointers = 1001,
    PackWorkspace = 1003,
    EngineNumber = 1301,
    EngineNotes = 1303,
    MatmulPrecision = 1500,
    OperationMatmulA = 1520,
    OperationMatmulB = 1521,
    OperationMatmulC = 1522,
    OperationMatmulDescriptor = 1523,
    ReductionOperator = 1600,
    ReductionPrecision = 1601,
    OperationReductionX = 1610,
    OperationReductionY = 1611,
    OperationReductionDescriptor = 1612,
    DeviceJson = 2702,
    OperationAttentionQ = 2800,
    OperationAttentionK = 2801,
    OperationAttentionV = 2802,
    OperationAttentionOut = 2803,
    OperationAttentionScale = 2805,
    OperationSoftmaxX = 3100,
    OperationSoftmaxY = 3101,
}

/// The type of an attribute's values, `cudnnBackendAttributeType_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs, reason = "the words of cuDNN's own reference")]
pub enum ValueType {
    Handle = 0,
    DataType = 1,
    Boolean = 2,
    Int64 = 3,
    Float = 4,
    Pointer = 6,
    ConvolutionMode = 7,
    HeuristicsMode = 8,
    NumericalNote = 11,
    PointwiseMode = 14,
    Descriptor = 15,
    ReductionOperator = 18,
    Char = 24,
}

/// The type of a tensor's numbers, `cudnnDataType_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs, reason = "they say it themselves")]
pub enum DataType {
    F32 = 0,
    F16 = 2,
    Bf16 = 9,
}

/// What a pointwise operation does, `cudnnPointwiseMode_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs, reason = "they say it themselves")]
pub enum Pointwise {
    Add = 0,
    Multiply = 1,
    Divide = 6,
    Subtract = 9,
    Exp = 13,
    Log = 15,
}

/// What a reduction does, `cudnnReduceTensorOp_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs, reason = "they say it themselves")]
pub enum Reduction {
    Add = 0,
    Max = 3,
}

/// How engines are picked, `cudnnBackendHeurMode_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Heuristics {
    /// Whatever works.
    Fallback = 2,
    /// The best by a decision tree.
    Best = 3,
}

/// What is remarkable in the numbers of an engine, `cudnnBackendNumericalNote_t`.
pub mod notes {
    /// It multiplies by tensor cores.
    pub const TENSOR_CORES: i32 = 0;
    /// It may give other bits in another run.
    pub const VARIES: i32 = 4;
}
