# A frozen EfficientNet-Lite0 with packaged weights, and small heads that read its response. See ResponseRegressor.
model = dict(
    type='QualityAssessor',
    data_preprocessor=dict(
        type='ViewPreprocessor',
        channels_last=True,  # twice as fast for depthwise convolutions on a CPU
        views=dict(
            image=dict(size=224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
        ),
    ),
    network=dict(
        type='ResponseRegressor',
        # Any timm classifier: model_name='resnet18.a1_in1k', pretrained=True, with mean and std that it wants.
        # changes=('mirror', 'half', 'recompress') look at the picture again, each at the price of a pass.
        probe=dict(type='ClassifierProbe', model_name='tf_efficientnet_lite0', pretrained='packaged'),
        heads=('consistency', 'accuracy'),  # composite is their mean
        members=8,
        components=6,
    ),
    loss=dict(type='MSELoss'),
)
