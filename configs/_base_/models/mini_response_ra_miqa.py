# A small RA-MIQA with response tokens, of packaged parts: EfficientNet-Lite0 gives a feature map as patch tokens, and
# frozen ones are region encoder and probe.
_lite = dict(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
model = dict(
    type='QualityAssessor',
    data_preprocessor=dict(
        type='ViewPreprocessor',
        channels_last=True,  # twice as fast for depthwise convolutions on a CPU
        views=dict(image=dict(size=176, **_lite), region=dict(size=224, **_lite)),
    ),
    network=dict(
        type='ResponseRAMIQA',
        base=dict(type='HybridTransformer', img_size=176, embed_dim=192, depth=2, num_heads=3, size=0, stage=4),
        region_encoder=dict(type='PackagedRegionEncoder', size=0),
        probe=dict(type='ClassifierProbe', model_name='tf_efficientnet_lite0', pretrained='packaged'),
        heads=('consistency', 'accuracy'),  # composite is their mean
        components=6,
    ),
    loss=dict(type='MSELoss'),
)
