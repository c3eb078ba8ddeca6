# EfficientNet-Lite0 with packaged ImageNet weights and one output: trains on a CPU, needs no download.
model = dict(
    type='QualityAssessor',
    data_preprocessor=dict(
        type='ViewPreprocessor',
        channels_last=True,  # twice as fast for depthwise convolutions on a CPU
        views=dict(
            image=dict(size=176, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
        ),
    ),
    network=dict(type='PackagedRegressor', size=0),
    # Also SmoothL1Loss (beta=0.5), L1Loss, PLCCLoss, RankLoss; a list of them is summed.
    loss=dict(type='MSELoss'),
)
