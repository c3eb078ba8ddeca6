# torchvision's resnet18 with one linear output.
model = dict(
    type='QualityAssessor',
    data_preprocessor=dict(
        type='ViewPreprocessor',
        views=dict(
            image=dict(size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        ),
    ),
    network=dict(type='TorchvisionRegressor', model_name='resnet18', pretrained=True),
    # Also SmoothL1Loss (beta=0.5), L1Loss, PLCCLoss, RankLoss; a list of them is summed.
    loss=dict(type='MSELoss'),
)
