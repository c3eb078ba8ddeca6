# A small RA-MIQA of packaged parts:
# EfficientNet-Lite0's feature map as patch tokens, a frozen one as region encoder.
model = dict(
    type='QualityAssessor',
    data_preprocessor=dict(
        type='ViewPreprocessor',
        channels_last=True,  # twice as fast for depthwise convolutions on a CPU
        views=dict(
            image=dict(size=176, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
            region=dict(size=224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
        ),
    ),
    network=dict(
        type='RAMIQA',
        base=dict(type='HybridTransformer', img_size=176, embed_dim=192, depth=2, num_heads=3, size=0, stage=4),
        region_encoder=dict(type='PackagedRegionEncoder', size=0),
    ),
    # Also SmoothL1Loss (beta=0.5), L1Loss, PLCCLoss, RankLoss; a list of them is summed.
    loss=dict(type='MSELoss'),
)
