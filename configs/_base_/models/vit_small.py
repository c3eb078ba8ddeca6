# timm's ViT-S/16 with one linear output.
model = dict(
    type='QualityAssessor',
    data_preprocessor=dict(
        type='ViewPreprocessor',
        views=dict(
            image=dict(size=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        ),
    ),
    network=dict(type='TimmRegressor', model_name='vit_small_patch16_224', pretrained=True),
    # Also SmoothL1Loss (beta=0.5), L1Loss, PLCCLoss, RankLoss; a list of them is summed.
    loss=dict(type='MSELoss'),
)
