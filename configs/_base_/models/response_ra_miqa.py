# RA-MIQA with response tokens: a frozen probe looks at the region view, and how it responds joins the tokens.
model = dict(
    type='QualityAssessor',
    data_preprocessor=dict(
        type='ViewPreprocessor',
        views=dict(
            image=dict(size=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
            # As both the region encoder and the probe want it.
            region=dict(size=288, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        ),
    ),
    network=dict(
        type='ResponseRAMIQA',
        base=dict(type='PlainTransformer', model_name='vit_small_patch16_224', pretrained=True),
        region_encoder=dict(
            type='TimmRegionEncoder',
            # Or a path. CC BY-NC 4.0, see ra_miqa.py.
            weights='https://github.com/LUSSeg/ImageNetSegModel/releases/download/vit/sere_finetuned_vit_small_ep100.pth',
        ),
        # Any timm classifier that was trained with this mean and std; or the path of its weights.
        # changes=('mirror', 'half', 'recompress') look at the picture again, each at the price of a pass.
        probe=dict(type='ClassifierProbe', model_name='resnet18.a1_in1k', pretrained=True),
        heads=('consistency', 'accuracy'),  # composite is their mean
        components=24,
    ),
    loss=dict(type='MSELoss'),
)
