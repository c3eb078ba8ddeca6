"""ONNX operators by their capabilities."""

#: Operators of one quality model: of tensors, without loops, sequences, texts, random numbers and decoders of files.
_PLAIN = """
Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization BitCast
BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress Concat
Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumProd CumSum DFT DeformConv DepthToSpace
DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization
LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxRoiPool Mean
MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul
QuantizeLinear RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign RotaryEmbedding Round STFT
ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth
Split Sqrt Squeeze Sub Sum SwiGLU Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where
Xor
"""
PLAIN = frozenset(_PLAIN.split())

#: Operators of ONNX Runtime's own domain that its optimiser and quantiser write for vision networks. Others of that
#: domain open files or call Python.
_MICROSOFT = """
Attention BiasGelu BiasSplitGelu CropAndResize DequantizeLinear DynamicQuantizeMatMul EmbedLayerNormalization FastGelu
FusedConv FusedGemm FusedMatMul Gelu GridSample GroupNorm Inverse MatMulInteger16 MatMulIntegerToFloat MatMulNBits
MultiHeadAttention NhwcConv NhwcFusedConv NhwcMaxPool PackedAttention QAttention QGemm QLinearAdd QLinearAveragePool
QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid
QLinearSoftmax QLinearWhere QuantizeLinear QuickGelu RotaryEmbedding SimplifiedLayerNormalization SkipGroupNorm
SkipLayerNormalization Trilu
"""
MICROSOFT = frozenset(_MICROSOFT.split())

#: Those of the plain ones that visit elements of their inputs more than a few times.
_MANIFOLD = """
AffineGrid Attention AveragePool Col2Im Conv ConvInteger ConvTranspose DFT DeformConv Det Einsum Gemm GridSample LRN
LpPool MatMul MatMulInteger MaxPool MaxRoiPool QLinearConv QLinearMatMul RoiAlign STFT SwiGLU
"""
LINEAR = PLAIN - frozenset(_MANIFOLD.split())  # Operators whose work is in proportion to the sizes of their tensors
