# EfficientNet-Lite0 with its packaged ImageNet classifier, and a small head on its confidence: learns from a thousand
# images on a CPU. See ConfidenceRegressor for why its 1,280 free features are not enough there.
model = dict(
    type='QualityAssessor',
    data_preprocessor=dict(
        type='ViewPreprocessor',
        channels_last=True,  # twice as fast for depthwise convolutions on a CPU
        views=dict(
            image=dict(size=176, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
        ),
    ),
    network=dict(type='ConfidenceRegressor', size=0),
    loss=dict(type='MSELoss'),
)
