# EfficientNet-Lite0 with packaged ImageNet weights and one output, at 192 pixels.
model = dict(
    type='QualityAssessor',
    data_preprocessor=dict(
        type='ViewPreprocessor',
        channels_last=True,
        views=dict(image=dict(size=192, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)),
    ),
    network=dict(type='PackagedRegressor', size=0),
    # Scores and ranks: near the teacher's value, and in the teacher's order.
    loss=[dict(type='MSELoss'), dict(type='RankLoss', margin=0.02, loss_weight=0.5)],
)
